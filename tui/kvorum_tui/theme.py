"""The terminal's two looks, and inks: named styles for all that is painted line by line.

Colour is never alone: whatever an ink says, a letter or shape beside it says too.
"""

from __future__ import annotations

from rich.style import Style
from textual.theme import Theme

DARK = Theme(
    name="kvorum-dark",
    primary="#6cb6ff",
    secondary="#9aa7ff",
    accent="#f2a65a",
    success="#5fd7a0",
    warning="#f0c75e",
    error="#ff6b7a",
    foreground="#d7dde8",
    background="#0f131a",
    surface="#151b24",
    panel="#1d2532",
    dark=True,
    variables={
        "border": "#2b3646",
        "border-blurred": "#232c3a",
        "block-cursor-background": "#6cb6ff",
        "block-cursor-foreground": "#0f131a",
        "input-selection-background": "#6cb6ff 30%",
        "footer-key-foreground": "#f2a65a",
        "scrollbar": "#2b3646",
        "scrollbar-hover": "#3b4a60",
        "scrollbar-active": "#6cb6ff",
        "scrollbar-background": "#151b24",
        "scrollbar-background-hover": "#151b24",
        "scrollbar-background-active": "#151b24",
        "scrollbar-corner-color": "#151b24",
    },
)

LIGHT = Theme(
    name="kvorum-light",
    primary="#0b62c4",
    secondary="#5a4fcf",
    accent="#b35900",
    success="#117a4b",
    warning="#8f6400",
    error="#c2243a",
    foreground="#1d2633",
    background="#f3f5f8",
    surface="#ffffff",
    panel="#e4e9f0",
    dark=False,
    variables={
        "border": "#c3ccd8",
        "border-blurred": "#d5dce6",
        "block-cursor-background": "#0b62c4",
        "block-cursor-foreground": "#ffffff",
        "footer-key-foreground": "#b35900",
        "scrollbar": "#c3ccd8",
        "scrollbar-background": "#ffffff",
        "scrollbar-corner-color": "#ffffff",
    },
)

_TERMS_DARK = (
    "#6cb6ff",
    "#f2a65a",
    "#5fd7a0",
    "#d79bff",
    "#f0c75e",
    "#ff8fa0",
    "#7fdbe6",
    "#b7d36b",
)
_TERMS_LIGHT = (
    "#0b62c4",
    "#b35900",
    "#117a4b",
    "#7a2fb5",
    "#8f6400",
    "#b52747",
    "#0f7380",
    "#5c7410",
)


# A context's name in the header: ink and paper, readable on both looks.
_CONTEXTS = {
    "red": ("#ffffff", "#b3202f"),
    "orange": ("#1a1000", "#f28c28"),
    "yellow": ("#1a1500", "#e6c229"),
    "green": ("#ffffff", "#1f7a4d"),
    "blue": ("#ffffff", "#1f5fbf"),
    "purple": ("#ffffff", "#7a3fb5"),
    "grey": ("#ffffff", "#59636f"),
}


def inks_of(theme: Theme) -> dict[str, Style]:
    """The named styles of a theme (any Textual theme, not only ours)."""
    terms = _TERMS_DARK if theme.dark else _TERMS_LIGHT
    dim = "#77849a" if theme.dark else "#667386"
    inks = {
        "text": Style(),
        "bold": Style(bold=True),
        "dim": Style(color=dim),
        "faint": Style(color="#414d60" if theme.dark else "#aab4c2"),
        "stale": Style(color=dim, italic=True),
        "gone": Style(color=dim, strike=True),
        "primary": _colour(theme.primary),
        "branch": _colour(theme.primary, bold=True),
        "accent": _colour(theme.accent or theme.primary),
        "good": _colour(theme.success or theme.primary),
        "warn": _colour(theme.warning or theme.primary),
        "bad": _colour(theme.error or theme.primary, bold=True),
        "head": Style(color=dim, bold=True),
        "cursor": Style(
            color="#0f131a" if theme.dark else "#ffffff", bgcolor=theme.primary, bold=True
        )
        if not theme.ansi
        else Style(reverse=True),
        "cursor-off": Style(bgcolor="#27344a" if theme.dark else "#d3def0")
        if not theme.ansi
        else Style(underline=True),
        "mark": Style(color=theme.warning, bold=True, underline=True),
        "mark-on": _colour(theme.warning or theme.primary, bold=True),
        "json-key": _colour(theme.primary),
        "json-string": _colour(theme.success or theme.primary),
        "json-number": _colour(theme.accent or theme.primary),
        "json-word": _colour(theme.secondary or theme.primary, bold=True),
        "json-punct": Style(color=dim),
        "plus": _colour(theme.success or theme.primary),
        "minus": _colour(theme.error or theme.primary),
    }
    for name, (ink, paper) in _CONTEXTS.items():
        plain = Style(reverse=True, bold=True)
        inks[f"context-{name}"] = (
            plain if theme.ansi else Style(color=ink, bgcolor=paper, bold=True)
        )
    for number, colour in enumerate(terms):
        inks[f"term{number}"] = Style(color=None if theme.ansi else colour)
    return inks


def _colour(colour: str, bold: bool = False) -> Style:
    """A style of one colour; Textual's names for the terminal's own colours become Rich's."""
    return Style(
        color=colour.removeprefix("ansi_") if colour.startswith("ansi_") else colour, bold=bold
    )

"""A text editor with colours of our own for JSON, YAML, TOML and SQL: no parser library is needed,
and none can crash it.

The one place that leans on two private names of Textual's ``TextArea`` (``_build_highlight_map``,
``_highlights``); a test holds that they are there.
"""

from __future__ import annotations

from textual._text_area_theme import TextAreaTheme
from textual.widgets import TextArea

from kvorum_tui.model.syntax import tokens
from kvorum_tui.widgets.paint import inks_for

HIGHLIGHT_MAX_BYTES = (
    64 * 1024
)  # Colours are found anew after each key; above this that would be felt.


class JsonArea(TextArea):
    """A text area that colours what its text is written in."""

    kind = "json"

    def on_mount(self) -> None:
        """Take colours from the app's theme."""
        inks = inks_for(self)
        self.register_theme(
            TextAreaTheme(
                name="kvorum-json",
                syntax_styles={
                    kind: inks[f"json-{kind}"]
                    for kind in ("key", "string", "number", "word", "punct")
                },
            )
        )
        self.theme = "kvorum-json"
        self._build_highlight_map()

    def written_in(self, kind: str) -> None:
        """Another language."""
        self.kind = kind
        self._build_highlight_map()
        self.refresh()

    def _build_highlight_map(self) -> None:
        """Find the colours of all lines; columns are in UTF-8 bytes, as the base class
        wants them.
        """
        self._line_cache.clear()
        highlights = self._highlights
        highlights.clear()
        if len(self.text) > HIGHLIGHT_MAX_BYTES:
            return
        for number, text in enumerate(self.document.lines):
            for start, end, kind in tokens(self.kind, text):
                at = len(text[:start].encode())
                highlights[number].append((at, at + len(text[start:end].encode()), kind))

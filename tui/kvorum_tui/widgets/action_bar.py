"""The foot of the screen: what can be done here and now. What cannot is dim, in brackets, and says
why when pressed.
"""

from __future__ import annotations

from kvorum_tui.actions import Action
from kvorum_tui.widgets.paint import Line, Painted

ALWAYS = ("help_keys", "quit")
"""What everything else can be found through has its place, however much a tab can do."""


def _cells(action: Action, able: bool) -> int:
    return len(action.label) + len(action.text) + 3 + (0 if able else 2)


class ActionBar(Painted):
    """Actions of the tab in front, then those of the app; two lines on a narrow screen."""

    DEFAULT_CSS = "ActionBar { height: auto; max-height: 2; background: $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self._items: list[tuple[Action, bool]] = []
        self._lines: list[Line] = []
        self._key: object = None

    def show_actions(self, items: list[tuple[Action, bool]]) -> None:
        """Show these actions; the flag says whether each can be done now."""
        self._items = items
        self._flow()

    def on_resize(self) -> None:
        """Flow again."""
        self._flow()

    def _flow(self) -> None:
        width = self.size.width or self.app.size.width
        key = (width, tuple(self._items), self.app.theme)
        if key == self._key:
            return
        self._key = key
        lines = [self.line().add(" ")]
        kept = sum(_cells(action, True) for action, _ in self._items if action.name in ALWAYS)
        for action, able in self._items:
            label, text = action.label, action.text
            cells = _cells(action, able)
            if len(lines) == 1 and lines[-1].width + cells > width:
                lines.append(self.line().add(" "))
            if action.name in ALWAYS:
                kept -= cells
            if len(lines) == 2 and lines[-1].width + cells + kept > width:
                continue
            click = {"@click": f"app.do('{action.name}')"}
            if able:
                lines[-1].add(label, "accent", click).add(f" {text}  ", "text", click)
            else:
                lines[-1].add(f"({label} {text})  ", "faint", click)
        self._lines = lines
        self.styles.height = len(lines)
        self.refresh()

    def paint(self, y: int, width: int) -> Line:
        """One of the lines."""
        return self._lines[y] if y < len(self._lines) else self.line()

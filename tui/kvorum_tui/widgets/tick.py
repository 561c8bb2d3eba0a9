"""A box to tick that can be read without colours: Textual's own shows the same letter, brighter
when it is ticked.
"""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox


class Tick(Checkbox):
    """Holds an X, or nothing."""

    @property
    def _button(self) -> Content:
        self.BUTTON_INNER = "X" if self.value else " "
        return super()._button

"""Who can touch this key: users against ranges, and the answer for one key or prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget

from kvorum_tui.model.access_matrix import (
    NONE,
    columns,
    parse_range,
    range_text,
    range_words,
    touch,
    who_can_touch,
)
from kvorum_tui.screens.admin_permit import wrong_range
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.widgets.dialogs import Field, Form, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

COLUMN_CELLS = 16
WAYS = {"full": "all of it", "part": "a part", "none": "nothing"}


class WhoView(AdminView):
    """Matrix above, answer below."""

    view = "who"
    about = (
        "Rows are users, columns the ranges of keys that permissions speak of. R: may read all of "
        "that range, W: may write all of it, small letters: a part of it, ·: nothing. A range is "
        "covered by all roles of a user together. k asks about any key, prefix or range; the "
        "answer names the role that each right comes from. ← → scroll."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.matrix = TextLines(id="admin-matrix")
        self.answer = Table(
            (Column("user", 16), Column("reads", 10), Column("writes", 10), Column("through")),
            "admin-answer",
        )
        self.low = box("Who can touch …", self.answer)
        self.asked: tuple[bytes, bytes] | None = None

    def compose(self) -> ComposeResult:
        """Two boxes."""
        yield box("Users and ranges", self.matrix)
        yield self.low

    def first_focus(self) -> Widget:
        """The matrix."""
        return self.matrix

    def refresh_facts(self, now: float) -> None:
        """Both."""
        facts, picture = self.facts, self.facts.picture
        empty = picture.forbidden or facts.picture_error or "there is no user and no permission"
        self.show_lines(self.matrix, self._matrix(), empty)
        if self.asked is None:
            self.answer.show([], [("k asks: who can touch this key, prefix or range?", "dim")])
            return
        self.low.border_title = Content(f"Who can touch {range_words(*self.asked)}")
        rows = []
        for each in who_can_touch(picture, *self.asked):
            via = "; ".join(f"{role}: {what}" for role, what in each.via)
            ink = "text" if each.read != NONE or each.write != NONE else "dim"
            cells = (
                (each.user, ink),
                (WAYS[each.read], ink),
                (WAYS[each.write], ink),
                (via, "dim"),
            )
            rows.append(Row(each.user, cells))
        empty = "auth is off: everybody" if not picture.enabled else "nobody but root"
        self.answer.show(rows, [(empty, "warn")])

    def _matrix(self) -> Rich:
        picture = self.facts.picture
        if not picture.users:
            return []
        ranges = columns(picture)
        titles = [range_text(*each) for each in ranges]
        widths = [max(4, min(COLUMN_CELLS, len(title))) for title in titles]
        head = "".join(
            f" {title if len(title) <= w else title[: w - 1] + '…':<{w}}"
            for title, w in zip(titles, widths, strict=True)
        )
        lines: Rich = [[(f" {'user':<14}{head}", "head")]]
        for user in picture.users:
            line = [(f" {user[:14]:<14}", "text")]
            for each, width in zip(ranges, widths, strict=True):
                letters = touch(picture, user, *each).letters
                ink = "dim" if letters == "·" else "accent" if "W" in letters else "text"
                line.append((f" {letters:<{width}}", ink))
            lines.append(line)
        return [*lines, [], [(" R W: all of the range · r w: a part of it · · : nothing", "dim")]]

    def why_not(self, name: str) -> str:
        """Needs the tables."""
        picture = self.facts.picture
        return picture.forbidden or ("" if picture.users else "there is no user")

    async def do_admin_whose(self) -> None:
        """Ask."""
        value = range_text(*self.asked) if self.asked else ""
        label = "Key /a, prefix /a/*, range a .. c, or * for all"
        field = Field("keys", label, value, check=wrong_range)
        values = await self.kv.push_screen_wait(Form("Who can touch …", [field], "Ask"))
        if values is not None:
            self.asked = parse_range(values["keys"])
            self.refresh_facts(self.kv.clock())
            self.answer.focus()

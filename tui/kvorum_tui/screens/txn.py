"""The Txn tab: a transaction as a form and as etcdctl's text, side by side, with a light that says
whether it would succeed now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from kvorum.client.ops import Compare, Delete, Get, Op, Put, Txn
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, TextArea

from kvorum_tui import keymap
from kvorum_tui.model import words
from kvorum_tui.model.shelf import TRANSACTIONS, Saved
from kvorum_tui.model.txn_check import problems
from kvorum_tui.model.txn_form import (
    Place,
    blanks,
    changed,
    filled,
    items_of,
    moved,
    problem,
    put_in,
    read_text,
    text_of,
    without,
)
from kvorum_tui.model.txn_light import Verdict, judge, ranges_of
from kvorum_tui.model.txn_words import light_words
from kvorum_tui.screens.txn_deeds import TxnDeeds
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.choose import Choose, Item
from kvorum_tui.widgets.dialogs import Field, Form
from kvorum_tui.widgets.paint import LineList, TextLines
from kvorum_tui.widgets.txn_rows import TxnRows

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

LOOK_S = 0.4  # The light is asked for at most this often.
AGAIN_S = 2.0  # ... and so long after it could not be told.
LOOK_KEYS = 100  # Keys of a range that are looked at for a condition on it.
WIDE = 100
LIGHT_INKS = {"good": "$success", "bad": "$error", "warn": "$warning", "dim": "$text-muted"}
KINDS: dict[str, tuple[str, str, Op]] = {
    "put": ("put", "write a key", Put("")),
    "get": ("get", "read a key, a prefix or a range", Get("")),
    "delete": ("delete", "delete a key, a prefix or a range", Delete("")),
}


class TxnPane(TxnDeeds):
    """Light, form, text, result."""

    tab = "txn"
    about = (
        "A transaction changes several keys at one revision, or none. If all conditions hold, the "
        "operations of Then run, otherwise those of Else. The light says which it would be now: "
        "the keys that are compared are read whenever the store changes. A condition on a missing "
        "key sees 0, and fails if it compares the value. The form and the text are one thing: "
        "whatever you change in one changes the other. The text is what etcdctl txn and kvorum txn "
        "read; conditions on ranges and transactions within transactions have no text."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("txn")
    DEFAULT_CSS = """
    TxnPane .box {
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
    }
    TxnPane .box:focus-within { border: round $primary; }
    TxnPane #txn-light { height: auto; max-height: 4; padding: 0 1; text-style: bold; }
    TxnPane #txn-both { height: 1fr; }
    TxnPane #txn-both.narrow { layout: vertical; }
    TxnPane #txn-form-box, TxnPane #txn-text-box { width: 1fr; height: 1fr; }
    TxnPane TextArea, TxnPane TextArea:focus { border: none; padding: 0; background: $surface; }
    TxnPane #txn-result-box { height: 40%; display: none; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.txn = Txn()
        self.verdicts: list[Verdict] = []
        self.form = TxnRows()
        self.area = TextArea("", id="txn-area", tab_behavior="focus", show_line_numbers=True)
        self.light = Static("", id="txn-light")
        self.result = TextLines(id="txn-result")
        self.form_box = Vertical(self.form, classes="box", id="txn-form-box")
        self.text_box = Vertical(self.area, classes="box", id="txn-text-box")
        self.result_box = Vertical(self.result, classes="box", id="txn-result-box")
        self.both = Horizontal(self.form_box, self.text_box, id="txn-both")
        self.saved: list[Saved] = []
        self.values: dict[str, str] = {}
        self.text_wrong = ""
        self.text_missing = ""
        self.look_error = ""
        self.looked_at = 0  # revision
        self._looked = 0.0
        self._due = True
        self._written = ""

    def compose(self) -> ComposeResult:
        """The light above, form and text, the result below when there is one."""
        yield self.light
        yield self.both
        yield self.result_box

    def on_mount(self) -> None:
        """Begin with what one can try without harm."""
        self.result_box.border_title = "What came of it"
        self.on_resize()
        self.show_txn(Txn())
        self.aside(self.reload, "files")

    def on_resize(self) -> None:
        """Beside one another where there is room."""
        self.both.set_class(self.app.size.width < WIDE, "narrow")

    def first_focus(self) -> Widget:
        """The form."""
        return self.form

    def back(self) -> bool:
        """Escape: out of the text, then the result goes."""
        if self.area.has_focus:
            self.form.focus()
        elif self.result_box.display:
            self.result_box.display = False
            self.form.focus()
        else:
            return False
        return True

    def travelled(self, revision: int) -> None:
        """The light speaks of another time."""
        self._due = True

    def revision_here(self) -> int:
        """The mod revision that the condition under the cursor speaks of."""
        item = self.item_here()
        if isinstance(item, Compare) and item.target in ("mod", "create"):
            return item.operand if isinstance(item.operand, int) else 0
        return 0

    def refresh_at(self, now: float) -> None:
        """Look again when the store has changed."""
        newest = self.kv.cluster.newest(now)
        if newest is not None and newest.revision > self.looked_at and not self.kv.at:
            self._due = True
        if self.look_error and now - self._looked >= AGAIN_S:
            self._due = True
        if self._due and now - self._looked >= LOOK_S:
            self._due = False
            self._looked = now
            self.aside(self.look, "look", exclusive=True)
        self.show_light()

    # --- the transaction --------------------------------------------------------------------------

    def show_txn(self, txn: Txn, place: Place | None = None) -> None:
        """Show another transaction in the form, and as text."""
        self.txn = txn
        text, self.text_missing = text_of(txn)
        self.text_wrong = ""
        self._written = text or (f"({self.text_missing})" if self.text_missing else "")
        self.area.text = self._written
        self.area.read_only = bool(self.text_missing)
        self._shown(place)

    def _shown(self, place: Place | None = None) -> None:
        self.verdicts = []
        self._due = True
        self._looked = 0.0
        self.form.show(self.txn, [])
        if place is not None:
            self.form.stand_on(place)
        title = "Form"
        items = len(self.txn.compares), len(self.txn.then), len(self.txn.else_)
        self.form_box.border_title = f"{title} · if {items[0]}, then {items[1]}, else {items[2]}"
        self.refresh_at(self.kv.clock())
        self.kv.refresh_actions()

    @on(TextArea.Changed, "#txn-area")
    def _typed(self) -> None:
        text = self.area.text
        if text == self._written or self.text_missing:
            return
        self._written = text
        txn, self.text_wrong = read_text(text)
        if txn is not None:
            self.txn = txn
            self._shown()
        else:
            self.show_light()

    async def look(self) -> None:
        """Ask what stands in the keys that are compared."""
        txn = self.txn
        try:
            looked = await self.kv.session.txns.look(ranges_of(txn.compares), LOOK_KEYS, self.kv.at)
        except SessionError as error:
            self.look_error = str(error)
            self.show_light()
            return
        if txn is not self.txn:
            return
        self.look_error = ""
        if looked.revision:
            self.looked_at = looked.revision
        self.verdicts = judge(txn.compares, looked)
        self.form.show(self.txn, self.verdicts)
        self.show_light()

    def masked(self) -> None:
        """The last answer goes; it can be asked for again."""
        self.result.show([], "values were hidden, or shown again")

    def show_light(self) -> None:
        """Would it succeed now, or why nobody can say."""
        found = problems(self.txn)
        if self.text_wrong:
            text, ink = f"! the text: {self.text_wrong}", "warn"
        elif self.txn == Txn():
            text, ink = "○ an empty transaction: a adds a row, f3 has templates, e types it", "dim"
        elif found:
            text, ink = "! a server would refuse it: " + "; ".join(found), "warn"
        elif self.look_error:
            text, ink = f"? not known: {self.look_error}", "warn"
        elif self.txn.compares and not self.verdicts:
            text, ink = "… looking", "dim"
        else:
            text, ink = light_words(self.verdicts, len(self.txn.compares))
            if self.kv.at:
                text = text.replace("NOW", f"AT REVISION {self.kv.at:,}")
        self.light.update(Content(text).stylize(LIGHT_INKS[ink]))
        age = ""
        if self.txn.compares and self.verdicts and self._looked:
            age = f"looked at revision {self.looked_at:,}, "
            newest = self.kv.cluster.newest(self.kv.clock())
            if newest is not None and newest.revision <= self.looked_at:
                age += "nothing has changed since"
            else:
                age += words.age(max(0.0, self.kv.clock() - self._looked))
        self.form_box.border_subtitle = Content(age)
        self.text_box.border_title = Content(
            "Text · there is none" if self.text_missing else "Text · as etcdctl txn reads it"
        )

    # --- rows -------------------------------------------------------------------------------------

    def item_here(self) -> Compare | Op | None:
        """The condition or operation under the cursor."""
        row = self.form.here
        if row is None or row.place is None:
            return None
        items = items_of(self.txn, row.place.section)
        return items[row.place.index] if row.place.index < len(items) else None

    def why_not(self, name: str) -> str:
        """Rows need a row; running needs something to run."""
        if name in ("txn_edit", "txn_remove", "txn_up", "txn_down", "txn_key"):
            return "" if self.item_here() is not None else "no row is chosen; a adds one"
        if name in ("txn_run", "txn_keep", "txn_copy", "txn_copy_kvorum"):
            if self.text_wrong:
                return f"the text says nothing: {self.text_wrong}"
            if self.txn == Txn():
                return "the transaction is empty; a adds a row, f3 has templates"
            if name != "txn_run" and self.text_missing:
                return self.text_missing
            found = problems(self.txn)
            if name == "txn_run" and found:
                return "a server would refuse it: " + found[0]
        if name == "txn_text" and self.text_missing:
            return f"{self.text_missing}; the form shows it"
        return ""

    async def do_txn_add(self) -> None:
        """A new row behind the one under the cursor."""
        section = self.form.section
        if section == "if":
            item: Compare | Op | None = Compare("mod", b"", "=", 0)
        else:
            item = await self._choose_op()
        if item is None:
            return
        place = self.form.behind(self.txn)
        made = await self._fill_in(item, "Add")
        if made is not None:
            self.show_txn(put_in(self.txn, place, made), place)

    async def _choose_op(self) -> Op | None:
        items = [Item(name, text, about) for name, (text, about, _) in KINDS.items()]
        items.append(Item("txn", "transaction", "a transaction within this one, from its text"))
        chosen = await self.kv.push_screen_wait(Choose("Add to " + self.form.section, items))
        if chosen == "txn":
            return Txn()
        return KINDS[chosen][2] if chosen in KINDS else None

    async def do_txn_edit(self) -> None:
        """Change the row under the cursor."""
        row, item = self.form.here, self.item_here()
        if row is None or row.place is None or item is None:
            return
        made = await self._fill_in(item, "Change")
        if made is not None:
            self.show_txn(changed(self.txn, row.place, made), row.place)

    async def _fill_in(self, item: Compare | Op, yes: str) -> Compare | Op | None:
        if isinstance(item, Txn):
            return await self.fill_nested(item)
        fields = [Field(b.name, b.label, b.value, check=b.check) for b in blanks(item)]
        while True:
            values = await self.kv.push_screen_wait(Form(_form_title(item), fields, yes))
            if values is None:
                return None
            wrong = problem(item, values)
            if not wrong:
                return filled(item, values)
            self.kv.tell(wrong, "warning")
            fields = [Field(b.name, b.label, values[b.name], check=b.check) for b in blanks(item)]

    def do_txn_remove(self) -> None:
        """The row goes; nothing was sent, so nothing is lost."""
        row = self.form.here
        if row is not None and row.place is not None:
            self.show_txn(without(self.txn, row.place))

    def do_txn_up(self) -> None:
        """One up."""
        self._move(-1)

    def do_txn_down(self) -> None:
        """One down."""
        self._move(1)

    def _move(self, by: int) -> None:
        row = self.form.here
        if row is not None and row.place is not None:
            self.show_txn(*moved(self.txn, row.place, by))

    def do_txn_text(self) -> None:
        """Type."""
        self.area.focus()

    def do_txn_new(self) -> None:
        """Nothing in it."""
        self.show_txn(Txn())

    def open_saved(self, saved: Saved) -> None:
        """Bring a template to the front and fill it in."""
        self.kv.show_tab("txn")
        self.aside(lambda: self.take(saved))

    async def reload(self) -> None:
        """Read the templates."""
        self.saved, wrong = await asyncio.to_thread(TRANSACTIONS.load)
        if wrong:
            self.kv.tell(wrong, "warning")

    @on(LineList.Moved, "#txn-rows")
    def _moved(self) -> None:
        self.kv.refresh_actions()

    @on(LineList.Chosen, "#txn-rows")
    def _chosen(self) -> None:
        self.kv.do("txn_edit" if self.item_here() is not None else "txn_add")


def _form_title(item: Compare | Put | Get | Delete) -> str:
    names = {Compare: "A condition", Put: "Put", Get: "Get", Delete: "Delete"}
    return names[type(item)]

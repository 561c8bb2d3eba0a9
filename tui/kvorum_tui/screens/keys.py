"""The Keys tab: the tree of keys at the left; value, numbers or history of one key at the right.

Long because looking at keys is one thing with many keys of its own; what it changes is in
``key_changes``, how it looks in ``key_view`` and ``key_history``.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from kvorum_tui import keymap
from kvorum_tui.feeds import KeysFeed
from kvorum_tui.model import words
from kvorum_tui.model.decode import decode, key_from_text, key_to_text, printable
from kvorum_tui.model.key_index import KeyIndex, Row
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.screens.key_changes import KeyChanges
from kvorum_tui.screens.key_deeds import KeyDeeds
from kvorum_tui.screens.key_history import HistoryDeeds, KeyHistory
from kvorum_tui.screens.key_view import branch_rich, empty_note, meta_rich, value_rich
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Field, Form
from kvorum_tui.widgets.key_tree import KeyTree
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


READING_S = 0.15
SEARCH_MAX = 20_000  # Matches that a filter shows.
BEGIN_ROWS = 200  # Rows looked at for a first place to stand on.
ORDINARY = re.compile(r"\w[\w .@-]*")
FORMS = ("", "json", "text", "hex")


class KeysPane(HistoryDeeds, KeyDeeds):
    """Browse, read, edit, delete, history."""

    tab = "keys"
    about = (
        "Every key of the store, as a tree cut at the separator. The whole list was read page by "
        "page at one revision and is kept current by a watch, so what you see is at most a moment "
        "old. The number behind a branch counts the keys below it. At the right is the value of "
        "the key under the cursor: JSON is laid out and coloured, other text is shown as it is, "
        "anything else as hex. Saving compares the key's mod revision: if somebody else wrote in "
        "between, nothing is lost, you are shown both."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("keys")
    DEFAULT_CSS = """
    KeysPane > Horizontal > .left { width: 42%; min-width: 26; border: round $border; padding: 0; }
    KeysPane > Horizontal > .right { width: 1fr; border: round $border; }
    KeysPane .left:focus-within, KeysPane .right:focus-within { border: round $primary; }
    KeysPane Vertical { border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    KeysPane #filter { display: none; border: none; height: 1; background: $panel; padding: 0 1; }
    KeysPane #filter.on { display: block; }
    KeysPane #history { display: none; }
    KeysPane.history #history { display: block; }
    KeysPane.history #value { display: none; }
    KeysPane #head { height: auto; max-height: 3; color: $text; text-style: bold; }
    KeysPane #foot { height: 1; color: $text-muted; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.index = KeyIndex()
        self.found = KeyIndex()
        self.found.flat = True
        self.filter = ""
        self.view = "value"
        self.form = ""
        self.record: KeyRecord | None = None
        self.row: Row | None = None
        self.changes = KeyChanges(self)
        self._read_revision = 0
        self._begun = False
        self.key_tree = KeyTree(self.index, id="tree")
        self.value_view = TextLines(id="value")
        self.history = KeyHistory(id="history")
        self.head = Static("", id="head")
        self.foot = Static("", id="foot")
        self.field = Input(placeholder="keys that contain…", id="filter", compact=True)
        self.left = Vertical(self.field, self.key_tree, classes="left")
        self.right = Vertical(self.head, self.history, self.value_view, self.foot, classes="right")
        self.feed: KeysFeed

    def compose(self) -> ComposeResult:
        """Tree and detail."""
        with Horizontal():
            yield self.left
            yield self.right

    def on_mount(self) -> None:
        """Start reading."""
        self.feed = KeysFeed(self.kv.session, self.index, self.keys_changed)
        self.run_worker(self.feed.run(), group="keys-feed")
        self.key_tree.note = [("reading the keys…", "dim")]
        self.show_row(None)

    def first_focus(self) -> Widget:
        """The tree."""
        return self.key_tree

    # --- the tree ---------------------------------------------------------------------------------

    def keys_changed(self) -> None:
        """The feed changed the index."""
        feed = self.feed
        touched = feed.take_touched()
        if self.filter:
            self._filter_touched(touched)
        if not self._begun and len(self.index):
            self._begun = True
            self._begin()
        self.key_tree.note = empty_note(self.feed, self.filter)
        self.key_tree.changed()
        self._title()
        if self.row is not None and not self.row.branch and self.row.path in touched:
            key = self.row.path
            self.aside(lambda: self.load_value(key), "value", exclusive=True)
        if self.row is None or self.row.branch:
            self.show_row(self.key_tree.current)
        self.kv.refresh_actions()

    def _begin(self) -> None:
        """Stand on the first branch with an ordinary name, unless somebody chose a place already:
        what sorts first are often odd keys.
        """
        if self.key_tree.cursor or self.index.flat:
            return
        for row in self.index.rows(0, BEGIN_ROWS):
            name = printable(row.label.removesuffix(self.index.separator))
            if row.branch and ORDINARY.fullmatch(name):
                self.key_tree.goto(row.path, True)
                return

    def _filter_touched(self, touched: dict[bytes, KeyEvent]) -> None:
        """Keep a filter's matches current."""
        needle = key_from_text(self.filter)
        for key, event in touched.items():
            if event.kind == "delete":
                self.found.delete(key)
            elif needle in key and len(self.found) < SEARCH_MAX:
                self.found.insert(key)

    def _title(self) -> None:
        feed = self.feed
        if feed.loading and feed.total:
            title = f"Keys · reading {len(self.index):,} of {feed.total:,}"
        elif self.filter:
            title = f"Keys · {len(self.found):,} of {len(self.index):,} contain {self.filter}"
        else:
            title = f"Keys · {len(self.index):,}"
        self.left.border_title = Content(title)
        state = "live" if feed.live else "not live" if feed.error else ""
        kind = "flat" if self.key_tree.index.flat else f"by {printable(self.index.separator)}"
        self.left.border_subtitle = Content(f"{kind} · rev {feed.revision:,} {state}".rstrip())

    @on(KeyTree.AtKey)
    def _at_key(self, message: KeyTree.AtKey) -> None:
        if message.row != self.row:
            self.show_row(message.row)
        self.kv.refresh_actions()

    def show_row(self, row: Row | None) -> None:
        """Show a row at the right."""
        moved = (
            row is None
            or self.row is None
            or row.path != self.row.path
            or row.branch != self.row.branch
        )
        self.row = row
        if row is None or row.branch:
            self.record = None
            self._set_view("value")
            self._show_branch(row)
            return
        if moved:
            self.record = None
            self.head.update(Content(printable(row.path)))
            if self.view == "history":
                self.do_key_history()
            self.aside(lambda: self.load_value(row.path), "value", exclusive=True)
            self.set_timer(READING_S, lambda: self._still_reading(row.path))

    def _still_reading(self, key: bytes) -> None:
        """Do not let another key's value stand under this one's name."""
        if self.record is None and self.row is not None and self.row.path == key:
            self.foot.update("")
            if self.view != "history":
                self.value_view.show([], "reading…")

    def _show_branch(self, row: Row | None) -> None:
        self.foot.update("")
        if row is None:
            self.head.update("")
            self.value_view.show([], "no key chosen")
            return
        self.head.update(Content(printable(row.path)))
        self.value_view.show(branch_rich(self.key_tree.index.count_below(row.path)))

    async def load_value(self, key: bytes) -> None:
        """Read the key under the cursor; a fast cursor makes this wait a little."""
        await asyncio.sleep(0.03)
        try:
            record = await self.kv.session.get(key)
        except SessionError as error:
            if self.record is None:
                self.value_view.show(
                    [[("the value cannot be read", "warn")], [(str(error), "dim")]]
                )
            self.foot.update(Content(f"not read: {error.message}"))
            return
        if self.row is None or self.row.path != key:
            return
        self.record = record
        self._read_revision = self.feed.revision
        self.show_record()
        self.kv.refresh_actions()

    def show_record(self) -> None:
        """Paint the record in the chosen view."""
        record = self.record
        if record is None:
            self.value_view.show(
                [[("this key is deleted", "warn")], [("h shows its history", "dim")]]
            )
            self.foot.update("")
            return
        decoded = decode(record.value, self.form)
        form = decoded.kind + (" (chosen)" if self.form else "")
        lease = f" · lease {record.lease:x}" if record.lease else ""
        size = words.size(len(record.value))
        text = f"rev {record.mod_revision:,} · version {record.version:,} · {size} · {form}{lease}"
        if record.one_member:
            text = "NO QUORUM, one member's view · " + text
        self.foot.update(Content(text))
        if self.view == "info":
            self.value_view.show(meta_rich(record, max(self._read_revision, record.mod_revision)))
        elif self.view == "value":
            self.value_view.show(value_rich(decoded))

    def _set_view(self, view: str) -> None:
        self.view = view
        if view != "history":
            self.workers.cancel_group(self, "keys-history")
        self.set_class(view == "history", "history")
        self.right.border_title = {"value": "Value", "info": "Info", "history": "History"}[view]

    # --- actions: looking -------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """What needs a key, a branch, or a revision."""
        row = self.row
        on_key = row is not None and not row.branch
        if name in ("key_history", "key_meta", "key_form") and not on_key:
            return "put the cursor on a key first"
        if name == "key_edit":
            return self.changes.why_no_edit()
        if name in ("key_delete", "key_watch") and row is None:
            return "put the cursor on a key or a branch first"
        if name == "key_restore" and (self.view != "history" or self.history.list.current is None):
            return "open the history (h) and choose a revision first"
        return ""

    def do_key_filter(self) -> None:
        """Open the filter line."""
        self.field.add_class("on")
        self.field.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.aside(lambda: self.set_filter(event.value), "filter", exclusive=True)

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.key_tree.focus()

    async def set_filter(self, text: str) -> None:
        """Search the index a stretch at a time, so that the screen stays alive."""
        await asyncio.sleep(0.05)
        self.filter = text
        if not text:
            row = self.row
            self.key_tree.show_index(self.index)
            if row is not None and not row.branch:
                self.key_tree.goto(row.path)
            self._title()
            return
        needle = key_from_text(text)
        found = KeyIndex(self.index.separator)
        found.flat = True
        self.found = found
        position = 0
        while position >= 0 and len(found) < SEARCH_MAX:
            keys, position = self.index.search(needle, SEARCH_MAX - len(found), position)
            found.extend(keys)
            self.key_tree.note = empty_note(self.feed, self.filter)
            self.key_tree.show_index(found)
            self._title()
            await asyncio.sleep(0)

    def back(self) -> bool:
        """Escape: leave the history, then the filter."""
        if self.view != "value":
            self.do_key_value()
        elif self.field.has_class("on") or self.filter:
            self.field.remove_class("on")
            self.field.value = ""
        elif self.key_tree.has_focus:
            return False
        self.key_tree.focus()
        return True

    def do_key_flat(self) -> None:
        """Tree or flat list."""
        self.index.flat = not self.index.flat
        row = self.row
        if row is not None and not row.branch and not self.filter:
            self.key_tree.goto(row.path)
        self.key_tree.changed()
        self._title()

    def do_key_value(self) -> None:
        """The value."""
        self._set_view("value")
        if self.row is not None and not self.row.branch:
            self.show_record()

    def do_key_meta(self) -> None:
        """All numbers."""
        self._set_view("value" if self.view == "info" else "info")
        self.show_record()

    def do_key_history(self) -> None:
        """Every kept revision of this key, and new ones as they come."""
        if self.row is None or self.row.branch:
            return
        self._set_view("history")
        key, session = self.row.path, self.kv.session
        self.history.list.name_of = self.kv.cluster.name_of
        self.aside(lambda: self.history.follow(session, key), "history", exclusive=True)
        self.history.list.focus()

    @on(KeyHistory.Moved)
    def _history_moved(self) -> None:
        self.kv.refresh_actions()

    def do_key_form(self) -> None:
        """As JSON, as text, as hex, or as found."""
        self.form = self.history.form = FORMS[(FORMS.index(self.form) + 1) % len(FORMS)]
        self._set_view("value")
        self.show_record()

    def do_key_copy(self) -> None:
        """Copy what has the focus."""
        if self.row is None:
            return
        if self.value_view.has_focus and self.record is not None:
            text, what = self.value_view.plain(), "value"
        else:
            text, what = key_to_text(self.row.path), "key"
        self.app.copy_to_clipboard(text)
        self.kv.tell(f"copied the {what}")

    def do_key_watch(self) -> None:
        """A watch pane on it."""
        if self.row is not None:
            self.kv.watch_key(self.row.path, self.row.branch)

    def do_key_reload(self) -> None:
        """Read everything again."""
        self.feed.loading = True
        self.workers.cancel_group(self, "keys-feed")
        self.run_worker(self.feed.run(), group="keys-feed")

    async def do_key_separator(self) -> None:
        """Another separator."""
        field = Field(
            "separator",
            "Cut keys at (\\x00 and the like are understood)",
            printable(self.index.separator),
            check=lambda text: "" if text else "at least one character",
        )
        values = await self.app.push_screen_wait(Form("Separator", [field], "Use it"))
        if values is None:
            return
        fresh = KeyIndex(key_from_text(values["separator"]))
        keys = list(self.index.keys)
        self.workers.cancel_group(self, "keys-feed")
        for start in range(0, len(keys), 2_000):
            fresh.extend(keys[start : start + 2_000])
            await asyncio.sleep(0)
        self.index = self.feed.index = fresh
        self.key_tree.show_index(fresh)
        self.run_worker(self.feed.run(), group="keys-feed")
        self._title()

    def goto(self, key: bytes) -> None:
        """Stand on a key, from another tab or the palette."""
        if self.filter:
            self.field.value = ""
            self.filter = ""
            self.key_tree.show_index(self.index)
        if not self.key_tree.goto(key):
            self.kv.tell(f"{printable(key)} does not exist now", "warning")

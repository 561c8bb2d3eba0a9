"""The Keys tab: the tree of keys at the left; value, numbers or history of one key at the right.

Long because this is where its halves meet and what they share is made.

The halves: finding (``key_find``), marking, figures, forms of values, places,
the past, and what changes something (``key_changes``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from kvorum_tui import keymap
from kvorum_tui.actions import Action
from kvorum_tui.key_feed import KeysFeed
from kvorum_tui.model.decode import printable
from kvorum_tui.model.decoders import Decoded, Decoders
from kvorum_tui.model.decoders.plugins import found as found_plugins
from kvorum_tui.model.key_filter import KeyFilter
from kvorum_tui.model.key_index import KeyIndex, Row
from kvorum_tui.model.key_sizes import Sizes
from kvorum_tui.model.marks import Marks
from kvorum_tui.model.places import Place, Places
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.screens.key_deeds import KeyDeeds
from kvorum_tui.screens.key_find import FILTER_HINT, KeyFinding, ValueSearch
from kvorum_tui.screens.key_forms import KeyForms
from kvorum_tui.screens.key_history import HistoryDeeds, KeyHistory
from kvorum_tui.screens.key_marking import KeyMarking
from kvorum_tui.screens.key_measures import ORDER_WORDS, KeyMeasures
from kvorum_tui.screens.key_past import KEPT_MAX, KeyPast
from kvorum_tui.screens.key_places import KeyPlaces
from kvorum_tui.screens.key_view import branch_rich, empty_note, found_note, past_note
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Gone
from kvorum_tui.widgets.key_tree import KeyTree
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


READING_S = 0.15
BEGIN_ROWS = 200  # Rows looked at for a first place to stand on.
ORDINARY = re.compile(r"\w[\w .@-]*")
NARROW = 100  # Columns below which one sees the tree or the value.
# What the foot still offers there.
CORE = (
    "key_new key_edit key_delete key_filter key_search key_mark key_history key_form key_copy "
    "key_undo key_compare"
)


class KeysPane(
    KeyFinding,
    KeyMarking,
    KeyMeasures,
    KeyForms,
    KeyPast,
    KeyPlaces,
    HistoryDeeds,
    KeyDeeds,
):
    """Browse, read, edit, delete, history."""

    tab = "keys"
    about = (
        "Every key of the store, as a tree cut at the separators. The whole list was read page by "
        "page at one revision and is kept current by a watch, so what you see is at most a moment "
        "old. Behind a branch stand the keys below it, then bytes and writes a minute where they "
        "are known: sizes of values are read once by g, and ≈ says that something was written "
        "since. At the right is the value of the key under the cursor, in the form that fits: "
        "JSON, YAML, TOML, gzip and base64 with what is inside, MessagePack, protobuf, Kubernetes "
        "objects, other text, hex; o chooses another. Space marks keys; what changes something "
        "then works on all of them. Saving compares the key's mod revision: if somebody else "
        "wrote in between, nothing is lost, you are shown both."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("keys")
    DEFAULT_CSS = """
    KeysPane > Horizontal > .left { width: 42%; min-width: 26; border: round $border; padding: 0; }
    KeysPane > Horizontal > .right { width: 1fr; border: round $border; }
    KeysPane .left:focus-within, KeysPane .right:focus-within { border: round $primary; }
    KeysPane Vertical { border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    KeysPane #filter { display: none; border: none; height: 1; background: $panel; padding: 0 1; }
    KeysPane #filter.on { display: block; }
    KeysPane #doing { display: none; height: 1; color: $text-muted; padding: 0 1; }
    KeysPane #doing.on { display: block; color: $warning; }
    KeysPane.narrow #doing { display: block; }
    KeysPane.narrow > Horizontal > .left { width: 100%; }
    KeysPane.narrow > Horizontal > .right { display: none; }
    KeysPane.narrow.detail > Horizontal > .left { display: none; }
    KeysPane.narrow.detail > Horizontal > .right { display: block; width: 100%; }
    KeysPane #history { display: none; }
    KeysPane.history #history { display: block; }
    KeysPane.history #value { display: none; }
    KeysPane #head { height: auto; max-height: 3; color: $text; text-style: bold; }
    KeysPane #foot { height: 1; color: $text-muted; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.index = KeyIndex()
        self.past_index: KeyIndex | None = None
        self.found: KeyIndex | None = None
        self.filter: KeyFilter | None = None
        self.search: ValueSearch | None = None
        self.looked_at = -1
        self.wrong = ""
        self.view = "value"
        self.form = ""
        self.record: KeyRecord | None = None
        self.decoded: Decoded | None = None
        self.row: Row | None = None
        self.marks = Marks()
        self.places = Places()
        self.sizes = Sizes()
        self.decoders = Decoders(found_plugins())
        self.order = ""
        self.tombstones = False
        self.gone: dict[bytes, Gone] = {}
        self.gone_keys = Marks()
        self.gone_all = False
        self.past_error: SessionError | None = None
        self.past_loading = False
        self.past_total = 0
        self.fed = False
        self._saved: dict[str, Any] = {}
        self._asking = False
        self._whole = False
        self._ranked_at = 0.0
        self._read_revision = 0
        self._begun = False
        self._wanted: Place | None = None
        self.key_tree = KeyTree(self.index, id="tree")
        self.key_tree.is_marked = self.marks.__contains__
        self.key_tree.is_gone = self._is_gone
        self.key_tree.figures = self.figures
        self.value_view = TextLines(id="value")
        self.history = KeyHistory(id="history")
        self.head = Static("", id="head")
        self.foot = Static("", id="foot")
        self.doing = Static("", id="doing")
        self.field = Input(placeholder=FILTER_HINT, id="filter", compact=True)
        self.left = Vertical(self.field, self.key_tree, self.doing, classes="left")
        self.right = Vertical(self.head, self.history, self.value_view, self.foot, classes="right")
        self.feed = KeysFeed(kv.session, self.index, kv.clock, self.keys_changed)
        self.feed.heard += [self._heard, self.hear_gone]

    def compose(self) -> ComposeResult:
        """Tree and detail."""
        with Horizontal():
            yield self.left
            yield self.right

    def on_mount(self) -> None:
        """What is remembered of this cluster, then the keys."""
        self.key_tree.note = [("reading the keys…", "dim")]
        self.show_row(None)
        self.aside(self._begin_reading, "begin")

    async def _begin_reading(self) -> None:
        await self.remember()
        for path in self.places.schemas:
            await self.read_schema(path)
        self.fed = True
        if not self.kv.at:
            self.start_feed()

    def on_unmount(self) -> None:
        """Nothing that was remembered is lost."""
        try:
            self.keep_now()
        except OSError as error:
            self.log.warning(f"bookmarks cannot be kept: {error}")

    def on_resize(self) -> None:
        """Side by side, or one at a time."""
        self.set_class(self.size.width < NARROW, "narrow")

    def first_focus(self) -> Widget:
        """The tree."""
        return self.value_view if self._only_detail else self.key_tree

    @property
    def _only_detail(self) -> bool:
        return self.has_class("narrow") and self.has_class("detail")

    def refresh_at(self, now: float) -> None:
        """Rates run down, orders change, what is remembered is written."""
        self.feed.rates.forget(now)
        self.columns_changed()
        if "rate" in self.key_tree.columns:
            self.key_tree.refresh()
        self.order_again(now)

    # --- the tree ---------------------------------------------------------------------------------

    def _is_gone(self, key: bytes) -> bool:
        return key in self.gone and self.past_index is None

    def _heard(self, event: KeyEvent, was_there: bool) -> None:
        self.sizes.changed(event, self.index.branches_of(event.key))

    def keys_changed(self) -> None:
        """The feed changed the index."""
        if not (self.is_attached and self.is_running):
            return
        touched = self.feed.take_touched()
        self.found_changed(touched)
        if self.feed.denied is not None:
            self.ask_ranges()
        if not self._begun and len(self.index):
            self._begun = True
            self._begin()
        self.note_changed()
        if self.past_index is None:
            self.key_tree.changed()
            self._go_on()
        self.retitle()
        if self.kv.at:
            return
        if self.row is not None and not self.row.branch and self.row.path in touched:
            key = self.row.path
            self.aside(lambda: self.load_value(key), "value", exclusive=True)
        if self.row is None or self.row.branch:
            self.show_row(self.key_tree.current)
        self.kv.refresh_actions()

    def _begin(self) -> None:
        """Stand on the first branch with an ordinary name, unless somebody chose a place already:
        what sorts first are often odd keys. Keys without a slash are cut elsewhere.
        """
        separators = self.guessed()
        if separators:
            self.aside(lambda: self._begin_cut_at(separators), "begin")
            return
        if self.key_tree.cursor or self.index.flat:
            return
        for row in self.index.rows(0, BEGIN_ROWS):
            name = printable(row.label.rstrip(b"".join(self.index.separators)))
            if row.branch and ORDINARY.fullmatch(name):
                self.key_tree.goto(row.path, True)
                return

    async def _begin_cut_at(self, separators: tuple[bytes, ...]) -> None:
        self.row = None
        await self.cut_at(separators)
        self._begin()

    def note_changed(self) -> None:
        """What an empty tree says."""
        if self.found is not None:
            looking = self.looked_at >= 0 or (
                self.search is not None and self.search.state == "reading"
            )
            words = self.finding_title() if looking or self.filter is None else self.filter.none
            self.key_tree.note = found_note(words, looking)
        elif self.past_index is not None:
            self.key_tree.note = past_note(self.past_loading, self.past_error, self.kv.at)
        else:
            self.key_tree.note = empty_note(self.feed)

    def retitle(self) -> None:
        """Title and foot of the tree."""
        feed, index = self.feed, self.tree_index
        self.note_changed()
        title = self.finding_title()
        if not title and self.past_index is not None:
            of = f" of {self.past_total:,}" if self.past_loading and self.past_total else ""
            title = f"{len(index):,}{of} at revision {self.kv.at:,}"
            if self.past_loading and not len(index):
                title = f"reading revision {self.kv.at:,}…"
        elif not title and feed.loading and feed.total:
            title = f"reading {len(index):,} of {feed.total:,}"
        elif not title:
            title = f"{len(index) - len(self.gone):,}{self.ranges_title()}"
            title += f" · {len(self.gone):,} deleted" if self.gone else ""
        if len(self.marks):
            title += f" · {len(self.marks):,} marked"
        self.left.border_title = Content(f"Keys · {title}")
        state = "live" if feed.live else "not live" if feed.error else ""
        cut = " ".join(printable(each) for each in index.separators)
        kind = "flat" if self.shown.flat else f"by {cut}"
        if self.order and not self.shown.flat:
            kind += f" · {ORDER_WORDS[self.order]}"
            kind += " (too many: by name)" if self.shown.unranked() else ""
        place = f"rev {feed.revision:,} {state}" if not self.kv.at else "the past"
        self.left.border_subtitle = Content(f"{kind} · {place}".rstrip())

    @on(KeyTree.AtKey)
    def _at_key(self, message: KeyTree.AtKey) -> None:
        if message.row != self.row:
            self.show_row(message.row)
        self.kv.refresh_actions()

    @on(KeyTree.Chosen)
    def _chosen(self) -> None:
        """Enter on a key: its value, where there is no room for both."""
        self.add_class("detail")
        self.value_view.focus()

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
            self.record = self.decoded = None
            self.set_view("value")
            self._show_branch(row)
            return
        if moved:
            self.record = self.decoded = None
            self.head.update(Content(printable(row.path)))
            if self.view == "history":
                self.do_key_history()
            self.aside(lambda: self.load_value(row.path), "value", exclusive=True)
            self.set_timer(READING_S, lambda: self._still_reading(row.path))

    def _still_reading(self, key: bytes) -> None:
        """Do not let another key's value stand under this one's name."""
        if self.record is None and self.row is not None and self.row.path == key:
            self.foot.update("")
            if self.view != "history" and self.decoded is None:
                self.value_view.show([], "reading…")

    def _show_branch(self, row: Row | None) -> None:
        self.foot.update("")
        if not self.doing.has_class("on"):
            self.doing.update("")
        if row is None:
            self.head.update("")
            self.value_view.show([], "no key chosen")
            return
        self.head.update(Content(printable(row.path)))
        self.value_view.show(branch_rich(self.facts(row.path)))

    def set_view(self, view: str) -> None:
        """Value, info or history at the right."""
        self.view = view
        if view != "history":
            self.workers.cancel_group(self, "keys-history")
        self.set_class(view == "history", "history")
        self.right.border_title = {"value": "Value", "info": "Info", "history": "History"}[view]

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """What needs a key, a branch, or a revision."""
        row = self.row
        if name in ("key_delete", "key_watch", "key_copy", "key_bookmark") and row is None:
            return "put the cursor on a key or a branch first"
        if name == "key_history" and (row is None or row.branch):
            return "put the cursor on a key first"
        if name == "key_lease" and (self.record is None or not self.record.lease):
            return "this key has no lease" if self.record is not None else "put the cursor on a key"
        if name == "key_edit":
            return self.why_no_edit()
        if name == "key_restore" and (self.view != "history" or self.history.list.current is None):
            return "open the history (h) and choose a revision first"
        return (
            self.why_not_find(name)
            or self.why_not_mark(name)
            or self.why_not_measure(name)
            or self.why_not_form(name)
            or self.why_not_past(name)
        )

    def offers(self, action: Action) -> bool:
        """What there is room for."""
        if action.name == "key_restore" and self.view != "history":
            return False
        return action.shown and (not self.has_class("narrow") or action.name in CORE.split())

    def back(self) -> bool:
        """Escape: stop what runs; then leave the value, the history, the filter, the marks."""
        if self.stop_measuring():
            return True
        if self._only_detail:
            self.remove_class("detail")
            self.set_view("value")
            self.key_tree.focus()
            return True
        if self.view != "value":
            self.do_key_value()
        elif not self.stop_finding():
            if self.key_tree.has_focus:
                return False
            self.remove_class("detail")
        self.key_tree.focus()
        return True

    def do_key_value(self) -> None:
        """The value."""
        self.set_view("value")
        if self.row is not None and not self.row.branch:
            self.add_class("detail")
            self.show_record()

    def do_key_meta(self) -> None:
        """All numbers."""
        self.set_view("value" if self.view == "info" else "info")
        self.add_class("detail")
        self.show_record()

    def do_key_lease(self) -> None:
        """The lease that it hangs on."""
        if self.record is not None:
            self.kv.goto_lease(self.record.lease)

    def do_key_history(self) -> None:
        """Every kept revision of this key, and new ones as they come."""
        if self.row is None or self.row.branch:
            return
        self.set_view("history")
        self.add_class("detail")
        key, session = self.row.path, self.kv.session
        self.history.list.name_of = self.kv.cluster.name_of
        self.aside(lambda: self.history.follow(session, key), "history", exclusive=True)
        self.history.list.focus()

    @on(KeyHistory.Moved)
    def _history_moved(self) -> None:
        self.kv.refresh_actions()

    def do_key_watch(self) -> None:
        """A watch pane on it."""
        if self.row is not None:
            self.kv.watch_key(self.row.path, self.row.branch)

    def do_key_reload(self) -> None:
        """Read everything again."""
        self.feed.loading = True
        if self.kv.at:
            self.travelled(self.kv.at)
        else:
            self.start_feed()

    def goto(self, key: bytes) -> None:
        """Stand on a key, from another tab or the palette."""
        self.goto_place(Place(key))

    def goto_place(self, place: Place) -> None:
        """Stand on a key or a branch; a filter that hides it goes."""
        if self.found is not None:
            self.field.value = ""
            self.field.remove_class("on")
            self.unfilter()
        self._wanted = place
        self._go_on()
        self.keep()

    def _go_on(self) -> None:
        """To the place that is wanted, once it was read; that it is not there is known when all
        was.
        """
        place = self._wanted
        if place is None:
            return
        there = self.key_tree.goto(place.path, place.branch)
        if there or self.kv.at or not self.feed.loading:
            self._wanted = None
        if not there and self._wanted is None:
            at = f"at revision {self.kv.at:,}" if self.kv.at else "now"
            self.kv.tell(f"{printable(place.path)} does not exist {at}", "warning")

    # --- between the halves -----------------------------------------------------------------------

    def leave_found(self) -> None:
        """A filter's matches are those of another revision."""
        self.field.value = ""
        self.field.remove_class("on")
        if self.found is not None:
            self.filter, self.search, self.found, self.wrong = None, None, None, ""
            self.key_tree.lit = None

    def order_changed(self) -> None:
        """The index that is shown has changed."""
        if self.past_index is not None and len(self.past_index) > KEPT_MAX and not self.kv.at:
            self.past_index = None
        if self.order:
            self.apply_order()
        self.columns_changed()

"""The Leases tab: every lease with the time it has left and the keys that die with it, and the
locks and elections that are built of leases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kvorum_tui import keymap
from kvorum_tui.actions import Action
from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.lease_queues import Name, QueueBook
from kvorum_tui.model.lease_table import KEPT, SORTS, LeaseTable
from kvorum_tui.screens.leases_deeds import LeaseDeeds
from kvorum_tui.screens.leases_feed import LeaseFeed
from kvorum_tui.widgets.dialogs import Field, Form, Rich
from kvorum_tui.widgets.lease_list import LeaseKeys, LeaseList, PlaceList, QueueList
from kvorum_tui.widgets.paint import LineList, TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

NO_LEASE = "there is no lease to choose; g grants one"
KEPT_SAID = {"orphans": "without keys", "expiring": "about to end", "held": "held here"}


class LeasesPane(LeaseDeeds):
    """Leases with their keys, or locks and elections with their queues."""

    tab = "leases"
    about = (
        "A lease is a time to live that somebody must renew. The bar is what is left of it, "
        "counted down here between two answers of the cluster; ! marks the last ten seconds, ~ a "
        "time that was not asked for lately: with thousands of leases each is asked in turn. When "
        "a lease ends, or is revoked, all its keys are deleted in one revision. Renewals are the "
        "times it was seen to jump up. HELD leases are renewed by this terminal as long as it "
        "runs. Locks and elections are found by the keys of leases: whoever wants in makes a key "
        "with its own lease below a common prefix; the one with the oldest create revision holds, "
        "the others wait in that order, and when the holder's lease ends the next one follows."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("leases")
    DEFAULT_CSS = """
    LeasesPane .list { border: round $border; width: 3fr; border-title-color: $text-muted; }
    LeasesPane .side { width: 1fr; min-width: 26; }
    LeasesPane .box { border: round $border; border-title-color: $text-muted; }
    LeasesPane .facts { height: auto; max-height: 12; }
    LeasesPane .facts TextLines { height: auto; max-height: 10; }
    LeasesPane .box:focus-within, LeasesPane .list:focus-within { border: round $primary; }
    LeasesPane #lease-said { height: auto; color: $warning; padding: 0 1; }
    LeasesPane #lease-views, LeasesPane #lock-views { height: 1fr; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.view = "leases"
        self.feed = LeaseFeed(kv, lambda: kv.pane is self, self._visible, self._changed)
        self._past: tuple[LeaseTable, QueueBook] | None = None
        self.list = LeaseList(self.table)
        self.list.owners = self.feed.owners
        self.facts = TextLines(id="lease-facts")
        self.keys_list = LeaseKeys()
        self.queues = QueueList(self.feed.book, self.table)
        self.places = PlaceList(self.table)
        self.said = Static("", id="lease-said")
        self._followed: Name | None = None

    def compose(self) -> ComposeResult:
        """What is wrong, then one of the two views."""
        yield self.said
        with Horizontal(id="lease-views") as self.lease_view:
            with Vertical(classes="list") as self.list_box:
                yield self.list
            with Vertical(classes="side"):
                with Vertical(classes="box facts") as box:
                    box.border_title = "Lease"
                    yield self.facts
                with Vertical(classes="box") as box:
                    box.border_title = "Its keys"
                    yield self.keys_list
        with Vertical(id="lock-views") as self.lock_view:
            with Vertical(classes="box") as self.queue_box:
                self.queue_box.border_title = "Locks and elections · l leases"
                yield self.queues
            with Vertical(classes="box") as self.place_box:
                yield self.places

    def on_mount(self) -> None:
        """Start asking."""
        self.list_box.border_title = "Leases"
        self.list.note = [("asking for leases…", "dim")]
        self.queues.note = [("no lock and no election is in use", "text")]
        self.queues.note += [("c stands for one, a looks at a name", "dim")]
        self.said.display = self.facts.can_focus = False
        self.lock_view.display = False
        self.run_worker(self.feed.run(), group="leases-feed")
        self.run_worker(self.feed.hold(), group="leases-hold")
        self.aside(self.feed.find_owners, "owners")

    def first_focus(self) -> Widget:
        """The list of the view in front."""
        return self.list if self.view == "leases" else self.queues

    # --- the picture ------------------------------------------------------------------------------

    def _visible(self) -> list[int]:
        if self.view == "leases":
            return self.list.in_sight()
        holders = [queue.holder for queue in self.queues.shown if queue.holder is not None]
        return [place.record.lease for place in [*self.places.places[:50], *holders[:50]]]

    def _changed(self) -> None:
        if self.is_attached:
            self.refresh_at(self.kv.clock())
            self.kv.refresh_actions()

    def refresh_at(self, now: float) -> None:
        """Bars run down."""
        if self.view == "leases":
            self.list.refresh_at(now)
            self._show_lease()
        else:
            self.queues.refresh_at(now)
            self._show_places()
        self._show_title(now)
        text = ""
        if self.kv.at:
            text = self.feed.past_said
        elif self.feed.error is not None:
            age = words.age(now - self.table.seen_at)
            text = (f"told {age}; " if self.table.loaded else "") + str(self.feed.error)
        self.said.display = bool(text)
        self.said.update(Content(text))

    def _show_title(self, now: float) -> None:
        table = self.list.table
        title = f"Leases · {len(table):,}"
        if self.kv.at:
            title += f" at revision {self.kv.at:,}"
        elif table.loaded:
            told = table.told()
            if told < len(table):
                title += f", {told:,} asked so far"
        if self.list.kept != "all":
            title += f" · {len(self.list.shown):,} {KEPT_SAID[self.list.kept]}"
        if self.list.text:
            title += f" · with “{printable(self.list.text)}”: {len(self.list.shown):,}"
        self.list_box.border_title = Content(title)
        if table.loaded and len(table) and not self.list.shown:
            self.list.note = [("no lease is like that", "text"), ("esc shows all", "dim")]
        elif not table.loaded and self.feed.error is not None:
            self.list.note = [("the leases cannot be listed, see above", "warn")]
        elif table.loaded:
            self.list.note = [("there is no lease", "text"), ("g grants one", "dim")]

    def _show_lease(self) -> None:
        row = self.list.current
        if row is None:
            self.keys_list.show((), "no lease chosen")
            self.facts.show([], "no lease chosen")
            return
        now = self.kv.clock()
        row = self.list.table.get(row.info.id) or row
        self.keys_list.show(
            row.info.keys, "no key is attached" if row.told else "asking for its keys…"
        )
        wide = row.info.id & (2**64 - 1)
        lines: Rich = [[("id      ", "dim"), (f"{wide:x}", "text")]]
        lines.append([("dec ", "dim"), (str(row.info.id), "text")])
        if row.told:
            lines.append([("granted ", "dim"), (words.span(row.info.granted_s), "text")])
            left = words.clock(row.remaining(now))
            lines.append([("left    ", "dim"), (left, "text")])
            seen = f"{row.renewals:,} seen" if row.renewals else "none seen"
            lines.append([("renewed ", "dim"), (seen, "text")])
            lines.append([("told    ", "dim"), (words.age(now - row.asked_at), "text")])
        owner = self.feed.owners.get(row.info.id, "…") if row.info.keys else "unknown, no key"
        lines.append([("owner   ", "dim"), ("not known then" if self.kv.at else owner, "text")])
        if row.held:
            lines.append([("HELD    ", "accent"), ("by this terminal", "accent")])
        if lines != self.facts.shown_lines:
            self.facts.show(lines)

    def _show_places(self) -> None:
        queue = self.queues.current
        name = queue.name if queue is not None else None
        if name != self._followed and not self.kv.at:
            self._followed = name
            if name is not None:
                self.aside(lambda: self.feed.follow_queue(name), "queue", exclusive=True)
        if queue is None or name is None:
            self.places.show([], self.kv.clock(), "choose a lock or an election")
            self.place_box.border_title = "Holder and queue"
            return
        note = "nobody holds it and nobody waits" if queue.told_at else "reading…"
        self.places.show(queue.places, self.kv.clock(), note)
        self.place_box.border_title = Content(f"{printable(name.prefix)} by create revision")

    def travelled(self, revision: int) -> None:
        """The leases that keys had then, or those that there are."""
        self._past = None
        self._look_at(LeaseTable() if revision else self.table, QueueBook())
        if not revision:
            self._look_at(self.table, self.feed.book)
            return
        self.aside(lambda: self._read_past(revision), "past", exclusive=True)

    async def _read_past(self, revision: int) -> None:
        table, book = await self.feed.past(revision)
        if self.kv.at == revision:
            self._look_at(table, book)

    def _look_at(self, table: LeaseTable, book: QueueBook) -> None:
        self.list.table = table
        self.queues.book, self.queues.leases, self.places.leases = book, table, table
        self._changed()

    # --- moving about -----------------------------------------------------------------------------

    def here(self, action: Action) -> bool:
        """Some actions belong to one of the views."""
        return not action.views or self.view in action.views.split()

    def offers(self, action: Action) -> bool:
        """The foot shows those of the view in front."""
        return action.shown and self.here(action)

    def reason(self, action: Action) -> str:
        """What holds for all tabs; an action of the other view says so."""
        why = super().reason(action)
        if not self.here(action) and why in ("", self.why_not(action.name)):
            return f"this belongs to the {action.views}; l changes between both"
        return why

    def back(self) -> bool:
        """Escape: the filter, then the other view."""
        if self.list.kept != "all" or self.list.text:
            self.list.kept, self.list.text = "all", b""
        elif self.view == "locks":
            self._front("leases")
        else:
            return False
        self._changed()
        return True

    def _front(self, view: str) -> None:
        self.view = view
        self.lease_view.display = view == "leases"
        self.lock_view.display = view == "locks"
        self._changed()
        self.first_focus().focus()

    def chosen_lease(self) -> int:
        """Of the list in front: the lease, or that of the chosen place, or of the holder."""
        if self.view == "leases":
            row = self.list.current
            return row.info.id if row is not None else 0
        place = self.places.current if self.places.has_focus else None
        queue = self.queues.current
        place = place or (queue.holder if queue is not None else None)
        return place.record.lease if place is not None else 0

    def show_lease(self, lease_id: int) -> None:
        """Stand on a lease, whatever is filtered."""
        self._front("leases")
        if not self.list.goto(lease_id):
            self.list.kept, self.list.text = "all", b""
            self.list.refresh_at(self.kv.clock())
            self.list.goto(lease_id)
        self._show_lease()

    def suggested_lock(self) -> str:
        """The name under the cursor, without its last slash."""
        queue = self.queues.current if self.view == "locks" else None
        return printable(queue.name.prefix).rstrip("/") if queue is not None else ""

    @on(LineList.Moved)
    def _moved(self) -> None:
        self._changed()

    @on(LineList.Chosen, "#leases")
    @on(LineList.Chosen, "#lease-keys")
    @on(LineList.Chosen, "#places")
    def _chosen(self) -> None:
        self.kv.do("lease_goto")

    @on(LineList.Chosen, "#queues")
    def _queue_chosen(self) -> None:
        self.places.focus()

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """Most need a lease."""
        if name in ("lease_renew", "lease_hold", "lease_revoke") and not self.chosen_lease():
            return NO_LEASE if self.view == "leases" else "nobody holds it"
        if name == "lease_goto":
            return self._why_no_key()
        return ""

    def _why_no_key(self) -> str:
        if self.view == "locks":
            return "" if self.chosen_lease() else "nobody holds it"
        row = self.list.current
        if row is None:
            return NO_LEASE
        return "" if row.info.keys else "no key is attached to this lease"

    def do_lease_goto(self) -> None:
        """Its key; the one chosen where it has several."""
        if self.view == "locks":
            queue = self.queues.current
            place = self.places.current or (queue.holder if queue is not None else None)
            if place is not None:
                self.kv.goto_key(place.record.key)
            return
        keys = self.keys_list.keys
        if len(keys) > 1 and not self.keys_list.has_focus:
            self.keys_list.focus()
        elif keys:
            self.kv.goto_key(self.keys_list.current or keys[0])

    def do_lease_locks(self) -> None:
        """The other view."""
        self._front("locks" if self.view == "leases" else "leases")

    def do_lease_sort(self) -> None:
        """By the next column."""
        names = list(SORTS)
        self.list.sort = names[(names.index(self.list.sort) + 1) % len(names)]
        self.kv.tell(f"sorted by {self.list.sort}")
        self._changed()

    def do_lease_reverse(self) -> None:
        """The other way round."""
        self.list.reverse = not self.list.reverse
        self._changed()

    def do_lease_filter(self) -> None:
        """The next kind."""
        self.list.kept = KEPT[(KEPT.index(self.list.kept) + 1) % len(KEPT)]
        self._changed()

    async def do_lease_find(self) -> None:
        """A text in keys or ids."""
        field = Field("text", "Leases with this text in a key, or in their id in hex")
        values = await self.app.push_screen_wait(Form("Find leases", [field], "Find"))
        if values is not None:
            self.list.text = values["text"].strip().encode()
            self._changed()

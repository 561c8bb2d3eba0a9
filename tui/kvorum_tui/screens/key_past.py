"""The Keys tab at another revision, and the keys that are gone: the whole tree as it was,
tombstones among the living.
"""

from __future__ import annotations

import asyncio

from kvorum_tui.feeds import Pulse
from kvorum_tui.key_feed import past_keys, read_into
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.marks import Marks
from kvorum_tui.model.records import KeyEvent, KeyPage
from kvorum_tui.screens.key_base import KeysView
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Gone

GONE_MAX = 50_000  # Tombstones that are shown; the first ones in key order.
KEPT_MAX = 200_000  # A past tree above this is let go when one comes back to now.


class KeyPast(KeysView):
    """The half of the Keys tab that looks back."""

    tombstones: bool
    past_error: SessionError | None
    past_loading: bool
    past_total: int
    gone_all: bool

    def start_feed(self) -> None:
        """Read and follow what is now."""
        self.run_worker(self.feed.run(), group="keys-feed", exclusive=True)

    # --- another revision -------------------------------------------------------------------------

    def travelled(self, revision: int) -> None:
        """Show the tree of a revision; 0 comes back to now and goes on where the watch stopped."""
        self.workers.cancel_group(self, f"{self.tab}-travel")
        self.workers.cancel_group(self, f"{self.tab}-measure")
        self.past_error = None
        self.leave_found()
        if not revision:
            if self.past_index is not None:
                self.index.flat = self.past_index.flat
            self.past_index = None
            self.key_tree.show_index(self.index)
            self.start_feed()
        else:
            self.workers.cancel_group(self, "keys-feed")
            self.feed.live = False
            if self.past_index is None:
                self.past_index = KeyIndex(self.index.separators)
                self.past_index.flat = self.index.flat
            self.aside(lambda: self._read_past(revision), "travel", exclusive=True)
        self.order_changed()
        self.retitle()
        if self.row is not None and not self.row.branch:
            key = self.row.path
            self.record = None
            self.aside(lambda: self.load_value(key), "value", exclusive=True)

    async def _read_past(self, revision: int) -> None:
        """What differs from the revision shown before comes and goes; the cursor stays."""
        index = self.past_index
        if index is None:
            return
        opened = self.index.open_branches() if not len(index) else []
        first = not len(index)
        if not first:
            self.key_tree.show_index(index)
        pulse = Pulse(lambda: self._past_told(index))
        self.past_loading = True
        try:
            for span in self.feed.spans:

                def told(page: KeyPage) -> None:
                    nonlocal first
                    self.past_total = page.total
                    for path in opened:
                        index.set_open(path, True)
                    if first:
                        first = False
                        self.key_tree.show_index(index)
                    pulse.mark()

                pages = past_keys(self.kv.session, span, revision)
                await read_into(index, pages, span, (), told)
        except SessionError as error:
            self.past_error = error
            index.clear()
            self.key_tree.show_index(index)
            raise
        finally:
            self.past_loading = False
            if self.past_index is index and self.is_attached:
                self._past_told(index)

    def _past_told(self, index: KeyIndex) -> None:
        if self.past_index is not index:
            return
        self.note_changed()
        self.key_tree.changed()
        self.show_row(self.key_tree.current)
        self.retitle()

    # --- tombstones -------------------------------------------------------------------------------

    def why_not_past(self, name: str) -> str:
        """What makes no sense at another revision."""
        if name == "key_tombstones" and self.kv.at:
            return "you look at the past already; come back to now first (T)"
        return ""

    def do_key_tombstones(self) -> None:
        """Show the keys that are gone, or hide them."""
        self.tombstones = not self.tombstones
        if self.tombstones:
            self.aside(self._read_gone, "tombstones", exclusive=True)
            return
        self.workers.cancel_group(self, f"{self.tab}-tombstones")
        for key in self.gone:
            self.index.delete(key)
        self.marks.remove(list(self.gone))
        self._set_gone({})
        self.busy("")
        self._gone_told()

    async def _read_gone(self) -> None:
        """As far as the past goes back."""
        self.busy("looking for deleted keys… esc stops")
        self.gone_all = False
        try:
            async for batch in self.kv.session.past.deleted(b""):
                fresh = {g.key: g for g in batch if g.key not in self.index}
                room = GONE_MAX - len(self.gone)
                kept = dict(list(fresh.items())[:room])
                self.gone |= kept
                self.gone_keys.add(kept)
                self.index.extend(kept)
                self._gone_told()
                if len(self.gone) >= GONE_MAX:
                    self.kv.tell(f"the first {GONE_MAX:,} deleted keys are shown", "warning")
                    break
                await asyncio.sleep(0)
            self.gone_all = True
            bounds = await self.kv.session.past.bounds()
            since = f"deleted since revision {bounds.oldest:,}" if bounds.oldest else "deleted"
            self.kv.tell(f"{len(self.gone):,} keys {since} are shown with ~")
        except SessionError:
            self.tombstones = bool(self.gone)
            raise
        finally:
            self.busy("")

    def _set_gone(self, gone: dict[bytes, Gone]) -> None:
        self.gone = gone
        self.gone_keys = Marks()
        self.gone_keys.add(gone)
        self.feed.keep = self.gone

    def _gone_told(self) -> None:
        self.feed.keep = self.gone
        self.key_tree.changed()
        self.retitle()

    def hear_gone(self, event: KeyEvent, was_there: bool) -> None:
        """A change of the live store."""
        if event.kind == "put":
            if self.gone.pop(event.key, None) is not None:
                self.gone_keys.remove([event.key])
            return
        if self.tombstones and was_there and len(self.gone) < GONE_MAX:
            self.gone[event.key] = Gone(event.key, event.revision, event.revision - 1)
            self.gone_keys.add([event.key])
            self.index.insert(event.key)
        elif event.key not in self.gone:
            self.marks.remove([event.key])

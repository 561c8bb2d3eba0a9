"""What keeps the Leases tab current: which leases there are, what each has left (asked in turn, at
a bounded rate), the queues of locks, who wrote a lease's keys, and the renewals of leases that this
terminal holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kvorum_tui.feeds import Pulse
from kvorum_tui.model.lease_queues import Name, QueueBook, found_in
from kvorum_tui.model.lease_table import LeaseTable
from kvorum_tui.model.records import KeyEvent, KeyRecord, LeaseInfo
from kvorum_tui.session import SessionError

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

ROUND_S = 0.5
ASKED_AT_ONCE = 50  # With ROUND_S: at most a hundred calls a second.
LIST_S = 2.0
LIST_MANY_S = 10.0
MANY = 2_000
QUEUES_AT_ONCE = 10
QUEUE_S = 4.0
PLACES_MAX = 500
OWNERS_AT_ONCE = 2
OWNERS_MAX = 20_000
HOLD_EVERY = 3.0  # A held lease is renewed when a third of its time is gone.
HOLD_LOOK_S = 0.5
PAST_KEYS_MAX = 100_000
UNKNOWN = "unknown"


class LeaseFeed:
    """Fills the models. ``visible`` says which leases are on the screen; ``tell`` that something
    changed.
    """

    def __init__(
        self,
        kv: Workspace,
        looked_at: Callable[[], bool],
        visible: Callable[[], Sequence[int]],
        tell: Callable[[], object],
    ) -> None:
        self.kv = kv
        self.table = LeaseTable()
        self.book = QueueBook()
        self.owners: dict[int, str] = {}
        self.error: SessionError | None = None
        self.past_said = ""
        self._looked_at, self._visible = looked_at, visible
        self.pulse = Pulse(tell)
        self._listed_at = -LIST_MANY_S
        self._renew_at: dict[int, float] = {}

    # --- now --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not self.kv.at and (self._looked_at() or not self.table.loaded):
                try:
                    await self.ask()
                except SessionError as error:
                    self.error = error
                    self.pulse.mark()
            await asyncio.sleep(ROUND_S)

    async def ask(self, at_once: bool = False) -> None:
        """One round: the list if it is time, some leases, some queues. ``at_once``: the list in
        any case.
        """
        held = self.table.held()
        now = self.kv.clock()
        every = LIST_S if len(self.table) <= MANY else LIST_MANY_S
        if at_once or now - self._listed_at >= every:
            ids = await self.kv.session.locks.lease_ids()
            self._listed_at = now = self.kv.clock()
            self.table.listed(ids, now)
        ids_due = self.table.to_ask(now, ASKED_AT_ONCE, self._visible())
        if ids_due:
            asked = self.kv.clock()
            told = await self.kv.session.locks.lease_times(ids_due)
            now = self.kv.clock()
            self.table.update(told, now, complete=False, took_s=now - asked)
        self.error = None
        for lease_id in held:
            if self.table.get(lease_id) is None:
                self._lost(lease_id)
        self._find_queues()
        for name in self.book.to_read(time.time(), QUEUES_AT_ONCE, QUEUE_S):
            await self.read_queue(name)
        self.pulse.mark()

    def _find_queues(self) -> None:
        rows = self.table.rows(self.kv.clock())
        self.book.names(found_in((row.info.id, row.info.keys) for row in rows if row.info.keys))

    async def read_queue(self, name: Name) -> None:
        """One lock or election, as it stands in the store."""
        records = await self.kv.session.locks.queue(name.prefix, PLACES_MAX)
        self.book.read(name, records, time.time())
        self.pulse.mark()

    async def follow_queue(self, name: Name) -> None:
        """One of them live, and since when each place is there; until cancelled."""
        dated: set[tuple[bytes, int]] = set()
        while True:
            try:
                async for _ in self.kv.session.watch(name.prefix, not name.single, previous=False):
                    await self.read_queue(name)
                    await self._date(name, dated)
            except SessionError as error:
                self.error = error
                self.pulse.mark()
            await asyncio.sleep(LIST_S)

    async def _date(self, name: Name, dated: set[tuple[bytes, int]]) -> None:
        """When places were taken, where the server tells; each is asked once."""
        queue = self.book.queues.get(name)
        for place in list(queue.places) if queue is not None else []:
            record = place.record
            if (record.key, record.create_revision) in dated:
                continue
            dated.add((record.key, record.create_revision))
            life = await self.kv.session.history(record.key, record.create_revision, 50)
            made = [e for e in life.events if e.at_ms] if life is not None else []
            if made and made[0].create_revision == record.create_revision:
                self.book.came(name, record.key, made[0].at_ms / 1000)
        self.pulse.mark()

    # --- owners -----------------------------------------------------------------------------------

    async def find_owners(self) -> None:
        """Who wrote the first key of each lease on the screen; until cancelled."""
        while True:
            if self._looked_at() and not self.kv.at:
                due = [id_ for id_ in self._visible() if id_ not in self.owners]
                for id_ in due[:OWNERS_AT_ONCE]:
                    row = self.table.get(id_)
                    if row is not None and row.info.keys:
                        self.owners[id_] = await self._owner(row.info)
                        self.pulse.mark()
                while len(self.owners) > OWNERS_MAX:
                    del self.owners[next(iter(self.owners))]
            await asyncio.sleep(ROUND_S)

    async def _owner(self, info: LeaseInfo) -> str:
        key = info.keys[0]
        try:
            record = await self.kv.session.get(key)
            if record is None:
                return UNKNOWN
            life = await self.kv.session.history(key, record.mod_revision, 1)
        except SessionError:
            return UNKNOWN  # A hint; what goes wrong here goes wrong elsewhere, and is said there.
        return self._writer(life.events[-1]) if life is not None and life.events else UNKNOWN

    def _writer(self, event: KeyEvent) -> str:
        via = f"via {self.kv.cluster.name_of(event.member)}" if event.member else ""
        return f"{event.user} {via}".strip() or UNKNOWN

    # --- held leases ------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Renew what this terminal holds, in good time; until cancelled."""
        while True:
            now = self.kv.clock()
            for lease_id in self.table.held():
                if now >= self._renew_at.get(lease_id, 0.0):
                    await self.renew_held(lease_id)
            await asyncio.sleep(HOLD_LOOK_S)

    def renew_soon(self, lease_id: int) -> None:
        """Renew a held lease at the next look."""
        self._renew_at.pop(lease_id, None)

    async def renew_held(self, lease_id: int) -> None:
        """Renew one; one that is gone is not held any longer, and that is said."""
        try:
            left = await self.kv.session.keep_alive(lease_id)
        except SessionError as error:
            if error.code == "NOT_FOUND":
                self.table.remove(lease_id)
                self._lost(lease_id)
                return
            self.kv.show_error(error)
            self._renew_at[lease_id] = self.kv.clock() + 1.0
            return
        self.table.renewed(lease_id, left, self.kv.clock())
        self._renew_at[lease_id] = self.kv.clock() + max(0.5, left / HOLD_EVERY)

    def _lost(self, lease_id: int) -> None:
        """A held lease is gone: somebody revoked it, or it could not be renewed in time."""
        self._renew_at.pop(lease_id, None)
        text = f"lease {lease_id:x}, which this terminal kept alive, is gone with its keys"
        self.kv.tell(text, "warning")
        self.pulse.mark()

    # --- the past ---------------------------------------------------------------------------------

    async def past(self, revision: int) -> tuple[LeaseTable, QueueBook]:
        """The leases that keys had at a revision, and the queues then. Told as it grows in
        ``past_said``.
        """
        table, book = LeaseTable(), QueueBook()
        keys: dict[int, list[bytes]] = {}
        records: list[KeyRecord] = []
        self.past_said = f"reading revision {revision:,}…"
        self.pulse.mark()
        async for page in self.kv.session.locks.leased(revision):
            records += page.records
            for record in page.records:
                keys.setdefault(record.lease, []).append(record.key)
            self.past_said = f"reading revision {revision:,}: {page.read:,} of {page.total:,} keys"
            self.pulse.mark()
            if len(records) >= PAST_KEYS_MAX:
                break
        now = self.kv.clock()
        table.listed(keys, now)
        table.attach({id_: tuple(sorted(held)) for id_, held in keys.items()})
        book.names(found_in(keys.items()))
        for name in book.queues:
            there = [r for r in records if r.key.startswith(name.prefix)]
            book.read(name, there, time.time())
        cut = f", only the first {PAST_KEYS_MAX:,} keys" if len(records) >= PAST_KEYS_MAX else ""
        self.past_said = (
            f"leases that keys had at revision {revision:,}{cut}; how much time was left then is "
            "not recorded, and a lease without keys left no trace"
        )
        self.pulse.mark()
        return table, book

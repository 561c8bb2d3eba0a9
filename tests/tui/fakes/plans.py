"""Plans on the cluster in memory: the real engine, over transactions that the fake carries out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from kvorum.client import LeaseNotFoundError
from kvorum.client.ops import Compare, Delete, Get, Op, Put, Txn
from kvorum.client.plan import Outcome, Step, as_they_are, carry_out, living
from kvorum.client.planning import Deed
from kvorum.client.txn import TxnBuilder
from kvorum.client.types import Header, KeyValue, RangeResult, TxnResult
from kvorum.errors import Code
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session import SessionError
from kvorum_tui.session.plans import Found

if TYPE_CHECKING:
    from tui.fake_session import FakeSession

CLUSTER = 77


def kv_of(record: KeyRecord) -> KeyValue:
    """A record as the client's value."""
    return KeyValue(
        record.key,
        record.value,
        record.create_revision,
        record.mod_revision,
        record.version,
        record.lease,
    )


class _Told:
    """What a lease tells."""

    def __init__(self, ttl_s: int) -> None:
        self.ttl_s = ttl_s


class FakeClient:
    """As much of a client as the engine asks."""

    def __init__(self, session: FakeSession, before: Callable[[], None]) -> None:
        self.session = session
        self.before = before
        self.leases = self

    async def time_to_live(self, lease: int) -> _Told:
        """Whether a lease is there."""
        info = self.session.lease_table.get(lease)
        return _Told(-1 if info is None else info.remaining_s)

    def txn(self) -> TxnBuilder:
        """The real builder."""
        return TxnBuilder(self.commit)

    async def commit(self, txn: Txn) -> TxnResult:
        """Compare, then do one branch, all in one revision."""
        fake = self.session
        await asyncio.sleep(0)
        if any(isinstance(op, Put | Delete) for op in txn.then):
            self.before()
            fake._may("txn", len(txn.then))
        else:
            fake._may(changes=False)
        good = all(self._holds(compare) for compare in txn.compares)
        answers = tuple(self._do(txn.then if good else txn.else_))
        return TxnResult(Header(CLUSTER, 1, fake.revision), good, answers)

    def _holds(self, compare: Compare) -> bool:
        record = self.session.store.get(compare.key)
        assert (compare.target, compare.relation) == ("mod", "=")
        return (record.mod_revision if record else 0) == compare.operand

    def _do(self, ops: Sequence[Op]) -> list[Any]:
        fake = self.session
        leases = [op.lease for op in ops if isinstance(op, Put) and op.lease]
        if any(lease not in fake.lease_table for lease in leases):
            raise LeaseNotFoundError("etcdserver: requested lease not found", code=Code.NOT_FOUND)
        begun = fake.revision
        answers: list[Any] = []
        for op in ops:
            if isinstance(op, Get):
                found = fake.store.get(bytes(op.key))  # type: ignore[arg-type]  # the engine's are
                kvs = (kv_of(found),) if found else ()
                answers.append(RangeResult(Header(), kvs, False, len(kvs)))
                continue
            fake.revision = begun
            if isinstance(op, Put):
                assert isinstance(op.key, bytes)
                assert isinstance(op.value, bytes)
                fake.write(op.key, op.value, op.lease)
            elif isinstance(op, Delete):
                assert isinstance(op.key, bytes)
                if op.key in fake.store:
                    fake.remove(op.key)
            answers.append(RangeResult(Header(), (), False, 0))
        return answers


class FakePlans:
    """``before_txn`` is called before the transaction with this number, counted from 1."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.before_txn: dict[int, Callable[[], None]] = {}
        self.hold: asyncio.Event | None = None
        self.txns = 0
        self.client: Any = FakeClient(session, self._before)

    def _before(self) -> None:
        self.txns += 1
        hook = self.before_txn.pop(self.txns, None)
        if hook is not None:
            hook()

    async def read(
        self,
        keys: Sequence[bytes] = (),
        prefixes: Sequence[bytes] = (),
        *,
        values: bool = True,
        limit: int = 0,
        told: Callable[[int], None] = lambda read: None,
    ) -> Found:
        fake = self.session
        fake._may(changes=False)
        records = tuple(
            kv_of(record) if values else kv_of(record)._replace(value=b"")
            for key, record in sorted(fake.store.items())
            if key in keys or any(key.startswith(prefix) for prefix in prefixes)
        )
        told(len(records))
        if limit and len(records) > limit:
            return Found((), fake.revision, CLUSTER, True)
        return Found(records, fake.revision, CLUSTER)

    async def cluster(self) -> int:
        return CLUSTER

    async def now(self, keys: Sequence[bytes]) -> dict[bytes, KeyValue]:
        return await as_they_are(self.client, keys)

    async def living(self, leases: Collection[int]) -> frozenset[int]:
        return await living(self.client, sorted(leases))

    async def carry_out(
        self,
        steps: Sequence[Step],
        told: Callable[[int], None],
        wrote: Callable[[Sequence[Step], int], None],
        stopped: Callable[[], bool],
    ) -> Outcome:
        async def all_steps() -> AsyncGenerator[Step, None]:
            for step in steps:
                yield step
                if self.hold is not None and self.txns:
                    await self.hold.wait()

        return await carry_out(self.client, all_steps(), told, wrote=wrote, stopped=stopped)

    async def deeds(self, revision: int, prefix: bytes = b"") -> tuple[Deed, ...]:
        if revision < self.session.compacted:
            raise SessionError("compacted", "n1", "Watch", "OUT_OF_RANGE")
        return tuple(d for d in self._all() if d.revision == revision and d.key.startswith(prefix))

    async def recent(self, key: bytes, prefix: bool, limit: int) -> tuple[Deed, ...]:
        self.session._may(changes=False)
        return tuple(
            deed
            for deed in reversed(self._all())
            if (deed.key.startswith(key) if prefix else deed.key == key)
        )[:limit]

    def _all(self) -> list[Deed]:
        deeds: list[Deed] = []
        state: dict[bytes, KeyValue] = {}
        for event in self.session.events:
            before = state.pop(event.key, None)
            after = None
            if event.kind == "put":
                after = state[event.key] = KeyValue(
                    event.key,
                    event.value,
                    event.create_revision,
                    event.revision,
                    event.version,
                    event.lease,
                )
            lost = before is not None and event.revision == self.session.compacted
            if event.revision >= self.session.compacted:
                deeds.append(Deed(event.revision, event.key, None if lost else before, after, lost))
        return deeds

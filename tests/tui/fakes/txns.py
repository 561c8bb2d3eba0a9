"""Transactions on the cluster in memory, after etcd's rules, without nesting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kvorum.client.ops import Delete, Get, Put, Txn
from kvorum.client.types import (
    DeleteResult,
    Header,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
    key_range,
    to_bytes,
)
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.model.txn_light import judge
from kvorum_tui.session.txns import Looked, Spot

if TYPE_CHECKING:
    from tui.fake_session import FakeSession


class FakeTxns:
    """``sent``: what was committed."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.sent: list[Txn] = []

    def _in(self, key: bytes, end: bytes) -> list[KeyRecord]:
        found = sorted(self.session.store.items())
        if not end:
            return [record for name, record in found if name == key]
        return [r for name, r in found if name >= key and (end == b"\0" or name < end)]

    async def look(
        self, ranges: Sequence[tuple[bytes, bytes]], limit: int, revision: int = 0
    ) -> Looked:
        self.session._may(changes=False)
        all_of = [self._in(key, end) for key, end in ranges]
        spots = tuple(Spot(tuple(found[:limit]), len(found)) for found in all_of)
        return Looked(revision or self.session.revision, spots)

    async def commit(self, txn: Txn) -> TxnResult:
        self.session._may("txn", txn)
        self.sent.append(txn)
        ranges = [(c.key, c.range_end) for c in txn.compares]
        looked = await self.look(ranges, 1000)
        held = all(v.holds for v in judge(txn.compares, looked))
        responses = tuple([self._do(op) for op in (txn.then if held else txn.else_)])
        return TxnResult(Header(revision=self.session.revision), held, responses)

    def _do(self, op: object) -> RangeResult | PutResult | DeleteResult:
        header = Header(revision=self.session.revision)
        if isinstance(op, Put):
            old = self.session.store.get(to_bytes(op.key))
            self.session.write(to_bytes(op.key), to_bytes(op.value), op.lease)
            return PutResult(header, _kv(old) if old is not None and op.prev_kv else None)
        assert isinstance(op, (Get, Delete)), "no nesting here"
        key, end = key_range(op.key, op.range_end, prefix=op.prefix, from_key=op.from_key)
        found = self._in(key, end)
        if isinstance(op, Delete):
            if found:
                self.session.remove(*(record.key for record in found))
            return DeleteResult(header, len(found), tuple(map(_kv, found)) if op.prev_kv else ())
        return RangeResult(header, tuple(map(_kv, found)), False, len(found))


def _kv(record: KeyRecord) -> KeyValue:
    kept = replace(record)
    return KeyValue(
        kept.key, kept.value, kept.create_revision, kept.mod_revision, kept.version, kept.lease
    )

"""A second, naive machine: the whole state of every revision, kept for ever as a dict.

It shares no code with the machine under test but the commands' types, and none of its ideas: old
reads look the old dict up, transactions run on a copy that is thrown away when something is
refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kvorum.machine.operations import (
    Compact,
    Compare,
    DeleteRange,
    LeaseExpire,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Range,
    Txn,
)


class Row(NamedTuple):
    """A version of a key."""

    key: bytes
    value: bytes
    create: int
    mod: int
    version: int
    lease: int


State = dict[bytes, Row]


class Refusal(Exception):
    """The name of a condition."""


def inside(key: bytes, end: bytes, candidate: bytes) -> bool:
    if end == b"":
        return candidate == key
    return candidate >= key and (end == b"\0" or candidate < end)


class Model:
    """`states[r]` is the state at revision r; `log` all changes: (revision, sub, row, deleted)."""

    def __init__(self) -> None:
        self.states: list[State] = [{}, {}]
        self.log: list[tuple[int, int, Row, bool]] = []
        self.leases: set[int] = set()
        self.compacted = -1

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def apply(self, command: Any, term: int) -> Any:
        """The result in the form that `plain` gives the machine's."""
        try:
            return self._apply(command, term)
        except Refusal as refusal:
            return ("refused", str(refusal))

    def read(self, query: Any) -> Any:
        """A range or a read-only transaction."""
        try:
            run = _Run(self)
            if isinstance(query, Range):
                self._check_plain(query)
                return run.range(query)
            return self._txn(query)
        except Refusal as refusal:
            return ("refused", str(refusal))

    def _check_plain(self, query: Range) -> None:
        if query.revision > self.revision:
            raise Refusal("FUTURE_REVISION")
        if 0 < query.revision < self.compacted:
            raise Refusal("COMPACTED")

    def _apply(self, command: Any, term: int) -> Any:
        match command:
            case Put():
                if command.lease and command.lease not in self.leases:
                    raise Refusal("LEASE_NOT_FOUND")
                if (command.ignore_value or command.ignore_lease) and (
                    command.key not in self.states[-1]
                ):
                    raise Refusal("KEY_NOT_FOUND")
                return self._alone("put", command)
            case DeleteRange():
                return self._alone("delete", command)
            case Txn():
                return self._txn(command)
            case Compact():
                if command.revision <= self.compacted:
                    raise Refusal("COMPACTED")
                if command.revision > self.revision:
                    raise Refusal("FUTURE_REVISION")
                self.compacted = command.revision
                return ("compacted", command.revision)
            case LeaseGrant():
                if command.id == 0:
                    raise Refusal("LEASE_NOT_FOUND")
                if command.id in self.leases:
                    raise Refusal("LEASE_EXIST")
                self.leases.add(command.id)
                return ("granted", command.id)
            case LeaseRevoke():
                if command.id not in self.leases:
                    raise Refusal("LEASE_NOT_FOUND")
                return ("revoked", self._revoke(command.id))
            case LeaseExpire():
                if command.proposer_term != term:
                    return ("expired", 0)
                total = 0
                for lease in command.ids:
                    if lease in self.leases:
                        total += self._revoke(lease)
                return ("expired", total)
        raise AssertionError(command)

    def _alone(self, method: str, command: Any) -> Any:
        run = _Run(self)
        result = getattr(run, method)(command)
        run.commit()
        return result

    def _revoke(self, lease: int) -> int:
        run = _Run(self)
        doomed = sorted(row.key for row in run.state.values() if row.lease == lease)
        for key in doomed:
            run.drop(key)
        run.commit()
        self.leases.remove(lease)
        return len(doomed)

    def _txn(self, txn: Txn) -> Any:
        chosen = self._choose(txn)
        for op in self._leaves(chosen):
            if isinstance(op, Put):
                flagged = op.ignore_value or op.ignore_lease
                if flagged and op.key not in self.states[-1]:
                    raise Refusal("KEY_NOT_FOUND")
                if op.lease and op.lease not in self.leases:
                    raise Refusal("LEASE_NOT_FOUND")
        for op in self._leaves(chosen):
            if isinstance(op, Range) and op.revision != 0:
                if op.revision > self.revision:
                    raise Refusal("FUTURE_REVISION")
                if op.revision < self.compacted:
                    raise Refusal("COMPACTED")
        run = _Run(self)
        result = run.txn(chosen, nested=False)
        run.commit()
        return result

    def _choose(self, txn: Txn) -> Any:
        """(succeeded, operations), nested transactions replaced by such pairs."""
        good = True
        for compare in txn.compare:
            good = good and self._compare(compare)
        branch = txn.success if good else txn.failure
        return (good, [self._choose(op) if isinstance(op, Txn) else op for op in branch])

    def _leaves(self, chosen: Any) -> list[Any]:
        found = []
        for op in chosen[1]:
            found += self._leaves(op) if type(op) is tuple else [op]
        return found

    def _compare(self, compare: Compare) -> bool:
        rows = [
            row
            for key, row in self.states[-1].items()
            if inside(compare.key, compare.range_end, key)
        ]
        if not rows:
            if compare.target == 3:
                return False
            rows = [Row(b"", b"", 0, 0, 0, 0)]
        for row in rows:
            stored: Any = (row.version, row.create, row.mod, row.value, row.lease)[compare.target]
            given: Any = compare.operand
            verdicts = {
                0: stored == given,
                1: stored > given,
                2: stored < given,
                3: stored != given,
            }
            if not verdicts.get(compare.result, True):
                return False
        return True


class _Run:
    """Changes on a copy of the newest state."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state: State = dict(model.states[-1])
        self.changes: list[tuple[Row, bool]] = []

    @property
    def header(self) -> int:
        return self.model.revision + (1 if self.changes else 0)

    def commit(self) -> None:
        if self.changes:
            self.model.states.append(self.state)
            revision = self.model.revision
            for sub, (row, deleted) in enumerate(self.changes):
                self.model.log.append((revision, sub, row, deleted))

    def drop(self, key: bytes) -> Row:
        row = self.state.pop(key)
        self.changes.append((Row(key, b"", 0, self.model.revision + 1, 0, 0), True))
        return row

    def put(self, op: Put) -> Any:
        revision = self.model.revision + 1
        old = self.state.get(op.key)
        value = old.value if old and op.ignore_value else op.value
        lease = old.lease if old and op.ignore_lease else op.lease
        create, version = (old.create, old.version + 1) if old else (revision, 1)
        row = Row(op.key, value, create, revision, version, lease)
        self.state[op.key] = row
        self.changes.append((row, False))
        return ("put", self.header, tuple(old) if old and op.prev_kv else None)

    def delete(self, op: DeleteRange) -> Any:
        doomed = sorted(key for key in self.state if inside(op.key, op.range_end, key))
        gone = [tuple(self.drop(key)) for key in doomed]
        return ("deleted", self.header, len(gone), gone if op.prev_kv else [])

    def range(self, query: Range) -> Any:
        state = self.state if query.revision <= 0 else self.model.states[query.revision]
        rows = [state[key] for key in sorted(state) if inside(query.key, query.range_end, key)]
        count = len(rows)
        if query.count_only:
            return ("range", self.header, count, False, [])
        kept = [
            row
            for row in rows
            if (not query.min_mod_revision or row.mod >= query.min_mod_revision)
            and (not query.max_mod_revision or row.mod <= query.max_mod_revision)
            and (not query.min_create_revision or row.create >= query.min_create_revision)
            and (not query.max_create_revision or row.create <= query.max_create_revision)
        ]
        filtered = (
            query.min_mod_revision
            or query.max_mod_revision
            or query.min_create_revision
            or query.max_create_revision
        )
        if query.sort_order == 0 and query.limit > 0 and not filtered:
            kept = kept[: query.limit + 1]
        if query.sort_order or query.sort_target:
            picks = (
                lambda row: row.key,
                lambda row: row.version,
                lambda row: row.create,
                lambda row: row.mod,
                lambda row: row.value,
            )
            kept.sort(key=picks[query.sort_target], reverse=query.sort_order == 2)
        more = query.limit > 0 and len(kept) > query.limit
        if more:
            kept = kept[: query.limit]
        shown = [tuple(row._replace(value=b"") if query.keys_only else row) for row in kept]
        return ("range", self.header, count, more, shown)

    def txn(self, chosen: Any, nested: bool) -> Any:
        results = []
        for op in chosen[1]:
            if isinstance(op, Put):
                results.append(self.put(op))
            elif isinstance(op, DeleteRange):
                results.append(self.delete(op))
            elif isinstance(op, Range):
                results.append(self.range(op))
            else:
                results.append(self.txn(op, nested=True))
        return ("txn", 0 if nested else self.header, chosen[0], results)

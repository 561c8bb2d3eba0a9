"""After a run: the clients' memories against the order of the log, by a small model of its own.

The model knows nothing of the machine: a dictionary, a revision, the rules of put, delete and one
kind of transaction. etcd's answers carry the revision, so the order is revealed and need not be
searched for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kvorum.machine import commands
from kvorum.machine.results import DeleteResult, PutResult, RangeResult, TxnResult
from kvorum.raft.types import Entry, EntryKind
from kvorum.sim.workload import Follower, Operation
from kvorum.sim.world import World

_PUT, _DELETE = 0, 1


@dataclass
class Told:
    """What the log says of a request: the revision it made (or saw), and what became of it."""

    revision: int
    succeeded: bool
    changed: bool


@dataclass
class Model:
    """The naive store."""

    revision: int = 1
    keys: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    leases: dict[int, dict[bytes, None]] = field(default_factory=dict)
    leased: dict[bytes, int] = field(default_factory=dict)
    told: dict[int, Told] = field(default_factory=dict)
    versions: dict[bytes, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    events: list[tuple[int, tuple[tuple[int, bytes], ...]]] = field(default_factory=list)

    def play(self, term: int, envelope: commands.Envelope) -> None:
        """One committed command."""
        command = envelope.command
        changes: list[tuple[int, bytes]] = []
        succeeded = True
        if isinstance(command, commands.Put):
            if not command.lease or command.lease in self.leases:
                changes = self._put(command)
        elif isinstance(command, commands.DeleteRange):
            changes = self._delete([command.key])
        elif isinstance(command, commands.Txn):
            compare = command.compare[0]
            succeeded = self.keys.get(compare.key, (b"", 0))[1] == compare.operand
            if succeeded:
                operation = command.success[0]
                assert isinstance(operation, commands.Put)
                changes = self._put(operation)
        elif isinstance(command, commands.LeaseGrant):
            self.leases.setdefault(command.id, {})
        elif isinstance(command, commands.LeaseExpire) and command.proposer_term == term:
            for lease in command.ids:
                gone = sorted(self.leases.pop(lease, {}))
                changes += self._delete(gone)
        if changes:
            self.revision += 1
            for kind, key in changes:
                value, _ = self.keys.get(key, (b"", 0))
                if kind == _PUT:
                    self.keys[key] = (value, self.revision)
                self.versions.setdefault(key, []).append(
                    (self.revision, value if kind == _PUT else None)
                )
            self.events.append((self.revision, tuple(changes)))
        if envelope.request_id:
            self.told[envelope.request_id] = Told(self.revision, succeeded, bool(changes))

    def _put(self, put: commands.Put) -> list[tuple[int, bytes]]:
        self._detach(put.key)
        if put.lease:
            self.leases[put.lease][put.key] = None
            self.leased[put.key] = put.lease
        self.keys[put.key] = (put.value, 0)
        return [(_PUT, put.key)]

    def _delete(self, keys: Sequence[bytes]) -> list[tuple[int, bytes]]:
        gone = [key for key in keys if key in self.keys]
        for key in gone:
            self._detach(key)
            del self.keys[key]
        return [(_DELETE, key) for key in gone]

    def _detach(self, key: bytes) -> None:
        lease = self.leased.pop(key, 0)
        if lease in self.leases:
            self.leases[lease].pop(key, None)

    def value_at(self, key: bytes, revision: int) -> tuple[bytes, int] | None:
        """A key's value and mod revision as of a revision."""
        found: tuple[bytes, int] | None = None
        for at, value in self.versions.get(key, ()):
            if at > revision:
                break
            found = None if value is None else (value, at)
        return found


def replay(world: World, committed: Mapping[int, Entry]) -> Model:
    """The model after all committed entries, which must have no hole."""
    model = Model()
    for index in range(1, max(committed, default=0) + 1):
        entry = committed.get(index)
        if entry is None:
            world.fail(f"nobody remembers committed entry {index}")
            break
        if entry.kind == EntryKind.NORMAL and entry.data:
            model.play(entry.term, commands.decode(entry.data))
    return model


def verify(
    world: World,
    committed: Mapping[int, Entry],
    operations: Sequence[Operation],
    watchers: Sequence[Follower],
) -> Model:
    """Raise SafetyViolation unless every answer that was given fits the order of the log."""
    model = replay(world, committed)
    for operation in operations:
        if operation.kind in ("put", "delete", "txn"):
            _check_write(world, model, operation)
        elif operation.kind == "read" and isinstance(operation.value, RangeResult):
            _check_read(world, model, operation, operation.value)
    _check_real_time(world, model, operations)
    for watcher in watchers:
        _check_watch(world, model, watcher)
    return model


def _check_write(world: World, model: Model, operation: Operation) -> None:
    told = model.told.get(operation.request_id)
    value = operation.value
    if operation.definite_failure:
        if told is not None and told.changed:
            world.fail(f"a write that was refused took effect: {operation}")
        return
    if operation.returned_us < 0:
        return
    if told is None:
        world.fail(f"an acknowledged write is lost: {operation}")
        return
    if told.revision != operation.revision:
        world.fail(
            f"a write made revision {told.revision}, was told {operation.revision}: {operation}"
        )
    if isinstance(value, TxnResult) and value.succeeded != told.succeeded:
        world.fail(f"a transaction was told the wrong branch: {operation}")
    if isinstance(value, DeleteResult) and bool(value.deleted) != told.changed:
        world.fail(f"a deletion was told the wrong count: {operation}")
    if isinstance(value, PutResult) and not told.changed:
        world.fail(f"a put that was acknowledged changed nothing: {operation}")


def _check_read(world: World, model: Model, operation: Operation, result: RangeResult) -> None:
    seen = [(record.value, record.mod_revision) for record in result.records]
    true = model.value_at(operation.command.key, result.revision)
    if seen != ([] if true is None else [true]):
        world.fail(f"a read at {result.revision} saw {seen}, not {true}: {operation}")


def _check_real_time(world: World, model: Model, operations: Sequence[Operation]) -> None:
    """What was asked after another answer had come must not be of an older revision."""
    moments: list[tuple[int, int, Operation]] = []
    for operation in operations:
        if operation.kind in ("put", "delete", "txn", "read") and operation.revision:
            moments.append((operation.invoked_us, 0, operation))
            moments.append((operation.returned_us, 1, operation))
    moments.sort(key=lambda moment: (moment[0], moment[1], moment[2].request_id))
    newest = 0
    floors: dict[int, int] = {}
    for _, returns, operation in moments:
        if not returns:
            floors[operation.request_id] = newest
            continue
        told = model.told.get(operation.request_id)
        must_exceed = told is not None and told.changed
        floor = floors[operation.request_id]
        if operation.revision < floor or (must_exceed and operation.revision == floor):
            world.fail(f"revision {floor} was known before this was asked: {operation}")
        newest = max(newest, operation.revision)


def _check_watch(world: World, model: Model, watcher: Follower) -> None:
    """Each change once, in order, whole; only a compaction may leave a gap, and it says so."""
    gaps = watcher.gaps
    expected = [
        (revision, changes)
        for revision, changes in model.events
        if revision < watcher.next_revision
        and not any(start <= revision < end for start, end in gaps)
    ]
    if watcher.revisions != expected:
        for seen, true in zip(watcher.revisions, expected, strict=False):
            if seen != true:
                world.fail(f"a watcher saw {seen}, not {true}")
        world.fail(f"a watcher saw {len(watcher.revisions)} revisions, not {len(expected)}")

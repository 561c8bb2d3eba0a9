"""The machine: what a committed entry does.

``apply`` is a function of the state and the entry and of nothing else (raft checklist A1): no
clock, no settings, no chance, no order of a set. Refusals are results like any other: the same on
every member, and part of the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from kvorum.errors import Condition
from kvorum.machine import alarms, compaction, digest, txn
from kvorum.machine import operations as ops
from kvorum.machine.alarms import AlarmTable
from kvorum.machine.auth import COMMANDS as AUTH_COMMANDS
from kvorum.machine.auth import Auth, Caller
from kvorum.machine.auth_ops import AuthChange, Authenticate
from kvorum.machine.change import Change, read_range
from kvorum.machine.digest import HashResult, HistoricalHash
from kvorum.machine.events import Event
from kvorum.machine.image import ImageError, MachineImage, encode_image, read_image
from kvorum.machine.keyspace import Keyspace
from kvorum.machine.leases import Lease, LeaseTable
from kvorum.machine.members import Member, MemberTable
from kvorum.machine.operations import Envelope, Range, Txn
from kvorum.machine.results import (
    AlarmResult,
    Applied,
    CompactResult,
    HistoricalRange,
    LeaseCheckpointResult,
    LeaseExpireResult,
    LeaseGrantResult,
    LeaseRevokeResult,
    MembersResult,
    NoopResult,
    RangeResult,
    Refused,
    Result,
    TxnResult,
    VersionResult,
)
from kvorum.machine.window import Window

__all__ = [
    "Applied",
    "ApplyError",
    "ImageError",
    "Machine",
    "MachineImage",
    "MachineStatistics",
    "decode_image",
    "encode_image",
]

_Outcome = tuple[Result | Refused, tuple[Event, ...]]


class ApplyError(RuntimeError):
    """An entry out of order: applying it would make this member different from all others."""


@dataclass(frozen=True, slots=True)
class MachineStatistics:
    """Figures about the state, for the terminal and /metrics."""

    revision: int
    compact_revision: int
    applied_index: int
    applied_term: int
    digest: int
    keys: int
    live_bytes: int
    leases: int
    leased_keys: int
    members: int
    alarms: int
    window_floor: int
    window_events: int
    window_bytes: int
    auth_enabled: bool
    auth_revision: int


class Machine:
    """The replicated state and the one function that changes it.

    ``keyspace``, ``leases``, ``members``, ``alarms``, ``auth`` and ``window`` may be read by
    anybody and are written here only. ``digest`` (uint64) is equal on all members at an equal
    ``applied_index``.
    """

    def __init__(self, cluster_id: int = 0, members: tuple[Member, ...] = ()) -> None:
        """An empty store at revision 1. ``members`` are those of a bootstrap, the same on every one
        of them.
        """
        self.cluster_id = cluster_id
        self.cluster_version = ""
        self.revision = 1
        self.compact_revision = compaction.NEVER
        self.applied_index = 0
        self.applied_term = 0
        self.digest = digest.CHAIN_START
        self.keyspace = Keyspace()
        self.leases = LeaseTable()
        self.members = MemberTable(members)
        self.alarms = AlarmTable()
        self.auth = Auth()
        self.window = Window(self.revision)

    # --- entries ----------------------------------------------------------------------------------

    def apply(self, index: int, term: int, envelope: Envelope) -> Applied:
        """Apply the entry at ``index``; every entry comes here, empty ones as a Noop.

        Raises :class:`ApplyError` unless ``index`` follows the applied one and ``term`` is not
        below its term.
        """
        if index != self.applied_index + 1 or term < self.applied_term:
            last = f"entry {self.applied_index} of term {self.applied_term}"
            raise ApplyError(f"entry {index} of term {term} after {last}")
        command = envelope.command
        condition = self._barred(command) if len(self.alarms) else None
        if condition is None and self.auth.enabled:
            caller = Caller(envelope.user, envelope.auth_revision)
            condition = self.auth.check_command(caller, command, self.leases)
        events: tuple[Event, ...]
        if condition is None:
            result, events = _APPLIERS[type(command)](self, command, term)
            if isinstance(result, Refused):
                condition = result.condition
        else:
            result, events = Refused(condition), ()
        self.applied_index = index
        self.applied_term = term
        self.digest = digest.extend(self.digest, index, term, command, condition, events)
        if type(command) in AUTH_COMMANDS:
            name, auth = type(command).__name__, self.auth
            self.digest = digest.extend_auth(self.digest, name, auth.enabled, auth.revision)
        return Applied(result, events, self.revision)

    def _barred(self, command: ops.Command) -> Condition | None:
        """What a raised alarm says against a command."""
        if self.alarms.raised(ops.ALARM_CORRUPT) and alarms.needs_sound_state(command):
            return Condition.CORRUPT
        if self.alarms.raised(ops.ALARM_NOSPACE) and alarms.needs_space(command):
            return Condition.NO_SPACE
        return None

    def _open(self) -> Change:
        return Change(self.keyspace, self.leases, self.window, self.revision)

    def _seal(self, change: Change) -> tuple[Event, ...]:
        """Make a change's events the next revision, if there are any."""
        if not change.events:
            return ()
        events = tuple(change.events)
        self.revision += 1
        self.window.append(events)
        return events

    def _put(self, command: ops.Put, term: int) -> _Outcome:
        refused = txn.put_refusal(command, self.keyspace, self.leases)
        if refused is not None:
            return Refused(refused), ()
        change = self._open()
        result = change.put(command)
        return result, self._seal(change)

    def _delete(self, command: ops.DeleteRange, term: int) -> _Outcome:
        change = self._open()
        result = change.delete(command)
        return result, self._seal(change)

    def _txn(self, command: Txn, term: int) -> _Outcome:
        path = txn.decide(self.keyspace, command)
        refused = txn.refusal(
            path, self.keyspace, self.leases, self.revision, self.compact_revision
        )
        if refused is not None:
            return Refused(refused), ()
        change = self._open()
        result = txn.run(change, path)
        return result, self._seal(change)

    def _compact(self, command: ops.Compact, term: int) -> _Outcome:
        refused = compaction.check(command.revision, self.compact_revision, self.revision)
        if refused is not None:
            return Refused(refused), ()
        self.compact_revision = command.revision
        self.window.drop_below(command.revision)
        return CompactResult(self.revision, command.revision, command.physical), ()

    # --- leases -----------------------------------------------------------------------------------

    def _grant(self, command: ops.LeaseGrant, term: int) -> _Outcome:
        refused = self.leases.grant(command)
        if refused is not None:
            return Refused(refused), ()
        return LeaseGrantResult(command.id, command.ttl_s), ()

    def _revoke(self, command: ops.LeaseRevoke, term: int) -> _Outcome:
        lease = self.leases.get(command.id)
        if lease is None:
            return Refused(Condition.LEASE_NOT_FOUND), ()
        events = self._end(lease)
        return LeaseRevokeResult(lease.id, len(events)), events

    def _expire(self, command: ops.LeaseExpire, term: int) -> _Outcome:
        if command.proposer_term != term:
            return LeaseExpireResult((), 0), ()
        revoked: list[int] = []
        events: list[Event] = []
        for lease_id in command.ids:
            lease = self.leases.get(lease_id)
            if lease is not None:
                events += self._end(lease)
                revoked.append(lease_id)
        return LeaseExpireResult(tuple(revoked), len(events)), tuple(events)

    def _end(self, lease: Lease) -> tuple[Event, ...]:
        """Delete a lease's keys in one revision, in key order, and the lease."""
        change = self._open()
        change.delete_keys(lease.sorted_keys())
        self.leases.remove(lease.id)
        return self._seal(change)

    def _checkpoint(self, command: ops.LeaseCheckpoint, term: int) -> _Outcome:
        updated = [self.leases.checkpoint(lease, left_s) for lease, left_s in command.items]
        return LeaseCheckpointResult(sum(updated)), ()

    # --- cluster ----------------------------------------------------------------------------------

    def _change_members(self, command: ops.MemberChange, term: int) -> _Outcome:
        return self._members_outcome(self.members.apply(command), command.id)

    def _publish(self, command: ops.MemberPublish, term: int) -> _Outcome:
        return self._members_outcome(self.members.publish(command), command.id)

    def _members_outcome(self, refused: Condition | None, member: int) -> _Outcome:
        if refused is not None:
            return Refused(refused), ()
        return MembersResult(self.members.get(member), self.members.all()), ()

    def _alarm(self, command: ops.AlarmSet, term: int) -> _Outcome:
        return AlarmResult(self.alarms.apply(command)), ()

    def _version(self, command: ops.ClusterVersionSet, term: int) -> _Outcome:
        self.cluster_version = command.version
        return VersionResult(command.version), ()

    def _change_auth(self, command: AuthChange, term: int) -> _Outcome:
        return self.auth.apply(command), ()

    def _authenticate(self, command: Authenticate, term: int) -> _Outcome:
        return self.auth.authenticate(command, self.applied_index + 1), ()

    def _noop(self, command: ops.Noop, term: int) -> _Outcome:
        return NoopResult(), ()

    # --- reading ----------------------------------------------------------------------------------

    def read(self, query: Range | Txn) -> RangeResult | HistoricalRange | TxnResult | Refused:
        """Answer a range or a read-only transaction on the present state.

        A HistoricalRange, alone or among a transaction's responses, is for the history to answer
        (``keyspace.select``, ``txn.fill_historical``). Raises ValueError for a transaction that
        could write.
        """
        if isinstance(query, Range):
            refused = compaction.check_read(query.revision, self.compact_revision, self.revision)
            if refused is not None:
                return Refused(refused)
            return read_range(self.keyspace, self.window, query, self.revision)
        if not txn.is_read_only(query):
            raise ValueError("a transaction that may write was given to read()")
        path = txn.decide(self.keyspace, query)
        refused = txn.refusal(
            path, self.keyspace, self.leases, self.revision, self.compact_revision
        )
        return Refused(refused) if refused is not None else txn.run(self._open(), path)

    def hash_kv(self, revision: int = 0) -> HashResult | HistoricalHash | Refused:
        """HashKV at a revision, <= 0 for the newest: the checksum of the live records there (see
        ``digest``).
        """
        refused = compaction.check_read(revision, self.compact_revision, self.revision)
        if refused is not None:
            return Refused(refused)
        if revision <= 0:
            revision = self.revision
        if revision < self.window.floor:
            return HistoricalHash(revision, self.compact_revision)
        later = self.window.since(revision)
        checksum = digest.checksum_before(self.keyspace.checksum, later)
        return HashResult(checksum, revision, self.compact_revision)

    def statistics(self) -> MachineStatistics:
        """Figures of this instant."""
        return MachineStatistics(
            revision=self.revision,
            compact_revision=self.compact_revision,
            applied_index=self.applied_index,
            applied_term=self.applied_term,
            digest=self.digest,
            keys=len(self.keyspace),
            live_bytes=self.keyspace.live_bytes,
            leases=len(self.leases),
            leased_keys=self.leases.attached,
            members=len(self.members),
            alarms=len(self.alarms),
            window_floor=self.window.floor,
            window_events=self.window.event_count,
            window_bytes=self.window.size_bytes,
            auth_enabled=self.auth.enabled,
            auth_revision=self.auth.revision,
        )

    # --- images -----------------------------------------------------------------------------------

    def image(self) -> MachineImage:
        """An atomic cut: references only, no bytes are copied or encoded."""
        return MachineImage(
            applied_index=self.applied_index,
            applied_term=self.applied_term,
            revision=self.revision,
            compact_revision=self.compact_revision,
            digest=self.digest,
            cluster_id=self.cluster_id,
            cluster_version=self.cluster_version,
            members=self.members.all(),
            removed=self.members.removed_ids(),
            alarms=self.alarms.all(),
            leases=tuple([(lease.id, lease.ttl_s, lease.remaining_s) for lease in self.leases]),
            keys=self.keyspace.order[:],
            frames=self.keyspace.frames.copy(),
            auth=self.auth.accounts.state(),
        )

    @classmethod
    def from_image(cls, image: MachineImage) -> Machine:
        """A machine in the state of an image. Its window is empty: older revisions are the
        history's.
        """
        machine = cls(image.cluster_id)
        machine.cluster_version = image.cluster_version
        machine.revision = image.revision
        machine.compact_revision = image.compact_revision
        machine.applied_index = image.applied_index
        machine.applied_term = image.applied_term
        machine.digest = image.digest
        machine.keyspace = Keyspace(image.frames)
        machine.members = MemberTable(image.members, image.removed)
        machine.alarms = AlarmTable(image.alarms)
        machine.auth = Auth(image.auth)
        machine.window = Window(image.revision)
        machine.leases.restore(image.leases, image.frames)
        return machine


def decode_image(chunks: Iterable[bytes]) -> Machine:
    """The machine that an encoded image describes. Raises :class:`ImageError` naming what is wrong
    with it.
    """
    return Machine.from_image(read_image(chunks))


_APPLIERS: dict[type, Callable[[Machine, Any, int], _Outcome]] = {
    ops.Put: Machine._put,
    ops.DeleteRange: Machine._delete,
    ops.Txn: Machine._txn,
    ops.Compact: Machine._compact,
    ops.LeaseGrant: Machine._grant,
    ops.LeaseRevoke: Machine._revoke,
    ops.LeaseExpire: Machine._expire,
    ops.LeaseCheckpoint: Machine._checkpoint,
    ops.MemberAdd: Machine._change_members,
    ops.MemberRemove: Machine._change_members,
    ops.MemberUpdate: Machine._change_members,
    ops.MemberPromote: Machine._change_members,
    ops.MemberPublish: Machine._publish,
    ops.AlarmSet: Machine._alarm,
    ops.ClusterVersionSet: Machine._version,
    ops.Noop: Machine._noop,
    Authenticate: Machine._authenticate,
    **dict.fromkeys(get_args(AuthChange), Machine._change_auth),
}

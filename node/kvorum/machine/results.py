"""What the machine answers. Results hold frames (see ``record``): a server joins them, others read
``records``.

A result's ``revision`` is the one for its own response header, which inside a transaction is not
the outer one (contract page "semantics", section 0.1). The outer header takes ``Applied.revision``.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.errors import Condition
from kvorum.machine.alarms import Alarm
from kvorum.machine.events import Event
from kvorum.machine.members import Member
from kvorum.machine.operations import Range
from kvorum.machine.record import Record, parse


class Refused(NamedTuple):
    """Nothing happened, for the reason named. On every member alike."""

    condition: Condition
    detail: str = ""


class RangeResult(NamedTuple):
    """Keys of a range: ``frames`` in result order, ``count`` of all keys in the range, ``more``
    behind the limit.
    """

    frames: list[bytes]
    count: int  # type: ignore[assignment]  # etcd's name; tuple.count is not missed here
    more: bool
    revision: int

    @property
    def records(self) -> list[Record]:
        """The frames, decoded (1.5 us each: where speed counts, join the frames)."""
        return [parse(frame) for frame in self.frames]


class HistoricalRange(NamedTuple):
    """The range must be read from the history at ``revision``, which is neither compacted nor in
    the window.

    The reader passes what it finds to ``keyspace.select`` with ``header_revision``.
    """

    query: Range
    revision: int
    header_revision: int


class PutResult(NamedTuple):
    """A put; ``prev_frame`` only when asked for and there was one."""

    revision: int
    prev_frame: bytes | None = None

    @property
    def prev(self) -> Record | None:
        """The previous record, decoded."""
        return None if self.prev_frame is None else parse(self.prev_frame)


class DeleteResult(NamedTuple):
    """A deletion; ``prev_frames`` in key order, only when asked for."""

    revision: int
    deleted: int
    prev_frames: list[bytes]

    @property
    def prev_kvs(self) -> list[Record]:
        """The deleted records, decoded."""
        return [parse(frame) for frame in self.prev_frames]


class TxnResult(NamedTuple):
    """A transaction; ``responses`` match the chosen branch. A nested one has ``revision`` 0, as its
    header has.
    """

    revision: int
    succeeded: bool
    responses: tuple[Response, ...]


Response = RangeResult | PutResult | DeleteResult | TxnResult | HistoricalRange


class CompactResult(NamedTuple):
    """A compaction was agreed; reads below ``compact_revision`` are refused from now on."""

    revision: int
    compact_revision: int
    physical: bool


class LeaseGrantResult(NamedTuple):
    """A lease exists."""

    id: int
    ttl_s: int


class LeaseRevokeResult(NamedTuple):
    """A lease is gone, with ``deleted`` keys."""

    id: int
    deleted: int


class LeaseExpireResult(NamedTuple):
    """Leases that ended: those that still existed; none when the proposer's term was over."""

    revoked: tuple[int, ...]
    deleted: int


class LeaseCheckpointResult(NamedTuple):
    """How many of the named leases still existed and took their remaining time."""

    updated: int


class MembersResult(NamedTuple):
    """The member table after a change, sorted by id; ``member`` is the one that changed, None if it
    was removed.
    """

    member: Member | None
    members: tuple[Member, ...]


class AlarmResult(NamedTuple):
    """Alarms that were read, raised or lowered."""

    alarms: tuple[Alarm, ...]


class VersionResult(NamedTuple):
    """The cluster version is set."""

    version: str


class AuthResult(NamedTuple):
    """Users, roles or auth itself were changed, or were so already: how things stand now."""

    enabled: bool
    auth_revision: int


class AuthenticateResult(NamedTuple):
    """A user was given a token. ``auth_revision`` is the one under which it was."""

    user: str
    token: str
    auth_revision: int

    def __repr__(self) -> str:
        secret = f"<{len(self.token)} characters>"
        return f"AuthenticateResult({self.user!r}, {secret}, auth_revision={self.auth_revision})"


class NoopResult(NamedTuple):
    """Nothing was to be done."""


Result = (
    RangeResult
    | PutResult
    | DeleteResult
    | TxnResult
    | CompactResult
    | LeaseGrantResult
    | LeaseRevokeResult
    | LeaseExpireResult
    | LeaseCheckpointResult
    | MembersResult
    | AlarmResult
    | VersionResult
    | AuthResult
    | AuthenticateResult
    | NoopResult
)


class Applied(NamedTuple):
    """An entry was applied: its result, its events in order, and the store's revision afterwards.

    The events are of one revision, except those of a LeaseExpire: there each lease's keys die in a
    revision of their own.
    """

    result: Result | Refused
    events: tuple[Event, ...]
    revision: int

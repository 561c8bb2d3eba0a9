"""What a member may ask the cluster to agree on, as immutable values.

Field names and meanings follow etcd's requests (contract page "wire", section 3). Enumerations are
plain integers with etcd's numbers, because an unknown number must travel and be refused, not crash
a decoder.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.machine.auth_ops import AuthChange, Authenticate

# RangeRequest.SortOrder and SortTarget.
SORT_NONE, SORT_ASCEND, SORT_DESCEND = 0, 1, 2
TARGET_KEY, TARGET_VERSION, TARGET_CREATE, TARGET_MOD, TARGET_VALUE = 0, 1, 2, 3, 4
# Compare.CompareResult and CompareTarget.
EQUAL, GREATER, LESS, NOT_EQUAL = 0, 1, 2, 3
COMPARE_VERSION, COMPARE_CREATE, COMPARE_MOD, COMPARE_VALUE, COMPARE_LEASE = 0, 1, 2, 3, 4
# AlarmRequest.AlarmAction and AlarmType.
ALARM_GET, ALARM_ACTIVATE, ALARM_DEACTIVATE = 0, 1, 2
ALARM_NONE, ALARM_NOSPACE, ALARM_CORRUPT = 0, 1, 2
ALARM_NAMES = {ALARM_NOSPACE: "NOSPACE", ALARM_CORRUPT: "CORRUPT"}


class CommandError(ValueError):
    """Bytes that are no command of ours, or a command that has no bytes; the text says where it
    goes wrong.
    """


class Put(NamedTuple):
    """Write one key. ``lease`` 0 detaches the key from the lease it had."""

    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class DeleteRange(NamedTuple):
    """Delete ``key``, or the range up to ``range_end`` (contract page "semantics", section 0.2)."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class Range(NamedTuple):
    """Read keys. ``revision`` <= 0 is the newest; ``limit`` <= 0 is no limit; a bound of 0 is no
    bound.
    """

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: int = SORT_NONE
    sort_target: int = TARGET_KEY
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


class Compare(NamedTuple):
    """One condition of a transaction: stored ``target`` against ``operand`` must give ``result``.

    ``operand`` is bytes for a VALUE target and an int for every other one.
    """

    key: bytes
    target: int
    result: int
    operand: int | bytes
    range_end: bytes = b""


class Txn(NamedTuple):
    """If every compare holds then ``success`` else ``failure``, in one revision.

    An operation of None is a request with no member set: it can be refused (``validate``) but not
    encoded.
    """

    compare: tuple[Compare, ...] = ()
    success: tuple[Put | DeleteRange | Range | Txn | None, ...] = ()
    failure: tuple[Put | DeleteRange | Range | Txn | None, ...] = ()


Operation = Put | DeleteRange | Range | Txn


class Compact(NamedTuple):
    """Forget what only revisions below ``revision`` can see. ``physical`` is for the waiting
    caller, not the state.
    """

    revision: int
    physical: bool = False


class LeaseGrant(NamedTuple):
    """Create a lease. The proposer has chosen ``id`` and raised ``ttl_s`` to its minimum: apply
    knows no settings.
    """

    id: int
    ttl_s: int


class LeaseRevoke(NamedTuple):
    """End a lease on a caller's wish: its keys die in one revision."""

    id: int


class LeaseExpire(NamedTuple):
    """End leases whose time is over. Ignored when the entry's term is not ``proposer_term``:
    another leader counts now.
    """

    ids: tuple[int, ...]
    proposer_term: int


class LeaseCheckpoint(NamedTuple):
    """Remaining seconds of long leases, (id, remaining_s) each, so that a new leader need not
    refill them whole.
    """

    items: tuple[tuple[int, int], ...]


class MemberPublish(NamedTuple):
    """A member tells its name and where clients reach it."""

    id: int
    name: str
    client_urls: tuple[str, ...]


class MemberAdd(NamedTuple):
    """Add a voter or a learner. ``max_learners`` is the proposer's setting, carried so that apply
    is alike everywhere.
    """

    id: int
    peer_urls: tuple[str, ...]
    is_learner: bool = False
    max_learners: int = 1


class MemberRemove(NamedTuple):
    """Remove a member for ever: its id cannot come back."""

    id: int


class MemberUpdate(NamedTuple):
    """Give a member other peer URLs; a learner stays one."""

    id: int
    peer_urls: tuple[str, ...]


class MemberPromote(NamedTuple):
    """Make a learner a voter."""

    id: int


class AlarmSet(NamedTuple):
    """Read (GET), raise or lower an alarm. GET travels the log too, as in etcd."""

    action: int
    member_id: int
    alarm: int


class ClusterVersionSet(NamedTuple):
    """The version all members agreed to speak."""

    version: str


class Noop(NamedTuple):
    """Nothing: a leader's first entry, or a configuration change that was refused."""


MemberChange = MemberAdd | MemberRemove | MemberUpdate | MemberPromote
Command = (
    Put
    | DeleteRange
    | Txn
    | Compact
    | LeaseGrant
    | LeaseRevoke
    | LeaseExpire
    | LeaseCheckpoint
    | MemberPublish
    | MemberAdd
    | MemberRemove
    | MemberUpdate
    | MemberPromote
    | AlarmSet
    | ClusterVersionSet
    | Noop
    | AuthChange
    | Authenticate
)


class Envelope(NamedTuple):
    """A command with what the log entry knows about its proposer.

    ``request_id`` (uint64) wakes the waiting caller on ``origin`` (member id); 0 means nobody
    waits. ``at_ms`` is the proposer's wall clock in Unix milliseconds and is only for the history:
    apply never looks at it. ``user`` and ``auth_revision`` are what the caller was when it was let
    in.
    """

    request_id: int
    at_ms: int
    origin: int
    user: str
    auth_revision: int
    command: Command

"""What a recorder writes down of a run: requests, answers, watches, leases, locks, faults.

All values are immutable and know nothing of how they are stored (that is :mod:`kvorum.check.lines`)
or judged. Times are nanoseconds on one clock of the recorder's machine; only their order and
differences matter. Zero, empty and False mean "not said", as in protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

PUT, DELETE = "PUT", "DELETE"
NEVER = -1  # The return time of what never returned.


class Kv(NamedTuple):
    """A key with its value and the four numbers that etcd keeps beside it."""

    key: bytes
    value: bytes = b""
    create: int = 0
    mod: int = 0
    version: int = 0
    lease: int = 0


class Event(NamedTuple):
    """A change of one key; ``kv`` of a deletion has only key and mod revision."""

    kind: str
    kv: Kv
    prev: Kv | None = None


# --- requests and their answers -------------------------------------------------------------------


class Range(NamedTuple):
    """A read; ``revision`` 0 is now. Sorting and filters are not recorded: do not use them."""

    key: bytes
    end: bytes = b""
    revision: int = 0
    limit: int = 0
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False


class Put(NamedTuple):
    """A write of one key."""

    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class Delete(NamedTuple):
    """A deletion of a key or a range."""

    key: bytes
    end: bytes = b""
    prev_kv: bool = False


class Compare(NamedTuple):
    """A condition: ``target`` is VERSION, CREATE, MOD, VALUE or LEASE; ``relation`` is EQUAL,
    GREATER, LESS or NOT_EQUAL; ``number`` or ``value`` is what is compared with."""

    target: str
    relation: str
    key: bytes
    end: bytes = b""
    number: int = 0
    value: bytes = b""


class Txn(NamedTuple):
    """A transaction of ranges, puts, deletes and transactions."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Request, ...] = ()
    failure: tuple[Request, ...] = ()


class Compact(NamedTuple):
    """A compaction."""

    revision: int


class Grant(NamedTuple):
    """A lease is asked for; ``lease`` 0 lets the cluster choose."""

    ttl_s: int
    lease: int = 0


class Revoke(NamedTuple):
    """A lease is given back, with its keys."""

    lease: int


class Renew(NamedTuple):
    """A lease is kept alive."""

    lease: int


class TimeLeft(NamedTuple):
    """A lease's remaining time is asked for."""

    lease: int


class Other(NamedTuple):
    """Anything that is not judged, kept for the timeline: a transfer, a membership change."""

    name: str


Request = Range | Put | Delete | Txn | Compact | Grant | Revoke | Renew | TimeLeft | Other


class RangeAnswer(NamedTuple):
    """What a read saw. ``total`` is etcd's ``count``."""

    kvs: tuple[Kv, ...] = ()
    total: int = 0
    more: bool = False


class PutAnswer(NamedTuple):
    """A put was done."""

    prev: Kv | None = None


class DeleteAnswer(NamedTuple):
    """A deletion was done."""

    deleted: int = 0
    prevs: tuple[Kv, ...] = ()


class TxnAnswer(NamedTuple):
    """The branch that was taken, and its answers in order."""

    succeeded: bool = False
    answers: tuple[Answer, ...] = ()


class LeaseAnswer(NamedTuple):
    """A grant's, renewal's or question's answer; a lease that is gone has ``ttl_s`` 0 when it is
    renewed and -1 when it is asked for."""

    ttl_s: int = 0
    granted_s: int = 0
    lease: int = 0


class Done(NamedTuple):
    """Done, and nothing more to say: compactions, revocations, others."""


Answer = RangeAnswer | PutAnswer | DeleteAnswer | TxnAnswer | LeaseAnswer | Done


class Operation(NamedTuple):
    """One request as its client saw it.

    ``answer`` None means that it was refused (``error`` says why, in the words of
    :class:`kvorum.errors.Condition`'s names) or, with ``unknown``, that nobody can say: then
    ``returned`` is :data:`NEVER` or the moment at which the client gave up. ``revision`` and
    ``term`` are the answer's header, ``member`` whoever was asked.
    """

    id: int
    client: int
    called: int
    request: Request
    returned: int = NEVER
    answer: Answer | None = None
    revision: int = 0
    term: int = 0
    member: str = ""
    error: str = ""
    unknown: bool = False

    @property
    def acknowledged(self) -> bool:
        """It was done, and its client knows."""
        return self.answer is not None

    @property
    def refused(self) -> bool:
        """It was certainly not done."""
        return self.answer is None and not self.unknown


# --- watches --------------------------------------------------------------------------------------


class Watch(NamedTuple):
    """A watcher was asked for. ``start`` 0: from the revision after the one it is created at."""

    id: int
    client: int
    called: int
    key: bytes
    end: bytes = b""
    start: int = 0
    member: str = ""
    prev_kv: bool = False
    no_put: bool = False
    no_delete: bool = False


class Seen(NamedTuple):
    """One message to a watcher; ``revision`` is its header's. ``progress``: a mark, without events.
    ``fragment``: the rest of the message follows in the next one."""

    watch: int
    at: int
    revision: int = 0
    events: tuple[Event, ...] = ()
    created: bool = False
    canceled: bool = False
    progress: bool = False
    fragment: bool = False
    compact_revision: int = 0


# --- leases, locks, faults, and what the members say at the end -----------------------------------


class Expiry(NamedTuple):
    """Somebody saw that a lease had ended by itself: at the latest then."""

    lease: int
    at: int
    member: str = ""


class Hold(NamedTuple):
    """A lock was held: asked for, granted ``since``, and believed in ``until`` (NEVER: to the
    end). ``revision`` is the fence: the create revision of the holder's key."""

    lock: bytes
    client: int
    asked: int
    since: int
    until: int
    revision: int
    lease: int = 0


class Fault(NamedTuple):
    """Something was broken on purpose, from ``at`` until ``until`` (NEVER: to the end)."""

    kind: str
    at: int
    until: int = NEVER
    target: str = ""
    detail: str = ""


class State(NamedTuple):
    """All keys before the first operation; without it the store begins empty, at revision 1."""

    revision: int
    kvs: tuple[Kv, ...] = ()


class Dump(NamedTuple):
    """A member's applied order was read, after the last operation was over: :class:`Applied`
    follows for all of ``first`` to ``last``."""

    member: str
    first: int
    last: int


class Applied(NamedTuple):
    """One revision of a member's applied order, whole."""

    member: str
    revision: int
    events: tuple[Event, ...]


class Digest(NamedTuple):
    """A member's hash of everything at a revision, comparable where both numbers agree."""

    member: str
    revision: int
    value: int
    compact_revision: int = 0


class Quiet(NamedTuple):
    """By then every watcher that was still open had had the time to be told everything up to
    ``revision``."""

    at: int
    revision: int


class Run(NamedTuple):
    """The first line: what was recorded, and what may be concluded from it.

    ``closed``: nobody but the recorded clients wrote, so that every revision has an author among
    them. ``clock_rate_percent``: the fastest clock of a member, against the recorder's, which ends
    leases so much sooner. ``expiry_slack_ms``: how long after its time a lease may live on in a
    healthy cluster; 0 does not ask.
    """

    name: str = ""
    stage: str = ""
    seed: int = 0
    closed: bool = True
    clock_rate_percent: int = 100
    expiry_slack_ms: int = 0
    members: tuple[str, ...] = ()


Line = (
    Run | State | Operation | Watch | Seen | Expiry | Hold | Fault | Dump | Applied | Digest | Quiet
)


@dataclass
class History:
    """All lines of a run, by kind, each kind in the order in which it was written."""

    run: Run = field(default_factory=Run)
    state: State = field(default_factory=lambda: State(1))
    operations: list[Operation] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    expiries: list[Expiry] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    dumps: list[Dump] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    quiet: Quiet | None = None

    def add(self, line: Line) -> None:
        """Sort one line in."""
        if isinstance(line, Run):
            self.run = line
        elif isinstance(line, State):
            self.state = line
        elif isinstance(line, Quiet):
            self.quiet = line
        else:
            getattr(self, _PLACES[type(line)]).append(line)

    def lines(self) -> list[Line]:
        """All lines again, in an order that a reader takes."""
        quiet = [] if self.quiet is None else [self.quiet]
        return [
            self.run,
            self.state,
            *self.operations,
            *self.watches,
            *self.seen,
            *self.expiries,
            *self.holds,
            *self.faults,
            *self.dumps,
            *self.applied,
            *self.digests,
            *quiet,
        ]


_PLACES: dict[type, str] = {
    Operation: "operations",
    Watch: "watches",
    Seen: "seen",
    Expiry: "expiries",
    Hold: "holds",
    Fault: "faults",
    Dump: "dumps",
    Applied: "applied",
    Digest: "digests",
}

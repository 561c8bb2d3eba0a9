"""What the session tells the terminal, in plain values: the only shapes that screens and view
models know.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ROLE_LETTERS = {
    "leader": "L",
    "follower": "F",
    "candidate": "C",
    "pre-candidate": "P",
    "learner": "N",
}


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key at one revision."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0
    one_member: bool = False  # read without a quorum: what one member has, which may be old


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A page of keys in order, read at one pinned revision."""

    keys: tuple[bytes, ...]
    revision: int
    more: bool
    total: int


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One change of one key."""

    kind: str  # "put" or "delete"
    key: bytes
    value: bytes
    revision: int
    create_revision: int = 0
    version: int = 0
    lease: int = 0
    prev_value: bytes | None = None
    at_ms: int = 0  # since 1970; 0 and empty where the server does not tell when and by whom
    member: int = 0
    user: str = ""
    prev_revision: int = 0  # of the record it replaced, where it is known


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """What one watch response brought. ``gap_to`` is the compact revision when history before it is
    gone. ``rewound``: it is no compaction, a recording was wound to that revision.
    """

    revision: int
    events: tuple[KeyEvent, ...] = ()
    gap_to: int = 0
    rewound: bool = False


@dataclass(frozen=True, slots=True)
class KeyLife:
    """The kept changes of one key, oldest first, as one member has them. ``compacted``: before this
    revision only what a compaction leaves is kept (0: everything is).
    """

    events: tuple[KeyEvent, ...] = ()
    compacted: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """The fate of a compare-and-swap: done at ``revision``, or ``current`` says what stands there
    now.
    """

    done: bool
    revision: int
    current: KeyRecord | None = None


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """One lease. ``remaining_s`` is as told at the moment of asking; -1 when the lease is gone."""

    id: int
    granted_s: int
    remaining_s: int
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberIdentity:
    """A row of the cluster's member table."""

    id: int
    name: str
    client_urls: tuple[str, ...] = ()
    peer_urls: tuple[str, ...] = ()
    learner: bool = False


@dataclass(frozen=True, slots=True)
class LogEntryView:
    """One raft log entry in words."""

    index: int
    term: int
    summary: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class PeerView:
    """One peer as a member sees it; ``match`` and ``next`` are known to the leader only."""

    id: int
    match: int = 0
    next: int = 0
    state: str = ""
    connected: bool = False
    round_trip_ms: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    dropped: int = 0  # messages
    inflight: int = 0  # messages sent and not answered, as the leader counts them


@dataclass(frozen=True, slots=True)
class FaultView:
    """A fault that a member inflicts on itself. ``peer`` 0 means every peer."""

    id: int
    what: str
    remaining_ms: int
    peer: int = 0
    direction: str = ""  # "both", "inbound", "outbound"; empty when it is no link fault


@dataclass(frozen=True, slots=True)
class MemberReport:
    """What one member says of itself. ``None`` means: this kind of server does not tell."""

    endpoint: str
    source: str  # "kvorum" or "etcd"
    member_id: int
    cluster_id: int = 0
    name: str = ""
    version: str = ""
    role: str = "follower"
    leader: int = 0
    term: int = 0
    commit: int = 0
    applied: int = 0
    first_index: int | None = None
    last_index: int | None = None
    revision: int = 0
    compact_revision: int | None = None
    keys: int | None = None
    leases: int | None = None
    watchers: int | None = None
    db_bytes: int = 0
    latency_ms: float | None = None
    fsync_p99_ms: float | None = None
    alarms: tuple[str, ...] = ()
    log: tuple[LogEntryView, ...] | None = None
    peers: tuple[PeerView, ...] | None = None
    faults: tuple[FaultView, ...] | None = None
    faults_enabled: bool | None = None
    extra: dict[str, int] = field(default_factory=dict)
    db_in_use_bytes: int | None = None
    db_quota_bytes: int | None = None
    errors: tuple[str, ...] = ()  # what the member complains of beside alarms
    # What goes into charts, by the names of model.cluster_series; in ms where it is a time.
    figures: dict[str, float] = field(default_factory=dict)

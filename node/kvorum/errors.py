"""One table: what can go wrong, the gRPC status it has on the wire, and etcd's own words for it.

The words are part of the contract: clients compare them letter by letter (contract page "errors").
A condition is raised inside the node as :class:`KvorumError`, or travels as a value where raising
is not wanted (the machine's refusals).
"""

from __future__ import annotations

from enum import Enum, IntEnum


class Code(IntEnum):
    """gRPC status codes, by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Condition(Enum):
    """A refusal or failure: (gRPC code, message as etcd sends it)."""

    # Keys, transactions, watches.
    KEY_NOT_PROVIDED = (3, "etcdserver: key is not provided")
    KEY_NOT_FOUND = (3, "etcdserver: key not found")
    VALUE_PROVIDED = (3, "etcdserver: value is provided")
    LEASE_PROVIDED = (3, "etcdserver: lease is provided")
    TOO_MANY_OPS = (3, "etcdserver: too many operations in txn request")
    DUPLICATE_KEY = (3, "etcdserver: duplicate key given in txn request")
    INVALID_SORT_OPTION = (3, "etcdserver: invalid sort option")
    COMPACTED = (11, "etcdserver: mvcc: required revision has been compacted")
    FUTURE_REVISION = (11, "etcdserver: mvcc: required revision is a future revision")
    NO_SPACE = (8, "etcdserver: mvcc: database space exceeded")
    REQUEST_TOO_LARGE = (3, "etcdserver: request is too large")
    TOO_MANY_REQUESTS = (8, "etcdserver: too many requests")
    CORRUPT = (15, "etcdserver: corrupt cluster")
    WATCH_CANCELED = (1, "etcdserver: watch canceled")

    # Leases.
    LEASE_NOT_FOUND = (5, "etcdserver: requested lease not found")
    LEASE_EXIST = (9, "etcdserver: lease already exists")
    LEASE_TTL_TOO_LARGE = (11, "etcdserver: too large lease TTL")

    # Members.
    MEMBER_BAD_URLS = (3, "etcdserver: given member URLs are invalid")
    MEMBER_EXIST = (9, "etcdserver: member ID already exist")
    PEER_URL_EXIST = (9, "etcdserver: Peer URLs already exists")
    MEMBER_NOT_FOUND = (5, "etcdserver: member not found")
    MEMBER_NOT_LEARNER = (9, "etcdserver: can only promote a learner member")
    LEARNER_NOT_READY = (
        9,
        "etcdserver: can only promote a learner member which is in sync with leader",
    )
    TOO_MANY_LEARNERS = (9, "etcdserver: too many learner members in cluster")
    NOT_ENOUGH_STARTED = (
        9,
        "etcdserver: re-configuration failed due to not enough started members",
    )
    UNHEALTHY = (14, "etcdserver: unhealthy cluster")
    NOT_SUPPORTED_FOR_LEARNER = (14, "etcdserver: rpc not supported for learner")
    CLUSTER_ID_MISMATCH = (9, "etcdserver: cluster ID mismatch")

    # Maintenance.
    NOT_LEADER = (9, "etcdserver: not leader")
    BAD_LEADER_TRANSFEREE = (9, "etcdserver: bad leader transferee")
    TRANSFER_TIMEOUT = (2, "etcdserver: request timed out, leader transfer took too long")
    WRONG_DOWNGRADE_VERSION = (3, "etcdserver: wrong downgrade target version format")
    INVALID_DOWNGRADE_TARGET = (3, "etcdserver: invalid downgrade target version")
    DOWNGRADE_IN_PROCESS = (9, "etcdserver: cluster has a downgrade job in progress")
    NO_INFLIGHT_DOWNGRADE = (9, "etcdserver: no inflight downgrade job")
    NO_CLUSTER_VERSION = (14, "etcdserver: cluster version not found during downgrade")

    # Users and roles.
    ROOT_USER_NOT_EXIST = (9, "etcdserver: root user does not exist")
    ROOT_ROLE_NOT_EXIST = (9, "etcdserver: root user does not have root role")
    USER_EXIST = (9, "etcdserver: user name already exists")
    USER_EMPTY = (3, "etcdserver: user name is empty")
    USER_NOT_FOUND = (9, "etcdserver: user name not found")
    ROLE_EXIST = (9, "etcdserver: role name already exists")
    ROLE_NOT_FOUND = (9, "etcdserver: role name not found")
    ROLE_EMPTY = (3, "etcdserver: role name is empty")
    AUTH_FAILED = (3, "etcdserver: authentication failed, invalid user ID or password")
    AUTH_NO_PASSWORD_USER = (
        2,
        "auth: authentication failed, password was given for no password user",
    )
    AUTH_NOT_ENABLED = (9, "etcdserver: authentication is not enabled")
    PERMISSION_NOT_GIVEN = (3, "etcdserver: permission not given")
    PERMISSION_DENIED = (7, "etcdserver: permission denied")
    ROLE_NOT_GRANTED = (9, "etcdserver: role is not granted to the user")
    PERMISSION_NOT_GRANTED = (9, "etcdserver: permission is not granted to the role")
    INVALID_AUTH_TOKEN = (16, "etcdserver: invalid auth token")
    INVALID_AUTH_MANAGEMENT = (3, "etcdserver: invalid auth management")
    AUTH_OLD_REVISION = (3, "etcdserver: revision of auth store is old")

    # The node's own state.
    NO_LEADER = (14, "etcdserver: no leader")
    LEADER_CHANGED = (14, "etcdserver: leader changed")
    STOPPED = (14, "etcdserver: server stopped")
    UNKNOWN_METHOD = (2, "etcdserver: unknown method")
    NOT_CAPABLE = (14, "etcdserver: not capable")
    INVALID_CLIENT_API_VERSION = (3, "etcdserver: invalid client api version")
    TIMEOUT = (14, "etcdserver: request timed out")
    TIMEOUT_LEADER_FAIL = (
        14,
        "etcdserver: request timed out, possibly due to previous leader failure",
    )
    TIMEOUT_CONN_LOST = (14, "etcdserver: request timed out, possibly due to connection lost")
    TIMEOUT_APPLY = (
        14,
        "etcdserver: request timed out, waiting for the applied index took too long",
    )
    DEADLINE_EXCEEDED = (4, "context deadline exceeded")
    CANCELED = (1, "context canceled")
    UNKNOWN_HEALTH_SERVICE = (5, "unknown service")

    @property
    def code(self) -> Code:
        """The gRPC status code."""
        return Code(self.value[0])

    @property
    def message(self) -> str:
        """etcd's words, byte for byte."""
        return self.value[1]


# Conditions after which a write may still take effect: its fate is unknown.
UNKNOWN_OUTCOME = frozenset(
    {
        Condition.TIMEOUT,
        Condition.TIMEOUT_LEADER_FAIL,
        Condition.TIMEOUT_CONN_LOST,
        Condition.DEADLINE_EXCEEDED,
        Condition.STOPPED,
    }
)

BY_MESSAGE: dict[str, Condition] = {c.message: c for c in Condition}


class KvorumError(Exception):
    """A condition of the table, with a detail for logs (never sent when it would change etcd's
    words)."""

    def __init__(self, condition: Condition, detail: str = "") -> None:
        super().__init__(condition.message if not detail else f"{condition.message} ({detail})")
        self.condition = condition
        self.detail = detail


class ConfigError(ValueError):
    """A flag, variable or file that is wrong; the text names it and says what to do."""

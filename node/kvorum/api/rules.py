"""Who may call which method while auth is on (contract page "semantics", section 10, the latest
rule), and how a read is judged.

The table is the one place for methods whose rule is about the caller alone; a method that nobody
put in it is root's. Those that it leaves to their handlers are judged by the keys they touch: when
an entry is applied (writes), or by :func:`read_as` and its like. Where the caller of a write is of
no name or right, nothing is refused before the entry is applied: this member's table of users may
be older than the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kvorum.errors import Condition, KvorumError
from kvorum.machine.auth import Auth, Caller
from kvorum.machine.operations import ALARM_GET, Range, Txn
from kvorum.replica.requests import Done

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

# Who asks, established when it is asked for: a token may have ended since the call began. Raises
# KvorumError for one that means nobody.
Who = Callable[[], Caller]
Rule = Callable[[Auth, Caller, Any], Condition | None]


def anybody(auth: Auth, caller: Caller, request: Any) -> Condition | None:
    """No token is looked at, not even a wrong one."""
    return None


def handlers(auth: Auth, caller: Caller, request: Any) -> Condition | None:
    """The handler judges, or the entry's application; it also establishes who calls."""
    return None


def user(auth: Auth, caller: Caller, request: Any) -> Condition | None:
    """Any user there is."""
    return auth.check_user(caller)


def root(auth: Auth, caller: Caller, request: Any) -> Condition | None:
    """Users with the role root."""
    return auth.check_root(caller)


def root_unless_asking(auth: Auth, caller: Caller, request: Any) -> Condition | None:
    """Any user may ask for alarms; raising and lowering them is root's."""
    asks = int(request.action) == ALARM_GET
    return auth.check_user(caller) if asks else auth.check_root(caller)


def _of(service: str, rule: Rule, *names: str) -> dict[str, Rule]:
    return {f"/{service}/{name}": rule for name in names}


RULES: Final[Mapping[str, Rule]] = {
    **_of("etcdserverpb.KV", handlers, "Range", "Put", "DeleteRange", "Txn"),
    **_of("etcdserverpb.KV", root, "Compact"),
    **_of("etcdserverpb.Watch", handlers, "Watch"),
    **_of("etcdserverpb.Lease", handlers, "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive"),
    **_of("etcdserverpb.Lease", handlers, "LeaseTimeToLive", "LeaseLeases"),
    **_of("etcdserverpb.Cluster", user, "MemberList"),
    **_of("etcdserverpb.Cluster", root, "MemberAdd", "MemberRemove", "MemberUpdate"),
    **_of("etcdserverpb.Cluster", root, "MemberPromote"),
    **_of("etcdserverpb.Maintenance", user, "Status"),
    **_of("etcdserverpb.Maintenance", root_unless_asking, "Alarm"),
    **_of("etcdserverpb.Maintenance", root, "Defragment", "Hash", "HashKV", "Snapshot"),
    **_of("etcdserverpb.Maintenance", root, "MoveLeader", "Downgrade"),
    **_of("etcdserverpb.Auth", anybody, "Authenticate"),
    **_of("etcdserverpb.Auth", handlers, "AuthEnable", "AuthDisable", "AuthStatus"),
    **_of("etcdserverpb.Auth", handlers, "UserAdd", "UserGet", "UserList", "UserDelete"),
    **_of("etcdserverpb.Auth", handlers, "UserChangePassword", "UserGrantRole", "UserRevokeRole"),
    **_of("etcdserverpb.Auth", handlers, "RoleAdd", "RoleGet", "RoleList", "RoleDelete"),
    **_of("etcdserverpb.Auth", handlers, "RoleGrantPermission", "RoleRevokePermission"),
    # Both act on keys, for their caller.
    **_of("v3lockpb.Lock", handlers, "Lock", "Unlock"),
    **_of("v3electionpb.Election", handlers, "Campaign", "Proclaim", "Leader", "Observe"),
    **_of("v3electionpb.Election", handlers, "Resign"),
    **_of("grpc.health.v1.Health", anybody, "Check", "Watch"),
    **_of("grpc.reflection.v1.ServerReflection", anybody, "ServerReflectionInfo"),
    **_of("grpc.reflection.v1alpha.ServerReflection", anybody, "ServerReflectionInfo"),
    # Keys are in the log and in the history, whoever may read them.
    **_of("kvorum.v1.Inspect", user, "Statistics"),
    **_of("kvorum.v1.Inspect", root, "Log", "History", "Query"),
    **_of("kvorum.v1.Faults", root, "Inject", "Lift", "List"),
}


def rule_of(path: str) -> Rule:
    """The rule of a method."""
    return RULES.get(path, root)


def require(refused: Condition | None) -> None:
    """Raises KvorumError for a refusal."""
    if refused is not None:
        raise KvorumError(refused)


# Answers of the state, and therefore only for who may read it.
_OF_THE_STATE = frozenset({Condition.COMPACTED, Condition.FUTURE_REVISION})


async def read_as(node: Node, query: Range | Txn, who: Who, *, linearizable: bool) -> Done:
    """Answer a range or a read-only transaction, if the caller may read all that it touches.

    A linearizable read is judged by the users and roles of the state that it was answered from:
    what was granted, or taken back, before it began counts on every member. If they changed while
    it was under way, it is judged and answered again, at once; and once more they may not change.
    Raises KvorumError.
    """
    if linearizable:
        before = _standing(node)
        try:
            done = await node.read(query)
        except KvorumError as error:
            if error.condition in _OF_THE_STATE:
                require(_check(node, query, who()))
            raise
        if _standing(node) == before:
            require(_check(node, query, who()))
            return done
    before = _standing(node)
    require(_check(node, query, who()))
    done = await node.read(query, linearizable=False)
    if node.machine.auth.enabled and _standing(node) != before:
        raise KvorumError(Condition.AUTH_OLD_REVISION)
    return done


def _check(node: Node, query: Range | Txn, caller: Caller) -> Condition | None:
    auth = node.machine.auth
    if isinstance(query, Txn):
        return auth.check_txn(caller, query, node.machine.leases)
    return auth.check_read(caller, query.key, query.range_end)


def _standing(node: Node) -> tuple[bool, int]:
    """Equal at two moments means: nothing about users, roles and auth changed in between. (Turning
    auth on makes no revision, but turning it off again does.)
    """
    auth = node.machine.auth
    return auth.enabled, auth.revision

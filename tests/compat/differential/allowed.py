"""Every difference to a real etcd that is allowed, one line each.

A line names the releases of etcd that differ, says what etcd does, what kvorum does and why, with
the section of the contract that decides. Its predicate is as narrow as can be: it sees the request,
the place in the answer, and both parts. A line that a long run never uses is reported.
"""

# One line each, however long.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from compat.differential.kv import (
    has_empty_range,
    operations,
    operations_in,
    unchecked_once,
    unseen_double,
)
from compat.differential.side import STRANGE
from compat.differential.step import GRPC, Step
from compat.differential.watching import PAST
from compat.differential.world import World


class Case(NamedTuple):
    """One difference: at ``path`` of the answer to ``step`` etcd says ``theirs``, kvorum ``ours``.

    The path is ``refusal`` where codes or messages differ (then the parts are both), ``status`` for
    HTTP's, ``creation...`` for the answer to a watch, ``stream N watcher M`` for what it brought.
    """

    step: Step
    path: str
    theirs: Any
    ours: Any
    all_theirs: Any
    all_ours: Any
    world: World


class Allowed(NamedTuple):
    """One allowed difference."""

    releases: str
    reason: str
    covers: Callable[[Case], bool]


ABSENT = "(absent)"
OLD, NEW, BOTH = "3.4", "3.5", "3.4 3.5"
BAD_SORT = (3, "etcdserver: invalid sort option")
DENIED = (7, "etcdserver: permission denied")
BAD_TOKEN = (16, "etcdserver: invalid auth token")
NOT_LET_IN = (DENIED, BAD_TOKEN, (3, "etcdserver: user name is empty"))
BAD_URLS = (3, "etcdserver: given member URLs are invalid")
NO_ROLE = (9, "etcdserver: role name not found")
BAD_AUTH = (3, "etcdserver: invalid auth management")
OPEN_ONCE = frozenset(
    {
        "KV/Compact",
        "Cluster/MemberList",
        "Maintenance/Status",
        "Maintenance/Alarm",
        "Maintenance/MoveLeader",
        "Lease/LeaseGrant",
        "Lease/LeaseRevoke",
        "Lease/LeaseKeepAlive",
        "Lease/LeaseTimeToLive",
        "Lease/LeaseLeases",
    }
)
NO_SPACE = (8, "etcdserver: mvcc: database space exceeded")
DOUBLE = (3, "etcdserver: duplicate key given in txn request")


def _unknown_sort(request: Any) -> bool:
    if isinstance(request, list):
        return any(map(_unknown_sort, request))
    if not isinstance(request, dict):
        return False
    known = 0 <= request.get("sort_order", 0) <= 2 and 0 <= request.get("sort_target", 0) <= 4
    return not known or any(map(_unknown_sort, request.values()))


def _same_ttls(case: Case) -> bool:
    """The same leases, in an order of which their TTLs say nothing."""
    theirs, ours = (
        [int(x["ID"]) for x in each["leases"]] for each in (case.all_theirs, case.all_ours)
    )
    ttls = case.world.leases
    return sorted(theirs) == sorted(ours) and [ttls.get(x) for x in theirs] == [
        ttls.get(x) for x in ours
    ]


def _only_deletions_more(case: Case) -> bool:
    """Whether ours are their events, and deletions at compact revisions between them."""
    left = list(case.theirs)
    for each in case.ours:
        if left and left[0] == each:
            del left[0]
        elif not _deleted_at(each.get("event", each), case.world):
            return False
    return not left


def _deleted_at(event: dict[str, Any], world: World) -> bool:
    return event.get("type") == "DELETE" and int(event["kv"]["mod_revision"]) in world.compactions


def _denied(case: Case) -> bool:
    """Whether one side does not permit it and the other does."""
    denials = ["permission denied" in str(each) for each in (case.theirs, case.ours)]
    return denials[0] != denials[1]


def _unreadable(refusal: tuple[int, str]) -> bool:
    return refusal[0] == 13 and refusal[1].startswith("grpc: error unmarshalling request: ")


def tied(case: Case) -> bool:
    """Whether two answers hold the same keys but for the order of those that tie, and, behind a
    limit, for which of these are left over. Etcd's sort is stable up to six keys.
    """
    way = case.path.rpartition(".kvs[" if ".kvs[" in case.path else "kvs[")[0]
    theirs, ours = (_at(each, way) for each in (case.all_theirs, case.all_ours))
    if int(theirs.get("count", 0)) <= 6 or theirs.get("more") != ours.get("more"):
        return False
    sorted_by = [
        name
        for name in ("version", "create_revision", "mod_revision", "value")
        if [kv.get(name) for kv in theirs["kvs"]] == [kv.get(name) for kv in ours["kvs"]]
    ]
    same = sorted(theirs["kvs"], key=str) == sorted(ours["kvs"], key=str)
    return bool(sorted_by) and (same or bool(ours.get("more")))


def _at(value: Any, way: str) -> Any:
    """What a path leads to."""
    for name, number in re.findall(r"(\w+)|\[(\d+)\]", way):
        value = value[name] if name else value[int(number)]
    return value


def _send(case: Case) -> dict[str, Any]:
    """The creation of a watcher."""
    found: dict[str, Any] = case.step.request["send"]["create_request"]
    return found


def _without_marks(sequence: list[Any]) -> list[Any]:
    """What a watcher brought but for marks of progress."""
    return [each for each in sequence if each.keys() != {"revision", "watch_id"}]


# fmt: off
ALLOWED = (
    Allowed(OLD, "Debian's 3.4 answers 412 to code 9, all others and kvorum 400 (errors 1)", lambda c: c.path == "status" and (c.theirs, c.ours) == (412, 400)),
    Allowed(BOTH, "hashes are comparable among members of one cluster only (semantics 9, HashKV)", lambda c: c.step.kind in ("Maintenance/HashKV", "Maintenance/Hash") and c.path == "hash"),
    Allowed(BOTH, "HashKV tells its revision since 3.6; kvorum does (wire 3)", lambda c: c.step.kind == "Maintenance/HashKV" and c.path == "hash_revision" and c.theirs == ABSENT),
    Allowed(BOTH, "unknown sort numbers are ignored before 3.6; kvorum refuses them (semantics 1)", lambda c: c.path == "refusal" and c.ours == BAD_SORT and _unknown_sort(c.step.request)),
    Allowed(BOTH, "etcd overlooks a put beside a deletion from a key on or in another nested transaction; kvorum keeps one change of a key in a revision (semantics 4, Duplicates)", lambda c: c.path == "refusal" and c.ours == DOUBLE and unseen_double(c.step.request)),
    Allowed(BOTH, "leases are listed by remaining time; kvorum counts it in ticks (semantics 7, Leases)", lambda c: c.step.kind == "Lease/LeaseLeases" and c.path.startswith("leases[") and _same_ttls(c)),
    Allowed(OLD, "answers to Alarm have a header since 3.5 (semantics 0.1)", lambda c: c.step.kind == "Maintenance/Alarm" and c.path == "header" and c.theirs == ABSENT),
    Allowed(BOTH, "3.4.23 and 3.5.1 have the route of HashKV under the name of Hash (wire 2)", lambda c: c.step.kind == "Maintenance/HashKV" and c.step.via != GRPC and c.path == "refusal" and c.theirs == (STRANGE, "Not Found\n")),
    Allowed(BOTH, "puts in nested transactions count for NOSPACE since 3.5.33 (semantics 9, NOSPACE)", lambda c: c.step.kind == "KV/Txn" and c.path == "refusal" and c.ours == NO_SPACE and not any("request_put" in op for op in operations(c.step.request))),
    Allowed(BOTH, "a negative start is refused at creation by later 3.5; 3.4.23 and 3.5.1 create and cancel (semantics 6.1)", lambda c: c.path.startswith("creation") and _send(c).get("start_revision", 0) < 0),
    Allowed(BOTH, "progress is told only when all watchers have come so far since 3.4.25 and 3.5.8 (semantics 6.4)", lambda c: c.path.endswith("watcher -1") and len(c.ours) < len(c.theirs) and _without_marks(c.theirs) == _without_marks(c.ours)),
    Allowed(BOTH, "sizes and the raft log are each server's own (semantics 9, Status)", lambda c: c.step.kind == "Maintenance/Status" and c.path in ("version", "dbSize", "dbSizeInUse", "raftIndex", "raftAppliedIndex")),
    Allowed(BOTH, "fields of Status since 3.6, which kvorum has (wire 3)", lambda c: c.step.kind == "Maintenance/Status" and c.path in ("storageVersion", "dbSizeQuota", "downgradeInfo") and c.theirs == ABSENT),
    Allowed(BOTH, "what is wrong with undecodable bytes is told in each decoder's words (wire 1, Parse failure)", lambda c: c.step.kind == "raw" and c.path == "refusal" and _unreadable(c.theirs) and _unreadable(c.ours)),
    Allowed(BOTH, "etcd takes any URLs of an update; kvorum wants them well-formed (errors 2.3)", lambda c: c.step.kind == "Cluster/MemberUpdate" and c.path == "refusal" and (c.theirs[0], c.ours) == (5, BAD_URLS)),
    Allowed(BOTH, "a permission for an empty range is refused since 3.4.25 and 3.5.8 (semantics 10, Roles)", lambda c: c.step.kind == "Auth/RoleGrantPermission" and c.path == "refusal" and (c.theirs, c.ours) == (NO_ROLE, BAD_AUTH)),
    Allowed(BOTH, "Maintenance says no without etcd's codes before 3.6 (errors 2.5, Defragment/Hash/HashKV/Snapshot)", lambda c: c.step.kind in ("Maintenance/HashKV", "Maintenance/Hash", "Maintenance/Defragment") and c.path == "refusal" and c.theirs[0] == 2 and c.ours in NOT_LET_IN),
    Allowed(BOTH, "what any caller could ask, or any user, until 3.4.42 and 3.5.28 (semantics 10, Anonymous; 7, Auth; 5, auth)", lambda c: c.step.kind in OPEN_ONCE and c.path == "refusal" and c.ours in NOT_LET_IN and c.theirs not in NOT_LET_IN),
    Allowed(BOTH, "nested transactions, previous values and leases in transactions are checked since 3.5.28 and 3.5.30 (semantics 10, Permission test)", lambda c: c.step.kind == "KV/Txn" and c.path == "refusal" and c.ours == DENIED and c.theirs[0] != 7 and unchecked_once(c.step.request)),
    Allowed(BOTH, "3.4.23 and 3.5.1 refuse a wrong token also while authentication is off (semantics 10, Identity)", lambda c: c.path == "refusal" and c.theirs == BAD_TOKEN and not c.world.auth_on),
    Allowed(OLD, "Auth/AuthStatus is of 3.5 (wire 2)", lambda c: c.step.kind == "Auth/AuthStatus" and c.path == "refusal" and c.theirs[0] in (12, STRANGE)),
    Allowed(NEW, "3.5.1 says permission denied to whoever may not watch, under the id that was asked for (semantics 6.1, auth failure)", lambda c: c.path in ("creation[0].cancel_reason", "creation[0].watch_id") and c.world.auth_on and all(each[0].get("canceled") for each in (c.all_theirs, c.all_ours))),
    Allowed(BOTH, "etcd reads the URLs of a new member before it asks who calls; kvorum after (semantics 8, Permissions)", lambda c: c.step.kind == "Cluster/MemberAdd" and c.path == "refusal" and c.theirs == BAD_URLS and c.ours in NOT_LET_IN),
    Allowed(BOTH, "HashKV at the compact revision itself is refused by 3.4.23 and 3.5.1 (semantics 9, HashKV)", lambda c: c.step.kind == "Maintenance/HashKV" and c.path == "refusal" and c.theirs[0] == 11 and c.ours[0] == 0 and c.step.request["revision"] == c.world.compacted),
    Allowed(OLD, "3.4.23 looks at the token of who authenticates (semantics 10, Authenticate)", lambda c: c.step.kind == "Auth/Authenticate" and c.path == "refusal" and c.theirs == BAD_TOKEN),
    Allowed(NEW, "a grant without permission is wrong whoever sends it; 3.5 asks first who does (errors 2.5)", lambda c: c.step.kind == "Auth/RoleGrantPermission" and c.path == "refusal" and c.theirs in NOT_LET_IN and c.ours == (3, "etcdserver: permission not given")),
    Allowed(BOTH, "keys that tie in a sort have no order (semantics 1, sort)", lambda c: ".kvs[" in "." + c.path and tied(c)),
    Allowed(NEW, "a permission that a role has already makes an auth revision in 3.5.1 (semantics 10, Auth revision)", lambda c: c.path == "authRevision" and int(c.theirs) - int(c.ours) == c.world.repeated_grants > 0),
    Allowed(BOTH, "who may ask for a range that can hold no key follows from the shape of etcd's tree; kvorum wants it inside one permission (semantics 10, Permission test)", lambda c: c.path in ("refusal", "creation[0].cancel_reason") and _denied(c) and has_empty_range(c.step.request)),
    Allowed(BOTH, "an update of its URLs makes a learner a voter until 3.5.31 (semantics 8, MemberUpdate)", lambda c: c.step.kind == "Cluster/MemberUpdate" and c.path.endswith(".isLearner") and c.theirs == ABSENT),
    Allowed(BOTH, "the keys of a lease come in no order (semantics 7, TimeToLive)", lambda c: c.step.kind == "Lease/LeaseTimeToLive" and c.path.startswith("keys[") and sorted(c.all_theirs["keys"]) == sorted(c.all_ours["keys"])),
    Allowed(BOTH, "a deletion at the compact revision itself is kept for watchers since 3.4.34 and 3.5.16 (semantics 5, Compact)", lambda c: (c.step.kind == PAST or c.path.startswith("stream ")) and _only_deletions_more(c)),
    Allowed(BOTH, "etcd counts the operations of a transaction on each level; kvorum bounds them together too, at 10,000", lambda c: c.step.kind == "KV/Txn" and c.path == "refusal" and c.ours == (3, "etcdserver: too many operations in txn request") and operations_in(c.step.request) > 10_000),
)
# fmt: on

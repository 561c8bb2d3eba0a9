"""``--strict-reconfig-check``: changes of members that would put the quorum at risk.

A member counts as started once it has a name, and as connected when this node has had a connection
to it for some seconds. The rules, and the order in which they speak, are etcd's of 3.5.30 (contract
page "semantics", section 8); they look at the member that was asked, which may know less than the
leader. What the table itself forbids is decided when a change is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kvorum.errors import Condition
from kvorum.limits import RECONFIG_HEALTH_S
from kvorum.machine.members import Member

# For how long this node has been connected to a member, in seconds; 0 when it is not.
Connected = Callable[[int], float]


def refuse_add(
    members: Iterable[Member], own: int, connected_s: Connected, *, learner: bool
) -> Condition | None:
    """Why no member may be added now: with one more voter there must be a quorum of started ones,
    and, the new one being down yet, a quorum of connected ones.
    """
    voters = _voters(members)
    if not learner and not _enough_started(voters, _started(voters), len(voters) + 1):
        return Condition.NOT_ENOUGH_STARTED
    if len(voters) == 1:
        return None
    if _connected(voters, own, connected_s) < _quorum(len(voters) + 1):
        return Condition.UNHEALTHY
    return None


def refuse_remove(
    members: Iterable[Member], own: int, connected_s: Connected, id_: int
) -> Condition | None:
    """Why this member may not be removed now: those that stay must be started, and without it still
    be a quorum of connected ones. A learner, or a member that is down, is no part of any quorum.
    """
    members = tuple(members)
    if any(member.id == id_ and member.is_learner for member in members):
        return None
    voters = _voters(members)
    staying = [member for member in voters if member.id != id_]
    if _started(staying) < _quorum(len(staying)):
        return Condition.NOT_ENOUGH_STARTED
    if id_ != own and not connected_s(id_):
        return None
    if _connected(voters, own, connected_s) - 1 < _quorum(len(voters) - 1):
        return Condition.UNHEALTHY
    return None


def refuse_promote(members: Iterable[Member]) -> Condition | None:
    """Why no learner may become a voter now; it counts as started itself."""
    voters = _voters(members)
    if _started(voters) + 1 < _quorum(len(voters) + 1):
        return Condition.NOT_ENOUGH_STARTED
    return None


def _voters(members: Iterable[Member]) -> list[Member]:
    return [member for member in members if not member.is_learner]


def _quorum(voters: int) -> int:
    return voters // 2 + 1


def _started(members: Iterable[Member]) -> int:
    return sum(bool(member.name) for member in members)


def _enough_started(voters: list[Member], started: int, size: int) -> bool:
    # The second member of a cluster of one: how it grows, or its data are brought back.
    return (len(voters) == 1 and started == 1) or started >= _quorum(size)


def _connected(voters: Iterable[Member], own: int, connected_s: Connected) -> int:
    return sum(x.id == own or connected_s(x.id) >= RECONFIG_HEALTH_S for x in voters)

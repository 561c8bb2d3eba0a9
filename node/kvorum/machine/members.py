"""The member table, and what may be done to it when a change is applied.

The proposer has checked a change before, but between its check and the commit another change may
have been applied. So every rule is held again here, on all members alike, and a change that breaks
one becomes an empty one (raft checklist M10). An id that was removed is remembered for ever: its
holder may still be running and must never be counted again (M7).
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.errors import Condition
from kvorum.machine.operations import (
    MemberAdd,
    MemberChange,
    MemberPromote,
    MemberPublish,
    MemberRemove,
    MemberUpdate,
)


class Member(NamedTuple):
    """One entry. A member that has never started has no name and no client URLs."""

    id: int
    name: str = ""
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False


class MemberTable:
    """Members by id, and the ids that may never return."""

    __slots__ = ("_members", "removed")

    def __init__(self, members: tuple[Member, ...] = (), removed: tuple[int, ...] = ()) -> None:
        self._members = {member.id: member for member in members}
        self.removed: dict[int, None] = dict.fromkeys(removed)

    def __len__(self) -> int:
        return len(self._members)

    def get(self, member: int) -> Member | None:
        """The member, or None."""
        return self._members.get(member)

    def all(self) -> tuple[Member, ...]:
        """Members sorted by id."""
        return tuple([self._members[member] for member in sorted(self._members)])

    def removed_ids(self) -> tuple[int, ...]:
        """Ids that were members once, sorted."""
        return tuple(sorted(self.removed))

    def check(self, change: MemberChange) -> Condition | None:
        """Why the change cannot be made now, or None. Changes nothing: a proposer may ask too."""
        if isinstance(change, MemberAdd):
            return self._check_add(change)
        member = self._members.get(change.id)
        if member is None:
            return Condition.MEMBER_NOT_FOUND
        if isinstance(change, MemberPromote) and not member.is_learner:
            return Condition.MEMBER_NOT_LEARNER
        if isinstance(change, MemberUpdate) and self._urls_taken(change.peer_urls, change.id):
            return Condition.PEER_URL_EXIST
        return None

    def apply(self, change: MemberChange) -> Condition | None:
        """Make the change, or refuse it."""
        refused = self.check(change)
        if refused is not None:
            return refused
        if isinstance(change, MemberAdd):
            urls = tuple(sorted(change.peer_urls))
            added = Member(change.id, "", urls, (), change.is_learner)
            self._members[change.id] = added
        elif isinstance(change, MemberRemove):
            del self._members[change.id]
            self.removed[change.id] = None
        elif isinstance(change, MemberUpdate):
            # Only those of a new member are sorted: its id is made from them.
            self._replace(self._members[change.id]._replace(peer_urls=change.peer_urls))
        else:
            self._replace(self._members[change.id]._replace(is_learner=False))
        return None

    def publish(self, command: MemberPublish) -> Condition | None:
        """Take in a member's name and client URLs; a member that is gone is refused."""
        member = self._members.get(command.id)
        if member is None:
            return Condition.MEMBER_NOT_FOUND
        self._replace(member._replace(name=command.name, client_urls=command.client_urls))
        return None

    def _check_add(self, change: MemberAdd) -> Condition | None:
        if change.id in self.removed:
            return Condition.MEMBER_NOT_FOUND
        if change.id in self._members:
            return Condition.MEMBER_EXIST
        if self._urls_taken(change.peer_urls, 0):
            return Condition.PEER_URL_EXIST
        learners = sum(member.is_learner for member in self._members.values())
        if change.is_learner and learners >= change.max_learners:
            return Condition.TOO_MANY_LEARNERS
        return None

    def _urls_taken(self, urls: tuple[str, ...], owner: int) -> bool:
        wanted = frozenset(urls)
        return any(
            member.id != owner and not wanted.isdisjoint(member.peer_urls)
            for member in self._members.values()
        )

    def _replace(self, member: Member) -> None:
        self._members[member.id] = member

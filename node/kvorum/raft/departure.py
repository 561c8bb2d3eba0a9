"""How a member that was removed leaves (thesis 4.2.2; rule M5).

Configurations are in force once applied, and the remaining voters may not know yet that the change
is committed. Until they do they count by the old configuration and need the leader's vote, which
its longer log may have to refuse: if it stopped leading at once, nobody could ever be elected. So
it goes on, without counting itself and without taking proposals, until a quorum of the remaining
voters has answered a heartbeat that told them.

The same holds of every removed member's vote, and beyond one term: those that know may crash before
they have told the others. So it is there, if only to answer, until a quorum of the remaining voters
has shown that they have applied its removal (``is_dispensable``). What is applied is durable, and
any majority of theirs has one among it that can tell the others.
"""

from __future__ import annotations

from collections.abc import Collection

from kvorum.raft.quorum import has_quorum, majority
from kvorum.raft.types import ConfState


def is_dispensable(remaining: Collection[int], knowing: Collection[int]) -> bool:
    """Whether a removed member has become useless: enough of the `remaining` voters are `knowing`.

    One that knows of no others takes anybody's word.
    """
    if not remaining:
        return bool(knowing)
    return sum(voter in knowing for voter in remaining) >= majority(len(remaining))


class Departure:
    """Who has been told of the leader's removal, in which round, and who has answered."""

    __slots__ = ("_index", "_told_in", "knowing")

    def __init__(self, index: int) -> None:
        """`index` is a commit index that covers the change."""
        self._index = index
        self._told_in: dict[int, int] = {}  # member -> first round that carried the news
        self.knowing: set[int] = set()

    def sent(self, member: int, commit: int, round_: int) -> None:
        """A heartbeat of this round has left, carrying this commit index."""
        if commit >= self._index:
            self._told_in.setdefault(member, round_)

    def answered(self, member: int, round_: int) -> None:
        """The member has answered a heartbeat of this round."""
        if member in self._told_in and round_ >= self._told_in[member]:
            self.knowing.add(member)

    def is_over(self, conf: ConfState) -> bool:
        """Whether the remaining voters can go on by themselves."""
        return has_quorum(conf, self.knowing)

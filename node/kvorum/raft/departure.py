"""How a leader that is no longer a voter leaves (thesis 4.2.2; rule M5).

Configurations are in force once applied, and the remaining voters may not know yet that the change
is committed. Until they do they count by the old configuration and need the leader's vote, which
its longer log may have to refuse: if it stopped leading at once, nobody could ever be elected. So
it goes on, without counting itself and without taking proposals, until a quorum of the remaining
voters has answered a heartbeat that told them.
"""

from __future__ import annotations

from kvorum.raft.quorum import has_quorum
from kvorum.raft.types import ConfState


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

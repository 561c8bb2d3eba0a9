"""Do all members hold the same? Each tells the others a digest of its state now and then, and the
leader judges.

A digest is one number for everything applied up to an index (the machine's chain) and everything
that is there now (the checksum of the live records): so it differs, too, where a state was damaged
in memory or on disk without any command having met the damage. Members record theirs at every 64th
index, and at the index of an idle cluster; of those they report the newest, and the newest of two
coarser steps, so that members that are not equally far have indexes in common.

The verdict is etcd's: whoever differs from a majority of all members is corrupt; where no majority
agrees, nobody can tell who it is, and the alarm is the cluster's: it is raised for member 0. A
member that has not reported yet may decide the matter, so it is waited for, for a while.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from hashlib import blake2b
from struct import Struct
from typing import Final

DIGEST_EVERY: Final = 64
"""Members record digests at indexes that are multiples of this."""
NOBODY: Final = 0
"""The member in an alarm that concerns the cluster."""

_COARSER: Final = (DIGEST_EVERY * 16, DIGEST_EVERY * 256)
_OWN_KEPT: Final = 512
_HEARD_KEPT: Final = 16  # Of each peer.
_PATIENCE_ROUNDS: Final = 10  # Reports sent until a verdict is given without those who are silent,
_HEARD_ROUNDS: Final = 20  # ... and until what a peer said is forgotten: it may be repaired since.
_STATE = Struct("<QQ")


def digest_of(chain: int, checksum: int) -> int:
    """One number (uint64) for a chain and a state's checksum."""
    return int.from_bytes(blake2b(_STATE.pack(chain, checksum), digest_size=8).digest(), "little")


def judge(votes: Mapping[int, int], members: int) -> tuple[int, ...] | None:
    """Who is wrong, by what each member said at one index or revision; :data:`NOBODY` when no
    majority of all ``members`` agrees, and None when that cannot be told yet.
    """
    counted = Counter(votes[member] for member in sorted(votes)).most_common()
    if len(counted) == 1:
        return ()
    right, supporters = counted[0]
    if supporters * 2 > members:
        return tuple([member for member in sorted(votes) if votes[member] != right])
    return (NOBODY,) if len(votes) >= members else None


class Digests:
    """What this member (``own``) and its peers said of their states, and what follows."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._mine: dict[int, int] = {}
        self._heard: dict[int, dict[int, tuple[int, int]]] = {}  # peer -> index -> digest, round
        self._accused: dict[int, int] = {}  # member -> newest index it was found to differ at
        self._rounds = 0
        self._doubtful_since: int | None = None

    def forget(self) -> None:
        """The state was replaced by the leader's: what was said of the old one is void."""
        self._mine.clear()
        self._heard.clear()
        self._accused.clear()
        self._doubtful_since = None

    def record(self, index: int, digest: int) -> None:
        """This member's own state at an index."""
        self._mine[index] = digest
        if len(self._mine) > _OWN_KEPT:
            del self._mine[next(iter(self._mine))]

    def recorded(self, index: int) -> bool:
        """Whether the state at an index is recorded."""
        return index in self._mine

    def reports(self) -> list[tuple[int, int]]:
        """What to tell the peers now: indexes and digests, newest first."""
        self._rounds += 1
        if not self._mine:
            return []
        wanted = [max(self._mine)]
        for step in (DIGEST_EVERY, *_COARSER):
            on_step = [index for index in self._mine if index % step == 0]
            if on_step and max(on_step) not in wanted:
                wanted.append(max(on_step))
        return [(index, self._mine[index]) for index in wanted]

    def hear(self, peer: int, index: int, digest: int) -> None:
        """What a peer reports."""
        heard = self._heard.setdefault(peer, {})
        heard.pop(index, None)
        heard[index] = (digest, self._rounds)
        if len(heard) > _HEARD_KEPT:
            del heard[next(iter(heard))]

    def accusations(self, members: Collection[int]) -> list[tuple[int, int]]:
        """Who is corrupt, as (member, index), ascending; :data:`NOBODY` for the cluster.

        ``members`` are all there are now. What :meth:`settled` was told of is not repeated until a
        newer index shows it again.
        """
        oldest = self._rounds - _HEARD_ROUNDS
        self._heard = {
            peer: {index: said for index, said in heard.items() if said[1] >= oldest}
            for peer, heard in self._heard.items()
            if peer in members
        }
        found: dict[int, int] = {}
        doubtful = False
        indexes = {index for heard in self._heard.values() for index in heard}
        for index in sorted(indexes & self._mine.keys()):
            guilty = self._judge(index, members)
            doubtful = doubtful or guilty is None
            found.update(dict.fromkeys(guilty or (), index))
        found |= self._without_the_silent(doubtful and not found, max(indexes, default=0))
        return [
            (member, index)
            for member, index in sorted(found.items())
            if index > self._accused.get(member, 0)
        ]

    def settled(self, member: int, index: int) -> None:
        """The alarm for a member that differs at an index is raised, or on its way."""
        self._accused[member] = index

    def _judge(self, index: int, members: Collection[int]) -> tuple[int, ...] | None:
        votes = {peer: heard[index][0] for peer, heard in self._heard.items() if index in heard}
        votes[self._own] = self._mine[index]
        return judge(votes, len(members))

    def _without_the_silent(self, doubtful: bool, newest: int) -> dict[int, int]:
        """The verdict when members differ, and those who could decide stay silent."""
        if not doubtful:
            self._doubtful_since = None
            return {}
        if self._doubtful_since is None:
            self._doubtful_since = self._rounds
        if self._rounds - self._doubtful_since < _PATIENCE_ROUNDS:
            return {}
        return {NOBODY: newest}

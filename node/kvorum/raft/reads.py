"""Linearizable reads without writing to the log (thesis 6.4): ReadIndex, in rounds.

A leader may answer a read from its applied state once it knows that it still led after the read
arrived. It learns that from a quorum answering heartbeats sent after that moment. Rounds are
numbered by the leader itself and live in the leader's object, so they die with the role (R3, R4):
an answer kept somewhere during a long pause can confirm nothing.

One round serves all reads that arrived before it began; those that arrive meanwhile wait for the
next (R9). The read point is the commit index when the round begins, which is why no round begins
before the leader has committed an entry of its own term (R1): only then is its commit index known
to cover everything that earlier leaders acknowledged.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.raft.quorum import quorum_value
from kvorum.raft.types import ConfState


class ReadRequest(NamedTuple):
    """A read waiting for its point: who asked, and the asker's number for it."""

    origin: int
    context: int


class ReadRounds:
    """The reads of one leadership. `round` is the newest one; `in_flight` are the reads of the one
    now being confirmed."""

    __slots__ = ("_acks", "_confirming", "in_flight", "index", "round", "waiting")

    def __init__(self) -> None:
        self.round = 0
        self._confirming = 0
        self.index = 0
        self.in_flight: list[ReadRequest] = []
        self.waiting: list[ReadRequest] = []
        self._acks: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.in_flight) + len(self.waiting)

    def begin(self, commit: int) -> None:
        """Open the next round for all that wait, reading at `commit`; heartbeats must follow."""
        self._confirming = self.next_round()
        self.index = commit
        self.in_flight = self.waiting
        self.waiting = []

    def next_round(self) -> int:
        """Number the heartbeats anew; their answers confirm everything begun before."""
        self.round += 1
        return self.round

    def acknowledge(self, member: int, round_: int) -> None:
        """`member` answered a heartbeat of this round, and so of all before it."""
        self._acks[member] = max(self._acks.get(member, 0), round_)

    def is_confirmed(self, leader: int, conf: ConfState) -> bool:
        """Whether a quorum, the leader included, has answered the round in flight (R4)."""
        acks, newest = self._acks, self.round
        return bool(self.in_flight) and self._confirming <= quorum_value(
            conf, lambda member: newest if member == leader else acks.get(member, 0)
        )

    def take_confirmed(self) -> list[ReadRequest]:
        """The reads of the round just confirmed, to be answered with `index`."""
        confirmed = self.in_flight
        self.in_flight = []
        return confirmed


class ForwardedReads:
    """A follower's reads on their way to one leader; they die with the term or the leader (R5).

    Answers can be lost, so each is given up after `max_age` ticks and reported as dropped.
    """

    __slots__ = ("_asked_at", "_now", "max_age")

    def __init__(self, max_age: int) -> None:
        self.max_age = max_age
        self._now = 0
        self._asked_at: dict[int, int] = {}  # context -> tick, oldest first

    def __len__(self) -> int:
        return len(self._asked_at)

    def add(self, context: int) -> None:
        """A request for this context has left."""
        self._asked_at[context] = self._now

    def answered(self, context: int) -> bool:
        """Whether an answer for this context was awaited; it no longer is."""
        return self._asked_at.pop(context, None) is not None

    def tick(self) -> list[int]:
        """Let time pass; the contexts that waited too long."""
        self._now += 1
        expired = []
        for context, asked_at in self._asked_at.items():
            if self._now - asked_at < self.max_age:
                break
            expired.append(context)
        for context in expired:
            del self._asked_at[context]
        return expired

    def take_all(self) -> list[int]:
        """Give up every pending read."""
        contexts = list(self._asked_at)
        self._asked_at.clear()
        return contexts

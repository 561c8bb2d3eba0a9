"""Linearizable reads in batches (thesis, section 6.4; raft checklist R1-R9).

All reads that wait when a round starts share it; those that come later wait for the next, which may
start before the first is answered. A round has an id of its own that is never used again. It dies
with a change of leader; one that stays without an answer is asked again under a new id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from kvorum.raft.core import Raft
from kvorum.raft.types import DropReason, ProposalDropped

_MAX_ROUNDS = 64  # Rounds under way at once; more would only queue at the leader.


class _Round(NamedTuple):
    started: int
    reads: list[object]


class ReadRounds:
    """Reads between their arrival and the moment the state may answer them."""

    def __init__(self, raft: Raft, id_base: int, retry_ticks: int) -> None:
        self._raft = raft
        self._next_context = id_base
        self._retry_ticks = retry_ticks
        self._queue: list[object] = []
        self._rounds: dict[int, _Round] = {}
        self._granted: deque[tuple[int, list[object]]] = deque()

    def __len__(self) -> int:
        return (
            len(self._queue)
            + sum(len(r.reads) for r in self._rounds.values())
            + sum(len(reads) for _, reads in self._granted)
        )

    def add(self, read: object) -> None:
        """Queue a read for the next round."""
        self._queue.append(read)

    def issue(self, now: int) -> None:
        """Start a round for everything queued, if raft can take one."""
        if not self._queue or len(self._rounds) >= _MAX_ROUNDS:
            return
        context = self._next_context
        self._next_context += 1
        try:
            self._raft.read_index(context)
        except ProposalDropped as dropped:
            # Without a leader the queue waits; its callers' deadlines bound it.
            assert dropped.reason in (
                DropReason.NO_LEADER,
                DropReason.TOO_MANY_READS,
                DropReason.NOT_A_MEMBER,
                DropReason.TRANSFERRING,
            ), dropped
            return
        self._rounds[context] = _Round(now, self._queue)
        self._queue = []

    def granted(self, context: int, index: int) -> None:
        """Raft confirmed a round: its reads may be served once ``index`` is applied."""
        found = self._rounds.pop(context, None)
        if found is not None:
            self._granted.append((index, found.reads))

    def dropped(self, context: int) -> list[object]:
        """Raft gave a round up (the leader changed); its reads go back to the caller."""
        found = self._rounds.pop(context, None)
        return found.reads if found is not None else []

    def retry(self, now: int, wanted: Callable[[object], bool]) -> int:
        """Put reads of unanswered rounds back into the queue, for messages may have been lost; and
        let go of those that nobody waits for any more. Returns how many rounds were unanswered.

        Not without a leader: then raft is about to say that it has given the rounds up.
        """
        asked = self._rounds.items() if self._raft.leader else ()
        late = [c for c, r in asked if now - r.started >= self._retry_ticks]
        if not late and now % self._retry_ticks:
            return 0
        again = [read for context in late for read in self._rounds.pop(context).reads]
        self._queue = [read for read in (*again, *self._queue) if wanted(read)]
        return len(late)

    def servable(self, applied: int) -> list[object]:
        """Reads that the applied state may answer now, in order of arrival."""
        out: list[object] = []
        while self._granted and self._granted[0][0] <= applied:
            out.extend(self._granted.popleft()[1])
        return out

"""What a leader knows of one other member's log, and how eagerly it sends (thesis 3.5, 10.2.1).

Three states, every transition of them in this file (rule L10):

- PROBE: where the logs meet is not known. One message, then wait for an answer or a heartbeat
  reply.
- REPLICATE: the logs meet at `match`. Entries leave before earlier ones are answered, up to a
  window of unanswered messages; `next` runs ahead of `match`.
- SNAPSHOT: the entries needed are gone from the log. A snapshot is on its way, nothing else is sent
  until its fate is reported or the member answers from a place the log still follows.

`match` only rises, and next > match always.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple


class ProgressState(Enum):
    """How a leader treats one member."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class ProgressStatus(NamedTuple):
    """One member's progress as `Raft.status` shows it."""

    member: int
    match: int
    next: int
    state: ProgressState
    inflight: int
    recent_active: bool
    paused: bool
    learner: bool


class Progress:
    """One member as its leader sees it."""

    __slots__ = (
        "heal",
        "inflight",
        "match",
        "needs_snapshot",
        "next",
        "pending_snapshot",
        "probe_sent",
        "recent_active",
        "sent_commit",
        "state",
        "window",
    )

    def __init__(self, next_index: int, window: int, *, recent_active: bool = False) -> None:
        """`window` is the greatest number of unanswered append messages."""
        self.match = 0
        self.next = next_index
        self.state = ProgressState.PROBE
        self.window = window
        self.inflight: deque[int] = deque()  # last index of each unanswered append
        self.probe_sent = False
        self.heal = False  # one more append is due although nothing new is there (L12)
        self.sent_commit = 0  # greatest commit index the member can have learned from appends
        self.pending_snapshot = 0
        self.needs_snapshot = False  # it said that entries cannot start it
        self.recent_active = recent_active

    def wants_append(self, last_index: int, commit: int) -> bool:
        """Whether something should be sent now to a leader's log ending so, committed so far."""
        if self.state is ProgressState.REPLICATE:
            return len(self.inflight) < self.window and (
                self.next <= last_index
                or self.heal
                or (self.sent_commit < commit and self.sent_commit < self.next - 1)
            )
        return self.state is ProgressState.PROBE and not self.probe_sent

    def is_paused(self) -> bool:
        """Whether new entries would have to wait for an answer."""
        if self.state is ProgressState.REPLICATE:
            return len(self.inflight) >= self.window
        return self.state is ProgressState.SNAPSHOT or self.probe_sent

    def sent(self, prev_index: int, count: int, commit: int) -> None:
        """An append with `count` entries after `prev_index` has left."""
        self.heal = False
        last = prev_index + count
        if self.state is ProgressState.REPLICATE:
            self.sent_commit = max(self.sent_commit, min(commit, last))
            if count:
                self.next = last + 1
                self.inflight.append(last)
        else:
            self.probe_sent = True

    def accepted(self, index: int, first_index: int) -> bool:
        """The member holds everything up to `index`, and the log here starts at `first_index`.

        Returns whether `match` rose. An answer at `match` while probing still ends the probe (L11).
        """
        rose = index > self.match
        if rose:
            self.match = index
            if self.next <= index:
                self.next = index + 1
        state = self.state
        if state is ProgressState.REPLICATE:
            inflight = self.inflight
            while inflight and inflight[0] <= index:
                inflight.popleft()
        elif index == self.match and (
            state is ProgressState.PROBE or self.match + 1 >= first_index
        ):
            self.become_replicate()
        return rose

    def rejected(self, prev_index: int, retry_at: int) -> bool:
        """The append after `prev_index` did not match; the newest place that can is `retry_at`.

        False, and nothing changes, when this answers no question still open (L7).
        """
        if self.state is ProgressState.REPLICATE:
            if prev_index <= self.match:
                return False
            self.become_probe()
            return True
        if self.state is ProgressState.SNAPSHOT or prev_index != self.next - 1:
            return False
        self.next = max(min(prev_index, retry_at + 1), self.match + 1)
        self.probe_sent = False
        return True

    def cannot_start(self) -> bool:
        """The member says that entries alone cannot start it; False when that is old news."""
        if self.match or self.state is ProgressState.SNAPSHOT:
            return False
        self.become_probe()
        self.needs_snapshot = True
        return True

    def wait(self) -> None:
        """Nothing useful can be sent now: probe again at the next heartbeat reply."""
        self.become_probe()
        self.probe_sent = True

    def heartbeat_answered(self, last_index: int) -> None:
        """The member lives: let one more message go if it may lack something (L10, L12)."""
        self.recent_active = True
        self.probe_sent = False
        if self.state is ProgressState.REPLICATE and self.match < last_index:
            if len(self.inflight) >= self.window:
                self.inflight.popleft()
            self.heal = True

    def unreachable(self) -> None:
        """A message was lost: go back to probing, one message a heartbeat reply."""
        if self.state is ProgressState.REPLICATE:
            self.wait()

    def snapshot_reported(self, ok: bool) -> None:
        """The snapshot arrived, or did not; wait for the member's word before sending more (S4)."""
        if self.state is ProgressState.SNAPSHOT:
            if not ok:
                self.pending_snapshot = 0
            self.wait()

    def become_probe(self) -> None:
        """Find out where the logs meet; after a snapshot, look behind it first."""
        self.next = max(self.match, self.pending_snapshot) + 1
        self._enter(ProgressState.PROBE)

    def become_replicate(self) -> None:
        """The logs meet at `match`: stream."""
        self.next = self.match + 1
        self._enter(ProgressState.REPLICATE)

    def become_snapshot(self, index: int) -> None:
        """A snapshot up to `index` is on its way."""
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.needs_snapshot = False

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.inflight.clear()
        self.probe_sent = self.heal = False
        self.pending_snapshot = 0
        self.sent_commit = 0

    def status(self, member: int, learner: bool) -> ProgressStatus:
        """A value for observers."""
        return ProgressStatus(
            member=member,
            match=self.match,
            next=self.next,
            state=self.state,
            inflight=len(self.inflight),
            recent_active=self.recent_active,
            paused=self.is_paused(),
            learner=learner,
        )

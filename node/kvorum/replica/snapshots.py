"""When a snapshot is cut, what the log may then forget, and how one from the leader takes the place
of the state.

The cut is atomic because the machine's image is taken between two applied entries; writing it is
the world's business. The log keeps a stretch behind every snapshot so that a slow follower is
served from the log (raft checklist S5). A snapshot is the whole state: of a large one, the next
waits until what it saves at a start is worth writing it (``limits.SNAPSHOT_STATE_PART``). And what
follows a snapshot that a follower is being sent stays until the follower has had the time to go on
from there: on a busy cluster the log would otherwise be gone again each time it arrives, and one
snapshot would follow another. On disk the log reaches back to the snapshot before the newest as
well: should the newest prove damaged, the older one and the log make the same state.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.limits import (
    SNAPSHOT_COUNT_STRETCH,
    SNAPSHOT_HELD_ENTRIES,
    SNAPSHOT_HELD_S,
    SNAPSHOT_LOG_BYTES,
    SNAPSHOT_SMALL_STATE_BYTES,
    SNAPSHOT_STATE_PART,
    SNAPSHOT_TRANSFER_TIMEOUT_S,
)
from kvorum.machine.apply import Machine
from kvorum.raft.messages import SnapshotOffer
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica.effects import (
    CutLog,
    DiscardSnapshot,
    InstallSnapshot,
    SaveSnapshot,
    SendSnapshot,
)
from kvorum.replica.inputs import SnapshotReceived, SnapshotSent
from kvorum.replica.state import NodeState


class _Held(NamedTuple):
    """A follower goes on from ``since``, once the snapshot has ``arrived``, at that tick."""

    since: int
    arrived: int = 0


class Snapshots:
    """The snapshots of one node."""

    def __init__(self, state: NodeState, saved_index: int) -> None:
        self._state = state
        self.saved_index = saved_index
        self._saving = 0
        self._bytes_at_cut = 0
        self._staged: list[SnapshotReceived] = []  # arrived in this turn
        self._sending: dict[int, int] = {}  # peer -> tick at which its transfer began
        self._sending_ticks = state.config.ticks(2000 * int(SNAPSHOT_TRANSFER_TIMEOUT_S))
        self._held: dict[int, _Held] = {}  # by peer
        self._held_ticks = state.config.ticks(1000 * SNAPSHOT_HELD_S)

    # --- own --------------------------------------------------------------------------------------

    def maybe_cut(self) -> None:
        """Cut one when enough was applied since the last: entries, or bytes of them; and of a large
        state, so much that writing it all is worth it.
        """
        state = self._state
        applied, count = state.machine.applied_index, state.config.snapshot_count
        entries, grown = applied - self.saved_index, state.applied_bytes - self._bytes_at_cut
        if self._saving or (entries < count and grown < SNAPSHOT_LOG_BYTES):
            return
        size = state.machine.keyspace.live_bytes
        if (
            size >= SNAPSHOT_SMALL_STATE_BYTES
            and grown < size // SNAPSHOT_STATE_PART
            and entries < count * SNAPSHOT_COUNT_STRETCH
        ):
            return
        self._saving = applied
        self._bytes_at_cut = state.applied_bytes
        state.out.append(SaveSnapshot(self._meta(), state.machine.image(), state.machine.revision))

    def saved(self, index: int) -> None:
        """The file is complete: the log may forget what lies far enough behind it."""
        state = self._state
        if index == self._saving:
            self._saving = 0
        if index <= self.saved_index:
            return
        older, self.saved_index = self.saved_index, index
        keep_from = self._needed(index - state.config.catchup_entries)
        if keep_from > 0:
            state.raft.compact_log(keep_from)
            if older:
                state.out.append(CutLog(min(keep_from, older)))

    def _needed(self, keep_from: int) -> int:
        """How far the log may be forgotten: ``keep_from``, or less for who goes on from a
        snapshot.
        """
        state = self._state
        if not state.leading:
            self._held.clear()
        if not self._held:
            return keep_from
        kept = keep_from
        matches = {each.member: each.match for each in state.raft.status().progress}
        for peer, held in list(self._held.items()):
            match = matches.get(peer, 0)
            if peer not in self._sending and (
                match >= keep_from
                or state.unreachable_tick.get(peer, 0) > held.arrived
                or state.now >= held.arrived + self._held_ticks
            ):
                del self._held[peer]  # It has caught up, or has gone, or has had its time.
            else:
                kept = min(kept, max(held.since, match))
        return max(kept, keep_from - SNAPSHOT_HELD_ENTRIES)

    def _meta(self) -> SnapshotMeta:
        machine = self._state.machine
        return SnapshotMeta(machine.applied_index, machine.applied_term, self._conf())

    def _conf(self) -> ConfState:
        return self._state.raft.conf

    # --- to a follower ----------------------------------------------------------------------------

    def offer(self, offer: SnapshotOffer) -> None:
        """Raft wants a follower to get a snapshot: the state as it is now, not an older file."""
        state = self._state
        if offer.to in self._sending:
            return
        self._sending[offer.to] = state.now
        meta = self._meta()
        self._held[offer.to] = _Held(meta.index)
        state.out.append(
            SendSnapshot(
                offer.to,
                offer.term,
                meta,
                state.machine.image(),
                state.machine.revision,
                state.history_floor,
            )
        )

    def sent(self, report: SnapshotSent) -> None:
        """The body arrived or did not; raft goes on probing either way."""
        self._sending.pop(report.peer, None)
        held = self._held.pop(report.peer, None)
        if held is not None and report.ok:
            self._held[report.peer] = held._replace(arrived=self._state.now)
        self._state.raft.report_snapshot(report.peer, report.ok)

    def tick(self) -> None:
        """A transfer that nobody reported on for twice its longest time counts as failed: raft
        would wait for the report for ever (raft checklist S4).
        """
        for peer, began in list(self._sending.items()):
            if self._state.now - began >= self._sending_ticks:
                self.sent(SnapshotSent(peer, False))

    # --- from a leader ----------------------------------------------------------------------------

    def received(self, arrival: SnapshotReceived) -> None:
        """A whole, checked body is at hand: now raft may see the offer."""
        state = self._state
        self._staged.append(arrival)
        state.raft.step(
            SnapshotOffer(state.config.member_id, arrival.sender, arrival.term, arrival.meta)
        )

    def install(self, meta: SnapshotMeta, hard_state: HardState) -> Machine:
        """Raft took one of the offers stepped in this turn: its state replaces the node's."""
        taken = next(staged for staged in self._staged if staged.meta == meta)
        self._staged.remove(taken)
        self._state.out.append(InstallSnapshot(taken.token, meta, hard_state))
        # The history comes with the state, complete from where the sender's was.
        self._state.history_floor = taken.history_floor
        self.saved_index = meta.index
        self._bytes_at_cut = self._state.applied_bytes
        self._saving = 0
        return taken.machine

    def settle(self) -> None:
        """After raft's bundle: offers that raft did not take are let go."""
        for staged in self._staged:
            self._state.out.append(DiscardSnapshot(staged.token))
        self._staged.clear()

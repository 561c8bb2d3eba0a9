"""When a snapshot is cut, what the log may then forget, and how one from the leader takes the place
of the state.

The cut is atomic because the machine's image is taken between two applied entries; writing it is
the world's business. The log
keeps a stretch behind every snapshot so that a slow follower is served from the log (raft checklist
S5).
"""

from __future__ import annotations

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


class Snapshots:
    """The snapshots of one node."""

    def __init__(self, state: NodeState, saved_index: int) -> None:
        self._state = state
        self.saved_index = saved_index
        self._saving = 0
        self._staged: tuple[int, SnapshotMeta, Machine] | None = None
        self._sending: set[int] = set()

    # --- own --------------------------------------------------------------------------------------

    def maybe_cut(self) -> None:
        """Cut one when enough was applied since the last."""
        state = self._state
        applied = state.machine.applied_index
        if self._saving or applied - self.saved_index < state.config.snapshot_count:
            return
        self._saving = applied
        state.out.append(SaveSnapshot(self._meta(), state.machine.image(), state.machine.revision))

    def saved(self, index: int) -> None:
        """The file is complete: the log may forget what lies far enough behind it."""
        state = self._state
        if index == self._saving:
            self._saving = 0
        if index <= self.saved_index:
            return
        self.saved_index = index
        keep_from = index - state.config.catchup_entries
        if keep_from > 0:
            state.raft.compact_log(keep_from)
            state.out.append(CutLog(keep_from))

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
        self._sending.add(offer.to)
        state.out.append(
            SendSnapshot(
                offer.to, offer.term, self._meta(), state.machine.image(), state.machine.revision
            )
        )

    def sent(self, report: SnapshotSent) -> None:
        """The body arrived or did not; raft goes on probing either way."""
        self._sending.discard(report.peer)
        self._state.raft.report_snapshot(report.peer, report.ok)

    # --- from a leader ----------------------------------------------------------------------------

    def received(self, arrival: SnapshotReceived) -> None:
        """A whole, checked body is at hand: now raft may see the offer."""
        state = self._state
        if self._staged is not None:
            state.out.append(DiscardSnapshot(self._staged[0]))
        self._staged = (arrival.token, arrival.meta, arrival.machine)
        state.raft.step(
            SnapshotOffer(state.config.member_id, arrival.sender, arrival.term, arrival.meta)
        )

    def install(self, meta: SnapshotMeta, hard_state: HardState) -> Machine:
        """Raft took the offer that was stepped last: its state replaces the node's."""
        assert self._staged is not None, "raft installs only what was stepped"
        token, staged_meta, machine = self._staged
        assert staged_meta.index == meta.index, (staged_meta, meta)
        self._staged = None
        self._state.out.append(InstallSnapshot(token, meta, hard_state))
        self.saved_index = meta.index
        self._saving = 0
        return machine

    def settle(self) -> None:
        """After raft's bundle: an offer that raft did not take is let go."""
        if self._staged is not None:
            self._state.out.append(DiscardSnapshot(self._staged[0]))
            self._staged = None

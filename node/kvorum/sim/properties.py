"""What must hold after every event of a run (thesis, figure 3.2; of the members, chapter 4), and
the order of the log as an oracle.

Each property is checked where it can break, in constant time: when a leader appears, when entries
are written, when something is applied. Log matching is checked by induction: every (index, term)
has one content and one predecessor, ever. Configurations are part of the state: whoever has applied
as much has the same one, it is what the member table says, changes come one at a time, and an id
that was removed is never in one again.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.raft.types import ConfState, Entry, EntryKind, Role
from kvorum.replica.replica import Replica
from kvorum.sim.world import World


class _Slot(NamedTuple):
    data: bytes
    prev_term: int


class Properties:
    """The judge of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.leaders: dict[int, int] = {}
        self._slots: dict[tuple[int, int], _Slot] = {}
        self.committed: dict[int, Entry] = {}
        self.committed_us: dict[int, int] = {}
        self._digests: dict[int, tuple[int, int, ConfState]] = {}
        self._confs: dict[int, tuple[ConfState, int]] = {}
        self._applied_at: dict[int, int] = {}
        self._removed: dict[int, int] = {}  # id -> an applied index at which it was removed
        self._last_led: dict[int, tuple[int, int]] = {}
        self._terms: dict[int, int] = {}
        self._revisions: dict[int, int] = {}
        self.highest_commit = 0

    def observe(self, node: int, replica: Replica) -> None:
        """After every batch of inputs of a node."""
        raft = replica.raft
        if raft.term < self._terms.get(node, 0):
            self._world.fail(f"node {node}: its term went back to {raft.term}")
        self._terms[node] = raft.term
        if replica.role is Role.LEADER:
            self._leading(node, replica)
        else:
            self._last_led.pop(node, None)
        if raft.conf.voters:  # Without any it waits for a leader's snapshot.
            self._applied(node, replica)

    def restarted(self, node: int) -> None:
        """A crash took what was volatile: revision and leadership start anew from the disk."""
        self._last_led.pop(node, None)
        self._revisions.pop(node, None)
        self._confs.pop(node, None)
        self._applied_at.pop(node, None)
        self._terms.pop(node, None)

    def _leading(self, node: int, replica: Replica) -> None:
        raft = replica.raft
        known = self.leaders.setdefault(raft.term, node)
        if known != node:
            self._world.fail(f"election safety: {known} and {node} both lead term {raft.term}")
        term, last = self._last_led.get(node, (0, 0))
        if term != raft.term:
            if node in raft.conf.learners:
                self._world.fail(f"election safety: {node} leads term {raft.term} as a learner")
            self._complete(node, replica)
        elif raft.log.last_index < last:
            self._world.fail(f"leader append-only: {node} cut its log from {last}")
        self._last_led[node] = (raft.term, raft.log.last_index)

    def _complete(self, node: int, replica: Replica) -> None:
        """Leader completeness: a new leader holds every entry that was ever committed."""
        raft = replica.raft
        for index in range(raft.log.first_index, self.highest_commit + 1):
            entry = self.committed.get(index)
            if entry is not None and raft.term_at(index) != entry.term:
                self._world.fail(
                    f"leader completeness: {node} leads term {raft.term} without entry {index} of "
                    f"term {entry.term}"
                )

    def written(self, node: int, replica: Replica, entries: tuple[Entry, ...]) -> None:
        """Log matching: the same index and term means the same entry with the same one before
        it."""
        for entry in entries:
            if entry.kind != EntryKind.NORMAL:
                self._one_change(node, replica, entry)
            prev_term = replica.raft.term_at(entry.index - 1)
            if prev_term is None:
                continue
            slot = _Slot(entry.data, prev_term)
            known = self._slots.setdefault((entry.index, entry.term), slot)
            if known != slot:
                self._world.fail(
                    f"log matching: entry {entry.index}.{entry.term} differs at {node}"
                )

    def _one_change(self, node: int, replica: Replica, change: Entry) -> None:
        """A leader proposes a change of the members only when it has applied the one before, and
        has committed an entry of its own term (thesis 4.1, and its correction of 2015)."""
        raft = replica.raft
        if replica.role is not Role.LEADER or change.term != raft.term:
            return
        for entry in raft.entries_slice(replica.machine.applied_index + 1, change.index):
            if entry.kind != EntryKind.NORMAL:
                self._world.fail(
                    f"one change at a time: {node} proposed {change.index} before {entry.index} "
                    f"was applied"
                )
        if raft.term_at(raft.log.commit) != raft.term:
            self._world.fail(
                f"own term first: {node} proposed change {change.index} in term {raft.term}, "
                f"committed only up to {raft.log.commit}"
            )

    def _configured(self, node: int, replica: Replica) -> None:
        """A node has another configuration than before."""
        conf, table = replica.raft.conf, replica.machine.members
        self._confs[node] = conf, len(table)
        at = replica.machine.applied_index
        learners = tuple([member.id for member in table.all() if member.is_learner])
        members = tuple([member.id for member in table.all()])
        if (members, learners) != (conf.members(), conf.learners):
            self._world.fail(f"members: node {node} has {members} and {learners}, but {conf}")
        for member in table.removed:
            self._removed[member] = min(at, self._removed.get(member, at))
        for member in members:
            if self._removed.get(member, at + 1) <= at:
                self._world.fail(f"id reused: {member} was removed and is a member at {at}")

    def committed_at(self, node: int, entries: tuple[Entry, ...]) -> None:
        """State machine safety: one entry for each committed index, for ever."""
        for entry in entries:
            known = self.committed.setdefault(entry.index, entry)
            self.committed_us.setdefault(entry.index, self._world.now_us)
            if known != entry:
                self._world.fail(
                    f"state machine safety: index {entry.index} has terms {known.term} and "
                    f"{entry.term} at {node}"
                )
            self.highest_commit = max(self.highest_commit, entry.index)

    def _applied(self, node: int, replica: Replica) -> None:
        machine = replica.machine
        index, digest = machine.applied_index, machine.digest
        raft = replica.raft
        state = digest, machine.revision, raft.conf
        if self._applied_at.get(node) != index:
            self._applied_at[node] = index
            # A change of the members shows in one of these, or in both.
            if self._confs.get(node) != (raft.conf, len(machine.members)):
                self._configured(node, replica)
        known = self._digests.setdefault(index, state)
        if known != state:
            what = "digests" if known[:2] != state[:2] else "configurations"
            self._world.fail(f"{what} differ at applied index {index}: node {node}")
        if machine.revision < self._revisions.get(node, 0):
            self._world.fail(f"node {node}: its revision went back to {machine.revision}")
        self._revisions[node] = machine.revision
        if raft.log.commit < index:
            self._world.fail(f"node {node} applied {index} beyond its commit index")

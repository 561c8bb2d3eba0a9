"""What must hold after every event of a run (thesis, figure 3.2), and the order of the log as an
oracle.

Each property is checked where it can break, in constant time: when a leader appears, when entries
are written, when something is applied. Log matching is checked by induction: every (index, term)
has one content and one predecessor, ever.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.raft.types import Entry, Role
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
        self._digests: dict[int, tuple[int, int]] = {}
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
        self._applied(node, replica)

    def restarted(self, node: int) -> None:
        """A crash took what was volatile: revision and leadership start anew from the disk."""
        self._last_led.pop(node, None)
        self._revisions.pop(node, None)
        self._terms.pop(node, None)

    def _leading(self, node: int, replica: Replica) -> None:
        raft = replica.raft
        known = self.leaders.setdefault(raft.term, node)
        if known != node:
            self._world.fail(f"election safety: {known} and {node} both lead term {raft.term}")
        term, last = self._last_led.get(node, (0, 0))
        if term != raft.term:
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
            prev_term = replica.raft.term_at(entry.index - 1)
            if prev_term is None:
                continue
            slot = _Slot(entry.data, prev_term)
            known = self._slots.setdefault((entry.index, entry.term), slot)
            if known != slot:
                self._world.fail(
                    f"log matching: entry {entry.index}.{entry.term} differs at {node}"
                )

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
        known = self._digests.setdefault(index, (digest, machine.revision))
        if known != (digest, machine.revision):
            self._world.fail(f"digests differ at applied index {index}: node {node}")
        if machine.revision < self._revisions.get(node, 0):
            self._world.fail(f"node {node}: its revision went back to {machine.revision}")
        self._revisions[node] = machine.revision
        if replica.raft.log.commit < index:
            self._world.fail(f"node {node} applied {index} beyond its commit index")

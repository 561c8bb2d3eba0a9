"""Checkpoints of leases: how much of a long lease was left, told to the log now and then.

Without them every new leader gives every lease its whole time again, so that a lease of a day never
ends in a cluster that changes its leader daily. With them (``--enable-lease-checkpoint``) the
leader records what is left of every lease that has longer to go than the interval, and the next
leader goes on from there. What was recorded is never less than what is left: time has passed.

It must not survive a renewal, though: a leader that went on from a record older than the renewal
would end the lease early. Hence a renewal of a lease that has a record, or one on its way, is
answered only after an entry that takes the record back is applied.

Records are replicated state and part of every snapshot. ``--enable-lease-checkpoint-persist`` says
whether a member believes those that it found in a snapshot; without it they count until the log
that told of them is cut, as in etcd.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from kvorum.limits import LEASE_CHECKPOINT_BATCH, LEASE_CHECKPOINT_BATCHES
from kvorum.machine.apply import Machine
from kvorum.machine.commands import Command, LeaseCheckpoint, LeaseGrant, decode
from kvorum.machine.leases import Lease
from kvorum.raft.types import EntryKind, Role
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.state import NodeState

_HEAP_SLACK = 64  # Dead heap entries tolerated above as many as there are valid ones.


class Checkpoints:
    """What the leader records and takes back; every member, which records it believes.

    Args:
        propose: hands a command of the node's own to raft; False when raft did not take it.
    """

    def __init__(
        self, state: NodeState, clocks: LeaseClocks, propose: Callable[[Command], bool]
    ) -> None:
        self._state = state
        self._clocks = clocks
        self._propose = propose
        self._every_ticks = state.config.lease_checkpoint_ticks
        self._due: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        # Entries of this leader that are not applied yet: by lease, and those that take back.
        self._under_way: dict[int, int] = {}
        self._taking_back: dict[int, None] = {}
        self._disbelieved: dict[int, None] = {}
        self.recorded_total = 0
        self.replaced(state.machine)

    # --- what every member does -------------------------------------------------------------------

    def replaced(self, machine: Machine) -> None:
        """The state comes from a snapshot."""
        believes = self._state.config.lease_checkpoint_persist or not self._every_ticks
        found = () if believes else [lease.id for lease in machine.leases if lease.remaining_s]
        self._disbelieved = dict.fromkeys(found)

    def applied(self, command: LeaseCheckpoint) -> None:
        """An entry took effect."""
        for lease_id, _ in command.items:
            self._disbelieved.pop(lease_id, None)
            left = self._under_way.get(lease_id, 0) - 1
            if left > 0:
                self._under_way[lease_id] = left
            else:
                self._under_way.pop(lease_id, None)
                self._taking_back.pop(lease_id, None)

    def gone(self, lease_id: int) -> None:
        """A lease was revoked."""
        self._due.pop(lease_id, None)
        self._disbelieved.pop(lease_id, None)

    def left_s(self, lease: Lease) -> int:
        """What a new leader gives a lease, in seconds."""
        if not lease.remaining_s or lease.id in self._disbelieved:
            return lease.ttl_s
        return lease.remaining_s

    # --- the leader's -----------------------------------------------------------------------------

    def promoted(self, leases: Iterable[Lease]) -> None:
        """The clocks run."""
        self.demoted()
        for lease in leases:
            self.granted(lease.id)

    def demoted(self) -> None:
        """Another member leads. What is under way is not this member's business any more: it is
        applied before another leader's clocks run.
        """
        self._due.clear()
        self._heap.clear()
        self._under_way.clear()
        self._taking_back.clear()

    def granted(self, lease_id: int) -> None:
        """Look at a lease after the interval, if it lives longer than that."""
        state, every = self._state, self._every_ticks
        left_ms = self._clocks.remaining_ms(state.now, lease_id)
        if every and left_ms > every * state.config.tick_ms:
            self._due[lease_id] = state.now + every
            heapq.heappush(self._heap, (state.now + every, lease_id))
            if len(self._heap) > 2 * len(self._due) + _HEAP_SLACK:
                self._heap = [(at, x) for x, at in self._due.items()]
                heapq.heapify(self._heap)

    def scan(self) -> None:
        """Record what is left of leases whose interval is over, a bounded number of them."""
        if not self._leads():
            return
        renamed: set[int] | None = None
        for _ in range(LEASE_CHECKPOINT_BATCHES):
            batch = self._next_batch()
            if not batch:
                return
            if renamed is None:
                renamed = self._being_granted()
            batch = [item for item in batch if item[0] not in renamed]
            if batch and not self._enter(batch):
                # Due again at the next scan.
                for lease_id, _ in batch:
                    self._due[lease_id] = self._state.now
                    heapq.heappush(self._heap, (self._state.now, lease_id))
                return
            self.recorded_total += len(batch)

    def _next_batch(self) -> list[tuple[int, int]]:
        now, heap, batch = self._state.now, self._heap, list[tuple[int, int]]()
        table = self._state.machine.leases
        while heap and heap[0][0] <= now and len(batch) < LEASE_CHECKPOINT_BATCH:
            at, lease_id = heapq.heappop(heap)
            lease = table.get(lease_id)
            if self._due.get(lease_id) != at or lease is None:
                continue
            del self._due[lease_id]
            left_s = -(-self._clocks.remaining_ms(now, lease_id) // 1000)
            self.granted(lease_id)
            # A promotion's grace is not the lease's own. One that is being taken back has its turn
            # after the next interval.
            if 0 < left_s < lease.ttl_s and lease_id not in self._under_way:
                batch.append((lease_id, left_s))
        return batch

    def _being_granted(self) -> set[int]:
        """Ids that entries on their way may give to new leases. A record of the lease that has the
        id now would come behind them, and be taken for one of the new lease.
        """
        raft, applied = self._state.raft, self._state.machine.applied_index
        found = set()
        for entry in raft.entries_slice(applied + 1, raft.log.last_index + 1):
            if entry.kind is EntryKind.NORMAL and entry.data:
                command = decode(entry.data).command
                if isinstance(command, LeaseGrant):
                    found.add(command.id)
        return found

    def must_take_back(self, lease: Lease) -> bool:
        """A renewal may not be answered yet: there is a record of the time before it, or there may
        be one soon. Sees to it that it is taken back.
        """
        if not (lease.remaining_s or lease.id in self._under_way):
            return False
        if lease.id not in self._taking_back and self._leads() and self._enter([(lease.id, 0)]):
            self._taking_back[lease.id] = None
        return True

    def _enter(self, items: list[tuple[int, int]]) -> bool:
        if not self._propose(LeaseCheckpoint(tuple(items))):
            return False
        for lease_id, _ in items:
            self._under_way[lease_id] = self._under_way.get(lease_id, 0) + 1
        return True

    def _leads(self) -> bool:
        """Raft itself leads, in the term these clocks belong to. A follower would forward the
        entry, and a record that comes late could follow a renewal by the next leader.
        """
        raft = self._state.raft
        leads = raft.state.kind() is Role.LEADER and raft.term == self._state.term
        return leads and self._clocks.active

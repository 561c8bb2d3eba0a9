"""The replica: inputs in, effects out. See the room's essay for the order of things."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kvorum.errors import Condition
from kvorum.limits import LEASE_SCAN_MS
from kvorum.machine import commands
from kvorum.machine.apply import Machine
from kvorum.raft.config import Config
from kvorum.raft.core import Raft
from kvorum.raft.messages import Message, SnapshotOffer
from kvorum.raft.ready import Ready
from kvorum.raft.types import Entry, HardState, ProposalDropped, Role, SoftState
from kvorum.replica import inputs as i
from kvorum.replica.applying import Applier
from kvorum.replica.catchup import CatchUp
from kvorum.replica.checkpoints import Checkpoints
from kvorum.replica.effects import Effect, Persist, RoleChanged, Send
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.proposals import Proposals
from kvorum.replica.reading import Reading
from kvorum.replica.snapshots import Snapshots
from kvorum.replica.state import Boot, NodeState, ReplicaConfig
from kvorum.replica.statistics import ReplicaStatistics
from kvorum.replica.waiting import Waiter, Waiting
from kvorum.replica.watches import WatchHub


class Replica:
    """One node without hands.

    Args:
        config: identity, timing and bounds.
        boot: what the node's disk held, or the first state of a new cluster.
        rng: every random choice (election timeouts, lease ids) comes from here.
    """

    def __init__(self, config: ReplicaConfig, boot: Boot, rng: random.Random) -> None:
        raft = Raft(
            Config(
                id=config.member_id,
                election_ticks=config.election_ticks,
                heartbeat_ticks=1,
                pre_vote=config.pre_vote,
                check_quorum=config.check_quorum,
                max_uncommitted_bytes=config.max_uncommitted_bytes,
            ),
            hard_state=boot.hard_state,
            snapshot=boot.snapshot,
            entries=boot.entries,
            applied=boot.snapshot.index,
            rng=rng,
        )
        self._state = state = NodeState(config, raft, boot.machine, rng)
        state.term = boot.hard_state.term
        self._waiting = Waiting()
        self._clocks = LeaseClocks(
            tick_ms=config.tick_ms,
            grace_ticks=config.election_ticks,
            retry_ticks=config.ticks(5000) + 2 * config.election_ticks,
        )
        state.history_floor = boot.history_floor
        self._hub = WatchHub(
            boot.machine.revision, state.oldest_revision, config.watch_buffer_bytes
        )
        self._catch_up = CatchUp(state, self._hub)
        self._proposals = Proposals(state, self._waiting)
        self._checkpoints = Checkpoints(state, self._clocks, self._proposals.propose_own)
        self._reading = Reading(state, self._waiting, self._clocks, self._checkpoints)
        self._snapshots = Snapshots(state, boot.snapshot.index)
        self._applier = Applier(
            state,
            self._waiting,
            self._proposals,
            self._reading,
            self._hub,
            self._clocks,
            self._checkpoints,
            boot.history_applied,
        )
        self._unpersisted: deque[int] = deque()
        self._held: deque[tuple[int, tuple[Message, ...]]] = deque()
        self._unwritten: HardState | None = None  # newer than what is on its way to the disk
        self._recalled = False  # what the start found in the log is applied
        self._ticket = 0
        self._history_revision = 0
        self._leader_changes = 0
        self._transfers: list[int] = []
        self._handlers: dict[type, Callable[[Any], None]] = self._table()

    # --- the one way in ---------------------------------------------------------------------------

    def handle_all(self, batch: Sequence[i.Input]) -> list[Effect]:
        """Take everything that happened since the last turn, in order; give back what to do, in
        order."""
        state = self._state
        state.out = []
        for happened in batch:
            self._handlers[type(happened)](happened)
        self._advance()
        return state.out

    def handle(self, happened: i.Input) -> list[Effect]:
        """One input; see :meth:`handle_all`."""
        return self.handle_all((happened,))

    def _table(self) -> dict[type, Callable[[Any], None]]:
        proposals, reading, hub = self._proposals, self._reading, self._hub
        snapshots, leasing = self._snapshots, self._reading.leasing
        return {
            i.Tick: self._tick,
            i.Received: self._received,
            i.Unreachable: self._unreachable,
            i.Propose: proposals.propose,
            i.Read: reading.read,
            i.Barrier: reading.barrier,
            i.HashAt: reading.hash_at,
            i.LeaseAsk: leasing.ask,
            i.PeerLeaseAsk: leasing.peer_ask,
            i.PeerLeaseAnswer: leasing.peer_answer,
            i.PeerDigest: self._applier.peer_digest,
            i.TransferLeader: self._transfer,
            i.ChangeMembers: proposals.change_members,
            i.Cancel: lambda x: proposals.cancel(x.request_id),
            i.Persisted: self._persisted,
            i.SnapshotSaved: lambda x: snapshots.saved(x.saved_index),
            i.SnapshotReceived: snapshots.received,
            i.SnapshotInstalled: lambda x: None,
            i.SnapshotSent: snapshots.sent,
            i.HistoryAdvanced: self._history_advanced,
            i.HistoryRecords: reading.history_records,
            i.HistoryEvents: self._catch_up.answered,
            i.HistoryCompacted: self._applier.history_compacted,
            i.WatchCreate: lambda x: hub.create(x.stream, x.spec),
            i.WatchCancel: lambda x: hub.cancel(x.stream, x.watch_id),
            i.WatchProgress: lambda x: hub.progress(x.stream),
            i.WatchProgressDue: lambda x: hub.progress_due(x.stream),
            i.WatchTaken: lambda x: hub.taken(x.stream, x.taken_bytes),
            i.WatchClose: lambda x: hub.close(x.stream),
        }

    # --- inputs that concern several parts --------------------------------------------------------

    def _tick(self, _: i.Tick) -> None:
        state = self._state
        state.now += 1
        if self._unwritten is not None:
            self._write(self._ticket, (), sync=False)
        state.raft.tick()
        self._proposals.expire()
        self._reading.tick()
        if state.leader:
            self._proposals.retry_parked()
        if state.now % state.config.ticks(LEASE_SCAN_MS) == 0:
            self._end_leases()
            self._checkpoints.scan()
        if state.now % state.config.election_ticks == 0:
            self._applier.report_digest()
            self._snapshots.tick()

    def _end_leases(self) -> None:
        """Propose the end of leases whose time is over, in the term this was judged in."""
        state, clocks = self._state, self._clocks
        if not (state.leading and clocks.active):
            return
        for lease_id in clocks.due(state.now):
            end = commands.LeaseExpire((lease_id,), state.term)
            state.tally.leases_ended += 1
            clocks.proposed(state.now, lease_id, self._proposals.propose_own(end))

    def _received(self, received: i.Received) -> None:
        step = self._state.raft.step
        for message in received.messages:
            step(message)

    def _unreachable(self, report: i.Unreachable) -> None:
        self._state.unreachable_tick[report.peer] = self._state.now
        self._state.raft.report_unreachable(report.peer)

    def _transfer(self, request: i.TransferLeader) -> None:
        state = self._state
        if not state.leading:
            state.failed(request.request_id, Condition.NOT_LEADER)
            return
        if request.target not in state.raft.conf.voters:
            state.failed(request.request_id, Condition.BAD_LEADER_TRANSFEREE)
            return
        if request.target == state.config.member_id:
            state.done(request.request_id, None)
            return
        try:
            state.raft.transfer_leadership(request.target)
        except ProposalDropped as dropped:
            # Raft stepped down within this very turn.
            state.failed(request.request_id, Condition.NOT_LEADER, str(dropped))
            return
        deadline = state.now + request.timeout_ticks
        self._waiting.add(Waiter(request.request_id, request, state.now, deadline))
        # Those that timed out meanwhile are of no more use.
        self._transfers = [r for r in self._transfers if r in self._waiting]
        self._transfers.append(request.request_id)

    def _persisted(self, persisted: i.Persisted) -> None:
        raft, unpersisted = self._state.raft, self._unpersisted
        while unpersisted and unpersisted[0] <= persisted.ticket:
            unpersisted.popleft()
        raft.persisted(persisted.ticket)
        while self._held and self._held[0][0] <= persisted.ticket:
            self._send(self._held.popleft()[1])

    def _history_advanced(self, advanced: i.HistoryAdvanced) -> None:
        self._history_revision = max(self._history_revision, advanced.revision)
        self._applier.history_applied = max(self._applier.history_applied, advanced.applied_index)
        self._state.machine.window.release(advanced.revision)

    # --- raft's bundle ----------------------------------------------------------------------------

    def _advance(self) -> None:
        state = self._state
        raft = state.raft
        self._applier.started()
        self._reading.issue()
        while self._has_ready():
            self._take(raft.ready())
        self._recalled = True
        self._snapshots.settle()
        self._reading.serve()
        self._catch_up.turn()
        state.out.extend(self._hub.deliveries(state.term))
        self._snapshots.maybe_cut()

    def _has_ready(self) -> bool:
        """More to do; with a history that does not keep up, nothing is applied or taken from a
        leader, but for what a start finds in its log: that says who is a member."""
        raft = self._state.raft
        raft.hold_back(self._recalled and self._state.machine.window.overfull)
        return raft.has_ready()

    def _take(self, ready: Ready) -> None:
        state = self._state
        if ready.soft_state is not None:
            self._soft_state(ready.soft_state)
        if ready.hard_state is not None:
            state.term = ready.hard_state.term
        if ready.snapshot is not None:
            hard_state = HardState(state.raft.term, state.raft.vote, state.raft.log.commit)
            machine = self._snapshots.install(ready.snapshot, hard_state)
            self._replace_machine(machine)
        self._send(ready.messages)
        self._persist(ready)
        if ready.committed:
            self._applier.apply(ready.committed)
            state.raft.applied_to(ready.committed[-1].index)
        for granted in ready.read_states:
            self._reading.granted(granted.context, granted.index)
        for context in ready.reads_dropped:
            self._reading.dropped(context)
        for refused in ready.refused:
            self._proposals.refused(refused)

    def _persist(self, ready: Ready) -> None:
        """Messages that speak of durable state leave when what they speak of is durable.

        A commit index that merely moved waits for the next write, or for the next tick: it may lag
        on disk without harm (raft checklist A9), and half of all writes would be for it alone.
        """
        state = self._state
        if ready.hard_state is not None:
            self._unwritten = ready.hard_state
        if not ready.must_sync:
            if not self._unpersisted:
                state.raft.persisted(ready.ticket)
                self._send(ready.messages_after_persist)
            elif ready.messages_after_persist:
                self._held.append((self._unpersisted[-1], ready.messages_after_persist))
            return
        self._write(ready.ticket, tuple(ready.entries), sync=True)
        if ready.messages_after_persist:
            self._held.append((ready.ticket, ready.messages_after_persist))

    def _write(self, ticket: int, entries: tuple[Entry, ...], *, sync: bool) -> None:
        self._unpersisted.append(ticket)
        self._state.out.append(Persist(ticket, self._unwritten, entries, sync))
        self._unwritten = None
        self._ticket = ticket

    def _send(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        by_peer: dict[int, list[Message]] = {}
        for message in messages:
            if isinstance(message, SnapshotOffer):
                self._snapshots.offer(message)
            else:
                by_peer.setdefault(message.to, []).append(message)
        for to, batch in by_peer.items():
            self._state.out.append(Send(to, tuple(batch)))

    def _soft_state(self, soft: SoftState) -> None:
        state = self._state
        new_leader = soft.leader != state.leader and soft.leader
        state.leader, state.role = soft.leader, soft.role
        state.term = state.raft.term
        if soft.role is not Role.LEADER and self._clocks.active:
            self._clocks.demote()
            self._checkpoints.demoted()
        if new_leader:
            self._leader_changes += 1
            state.elected_tick = state.now
            self._proposals.retry_parked()
            self._reading.leasing.leader_changed()
        for request_id in self._transfers:
            waiter = self._waiting.get(request_id)
            if waiter is None:
                continue
            assert isinstance(waiter.request, i.TransferLeader)
            if soft.leader == waiter.request.target:
                self._waiting.pop(request_id)
                state.done(request_id, None)
        self._transfers = [r for r in self._transfers if r in self._waiting]
        state.out.append(RoleChanged(soft.leader, soft.role, state.raft.term))

    def _replace_machine(self, machine: Machine) -> None:
        state = self._state
        state.machine = machine
        self._history_revision = machine.revision
        self._checkpoints.replaced(machine)
        self._applier.replaced(machine)
        self._hub.reset(machine.revision, state.oldest_revision)
        self._catch_up.replaced()

    # --- looking in -------------------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """The state, for reading only."""
        return self._state.machine

    @property
    def history_floor(self) -> int:
        """The oldest revision that this member's history knows completely; see ``Boot``."""
        return self._state.history_floor

    @property
    def leader(self) -> int:
        """Who leads as far as this node knows, 0 for nobody."""
        return self._state.leader

    @property
    def role(self) -> Role:
        """This node's role."""
        return self._state.role

    @property
    def term(self) -> int:
        """The newest term this node knows."""
        return self._state.raft.term

    @property
    def raft(self) -> Raft:
        """Raft, for reading only (log tail, progress)."""
        return self._state.raft

    def lease_ids(self) -> list[int]:
        """Ids of all leases of this node's state; on the leader those first that end first."""
        return self._reading.leasing.ids()

    def statistics(self) -> ReplicaStatistics:
        """A frozen picture of this moment."""
        machine = self._state.machine
        return ReplicaStatistics(
            raft=self._state.raft.status(),
            revision=machine.revision,
            compact_revision=machine.compact_revision,
            keys=len(machine.keyspace),
            leases=len(machine.leases),
            digest=machine.digest,
            applied=machine.applied_index,
            snapshot_index=self._snapshots.saved_index,
            history_applied=self._applier.history_applied,
            history_revision=self._history_revision,
            window_events=machine.window.event_count,
            watchers=self._hub.watcher_count,
            watch_streams=len(self._hub.streams),
            slow_watchers=self._hub.slow_count,
            watch_events_total=self._hub.delivered_total,
            pending_requests=self._proposals.pending,
            pending_reads=self._reading.pending,
            proposals_total=self._proposals.proposed_total,
            proposals_failed=self._proposals.failed_total,
            reads_total=self._reading.reads_total,
            leader_changes=self._leader_changes,
            lease_clocks=self._clocks.active,
            totals=self._state.tally.read(),
        )

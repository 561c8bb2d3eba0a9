"""Known mistakes, each as a patch: what the simulation must find, or it proves nothing.

Most are the mistakes of others: of raft's implementers, of etcd, of people who trusted a disk. Each
docstring says what goes wrong; tests/sim/test_planted_bugs.py says what finds it.

Long because it is a list: each mistake is a dozen lines that nothing else needs.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from kvorum.machine.apply import Machine
from kvorum.machine.commands import LeaseExpire
from kvorum.machine.image import MachineImage
from kvorum.machine.leases import Lease
from kvorum.machine.results import LeaseExpireResult
from kvorum.raft import leader as raft_leader
from kvorum.raft.core import Raft
from kvorum.raft.follower import Follower
from kvorum.raft.leader import Leader
from kvorum.raft.log import Log
from kvorum.raft.messages import AppendRequest, AppendResponse, Heartbeat
from kvorum.raft.reads import ReadRounds
from kvorum.raft.types import ConfState, Entry, HardState, ProposalDropped
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.proposals import Proposals
from kvorum.replica.reading import Reading
from kvorum.replica.reads import ReadRounds as ReplicaRounds
from kvorum.replica.state import Boot
from kvorum.replica.watches import Watcher, WatchHub
from kvorum.sim import boot as sim_boot
from kvorum.sim import history as sim_history
from kvorum.sim.history import SimHistory
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Mix, Plan, Strike, draw_plan
from kvorum.storage import replay
from kvorum.storage.interface import TornTail
from kvorum.storage.memory import MemoryFile
from kvorum.storage.wal import Wal

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


# --- disks ----------------------------------------------------------------------------------------


def reply_before_fsync(patch: Patch) -> None:
    """The disk says "done" before it is."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        original(node, effect)
        node._later(0, lambda: node.handle(i.Persisted(effect.ticket)))

    patch.setattr(SimNode, "_persist", persist)


def vote_not_persisted(patch: Patch) -> None:
    """A restart forgets whom the node voted for."""
    original = SimNode._persist

    def persist(node: SimNode, effect: e.Persist) -> None:
        hard = effect.hard_state
        if hard is not None:
            effect = effect._replace(hard_state=HardState(hard.term, 0, hard.commit))
        original(node, effect)

    patch.setattr(SimNode, "_persist", persist)


def fsync_error_swallowed(patch: Patch) -> None:
    """A failed fsync is taken for a good one."""
    original = MemoryFile.sync

    def sync(file: MemoryFile) -> None:
        try:
            original(file)
        except OSError:
            return

    patch.setattr(MemoryFile, "sync", sync)


def segment_name_not_synced(patch: Patch) -> None:
    """A new segment's name is not made durable before entries go into it."""
    original = Wal._start_segment

    def start(wal: Wal, sequence: int, previous_crc: int) -> None:
        if sequence == 1:
            original(wal, sequence, previous_crc)
            return
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(wal._disk, "sync_directory", lambda: None)
            original(wal, sequence, previous_crc)

    patch.setattr(Wal, "_start_segment", start)


def corrupt_tail_cut(patch: Patch) -> None:
    """Damage in the midst of the log is taken for a torn tail and cut off."""

    def judge(
        state: replay.Replay, name: str, buffer: bytes, offset: int, bad: Any, *, newest: bool
    ) -> None:
        state.torn = TornTail(name, offset, len(buffer) - offset, bad.reason)

    patch.setattr(replay, "_judge", judge)


def rows_and_applied_index_apart(patch: Patch) -> None:
    """The history commits its applied index in another transaction than its rows."""

    def flush(history: SimHistory) -> None:
        history.durable_rows, history.behind = getattr(history, "behind", 0), len(history.rows)
        history.durable_rows = min(history.durable_rows, len(history.rows))
        history.durable_applied = history.applied_index
        history.durable_revision = history.revision

    patch.setattr(SimHistory, "behind", 0, raising=False)
    patch.setattr(SimHistory, "flush", flush)


def rows_again_after_a_restart(patch: Patch) -> None:
    """Replayed entries go into the history a second time."""

    def forgetful(*fields: Any) -> Boot:
        return Boot(*fields)._replace(history_applied=0)

    patch.setattr(sim_boot, "Boot", forgetful)


# --- elections ------------------------------------------------------------------------------------


def old_log_wins(patch: Patch) -> None:
    """Votes are given to any candidate, however old its log."""
    patch.setattr(Log, "is_up_to_date", lambda log, index, term: True)


def shorter_log_wins(patch: Patch) -> None:
    """Only the last terms are compared, not how long the logs are."""
    patch.setattr(Log, "is_up_to_date", lambda log, index, term: term >= log.last_term)


def votes_for_everybody(patch: Patch) -> None:
    """Whoever asks in the present term gets a vote, even if another has it."""
    original = Raft._on_vote_request

    def on_request(raft: Raft, request: Any) -> None:
        if not request.pre:
            raft.vote = 0
        original(raft, request)

    patch.setattr(Raft, "_on_vote_request", on_request)


def minority_is_enough(patch: Patch) -> None:
    """Entries count as committed one voter too early."""

    def value(conf: ConfState, of: Callable[[int], int]) -> int:
        held = sorted((of(voter) for voter in conf.voters), reverse=True)
        return held[max(0, len(held) // 2 - 1)]

    patch.setattr(raft_leader, "quorum_value", value)


# --- replication ----------------------------------------------------------------------------------


def leader_counts_what_it_has_not_written(patch: Patch) -> None:
    """The leader counts itself before its own disk is done."""
    original = Leader._match_of

    def match_of(leader: Leader, member: int) -> int:
        raft = leader.raft
        return raft.log.last_index if member == raft.id else original(leader, member)

    patch.setattr(Leader, "_match_of", match_of)
    persisted = Raft.ready

    def ready(raft: Raft) -> Any:
        if isinstance(raft.state, Leader):
            raft.state._advance_commit()
        return persisted(raft)

    patch.setattr(Raft, "ready", ready)


def acknowledged_before_it_is_written(patch: Patch) -> None:
    """A follower acknowledges entries on their arrival."""

    def acknowledge(raft: Raft, leader: int, index: int) -> None:
        raft.out.at_once.append(AppendResponse(leader, raft.id, raft.term, index))

    patch.setattr(Raft, "acknowledge", acknowledge)


def conflicting_tail_kept(patch: Patch) -> None:
    """Entries that contradict the leader's stay where they are."""

    def merge(log: Log, prev_index: int, entries: tuple[Entry, ...]) -> int:
        new = tuple(entry for entry in entries if entry.index > log.last_index)
        if new:
            log._entries.extend(new)
            log.last_index, log.last_term = new[-1][:2]
        return 0

    patch.setattr(Log, "merge", merge)


def previous_entry_not_compared(patch: Patch) -> None:
    """Entries are taken wherever the log is long enough."""
    original = Follower.on_append

    def on_append(follower: Follower, request: AppendRequest) -> None:
        term = follower.raft.log.term_at(request.prev_index)
        original(follower, request if term is None else request._replace(prev_term=term))

    patch.setitem(Follower.handlers, AppendRequest, on_append)  # type: ignore[arg-type]  # a dict


def heartbeats_tell_the_whole_commit(patch: Patch) -> None:
    """Heartbeats do not hold the commit index back to what the member is known to have."""

    def on_heartbeat(follower: Follower, beat: Heartbeat) -> None:
        leader = NODES_BY_TERM.get(beat.term)
        commit = beat.commit if leader is None else leader.log.commit
        commit = min(commit, follower.raft.log.last_index)
        original(follower, beat._replace(commit=max(beat.commit, commit)))

    NODES_BY_TERM: dict[int, Raft] = {}
    original = Follower.on_heartbeat
    broadcast = Leader._broadcast_heartbeat

    def remember(leader: Leader) -> None:
        NODES_BY_TERM[leader.raft.term] = leader.raft
        broadcast(leader)

    patch.setattr(Leader, "_broadcast_heartbeat", remember)
    patch.setitem(Follower.handlers, Heartbeat, on_heartbeat)  # type: ignore[arg-type]  # a dict


def retry_of_forwarded_writes(patch: Patch) -> None:
    """What entered raft is proposed again at every change of leader."""
    original = Proposals.retry_parked

    def retry(proposals: Proposals) -> None:
        for data in list(proposals._own):
            with contextlib.suppress(ProposalDropped):
                proposals._state.raft.propose(data)
        original(proposals)

    patch.setattr(Proposals, "retry_parked", retry)


# --- reads ----------------------------------------------------------------------------------------


def reads_without_a_round(patch: Patch) -> None:
    """Every node answers linearizable reads from its own state."""

    def read(reading: Reading, request: i.Read) -> None:
        reading._answer(request.request_id, request.query)

    patch.setattr(Reading, "read", read)


def reads_before_the_first_commit(patch: Patch) -> None:
    """A new leader confirms reads before it has committed anything of its own term."""

    def due(leader: Leader) -> bool:
        return bool(leader.reads.waiting) and not leader.reads.in_flight

    patch.setattr(Leader, "_round_is_due", due)


def reads_do_not_wait_to_apply(patch: Patch) -> None:
    """A confirmed read is answered at once, whatever has been applied."""
    original = ReplicaRounds.granted

    def granted(rounds: ReplicaRounds, context: int, index: int) -> None:
        original(rounds, context, 0)

    patch.setattr(ReplicaRounds, "granted", granted)


def reads_confirmed_by_the_leader_alone(patch: Patch) -> None:
    """A leader confirms reads without asking whether it still leads."""
    patch.setattr(ReadRounds, "is_confirmed", lambda rounds, leader, conf: bool(rounds.in_flight))


# --- leases ---------------------------------------------------------------------------------------


def leases_start_empty(patch: Patch) -> None:
    """Leases start with no time after a change of leader."""
    original = LeaseClocks.promote

    def promote(clocks: LeaseClocks, now: int, leases: Any) -> None:
        original(clocks, now, [(lease, 0) for lease, _ in leases])

    patch.setattr(LeaseClocks, "promote", promote)


def leases_forgotten_at_promotion(patch: Patch) -> None:
    """A new leader starts no clocks: leases that are not renewed never end."""
    original = LeaseClocks.promote

    def promote(clocks: LeaseClocks, now: int, leases: Any) -> None:
        original(clocks, now, [])

    patch.setattr(LeaseClocks, "promote", promote)


def leases_lose_part_of_a_tick(patch: Patch) -> None:
    """A clock that starts within a tick counts that tick whole."""
    original = LeaseClocks.ticks
    patch.setattr(LeaseClocks, "ticks", lambda clocks, ttl_s: original(clocks, ttl_s) - 1)


def expiry_of_an_older_term(patch: Patch) -> None:
    """A stalled ex-leader's word that a lease has ended still counts."""

    def expire(machine: Machine, command: LeaseExpire, term: int) -> Any:
        lost = [lease for lease in map(machine.leases.get, command.ids) if lease is not None]
        events = [event for lease in lost for event in machine._end(lease)]
        return LeaseExpireResult(tuple(x.id for x in lost), len(events)), tuple(events)

    _applier(patch, LeaseExpire, expire)


def leased_keys_die_one_by_one(patch: Patch) -> None:
    """A lease's end takes one revision a key."""

    def end(machine: Machine, lease: Lease) -> Any:
        events: list[Any] = []
        for key in lease.sorted_keys():
            change = machine._open()
            change.delete_keys([key])
            events += machine._seal(change)
        machine.leases.remove(lease.id)
        return tuple(events)

    patch.setattr(Machine, "_end", end)


def snapshot_without_leases(patch: Patch) -> None:
    """Leases are not part of a snapshot."""
    original = Machine.image

    def image(machine: Machine) -> MachineImage:
        return original(machine)._replace(leases=())

    patch.setattr(Machine, "image", image)


def _applier(patch: Patch, command: type, function: Any) -> None:
    from kvorum.machine import apply

    patch.setitem(apply._APPLIERS, command, function)


# --- watches and compaction -----------------------------------------------------------------------


def watch_resumes_one_late(patch: Patch) -> None:
    """Catching up skips the revision after the last batch."""
    original = WatchHub.caught_up

    def caught_up(hub: WatchHub, watcher: Watcher, events: Any, through: int) -> None:
        original(hub, watcher, events, through)
        if events:
            watcher.next_revision += 1

    patch.setattr(WatchHub, "caught_up", caught_up)


def events_dropped_when_full(patch: Patch) -> None:
    """A batch is lost when its stream is behind."""
    original = WatchHub._behind

    def behind(hub: WatchHub, watcher: Watcher) -> None:
        if watcher.synced:
            watcher.next_revision += 1
        original(hub, watcher)

    patch.setattr(WatchHub, "_behind", behind)


def progress_ahead_of_events(patch: Patch) -> None:
    """A progress mark claims what a watcher that is behind has not been given."""
    patch.setattr(WatchHub, "_may_mark", lambda hub, watcher: True)


def watchers_forgotten_at_a_snapshot(patch: Patch) -> None:
    """A leader's snapshot moves the state on, and watchers with it (etcd#15271)."""

    def reset(hub: WatchHub, revision: int, compact_revision: int) -> None:
        hub.revision = revision
        hub.compact_revision = max(compact_revision, hub.compact_revision)

    patch.setattr(WatchHub, "reset", reset)


def compaction_takes_tombstones(patch: Patch) -> None:
    """A compaction removes deletions that came after it (etcd#18089's kin)."""
    original = sim_history.survives

    def survives(revision: int, later: int | None, tombstone: bool, compact: int) -> bool:
        return not tombstone and original(revision, later, tombstone, compact)

    patch.setattr(sim_history, "survives", survives)


def compaction_is_not_told_to_watchers(patch: Patch) -> None:
    """A watcher that a compaction has overtaken goes on as if nothing were missing."""

    def overtaken(hub: WatchHub, watcher: Watcher) -> bool:
        watcher.next_revision = max(watcher.next_revision, hub.compact_revision)
        return False

    patch.setattr(WatchHub, "overtaken", overtaken)


def rebuilt_history_claims_its_first_revision(patch: Patch) -> None:
    """A history built anew from a snapshot lets watchers begin at the snapshot's own revision."""
    original = sim_boot._rebuilt

    def rebuilt(machine: Machine, index: int) -> SimHistory:
        history = original(machine, index)
        history.compact_revision -= index > 0
        return history

    patch.setattr(sim_boot, "_rebuilt", rebuilt)


# --- runs in which one thing goes wrong often -----------------------------------------------------


def focused(seed: int, kinds: str, mix: Mix, nodes: int = 3, snapshot_count: int = 10_000) -> Plan:
    """Fair weather and good clocks, and a strike of one of these kinds (words) every second."""
    rng = random.Random(f"focused {seed}")
    plan = draw_plan(seed, nodes, seconds=20.0).calm()
    strikes = tuple(
        Strike(rng.randrange(20_000_000), rng.choice(kinds.split()), rng.getrandbits(32))
        for _ in range(20)
    )
    return replace(plan, mix=mix, snapshot_count=snapshot_count, strikes=tuple(sorted(strikes)))

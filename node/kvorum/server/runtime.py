"""The runtime: one event loop around one replica.

Inputs gather while a turn of the loop runs its callbacks; then the replica handles them all at once
and its effects are performed in their order. So a hundred puts that arrive together share one
append, one fsync, one frame to each peer. Nothing here blocks: the log has a thread, the history
has threads, snapshots have one.

``Node`` is what the services of floor 4 see. They ask (``propose``, ``read``, ``lease_ask``, ...),
open watch streams and read ``statistics()``; every refusal is a KvorumError of the table in
:mod:`kvorum.errors`.

Long because services see one class: every question they may put to a node is a method of it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from kvorum.config import NodeConfig
from kvorum.errors import Condition, KvorumError
from kvorum.failpoints import Failpoint, nothing
from kvorum.machine.apply import Machine
from kvorum.machine.auth import ANONYMOUS, Caller
from kvorum.machine.commands import AlarmSet, Command
from kvorum.machine.members import Member
from kvorum.machine.operations import ALARM_ACTIVATE, ALARM_NOSPACE
from kvorum.raft.core import Raft
from kvorum.raft.types import Role
from kvorum.replica import effects as fx
from kvorum.replica.inputs import (
    Barrier,
    ChangeMembers,
    HashAt,
    Input,
    LeaseAsk,
    Propose,
    Read,
    Tick,
    TransferLeader,
)
from kvorum.replica.replica import Replica
from kvorum.replica.requests import Done, ReadQuery
from kvorum.replica.statistics import ReplicaStatistics
from kvorum.server.alarmlog import AlarmLog
from kvorum.server.callers import Callers
from kvorum.server.clock import Ticker, WallClock
from kvorum.server.crash import Crash, Exit, FatalError
from kvorum.server.defragmenter import Defragmenter
from kvorum.server.faultdesk import FaultDesk
from kvorum.server.faults import FaultGate
from kvorum.server.latency import LatencyRing
from kvorum.server.passwords import Passwords
from kvorum.server.ports import (
    DiskPort,
    HistoryPort,
    PeersPort,
    SnapshotsPort,
)
from kvorum.server.querydesk import QueryDesk
from kvorum.server.quota import Quota
from kvorum.server.slowness import Slowness
from kvorum.server.statistics import NodeStatistics, collect
from kvorum.server.tokens import Tokens, open_tokens
from kvorum.server.watching import Sink, WatchStream, WatchStreams
from kvorum.storage.filesystem import free_bytes

log = logging.getLogger(__name__)

RoleListener = Callable[[int, Role, int], None]


class Node:
    """One member, running.

    Made by :func:`kvorum.server.boot.boot`; the ports are attached with :meth:`attach` because they
    call back. ``queries`` is set by whoever knows the node's places.
    """

    queries: QueryDesk

    def __init__(
        self,
        config: NodeConfig,
        replica: Replica,
        *,
        cluster_id: int,
        member_id: int,
        first_request_id: int,
        crash: Crash,
        gate: FaultGate,
        tokens: Tokens | None = None,
        failpoint: Failpoint = nothing,
    ) -> None:
        self.config = config
        self.failpoint = failpoint
        self.tokens = open_tokens(config) if tokens is None else tokens
        self.passwords = Passwords(config.bcrypt_cost)
        self.cluster_id = cluster_id
        self.member_id = member_id
        self.crash = crash
        self.gate = gate
        self.faults = FaultDesk(gate)
        self.wall = WallClock()
        self.started_ns = time.monotonic_ns()
        self._replica = replica
        self._loop = asyncio.get_running_loop()
        self._inputs: list[Input] = []
        self._scheduled = False
        self._stopped = False
        self._quota: Quota | None = None
        self._alarm_log = AlarmLog(lambda: self.machine.alarms.all())
        self._raising = False
        self._to_disk: list[fx.Persist] = []
        self._guarded_turn = crash.guard(self._turn)
        self._role_listeners: list[RoleListener] = []
        self._removed = asyncio.Event()
        self.removal_tellers: set[int] = set()  # Who has said that this node was removed.
        self._joined = asyncio.Event()
        self._leaving = False
        self._leave_listeners: dict[Callable[[], None], None] = {}
        self.callers = Callers(self.post, first_request_id, failpoint)
        self._streams = WatchStreams(self.post)
        self._ticker = Ticker(
            self._loop,
            config.heartbeat_interval_ms / 1000,
            crash.guard(self._ticks),
            crash.guard(self._woke),
        )
        self.slow = Slowness(
            config.slow_apply_s, config.slow_request_s, config.heartbeat_interval_ms / 1000
        )
        self.loop_stall = LatencyRing()
        self.apply = LatencyRing()
        self._performers = self._table()
        gate.on_change(crash.guard(self._faults_changed))

    def attach(
        self,
        disk: DiskPort,
        history: HistoryPort,
        snapshots: SnapshotsPort,
        peers: PeersPort,
    ) -> None:
        """The hands. Before this the node does nothing."""
        self.disk, self.history, self.snapshots, self.peers = disk, history, snapshots, peers
        self._quota = Quota(
            self.config.quota_bytes,
            lambda: history.size_bytes,
            free_bytes=lambda: free_bytes(self.config.data_dir),
        )
        self.defragmenter = Defragmenter(history)
        self._performers.update(
            {
                fx.Send: peers.send,
                fx.SendLeaseAsk: peers.send,
                fx.SendLeaseAnswer: peers.send,
                fx.SendDigest: peers.send,
                fx.SendSnapshot: peers.send_snapshot,
                fx.AppendHistory: history.append,
                fx.CompactHistory: history.compact,
                fx.ReadHistoryRange: history.read_range,
                fx.ReadHistoryEvents: history.read_events,
                fx.SaveSnapshot: snapshots.save,
                fx.DiscardSnapshot: snapshots.discard,
                fx.InstallSnapshot: self._install,
                fx.CutLog: self._cut,
            }
        )

    def _table(self) -> dict[type, Callable[[Any], None]]:
        return {
            fx.Persist: self._to_disk.append,
            fx.Reply: self.callers.answer,
            fx.Deliver: self._streams.deliver,
            fx.RoleChanged: self._role_changed,
            fx.TokensChanged: lambda effect: self.tokens.changed(effect.change),
            fx.MembersChanged: lambda _: self._members_changed(),
            fx.Removed: lambda _: self._removed.set(),
            fx.Fatal: self._fatal,
        }

    def recall(self) -> None:
        """Apply what the log is known to have committed: who is a member must be known before
        anybody is spoken to. A snapshot may say that this node is none any more.
        """
        self._turn()
        if self.member_id in self.machine.members.removed:
            self._removed.set()

    def start(self, late_ticks: int = 0) -> None:
        """Begin to tick.

        ``late_ticks`` are spent at once: a node that boots has waited for a leader already.
        """
        self._members_changed()
        if late_ticks:
            self._ticks(late_ticks)
        self._ticker.start()

    # --- the turn ---------------------------------------------------------------------------------

    def post(self, happened: Input) -> None:
        """Something happened; the replica hears of it when the loop comes round.

        On the loop only.
        """
        self._inputs.append(happened)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._guarded_turn)

    def post_threadsafe(self, happened: Input) -> None:
        """The same, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.post, happened)
        except RuntimeError:
            # The loop is closed: the node is gone and so is whoever would have cared.
            pass

    def call_threadsafe(self, callback: Callable[[], None]) -> None:
        """Run a callback on the loop, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.crash.guard(callback))
        except RuntimeError:
            # As above.
            pass

    def _turn(self) -> None:
        self._scheduled = False
        if self.gate.paused or self._stopped or self.crash.error is not None:
            return
        batch, self._inputs = self._inputs, []
        started = time.perf_counter_ns()
        before = self._replica.machine.applied_index
        effects = self._replica.handle_all(batch)
        performers = self._performers
        applied = False
        for effect in effects:
            kind = effect.__class__
            performers[kind](effect)
            applied = applied or kind is fx.AppendHistory
        if self._to_disk:
            self.disk.persist(tuple(self._to_disk))
            self._to_disk.clear()
        if applied:
            took_us = (time.perf_counter_ns() - started) // 1000
            self.apply.add(took_us)
            entries = self._replica.machine.applied_index - before
            self.slow.applied(took_us, len(batch), entries)

    def _woke(self, late_s: float) -> None:
        self.loop_stall.add(int(late_s * 1e6))
        self.slow.woke(late_s, self.is_leader)

    def _ticks(self, count: int) -> None:
        self._alarm_log.look()
        for _ in range(count):
            self.post(Tick())

    # --- effects that are the runtime's own -------------------------------------------------------

    def _install(self, effect: fx.InstallSnapshot) -> None:
        self._hand_over()
        self.snapshots.install(effect)
        # The state is another one: its objects, too, are not worth the collector's walks.
        gc.freeze()

    def _cut(self, effect: fx.CutLog) -> None:
        self._hand_over()
        self.disk.cut(effect.through_index)

    def _hand_over(self) -> None:
        """Writes made so far in this turn go to the disk before what comes next."""
        if self._to_disk:
            self.disk.persist(tuple(self._to_disk))
            self._to_disk.clear()

    def _role_changed(self, effect: fx.RoleChanged) -> None:
        log.info(
            "raft.node: role changed",
            extra={
                "local-member-id": f"{self.member_id:x}",
                "leader": f"{effect.leader:x}",
                "role": effect.role.value,
                "term": effect.term,
            },
        )
        for listener in tuple(self._role_listeners):
            listener(effect.leader, effect.role, effect.term)

    def _members_changed(self) -> None:
        if self.raft.conf.voters:
            self._joined.set()
        self.peers.members_changed()

    def told_removed(self, teller: int) -> None:
        """A peer says that this node was removed for good; it has applied that, so it is so.

        But not of one that this node has seen removed: such two were forced apart, and neither has
        a say in the other's cluster (see ``lone``).
        """
        if teller not in self.machine.members.removed:
            self.removal_tellers.add(teller)
            self._removed.set()

    def _fatal(self, effect: fx.Fatal) -> None:
        raise FatalError(effect.reason, Exit.FATAL)

    def _faults_changed(self) -> None:
        self.wall.jump_ms = self.gate.jump_ms
        self._ticker.set_rate(self.gate.rate_ppm)
        if self.gate.paused:
            self._ticker.hold()
            return
        self._ticker.release()
        if self._inputs and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._guarded_turn)

    # --- what services ask ------------------------------------------------------------------------

    async def propose(
        self,
        command: Command,
        caller: Caller = ANONYMOUS,
        *,
        timeout_s: float | None = None,
    ) -> Done:
        """Agree on a command; returns its result once it is applied here.

        ``timeout_s`` None takes the node's (5 s + 2 election timeouts). Raises KvorumError; after a
        condition of ``errors.UNKNOWN_OUTCOME`` the command may still take effect.
        """
        if self._quota is not None and self._quota.refuses(command):
            self._raise_no_space()
            raise KvorumError(Condition.NO_SPACE)
        ticks, at_ms = self._timeout_ticks(timeout_s), self.wall.now_ms()
        return await self.callers.ask(
            lambda id_: Propose(id_, command, at_ms, caller.user, caller.auth_revision, ticks),
            timed=True,
        )

    def check_space(self) -> None:
        """Raise the alarm when what other members wrote has outgrown this member's quota."""
        if self._quota is not None and self._quota.exceeded(self.machine.revision):
            self._raise_no_space()

    def _raise_no_space(self) -> None:
        """Raise the alarm for all members, unless it is raised or on its way."""
        alarm = AlarmSet(ALARM_ACTIVATE, self.member_id, ALARM_NOSPACE)
        if not self.machine.alarms.raised(ALARM_NOSPACE) and not self._raising:
            self._raising = True
            self.crash.spawn(self._raise(alarm), "alarm NOSPACE")

    async def _raise(self, alarm: AlarmSet) -> None:
        try:
            log.warning("the data outgrew the quota or the disk: asking for alarm NOSPACE")
            await self.propose(alarm)
        except KvorumError as error:
            # It may be raised nevertheless (AlarmLog tells); if not, the next write that is refused
            # tries again.
            log.warning("no answer about alarm NOSPACE", extra={"error": str(error)})
        finally:
            self._raising = False

    async def read(
        self, query: ReadQuery, *, linearizable: bool = True, timeout_s: float | None = None
    ) -> Done:
        """A range or a read-only transaction. Raises KvorumError."""
        ticks = self._timeout_ticks(timeout_s)
        return await self.callers.ask(lambda id_: Read(id_, query, linearizable, ticks))

    async def barrier(self, *, timeout_s: float | None = None) -> Done:
        """Wait until this node has applied all that was committed when it was asked.

        Raises KvorumError.
        """
        ticks = self._timeout_ticks(timeout_s)
        return await self.callers.ask(lambda id_: Barrier(id_, ticks))

    async def hash_at(self, revision: int) -> Done:
        """HashKV at a revision (0: the newest); ``value`` is a HashResult. Raises KvorumError."""
        return await self.callers.ask(lambda id_: HashAt(id_, revision))

    async def lease_ask(
        self,
        ids: Sequence[int],
        *,
        renew: bool,
        keys: bool = False,
        timeout_s: float | None = None,
    ) -> Done:
        """Renew leases or ask for their clocks; ``value`` is a tuple of LeaseClock.

        Raises KvorumError.
        """
        ticks, wanted = self._timeout_ticks(timeout_s), tuple(ids)
        return await self.callers.ask(lambda id_: LeaseAsk(id_, wanted, renew, keys, ticks))

    async def transfer_leader(self, target: int, *, timeout_s: float | None = None) -> Done:
        """Hand the leadership to a member; returns when it leads. Raises KvorumError."""
        ticks = self._timeout_ticks(timeout_s)
        return await self.callers.ask(lambda id_: TransferLeader(id_, target, ticks))

    async def change_members(
        self, change: Command, caller: Caller = ANONYMOUS, *, timeout_s: float | None = None
    ) -> Done:
        """MemberAdd, MemberRemove, MemberPromote or MemberUpdate; ``value`` is a MembersResult.

        Without ``timeout_s`` it waits for ever, as etcd. Raises KvorumError.
        """
        ticks = 0 if timeout_s is None else self._timeout_ticks(timeout_s)
        at_ms, user = self.wall.now_ms(), caller.user
        return await self.callers.ask(lambda id_: ChangeMembers(id_, change, at_ms, ticks, user))

    def _timeout_ticks(self, timeout_s: float | None) -> int:
        seconds = self.config.request_timeout_s if timeout_s is None else timeout_s
        return max(1, -(-int(seconds * 1000) // self.config.heartbeat_interval_ms))

    def open_watch_stream(self, sink: Sink) -> WatchStream:
        """A stream of watchers; ``sink`` is called on the loop with each Deliver and must not
        block.
        """
        return self._streams.open(sink)

    def on_role_change(self, listener: RoleListener) -> Callable[[], None]:
        """Call ``listener(leader, role, term)`` at every change; returns how to end that."""
        self._role_listeners.append(listener)
        return lambda: self._role_listeners.remove(listener)

    def on_leave(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener()`` when the node is about to stop; returns how to end that."""
        self._leave_listeners[listener] = None
        return lambda: self._leave_listeners.pop(listener, None)

    # --- looking in -------------------------------------------------------------------------------

    @property
    def replica(self) -> Replica:
        """The replica, for reading only."""
        return self._replica

    @property
    def raft(self) -> Raft:
        """Raft, for reading only (log, progress, configuration)."""
        return self._replica.raft

    @property
    def machine(self) -> Machine:
        """The state, for reading only."""
        return self._replica.machine

    @property
    def leader(self) -> int:
        """Who leads as far as this node knows, 0 for nobody."""
        return self._replica.leader

    @property
    def term(self) -> int:
        """The newest term this node knows."""
        return self._replica.term

    @property
    def is_leader(self) -> bool:
        """Whether this node leads, as far as it knows."""
        return self._replica.role is Role.LEADER

    @property
    def is_leaving(self) -> bool:
        """Whether the node is about to stop: nobody should begin to wait for others."""
        return self._leaving

    @property
    def is_learner(self) -> bool:
        """Whether this node has no vote."""
        return self.member_id in self._replica.raft.conf.learners

    def members(self) -> tuple[Member, ...]:
        """The member table, sorted by id."""
        return self.machine.members.all()

    def status(self) -> ReplicaStatistics:
        """The replica's own figures."""
        return self._replica.statistics()

    def statistics(self) -> NodeStatistics:
        """Everything about this node at this moment."""
        return collect(self)

    async def wait_joined(self) -> None:
        """Returns when this node knows who has a vote: at once, unless it waits for a snapshot."""
        await self._joined.wait()

    async def wait_removed(self) -> None:
        """Returns when this node is no longer a member."""
        await self._removed.wait()

    # --- the end ----------------------------------------------------------------------------------

    def leave(self) -> None:
        """The node will stop as soon as the calls under way are through. Those that wait for other
        clients (a lock, an election) end now.
        """
        self._leaving = True
        for listener in tuple(self._leave_listeners):
            listener()

    def stop(self) -> None:
        """Tick and answer no more; everybody who waits is told ``server stopped``."""
        self._stopped = True
        self._ticker.stop()
        self.callers.stop()
        self.passwords.close()

"""Nodes with hands of memory: the real runtime and services, no disk, no DuckDB, no sockets between
members, and no clock but the ticks a test gives.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from grpclib.client import StreamStreamMethod, UnaryStreamMethod, UnaryUnaryMethod
from kvorum.api.registry import client_services
from kvorum.config import NodeConfig
from kvorum.http2.server import KvorumChannel, KvorumServer
from kvorum.machine.apply import Machine
from kvorum.machine.members import Member
from kvorum.raft.types import ConfState, HardState, SnapshotMeta
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.replica import Replica
from kvorum.replica.state import Boot, ReplicaConfig
from kvorum.server.crash import Crash
from kvorum.server.faults import FaultGate
from kvorum.server.latency import LatencyRing
from kvorum.server.runtime import Node
from kvorum.sim.history import SimHistory
from kvorum.storage.interface import WalStatistics
from kvorum_proto.codec import Codec
from kvorum_proto.services import METHODS

CLUSTER_ID = 0xCDF818194E3A8C32  # Large ids: ten bytes on the wire.
MEMBER_IDS = (0x8E9E05C52164694D, 0x8E9E05C52164694E, 0x8E9E05C52164694F)


class Hands:
    """Disk, history, snapshots and peers of one node. ``holds_disk`` keeps writes back."""

    def __init__(self, cluster: LocalCluster, member_id: int) -> None:
        self.cluster = cluster
        self.id = member_id
        self.node: Node
        self.holds_disk = False
        self._unwritten: list[int] = []
        self.past = SimHistory()
        self.fsync = LatencyRing()
        self.size_bytes = 4096
        self.in_use_bytes = 2048
        self.checkpoints = 0
        self.changes = 0

    # The log.

    @property
    def statistics(self) -> WalStatistics:
        """Figures of a log that is not there."""
        return WalStatistics(*[0] * len(WalStatistics._fields))

    def persist(self, effects: Sequence[e.Persist]) -> None:
        """Durable at once, or when the disk is let go."""
        self._unwritten += [effect.ticket for effect in effects]
        if not self.holds_disk:
            self.write()

    def write(self) -> None:
        """What was held back is durable."""
        for ticket in self._unwritten:
            self.node.post(i.Persisted(ticket))
        self._unwritten.clear()

    def cut(self, index: int) -> None:
        """Nothing is kept."""

    # The history.

    def append(self, effect: e.AppendHistory) -> None:
        """Committed at once."""
        self.past.append(effect)
        self.past.flush()
        self.node.post(i.HistoryAdvanced(effect.applied_index, effect.revision))

    def compact(self, effect: e.CompactHistory) -> None:
        """Done at once."""
        self.past.compact(effect.revision)
        self.node.post(i.HistoryCompacted(effect.token))

    def read_range(self, effect: e.ReadHistoryRange) -> None:
        """Answered at once."""
        why = self.past.refusal(effect.query.revision)
        found = () if why else tuple(self.past.records(effect.query))
        self.node.post(i.HistoryRecords(effect.token, found, len(found), why))

    def read_events(self, effect: e.ReadHistoryEvents) -> None:
        """Answered at once."""
        why = self.past.refusal(effect.from_revision)
        found, through = ((), 0) if why else self.past.events(*effect[1:6])
        self.node.post(i.HistoryEvents(effect.token, tuple(found), through, why))

    # Snapshots: none are cut in so short a life.

    def save(self, effect: e.SaveSnapshot) -> None:
        """Durable at once."""
        self.node.post(i.SnapshotSaved(effect.meta.index))

    def discard(self, effect: e.DiscardSnapshot) -> None:
        """None is ever staged."""

    # Peers.

    def send_snapshot(self, effect: e.SendSnapshot) -> None:
        """Nobody is that far behind."""
        raise AssertionError(effect)

    def send(self, effect: Any) -> None:
        """Straight into the other node, unless a link is cut."""
        out: list[tuple[int, i.Input]] = []
        if isinstance(effect, e.Send):
            out.append((effect.to, i.Received(self.id, effect.messages)))
        elif isinstance(effect, e.SendLeaseAsk):
            ask = i.PeerLeaseAsk(self.id, effect.request_id, effect.lease_ids, effect.renew)
            out.append((effect.to, ask))
        elif isinstance(effect, e.SendLeaseAnswer):
            answer = i.PeerLeaseAnswer(effect.request_id, effect.clocks, effect.not_leader)
            out.append((effect.to, answer))
        for to, happened in out:
            if {self.id, to}.isdisjoint(self.cluster.cut_off):
                self.cluster.nodes[to].post(happened)

    def members_changed(self) -> None:
        """Counted."""
        self.changes += 1

    def figures(self) -> tuple[()]:
        """There are no connections."""
        return ()


class LocalCluster:
    """Nodes in one event loop, with an API server each."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.hands: dict[int, Hands] = {}
        self.channels: dict[int, KvorumChannel] = {}
        # Watches go by a connection of their own: one that nobody reads holds up its connection.
        self.watch_channels: dict[int, KvorumChannel] = {}
        self.cut_off: set[int] = set()
        self.crashes: list[BaseException] = []

    def add(self, member_id: int, conf: ConfState, config: NodeConfig) -> None:
        """Make one node."""
        members = tuple(
            Member(
                id_, f"m{id_ & 15}", (f"http://p{id_ & 15}:2380",), (f"http://c{id_ & 15}:2379",)
            )
            for id_ in (*conf.voters, *conf.learners)
        )
        machine = Machine(CLUSTER_ID, members)
        boot = Boot(HardState(1), SnapshotMeta(0, 0, conf), (), machine, 0)
        settings = ReplicaConfig(
            member_id,
            CLUSTER_ID,
            (member_id & 0xFFFF) << 48,
            config.heartbeat_interval_ms,
            config.election_ticks,
            max_txn_ops=config.max_txn_ops,
            max_request_bytes=config.max_request_bytes,
        )
        node = Node(
            config,
            Replica(settings, boot, random.Random(member_id)),
            cluster_id=CLUSTER_ID,
            member_id=member_id,
            first_request_id=(member_id & 0xFFFF) << 48,
            crash=Crash(lambda error, _: self.crashes.append(error)),
            gate=FaultGate(asyncio.get_running_loop(), random.Random(1)),
        )
        hands: Any = Hands(self, member_id)
        hands.node = node
        node.attach(hands, hands, hands, hands)
        self.nodes[member_id], self.hands[member_id] = node, hands

    def tick(self, count: int = 1, only: int = 0) -> None:
        """Time passes, for all nodes or for one."""
        for _ in range(count):
            for member_id, node in self.nodes.items():
                if not only or member_id == only:
                    node.post(i.Tick())

    async def run(self, ticks: int) -> None:
        """Time passes, a tick at a time, with everything that follows from each."""
        for _ in range(ticks):
            self.tick()
            await self.turns(12)

    async def until(self, condition: Callable[[], bool], ticks: int = 0) -> None:
        """Turn the loop until something holds, letting ticks pass where ``ticks`` is given."""
        for _ in range(20_000):
            if condition():
                return
            if ticks:
                self.tick(ticks)
            # Sockets are only looked at between turns.
            await asyncio.sleep(0)
        raise AssertionError("it never came to pass")

    async def turns(self, count: int = 30) -> None:
        """Let the loop come round some times."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def elect(self, member_id: int) -> None:
        """Let one node become the leader."""
        node = self.nodes[member_id]
        for _ in range(200):
            if node.is_leader and node.machine.applied_index:
                break
            self.tick(only=member_id)
            await self.turns()
        assert node.is_leader
        await self.until(lambda: all(n.leader == member_id for n in self.nodes.values()), ticks=1)

    # --- calls ------------------------------------------------------------------------------------

    def channel(self, index: int) -> KvorumChannel:
        """A client's connection to the n-th member."""
        return self.channels[MEMBER_IDS[index]]

    async def call(
        self, path: str, request: Any, *, on: int = 0, raw: bool = False, **options: Any
    ) -> Any:
        """A unary call; with ``raw`` the answer's bytes. GRPCError for a refusal."""
        method = METHODS[path]
        reply = bytes if raw else method.response
        make: Any = UnaryUnaryMethod
        return await make(self.channel(on), path, method.request, reply)(request, **options)

    def stream(self, path: str, *, on: int = 0, **options: Any) -> Any:
        """A streaming call, to be opened."""
        method = METHODS[path]
        kind: Any = StreamStreamMethod if method.client_streaming else UnaryStreamMethod
        channel = self.watch_channels[MEMBER_IDS[on]]
        return kind(channel, path, method.request, method.response).open(**options)


@asynccontextmanager
async def cluster(
    voters: int = 1, learners: int = 0, leader: int = 0, **settings: Any
) -> AsyncIterator[LocalCluster]:
    """A running cluster whose ``leader``-th member leads (-1: nobody does)."""
    local = LocalCluster()
    config = replace(NodeConfig(), **settings)
    ids = MEMBER_IDS[: voters + learners]
    conf = ConfState(ids[:voters], learners=ids[voters:])
    async with AsyncExitStack() as stack:
        for member_id in ids:
            local.add(member_id, conf, config)
            server = KvorumServer(client_services(local.nodes[member_id]))
            await server.start("127.0.0.1", 0)
            stack.callback(server.close)
            assert server._server is not None
            port = server._server.sockets[0].getsockname()[1]
            for channels in (local.channels, local.watch_channels):
                channels[member_id] = KvorumChannel("127.0.0.1", port, codec=Codec())
                stack.callback(channels[member_id].close)
        if leader >= 0:
            await local.elect(ids[leader])
        yield local
        if local.crashes:
            raise local.crashes[0]

"""One member from the first socket to the last fsync: what is made, in which order, and how it
ends.

Start: sockets are bound (a taken port is the first thing to say), the data directory is locked and
read, the threads and the node are made, the peer port answers, ticks begin. The client port answers
only after this member has published its name and client URLs through raft, as etcd's does.

Stop: the leadership is handed on, calls under way finish, the node falls silent, the log and the
history are closed. None of it is needed for safety: a node may be killed at any point.

Long because the order of a start and of a stop is read in one piece.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import time
from collections.abc import Callable, Collection
from typing import Any

import duckdb
from aiohttp import web
from kvorum_proto.codec import ServerCodec

from kvorum import ETCD_CLUSTER_VERSION
from kvorum.config import NodeConfig
from kvorum.errors import UNKNOWN_OUTCOME, Condition, KvorumError
from kvorum.failpoints import Failpoints, nothing
from kvorum.history.database import HistoryError
from kvorum.history.rows import Identity
from kvorum.http2.server import KvorumServer
from kvorum.limits import (
    GRPC_OVERHEAD_BYTES,
    PEER_MESSAGE_BYTES,
    PUBLISH_RETRY_S,
    SHUTDOWN_GRACE_S,
)
from kvorum.machine.commands import ClusterVersionSet, Compact, MemberPublish
from kvorum.replica.inputs import Persisted
from kvorum.replica.replica import Replica
from kvorum.replica.state import ReplicaConfig
from kvorum.server import boot, compactor, corruption, joining, leaving, lone, quota
from kvorum.server.boot import DataDir, FoundState
from kvorum.server.callcounts import CountedServices
from kvorum.server.callers import id_base
from kvorum.server.crash import Crash
from kvorum.server.disk import DiskThread
from kvorum.server.doors import Doors
from kvorum.server.exchange import PeerService
from kvorum.server.faults import FaultGate
from kvorum.server.historydesk import HistoryDesk
from kvorum.server.httpapp import (
    ONGOING,
    GrpcOnly,
    client_app,
    connections_of,
    metrics_app,
    peer_app,
    runner_of,
)
from kvorum.server.link import Self
from kvorum.server.listener import Listener, ProtocolFactory
from kvorum.server.metrics import Metrics
from kvorum.server.peers import Peers
from kvorum.server.querydesk import QueryDesk
from kvorum.server.runtime import Node
from kvorum.server.snapshotdesk import SnapshotDesk
from kvorum.server.tokens import open_tokens
from kvorum.server.transfer import SnapshotReceiver, SnapshotSender

log = logging.getLogger(__name__)

# Full collections walk every object of the state; the youngest are all that a request leaves
# behind.
_GC_THRESHOLDS = (50_000, 20, 1_000)

# How often a leader that stops looks whether whom it hands over to is still there.
_HEIR_LOOK_S = 0.02

Services = Callable[[Node], Collection[Any]]


class Member:
    """One member of a cluster, running in this process.

    Args:
        config: what it is told.
        services: makes the services of the client port.
        crash: what ends the process.
    """

    def __init__(self, config: NodeConfig, services: Services, crash: Crash) -> None:
        self.config = config
        self._services = services
        self._crash = crash
        self._http: list[web.AppRunner] = []
        self._ready = asyncio.Event()
        self._doors = Doors(config)
        self._failpoints = Failpoints(config.failpoints) if config.enable_faults else None
        self._failpoint = self._failpoints.hit if self._failpoints is not None else None
        self._listeners: list[Listener] = []
        self._made = False
        self.node: Node

    # --- start ------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Read the certificates and take the ports. ConfigError when one cannot be had, or keys for
        tokens are of no use.
        """
        self._tokens = open_tokens(self.config)
        self._doors.open()

    async def start(self) -> None:
        """Boot, and take part in the cluster; clients are not answered yet."""
        self._places = DataDir(self.config)
        try:
            found = await self._find()
        except BaseException:
            self._places.lock.release()
            raise
        self._make(found)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        node, told = self.node, Metrics(self.node)
        await self._defragment_at_start()
        if self.config.initial_corrupt_check:
            await corruption.initial_check(node, self._doors.peer_tls)
        services = CountedServices(self._services(node), told.calls)
        clients_app = client_app(node, told, services.http_routes())
        peers, clients, metrics = (
            await self._listener("peer", self._doors.peers, self._peer_server(), peer_app(node)),
            await self._listener(
                "client",
                self._doors.clients,
                self._client_server(services, told.calls.codec),
                clients_app if not self._doors.http else None,
            ),
            # Health and metrics are told to whoever asks here, ready or not.
            await self._listener(
                "metrics", self._doors.metrics, KvorumServer([]), metrics_app(node, told)
            ),
        )
        self._client_listeners = [clients]
        if self._doors.http:
            self._client_listeners.append(
                await self._listener("client", self._doors.http, KvorumServer([]), clients_app)
            )
        node.recall()
        await peers.start()
        await metrics.start()
        self.node.gate.on_change(self._crash.guard(self._pause_changed))
        node.start(self._late_ticks(found))
        self._crash.spawn(quota.watch(node.check_space), "space")
        if self.config.corrupt_check_s > 0:
            checking = corruption.watch(node, self._doors.peer_tls, self.config.corrupt_check_s)
            self._crash.spawn(checking, "corruption")
        plan = compactor.plan_of(self.config.compaction)
        if plan is not None:
            self._crash.spawn(
                compactor.run(
                    plan,
                    lambda: node.machine.revision,
                    lambda: node.is_leader,
                    lambda revision: node.propose(Compact(revision)),
                ),
                "compactor",
            )

    async def _defragment_at_start(self) -> None:
        history, threshold = self._history, self.config.bootstrap_defrag_bytes
        free_bytes = history.size_bytes - history.in_use_bytes
        if threshold and free_bytes >= threshold:
            try:
                await self.node.defragmenter.run()
            except (HistoryError, OSError, duckdb.Error) as error:
                # It runs as well without, as long as there is room.
                log.warning("not defragmented at the start", extra={"error": str(error)})

    async def _find(self) -> FoundState:
        """What this node starts from. ConfigError, or FatalError for data that cannot be used."""
        config, places = self.config, self._places
        leaving.refuse_removed(config.data_dir)
        first = await joining.first_members(config, self._doors.peer_tls) if places.is_new else None
        found = boot.find(places, first, config.wal_segment_bytes, self._failpoint)
        try:
            if config.force_new_cluster and not found.is_new:
                found = lone.make_alone(found)
        except BaseException:
            found.wal.close()
            found.database.close()
            raise
        return found

    def _make(self, found: FoundState) -> None:
        """Everything between the disk and the ports."""
        loop = asyncio.get_running_loop()
        config, crash = self.config, self._crash
        cluster, member = found.metadata
        rng = random.Random()
        gate = FaultGate(loop, random.Random(rng.getrandbits(64)), self._failpoints)
        failpoint = self._failpoint or nothing
        first_id = id_base(member, time.time_ns() // 1_000_000)
        replica = Replica(
            self._replica_config(found, first_id), found.boot, random.Random(rng.getrandbits(64))
        )
        self.node = node = Node(
            config,
            replica,
            cluster_id=cluster,
            member_id=member,
            first_request_id=first_id,
            crash=crash,
            gate=gate,
            tokens=self._tokens,
            failpoint=failpoint,
        )
        self._disk = DiskThread(
            loop,
            found.wal,
            lambda ticket: node.post(Persisted(ticket)),
            crash.die,
            gate.fsync_waits_s,
        )
        self._history = HistoryDesk(
            self._places.history,
            Identity(cluster, member),
            found.database,
            node.post_threadsafe,
            node.call_threadsafe,
            crash.die,
            failpoint,
        )
        node.queries = self._queries = QueryDesk(self._history, self._places.query)
        self._snapshots = SnapshotDesk(
            found.store,
            found.snap_disk,
            self._disk,
            self._history,
            node.post_threadsafe,
            node.call_threadsafe,
            crash.die,
            failpoint,
        )
        urls = tuple(url.text for url in config.advertise_peer_urls)
        own = Self(cluster, member, urls, self._doors.peer_tls)
        sender = SnapshotSender(own, self._history, gate, crash, node.post, node.call_threadsafe)
        self._peers = Peers(
            own, node.post, node.members, sender.begin, gate, crash, rng, node.told_removed
        )
        receiver = SnapshotReceiver(self._snapshots, self._history, gate, node.post)
        self._peer_service = PeerService(node, own, self._peers, gate, receiver.install)
        receiver.admission = self._peer_service.admission
        node.attach(self._disk, self._history, self._snapshots, self._peers)
        self._disk.start()
        self._made = True

    def _replica_config(self, found: FoundState, first_id: int) -> ReplicaConfig:
        config = self.config
        return ReplicaConfig(
            member_id=found.metadata.member_id,
            cluster_id=found.metadata.cluster_id,
            id_base=first_id,
            tick_ms=config.heartbeat_interval_ms,
            election_ticks=config.election_ticks,
            snapshot_count=config.snapshot_count,
            catchup_entries=config.snapshot_catchup_entries,
            max_request_bytes=config.max_request_bytes,
            max_txn_ops=config.max_txn_ops,
            pre_vote=config.pre_vote,
            lease_checkpoint_ticks=config.lease_checkpoint_ticks,
            lease_checkpoint_persist=config.lease_checkpoint_persist,
        )

    def _late_ticks(self, found: FoundState) -> int:
        """Ticks to spend at once: where no leader can be disturbed, all but one of an election."""
        if not self.config.election_tick_advance:
            return 0
        alone = len(found.boot.snapshot.conf.voters) == 1
        return self.config.election_ticks - 1 if alone or found.is_new else 0

    def _peer_server(self) -> KvorumServer:
        return KvorumServer([self._peer_service], max_message_bytes=PEER_MESSAGE_BYTES)

    def _client_server(self, services: CountedServices, codec: ServerCodec) -> KvorumServer:
        config = self.config
        codec.max_txn_ops = config.max_txn_ops
        return KvorumServer(
            [services],
            codec=codec,
            max_message_bytes=config.max_request_bytes + GRPC_OVERHEAD_BYTES,
            max_streams=config.max_concurrent_streams,
            keepalive_interval_s=config.keepalive_interval_s,
            keepalive_timeout_s=config.keepalive_timeout_s,
        )

    async def _listener(
        self,
        purpose: str,
        sockets: list[socket.socket],
        server: KvorumServer,
        app: web.Application | None,
    ) -> Listener:
        http, ongoing = (GrpcOnly, ()) if app is None else await self._http_side(app)
        listener = Listener(
            sockets,
            server,
            http,
            ongoing,
            tls=self._doors.peer_tls if purpose == "peer" else self._doors.client_tls,
            secure=self._doors.secure,
            purpose=purpose,
        )
        self._listeners.append(listener)
        return listener

    async def _http_side(
        self, app: web.Application
    ) -> tuple[ProtocolFactory, Collection[asyncio.Future[None]]]:
        runner = runner_of(app)
        await runner.setup()
        self._http.append(runner)
        return connections_of(runner), app[ONGOING].values()

    def _pause_changed(self) -> None:
        for listener in self._listeners:
            if self.node.gate.paused:
                listener.hold()
            else:
                listener.release()

    # --- ready ------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Publish this member, then answer clients. Waits for a quorum, however long it takes."""
        node, config = self.node, self.config
        await node.wait_joined()
        urls = tuple(url.text for url in config.advertise_client_urls)
        command = MemberPublish(node.member_id, config.name, urls)
        # Saying it twice does no harm, and what was forwarded is lost with a leader that died or a
        # link that was not up yet: so it is not waited for as long as for a client's request.
        longest_s = 2 * config.election_timeout_ms / 1000
        patience_s = min(PUBLISH_RETRY_S, longest_s)
        while True:
            try:
                await node.propose(command, timeout_s=patience_s)
                break
            except KvorumError as error:
                unanswered = error.condition in UNKNOWN_OUTCOME - {Condition.STOPPED}
                log.log(
                    # The first tries end while a cluster that starts still elects.
                    logging.DEBUG if unanswered and patience_s < longest_s else logging.WARNING,
                    "failed to publish local member to cluster through raft",
                    extra={"local-member-id": f"{node.member_id:x}", "error": str(error)},
                )
                if not unanswered:
                    await asyncio.sleep(PUBLISH_RETRY_S)
                patience_s = min(2 * patience_s, longest_s)
        log.info(
            "published local member to cluster through raft",
            extra={"local-member-id": f"{node.member_id:x}", "cluster-id": f"{node.cluster_id:x}"},
        )
        await self._agree_on_version()
        for listener in self._client_listeners:
            await listener.start()
        self._ready.set()
        urls = tuple(
            url.text for url in (*config.listen_client_urls, *config.listen_client_http_urls)
        )
        log.info("ready to serve client requests", extra={"urls": urls})

    async def wait_ready(self) -> None:
        """Returns once clients are answered."""
        await self._ready.wait()

    async def _agree_on_version(self) -> None:
        """The cluster's version, before clients are answered: Patroni reads it as numbers, and
        "not_decided" is none.
        """
        node = self.node
        while not node.machine.cluster_version:
            try:
                await node.propose(ClusterVersionSet(ETCD_CLUSTER_VERSION))
            except KvorumError as error:
                log.warning("cannot set the cluster version", extra={"error": str(error)})
                await asyncio.sleep(PUBLISH_RETRY_S)

    async def wait_departed(self) -> None:
        """Returns when this member was removed, and nobody needs it or can be reached."""
        await self.node.wait_removed()
        await leaving.depart(self.node)

    # --- stop -------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End in order; bounded in time."""
        if not self._made:
            self._doors.close()
            return
        node = self.node
        node.gate.lift()
        if node.is_leader:
            await self._hand_over()
        node.leave()
        self._queries.cancel_all()
        # Clients first (they are last in the list's order of start): their calls need the peers.
        for listener in reversed(self._listeners[1:]):
            await listener.stop(SHUTDOWN_GRACE_S)
        node.stop()
        self._peers.close()
        for listener in self._listeners[:1]:
            await listener.stop(SHUTDOWN_GRACE_S)
        self._doors.close()
        await self._crash.cancel_all()
        node.gate.close()
        for runner in self._http:
            await runner.cleanup()
        await asyncio.to_thread(self._close_disks)
        gc.unfreeze()

    async def _hand_over(self) -> None:
        """Give the leadership to a voter that is connected, if one takes it in time."""
        try:
            async with asyncio.timeout(self.config.election_timeout_ms / 1000):
                while self.node.is_leader and (heir := self._heir()) is not None:
                    await self._hand_over_to(heir)
        except (KvorumError, TimeoutError) as error:
            log.warning("could not hand the leadership on", extra={"error": str(error)})

    def _heir(self) -> int | None:
        """Of the voters that are connected the one with the longest log."""
        connected = self._connected()
        progress = {x.member: x.match for x in self.node.raft.status().progress}
        voters = [id_ for id_ in self.node.raft.conf.voters if id_ in connected]
        return max(voters, key=lambda id_: progress.get(id_, 0), default=None)

    def _connected(self) -> set[int]:
        return {x.id for x in self._peers.figures() if x.connected}

    async def _hand_over_to(self, heir: int) -> None:
        """Returns when the heir leads, or is going itself: all members may stop at once."""
        transfer = asyncio.ensure_future(self.node.transfer_leader(heir))
        try:
            while not transfer.done() and heir in self._connected():
                await asyncio.wait((transfer,), timeout=_HEIR_LOOK_S)
        finally:
            transfer.cancel()
        if transfer.done() and not transfer.cancelled():
            transfer.result()

    def _close_disks(self) -> None:
        self._queries.close()
        self._snapshots.close()
        self._disk.close()
        self._history.close()
        self._places.lock.release()

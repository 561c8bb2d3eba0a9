"""etcdserverpb.Maintenance: status, hashes, alarms, disk space, moving the leader (semantics page,
section 9).

Snapshots are in ``snapshot``, what a downgrade would need in ``downgrade``.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from zlib import crc32

import duckdb
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

from kvorum import ETCD_CLUSTER_VERSION, ETCD_VERSION
from kvorum.api.downgrade import Downgrades
from kvorum.api.guards import Who
from kvorum.api.headers import Headers, header_of
from kvorum.api.snapshot import Snapshots
from kvorum.errors import Condition, KvorumError
from kvorum.history.database import HistoryError
from kvorum.history.reader import HistoryBusy
from kvorum.history.selects import hash_at
from kvorum.machine import commands
from kvorum.machine.digest import HashResult
from kvorum.machine.operations import ALARM_NAMES
from kvorum.machine.results import AlarmResult

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class Maintenance:
    """What operators ask a member."""

    service = "etcdserverpb.Maintenance"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "Status": self.status,
            "Hash": self.hash,
            "HashKV": self.hash_kv,
            "Defragment": self.defragment,
            "Downgrade": Downgrades(node).answer,
            "Alarm": self.alarm,
            "MoveLeader": self.move_leader,
        }
        self.streams = {"Snapshot": Snapshots(node).stream}

    async def status(self, request: pb.StatusRequest, who: Who) -> pb.StatusResponse:
        """This member's own view; works without a quorum."""
        node = self._node
        statistics = node.statistics()
        errors = [] if node.leader else [Condition.NO_LEADER.message]
        errors += [
            f"memberID:{alarm.member_id} alarm:{ALARM_NAMES[alarm.alarm]} "
            for alarm in node.machine.alarms.all()
        ]
        return pb.StatusResponse(
            header=header_of(self._node),
            version=ETCD_VERSION,
            db_size=statistics.db_bytes,
            # Measured a moment later, when it may have grown.
            db_size_in_use=min(node.history.in_use_bytes, statistics.db_bytes),
            db_size_quota=node.config.quota_bytes,
            leader=node.leader,
            raft_index=statistics.commit,
            raft_term=node.term,
            raft_applied_index=statistics.applied,
            errors=errors,
            is_learner=node.is_learner,
            # The release whose fields these are, as etcd 3.6 writes it.
            storage_version=ETCD_CLUSTER_VERSION,
            downgrade_info=pb.DowngradeInfo(),
        )

    async def defragment(self, request: pb.DefragmentRequest, who: Who) -> pb.DefragmentResponse:
        """Give disk space back that compactions have freed; reads and writes go on. The answer is
        an empty message, as etcd's.
        """
        try:
            await self._node.defragmenter.run()
        except (HistoryError, OSError, duckdb.Error) as error:
            raise GRPCError(Status.UNAVAILABLE, f"kvorum: not defragmented: {error}") from error
        return pb.DefragmentResponse()

    async def hash(self, request: pb.HashRequest, who: Who) -> pb.HashResponse:
        """A hash of everything in this member's history file: every kept revision of every key.

        Members with the same kept revisions have the same hash.
        """
        stopping = threading.Event()
        revision = self._node.machine.revision
        done = self._node.history.export(lambda connection: hash_at(connection, revision), stopping)
        try:
            digest = await asyncio.wrap_future(done)
        except HistoryBusy:
            raise KvorumError(Condition.TOO_MANY_REQUESTS) from None
        except (HistoryError, duckdb.Error) as error:
            raise GRPCError(Status.UNAVAILABLE, f"kvorum: not hashed: {error}") from error
        finally:
            stopping.set()
        return pb.HashResponse(header=header_of(self._node), hash=crc32(digest))

    async def hash_kv(self, request: pb.HashKvRequest, who: Who) -> pb.HashKvResponse:
        """A hash of the keys at a revision, equal on all members."""
        done = await self._node.hash_at(request.revision)
        result = done.value
        assert isinstance(result, HashResult)
        return pb.HashKvResponse(
            header=header_of(self._node),
            hash=result.hash,
            compact_revision=result.compact_revision,
            hash_revision=result.revision,
        )

    async def alarm(self, request: pb.AlarmRequest, who: Who) -> pb.AlarmResponse:
        """Read, raise or lower alarms, through the log."""
        command = commands.AlarmSet(int(request.action), request.member_id, int(request.alarm))
        done = await self._node.propose(command, who())
        assert isinstance(done.value, AlarmResult)
        return pb.AlarmResponse(
            header=header_of(self._node),
            alarms=[
                pb.AlarmMember(member_id=alarm.member_id, alarm=pb.AlarmType(alarm.alarm))
                for alarm in done.value.alarms
            ],
        )

    async def move_leader(self, request: pb.MoveLeaderRequest, who: Who) -> pb.MoveLeaderResponse:
        """Hand the lead to a voter; asked of the leader. The answer is an empty message, as
        etcd's."""
        await self._node.transfer_leader(request.target_id)
        return pb.MoveLeaderResponse()

"""Looking after members: status, hashes, alarms, defragmentation, snapshots, handing over
leadership.

Most of these calls are about the member that answers them, so they are best made through
:meth:`kvorum.client.client.Client.member`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.methods import method
from kvorum.client.types import Header, header_of

_STATUS = method("/etcdserverpb.Maintenance/Status")
_ALARM = method("/etcdserverpb.Maintenance/Alarm")
_DEFRAGMENT = method("/etcdserverpb.Maintenance/Defragment")
_HASH_KV = method("/etcdserverpb.Maintenance/HashKV")
_SNAPSHOT = method("/etcdserverpb.Maintenance/Snapshot")
_MOVE_LEADER = method("/etcdserverpb.Maintenance/MoveLeader")
_DOWNGRADE = method("/etcdserverpb.Maintenance/Downgrade")


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What a member says of itself. Sizes in bytes; ``leader_id`` is 0 when it knows no leader."""

    header: Header
    version: str
    db_size_bytes: int
    db_in_use_bytes: int
    leader_id: int
    raft_term: int
    raft_index: int
    raft_applied_index: int
    is_learner: bool
    errors: tuple[str, ...]
    storage_version: str = ""
    db_quota_bytes: int = 0
    downgrade_target: str = ""  # while a downgrade is under way

    @property
    def member_id(self) -> int:
        """The member that answered."""
        return self.header.member_id

    @property
    def is_leader(self) -> bool:
        """Whether it holds itself for the leader."""
        return self.leader_id != 0 and self.leader_id == self.header.member_id


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that a member has raised."""

    member_id: int
    kind: str


@dataclass(frozen=True, slots=True)
class HashKV:
    """A member's hash over everything kept at one revision.

    Hashes can be compared when the revision asked for and ``compact_revision`` are the same.
    """

    header: Header
    hash: int
    compact_revision: int
    hash_revision: int


@dataclass(frozen=True, slots=True)
class SnapshotPiece:
    """A part of a snapshot. ``remaining_bytes`` come after it, the checksum at the end not
    counted.
    """

    data: bytes
    remaining_bytes: int


class Maintenance:
    """The maintenance calls. Each raises a :class:`kvorum.client.errors.ClientError`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def status(self, *, timeout_s: float | None = None) -> MemberStatus:
        """How the answering member is."""
        reply = await self._caller.call(
            _STATUS, pb.StatusRequest(), pb.StatusResponse, timeout_s=timeout_s
        )
        return MemberStatus(
            header=header_of(reply.header),
            version=reply.version,
            db_size_bytes=reply.db_size,
            db_in_use_bytes=reply.db_size_in_use,
            leader_id=reply.leader,
            raft_term=reply.raft_term,
            raft_index=reply.raft_index,
            raft_applied_index=reply.raft_applied_index,
            is_learner=reply.is_learner,
            errors=tuple(reply.errors),
            storage_version=reply.storage_version,
            db_quota_bytes=reply.db_size_quota,
            downgrade_target=reply.downgrade_info.target_version if reply.downgrade_info else "",
        )

    async def hash_kv(self, revision: int = 0, *, timeout_s: float | None = None) -> HashKV:
        """The answering member's hash at a revision; 0: its newest."""
        reply = await self._caller.call(
            _HASH_KV, pb.HashKvRequest(revision=revision), pb.HashKvResponse, timeout_s=timeout_s
        )
        return HashKV(
            header_of(reply.header), reply.hash, reply.compact_revision, reply.hash_revision
        )

    async def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm that is active in the cluster."""
        return await self._alarm(pb.AlarmRequest(action=pb.AlarmAction.GET))

    async def disarm(self, alarm: Alarm) -> tuple[Alarm, ...]:
        """Lift an alarm. Returns the alarms lifted; none if it was not active."""
        return await self._alarm(
            pb.AlarmRequest(
                action=pb.AlarmAction.DEACTIVATE,
                member_id=alarm.member_id,
                alarm=pb.AlarmType[alarm.kind],
            )
        )

    async def _alarm(self, request: pb.AlarmRequest) -> tuple[Alarm, ...]:
        reply = await self._caller.call(_ALARM, request, pb.AlarmResponse)
        return tuple(Alarm(alarm.member_id, _alarm_name(alarm.alarm)) for alarm in reply.alarms)

    async def defragment(self, *, timeout_s: float = 60.0) -> None:
        """Give unused space back; the member is blocked meanwhile."""
        await self._caller.call(
            _DEFRAGMENT, pb.DefragmentRequest(), pb.DefragmentResponse, timeout_s=timeout_s
        )

    async def downgrade_possible(self, version: str) -> str:
        """Ask whether the cluster could go back to ``version`` (``x.y``); nothing is changed.
        Returns the cluster's version; raises a ``ClientError`` that says why it could not. etcd 3.4
        does not know this call and raises ``Unsupported``.
        """
        request = pb.DowngradeRequest(action=pb.DowngradeAction.VALIDATE, version=version)
        return (await self._caller.call(_DOWNGRADE, request, pb.DowngradeResponse)).version

    async def move_leader(self, target_id: int, *, timeout_s: float = 10.0) -> None:
        """Hand leadership to another voter. Only the leader does it: see
        ``Cluster.move_leader``.
        """
        request = pb.MoveLeaderRequest(target_id=target_id)
        await self._caller.call(_MOVE_LEADER, request, pb.MoveLeaderResponse, timeout_s=timeout_s)

    async def snapshot(self, *, timeout_s: float | None = None) -> AsyncGenerator[bytes, None]:
        """The member's whole state as bytes, piece by piece; the last 32 are the SHA-256 of all
        others.
        """
        async with aclosing(self.snapshot_pieces(timeout_s=timeout_s)) as pieces:
            async for piece in pieces:
                yield piece.data

    async def snapshot_pieces(
        self, *, timeout_s: float | None = None
    ) -> AsyncGenerator[SnapshotPiece, None]:
        """The same, with how much is still to come."""
        replies = self._caller.replies(
            _SNAPSHOT, pb.SnapshotRequest(), pb.SnapshotResponse, timeout_s=timeout_s
        )
        async with aclosing(replies):
            async for reply in replies:
                yield SnapshotPiece(reply.blob, reply.remaining_bytes)


def _alarm_name(kind: pb.AlarmType) -> str:
    return kind.name or f"UNKNOWN {int(kind)}"

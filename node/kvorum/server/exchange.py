"""The peer service: what other members send here, and who may.

Every frame names its cluster, its sender and its receiver; one that does not belong here ends its
stream with a status that says why, on both sides' logs. A member that was removed is told so. A
sender that the table does not know yet is heard all the same, because a member that lags behind
learns of a newer one only through its messages; the frame brings the address to answer to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream
from kvorum_proto.codec import DecodeError, decode
from kvorum_proto.kvorum import v1

from kvorum import ETCD_VERSION
from kvorum.errors import KvorumError
from kvorum.replica.inputs import Input, Received
from kvorum.server import corruption
from kvorum.server.faults import Direction, FaultGate
from kvorum.server.leaving import REMOVED
from kvorum.server.lineage import line_of
from kvorum.server.link import EXCHANGE_PATH, PeerLink, Self
from kvorum.server.peers import Peers
from kvorum.server.peerwire import decode_node, decode_raft
from kvorum.server.runtime import Node
from kvorum.server.seldom import Seldom

log = logging.getLogger(__name__)

# Timers of one instant run in any order; a hair apart they keep theirs.
_HAIR_S = 1e-6
INSTALL_PATH = "/kvorum.v1.Peer/InstallSnapshot"
MEMBERS_PATH = "/kvorum.v1.Peer/Members"

InstallHandler = Callable[[Stream[v1.SnapshotChunk, v1.SnapshotReceipt]], Awaitable[None]]


def _refusal(error: KvorumError) -> GRPCError:
    return GRPCError(Status(int(error.condition.code)), error.condition.message)


@dataclass
class _Incoming:
    """One peer's stream."""

    sender: int
    delayed_until: float = 0.0


class Admission:
    """Who may speak to this node as a peer.

    Args:
        own: who is spoken to.
        removed: the ids of members that were removed.
        line: the line of clusters this node belongs to; None while it knows no configuration.
    """

    def __init__(
        self, own: Self, removed: Callable[[], Any], line: Callable[[], int | None]
    ) -> None:
        self._own = own
        self._removed = removed
        self._line = line
        self._seldom = Seldom(asyncio.get_running_loop().time)

    def check(self, cluster_id: int, sender: int, to: int, terms: Iterable[int] = ()) -> None:
        """GRPCError when these do not belong together; ``terms`` are those of its messages."""
        own, line = self._own, self._line()
        why = ""
        if cluster_id != own.cluster_id:
            why = f"cluster ID mismatch: {cluster_id:x} speaks to {own.cluster_id:x}"
        elif to != own.member_id:
            why = f"member ID mismatch: {to:x} was meant, this is {own.member_id:x}"
        elif not sender or sender == own.member_id:
            why = f"member ID mismatch: {sender:x} cannot be a peer of {own.member_id:x}"
        elif sender in self._removed():
            why = REMOVED
        elif line is not None and any(line_of(term) != line for term in terms):
            why = "cluster mismatch: one of the two was forced to be a new cluster"
        if why:
            if self._seldom.is_due(why):
                log.warning("refused a peer", extra={"remote-peer-id": f"{sender:x}", "error": why})
            raise GRPCError(Status.FAILED_PRECONDITION, why)


class PeerService:
    """kvorum.v1.Peer on the peer port."""

    def __init__(
        self,
        node: Node,
        own: Self,
        peers: Peers,
        gate: FaultGate,
        install: InstallHandler,
    ) -> None:
        self._node = node
        self._own = own
        self._peers = peers
        self._gate = gate
        self._install = install
        self._loop = asyncio.get_running_loop()
        self.admission = Admission(own, lambda: node.machine.members.removed, self._line)

    def _line(self) -> int | None:
        node = self._node
        return line_of(node.term) if node.raft.conf.voters else None

    def __mapping__(self) -> dict[str, Handler]:
        """Paths and handlers, for grpclib."""
        return {
            # Frames are taken as bytes, to count them, and decoded here.
            EXCHANGE_PATH: Handler(self.exchange, Cardinality.STREAM_STREAM, bytes, v1.PeerAck),
            INSTALL_PATH: Handler(
                self._install,
                Cardinality.STREAM_UNARY,
                v1.SnapshotChunk,
                v1.SnapshotReceipt,
            ),
            MEMBERS_PATH: Handler(
                self.members,
                Cardinality.UNARY_UNARY,
                v1.PeerMembersRequest,
                v1.PeerMembersResponse,
            ),
            **corruption.handlers(self._node, _refusal),
        }

    async def exchange(self, stream: Stream[bytes, v1.PeerAck]) -> None:
        """Take a peer's frames for as long as it sends any."""
        incoming: _Incoming | None = None
        while (data := await stream.recv_message()) is not None:
            frame = self._read(data)
            if incoming is None:
                incoming = self._admit(frame)
                await stream.send_message(
                    v1.PeerAck(
                        cluster_id=self._own.cluster_id,
                        member_id=self._own.member_id,
                        server_version=ETCD_VERSION,
                    )
                )
            elif frame.sender != incoming.sender:
                raise GRPCError(Status.INVALID_ARGUMENT, "the sender changed within a stream")
            self._take(incoming, frame, len(data))

    @staticmethod
    def _read(data: bytes) -> v1.PeerFrame:
        try:
            return decode(v1.PeerFrame, data)
        except DecodeError as exc:
            raise GRPCError(Status.INVALID_ARGUMENT, f"not a frame: {exc}") from None

    def _admit(self, frame: v1.PeerFrame) -> _Incoming:
        self.admission.check(frame.cluster_id, frame.sender, frame.to)
        if not self._peers.welcome(frame.sender, tuple(frame.peer_urls)):
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many peers that are no members")
        return _Incoming(frame.sender)

    def _take(self, incoming: _Incoming, frame: v1.PeerFrame, size: int) -> None:
        """One frame: checked, through the faults of the link, to the replica."""
        terms = [message.term for message in frame.raft]
        self.admission.check(frame.cluster_id, frame.sender, frame.to, terms)
        inputs = self._inputs(frame)
        link = self._peers.get(incoming.sender)
        rule = self._gate.link(incoming.sender, Direction.INBOUND)
        if rule is not None:
            if not self._gate.passes(rule):
                return
            due = self._loop.time() + self._gate.delay_s(rule)
            incoming.delayed_until = max(incoming.delayed_until + _HAIR_S, due)
        if incoming.delayed_until > self._loop.time():
            self._loop.call_at(
                incoming.delayed_until, self._hear, link, size, frame.sent_ns, frame.echo_ns, inputs
            )
        else:
            self._hear(link, size, frame.sent_ns, frame.echo_ns, inputs)

    def _inputs(self, frame: v1.PeerFrame) -> list[Input]:
        own, sender = self._own.member_id, frame.sender
        try:
            inputs: list[Input] = []
            if frame.raft:
                messages = tuple([decode_raft(own, sender, x) for x in frame.raft])
                inputs.append(Received(sender, messages))
            inputs.extend([decode_node(sender, x) for x in frame.node])
        except ValueError as exc:
            log.error(
                "refused a peer's frame",
                extra={"remote-peer-id": f"{sender:x}", "error": str(exc)},
            )
            raise GRPCError(Status.INVALID_ARGUMENT, f"not a frame: {exc}") from None
        return inputs

    def _hear(
        self,
        link: PeerLink | None,
        size: int,
        sent_ns: int,
        echo_ns: int,
        inputs: list[Input],
    ) -> None:
        if link is not None:
            link.heard(size, sent_ns, echo_ns)
        for happened in inputs:
            self._node.post(happened)

    async def members(self, stream: Stream[v1.PeerMembersRequest, v1.PeerMembersResponse]) -> None:
        """Who is in the cluster, as this member has it applied."""
        await stream.recv_message()
        node = self._node
        members = node.machine.members
        match = {x.member: x.match for x in node.raft.status().progress}
        await stream.send_message(
            v1.PeerMembersResponse(
                cluster_id=node.cluster_id,
                member_id=node.member_id,
                term=node.term,
                leader=node.leader,
                members=[
                    v1.PeerMember(
                        id=member.id,
                        name=member.name,
                        peer_urls=list(member.peer_urls),
                        client_urls=list(member.client_urls),
                        is_learner=member.is_learner,
                        started=bool(
                            member.client_urls
                            or match.get(member.id)
                            or member.id == node.member_id
                        ),
                    )
                    for member in members.all()
                ],
                server_version=ETCD_VERSION,
                removed=list(members.removed_ids()),
                cluster_version=node.machine.cluster_version,
            )
        )

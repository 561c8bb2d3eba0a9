"""Checks of this member's state against its peers' that an operator asks for by etcd's flags.

Members compare digests of all they hold all the time (``replica.digests``); what is here asks
besides. With ``--initial-corrupt-check`` a member that starts compares its hash with its peers' at
the same revision, before it takes part and before it serves, and refuses to start when one differs.
With ``--corrupt-check-time`` the leader compares the hashes of all, and raises the alarm CORRUPT as
etcd does.

What is compared is HashKV's answer: the live keys at a revision. Peers answer it on their peer
ports, where auth does not stand between members.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from grpclib.const import Cardinality, Handler
from grpclib.server import Stream
from kvorum_proto import etcdserverpb as pb

from kvorum.errors import KvorumError
from kvorum.limits import HASH_ASK_S
from kvorum.machine.alarms import Alarm
from kvorum.machine.commands import AlarmSet
from kvorum.machine.digest import HashResult
from kvorum.machine.members import Member
from kvorum.machine.operations import ALARM_ACTIVATE, ALARM_CORRUPT
from kvorum.replica.digests import judge
from kvorum.server.crash import Exit, FatalError
from kvorum.server.dial import BROKEN, ask_peer, channel_to
from kvorum.server.tls import TlsPort

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

log = logging.getLogger(__name__)

HASH_PATH = "/etcdserverpb.Maintenance/HashKV"


class PeerHash(NamedTuple):
    """A peer's hash at the revision asked for, or None and why there is none."""

    member: int
    hash: int | None
    reason: str = ""


def handlers(node: Node, refuse: Callable[[KvorumError], Exception]) -> dict[str, Handler]:
    """What the peer port answers for these checks. ``refuse``: a condition as its status."""

    async def hash_kv(stream: Stream[pb.HashKvRequest, pb.HashKvResponse]) -> None:
        request = await stream.recv_message()
        assert request is not None, "grpclib gives a unary call its message"
        try:
            done = await node.hash_at(request.revision)
        except KvorumError as error:
            raise refuse(error) from None
        result = done.value
        assert isinstance(result, HashResult)
        header = pb.ResponseHeader(
            cluster_id=node.cluster_id, member_id=node.member_id, revision=node.machine.revision
        )
        await stream.send_message(
            pb.HashKvResponse(
                header=header,
                hash=result.hash,
                compact_revision=result.compact_revision,
                hash_revision=result.revision,
            )
        )

    method = Handler(hash_kv, Cardinality.UNARY_UNARY, pb.HashKvRequest, pb.HashKvResponse)
    return {HASH_PATH: method}


async def initial_check(node: Node, tls: TlsPort) -> None:
    """Compare this member's state, as its own disk has it, with its peers'.

    Peers that do not answer, or not at this revision, are passed over. FatalError in etcd's words
    when one has another hash.
    """
    log.info("starting initial corruption check", extra=_own(node))
    # One turn applies what the log knows to be committed; the next tells the state after it.
    await node.hash_at(0)
    mine = await _own_hash(node)
    differing = [
        each
        for each in await _ask_all(node, tls, mine.revision)
        if each.hash is not None and each.hash != mine.hash
    ]
    for each in differing:
        log.warning(
            "found different hash values from remote peer",
            extra={
                **_own(node),
                "local-member-revision": mine.revision,
                "local-member-hash": mine.hash,
                "remote-peer-id": f"{each.member:x}",
                "remote-peer-hash": each.hash,
            },
        )
    if differing:
        raise FatalError(f"{node.member_id:x} found data inconsistency with peers", Exit.BAD_DATA)
    log.info("initial corruption checking passed; no corruption", extra=_own(node))


async def watch(
    node: Node,
    tls: TlsPort,
    every_s: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """While this member leads, compare all members every so often, for ever."""
    while True:
        await sleep(every_s)
        if not node.is_leader:
            continue
        try:
            await check(node, tls)
        except KvorumError as error:
            log.warning("failed to check hash KV", extra={"error": str(error)})


async def check(node: Node, tls: TlsPort) -> None:
    """Compare all members once, and raise the alarm for those that differ from the majority, or for
    the cluster. Raises KvorumError.
    """
    await node.barrier()
    mine = await _own_hash(node)
    votes = {node.member_id: mine.hash}
    for each in await _ask_all(node, tls, mine.revision):
        if each.hash is not None:
            votes[each.member] = each.hash
    for member in judge(votes, len(node.members())) or ():
        log.error(
            "found different hash values",
            extra={**_own(node), "revision": mine.revision, "corrupt-member": f"{member:x}"},
        )
        if Alarm(member, ALARM_CORRUPT) not in node.machine.alarms.all():
            await node.propose(AlarmSet(ALARM_ACTIVATE, member, ALARM_CORRUPT))


def _own(node: Node) -> dict[str, str]:
    return {"local-member-id": f"{node.member_id:x}"}


async def _own_hash(node: Node) -> HashResult:
    result = (await node.hash_at(0)).value
    assert isinstance(result, HashResult)
    return result


async def _ask_all(node: Node, tls: TlsPort, revision: int) -> list[PeerHash]:
    others = [member for member in node.members() if member.id != node.member_id]
    answers = await asyncio.gather(*(_ask(node, tls, member, revision) for member in others))
    for each in answers:
        if each.hash is None:
            log.warning(
                "failed to retrieve hash from remote peer",
                extra={"remote-peer-id": f"{each.member:x}", "error": each.reason},
            )
    return answers


async def _ask(node: Node, tls: TlsPort, member: Member, revision: int) -> PeerHash:
    """One peer's answer, from the first of its URLs that gives one."""
    reason = "no peer URLs"
    for url in member.peer_urls:
        channel = None
        try:
            channel = channel_to(url, tls)
            request = pb.HashKvRequest(revision=revision)
            async with asyncio.timeout(HASH_ASK_S):
                answer = await ask_peer(channel, HASH_PATH, request, pb.HashKvResponse)
        except BROKEN as error:
            reason = str(error) or type(error).__name__
            continue
        finally:
            if channel is not None:
                channel.close()
        header = answer.header or pb.ResponseHeader()
        if (header.cluster_id, header.member_id) == (node.cluster_id, member.id):
            return PeerHash(member.id, answer.hash)
        reason = f"{url} is member {header.member_id:x} of cluster {header.cluster_id:x}"
    return PeerHash(member.id, None, reason)

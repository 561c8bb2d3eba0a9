"""Before a first start: what the members that already run say about this node.

A node with an empty disk must be certain that nobody counts on a disk it has lost. If its id ran
before, it may have voted and acknowledged entries; starting it anew would let a term have two
leaders or an acknowledged write be forgotten (raft checklist E1, M7). So it asks the others first,
and where its id is known to have run, it ends with etcd's words. The way back is a new identity:
``member remove``, then ``member add``.

A node that joins (``--initial-cluster-state existing``) takes everything from the members that run:
ids, the cluster's id, who is a learner. What its flags list must be the same members one to one,
which tells apart the right cluster from a typing mistake (contract page "server", section 5).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvorum_proto.kvorum import v1

from kvorum import ETCD_VERSION
from kvorum.config import NodeConfig
from kvorum.errors import ConfigError
from kvorum.limits import JOIN_ASK_S, START_ASK_S
from kvorum.machine.members import Member
from kvorum.server.boot import FirstMembers
from kvorum.server.dial import BROKEN, ask_peer, channel_to
from kvorum.server.exchange import MEMBERS_PATH
from kvorum.server.tls import TlsPort
from kvorum.storage.interface import WalMetadata
from kvorum.urls import parse_urls, resolved

log = logging.getLogger(__name__)

# The oldest cluster version that this node speaks, as etcd's minimum.
_OLDEST = (3, 0)


@dataclass(frozen=True)
class Told:
    """What one running member says about its cluster."""

    url: str
    cluster_id: int
    leads: bool
    members: tuple[Member, ...]
    started: frozenset[int]
    removed: frozenset[int]
    cluster_version: str

    def __str__(self) -> str:
        """As etcd prints a cluster in its messages."""
        members = " ".join(
            f"&{{ID:{x.id:x} RaftAttributes:{{PeerURLs:[{' '.join(x.peer_urls)}] "
            f"IsLearner:{str(x.is_learner).lower()}}} Attributes:{{Name:{x.name} "
            f"ClientURLs:[{' '.join(x.client_urls)}]}}}}"
            for x in self.members
        )
        removed = " ".join(f"{id_:x}" for id_ in sorted(self.removed))
        return f"{{ClusterID:{self.cluster_id:x} Members:[{members}] RemovedMemberIDs:[{removed}]}}"


async def first_members(config: NodeConfig, tls: TlsPort) -> FirstMembers:
    """Who the members are, for a node that starts on an empty disk.

    Raises ConfigError in etcd's words: the flags contradict themselves or the running cluster, no
    member answers a joiner, or this id ran before.
    """
    first = FirstMembers.of(config)
    own = first.metadata.member_id
    others = [url for member in first.members if member.id != own for url in member.peer_urls]
    if config.initial_cluster_state == "new":
        _refuse_second_life(own, await _ask_all(others, tls, START_ASK_S))
        return first
    told = await _ask_all(others, tls, JOIN_ASK_S)
    if not told:
        raise ConfigError(
            "cannot fetch cluster info from peer urls: "
            "could not retrieve cluster information from the given URLs"
        )
    return await asyncio.to_thread(_joined, first, told)


def _refuse_second_life(own: int, told: Iterable[Told]) -> None:
    for each in told:
        if own in each.started or own in each.removed:
            raise ConfigError(f"member {own:x} has already been bootstrapped")


def _joined(first: FirstMembers, told: Sequence[Told]) -> FirstMembers:
    """The running cluster's members and this node's place among them. Resolves names: blocks."""
    refusals = []
    for each in sorted(told, key=lambda x: not x.leads):
        try:
            matched = _match(first.members, each.members)
        except ConfigError as refusal:
            # One that lags may not have heard of this node yet; the others decide.
            refusals.append(f"error validating peerURLs {each}: {refusal}")
            continue
        own = matched[first.metadata.member_id]
        _refuse_second_life(own, told)
        if not all(_is_compatible(x) for x in told):
            raise ConfigError("incompatible with current running cluster")
        return FirstMembers(WalMetadata(each.cluster_id, own), each.members, joins=True)
    raise ConfigError(refusals[0])


def _match(listed: Sequence[Member], running: Sequence[Member]) -> dict[int, int]:
    """Ids as the flags give them -> ids of the running members with the same peer URLs."""
    if len(listed) != len(running):
        raise ConfigError("member count is unequal")
    left = list(listed)
    found: dict[int, int] = {}
    for member in running:
        same = next((x for x in left if _same_urls(x.peer_urls, member.peer_urls)), None)
        if same is None:
            urls = " ".join(member.peer_urls)
            raise ConfigError(
                f"PeerURLs: no match found for existing member ({member.id:x}, [{urls}]), "
                "last resolver error (no address of the listed members is one of these)"
            )
        left.remove(same)
        found[same.id] = member.id
    return found


def _same_urls(one: Sequence[str], other: Sequence[str]) -> bool:
    if set(one) == set(other):
        return True
    return len(one) == len(other) and resolved(parse_urls(",".join(one))) == resolved(
        parse_urls(",".join(other))
    )


def _is_compatible(told: Told) -> bool:
    """Whether this node can speak as the cluster does; a cluster that has not agreed on a version
    yet will agree on one that all of its members have.
    """
    if not told.cluster_version:
        return True
    major, minor = (int(part) for part in told.cluster_version.split(".")[:2])
    own_major, own_minor = (int(part) for part in ETCD_VERSION.split(".")[:2])
    fits = _OLDEST <= (major, minor) <= (own_major, own_minor)
    if not fits:
        log.warning(
            "remote cluster version is not compatible with this member",
            extra={"remote-cluster-version": told.cluster_version, "local-version": ETCD_VERSION},
        )
    return fits


# --- asking ---------------------------------------------------------------------------------------


async def _ask_all(urls: Iterable[str], tls: TlsPort, timeout_s: float) -> list[Told]:
    """The answers of those that give one, in the order of the URLs."""
    answers = await asyncio.gather(*(_ask(url, tls, timeout_s) for url in urls))
    return [answer for answer in answers if answer is not None]


async def _ask(url: str, tls: TlsPort, timeout_s: float) -> Told | None:
    channel = None
    try:
        channel = channel_to(url, tls)
        request = v1.PeerMembersRequest()
        async with asyncio.timeout(timeout_s):
            answer = await ask_peer(channel, MEMBERS_PATH, request, v1.PeerMembersResponse)
    except BROKEN as error:
        log.debug("a member does not answer", extra={"url": url, "error": str(error)})
        return None
    finally:
        if channel is not None:
            channel.close()
    members = tuple(
        [
            Member(x.id, x.name, tuple(x.peer_urls), tuple(x.client_urls), x.is_learner)
            for x in answer.members
        ]
    )
    return Told(
        url,
        answer.cluster_id,
        answer.leader == answer.member_id != 0,
        members,
        frozenset([x.id for x in answer.members if x.started or x.client_urls]),
        frozenset(answer.removed),
        answer.cluster_version,
    )

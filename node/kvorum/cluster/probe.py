"""The question a supervisor puts to its nodes: do you answer, and do you know a leader?

It is etcd's ``Maintenance.Status``, so that our own nodes and real etcd are asked alike. Where auth
is on and that is only told to users, the node's page ``/debug/vars`` says enough.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import H2Error
from kvorum_proto.codec import ChannelCodec
from kvorum_proto.etcdserverpb import StatusRequest, StatusResponse

from kvorum import limits
from kvorum.client.connection import TLS
from kvorum.errors import Condition
from kvorum.http2.server import KvorumChannel

_FOR_USERS = (Condition.USER_EMPTY.message, Condition.PERMISSION_DENIED.message)


@dataclass(frozen=True)
class Answer:
    """What a node said: its own member id, its leader's (0 = none known), and where it stands; to
    nobody in particular, neither its revision (0) nor its version ("").
    """

    member_id: int
    leader_id: int
    term: int
    index: int
    revision: int
    version: str


def channel_to(url: str, tls: TLS | None = None) -> KvorumChannel:
    """A channel to a client URL (``http://host:port``). Close it with ``close()``."""
    parts = urlsplit(url)
    context = _context(url, tls)
    host, port = parts.hostname or "127.0.0.1", parts.port or 2379
    return KvorumChannel(host, port, codec=ChannelCodec(), ssl=context)


def _context(url: str, tls: TLS | None) -> ssl.SSLContext | None:
    return (tls or TLS()).context() if url.startswith("https:") else None


async def ask(
    url: str, timeout_s: float = limits.PROBE_TIMEOUT_S, tls: TLS | None = None
) -> Answer | None:
    """The node's answer, or None when it gives none (dead, paused, not ready, no gRPC there)."""
    channel = channel_to(url, tls)
    method = UnaryUnaryMethod(
        channel, "/etcdserverpb.Maintenance/Status", StatusRequest, StatusResponse
    )
    try:
        async with asyncio.timeout(timeout_s):
            async with method.open() as stream:
                await stream.send_message(StatusRequest(), end=True)
                reply = await stream.recv_message()
    except GRPCError as error:
        if error.message not in _FOR_USERS:
            return None
        return await asyncio.to_thread(_page, url, timeout_s, tls)
    except (OSError, TimeoutError, StreamTerminatedError, H2Error):
        return None
    finally:
        channel.close()
    if reply is None:
        return None
    header = reply.header
    return Answer(
        member_id=header.member_id if header else 0,
        leader_id=reply.leader,
        term=reply.raft_term,
        index=reply.raft_index,
        revision=header.revision if header else 0,
        version=reply.version,
    )


def _page(url: str, timeout_s: float, tls: TLS | None) -> Answer | None:
    """The same from the page that is there for everybody."""
    context = _context(url, tls)
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
    try:
        where = url.rstrip("/") + "/debug/vars"
        with urllib.request.urlopen(where, timeout=timeout_s, context=context) as page:
            raft = json.loads(page.read())["raft.status"]
        return Answer(
            member_id=int(raft["id"], 16),
            leader_id=int(raft["lead"], 16),
            term=raft["term"],
            index=raft["commit"],
            revision=0,
            version="",
        )
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None


def ask_all(
    urls: Mapping[str, str],
    timeout_s: float = limits.PROBE_TIMEOUT_S,
    tls: TLS | None = None,
) -> dict[str, Answer | None]:
    """The answers of several nodes, asked at once: name -> answer. Not from inside an event
    loop.
    """

    async def gather() -> dict[str, Answer | None]:
        answers = await asyncio.gather(*(ask(url, timeout_s, tls) for url in urls.values()))
        return dict(zip(urls, answers, strict=True))

    return asyncio.run(gather())


def agreed_leader(answers: Mapping[str, Answer | None]) -> str | None:
    """The name of the leader when every node answered and all name the same one, else None."""
    given = [a for a in answers.values() if a is not None]
    if len(given) != len(answers) or len({a.leader_id for a in given}) != 1:
        return None
    return known_leader(answers)


def known_leader(answers: Mapping[str, Answer | None]) -> str | None:
    """The name of the node that leads in the highest term anybody named a leader for, else None."""
    newest = max(
        (a for a in answers.values() if a is not None and a.leader_id),
        key=lambda a: a.term,
        default=None,
    )
    for name, answer in answers.items():
        if newest is not None and answer is not None and answer.member_id == newest.leader_id:
            return name
    return None

"""Channels to other members' peer URLs, plain or over TLS."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from betterproto2 import Message
from grpclib.client import UnaryUnaryMethod
from grpclib.config import Configuration
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.exceptions import ProtocolError
from kvorum_proto.codec import ChannelCodec

from kvorum.errors import ConfigError
from kvorum.http2.server import KvorumChannel
from kvorum.limits import PEER_PING_S, PEER_SILENCE_S
from kvorum.server.tls import TlsPort
from kvorum.urls import parse_url

# What a peer's end of a stream looks like from here, whatever ended it.
BROKEN = (OSError, TimeoutError, GRPCError, StreamTerminatedError, ProtocolError, ConfigError)


Answer = TypeVar("Answer", bound=Message)


class _CheckedChannel(KvorumChannel):
    """A channel over TLS; who was reached is checked beyond what TLS itself checks."""

    tls: TlsPort

    async def _create_connection(self) -> H2Protocol:
        protocol = await super()._create_connection()
        shown = protocol.connection._transport.get_extra_info("ssl_object")
        refusal = self.tls.dial_refusal(shown)
        if refusal:
            protocol.processor.close(refusal)
            raise ConnectionError(refusal)
        return protocol


def channel_to(url: str, tls: TlsPort | None = None) -> KvorumChannel:
    """A channel to a member's peer URL, with pings that notice a silent other side.

    ``tls`` gives the certificates for an ``https`` URL, as they are now. ConfigError when they
    cannot be read.
    """
    config = Configuration(
        _keepalive_time=PEER_PING_S,
        _keepalive_timeout=PEER_SILENCE_S,
        _keepalive_permit_without_calls=True,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=PEER_PING_S / 2,
    )
    address = parse_url(url)
    where: dict[str, Any] = {"host": address.host, "port": address.port}
    if address.is_unix:
        where = {"path": address.path}
        # The name that a certificate behind a socket in the file system is checked for.
        config = dataclasses.replace(config, ssl_target_name_override="localhost")
    if not address.is_secure:
        return KvorumChannel(codec=ChannelCodec(), config=config, **where)
    assert tls is not None, "every member has its TLS side, with or without a certificate"
    channel = _CheckedChannel(codec=ChannelCodec(), config=config, ssl=tls.dial_context(), **where)
    channel.tls = tls
    return channel


async def ask_peer(
    channel: KvorumChannel, path: str, request: Message, answer_type: type[Answer]
) -> Answer:
    """One request and its answer. Raises one of ``BROKEN``."""
    method = UnaryUnaryMethod[Message, Answer](channel, path, type(request), answer_type)
    async with method.open() as stream:
        await stream.send_message(request, end=True)
        answer = await stream.recv_message()
    if answer is None:
        raise ConnectionError("the peer answered nothing")
    return answer

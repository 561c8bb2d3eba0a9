"""The codec in its place: below grpclib's client and server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpclib import GRPCError, Status
from grpclib.client import StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.testing import ChannelFor
from kvorum_proto.codec import Codec, DecodeError, ServerCodec, encode
from kvorum_proto.etcdserverpb import PutRequest, PutResponse, ResponseHeader
from kvorum_proto.services import METHODS

PUT = METHODS["/etcdserverpb.KV/Put"]


class Echo:
    """Answers a Put with its lease as the revision, as a message or as ready bytes."""

    async def put(self, stream: Any) -> None:
        """One request, one answer."""
        request = await stream.recv_message()
        answer = PutResponse(header=ResponseHeader(revision=request.lease))
        await stream.send_message(encode(answer) if request.prev_kv else answer)

    async def raw(self, stream: Any) -> None:
        """Every message as the bytes it came in."""
        async for data in stream:
            assert type(data) is bytes
            await stream.send_message(data)

    def __mapping__(self) -> dict[str, Handler]:
        unary = Handler(self.put, Cardinality.UNARY_UNARY, PUT.request, PUT.response)
        return {
            PUT.path: unary,
            "/x.X/Raw": Handler(self.raw, Cardinality.STREAM_STREAM, bytes, bytes),
        }


def test_messages_and_ready_bytes_reach_the_client_alike() -> None:
    async def run() -> list[PutResponse]:
        async with ChannelFor([Echo()], codec=ServerCodec()) as channel:
            put = UnaryUnaryMethod(channel, PUT.path, PutRequest, PutResponse)
            return [await put(PutRequest(lease=5, prev_kv=ready)) for ready in (False, True)]

    assert asyncio.run(run()) == [PutResponse(header=ResponseHeader(revision=5))] * 2


def test_bytes_can_be_asked_for() -> None:
    async def run() -> list[bytes]:
        async with ChannelFor([Echo()], codec=Codec()) as channel:
            return await StreamStreamMethod(channel, "/x.X/Raw", bytes, bytes)([b"", b"\xff\x00"])

    assert asyncio.run(run()) == [b"", b"\xff\x00"]


def test_the_client_is_told_of_a_request_that_is_none() -> None:
    async def run() -> None:
        async with ChannelFor([Echo()], codec=ServerCodec()) as channel:
            await UnaryUnaryMethod(channel, PUT.path, bytes, bytes)(b"\x0a\x09k")

    with pytest.raises(GRPCError) as caught:
        asyncio.run(run())
    assert caught.value.status is Status.INTERNAL
    assert caught.value.message == "grpc: error unmarshalling request: unexpected EOF"


def test_a_message_of_another_class_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="PutRequest expected, not PutResponse"):
        Codec().encode(PutResponse(), PutRequest)
    with pytest.raises(DecodeError):
        Codec().decode(b"\x0a\x09k", PutRequest)

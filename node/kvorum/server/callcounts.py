"""Counts of the calls that clients make, as grpc-go's interceptor for Prometheus counts them.

Every handler of the client port is wrapped once, below gRPC's connections and the JSON gateway
alike, so that a call counts however it came. Messages of streams are counted as they pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from time import perf_counter_ns
from typing import Any, cast

from aiohttp import web
from betterproto2 import Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum_proto.codec import ServerCodec

from kvorum.failpoints import Failpoint, nothing
from kvorum.http2.messages import send_encoded
from kvorum.limits import METRICS_LABEL_CHARACTERS, METRICS_LABEL_VALUES
from kvorum.server.latency import (
    CALL_BUCKETS_US,
    DEFRAGMENT_BUCKETS_US,
    HASH_BUCKETS_US,
    SNAPSHOT_BUCKETS_US,
    Buckets,
)
from kvorum.server.slowness import tell_of_call

_KINDS = {
    Cardinality.UNARY_UNARY: "unary",
    Cardinality.UNARY_STREAM: "server_stream",
    Cardinality.STREAM_UNARY: "client_stream",
    Cardinality.STREAM_STREAM: "bidi_stream",
}
_OTHERS = "other"
_MAINTENANCE = "/etcdserverpb.Maintenance/"
_KEYS = "/etcdserverpb.KV/"
_WALKS = {
    _MAINTENANCE + "Hash": HASH_BUCKETS_US,
    _MAINTENANCE + "HashKV": HASH_BUCKETS_US,
    _MAINTENANCE + "Defragment": DEFRAGMENT_BUCKETS_US,
    _MAINTENANCE + "Snapshot": SNAPSHOT_BUCKETS_US,
}


class MethodCounts:
    """The counters of one method. ``seconds`` counts how long its calls took, where that is
    wanted."""

    def __init__(self, path: str, cardinality: Cardinality, seconds: Buckets | None = None) -> None:
        self.seconds = seconds
        self.service, _, self.method = path.removeprefix("/").rpartition("/")
        self.kind = _KINDS[cardinality]
        self.started = 0
        self.received = 0
        self.sent = 0
        self.handled = dict.fromkeys(Status, 0)


class CallCounts:
    """The counters of all methods of a node.

    Args:
        extensive: whether how long calls took is counted for every method.
        slow_us: unary calls that took longer are told in the log.
        failpoint: the place where the answer to a call about keys was sent.
    """

    def __init__(
        self,
        *,
        extensive: bool = False,
        slow_us: int = 300_000,
        failpoint: Failpoint = nothing,
    ) -> None:
        self._failpoint = failpoint
        self.extensive = extensive
        self._slow_us = slow_us
        # How long the few calls take that walk over everything.
        self.walks = {path: Buckets(bounds) for path, bounds in _WALKS.items()}
        self.methods: dict[str, MethodCounts] = {}
        # (unary or stream, what the client calls its version) -> calls.
        self.requests: dict[tuple[str, str], int] = {}
        self.codec = CountingCodec()

    def wrap(self, path: str, handler: Handler) -> Handler:
        """The handler, counted."""
        seconds = Buckets(CALL_BUCKETS_US) if self.extensive else None
        counts = self.methods[path] = MethodCounts(path, handler.cardinality, seconds)
        is_unary = handler.cardinality is Cardinality.UNARY_UNARY
        walk, slow_us = self.walks.get(path), self._slow_us
        answered = self._failpoint if path.startswith(_KEYS) else nothing
        inner = handler.func
        requests_of = "unary" if is_unary else "stream"

        async def handle(stream: Any) -> None:
            counts.started += 1
            started_ns = perf_counter_ns()
            self._requested(requests_of, stream.metadata.get("client-api-version", "unknown"))
            code = Status.OK
            try:
                if is_unary:
                    counts.received += 1
                    await inner(stream)
                    counts.sent += 1
                    answered("reply_after")
                else:
                    await inner(_CountedStream(stream, counts, self.codec))
            except GRPCError as error:
                code = error.status
                raise
            except (asyncio.CancelledError, StreamTerminatedError):
                late = stream.deadline is not None and not stream.deadline.time_remaining()
                code = Status.DEADLINE_EXCEEDED if late else Status.CANCELLED
                raise
            except BaseException:
                code = Status.INTERNAL
                raise
            finally:
                counts.handled[code] += 1
                took_us = (perf_counter_ns() - started_ns) // 1000
                if seconds is not None:
                    seconds.add(took_us)
                if walk is not None and code is Status.OK:
                    walk.add(took_us)
                if is_unary and took_us > slow_us:
                    tell_of_call(path, stream.peer, took_us)

        return handler._replace(func=handle)

    def _requested(self, kind: str, version: str) -> None:
        # Clients choose the version's text: only so many different ones are kept apart, and short
        # ones.
        key = (kind, version)
        is_full = key not in self.requests and len(self.requests) >= METRICS_LABEL_VALUES
        if is_full or len(version) > METRICS_LABEL_CHARACTERS:
            key = (kind, _OTHERS)
        self.requests[key] = self.requests.get(key, 0) + 1


class CountingCodec(ServerCodec):
    """The server's codec, adding up the bytes of messages."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.sent_bytes = 0

    def encode(self, message: Any, message_type: Any) -> bytes:
        """As the codec does."""
        data = super().encode(message, message_type)
        self.sent_bytes += len(data)
        return data

    def decode(self, data: bytes, message_type: Any) -> Any:
        """As the codec does."""
        self.received_bytes += len(data)
        return super().decode(data, message_type)


class _CountedStream:
    """A stream whose messages are counted as they pass."""

    def __init__(self, stream: Any, counts: MethodCounts, codec: CountingCodec) -> None:
        self._stream = stream
        self._counts = counts
        self._codec = codec
        self.metadata = stream.metadata
        self.peer = stream.peer
        self.deadline = stream.deadline

    async def recv_message(self) -> Message | None:
        message = cast("Message | None", await self._stream.recv_message())
        if message is not None:
            self._counts.received += 1
        return message

    async def send_message(self, message: Any) -> None:
        await self._stream.send_message(message)
        self._counts.sent += 1

    async def send_encoded(self, payloads: Iterable[bytes]) -> int:
        several = tuple(payloads)
        sent = await send_encoded(self._stream, several)
        self._counts.sent += len(several)
        self._codec.sent_bytes += sum(map(len, several))
        return sent


class CountedServices:
    """The services of a port as one, every handler counted; and the HTTP routes they offer."""

    def __init__(self, services: Collection[Any], counts: CallCounts) -> None:
        self._services = services
        self._handlers = {
            path: counts.wrap(path, handler)
            for service in services
            for path, handler in service.__mapping__().items()
        }

    def __mapping__(self) -> Mapping[str, Handler]:
        return self._handlers

    def http_routes(self) -> list[web.AbstractRouteDef]:
        """What services offer over HTTP/1.1: those that have routes are handed all handlers."""
        return [
            route
            for service in self._services
            if hasattr(service, "http_routes")
            for route in service.http_routes(self._handlers)
        ]

"""One bad request over gRPC, how it must end, and how real etcd ends it where that differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.negative.rawgrpc import Header, request_headers
from kvorum_proto.etcdserverpb import PutRequest
from kvorum_proto.wire import uvarint

KV, WATCH, LEASE = "/etcdserverpb.KV", "/etcdserverpb.Watch", "/etcdserverpb.Lease"
MAINTENANCE = "/etcdserverpb.Maintenance"
HEALTH = "/grpc.health.v1.Health/Check"
PUT = bytes(PutRequest(key=b"k", value=b"v"))
MOST = 2_097_152
LONG = "x" * 5000

MALFORMED = "reset PROTOCOL_ERROR"
CONTRADICTION = "13 grpc: compressed flag set with identity or empty encoding"
# etcd 3.4.23 panics: not sent to it.
CRASHES = ()
# A deadline that has passed shows etcd either way, whichever of its two clocks is looked at first.
LATE = ("4 context deadline exceeded", "2 context deadline exceeded")


@dataclass(frozen=True)
class Case:
    """What is sent, and how the call ends (see :meth:`RawCalls.outcome`).

    ``etcd`` is None where 3.4.23 ends it in the same way, else its ways.
    """

    name: str
    headers: Sequence[Header]
    body: bytes
    expected: str
    etcd: str | tuple[str, ...] | None = None

    @property
    def etcd_ways(self) -> tuple[str, ...]:
        """How etcd 3.4.23 ends it; none where it does not survive."""
        if self.etcd is None:
            return (self.expected,)
        return (self.etcd,) if isinstance(self.etcd, str) else self.etcd


def head(path: str = f"{KV}/Put", **changes: str | bytes | None) -> list[Header]:
    """Headers of a put, or what is said instead (:func:`request_headers`)."""
    return request_headers(path, **changes)


def undecodable(why: str) -> str:
    """Bytes that are no message, in a call with one request and one answer."""
    return f"13 grpc: error unmarshalling request: {why}"


def unreadable(why: str) -> str:
    """The same in a stream."""
    return f"13 grpc: failed to unmarshal the received message {why}"


def not_installed(encoding: str) -> str:
    """A compressed message."""
    return f'12 grpc: Decompressor is not installed for grpc-encoding "{encoding}"'


def too_large(size: int) -> str:
    """A message over the limit."""
    return f"8 grpc: received message larger than max ({size} vs. {MOST})"


def nested(levels: int) -> bytes:
    """Transactions within one another, one operation in each."""
    inner = b""
    for _ in range(levels):
        op = b"\x22" + uvarint(len(inner)) + inner
        inner = b"\x12" + uvarint(len(op)) + op
    return inner

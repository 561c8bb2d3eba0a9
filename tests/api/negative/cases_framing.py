"""Messages in frames that lie: lengths, flags, encodings, how many there are."""

from __future__ import annotations

from api.negative.case import CONTRADICTION, MOST, PUT, Case, head, not_installed, too_large
from api.negative.rawgrpc import frame
from kvorum_proto.etcdserverpb import PutRequest

CASES = [
    Case("fine", head(), frame(PUT), "0"),
    Case("no message", head(), b"", "2 EOF"),
    Case("two messages", head(), frame(PUT) * 2, "0"),
    Case("empty message", head(), frame(b""), "3 etcdserver: key is not provided"),
    Case("prefix cut", head(), b"\0\0\0", "2 unexpected EOF"),
    Case("body cut", head(), frame(PUT, length=100), "2 unexpected EOF"),
    Case("prefix short lie", head(), frame(PUT, length=3), "0"),
    Case("rest after the message", head(), frame(PUT) + b"\0\0", "0"),
    Case("length 4G", head(), frame(b"", length=2**32 - 1), too_large(4294967295)),
    Case("length over", head(), frame(b"", length=MOST + 1), too_large(2097153)),
    Case("length 2G", head(), frame(b"", length=2**31), too_large(2147483648)),
    Case(
        "oversize",
        head(),
        frame(bytes(PutRequest(key=b"k", value=bytes(MOST)))),
        too_large(2097160),
    ),
    Case("flag 1", head(), frame(PUT, flag=1), CONTRADICTION),
    Case("flag 1 identity", head(grpc_encoding="identity"), frame(PUT, flag=1), CONTRADICTION),
    Case("flag 1 gzip", head(grpc_encoding="gzip"), frame(PUT, flag=1), not_installed("gzip")),
    Case("flag 0 gzip", head(grpc_encoding="gzip"), frame(PUT), not_installed("gzip")),
    Case("flag 2", head(), frame(PUT, flag=2), "13 grpc: received unexpected payload format 2"),
    Case(
        "flag 255", head(), frame(PUT, flag=255), "13 grpc: received unexpected payload format 255"
    ),
    Case("flag 2 gzip", head(grpc_encoding="gzip"), frame(PUT, flag=2), not_installed("gzip")),
    Case("flag 1 nope", head(grpc_encoding="nope"), frame(PUT, flag=1), not_installed("nope")),
    Case("encoding empty", head(grpc_encoding=""), frame(PUT), "0"),
]

"""Headers that are odd, forbidden or missing."""

from __future__ import annotations

from api.negative.case import CRASHES, KV, LATE, LONG, MALFORMED, PUT, Case, head
from api.negative.rawgrpc import frame

CASES = [
    Case("GET", head(p_method="GET"), frame(PUT), MALFORMED, etcd="0"),
    Case("PUT", head(p_method="PUT"), frame(PUT), MALFORMED, etcd="0"),
    Case("no method", head(p_method=None), frame(PUT), MALFORMED, etcd="0"),
    Case("no path", head(p_path=None), frame(PUT), '8 malformed method name: ""'),
    Case("no scheme", head(p_scheme=None), frame(PUT), "0"),
    Case("no authority", head(p_authority=None), frame(PUT), "0"),
    Case("no te", head(te=None), frame(PUT), "0"),
    Case("te gzip", head(te="gzip"), frame(PUT), "0"),
    Case("no content-type", head(content_type=None), frame(PUT), MALFORMED),
    Case("content-type json", head(content_type="application/json"), frame(PUT), MALFORMED),
    Case("content-type empty", head(content_type=""), frame(PUT), MALFORMED),
    Case("content-type proto", head(content_type="application/grpc+proto"), frame(PUT), "0"),
    Case("content-type ;", head(content_type="application/grpc;charset=utf-8"), frame(PUT), "0"),
    Case("content-type +json", head(content_type="application/grpc+json"), frame(PUT), "0"),
    Case("content-type +nope", head(content_type="application/grpc+nope"), frame(PUT), "0"),
    Case("content-type grpcx", head(content_type="application/grpcx"), frame(PUT), MALFORMED),
    Case("content-type grpc-web", head(content_type="application/grpc-web"), frame(PUT), MALFORMED),
    Case("content-type upper", head(content_type="Application/GRPC"), frame(PUT), MALFORMED),
    Case("timeout bad", head(grpc_timeout="abc"), frame(PUT), MALFORMED),
    Case("timeout empty", head(grpc_timeout=""), frame(PUT), MALFORMED),
    Case("timeout nounit", head(grpc_timeout="10"), frame(PUT), MALFORMED),
    Case("timeout unit x", head(grpc_timeout="10x"), frame(PUT), MALFORMED),
    Case(
        "timeout neg",
        head(grpc_timeout="-1S"),
        frame(PUT),
        "4 context deadline exceeded",
        etcd=LATE,
    ),
    Case("timeout 9 digits", head(grpc_timeout="123456789S"), frame(PUT), MALFORMED),
    Case("timeout huge", head(grpc_timeout="99999999H"), frame(PUT), "0"),
    Case(
        "timeout none",
        head(grpc_timeout="0S"),
        frame(PUT),
        "4 context deadline exceeded",
        etcd=LATE,
    ),
    Case(
        "timeout 0n", head(grpc_timeout="0n"), frame(PUT), "4 context deadline exceeded", etcd=LATE
    ),
    Case(
        "timeout 1n", head(grpc_timeout="1n"), frame(PUT), "4 context deadline exceeded", etcd=LATE
    ),
    Case("timeout float", head(grpc_timeout="1.5S"), frame(PUT), MALFORMED),
    Case(
        "unknown method",
        head(f"{KV}/Nope"),
        frame(PUT),
        "12 unknown method Nope for service etcdserverpb.KV",
    ),
    Case("unknown service", head("/nope.X/Y"), frame(PUT), "12 unknown service nope.X"),
    Case("path one part", head("/nope"), frame(PUT), '8 malformed method name: "/nope"'),
    Case("path no slash", head("nope"), frame(PUT), '8 malformed method name: "nope"'),
    Case("path no slash2", head("etcdserverpb.KV/Put"), frame(PUT), "0"),
    Case("path empty", head(""), frame(PUT), '8 malformed method name: ""'),
    Case("path /", head("/"), frame(PUT), '8 malformed method name: "/"'),
    Case("path //", head("//"), frame(PUT), "12 unknown service"),
    Case("path trailing", head(f"{KV}/Put/"), frame(PUT), "12 unknown service etcdserverpb.KV/Put"),
    Case(
        "path query",
        head(f"{KV}/Put?x=1"),
        frame(PUT),
        "12 unknown method Put?x=1 for service etcdserverpb.KV",
    ),
    Case(
        "path case", head("/etcdserverpb.kv/put"), frame(PUT), "12 unknown service etcdserverpb.kv"
    ),
    Case(
        "path peers", head("/kvorum.v1.Peer/Link"), frame(PUT), "12 unknown service kvorum.v1.Peer"
    ),
    Case(
        "path utf8",
        head("/etcdserverpb.KV/\u00e4".encode()),
        frame(PUT),
        "12 unknown method ä for service etcdserverpb.KV",
    ),
    Case(
        "path percent",
        head("/etcdserverpb.KV/a%b"),
        frame(PUT),
        "12 unknown method a%b for service etcdserverpb.KV",
    ),
    Case("path long", head(f"/{LONG}/y"), frame(PUT), f"12 unknown service {LONG}"),
    Case("metadata non-utf8", head(x_y=b"\xff\xfe"), frame(PUT), "0"),
    Case(
        "token non-utf8",
        head(token=b"\xff\xfe"),
        frame(PUT),
        "0",
        etcd="16 etcdserver: invalid auth token",
    ),
    Case(
        "api version non-utf8",
        head(client_api_version=b"\xff\xfe"),
        frame(PUT),
        "3 etcdserver: invalid client api version",
        etcd=CRASHES,
    ),
    Case("bin bad b64", head(x_bin="!!!"), frame(PUT), "0"),
    Case("bin ok", head(x_bin="AAA"), frame(PUT), "0"),
    Case("upper name", head(X_Upper="1"), frame(PUT), MALFORMED),
    Case("connection header", head(connection="close"), frame(PUT), "0"),
    Case("transfer-encoding", head(transfer_encoding="chunked"), frame(PUT), "0"),
    Case("host", head(host="other"), frame(PUT), "0"),
    Case("pseudo unknown", head(p_foo="1"), frame(PUT), MALFORMED),
    Case("status pseudo", head(p_status="200"), frame(PUT), MALFORMED),
    Case("name empty", [*head(), ("", "x")], frame(PUT), MALFORMED),
    Case("header nul", [*head(), ("x", b"a\0b")], frame(PUT), MALFORMED),
    Case("header nl", [*head(), ("x", b"a\r\nb")], frame(PUT), MALFORMED),
    Case("name space", [*head(), ("a b", b"a")], frame(PUT), MALFORMED),
    Case("pseudo after", [*head()[1:], (":method", "POST")], frame(PUT), MALFORMED),
    Case("double path", [(":path", f"{KV}/Range"), *head()], frame(PUT), MALFORMED),
    Case("content-length lies", head(content_length="3"), frame(PUT), "0"),
    Case("content-length bad", head(content_length="x"), frame(PUT), "0"),
    Case("list 20k", [*head(), *[("x", "y" * 1000)] * 20], frame(PUT), "0"),
    Case("list 70k", [*head(), *[("x", "y" * 1000)] * 70], frame(PUT), "0"),
    Case("list 200k", [*head(), *[("x", "y" * 1000)] * 200], frame(PUT), "0"),
    Case("hasleader", head(hasleader="true"), frame(PUT), "0"),
]

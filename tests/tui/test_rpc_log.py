"""The log of the terminal's own calls: bounds, filters, figures, and the command line of every
call.
"""

from __future__ import annotations

import shlex
import subprocess

import pytest
from betterproto2 import Message
from kvorum.client.txn_text import parse
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum import v1
from kvorum_proto.services import METHODS
from kvorum_tui.model.rpc_log import PAYLOAD_MAX, RpcFilter, RpcLog, RpcMoment, percentile
from kvorum_tui.model.rpc_rows import RpcRows, as_json, command_lines, detail
from kvorum_tui.model.rpc_text import answer_words, in_few_words, lines_of, message_of
from kvorum_tui.model.rpc_twin import twin

RANGE = "/etcdserverpb.KV/Range"
PUT = "/etcdserverpb.KV/Put"
STATUS = "/etcdserverpb.Maintenance/Status"
WATCH = "/etcdserverpb.Watch/Watch"
E = "http://h:1"


def call(
    number: int, path: str = RANGE, ms: float = 1.0, code: str = "OK", **more: object
) -> RpcMoment:
    request = more.pop("request", pb.RangeRequest(key=b"k%d" % number))
    assert isinstance(request, Message)
    reads = path != PUT
    return RpcMoment(number, "call", 0.0, E, path, ms / 1000, bytes(request), b"", code, "", reads)


def stream(number: int, phase: str, **more: object) -> RpcMoment:
    moment = RpcMoment(number, phase, 0.0, E, WATCH, 1.0)
    return moment._replace(**more)  # type: ignore[arg-type]  # fields of the record by name


def rows_of(log: RpcLog) -> RpcRows:
    return RpcRows(log, lambda endpoint: "n1" if endpoint == E else endpoint)


def test_a_stream_is_one_line_that_grows_and_stays_while_it_is_open() -> None:
    log = RpcLog(entries_max=10)
    log.add(stream(1, "open"))
    log.add(stream(1, "sent", request=b"ab"))
    for number in range(30):
        log.add(stream(1, "received", reply=b"xyz"))
        log.add(call(100 + number))
    first = log.entries[0]
    assert (first.id, first.open, first.sent, first.received) == (1, True, 1, 30)
    assert (first.sent_bytes, first.received_bytes, first.request) == (2, 90, b"ab")
    assert len(log.entries) == 10
    assert log.total == 31
    assert log.dropped == 21
    log.add(stream(1, "end", code="CANCELLED"))
    assert not first.open
    assert not first.failed
    log.add(call(999))
    assert first.evicted
    assert log.figures["Watch/Watch"].count == 1


def test_memory_is_bounded_whatever_is_sent() -> None:
    log = RpcLog(bytes_max=100_000)
    for number in range(200):
        value = b"v" * (PAYLOAD_MAX - 100 if number % 2 else PAYLOAD_MAX * 4)
        log.add(call(number, PUT, request=pb.PutRequest(key=b"k", value=value)))
        assert log.bytes <= 100_000
    assert log.bytes == sum(entry.weight for entry in log.entries)
    assert log.entries[-2].request is None
    assert log.entries[-2].sent_bytes > PAYLOAD_MAX * 4
    assert log.total == 200
    assert log.dropped == 200 - len(log.entries)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", [1, 2, 3, 4]),
        ("errors", [3]),
        ("!errors", [1, 2, 4]),
        ("writes", [2]),
        ("reads", [1, 3, 4]),
        (">50", [4]),
        ("slow", []),
        (">50 method:range", [4]),
        ("method:put", [2]),
        ("member:n1", [1, 2, 3, 4]),
        ("member:n2", []),
        ("k3", [3]),
        ("!k3 !method:put", [1, 4]),
        ("code:unavail", [3]),
    ],
)
def test_filters(text: str, shown: list[int]) -> None:
    rows = rows_of(RpcLog())
    for moment in (call(1), call(2, PUT), call(3, code="UNAVAILABLE"), call(4, ms=60)):
        rows.take(moment)
    assert rows.set_filter(text) == ""
    assert [entry.id for entry in rows.rows] == shown
    assert rows.filtered == 4 - len(shown)


def test_a_filter_that_is_wrong_says_so() -> None:
    assert "milliseconds" in RpcFilter(">x").error
    assert RpcFilter(">1.5").error == ""


def test_polls_are_hidden_and_counted_but_never_when_they_failed() -> None:
    rows = rows_of(RpcLog())
    rows.take(call(1, STATUS, request=pb.StatusRequest()))
    rows.take(call(2, STATUS, code="UNAVAILABLE", request=pb.StatusRequest()))
    assert ([entry.id for entry in rows.rows], rows.hidden) == ([2], 1)
    rows.show_polls(True)
    assert ([entry.id for entry in rows.rows], rows.hidden) == ([1, 2], 0)


def test_pause_holds_still_and_lets_everything_in_afterwards() -> None:
    rows = rows_of(RpcLog(entries_max=5))
    rows.take(call(1))
    rows.pause(True)
    for number in range(2, 9):
        rows.take(call(number))
    assert ([entry.id for entry in rows.rows], rows.held) == ([1], 7)
    rows.pause(False)
    assert [entry.id for entry in rows.rows] == [4, 5, 6, 7, 8]
    rows.take(call(9))
    assert [entry.id for entry in rows.rows] == [5, 6, 7, 8, 9]


def test_a_stream_that_breaks_appears_among_the_errors() -> None:
    rows = rows_of(RpcLog())
    rows.set_filter("errors")
    rows.take(stream(1, "open"))
    assert not rows.rows
    rows.take(stream(1, "end", code="UNAVAILABLE"))
    rows.refresh()
    assert [entry.id for entry in rows.rows] == [1]


def test_figures_by_method() -> None:
    log = RpcLog()
    for number in range(100):
        log.add(call(number, ms=number + 1, code="UNKNOWN" if number == 7 else "OK"))
    log.add(call(200, PUT))
    first = log.by_method()[0]
    assert (first.method, first.count, first.errors) == ("KV/Range", 100, 1)
    assert first.percentile(0.5) == pytest.approx(50)
    assert first.percentile(0.99) == pytest.approx(99)
    assert percentile([], 0.5) is None


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "request_", "text"),
    [
        (RANGE, pb.RangeRequest(key=b"/a"), "/a"),
        (RANGE, pb.RangeRequest(key=b"/a/", range_end=b"/a0"), "/a/*"),
        (RANGE, pb.RangeRequest(key=b"\0", range_end=b"\0"), "all keys"),
        (RANGE, pb.RangeRequest(key=b"b", range_end=b"\0"), "b …"),
        (RANGE, pb.RangeRequest(key=b"b", range_end=b"d"), "b … d"),
        ("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest(id=-1), "f" * 16),
        (
            "/etcdserverpb.Auth/UserGrantRole",
            pb.AuthUserGrantRoleRequest(user="u", role="r"),
            "u r",
        ),
        ("/etcdserverpb.KV/Compact", pb.CompactionRequest(revision=1_000), "1,000"),
        (STATUS, pb.StatusRequest(), ""),
    ],
)
def test_a_request_in_a_few_words(path: str, request_: Message, text: str) -> None:
    assert in_few_words(path, bytes(request_)) == text


def test_long_values_are_cut_and_secrets_are_named_only() -> None:
    lines = dict(lines_of(pb.PutRequest(key=b"k", value=b"v" * 10_000, lease=0x1A)))
    assert len(lines["value"]) < 200
    assert "9.8 KiB" in lines["value"]
    assert lines["lease"] == "1a"
    shown = dict(lines_of(pb.AuthUserAddRequest(name="ann", password="open")))
    assert shown["password"] == "(never kept)"
    many = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=b"k"))] * 500)
    assert len(lines_of(many)) < 50
    assert message_of(RANGE, b"\x0a\xff") is None


def test_an_answer_in_a_few_words() -> None:
    reply = pb.RangeResponse(header=pb.ResponseHeader(revision=812), count=41, more=True)
    assert answer_words(RANGE, bytes(reply), 9) == "more, count 41, revision 812"
    assert answer_words(RANGE, None, 20_000) == "19.5 KiB, too long to keep"


# --- command lines --------------------------------------------------------------------------------


def compare_and_put() -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=[pb.Compare(key=b"a b", target=pb.CompareTarget.MOD, mod_revision=7)],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"a b", value=b"it's", lease=26))],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a b"))],
    )


@pytest.mark.parametrize(
    ("path", "request_", "words"),
    [
        (RANGE, pb.RangeRequest(key=b"/a"), ["get", "/a"]),
        (RANGE, pb.RangeRequest(key=b"it's"), ["get", "it's"]),
        (RANGE, pb.RangeRequest(key=b"-x"), ["get", "--", "-x"]),
        (RANGE, pb.RangeRequest(key=b"/a/", range_end=b"/a0"), ["get", "--prefix", "/a/"]),
        (RANGE, pb.RangeRequest(key=b"\0", range_end=b"\0"), ["get", "--prefix", ""]),
        (
            RANGE,
            pb.RangeRequest(
                key=b"a", range_end=b"c", revision=4, limit=2, keys_only=True, serializable=True
            ),
            ["get", "--rev=4", "--limit=2", "--consistency=s", "--keys-only", "a", "c"],
        ),
        (PUT, pb.PutRequest(key=b"k", value=b"", lease=26), ["put", "--lease=1a", "k", ""]),
        (
            "/etcdserverpb.KV/DeleteRange",
            pb.DeleteRangeRequest(key=b"k", range_end=b"\0", prev_kv=True),
            ["del", "--from-key", "--prev-kv", "k"],
        ),
        (
            WATCH,
            pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k", start_revision=3)),
            ["watch", "--rev=3", "k"],
        ),
        ("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest(ttl=60), ["lease", "grant", "60"]),
        (
            "/etcdserverpb.Cluster/MemberPromote",
            pb.MemberPromoteRequest(id=0xBEEF),
            ["member", "promote", "beef"],
        ),
        (
            "/etcdserverpb.Auth/UserAdd",
            pb.AuthUserAddRequest(name="ann", password="never"),
            ["user", "add", "ann"],
        ),
        (
            "/etcdserverpb.Auth/RoleGrantPermission",
            pb.AuthRoleGrantPermissionRequest(
                name="r", perm=authpb.Permission(authpb.PermissionType.READ, b"/a/", b"/a0")
            ),
            ["role", "grant-permission", "--prefix", "r", "read", "/a/"],
        ),
    ],
)
def test_both_programs_have_a_command_line(path: str, request_: Message, words: list[str]) -> None:
    found = twin(path, bytes(request_), E, ("--user=root",))
    for program, line in (("kvorum", found.kvorum), ("etcdctl", found.etcdctl)):
        said = shlex.split(line)
        connection = [word for word in said if word.startswith(("--endpoints", "--user"))]
        assert connection == [f"--endpoints={E}", "--user=root"]
        assert [word for word in said if word not in connection] == [program, *words]
        assert "never" not in line


def test_a_transaction_is_told_on_standard_input() -> None:
    line = twin("/etcdserverpb.KV/Txn", bytes(compare_and_put()), E).etcdctl
    head, *text, end = line.split("\n")
    assert head == f"etcdctl txn --endpoints={E} <<'KVORUM'"
    assert end == "KVORUM"
    assert bytes(parse("\n".join(text) + "\n").message()) == bytes(compare_and_put())


@pytest.mark.parametrize("key", [b"a\nb", b"\xff\x01'", b'$HOME `x` "q" \\', "schlüssel".encode()])
def test_a_shell_gives_back_the_very_bytes(key: bytes) -> None:
    line = twin(RANGE, bytes(pb.RangeRequest(key=key)), E).etcdctl
    script = f'etcdctl() {{ printf %s "${{@: -1}}"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout == key


def test_where_there_is_no_command_line_the_reason_stands() -> None:
    assert "NUL" in twin(PUT, bytes(pb.PutRequest(key=b"k", value=b"a\0b")), E).why_not_etcdctl
    compact = twin("/etcdserverpb.KV/Compact", bytes(pb.CompactionRequest(revision=5)), E)
    assert compact.etcdctl == f"etcdctl compaction --endpoints={E} 5"
    assert "no verb compaction" in compact.why_not_kvorum
    sql = twin("/kvorum.v1.Inspect/Query", bytes(v1.QueryRequest(sql="SELECT 1")), E)
    assert sql.kvorum == f"kvorum sql --endpoints={E} 'SELECT 1'"
    assert sql.why_not_etcdctl
    assert "too long" in twin(PUT, None, E).why_not_kvorum
    inject = twin("/kvorum.v1.Faults/Inject", bytes(v1.InjectRequest()), E)
    assert inject.why_not_kvorum
    assert inject.why_not_etcdctl


@pytest.mark.parametrize("path", sorted(METHODS))
def test_every_method_of_every_service_can_be_logged(path: str) -> None:
    """An empty request of each: words, lines, command lines or reasons, an export; no failure."""
    called = METHODS[path]
    log = RpcLog()
    entry, _ = log.add(
        RpcMoment(1, "call", 0.0, E, path, 0.001, b"", bytes(called.response()), reads=False)
    )
    assert detail(entry, "n1")[0][0][0] == entry.method
    assert all(line or why for _, line, why in command_lines(entry))
    exported = as_json(entry, "n1")
    assert exported["method"] == path
    assert exported["answer"]

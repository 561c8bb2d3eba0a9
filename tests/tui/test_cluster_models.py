"""What the Cluster tab knows, as models: events, remarks, figures over time, round trips, quantiles
of histograms, metrics of a real etcd.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from kvorum_tui.live.metrics import fetch_metrics, read_metrics
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.cluster_series import BY_NAME, SeriesBook, figure, folded, nice_top
from kvorum_tui.model.cluster_words import remarks
from kvorum_tui.model.histogram import between, quantile
from kvorum_tui.model.latency import HERE, LatencyBook, deviation, mark
from kvorum_tui.model.records import MemberIdentity, MemberReport, PeerView
from kvorum_tui.model.ribbon import GROUPS, KINDS, WEIGHT, Ribbon
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.figures import spark


def report(number: int, role: str = "follower", term: int = 2, **fields: object) -> MemberReport:
    made = MemberReport(
        f"http://n{number}", "kvorum", number, 7, f"n{number}", "3.5", role, 1, term, 10, 10
    )
    return replace(made, **fields)  # type: ignore[arg-type] # fields of a report


def three(**third: object) -> ClusterModel:
    model = ClusterModel()
    model.report(report(1, "leader"), 0.0)
    model.report(report(2), 0.0)
    model.report(report(3, **third), 0.0)
    return model


# --- remarks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("third", "said"),
    [
        ({}, []),
        ({"role": "leader"}, ["ALARM: n1 and n3 both say that they lead term 2"]),
        (
            {"role": "leader", "term": 5, "leader": 3},
            [
                "n1 still says it leads term 2",
                "n3 takes n3 for the leader; n1 and n2 say n1",
                "terms differ: n3 is in term 5, the others in term 2",
            ],
        ),
        ({"leader": 0}, ["n3 knows no leader; n1 and n2 say n1"]),
        ({"cluster_id": 8}, ["these are members of 2 different clusters"]),
        ({"applied": 10, "commit": 9_000}, ["n1 trails by 8,990", "n2 trails", "n3 trails"]),
        ({"version": "3.6"}, ["versions differ: n1 3.5, n2 3.5, n3 3.6"]),
        ({"errors": ("no leader",)}, ["n3 says: no leader"]),
        ({"db_bytes": 95, "db_quota_bytes": 100}, ["n3: database at 95% of its quota"]),
    ],
)
def test_remarks(third: dict[str, object], said: list[str]) -> None:
    found = [remark.text for remark in remarks(three(**third), 0.0)]
    assert len(found) == len(said)
    for text, start in zip(found, said, strict=True):
        assert text.startswith(start)


def test_a_lost_member_and_the_most_urgent_first() -> None:
    model = three(version="3.6", leader=0)
    model.failed("http://n2", "connection refused", 40.0)
    model.report(report(1, "leader"), 40.0)
    model.report(report(3, version="3.6", leader=0), 40.0)
    found = remarks(model, 40.0)
    assert "n2 is lost: its row is 40 s old (connection refused)" in [
        remark.text for remark in found
    ]
    assert [remark.ink for remark in found] == sorted(
        (remark.ink for remark in found), key=("bad", "warn", "dim").index
    )


# --- events ---------------------------------------------------------------------------------------


def texts(model: ClusterModel, group: str = "all") -> list[str]:
    return [event.text for event in model.ribbon.of(group)]


def test_alarms_begin_once_and_end_with_the_last_member() -> None:
    model = three(alarms=("NOSPACE",))
    model.report(report(2, alarms=("NOSPACE",)), 1.0)
    model.report(report(3), 2.0)
    assert texts(model, "alarms") == ["alarm NOSPACE"]
    model.report(report(2), 3.0)
    assert texts(model, "alarms") == ["alarm NOSPACE", "alarm NOSPACE is over"]


def test_compactions_and_versions() -> None:
    model = three(compact_revision=0)
    model.report(report(3, compact_revision=50, revision=80, version="3.6"), 1.0)
    model.report(report(2, compact_revision=50), 1.5)
    assert texts(model, "store") == ["compacted: nothing before revision 50 is kept"]
    assert texts(model, "members") == ["n3 runs 3.6, before 3.5"]
    assert model.ribbon.events[-1].revision == 80


def test_members_that_come_and_go() -> None:
    model = ClusterModel()
    one = MemberIdentity(1, "n1", (), ("http://a",))
    new = MemberIdentity(2, "", (), ("http://b",), learner=True)
    model.see_table([one], 0.0)
    model.see_table([one, new], 1.0)
    started = replace(new, name="n2")
    model.see_table([one, started], 2.0)
    model.see_table([replace(one, peer_urls=("http://c",)), replace(started, learner=False)], 3.0)
    model.see_table([replace(started, learner=False)], 4.0)
    assert texts(model, "members") == [
        "member 2 was added as a learner",
        "n2 started for the first time",
        "n1 has peer address http://c",
        "n2 was promoted to a voter",
        "n1 was removed",
    ]


def test_the_strip_of_the_last_minutes() -> None:
    ribbon = Ribbon()
    for at, kind in ((10.0, "note"), (95.0, "up"), (95.0, "lost"), (100.0, "leader")):
        ribbon.add(at, kind, kind)
    strip = ribbon.strip(100.0, 100.0, 10)
    assert strip == ["note", "", "", "", "", "", "", "", "", "lost"]
    assert ribbon.strip(100.0, 100.0, 10, "members")[-1] == "up"
    assert ribbon.strip(500.0, 100.0, 10) == [""] * 10
    assert set(WEIGHT) == set(KINDS)
    assert set().union(*GROUPS.values()) == set(KINDS)
    with pytest.raises(ValueError, match="unknown kind"):
        ribbon.add(0.0, "nonsense", "x")


# --- figures --------------------------------------------------------------------------------------


def test_rates_sums_and_the_leaders_figure() -> None:
    book = SeriesBook()
    for second, (revision, put) in enumerate([(10, 1.0), (20, 2.0), (25, 4.0)]):
        book.report(
            report(1, "leader", revision=revision, figures={"put_p99": put, "watchers": 2}),
            0,
            float(second),
        )
        book.report(report(2, revision=revision, figures={"put_p99": 99.0, "watchers": 3}), 5, 0.1)
    assert book.cluster(BY_NAME["writes"], 2.0, 4) == [None, None, 10.0, 5.0]
    assert book.cluster(BY_NAME["put_p99"], 2.0, 3) == [1.0, 2.0, 4.0]
    assert book.cluster(BY_NAME["watchers"], 2.0, 3)[0] == 5
    assert book.cluster(BY_NAME["trails"], 0.0, 1) == [5]
    assert book.member(BY_NAME["put_p99"], "http://n2", 2.0, 3) == [99.0, None, None]
    assert book.why_not(BY_NAME["put_p99"]) == ""
    assert book.why_not(BY_NAME["commit_p99"]) == "kvorum nodes have no such step"


def test_a_counter_that_begins_anew_gives_no_rate() -> None:
    book = SeriesBook()
    for second, revision in enumerate([100, 5, 7]):
        book.report(report(1, revision=revision), 0, float(second))
    assert book.cluster(BY_NAME["writes"], 2.0, 3) == [None, None, 2.0]


def test_what_etcd_does_not_tell() -> None:
    book = SeriesBook()
    book.report(replace(report(1), source="etcd"), 0, 0.0)
    assert "does not measure" in book.why_not(BY_NAME["put_p50"])
    assert "/metrics" in book.why_not(BY_NAME["pending"])
    assert book.why_not(BY_NAME["writes"]) == ""


@pytest.mark.parametrize(
    ("values", "unit", "top"),
    [
        ([], "", 1.0),
        ([0.0, None], "", 1.0),
        ([0.7], "ms", 1.0),
        ([3.0], "ms", 5.0),
        ([5.0], "ms", 5.0),
        ([51.0], "", 100.0),
        ([20_480.0], "B", 32_768.0),
    ],
)
def test_the_scale_is_a_round_number(values: list[float | None], unit: str, top: float) -> None:
    assert nice_top(values, unit) == pytest.approx(top)


def test_folding_keeps_peaks_and_gaps() -> None:
    assert folded([1.0, 9.0, None, None, 2.0, 3.0], 3) == [9.0, None, 3.0]
    assert folded([1.0], 3) == [None, None, 1.0]
    assert folded([], 3) == []
    assert spark([None, 0.0, 1.0, 4.0, 8.0], 8.0) == " ▁▁▄█"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", "-"),
        (1.234, "ms", "1.23 ms"),
        (1_500.0, "/s", "1,500/s"),
        (2_048, "B", "2.0 KiB"),
    ],
)
def test_figures_in_words(value: float | None, unit: str, text: str) -> None:
    assert figure(value, unit) == text


# --- round trips ----------------------------------------------------------------------------------


def test_spreads_of_round_trips() -> None:
    book = LatencyBook()
    for number in range(1, 1_001):
        book.record(1, 2, float(number), number / 10)
    spread = book.spread(1, 2)
    assert spread is not None
    assert (spread.newest, spread.p50, spread.p99, spread.p999) == (1_000, 500, 990, 999)
    assert (spread.samples, spread.since) == (1_000, 0.1)
    book.record(1, 2, 1_000.0, 200.0)
    book.record(1, 3, 0.0, 200.0)
    book.record(1, 3, math.inf, 200.0)
    assert book.spread(1, 2) == spread
    assert book.spread(1, 3) is None


def test_a_model_measures_peers_that_are_connected() -> None:
    model = three(
        latency_ms=2.0,
        peers=(PeerView(1, connected=True, round_trip_ms=3.0), PeerView(2, round_trip_ms=4.0)),
    )
    assert set(model.latency.spreads([1, 2, 3])) == {(HERE, 3), (3, 1)}


@pytest.mark.parametrize(("value", "sign"), [(1.0, ""), (1.7, "!"), (2.0, "‼"), (0.5, "↓")])
def test_what_is_far_from_the_others_is_marked(value: float, sign: str) -> None:
    assert mark(deviation(value, [1.0, 1.0, 1.0, 1.0, 2.0]))[0] == sign


def test_what_is_much_the_same_is_not() -> None:
    assert deviation(1.02, [1.0, 1.01, 1.02]) == 0.0
    assert deviation(5.0, [5.0]) == 0.0


# --- metrics --------------------------------------------------------------------------------------

POINTS = ((1.0, 50.0), (2.0, 99.0), (4.0, 100.0), (math.inf, 100.0))


@pytest.mark.parametrize(("share", "value"), [(0.5, 1.0), (0.25, 0.5), (0.99, 2.0), (1.0, 4.0)])
def test_quantiles_of_a_histogram(share: float, value: float) -> None:
    assert quantile(POINTS, share) == pytest.approx(value)


def test_histograms_of_the_last_minute() -> None:
    later = ((1.0, 50.0), (2.0, 99.0), (4.0, 110.0), (math.inf, 110.0))
    assert between(POINTS, later) == ((1.0, 0.0), (2.0, 0.0), (4.0, 10.0), (math.inf, 10.0))
    assert between(POINTS, POINTS) == POINTS
    began_anew = ((1.0, 1.0), (math.inf, 1.0))
    assert between(POINTS, began_anew) == began_anew
    assert quantile((), 0.5) is None
    assert quantile(((1.0, 0.0), (math.inf, 5.0)), 0.5) == 1.0


def test_the_text_of_a_real_etcd() -> None:
    told = read_metrics(
        """# TYPE etcd_server_proposals_pending gauge
etcd_server_proposals_pending 3
# TYPE etcd_server_leader_changes_seen_total counter
etcd_server_leader_changes_seen_total 2
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 5
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 9
etcd_disk_wal_fsync_duration_seconds_sum 0.1
etcd_disk_wal_fsync_duration_seconds_count 9
# TYPE etcd_network_peer_round_trip_time_seconds histogram
etcd_network_peer_round_trip_time_seconds_bucket{To="bb0dfe81ac5e341a",le="0.0002"} 4
etcd_network_peer_round_trip_time_seconds_bucket{To="bb0dfe81ac5e341a",le="+Inf"} 4
"""
    )
    assert told.figures == {"pending": 3, "leader_changes": 2}
    assert told.histograms == {"fsync": ((1.0, 5.0), (math.inf, 9.0))}
    assert list(told.peers) == [0xBB0DFE81AC5E341A]


def test_metrics_that_come_in_pieces_and_none_at_all() -> None:
    lines = [f"some_counter_{n} {n}\n".encode() for n in range(2_000)]
    lines.append(b"etcd_server_proposals_pending 3\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        found = asked.startswith(b"GET /metrics ")
        writer.write(b"HTTP/1.1 200 OK\r\n" if found else b"HTTP/1.1 404 Not Found\r\n")
        writer.write(b"Connection: close\r\n\r\n")
        for number, line in enumerate(lines):
            writer.write(line)
            if number % 100 == 0:
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            told = await fetch_metrics(f"http://127.0.0.1:{port}", None)
            assert told.figures == {"pending": 3}
            with pytest.raises(SessionError, match="404"):
                await fetch_metrics(f"http://127.0.0.1:{port}", None, path="/elsewhere")
        with pytest.raises(SessionError, match="/metrics"):
            await fetch_metrics(f"http://127.0.0.1:{port}", None)

    asyncio.run(run())

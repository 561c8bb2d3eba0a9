"""Metrics of the wires: other members, and the calls of clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grpclib.const import Status
from prometheus_client.metrics_core import Metric

from kvorum.server.callcounts import CallCounts
from kvorum.server.families import counter, counters, gauges, histograms
from kvorum.server.ports import PeerFigures
from kvorum.server.statistics import NodeStatistics

# Go's names of the codes where they are not Python's in camel case.
_CODE_NAMES = {Status.OK: "OK", Status.CANCELLED: "Canceled"}


def peers(figures: Iterable[PeerFigures], s: NodeStatistics) -> Iterator[Metric]:
    """What this node's connections to the other members have done."""
    prefix = "etcd_network_"
    local, links = f"{s.member_id:x}", [(f"{x.id:x}", x) for x in figures]
    both = ("Local", "Remote")
    connected = [((local, id_), float(x.connected)) for id_, x in links]
    yield gauges(prefix + "active_peers", "1 where a connection stands.", both, connected)
    lost = [((local, id_), float(x.disconnects)) for id_, x in links]
    yield counters(prefix + "disconnected_peers", "Connections lost.", both, lost)
    known = [((local, id_), 1.0) for id_, _ in links]
    yield gauges(prefix + "known_peers", "1 for every other member.", both, known)
    sent = [((id_,), float(x.sent_bytes)) for id_, x in links]
    yield counters(prefix + "peer_sent_bytes", "Bytes sent to a member.", ("To",), sent)
    received = [((id_,), float(x.received_bytes)) for id_, x in links]
    yield counters(prefix + "peer_received_bytes", "Bytes from a member.", ("From",), received)
    dropped = [((id_,), float(x.dropped_messages)) for id_, x in links]
    yield counters(
        prefix + "peer_sent_failures", "Messages to a member that were dropped.", ("To",), dropped
    )
    yield histograms(
        prefix + "peer_round_trip_time_seconds",
        "How long messages went to a member and back.",
        [((id_,), x.round_trips) for id_, x in links],
        ("To",),
    )


def calls(counts: CallCounts) -> Iterator[Metric]:
    """What clients called, by method, as grpc-go's interceptor for Prometheus tells it."""
    prefix, labels = "grpc_server_", ("grpc_type", "grpc_service", "grpc_method")
    methods = [((m.kind, m.service, m.method), m) for m in counts.methods.values()]
    for name, about, values in (
        ("started", "Calls begun.", [(key, m.started) for key, m in methods]),
        ("msg_received", "Messages received.", [(key, m.received) for key, m in methods]),
        ("msg_sent", "Messages sent.", [(key, m.sent) for key, m in methods]),
    ):
        yield counters(prefix + name, about, labels, values)
    yield counters(
        prefix + "handled",
        "Calls ended, by their code.",
        (*labels, "grpc_code"),
        [
            ((*key, code_name(status)), count)
            for key, m in methods
            for status, count in m.handled.items()
        ],
    )
    if counts.extensive:
        yield histograms(
            prefix + "handling_seconds",
            "How long calls took.",
            [(key, m.seconds.read()) for key, m in methods if m.seconds is not None],
            labels,
        )
    yield counters(
        "etcd_server_client_requests",
        "Calls by the version that clients tell.",
        ("type", "client_api_version"),
        counts.requests.items(),
    )
    prefix = "etcd_network_client_grpc_"
    yield counter(prefix + "received_bytes", "Bytes of requests.", counts.codec.received_bytes)
    yield counter(prefix + "sent_bytes", "Bytes of answers.", counts.codec.sent_bytes)


def code_name(status: Status) -> str:
    """Go's name of a status code."""
    return _CODE_NAMES.get(status) or "".join(p.capitalize() for p in status.name.split("_"))

"""A member's ``/metrics``: the few figures that a real etcd tells nowhere else.

Counters and gauges come as numbers by the names below, histograms as cumulative buckets (upper
bound in ms, how many at most that). A peer's round trip is told by the peer's id.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from kvorum.client import TLS
from kvorum.client.dialler import Dialler
from kvorum.client.web import page

from kvorum_tui.live.beside import Beside
from kvorum_tui.model.histogram import Points, between, quantile
from kvorum_tui.model.records import PeerView
from kvorum_tui.session import SessionError

SCRAPE_S = 3.0
SCRAPE_RARELY_S = 30.0
SCRAPE_FAR_S = 10.0  # Behind a tunnel each page costs a program.
WINDOW_S = 60.0
STALE_S = 15.0

FIGURES = {
    "etcd_server_proposals_pending": "pending",
    "etcd_server_proposals_failed_total": "failed",
    "etcd_server_leader_changes_seen_total": "leader_changes",
    "etcd_debugging_mvcc_watcher_total": "watchers",
    "etcd_debugging_mvcc_slow_watcher_total": "slow_watchers",
    "etcd_debugging_mvcc_compact_revision": "compacted",
    "etcd_debugging_mvcc_keys_total": "keys",
}
HISTOGRAMS = {
    "etcd_disk_wal_fsync_duration_seconds": "fsync",
    "etcd_disk_backend_commit_duration_seconds": "commit",
}
PEERS = "etcd_network_peer_round_trip_time_seconds"


@dataclass(frozen=True, slots=True)
class Scraped:
    """What ``/metrics`` of a member says. ``peers``: latencies by the peer's id, as cumulative
    buckets of a histogram.
    """

    figures: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    peers: dict[int, tuple[tuple[float, float], ...]] = field(default_factory=dict)


def read_metrics(text: str) -> Scraped:
    """Pick what we know out of the text format."""
    from prometheus_client.parser import text_string_to_metric_families

    found = Scraped()
    buckets: dict[str, list[tuple[float, float]]] = {}
    peers: dict[int, list[tuple[float, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = FIGURES.get(sample.name)
            if name is not None:
                found.figures[name] = sample.value
            elif sample.name.endswith("_bucket"):
                base = sample.name.removesuffix("_bucket")
                point = (float(sample.labels["le"]) * 1000, sample.value)
                if base in HISTOGRAMS:
                    buckets.setdefault(HISTOGRAMS[base], []).append(point)
                elif base == PEERS:
                    peers.setdefault(int(sample.labels["To"], 16), []).append(point)
    found.histograms.update({name: tuple(points) for name, points in buckets.items()})
    found.peers.update({peer: tuple(points) for peer, points in peers.items()})
    return found


async def fetch_metrics(
    endpoint: str, tls: TLS | None, dialler: Dialler | None = None, path: str = "/metrics"
) -> Scraped:
    """Ask one member over HTTP. Raises ``SessionError``."""
    try:
        _, text = await page(endpoint, path, tls, dialler)
        return await asyncio.to_thread(read_metrics, text)
    except (TimeoutError, OSError, ValueError) as error:
        raise SessionError(str(error) or type(error).__name__, endpoint, "/metrics") from error


@dataclass(slots=True)
class MetricsView:
    """What the newest answers come to: figures for charts, round trips to peers."""

    figures: dict[str, float] = field(default_factory=dict)
    peers: tuple[PeerView, ...] = ()

    def count(self, name: str) -> int | None:
        """A figure as a whole number, if it was told."""
        return int(self.figures[name]) if name in self.figures else None

    @property
    def compacted(self) -> int | None:
        """The compacted revision; etcd says -1 as long as nothing was."""
        told = self.count("compacted")
        return None if told is None else max(0, told)


class Metrics(Beside):
    """Scrapes one member while it is entered. Quantiles are of what happened in the last
    :data:`WINDOW_S` seconds, or since the member's start where nothing happened in them.
    """

    def __init__(
        self, endpoint: str, tls: TLS | None = None, dialler: Dialler | None = None
    ) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._dialler = dialler
        self._kept: list[tuple[float, Scraped]] = []
        self.error = ""

    async def run(self) -> None:
        """Ask again and again."""
        often = wait = SCRAPE_S if self._dialler is None else SCRAPE_FAR_S
        while True:
            try:
                scraped = await fetch_metrics(self._endpoint, self._tls, self._dialler)
            except SessionError as error:
                # Many clusters keep their metrics elsewhere: then it is asked rarely.
                self.error, wait = str(error), often if self._kept else SCRAPE_RARELY_S
            else:
                self.error, wait = "", often
                self._kept.append((time.monotonic(), scraped))
            while self._kept and time.monotonic() - self._kept[0][0] > WINDOW_S:
                del self._kept[0]
            await asyncio.sleep(wait)

    def view(self) -> MetricsView:
        """As of the newest answer."""
        if not self._kept or time.monotonic() - self._kept[-1][0] > STALE_S:
            return MetricsView()
        oldest, newest = self._kept[0][1], self._kept[-1][1]
        view = MetricsView(dict(newest.figures))
        for name, points in newest.histograms.items():
            recent = between(oldest.histograms.get(name, ()), points)
            for share, label in ((0.5, "p50"), (0.99, "p99")):
                value = quantile(recent, share)
                if value is not None:
                    view.figures[f"{name}_{label}"] = value
        view.peers = tuple(
            PeerView(peer, connected=True, round_trip_ms=value)
            for peer, points in sorted(newest.peers.items())
            if (value := _round_trip(oldest.peers.get(peer, ()), points)) is not None
        )
        return view


def _round_trip(before: Points, points: Points) -> float | None:
    return quantile(between(before, points), 0.5)

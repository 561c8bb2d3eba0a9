"""Figures of members over the last minutes: what the charts of the Cluster tab draw.

Each member's figure is kept once a second. A counter becomes a rate between two seconds; a member
that began anew (its counter fell) gives no rate for that second. For the cluster as a whole each
chart says how its members come together: the leader's, the highest, the sum.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from kvorum_tui.model.records import MemberReport

KEPT_S = 600
ETCD_TELLS = "no /metrics at its client address"


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure: ``source`` is its name in a report, ``joined`` how members' come together."""

    name: str
    title: str
    unit: str  # "ms", "/s" or ""
    source: str
    joined: str  # "leader", "max" or "sum"
    rate: bool = False
    why_not: str = ""  # said where a real etcd cannot tell it at all


CHARTS: tuple[Chart, ...] = (
    Chart("writes", "writes", "/s", "revision", "max", rate=True),
    Chart(
        "put_p50",
        "put p50",
        "ms",
        "put_p50",
        "leader",
        why_not="etcd does not measure it; see fsync and commit",
    ),
    Chart(
        "put_p99",
        "put p99",
        "ms",
        "put_p99",
        "leader",
        why_not="etcd does not measure it; see fsync and commit",
    ),
    Chart("fsync_p99", "fsync p99", "ms", "fsync_p99", "max"),
    Chart("commit_p99", "commit p99", "ms", "commit_p99", "max"),
    Chart("apply_p99", "apply p99", "ms", "apply_p99", "max", why_not="etcd does not measure it"),
    Chart("pending", "pending proposals", "", "pending", "sum"),
    Chart("leader_changes", "leader changes", "", "leader_changes", "max"),
    Chart("watchers", "watchers", "", "watchers", "sum"),
    Chart("trails", "trails by", "", "trails", "max"),
    Chart("rtt", "client round trip", "ms", "rtt", "max"),
    Chart("db", "database", "B", "db", "max"),
)
BY_NAME = {chart.name: chart for chart in CHARTS}


class Series:
    """One figure of one member, a value a second, the newest :data:`KEPT_S` of them."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque(maxlen=KEPT_S)

    def put(self, now: float, value: float) -> None:
        """The value as of now; the last one of a second stays."""
        second = int(now)
        if self._points and self._points[-1][0] == second:
            self._points[-1] = (second, value)
        else:
            self._points.append((second, value))

    def values(self, now: float, seconds: int, rate: bool) -> list[float | None]:
        """One value for each of the last whole ``seconds``, oldest first; None where none was
        told.
        """
        end = int(now)
        found: list[float | None] = [None] * seconds
        before: tuple[int, float] | None = None
        for second, value in self._points:
            place = seconds - 1 - (end - second)
            told: float | None = value
            if rate:
                told = None
                if before is not None and value >= before[1]:
                    told = (value - before[1]) / (second - before[0])
            before = (second, value)
            if 0 <= place < seconds:
                found[place] = told
        return found

    def oldest(self) -> float:
        """The second of the first value kept."""
        return self._points[0][0] if self._points else math.inf


class SeriesBook:
    """Every figure of every member."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}
        self._leader = ""
        self._sources: dict[str, str] = {}

    def report(self, report: MemberReport, trails: int | None, now: float) -> None:
        """Take in what one member says."""
        told = dict(report.figures)
        told["revision"] = report.revision
        told["db"] = report.db_bytes
        if trails is not None:
            told["trails"] = trails
        if report.latency_ms is not None:
            told["rtt"] = report.latency_ms
        for chart in CHARTS:
            if chart.source in told:
                key = (report.endpoint, chart.source)
                self._series.setdefault(key, Series()).put(now, told[chart.source])
        self._sources[report.endpoint] = report.source
        if report.role == "leader":
            self._leader = report.endpoint

    def member(self, chart: Chart, endpoint: str, now: float, seconds: int) -> list[float | None]:
        """One member's figure, a value a second."""
        series = self._series.get((endpoint, chart.source))
        return series.values(now, seconds, chart.rate) if series else [None] * seconds

    def cluster(self, chart: Chart, now: float, seconds: int) -> list[float | None]:
        """The cluster's figure, a value a second."""
        endpoints = [e for e, source in self._series if source == chart.source]
        if chart.joined == "leader":
            endpoints = [e for e in endpoints if e == self._leader] or endpoints[:1]
        columns = [self.member(chart, endpoint, now, seconds) for endpoint in endpoints]
        join = sum if chart.joined == "sum" else max
        return [
            join(told) if (told := [v for v in at if v is not None]) else None
            for at in zip(*columns, strict=True)
        ] or [None] * seconds

    def since(self) -> float | None:
        """The second from which on anything is known."""
        return min((s.oldest() for s in self._series.values()), default=None)

    def why_not(self, chart: Chart) -> str:
        """Why there is nothing to draw; empty when there is, or will be."""
        if any(source == chart.source for _, source in self._series) or not self._sources:
            return ""
        if set(self._sources.values()) == {"etcd"}:
            return chart.why_not or ETCD_TELLS
        return "kvorum nodes have no such step" if chart.name == "commit_p99" else "nothing yet"


def folded(values: list[float | None], cells: int) -> list[float | None]:
    """Values brought to ``cells``: the highest of each stretch, so that no peak is lost."""
    if cells <= 0 or not values:
        return []
    if len(values) <= cells:
        return [None] * (cells - len(values)) + values
    found: list[float | None] = []
    for cell in range(cells):
        part = values[cell * len(values) // cells : (cell + 1) * len(values) // cells]
        told = [value for value in part if value is not None]
        found.append(max(told) if told else None)
    return found


def nice_top(values: list[float | None], unit: str = "") -> float:
    """A round number (1, 2 or 5 times a power of ten; for bytes a power of two) not below any
    value; 1 without values.
    """
    top = max((value for value in values if value is not None), default=0.0)
    if top <= 0:
        return 1.0
    if unit == "B":
        return float(2 ** math.ceil(math.log2(top)))
    size = 10.0 ** math.floor(math.log10(top))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= top * 0.999999)


def figure(value: float | None, unit: str) -> str:
    """A value with its unit, short."""
    if value is None:
        return "-"
    if unit == "B":
        from kvorum_tui.model import words

        return words.size(int(value))
    text = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}" if unit == "ms" else f"{text}{unit}"

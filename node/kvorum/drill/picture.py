"""A whole run as a picture: who led, what was broken, how much was answered and how fast.

Time goes from left to right, in seconds since the clients began. Above, the leaders by term and the
faults as bars; below, what clients got: answers per stretch of time (green), refusals (grey) and
requests of unknown fate (amber), and how long acknowledged writes took. The longest stall of writes
is shaded through all of it.
"""

from __future__ import annotations

import math

from kvorum.check import records as r
from kvorum.drill.chart import Chart
from kvorum.drill.facts import Facts
from kvorum.drill.recorder import NS, acknowledged_writes
from kvorum.drill.verdict import Verdict, longest_gap

_BINS = 160
_LEFT, _RIGHT, _WIDTH = 150, 24, 1180
_ROW, _STRIP = 20, 110
_FAULTS_MAX = 24  # Bars; what is beyond is said in a line.
_LATENCY_MS = (1, 10, 100, 1_000, 10_000)
_COLOURS = ("#3b82f6", "#8b5cf6", "#14b8a6", "#ec4899", "#84cc16", "#f97316", "#0ea5e9")


def timeline_svg(history: r.History, facts: Facts, verdict: Verdict) -> str:
    """The picture of a run, as a whole SVG document."""
    return _Picture(history, facts, verdict).draw()


class _Picture:
    def __init__(self, history: r.History, facts: Facts, verdict: Verdict) -> None:
        self.history = history
        self.facts = facts
        self.verdict = verdict
        ends = [operation.returned for operation in history.operations]
        ends += [operation.called for operation in history.operations]
        self.end_s = max(max(ends, default=0) / NS, facts.ended_s, 0.001)
        self.chart = Chart(_WIDTH)
        self.y = 0

    def draw(self) -> str:
        """The whole document."""
        verdict = self.verdict
        word = "passed" if verdict.passed else "FAILED"
        title = f"{verdict.drill} on stage {verdict.stage}, seed {verdict.seed}: {word}"
        self.chart.text(24, 28, title, "title")
        self.chart.text(24, 46, self._summary(), "soft")
        self.y = top = 66
        self._leaders()
        self._faults()
        self._answers()
        self._latency()
        self._axis(top)
        self._stall(top)
        return self.chart.document(self.y + 40, title)

    def _summary(self) -> str:
        figures = self.verdict.figures
        told = [
            ("new leader", figures.new_leader_s),
            ("write stall", figures.write_stall_s),
            ("converged", figures.converge_s),
        ]
        parts = [f"{name} {value:.2f} s" for name, value in told if value is not None]
        counts = f"{figures.acknowledged} acknowledged, {figures.failed} failed"
        return ", ".join([*parts, counts, f"{figures.unknown} unknown"])

    def _x(self, at_s: float) -> float:
        share = min(max(at_s / self.end_s, 0.0), 1.0)
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * share, 1)

    def _leaders(self) -> None:
        """A bar for each reign, until another began or its leader was seen no more."""
        self.chart.text(24, self.y + 15, "leader")
        reigns = self.facts.leaders
        names = sorted({name for _, name, _ in reigns})
        for place, (since_s, name, term) in enumerate(reigns):
            until_s = reigns[place + 1][0] if place + 1 < len(reigns) else self.end_s
            x, width = self._x(since_s), self._x(until_s) - self._x(since_s)
            colour = _COLOURS[names.index(name) % len(_COLOURS)]
            tip = f"{name} leads term {term} from {since_s:.2f} s"
            self.chart.box(x, self.y, width, _ROW - 4, tip, fill=colour)
            if width > 80:
                self.chart.text(x + 4, self.y + 13, f"{name}, term {term}", "on")
        self.y += _ROW + 4

    def _faults(self) -> None:
        faults = self.history.faults
        for fault in faults[:_FAULTS_MAX]:
            since_s = fault.at / NS
            until_s = self.end_s if fault.until == r.NEVER else fault.until / NS
            x = self._x(since_s)
            words = fault.detail or f"{fault.kind.replace('_', ' ')} {fault.target}".strip()
            self.chart.text(24, self.y + 14, fault.kind.replace("_", " "))
            tip = f"{words}, {since_s:.2f} s to {until_s:.2f} s"
            self.chart.box(x, self.y + 2, max(self._x(until_s) - x, 3), _ROW - 6, tip, "fault")
            # Beside the bar where there is room, else before it.
            self.chart.beside(x + 5, self.y + 14, words, _WIDTH - _RIGHT)
            self.y += _ROW
        if len(faults) > _FAULTS_MAX:
            self.chart.text(24, self.y + 14, f"and {len(faults) - _FAULTS_MAX} more", "soft")
            self.y += _ROW
        self.y += 12

    def _answers(self) -> None:
        """Stacked counts in bins of equal length."""
        kinds = ("ok", "refused", "unknown")
        bins = [dict.fromkeys(kinds, 0) for _ in range(_BINS)]
        for operation in self.history.operations:
            at = operation.called if operation.returned == r.NEVER else operation.returned
            place = min(int(at / NS / self.end_s * _BINS), _BINS - 1)
            kind = "ok" if operation.acknowledged else "unknown" if operation.unknown else "refused"
            bins[place][kind] += 1
        most = max((sum(one.values()) for one in bins), default=0) or 1
        bin_s = self.end_s / _BINS
        self.chart.text(24, self.y + 15, "answers/s")
        self.chart.text(24, self.y + 31, f"up to {most / bin_s:.0f}", "soft")
        base = self.y + _STRIP
        for place, one in enumerate(bins):
            y = float(base)
            x, width = self._x(place * bin_s), self._x((place + 1) * bin_s) - self._x(place * bin_s)
            for kind in kinds:
                if one[kind]:
                    height = round((_STRIP - 6) * one[kind] / most, 1)
                    y -= height
                    tip = f"{place * bin_s:.2f} s: {one[kind]} {kind}"
                    self.chart.box(x, y, max(width - 0.4, 0.6), height, tip, kind)
        self.chart.line(_LEFT, base, _WIDTH - _RIGHT, base)
        self.y = base + 14

    def _latency(self) -> None:
        """Of the acknowledged writes of each bin the median and the slowest, on a log scale."""
        took: list[list[float]] = [[] for _ in range(_BINS)]
        for write in acknowledged_writes(self.history):
            place = min(int(write.returned / NS / self.end_s * _BINS), _BINS - 1)
            took[place].append((write.returned - write.called) / 1e6)
        base = self.y + _STRIP
        self.chart.text(24, self.y + 15, "write ms")
        self.chart.text(24, self.y + 31, "median, most", "soft")
        for grid_ms in _LATENCY_MS:
            y = base - self._height(grid_ms)
            self.chart.line(_LEFT, y, _WIDTH - _RIGHT, y, "tick")
            self.chart.beside(_LEFT, y + 4, f"{grid_ms}", _LEFT - 6, "soft")
        for place, times in enumerate(took):
            if times:
                times.sort()
                x = self._x((place + 0.5) * self.end_s / _BINS)
                middle, most = times[len(times) // 2], times[-1]
                self.chart.line(
                    x, base - self._height(middle), x, base - self._height(most), "most"
                )
                tip = f"median {middle:.1f} ms, slowest {most:.1f} ms of {len(times)}"
                self.chart.dot(x, base - self._height(middle), tip)
        self.y = base + 6

    def _height(self, took_ms: float) -> float:
        bounded = min(max(took_ms, _LATENCY_MS[0]), _LATENCY_MS[-1])
        return round((_STRIP - 10) * math.log10(bounded) / math.log10(_LATENCY_MS[-1]), 1)

    def _axis(self, top: int) -> None:
        step = self.chart.step(self.end_s)
        for n in range(int(self.end_s / step) + 1):
            x = self._x(n * step)
            self.chart.line(x, top - 4, x, self.y, "tick")
            self.chart.beside(x, self.y + 18, f"{n * step:g} s", _WIDTH - 4, "soft")

    def _stall(self, top: int) -> None:
        """The longest time without an acknowledged write, as the verdict has it."""
        gap = longest_gap(acknowledged_writes(self.history), self.facts, self.end_s)
        if gap is not None:
            x = self._x(gap[0])
            tip = f"no write was acknowledged for {gap[1] - gap[0]:.2f} s"
            width = max(self._x(gap[1]) - x, 1)
            self.chart.box(x, top - 4, width, self.y - top + 4, tip, "stall")

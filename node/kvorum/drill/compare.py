"""Runs side by side: the same figures of each, and which of them is best.

Pure, so that a command, a picture and a terminal show the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvorum.drill.runs import RunSummary

_LESS, _MORE, _NO = "less", "more", ""


@dataclass(frozen=True)
class Figure:
    """How a figure is told. ``better``: "less", "more", or "" where neither is better."""

    key: str
    label: str
    unit: str = ""
    better: str = _NO


# In the order in which people want to know them.
FIGURES: tuple[Figure, ...] = (
    Figure("new_leader_s", "time to new leader", "s", _LESS),
    Figure("write_stall_s", "write stall", "s", _LESS),
    Figure("read_stall_s", "read stall", "s", _LESS),
    Figure("converge_s", "time to converge", "s", _LESS),
    Figure("write_p50_ms", "write latency p50", "ms", _LESS),
    Figure("write_p99_ms", "write latency p99", "ms", _LESS),
    Figure("writes_per_s", "writes a second", "", _MORE),
    Figure("operations", "operations"),
    Figure("acknowledged", "acknowledged"),
    Figure("failed", "failed operations", "", _LESS),
    Figure("unknown", "unknown operations", "", _LESS),
    Figure("stale_reads", "stale reads", "", _LESS),
    Figure("lost_acknowledgements", "lost acknowledgements", "", _LESS),
    Figure("watch_gaps", "watch gaps", "", _LESS),
    Figure("wrong_answers", "wrong answers", "", _LESS),
    Figure("other_violations", "other violations", "", _LESS),
    Figure("digests_equal", "digests equal after heal"),
    Figure("leader_changes", "leader changes", "", _LESS),
    Figure("terms", "terms", "", _LESS),
    Figure("faults_bitten", "faults that bit"),
    Figure("watch_events", "watch events"),
)


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        key, label, unit: the figure; "" for the key of lines that are no figures.
        values: one text a run, "-" where there is nothing to tell.
        numbers: the same as numbers, None where there is none.
        best: the places of those that did best; empty where no run is better than another.
    """

    key: str
    label: str
    unit: str
    values: tuple[str, ...]
    numbers: tuple[float | None, ...] = ()
    best: tuple[int, ...] = ()


def compare(runs: Sequence[RunSummary]) -> list[Row]:
    """The table of some runs, a column each: who they are, how they ended, and their figures.
    Figures that no run has are left out.
    """
    heads = [
        Row("", "run", "", tuple(run.label for run in runs)),
        Row("", "drill", "", tuple(run.name for run in runs)),
        Row("", "when", "", tuple(f"{run.when:%Y-%m-%d %H:%M:%S}" for run in runs)),
        Row("", "seed", "", tuple(str(run.seed) for run in runs)),
        Row("", "verdict", "", tuple(run.word for run in runs)),
    ]
    rows = [_row(figure, runs) for figure in FIGURES]
    return heads + [row for row in rows if any(value != "-" for value in row.values)]


def _row(figure: Figure, runs: Sequence[RunSummary]) -> Row:
    found = [run.figures.get(figure.key) for run in runs]
    numbers = tuple(float(v) if isinstance(v, (int, float)) else None for v in found)
    return Row(
        figure.key,
        figure.label,
        figure.unit,
        tuple(_text(value, figure.unit) for value in found),
        numbers,
        _best(numbers, figure.better),
    )


def _text(value: object, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        shown = f"{value:.2f}" if unit else f"{value:g}"
        return f"{shown} {unit}".strip()
    return str(value)


def _best(numbers: Sequence[float | None], better: str) -> tuple[int, ...]:
    told = [number for number in numbers if number is not None]
    if not better or len(told) < 2 or min(told) == max(told):
        return ()
    best = min(told) if better == _LESS else max(told)
    return tuple(place for place, number in enumerate(numbers) if number == best)


def table_lines(rows: Sequence[Row], mark: str = "*") -> list[str]:
    """The table as text, columns aligned; the best of a line has a mark behind it."""
    texts = [
        [row.label, *(f"{v} {mark}" if n in row.best else v for n, v in enumerate(row.values))]
        for row in rows
    ]
    if not texts:
        return []
    widths = [max(len(line[column]) for line in texts) for column in range(len(texts[0]))]
    return [
        "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in texts
    ]

"""What comes out: figures with a goal, and whether it was reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Samples = list[float]


@dataclass
class Figure:
    """One number of one row.

    Args:
        what: which, in words.
        unit: of the samples.
        ours, theirs: a sample a round; ``theirs`` is empty where nothing is compared.
        goal: in words.
        most: what the judged number may be at the most; the median of ``ours``, or with ``ratio``
            the ratio of the medians (the other way round with ``gain``: it must be at least that).
        base: whose ``theirs`` are, if they are not etcd's.
    """

    what: str
    unit: str
    ours: Samples
    theirs: Samples = field(default_factory=list)
    goal: str = ""
    most: float = 0.0
    ratio: bool = False
    gain: bool = False
    base: str = "etcd"

    @property
    def judged(self) -> float:
        """The number that the goal speaks of."""
        mine = statistics.median(self.ours)
        if not self.ratio:
            return mine
        other = statistics.median(self.theirs)
        return mine / other if other else float("inf")

    @property
    def times(self) -> float | None:
        """Ours over theirs."""
        return (
            statistics.median(self.ours) / statistics.median(self.theirs) if self.theirs else None
        )

    @property
    def reached(self) -> bool | None:
        """None for a figure without a goal."""
        if not self.goal:
            return None
        return self.judged >= self.most if self.gain else self.judged <= self.most


@dataclass
class Row:
    """A row of the table of goals."""

    name: str
    title: str
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    conditions: str = ""

    @property
    def reached(self) -> bool:
        """All its goals."""
        return all(figure.reached is not False for figure in self.figures)


def round_figure(value: float) -> str:
    """Three digits, thousands marked."""
    if value >= 1_000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(samples: Sequence[float]) -> str:
    """The least and the largest."""
    if len(samples) < 2:
        return ""
    return f"{round_figure(min(samples))} to {round_figure(max(samples))}"


def median_of(samples: Sequence[float]) -> str:
    """The median, or a dash."""
    return round_figure(statistics.median(samples)) if samples else ""


def to_json(rows: Iterable[Row], machine: dict[str, str]) -> str:
    """Everything, with every round."""
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)


def from_json(path: Path) -> tuple[list[Row], dict[str, str]]:
    """What :func:`to_json` wrote; nothing if there is no such file."""
    if not path.exists():
        return [], {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        Row(**{**row, "figures": [Figure(**figure) for figure in row["figures"]]})
        for row in found["rows"]
    ]
    return rows, found["machine"]

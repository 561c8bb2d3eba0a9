"""The key space over time: prefixes down, revisions across, writes or bytes as heat; and a picture
of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from kvorum_tui.model.decode import printable
from kvorum_tui.session.past import HeatCell

STEPS = " ·:-=+*#%@"
"""Heat as letters: the same steps as the colours, for who sees none."""


@dataclass
class HeatMap:
    """Rows are prefixes in key order, at the end all others. ``measure`` is "writes" or "bytes"."""

    first: int = 1
    last: int = 1
    columns: int = 1
    base: bytes = b""
    measure: str = "writes"
    rows: list[bytes] = field(default_factory=list)
    grid: dict[bytes, dict[int, HeatCell]] = field(default_factory=dict)

    def show(
        self, first: int, last: int, columns: int, base: bytes, cells: Iterable[HeatCell]
    ) -> None:
        """Another picture."""
        self.first, self.last, self.columns, self.base = first, last, columns, base
        self.grid = {}
        for cell in cells:
            self.grid.setdefault(cell.prefix, {})[cell.column] = cell
        self.rows = sorted(prefix for prefix in self.grid if prefix)
        if b"" in self.grid:
            self.rows.append(b"")

    def name(self, row: int) -> str:
        """What a row is called."""
        prefix = self.rows[row]
        return printable(prefix) or "(all others)"

    def weight(self, cell: HeatCell | None) -> int:
        """What is measured."""
        if cell is None:
            return 0
        return cell.writes if self.measure == "writes" else cell.size

    def total(self, row: int) -> int:
        """Of all stretches."""
        return sum(self.weight(cell) for cell in self.grid[self.rows[row]].values())

    def weights(self, row: int, width: int) -> list[int]:
        """A row's numbers, on ``width`` cells; those of a stretch that is wider than a cell stand
        in all its cells.
        """
        out = [0] * width
        for column, cell in self.grid[self.rows[row]].items():
            left = column * width // self.columns
            right = max(left, (column + 1) * width // self.columns - 1)
            weight = self.weight(cell)
            for place in range(left, right + 1):
                out[place] += weight
        return out

    def hottest(self, width: int) -> int:
        """The largest number in the picture."""
        return max((max(self.weights(n, width)) for n in range(len(self.rows))), default=0)


def heat(weight: int, hottest: int, steps: int) -> int:
    """A step of heat, 0 only for nothing; square root, so that little is still seen."""
    if not weight or not hottest:
        return 0
    return max(1, min(steps, round(steps * math.sqrt(weight / hottest))))


def svg(
    heatmap: HeatMap, title: str, ramp: Sequence[str], clocks: Sequence[tuple[int, str]]
) -> str:
    """The picture as SVG. ``ramp``: colours, cold first; ``clocks``: (revision, text) below it."""
    label, cell_w, cell_h, top = 240, 8, 14, 34
    columns = heatmap.columns
    width = label + columns * cell_w + 90
    height = top + len(heatmap.rows) * cell_h + 30
    hottest = heatmap.hottest(columns)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="monospace" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#0f131a"/>',
        f'<text x="8" y="20" fill="#d7dde8" font-size="13">{escape(title)}</text>',
    ]
    for row in range(len(heatmap.rows)):
        y = top + row * cell_h
        name = heatmap.name(row)
        name = name if len(name) <= 33 else "…" + name[-32:]
        out.append(f'<text x="8" y="{y + 11}" fill="#9aa7b8">{escape(name)}</text>')
        for column, weight in enumerate(heatmap.weights(row, columns)):
            step = heat(weight, hottest, len(ramp))
            if step:
                x = label + column * cell_w
                out.append(
                    f'<rect x="{x}" y="{y}" width="{cell_w}" height="{cell_h - 1}" '
                    f'fill="{ramp[step - 1]}"><title>{weight:,} {heatmap.measure}</title></rect>'
                )
        total = f"{heatmap.total(row):,}"
        x = label + columns * cell_w + 6
        out.append(f'<text x="{x}" y="{y + 11}" fill="#77849a">{total}</text>')
    span = heatmap.last - heatmap.first + 1
    for revision, text in clocks:
        x = label + (revision - heatmap.first) * columns * cell_w // max(1, span)
        out.append(f'<text x="{x}" y="{height - 10}" fill="#77849a">{escape(text)}</text>')
    return "\n".join([*out, "</svg>", ""])

"""What a large answer costs in the SQL tab's table, and beside it Textual's own DataTable.

    python tests/bench/tui_table.py                  1,000,000 rows; DataTable with 20,000
    python tests/bench/tui_table.py 100000 5000      other sizes

Measured on one machine, one after the other: taking in an answer batch by batch, mounting the
table and its first frame, one line and one page down with their frames, a jump to the end, sorting
by a column of text (in a thread) and the longest that the event loop stood still meanwhile, and
the memory of it all. Pilot's own waiting is in every frame.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from kvorum_tui.model.sql_result import SqlResult
from kvorum_tui.theme import DARK
from kvorum_tui.widgets.result_table import ResultTable
from textual.app import App, ComposeResult
from textual.widget import Widget
from textual.widgets import DataTable

COLUMNS = (
    ("revision", "BIGINT"),
    ("type", "VARCHAR"),
    ("key", "VARCHAR"),
    ("value", "VARCHAR"),
    ("version", "BIGINT"),
    ("lease", "BIGINT"),
)
BATCH = 2_000
FRAMES = 30


def rows(count: int) -> Iterator[list[tuple[Any, ...]]]:
    """An answer as it arrives."""
    for start in range(0, count, BATCH):
        yield [
            (n, "put", f"/registry/{n * 7919 % count:07d}", f'{{"n": {n}}}', n % 5, None)
            for n in range(start, min(start + BATCH, count))
        ]


class Bench(App[None]):
    """Nothing but the table."""

    def __init__(self, table: Widget) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = DARK.name
        self.table = table

    def compose(self) -> ComposeResult:
        """The table alone."""
        yield self.table


def memory_mb() -> float:
    """The most that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def frames_ms(press: Any, keys: list[str]) -> float:
    """The median time of a key and the frame after it."""
    times = []
    for key in keys:
        began = time.perf_counter()
        await press(key)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e3


async def own(count: int) -> dict[str, float]:
    """Our table."""
    before = memory_mb()
    result = SqlResult()
    longest = 0.0
    began = time.perf_counter()
    for batch in rows(count):
        at = time.perf_counter()
        result.extend(COLUMNS, batch)
        longest = max(longest, time.perf_counter() - at)
    taken = time.perf_counter() - began
    table = ResultTable()
    app = Bench(table)
    began = time.perf_counter()
    async with app.run_test(size=(120, 40)) as pilot:
        table.show(result, [])
        await pilot.pause()
        mounted = time.perf_counter() - began
        table.focus()
        figures = {
            "rows": count,
            "taken in, s": taken,
            "longest batch, ms": longest * 1e3,
            "mount + first frame, ms": mounted * 1e3,
            "line down + frame, ms": await frames_ms(pilot.press, ["down"] * FRAMES),
            "page down + frame, ms": await frames_ms(pilot.press, ["pagedown"] * FRAMES),
            "end or home + frame, ms": await frames_ms(
                pilot.press, ["end", "home"] * (FRAMES // 2)
            ),
        }
        still, stop = 0.0, False

        async def beat() -> None:
            nonlocal still
            while not stop:
                at = time.perf_counter()
                await asyncio.sleep(0.001)
                still = max(still, time.perf_counter() - at)

        beating = asyncio.create_task(beat())
        began = time.perf_counter()
        order = await asyncio.to_thread(result.order_by, 2, True)
        figures["sort by text, s"] = time.perf_counter() - began
        stop = True
        await beating
        result.sort(2, True, order)
        figures["loop stood still while sorting, ms"] = still * 1e3
        figures["memory, MiB"] = memory_mb() - before
    return figures


async def stock(count: int) -> dict[str, float]:
    """Textual's table."""
    before = memory_mb()
    table: DataTable[Any] = DataTable(cursor_type="cell")
    app = Bench(table)
    began = time.perf_counter()
    async with app.run_test(size=(120, 40)) as pilot:
        for name, _ in COLUMNS:
            table.add_column(name)
        at = time.perf_counter()
        for batch in rows(count):
            table.add_rows(batch)
        taken = time.perf_counter() - at
        await pilot.pause()
        mounted = time.perf_counter() - began
        table.focus()
        return {
            "rows": count,
            "taken in, s": taken,
            "mount + first frame, ms": mounted * 1e3,
            "line down + frame, ms": await frames_ms(pilot.press, ["down"] * FRAMES),
            "page down + frame, ms": await frames_ms(pilot.press, ["pagedown"] * FRAMES),
            "end or home + frame, ms": await frames_ms(
                pilot.press, ["ctrl+end", "ctrl+home"] * (FRAMES // 2)
            ),
            "memory, MiB": memory_mb() - before,
        }


def main(arguments: list[str]) -> None:
    """Print both side by side."""
    large, small = [*map(int, arguments), *(1_000_000, 20_000)[len(arguments) :]]
    ours = asyncio.run(own(large))
    theirs = asyncio.run(stock(small))
    print(f"{'':<38}{'ResultTable':>14}{'DataTable':>14}")
    for name, value in ours.items():
        other = theirs.get(name)
        told = f"{other:>14,.1f}" if other is not None else f"{'-':>14}"
        print(f"{name:<38}{value:>14,.1f}{told}")


if __name__ == "__main__":
    main(sys.argv[1:])

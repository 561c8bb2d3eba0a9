"""Does the key browser's cost grow with the number of keys? Small and large side by side.

    python tests/bench/tui.py                10,000 and 1,000,000 keys
    python tests/bench/tui.py 1000 100000    other sizes

Measured on one machine, one after the other: reading pages into the index, one insert or delete
followed by the rows of a page (the model alone), opening and closing a branch, and the same with
the painted widget in a headless app: insert, paint, jump to the end.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator

from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.theme import DARK
from kvorum_tui.widgets.key_tree import KeyTree
from textual.app import App, ComposeResult

PAGE = 2_000
REPEAT = 300
FRAMES = 30


def make_keys(count: int) -> list[bytes]:
    """Sorted keys as a large store has them: two levels of branches, 100 keys in each leaf."""
    return [b"/registry/%05d/%03d" % (n // 100, n % 100) for n in range(count)]


def pages(keys: list[bytes]) -> Iterator[list[bytes]]:
    """The keys as they arrive."""
    for start in range(0, len(keys), PAGE):
        yield keys[start : start + PAGE]


def median_us(deed: Callable[[int], object], repeat: int = REPEAT) -> float:
    """The median time of a deed, in microseconds."""
    times = []
    for number in range(repeat):
        began = time.perf_counter()
        deed(number)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2] * 1e6


class Bench(App[None]):
    """Nothing but the tree."""

    def __init__(self, index: KeyIndex) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = DARK.name
        self.index = index

    def compose(self) -> ComposeResult:
        """The tree alone."""
        yield KeyTree(self.index)


def model_row(keys: list[bytes]) -> dict[str, float]:
    """The index without any widget."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    index = KeyIndex()
    slowest = 0.0
    for page in pages(keys):
        at = time.perf_counter()
        index.extend(page)
        slowest = max(slowest, time.perf_counter() - at)
    load_s = time.perf_counter() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    rng = random.Random(7)
    branches = [b"/registry/%05d/" % (n // 100) for n in rng.sample(range(len(keys)), 20)]
    index.reveal(keys[0])
    for branch in branches:
        index.set_open(branch, True)

    def insert_and_page(number: int) -> None:
        key = b"%s-new%d" % (keys[rng.randrange(len(keys))], number)
        index.insert(key)
        index.rows(rng.randrange(index.row_count), 40)
        index.delete(key)

    index.set_open(b"/registry/", True)
    flat = KeyIndex()
    flat.flat = True
    flat.extend(keys)
    size = len(flat)
    return {
        "read, keys/s": len(keys) / load_s,
        "slowest page of 2,000, ms": slowest * 1e3,
        "memory, MiB": memory,
        "insert + 40 rows + delete, us": median_us(insert_and_page),
        "open + close a branch, us": median_us(
            lambda n: (index.set_open(b"/registry/", False), index.set_open(b"/registry/", True))
        ),
        "row of a key, us": median_us(lambda n: index.row_of(keys[rng.randrange(len(keys))])),
        "40 rows of the flat list, us": median_us(lambda n: flat.rows(rng.randrange(size), 40)),
    }


async def widget_row(keys: list[bytes]) -> dict[str, float]:
    """The painted widget: one insert and the frame after it; a jump to the end and its frame."""
    index = KeyIndex()
    for page in pages(keys):
        index.extend(page)
    index.flat = True
    app = Bench(index)
    rng = random.Random(3)
    async with app.run_test(size=(100, 40)) as pilot:
        tree = app.query_one(KeyTree)
        tree.focus()
        tree.changed()
        await pilot.pause()
        inserts, jumps, painted = [], [], tree.rows_painted
        for number in range(FRAMES):
            key = b"%s-new%d" % (keys[rng.randrange(len(keys))], number)
            began = time.perf_counter()
            index.insert(key)
            tree.changed()
            await pilot.pause(0)
            inserts.append(time.perf_counter() - began)
        rows = (tree.rows_painted - painted) / FRAMES
        for number in range(FRAMES):
            began = time.perf_counter()
            await pilot.press("end" if number % 2 else "home")
            jumps.append(time.perf_counter() - began)
    return {
        "rows painted after an insert": rows,
        "insert + frame, ms (of which Pilot waits most)": sorted(inserts)[FRAMES // 2] * 1e3,
        "jump to the end + frame, ms": sorted(jumps)[FRAMES // 2] * 1e3,
    }


def main(sizes: list[int]) -> None:
    """Print one column a size, and the last one against the first."""
    columns = []
    for size in sizes:
        keys = make_keys(size)
        columns.append({**model_row(keys), **asyncio.run(widget_row(keys))})
    print(f"{'':<48}" + "".join(f"{size:>14,}" for size in sizes) + f"{'ratio':>9}")
    for name in columns[0]:
        values = [column[name] for column in columns]
        ratio = values[-1] / values[0] if values[0] else float("nan")
        print(f"{name:<48}" + "".join(f"{v:>14,.1f}" for v in values) + f"{ratio:>9.2f}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [10_000, 1_000_000])

"""Does the key browser's cost grow with the number of keys? Small and large side by side.

    python tests/bench/tui.py                10,000 and 1,000,000 keys
    python tests/bench/tui.py 1000 100000    other sizes
    python tests/bench/tui.py --stock        Textual's own Tree instead, at 1,000 and 10,000 keys

Measured on one machine, one after the other: the model alone (pages into the index, one insert or
delete with the rows of a page, opening a branch), the painted widget in a headless app, and the
browser as it is used: the feed reads pages from a cluster that answers at once into a tree on the
screen. There, "stall" is the longest turn of the event loop, in processor time, and memory is that
of the whole process, a fresh one for each size.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

from kvorum_tui.key_feed import KeysFeed
from kvorum_tui.model.key_filter import parse
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.records import KeyEvent, KeyPage, WatchBatch
from kvorum_tui.session.ranges import Span
from kvorum_tui.theme import DARK
from kvorum_tui.widgets.key_tree import KeyTree
from textual.app import App, ComposeResult
from textual.widgets import Tree

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
    began = time.perf_counter()
    index = KeyIndex()
    slowest = 0.0
    for page in pages(keys):
        at = time.perf_counter()
        index.extend(page)
        slowest = max(slowest, time.perf_counter() - at)
    load_s = time.perf_counter() - began
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


# --- as it is used --------------------------------------------------------------------------------


class Cluster:
    """Ranges of a cluster that answers at once; ``events`` come when a test puts them there."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.events: asyncio.Queue[KeyEvent] = asyncio.Queue()

    async def keys(self, span: Span, revision: int = 0) -> AsyncIterator[KeyPage]:
        """Made page by page, so that nothing but the index holds them."""
        for start in range(0, self.size, PAGE):
            end = min(self.size, start + PAGE)
            part = tuple(b"/registry/%05d/%03d" % (n // 100, n % 100) for n in range(start, end))
            yield KeyPage(part, 1, end < self.size, self.size)

    async def follow(self, span: Span, start_revision: int) -> AsyncIterator[WatchBatch]:
        """What the test writes."""
        yield WatchBatch(1)
        while True:
            event = await self.events.get()
            yield WatchBatch(event.revision, (event,))


class Stalls:
    """The longest turn of the event loop, in processor time: what other programs take is no stall
    of ours.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        last = time.process_time()
        while True:
            await asyncio.sleep(0)
            now = time.process_time()
            self.longest = max(self.longest, now - last)
            last = now


def resident_mib() -> float:
    """What this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


async def used_row(size: int) -> dict[str, float]:
    """The feed, the index and the tree together."""
    cluster = Cluster(size)
    index = KeyIndex()
    app = Bench(index)
    before = resident_mib()
    async with app.run_test(size=(120, 40)) as pilot:
        tree = app.query_one(KeyTree)
        tree.focus()
        session: Any = SimpleNamespace(ranges=cluster)
        feed = KeysFeed(session, index, time.monotonic, tree.changed)
        stalls = Stalls()
        watching = asyncio.create_task(stalls.run())
        began = time.perf_counter()
        task = asyncio.create_task(feed.run())
        while not tree.row_count():
            await asyncio.sleep(0)
        first = time.perf_counter() - began
        index.set_open(b"/registry/", True)
        tree.goto(b"/registry/00003/", True)
        jumped = 0
        while not feed.live:
            await asyncio.sleep(0.01)
            current = tree.current
            jumped += current is None or current.path != b"/registry/00003/"
        load = time.perf_counter() - began
        stall, stalls.longest = stalls.longest, 0.0
        memory = resident_mib()
        shown = []
        for number in range(FRAMES):
            key = b"/registry/00003+%03d" % number
            at = time.perf_counter()
            cluster.events.put_nowait(KeyEvent("put", key, b"", number + 2))
            painted = tree.rows_painted
            while tree.rows_painted == painted:
                await asyncio.sleep(0)
            shown.append(time.perf_counter() - at)
        scrolls = []
        for number in range(FRAMES):
            at = time.perf_counter()
            tree.action_move(30 if number % 3 else 3_000)
            app.screen._compositor.render_strips()
            scrolls.append(time.perf_counter() - at)
            await pilot.pause(0)
        match = parse("~/09.*/0[37]$").match
        at, after, found = time.perf_counter(), None, 0
        while True:
            keys, after = index.scan(match, after, 1_000)
            found += len(keys)
            if after is None:
                break
            await asyncio.sleep(0)
        filtered = time.perf_counter() - at
        watching.cancel()
        task.cancel()
    return {
        "first page on the screen, ms": first * 1e3,
        "all keys read, s": load,
        "  stall of the event loop meanwhile, ms": stall * 1e3,
        "  times the cursor left its branch": float(jumped),
        "a write until it is painted, ms (pulse: 50)": sorted(shown)[FRAMES // 2] * 1e3,
        "scroll, the frame painted, ms": sorted(scrolls)[FRAMES // 2] * 1e3,
        "a regular expression over all keys, ms": filtered * 1e3,
        "memory of the process, MiB": memory,
        "  of it the keys, MiB": memory - before,
    }


class Stock(App[None]):
    """Textual's own tree."""

    def compose(self) -> ComposeResult:
        """The tree alone."""
        yield Tree[bytes]("keys")


async def stock_row(size: int) -> dict[str, float]:
    """The same with Textual's Tree, every branch open."""
    app = Stock()
    keys = make_keys(size)
    async with app.run_test(size=(120, 40)) as pilot:
        tree = app.query_one(Tree)
        began = time.perf_counter()
        tree.root.expand()
        branches: dict[bytes, Any] = {}
        for key in keys:
            above, _, name = key.rpartition(b"/")
            if above not in branches:
                branches[above] = tree.root.add(above.decode(), expand=True)
            branches[above].add_leaf(name.decode())
        await pilot.pause()
        load = time.perf_counter() - began
        inserts = []
        for number in range(5):
            at = time.perf_counter()
            branches[b"/registry/00003"].add_leaf(f"new{number}")
            await pilot.pause()
            app.screen._compositor.render_strips()
            inserts.append(time.perf_counter() - at)
    return {
        "all keys added and painted, s": load,
        "insert + frame, ms": sorted(inserts)[2] * 1e3,
        "memory of the process, MiB": resident_mib(),
    }


def apart(option: str, size: int) -> dict[str, float]:
    """A row in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, option, str(size)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(sizes: list[int], columns: list[dict[str, float]]) -> None:
    """One column a size, and the last one against the first."""
    print(f"{'':<48}" + "".join(f"{size:>14,}" for size in sizes) + f"{'ratio':>9}")
    for name in columns[0]:
        values = [column[name] for column in columns]
        ratio = values[-1] / values[0] if values[0] else float("nan")
        print(f"{name:<48}" + "".join(f"{v:>14,.1f}" for v in values) + f"{ratio:>9.2f}")


def main(sizes: list[int]) -> None:
    """The model, the widget, and the browser as it is used."""
    columns = []
    for size in sizes:
        keys = make_keys(size)
        columns.append({**model_row(keys), **asyncio.run(widget_row(keys))})
    table(sizes, [{**row, **apart("--used", n)} for n, row in zip(sizes, columns, strict=True)])


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--used"]:
        print(json.dumps(asyncio.run(used_row(int(given[1])))))
    elif given[:1] == ["--stock-row"]:
        print(json.dumps(asyncio.run(stock_row(int(given[1])))))
    elif given[:1] == ["--stock"]:
        counts = [int(text) for text in given[1:]] or [1_000, 10_000]
        table(counts, [apart("--stock-row", n) for n in counts])
    else:
        main([int(text) for text in given] or [10_000, 1_000_000])

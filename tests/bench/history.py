"""Prints what the revision history costs here: commits, checkpoints, reads, compaction, a probe.

Run as ``python tests/bench/history.py [revisions] [directory]``.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kvorum.history.database import HistoryDatabase
from kvorum.history.probe import probe
from kvorum.history.query import Query, QueryRunner
from kvorum.history.reader import HistoryReader
from kvorum.history.rows import Batch, Identity, Row
from kvorum.history.writer import HistoryWriter

KEYS = 100_000
OWNER = Identity(1, 1)


class Rows:
    """Random puts of random values, one a revision."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._last: dict[bytes, int] = {}
        self.revision = 1

    def make(self, count: int) -> list[Row]:
        rows = []
        for _ in range(count):
            self.revision += 1
            key = b"/bench/%08d" % self._random.randrange(KEYS)
            before = self._last.get(key, 0)
            self._last[key] = self.revision
            value = self._random.randbytes(200)
            rows.append(Row(self.revision, 0, 0, key, value, 2, 1, 0, before, self.revision, 1, ""))
        return rows


def timed(what: str, ask: Callable[[], object], times: int = 5) -> None:
    """Print the median of some runs."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        took.append(time.perf_counter() - begun)
    print(f"{what}: {sorted(took)[times // 2] * 1e3:.1f} ms")


def write(writer: HistoryWriter, rows: Rows, revisions: int) -> None:
    for size in (1, 100, 1_000, 5_000):
        took = []
        for _ in range(20):
            made = rows.make(size)
            writer.append(Batch(made, rows.revision, 1, rows.revision))
            begun = time.perf_counter()
            writer.flush().result()
            took.append(time.perf_counter() - begun)
        median = sorted(took)[10]
        rate = size / median
        print(f"transaction of {size:5d} rows: {median * 1e3:6.2f} ms, {rate:8.0f} rows/s")
    begun = time.perf_counter()
    written = rows.revision
    while rows.revision < revisions:
        batch = Batch(rows.make(5_000), rows.revision, 1, rows.revision)
        while not writer.append(batch):
            writer.flush().result()
    writer.flush().result()
    rate = (rows.revision - written) / (time.perf_counter() - begun)
    print(f"filled to {rows.revision} revisions, {rate:.0f} rows/s with making the rows")
    timed("checkpoint of what was left", lambda: writer.checkpoint().result(), times=1)

    def small_checkpoint() -> None:
        writer.append(Batch(rows.make(1_000), rows.revision, 1, rows.revision))
        writer.checkpoint().result()

    timed("1,000 rows and a checkpoint", small_checkpoint)


def read(reader: HistoryReader, revision: int) -> None:
    middle = revision // 2
    key, end = b"/bench/00001000", b"/bench/00002000"
    whole = (b"\0", b"\0")
    timed("one key at an old revision", lambda: reader.range_at(key, b"", middle).future.result())
    timed(
        "1,000 keys at an old revision", lambda: reader.range_at(key, end, middle).future.result()
    )
    timed(
        "count of all keys at an old revision",
        lambda: reader.range_at(*whole, middle, count_only=True).future.result(),
    )
    timed(
        "1,000 revisions of events with prev",
        lambda: reader.events(middle, revision, *whole, 1_000).future.result(),
    )
    timed(
        "1,000 revisions of one key's range, with prev",
        lambda: reader.events(middle, revision, key, end, 1_000).future.result(),
    )
    timed("a key's life", lambda: reader.key_history(key).future.result())
    begun = time.perf_counter()
    count = sum(len(page) for page in reader.export(revision))
    took = time.perf_counter() - begun
    print(f"export: {count} rows in {took:.1f} s, {count / took:.0f} rows/s")


def main() -> None:
    revisions = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    rows = Rows()
    with tempfile.TemporaryDirectory(dir=where) as name:
        path = Path(name) / "history.duckdb"
        database = HistoryDatabase(path, OWNER)
        writer = HistoryWriter(database, lambda _: None, lambda error: print(error), gather_s=0)
        reader = HistoryReader(database)
        write(writer, rows, revisions)
        read(reader, rows.revision)
        runner = QueryRunner(writer, Path(name) / "query")
        timed("a person's query", lambda: runner.run(Query("SELECT count(*) FROM events")), times=3)
        runner.close()
        before = database.size_bytes()
        target = rows.revision - 10_000
        timed("compaction", lambda: print(f"removed {writer.compact(target).result()} rows"), 1)
        timed("checkpoint after it", lambda: writer.checkpoint().result(), 1)
        print(f"file: {before / 1e6:.0f} MB before, {database.size_bytes() / 1e6:.0f} MB after")
        writer.append(Batch(rows.make(50_000), rows.revision, 1, rows.revision))
        writer.checkpoint().result()
        print(f"file: {database.size_bytes() / 1e6:.0f} MB after 50,000 more rows")
        reader.close()
        writer.close()
        database.close()
        timed("probe in a child process", lambda: probe(path, OWNER), times=3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory at its highest: {peak:.0f} MB")


if __name__ == "__main__":
    main()

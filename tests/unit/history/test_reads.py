"""Every read against the naive model, over random histories, before and after compaction."""

from __future__ import annotations

import threading
from random import Random

import pytest
from kvorum.history.reader import HistoryBusy, HistoryInterrupted, HistoryReader
from kvorum.history.rows import DELETE, PUT, Batch, Row
from kvorum.history.selects import HistoryCompacted
from unit.history.conftest import Opened
from unit.history.support import Model, record, within

RANGES = (
    (b"k/03", b""),
    (b"k/", b"k0"),
    (b"k/02", b"k/07"),
    (b"k/05", b"\0"),
    (b"\0", b"\0"),
    (b"\xff\x00raw", b""),
    (b"k/07", b"k/02"),
    (b"nothing", b""),
)


def filled(history: Opened, seed: int = 1, revisions: int = 120) -> Model:
    model = Model(Random(seed))
    for _ in range(revisions):
        rows = model.change(model.random.randint(1, 4))
        assert history.writer.append(Batch(rows, model.revision + 5, 3, model.revision))
    history.writer.flush().result(10)
    return model


@pytest.mark.parametrize("compact_at", [None, 60])
def test_ranges_at_old_revisions(history: Opened, compact_at: int | None) -> None:
    model = filled(history)
    if compact_at:
        history.writer.compact(compact_at).result(10)
    for revision in range(compact_at or 1, model.revision + 1, 7):
        for key, end in RANGES:
            expected = model.at(revision, key, end)
            found = history.reader.range_at(key, end, revision).future.result(10)
            assert found.records == expected
            assert (found.count, found.through) == (len(expected), model.revision)
            limited = history.reader.range_at(key, end, revision, limit=2).future.result(10)
            assert (limited.records, limited.count) == (expected[:2], len(expected))
    bare = history.reader.range_at(b"\0", b"\0", 100, keys_only=True).future.result(10)
    assert bare.records == [r._replace(value=b"") for r in model.at(100, b"\0", b"\0")]
    count = history.reader.range_at(b"\0", b"\0", 100, count_only=True).future.result(10)
    assert (count.records, count.count) == ([], len(bare.records))


def test_a_range_beyond_the_history_says_how_far_it_goes(history: Opened) -> None:
    model = filled(history, revisions=20)
    found = history.reader.range_at(b"\0", b"\0", model.revision + 50).future.result(10)
    assert found.through == model.revision
    assert found.records == model.at(model.revision, b"\0", b"\0")


@pytest.mark.parametrize("key,end", RANGES)
def test_events_come_in_whole_revisions_with_what_they_replaced(
    history: Opened, key: bytes, end: bytes
) -> None:
    model = filled(history, seed=3)
    by_place = {(row.key, row.revision): row for row in model.rows}
    expected = [row for row in model.rows if row.revision >= 10 and within(row.key, key, end)]
    found = []
    start = 10
    while start <= model.revision:
        page = history.reader.events(start, 10_000, key, end, 7).future.result(10)
        assert page.through >= start
        assert len({event.revision for event in page.events}) <= 7
        assert all(start <= event.revision <= page.through for event in page.events)
        found += page.events
        start = page.through + 1
    assert [(e.revision, e.sub, e.type, e.record) for e in found] == [
        (row.revision, row.sub, row.type, record(row)) for row in expected
    ]
    for event, row in zip(found, expected, strict=True):
        before = by_place.get((row.key, row.prev_revision))
        assert event.prev == (record(before) if before else None)
    without = history.reader.events(10, 10_000, key, end, 10_000, prev=False).future.result(10)
    assert all(event.prev is None for event in without.events)
    assert len(without.events) == len(expected)


def test_events_are_bounded_in_bytes_but_never_empty(history: Opened) -> None:
    model = filled(history, revisions=50)
    start = 2
    pages = 0
    while start <= model.revision:
        page = history.reader.events(start, 10_000, b"\0", b"\0", 1_000, max_bytes=100)
        found = page.future.result(10)
        assert found.events
        start = found.through + 1
        pages += 1
    assert pages > 10


def test_what_events_replaced_counts_for_the_bound(history: Opened) -> None:
    """A deletion is short; what it deleted need not be. All of it comes, a few at a time."""
    first = 2
    for revision in range(first, first + 20):
        key = b"%02d" % revision
        put = Row(revision, 0, PUT, key, bytes(1_000), revision, 1, 0, 0, 0, 0, "")
        assert history.writer.append(Batch([put], revision, 1, revision))
    start = revision + 1
    for old in range(first, first + 20):
        revision += 1
        gone = Row(revision, 0, DELETE, b"%02d" % old, b"", 0, 0, 0, old, 0, 0, "")
        assert history.writer.append(Batch([gone], revision, 1, revision))
    history.writer.flush().result(10)
    pages, seen = 0, []
    while start <= revision:
        asked = history.reader.events(start, 10_000, b"\0", b"\0", 1_000, max_bytes=3_500)
        page = asked.future.result(10)
        assert 0 < len(page.events) <= 3
        assert all(event.prev is not None and event.prev.value for event in page.events)
        seen += [event.revision for event in page.events]
        start = page.through + 1
        pages += 1
    assert seen == list(range(22, 42)) and pages == 7
    asked = history.reader.events(22, 10_000, b"\0", b"\0", 1_000, False, max_bytes=3_500)
    assert len(asked.future.result(10).events) == 20, "nobody asked for what was deleted"


def test_events_below_the_compact_revision_are_refused(history: Opened) -> None:
    model = filled(history)
    history.writer.compact(60).result(10)
    with pytest.raises(HistoryCompacted) as refused:
        history.reader.events(59, 100, b"\0", b"\0", 1_000).future.result(10)
    assert refused.value.compact_revision == 60
    with pytest.raises(HistoryCompacted):
        history.reader.range_at(b"\0", b"\0", 59).future.result(10)
    found = history.reader.events(60, 10_000, b"\0", b"\0", 10_000).future.result(10)
    kept = model.compact(60)
    assert [(e.revision, e.sub) for e in found.events if e.revision > 60] == [
        (row.revision, row.sub) for row in model.rows if row.revision > 60
    ]
    at_60 = [row for row in model.rows if row.revision == 60]
    assert [e.sub for e in found.events if e.revision == 60] == [
        row.sub for row in at_60 if row in kept
    ]


@pytest.mark.parametrize("seed", range(6))
def test_compaction_keeps_exactly_what_the_rule_says(history: Opened, seed: int) -> None:
    model = filled(history, seed=seed)
    deletes = [row.revision for row in model.rows if row.type == DELETE]
    steps = sorted({model.random.choice(deletes), model.random.randrange(2, model.revision), 118})
    for revision in steps:
        expected = model.compact(revision)
        history.writer.compact(revision).result(10)
        left = history.reader.key_history(b"\0", b"\0").future.result(10)
        assert set(left) == expected
        assert len(left) == len(expected)
    assert history.writer.compact(steps[0]).result(10) == 0, "a second time removes nothing"


def test_a_keys_whole_life(history: Opened) -> None:
    model = filled(history)
    life = [row for row in model.rows if row.key == b"k/03"]
    assert history.reader.key_history(b"k/03").future.result(10) == life
    part = history.reader.key_history(b"k/03", b"", 20, 90, 3).future.result(10)
    assert part == [row for row in life if 20 <= row.revision <= 90][:3]


def test_bounds(history: Opened) -> None:
    empty = history.reader.bounds().future.result(10)
    assert (empty.oldest_revision, empty.progress.revision) == (0, 0)
    assert empty.progress.compact_revision == -1
    model = filled(history)
    found = history.reader.bounds().future.result(10)
    assert found.oldest_revision == 2
    assert found.progress == (model.revision + 5, 3, model.revision, -1, -1)


def test_equal_histories_have_equal_hashes(history: Opened) -> None:
    model = filled(history, revisions=60)
    before = history.reader.hash_at(50).future.result(10)
    assert history.reader.hash_at(49).future.result(10) != before
    history.writer.append(Batch(model.grow(5), 100, 3, model.revision))
    history.writer.flush().result(10)
    assert history.reader.hash_at(50).future.result(10) == before, "later revisions do not count"
    history.writer.compact(30).result(10)
    compacted = history.reader.hash_at(50).future.result(10)
    # A history that agreed to the compaction but has not swept yet.
    connection = history.database.connect()
    old = next(row for row in model.rows if row.revision < 30 and row.key == b"k/03")
    assert old not in history.reader.key_history(b"\0", b"\0").future.result(10)
    connection.execute(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, make_timestamp_ms(?), ?, ?)",
        list(old),
    )
    connection.close()
    assert history.reader.hash_at(50).future.result(10) == compacted


def test_export_is_one_state_of_the_file(history: Opened) -> None:
    model = filled(history)
    pages = history.reader.export(model.revision, page_rows=7)
    rows: list[Row] = list(next(pages))
    history.writer.compact(100).result(10)
    more = model.grow(3)
    history.writer.append(Batch(more, 500, 3, model.revision))
    history.writer.checkpoint().result(10)
    for page in pages:
        assert 0 < len(page) <= 7
        rows += page
    assert rows == model.rows[: -len(more)]


def test_a_read_can_be_interrupted_and_the_next_one_works(history: Opened) -> None:
    reader = HistoryReader(history.database, threads=1)
    started = threading.Event()

    def endless(connection: object) -> object:
        started.set()
        return connection.execute(  # type: ignore[attr-defined]  # a duckdb connection
            "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b"
        ).fetchall()

    read = reader.submit(endless)
    assert started.wait(10)
    waiting = reader.submit(endless)
    waiting.interrupt()
    # The interrupt may come before the statement begins; asking again until it bites is the
    # caller's usual way, and the time limit's.
    while not read.future.done():
        read.interrupt()
    for stopped in (read, waiting):
        with pytest.raises(HistoryInterrupted):
            stopped.future.result(10)
    assert reader.bounds().future.result(10).oldest_revision == 0
    reader.close()


def test_a_read_ends_when_its_time_is_up(history: Opened) -> None:
    def endless(connection: object) -> object:
        return connection.execute(  # type: ignore[attr-defined]  # a duckdb connection
            "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b"
        ).fetchall()

    with pytest.raises(HistoryInterrupted):
        history.reader.submit(endless, timeout_s=0.2).future.result(20)


def test_waiting_reads_are_bounded(history: Opened) -> None:
    reader = HistoryReader(history.database, threads=1, pending=2)
    gate = threading.Event()
    held = [reader.submit(lambda _: gate.wait(10)) for _ in range(2)]
    with pytest.raises(HistoryBusy):
        reader.bounds()
    gate.set()
    assert all(read.future.result(10) for read in held)
    reader.close()

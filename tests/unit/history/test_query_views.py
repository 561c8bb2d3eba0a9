"""What stands beside the file's views while people's SQL runs; rows handed over as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from kvorum.history.query import (
    Column,
    Given,
    Query,
    QueryRefused,
    QueryResult,
    QueryRunner,
    QueryStopped,
    asks_for,
)
from kvorum.history.rows import Batch, Row
from kvorum.history.streaming import parts
from unit.history.conftest import Opened
from unit.history.support import AT_MS

MINUTE_MS = 60_000


@pytest.fixture
def runner(history: Opened) -> Iterator[QueryRunner]:
    rows = [
        Row(2, 0, 0, b"/app/a", b"one", 2, 1, 9, 0, AT_MS, 5, "ann"),
        Row(3, 0, 0, b"/app/a", b"two", 2, 2, 0, 2, AT_MS + 1, 5, ""),
        Row(4, 0, 0, b"/db/x/y", b"12345", 4, 1, 0, 0, AT_MS + MINUTE_MS, 5, ""),
        Row(5, 0, 1, b"/app/a", b"", 0, 0, 0, 3, 0, 5, ""),
        Row(6, 0, 0, b"loose", b"", 6, 1, 0, 0, 0, 5, ""),
    ]
    history.writer.append(Batch(rows, 6, 1, 6))
    history.writer.flush().result(10)
    opened = QueryRunner(history.writer, history.path.with_name("query"))
    yield opened
    opened.close()


def test_keys_are_those_of_now_or_of_a_revision(runner: QueryRunner) -> None:
    sql = "SELECT key, value, mod_revision FROM keys ORDER BY key"
    assert runner.run(Query(sql)).rows == [("/db/x/y", "12345", 4), ("loose", "", 6)]
    assert runner.run(Query(sql, revision=3)).rows == [("/app/a", "two", 3)]
    assert runner.run(Query(sql, revision=1)).rows == []


def test_leases_and_members_are_what_was_given(runner: QueryRunner) -> None:
    given = Given(
        [(9, 60, 41), (-1, 5, None)],
        [(2**64 - 1, "n1", ["http://a", "http://b"], [], False), (3, "", [], ["http://p"], True)],
    )
    found = runner.run(Query("FROM leases ORDER BY granted_s", given=given))
    assert found.rows == [(-1, "f" * 16, 5, None), (9, "9", 60, 41)]
    found = runner.run(Query("FROM members ORDER BY name", given=given))
    assert found.rows == [
        (3, "3", "", [], ["http://p"], True),
        (2**64 - 1, "f" * 16, "n1", ["http://a", "http://b"], [], False),
    ]
    assert runner.run(Query("FROM leases, members")).rows == []
    joined = "SELECT l.hex, e.key FROM leases l JOIN events e USING (lease)"
    assert runner.run(Query(joined, given=given)).rows == [("9", "/app/a")]


PREFIXES = [
    ("/app/web/cfg", 1, "/app/"),
    ("/app/web/cfg", 2, "/app/web/"),
    ("/app/web/cfg", 9, "/app/web/"),
    ("app/web/cfg", 1, "app/"),
    ("/x", 1, "/"),
    ("loose", 1, ""),
    ("/a/", 1, "/a/"),
    ("", 1, ""),
]


def test_the_prefix_of_a_key(runner: QueryRunner) -> None:
    asked = ", ".join(f"prefix_of('{key}', {depth})" for key, depth, _ in PREFIXES)
    assert runner.run(Query(f"SELECT {asked}")).rows == [tuple(p for _, _, p in PREFIXES)]


def test_writes_by_prefix_and_minute(runner: QueryRunner) -> None:
    sql = "SELECT * FROM writes ORDER BY first_revision"
    found = runner.run(Query(sql))
    names = "minute prefix puts deletes keys bytes first_revision last_revision"
    assert [column.name for column in found.columns] == names.split()
    assert found.rows == [
        ("2023-11-14T22:13:00", "/app/", 2, 0, 1, 6, 2, 3),
        ("2023-11-14T22:14:00", "/db/", 1, 0, 1, 5, 4, 4),
        (None, "/app/", 0, 1, 1, 0, 5, 5),
        (None, "", 1, 0, 1, 0, 6, 6),
    ]
    by = runner.run(Query("SELECT prefix, puts FROM writes_by(2, INTERVAL 1 DAY) ORDER BY ALL"))
    assert by.rows == [("", 1), ("/app/", 0), ("/app/", 2), ("/db/x/", 1)]


def test_a_view_beside_the_file_cannot_be_changed_either(runner: QueryRunner) -> None:
    for sql in ("INSERT INTO _leases VALUES (1, 1, 1)", "DROP VIEW keys", "DELETE FROM _members"):
        with pytest.raises(QueryRefused, match="only statements that read"):
            runner.run(Query(sql))


def test_rows_are_handed_over_as_they_come(runner: QueryRunner) -> None:
    batches: list[tuple[tuple[Column, ...], list[str]]] = []
    query = Query(
        "SELECT range, repeat('x', 100) FROM range(20000)",
        max_rows=15_000,
        told=lambda columns, rows: batches.append((columns, rows)),
    )
    found = runner.run(query)
    assert found.truncated
    assert found.rows == []
    assert len(batches) > 3
    assert sum(len(rows) for _, rows in batches) == 15_000
    assert {tuple(column.name for column in columns) for columns, _ in batches} == {
        ("range", "repeat('x', 100)")
    }
    batches.clear()
    nothing = Query("SELECT 1 AS one WHERE false", told=lambda *batch: batches.append(batch))
    assert not runner.run(nothing).truncated
    assert [(columns[0].name, rows) for columns, rows in batches] == [("one", [])]


def test_whoever_takes_rows_may_fail_or_stop(runner: QueryRunner) -> None:
    def fails(columns: tuple[Column, ...], rows: list[str]) -> None:
        raise OSError("no room")

    sql = "SELECT repeat('x', 1000) FROM range(5000)"
    with pytest.raises(OSError, match="no room"):
        runner.run(Query(sql, told=fails))
    asked: list[Query] = []

    def leaves(columns: tuple[Column, ...], rows: list[str]) -> None:
        asked[0].cancel()

    asked.append(Query(sql, told=leaves))
    with pytest.raises(QueryStopped):
        runner.run(asked[0])


def test_rows_for_asyncio(runner: QueryRunner) -> None:
    async def run(query: Query) -> QueryResult:
        return await asyncio.to_thread(runner.run, query)

    async def listen() -> None:
        sql = "SELECT range, repeat('x', 100) FROM range(20000)"
        found = [part async for part in parts(Query(sql, max_rows=15_000), run)]
        assert len(found) > 3
        assert [part.truncated for part in found] == [False] * (len(found) - 1) + [True]
        rows = [row for part in found for row in part.rows_json]
        assert len(rows) == 15_000
        assert rows[-1].startswith("[14999,")
        with pytest.raises(QueryRefused):
            async for _ in parts(Query("SELECT nonsense"), run):
                raise AssertionError
        # Who leaves while the query's thread waits for room stops both.
        endless = Query("SELECT repeat('x', 1000) FROM range(1000000)", max_rows=1_000_000)
        async with aclosing(parts(endless, run)) as parts_of_it:
            async for _ in parts_of_it:
                break
        assert endless.ending == "cancelled"
        assert (await run(Query("SELECT 1"))).rows == [(1,)]

    asyncio.run(listen())


def test_which_views_a_statement_may_look_at() -> None:
    assert asks_for("select * from Leases l", "leases")
    assert not asks_for("select lease from events", "leases")
    assert not asks_for("select member from events", "members")

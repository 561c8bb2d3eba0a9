"""SQL by people: what it may read, what is refused, and that no query harms the node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from random import Random

import pytest
from kvorum.history.query import Query, QueryRefused, QueryResult, QueryRunner, QueryStopped
from kvorum.history.rows import Batch, Row
from unit.history.conftest import Opened
from unit.history.support import AT_MS, Model

ENDLESS = "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b"


@pytest.fixture
def runner(history: Opened) -> Iterator[QueryRunner]:
    rows = [
        Row(2, 0, 0, b"/a", b"one", 2, 1, 9, 0, AT_MS, 5, "ann"),
        Row(3, 0, 0, b"/a", b"two", 2, 2, 0, 2, AT_MS + 1, 5, ""),
        Row(3, 1, 0, b"\xff/b", b"\x00\xfe", 3, 1, 0, 0, AT_MS + 1, 5, ""),
        Row(4, 0, 1, b"/a", b"", 0, 0, 0, 3, AT_MS + 2, 5, ""),
    ]
    history.writer.append(Batch(rows, 4, 1, 4))
    history.writer.flush().result(10)
    opened = QueryRunner(history.writer, history.path.with_name("query"))
    yield opened
    opened.close()


def ask(runner: QueryRunner, sql: str) -> QueryResult:
    return runner.run(Query(sql))


def test_events_are_text_where_they_can_be(runner: QueryRunner) -> None:
    found = ask(
        runner,
        "SELECT revision, sub, type, key, value, version, create_revision, lease, time, e.at, "
        "key_bytes, value_bytes FROM events e ORDER BY revision, sub",
    )
    at = "2023-11-14T22:13:20"
    assert found.rows == [
        (2, 0, "put", "/a", "one", 1, 2, 9, at, at, b"/a", b"one"),
        (3, 0, "put", "/a", "two", 2, 2, 0, at + ".001000", at + ".001000", b"/a", b"two"),
        (
            3,
            1,
            "put",
            "\\xFF/b",
            "\\x00\\xFE",
            1,
            3,
            0,
            *([at + ".001000"] * 2),
            b"\xff/b",
            b"\x00\xfe",
        ),
        (4, 0, "delete", "/a", "", 0, 0, 0, at + ".002000", at + ".002000", b"/a", b""),
    ]
    assert [column.name for column in found.columns][:3] == ["revision", "sub", "type"]
    assert found.columns[0].type == "BIGINT"
    assert not found.truncated


def test_keys_as_they_were(runner: QueryRunner) -> None:
    for revision, expected in ((1, []), (2, ["/a"]), (3, ["/a", "\\xFF/b"]), (4, ["\\xFF/b"])):
        found = ask(runner, f"SELECT key FROM keys_at({revision}) ORDER BY key_bytes")
        assert [key for (key,) in found.rows] == expected


@pytest.mark.parametrize(
    "sql,words",
    [
        ("DELETE FROM history", "only statements that read"),
        ("INSERT INTO history SELECT * FROM history", "only statements that read"),
        ("COPY events TO '/tmp/never-written.csv'", "only statements that read"),
        ("ATTACH '/tmp/never-attached.duckdb'", "only statements that read"),
        ("SET memory_limit = '100GB'", "only statements that read"),
        ("PRAGMA database_list", "only statements that read"),
        ("CALL pragma_version()", "only statements that read"),
        ("INSTALL httpfs", "only statements that read"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("", "one statement at a time"),
        ("-- nothing", "one statement at a time"),
        ("WITH d AS (DELETE FROM history RETURNING *) SELECT * FROM d", "read-only"),
        ("EXPLAIN ANALYZE DELETE FROM history", "read-only"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM glob('/*')", "disabled by configuration"),
        ("SELECT * FROM 'https://localhost/x.parquet'", "does not exist|disabled"),
        ("SELECT * FROM nowhere", "does not exist"),
        ("SELECT at FROM events", "is a word of the grammar"),
        ("SELEC 1", "syntax error"),
        ("SELECT now()", "cast it"),
        ("SELECT " + "1+" * 40_000 + "1", "longer than"),
    ],
)
def test_what_is_refused_is_refused_with_a_reason(
    runner: QueryRunner, sql: str, words: str
) -> None:
    with pytest.raises(QueryRefused, match=words):
        ask(runner, sql)
    assert ask(runner, "SELECT count(*) FROM events").rows == [(4,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(range(1000000000))",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT * FROM range(100000000) ORDER BY random()",
        "SELECT list(range) FROM range(1000000000)",
    ],
)
def test_memory_is_bounded(runner: QueryRunner, sql: str) -> None:
    with pytest.raises(QueryRefused, match="memory"):
        ask(runner, sql)


def test_rows_bytes_and_time_are_bounded(runner: QueryRunner) -> None:
    found = runner.run(Query("SELECT * FROM range(100000)", max_rows=5))
    assert (found.rows, found.truncated) == ([(0,), (1,), (2,), (3,), (4,)], True)
    exact = runner.run(Query("SELECT * FROM range(5)", max_rows=5))
    assert (len(exact.rows), exact.truncated) == (5, False)
    large = runner.run(Query("SELECT repeat('x', 1000) FROM range(1000)", max_bytes=10_000))
    assert (len(large.rows), large.truncated) == (9, True)
    with pytest.raises(QueryRefused, match=r"longer than 0\.5 s"):
        runner.run(Query(ENDLESS, timeout_s=0.5))


def test_a_query_can_be_cancelled_before_and_while_it_runs(runner: QueryRunner) -> None:
    early = Query(ENDLESS)
    early.cancel()
    with pytest.raises(QueryStopped):
        runner.run(early)
    late = Query(ENDLESS)
    timer = threading.Timer(0.3, late.cancel)
    timer.start()
    with pytest.raises(QueryStopped):
        runner.run(late)
    timer.join()


def test_queries_see_what_was_committed_before_them(history: Opened, runner: QueryRunner) -> None:
    model = Model(Random(1))
    model.revision = 10
    for _ in range(3):
        rows = model.grow(5)
        history.writer.append(Batch(rows, model.revision, 1, model.revision))
        history.writer.flush().result(10)
        found = ask(runner, "SELECT count(*) FROM events WHERE revision > 10")
        assert found.rows == [(len(model.rows),)]
        assert ask(runner, "SELECT count(*) FROM events WHERE revision > 10") == found
    copies = list(history.path.with_name("query").glob("*.duckdb"))
    assert len(copies) == 1, "old copies go"


def test_rows_say_what_json_cannot(runner: QueryRunner) -> None:
    found = ask(
        runner,
        "SELECT 'x'::BLOB, NULL, true, 1.5::DOUBLE, 'nan'::DOUBLE, 1.25::DECIMAL(4,2), [1, NULL], "
        "{'a': '\\xFF'::BLOB}, 18446744073709551615::UBIGINT, DATE '2024-02-29', 'ü\n\u2028\x85'",
    )
    assert found.rows == [
        (
            b"x",
            None,
            True,
            1.5,
            "nan",
            "1.25",
            [1, None],
            {"a": b"\xff"},
            2**64 - 1,
            "2024-02-29",
            "ü\n\u2028\x85",
        )
    ]


def test_a_copy_that_cannot_be_made_harms_nobody(history: Opened, runner: QueryRunner) -> None:
    directory = history.path.with_name("query")
    directory.rmdir()
    with pytest.raises(QueryRefused, match="cannot be copied"):
        ask(runner, "SELECT 1")
    history.writer.flush().result(10)
    directory.mkdir()
    assert ask(runner, "SELECT 1").rows == [(1,)]

"""What is kept in files: saved queries and templates, and the queries of earlier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.history.query import Query, QueryRunner
from kvorum.history.rows import Batch, Row
from kvorum_tui.model.shelf import QUERIES, TRANSACTIONS, Saved, ShelfError
from kvorum_tui.model.sql_past import KEPT, SqlHistory, history_path
from kvorum_tui.model.sql_text import fill, variables
from unit.history.conftest import Opened, history  # noqa: F401

VALUES = {"prefix": "/a", "key": "/a", "text": "one", "from": "1", "to": "9", "depth": "1"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KVORUM_QUERIES", str(tmp_path / "config" / "queries.toml"))
    monkeypatch.setenv("KVORUM_TRANSACTIONS", str(tmp_path / "config" / "transactions.toml"))
    return tmp_path / "config"


def test_shipped_ones_are_there_and_ones_own_come_first() -> None:
    shipped, wrong = QUERIES.load()
    assert not wrong
    assert {"hottest keys", "biggest values", "churn by prefix", "deleted in the last hour"} <= {
        saved.name for saved in shipped
    }
    assert {"keys by lease", "writes per minute"} <= {saved.name for saved in shipped}
    QUERIES.keep(Saved("mine", "SELECT 1\nFROM events", "about it", {"a": "1"}))
    QUERIES.keep(Saved("hottest keys", "SELECT 2"))
    QUERIES.keep(Saved("mine", "SELECT $a\n-- 'it\\'s'''", "about it", {"a": "1"}))
    found, wrong = QUERIES.load()
    assert not wrong
    assert found[0] == Saved("mine", "SELECT $a\n-- 'it\\'s'''", "about it", {"a": "1"}, own=True)
    assert found[1] == Saved("hottest keys", "SELECT 2", own=True)
    assert len(found) == len(shipped) + 1
    assert QUERIES.forget("hottest keys") and not QUERIES.forget("hottest keys")
    assert len(QUERIES.load()[0]) == len(shipped) + 1


def test_a_file_that_is_not_understood_is_told_and_not_touched(files: Path) -> None:
    files.mkdir()
    path = files / "queries.toml"
    for text, why in (
        ("nonsense", "Expected"),
        ('[[query]]\nname = "x"', "query 1 has no text"),
        ("query = 3", "list"),
        ('[[query]]\nname="x"\ntext="y"\ndefaults=3', "defaults"),
        ("query = [1]", "no table"),
    ):
        path.write_text(text)
        found, wrong = QUERIES.load()
        assert found and "queries.toml" in wrong and why in wrong
        with pytest.raises(ShelfError):
            QUERIES.keep(Saved("mine", "SELECT 1"))
        assert path.read_text() == text


def test_comments_of_the_user_stay(files: Path) -> None:
    files.mkdir()
    path = files / "queries.toml"
    path.write_text('# mine\n[[query]]\nname = "a" # first\ntext = "SELECT 1"\n')
    QUERIES.keep(Saved("b", "SELECT 2"))
    assert "# mine" in path.read_text() and "# first" in path.read_text()
    assert [saved.name for saved in QUERIES.load()[0][:2]] == ["a", "b"]


def test_all_shipped_queries_run(history: Opened) -> None:  # noqa: F811
    rows = [
        Row(2, 0, 0, b"/a", b"one", 2, 1, 9, 0, 1_700_000_000_000, 5, "ann"),
        Row(3, 0, 1, b"/a", b"", 0, 0, 0, 2, 0, 5, ""),
        Row(4, 0, 0, b"/a/b", b"one", 4, 1, 9, 0, 0, 5, ""),
    ]
    history.writer.append(Batch(rows, 4, 1, 4))
    history.writer.flush().result(10)
    runner = QueryRunner(history.writer, history.path.with_name("query"))
    try:
        for saved in QUERIES.load()[0]:
            assert set(saved.defaults) <= set(variables(saved.text)) <= set(VALUES), saved.name
            assert runner.run(Query(fill(saved.text, VALUES).sql)).columns, saved.name
            assert "time" not in saved.text or "--" not in saved.text
    finally:
        runner.close()


def test_queries_of_earlier(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sql.jsonl"
    past = SqlHistory(path)
    past.load()
    assert past.walk(-1, "draft") is None
    for query in ("SELECT 1", "SELECT\n2", "SELECT\n2", " "):
        past.add(query)
    assert past.queries == ["SELECT 1", "SELECT\n2"]
    assert path.stat().st_mode & 0o777 == 0o600
    again = SqlHistory(path)
    again.load()
    assert [again.walk(by, "draft") for by in (-1, -1, -1, 1, 1, 1)] == [
        "SELECT\n2",
        "SELECT 1",
        None,
        "SELECT\n2",
        "draft",
        None,
    ]
    again.load()
    assert again.walk(-1, "SELECT\n2\n") == "SELECT 1", "what is shown is passed by"
    path.write_text('"a"\nnonsense\n5\n"b"\n')
    again.load()
    assert again.queries == ["a", "b"]
    for number in range(KEPT + 5):
        again.queries.append(str(number))
    again.add("last")
    assert len(path.read_text().splitlines()) == KEPT
    assert json.loads(path.read_text().splitlines()[-1]) == "last"
    nowhere = SqlHistory(None)
    nowhere.load()
    nowhere.add("x")
    assert nowhere.queries == ["x"]


def test_where_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVORUM_SQL_HISTORY", "off")
    assert history_path() is None
    monkeypatch.setenv("KVORUM_SQL_HISTORY", "/x/y")
    assert history_path() == Path("/x/y")
    monkeypatch.delenv("KVORUM_SQL_HISTORY")
    default = history_path()
    assert default is not None and default.name == "sql.jsonl"
    assert TRANSACTIONS.path.name == "transactions.toml"

"""Answers as files: every form reads back as what it was."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from kvorum.history.exporting import FORMATS, Format, export, names_of
from kvorum.limits import EXPORT_ROWS

COLUMNS = [
    ("n", "BIGINT"),
    ("n", "HUGEINT"),
    ("te\"x't", "VARCHAR"),
    ("bytes", "BLOB"),
    ("at", "TIMESTAMP"),
    ("list", "STRUCT(a BLOB)[]"),
    ("share", "DOUBLE"),
]
ROWS: list[list[Any]] = [
    [1, 2**70, 'a,\n"ü"', b"\x00\xff", "2026-01-02T03:04:05", [{"a": b"\xff"}], 0.5],
    [None, None, None, None, None, None, None],
    [-5, 0, "", b"", "1970-01-01T00:00:00", [], "nan"],
]
AS_JSON = [
    [1, 2**70, 'a,\n"ü"', "AP8=", "2026-01-02T03:04:05", [{"a": "/w=="}], 0.5],
    [None] * 7,
    [-5, 0, "", "", "1970-01-01T00:00:00", [], "nan"],
]
NAMES = ["n", "n_1", "te\"x't", "bytes", "at", "list", "share"]


def csv_of(path: Path) -> list[list[Any]]:
    head, *rows = csv.reader(path.read_text("utf-8").splitlines(keepends=True))
    assert head == NAMES
    return rows


def json_of(path: Path) -> list[list[Any]]:
    rows = json.loads(path.read_text("utf-8"))
    assert list(rows[0]) == NAMES
    return [list(row.values()) for row in rows]


def jsonl_of(path: Path) -> list[list[Any]]:
    lines = path.read_text("utf-8").split("\n")
    assert lines.pop() == ""
    return [list(json.loads(line).values()) for line in lines]


@pytest.mark.parametrize("form,read", [("json", json_of), ("jsonl", jsonl_of)])
def test_json(tmp_path: Path, form: Format, read: Callable[[Path], list[list[Any]]]) -> None:
    path = tmp_path / "out"
    assert export(form, path, COLUMNS, ROWS) == 3
    assert read(path) == AS_JSON
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    export("csv", path, COLUMNS, ROWS)
    first, nothing, last = csv_of(path)
    assert first[:5] == ["1", str(2**70), 'a,\n"ü"', "AP8=", "2026-01-02T03:04:05"]
    assert json.loads(first[5]) == [{"a": "/w=="}]
    assert nothing == [""] * 7
    assert last[0] == "-5"


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    export("parquet", path, COLUMNS, ROWS)
    found = duckdb.read_parquet(str(path))
    assert found.columns == NAMES
    kinds = [str(kind) for kind in found.types]
    assert kinds == [
        *("BIGINT", "DECIMAL(38,0)", "VARCHAR", "BLOB", "TIMESTAMP", "VARCHAR", "DOUBLE")
    ]
    first, nothing, last = found.fetchall()
    assert (first[0], int(first[1]), first[2], first[3]) == (1, 2**70, 'a,\n"ü"', b"\x00\xff")
    assert nothing == (None,) * 7
    assert last[3] == b""
    assert last[6] != last[6], "not a number"


@pytest.mark.parametrize("form", FORMATS)
def test_progress_is_told_and_may_end_it(tmp_path: Path, form: Format) -> None:
    heard: list[int] = []
    columns = [("n", "BIGINT")]
    many = EXPORT_ROWS * 2 + 1
    assert export(form, tmp_path / "all", columns, ([n] for n in range(many)), heard.append) == many
    assert heard == [EXPORT_ROWS, EXPORT_ROWS * 2, many]

    def stop(rows: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        export(form, tmp_path / "none", columns, ([n] for n in range(many)), stop)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_folder_that_is_not_there(tmp_path: Path, form: Format) -> None:
    with pytest.raises(OSError, match="nowhere"):
        export(form, tmp_path / "nowhere" / "out", [("n", "BIGINT")], [[1]])


def test_no_rows_and_names_that_are_equal(tmp_path: Path) -> None:
    for form in FORMATS:
        assert export(form, tmp_path / form, [("n", "BIGINT")], []) == 0
    assert (tmp_path / "json").read_text() == "[\n]\n"
    assert duckdb.read_parquet(str(tmp_path / "parquet")).fetchall() == []
    assert names_of([("a", ""), ("a", ""), ("a_1", ""), ("a", "")]) == ["a", "a_1", "a_1_1", "a_2"]

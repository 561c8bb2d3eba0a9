"""Rows of an answer as files: CSV, JSON, JSON lines, Parquet.

Whoever asked writes, in its own process: the one that ran the query may not touch files. What can
only be text in a form is text: bytes are base64 in all but Parquet, where they stay bytes. Parquet
is written by DuckDB from JSON lines in a temporary file, with the types that the answer had.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import duckdb

from kvorum.limits import EXPORT_ROWS

Format = Literal["csv", "json", "jsonl", "parquet"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "jsonl", "parquet")
Columns = Sequence[tuple[str, str]]
Rows = Iterable[Sequence[Any]]

_PLAIN = re.compile(
    r"U?(TINYINT|SMALLINT|INTEGER|BIGINT)|BOOLEAN|FLOAT|DOUBLE|VARCHAR|DATE|TIME|UUID"
    r"|TIMESTAMP(_S|_MS|_NS)?|DECIMAL\(\d+,\d+\)"
)


def names_of(columns: Columns) -> list[str]:
    """The columns' names, each once: a second ``n`` is ``n_1``."""
    names: list[str] = []
    for name, _ in columns:
        number, unique = 0, name
        while unique in names:
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
    return names


def plain(cell: Any) -> Any:
    """A cell as JSON can say it, bytes as base64."""
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    if isinstance(cell, list):
        return [plain(item) for item in cell]
    if isinstance(cell, dict):
        return {name: plain(item) for name, item in cell.items()}
    return cell


def export(
    form: Format,
    path: Path,
    columns: Columns,
    rows: Rows,
    told: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write a file, which is there only when all of it is; returns the number of rows. Values may
    be secret: the file is for its owner only.

    ``told`` hears now and then how many are written; what it raises ends the export. Raises
    OSError.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.touch(mode=0o600)
        if form == "parquet":
            count = _parquet(part, columns, rows, told)
        else:
            with part.open("w", encoding="utf-8", newline="") as out:
                count = write(form, out, columns, rows, told)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def write(
    form: Format,
    out: TextIO,
    columns: Columns,
    rows: Rows,
    told: Callable[[int], None] = lambda rows: None,
) -> int:
    """The same into an open file, for the forms that are text."""
    names = names_of(columns)
    count = 0
    iterator = iter(rows)
    table = csv.writer(out, lineterminator="\n") if form == "csv" else None
    if table is not None:
        table.writerow(names)
    out.write("[" if form == "json" else "")
    while chunk := list(islice(iterator, EXPORT_ROWS)):
        if table is not None:
            table.writerows([_csv_cell(cell) for cell in row] for row in chunk)
        else:
            for number, row in enumerate(chunk, count):
                if form == "json":
                    out.write(",\n" if number else "\n")
                named = zip(names, map(plain, row), strict=True)
                out.write(json.dumps(dict(named), ensure_ascii=False))
                if form == "jsonl":
                    out.write("\n")
        count += len(chunk)
        told(count)
    out.write("\n]\n" if form == "json" else "")
    return count


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, (list, dict)):
        return json.dumps(plain(cell), ensure_ascii=False)
    return plain(cell)


def _parquet(path: Path, columns: Columns, rows: Rows, told: Callable[[int], None]) -> int:
    """Every cell goes through text, and from there to its type."""
    with tempfile.TemporaryDirectory(prefix="kvorum-export-") as directory:
        lines = Path(directory) / "rows.jsonl"
        places = [(f"c{number}", kind) for number, (_, kind) in enumerate(columns)]
        texts = ([_text(cell) for cell in row] for row in rows)
        with lines.open("w", encoding="utf-8") as out:
            count = write("jsonl", out, places, texts, told)
        casts = ", ".join(
            f'{_cast(place, kind)} AS "{name.replace(chr(34), chr(34) * 2)}"'
            for (place, kind), name in zip(places, names_of(columns), strict=True)
        )
        read = ", ".join(f"{place}: 'VARCHAR'" for place, _ in places)
        with duckdb.connect(":memory:", config={"threads": "1"}) as connection:
            try:
                connection.execute(
                    f"COPY (SELECT {casts} FROM read_json({_quoted(lines)}, columns = {{{read}}}, "
                    "format = 'newline_delimited', maximum_object_size = 134217728)) "
                    f"TO {_quoted(path)} (FORMAT parquet, USE_TMP_FILE false)"
                )
            except duckdb.IOException as error:
                raise OSError(str(error)) from error
    return count


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, (bytes, list, dict)):
        cell = plain(cell)
        return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return str(cell)


def _cast(place: str, kind: str) -> str:
    if kind == "BLOB":
        return f"from_base64({place})"
    if kind == "HUGEINT":  # Parquet would make it a float.
        return f"{place}::DECIMAL(38,0)"
    return f"{place}::{kind}" if _PLAIN.fullmatch(kind) else place


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"

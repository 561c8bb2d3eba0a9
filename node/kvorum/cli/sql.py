"""``kvorum sql``: read-only SQL over every kept revision."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.options import Duration, Line, connected, verb
from kvorum.cli.output import InvalidInput, say

if TYPE_CHECKING:
    from kvorum_proto.kvorum import v1

_MORE = "there are more rows: --max-rows, or a narrower question, shows them"


@verb("sql")
@click.argument("query")
@click.option("--max-rows", type=click.IntRange(1), help="At most this many rows (and the node's).")
@click.option("--timeout", "timeout_s", type=Duration(), help="Give up after this time.")
@click.option("--csv", "as_csv", is_flag=True, help="Rows as CSV, with a head.")
@connected()
async def sql(
    line: Line, query: str, max_rows: int | None, timeout_s: float | None, as_csv: bool
) -> None:
    """Ask the revision history with SQL; '-' reads QUERY from standard input.

    \b
    The view events has a row for each change of a key:
      revision, sub, type (put, delete), key, value, version, create_revision,
      prev_revision, lease, time, member, user_name, key_bytes, value_bytes
    keys_at(REVISION) is a table of the keys as they were. For instance:
      kvorum sql "SELECT key, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC"
      kvorum sql "SELECT key, value FROM keys_at(1200) WHERE key LIKE '/app/%'"
    """
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise InvalidInput("the query is empty")
    inspect = line.client.member(line.client.endpoints[0]).inspect
    columns: list[v1.QueryColumn] = []
    rows: list[list[Any]] = []
    truncated = False
    millis = 0 if timeout_s is None else max(1, int(timeout_s * 1000))
    async for batch in inspect.query(text, max_rows=max_rows or 0, timeout_ms=millis):
        columns += batch.columns
        rows += [json.loads(row, object_hook=_bytes_back) for row in batch.rows_json]
        truncated = batch.truncated
    names = [column.name for column in columns]
    if as_csv:
        click.echo(_csv_text(names, rows), nl=False)
    elif line.form == "json":
        _write_json(columns, rows, truncated)
    else:
        _write_table(names, rows)
    if truncated:
        say(_MORE)


def _bytes_back(value: dict[str, Any]) -> Any:
    encoded = value.get("bytes")
    if len(value) == 1 and isinstance(encoded, str):
        return base64.b64decode(encoded)
    return value


def _write_json(columns: Sequence[v1.QueryColumn], rows: list[list[Any]], truncated: bool) -> None:
    from kvorum.cli.forms import write_json

    write_json(
        {
            "columns": [{"name": column.name, "type": column.type} for column in columns],
            "rows": [[_base64(cell) for cell in row] for row in rows],
            "truncated": truncated,
        }
    )


def _base64(cell: Any) -> Any:
    return base64.b64encode(cell).decode() if isinstance(cell, bytes) else cell


def _write_table(names: list[str], rows: list[list[Any]]) -> None:
    from kvorum.cli.forms import write_table

    write_table(names, [["" if cell is None else _plain(cell) for cell in row] for row in rows])


def _csv_text(names: list[str], rows: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if c is None else _plain(_base64(c)) for c in row] for row in rows])
    return out.getvalue()


def _plain(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, (list, dict)) else cell

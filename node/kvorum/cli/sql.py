"""``kvorum sql``: read-only SQL over every kept revision."""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
from typing import Any

import click

from kvorum.cli.options import Duration, Line, connected, verb
from kvorum.cli.output import InvalidInput, say
from kvorum.cli.past import Answer, answer

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
    keys_at(REVISION) is a table of the keys as they were. A real etcd cannot
    answer: its history is read first, and has no time, member and user.
    For instance:
      kvorum sql "SELECT key, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC"
      kvorum sql "SELECT key, value FROM keys_at(1200) WHERE key LIKE '/app/%'"
    """
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise InvalidInput("the query is empty")
    found = await answer(line, text, max_rows or 0, timeout_s)
    names = [name for name, _ in found.columns]
    if as_csv:
        click.echo(_csv_text(names, found.rows), nl=False)
    elif line.form == "json":
        _write_json(found)
    else:
        _write_table(names, found.rows)
    if found.truncated:
        say(_MORE)


def _write_json(found: Answer) -> None:
    from kvorum.cli.forms import write_json

    write_json(
        {
            "columns": [{"name": name, "type": kind} for name, kind in found.columns],
            "rows": [[_base64(cell) for cell in row] for row in found.rows],
            "truncated": found.truncated,
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

"""``kvorum sql``: read-only SQL over every kept revision."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
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
@click.option("--revision", type=click.IntRange(0), default=0, help="What the view keys shows.")
@click.option("--csv", "as_csv", is_flag=True, help="The same as -w csv.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file, in place of one of that name; parquet has to go to one.",
)
@connected(forms=("csv", "jsonl", "parquet"))
async def sql(
    line: Line,
    query: str,
    max_rows: int | None,
    timeout_s: float | None,
    revision: int,
    as_csv: bool,
    out: Path | None,
) -> None:
    """Ask the revision history with SQL; '-' reads QUERY from standard input.

    \b
    The view events has a row for each change of a key:
      revision, sub, type (put, delete), key, value, version, create_revision,
      prev_revision, lease, time, member, user_name, key_bytes, value_bytes
    keys has the keys that there are now, or at --revision; keys_at(REVISION) is
    a table of the keys as they were. leases, members, writes (by the first part
    of the key, by the minute) and writes_by(PARTS, INTERVAL) are what they say.
    A real etcd cannot answer: its history is read first, and has no time,
    member and user.
    For instance:
      kvorum sql "SELECT key, count(*) AS n FROM events GROUP BY ALL ORDER BY n DESC"
      kvorum sql "SELECT key, value FROM keys_at(1200) WHERE key LIKE '/app/%'"
      kvorum sql "FROM events" --max-rows 1000000 -w parquet --out events.parquet
    """
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise InvalidInput("the query is empty")
    form = "csv" if as_csv else line.form
    if form == "parquet" and out is None:
        raise InvalidInput("-w parquet needs --out FILE")
    found = await answer(line, text, max_rows or 0, timeout_s, revision)
    if out is None:
        click.echo(_text(form, found), nl=False)
    else:
        _write_file(form, out, found)
        say(f"{len(found.rows):,} rows in {out}")
    if found.truncated:
        say(_MORE)


def _write_file(form: str, out: Path, found: Answer) -> None:
    from kvorum.history.exporting import FORMATS, export

    chosen = next((each for each in FORMATS if each == form), None)
    if chosen is None or chosen == "json":
        out.write_text(_text(form, found), "utf-8")
    else:
        export(chosen, out, found.columns, found.rows)


def _text(form: str, found: Answer) -> str:
    """The answer as text, in the forms that have one."""
    from kvorum.history.exporting import plain, write

    text = io.StringIO()
    if form == "csv":
        write("csv", text, found.columns, found.rows)
    elif form == "jsonl":
        write("jsonl", text, found.columns, found.rows)
    elif form == "json":
        document = {
            "columns": [{"name": name, "type": kind} for name, kind in found.columns],
            "rows": [[plain(cell) for cell in row] for row in found.rows],
            "truncated": found.truncated,
        }
        text.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")
    else:
        from kvorum.cli.forms import table_lines

        names = [name for name, _ in found.columns]
        shown = [["" if cell is None else _flat(cell) for cell in row] for row in found.rows]
        text.write("".join(f"{line}\n" for line in table_lines(names, shown)))
    return text.getvalue()


def _flat(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, (list, dict)) else cell

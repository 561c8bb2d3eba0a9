"""``kvorum history``: the life of a key."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.options import Line, connected, key_bytes, verb
from kvorum.cli.output import InvalidInput
from kvorum.cli.past import changes

if TYPE_CHECKING:
    from kvorum.history.rows import Row

_VALUE_SHOWN = 60


@verb("history")
@click.argument("key")
@click.argument("range_end", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY; '' takes all.")
@click.option("--from-rev", type=click.IntRange(0), default=0, help="Changes from here on.")
@click.option("--to-rev", type=click.IntRange(0), default=0, help="Changes up to this revision.")
@click.option("--limit", type=click.IntRange(0), default=0, help="At most this many changes.")
@connected()
async def history(
    line: Line,
    key: str,
    range_end: str | None,
    prefix: bool,
    from_rev: int,
    to_rev: int,
    limit: int,
) -> None:
    """Every change of KEY that is still known, oldest first, deletions included.

    kvorum knows when each was made, through which member, and with auth by whom. A real etcd does
    not, and its whole history is read for the answer. With -w json a change is an object a line.
    """
    from kvorum.client.types import key_range
    from kvorum.history.pages import Question

    if prefix and range_end is not None:
        raise InvalidInput("RANGE_END and --prefix exclude one another")
    start = b"" if prefix and not key else key_bytes(key)
    end = None if range_end is None else key_bytes(range_end, "range end")
    begin, behind = key_range(start, end, prefix=prefix)
    question = Question(begin, behind, from_rev, to_rev)
    write = _writer(line.form)
    async with aclosing(changes(line, question, limit)) as found:
        async for row in found:
            write(row)


def _writer(form: str) -> Callable[[Row], None]:
    from kvorum.cli.forms import shown, write_json

    if form == "json":
        return lambda row: write_json(_document(row))

    def write(row: Row) -> None:
        """A line, its columns wide enough for what is usual: rows are not held back to measure."""
        at = _time(row.at_ms) if row.at_ms else "-"
        what = f"put    v{row.version}" if row.type == 0 else "delete"
        text = shown(row.value)
        if form != "table" and len(text) > _VALUE_SHOWN:
            text = f"{text[:_VALUE_SHOWN]}… ({len(row.value)} bytes)"
        by = ", ".join(_authors(row))
        parts = [f"{row.revision:>9}", f"{at:<23}", f"{what:<12}", shown(row.key), text]
        click.echo("  ".join(part for part in parts if part) + (f"  ({by})" if by else ""))

    return write


def _authors(row: Row) -> list[str]:
    parts = []
    if row.user_name:
        parts.append(f"by {row.user_name}")
    if row.member:
        parts.append(f"through {row.member:x}")
    if row.lease:
        parts.append(f"lease {row.lease & (1 << 64) - 1:x}")
    return parts


def _time(at_ms: int) -> str:
    when = datetime.fromtimestamp(at_ms / 1000, UTC)
    return when.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def _document(row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {
        "revision": row.revision,
        "sub": row.sub,
        "type": "PUT" if row.type == 0 else "DELETE",
        "key": base64.b64encode(row.key).decode(),
    }
    if row.type == 0:
        document |= {
            "value": base64.b64encode(row.value).decode(),
            "create_revision": row.create_revision,
            "version": row.version,
            "lease": row.lease,
        }
    if row.at_ms:
        document["time"] = _time(row.at_ms).replace(" ", "T") + "Z"
    if row.member:
        document["member"] = row.member
    if row.user_name:
        document["user"] = row.user_name
    return document

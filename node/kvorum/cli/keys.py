"""``kvorum get``, ``put``, ``del`` and ``txn``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from kvorum.cli.options import LeaseId, Line, connected, consistency_option, key_bytes, verb
from kvorum.cli.output import InvalidInput, say

_SORT_BY = {
    "create": "create",
    "key": "key",
    "modify": "mod",
    "value": "value",
    "version": "version",
}


@verb("get")
@click.argument("key")
@click.argument("range_end", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY; '' takes all.")
@click.option("--from-key", is_flag=True, help="Every key from KEY on.")
@click.option("--rev", type=int, default=0, help="As it was at this revision.")
@click.option("--limit", type=click.IntRange(0), default=0, help="At most this many keys.")
@click.option(
    "--order",
    type=click.Choice(["ascend", "descend"], case_sensitive=False),
    help="Which end comes first.",
)
@click.option(
    "--sort-by",
    type=click.Choice(list(_SORT_BY), case_sensitive=False),
    help="What the order is of.",
)
@click.option("--keys-only", is_flag=True, help="Leave the values out.")
@click.option("--count-only", is_flag=True, help="Only count the keys.")
@click.option("--print-value-only", is_flag=True, help="Only values, in the simple form.")
@consistency_option
@connected()
async def get(line: Line, key: str, range_end: str | None, **flags: Any) -> None:
    """Read KEY, or the keys from KEY up to RANGE_END."""
    from kvorum.cli import forms

    everything = flags["prefix"] or flags["from_key"]
    start = b"" if everything and not key else key_bytes(key)
    if range_end is not None and everything:
        raise InvalidInput("RANGE_END, --prefix and --from-key exclude one another")
    if flags["prefix"] and flags["from_key"]:
        raise InvalidInput("--prefix and --from-key exclude one another")
    sort_by = _SORT_BY[(flags["sort_by"] or "key").lower()]
    sort_order = (flags["order"] or ("ascend" if flags["sort_by"] else "none")).lower()
    options: Any = {
        "revision": flags["rev"],
        "limit": flags["limit"],
        "sort_by": sort_by,
        "sort_order": sort_order,
        "serializable": flags["consistency"] == "s",
        "keys_only": flags["keys_only"],
        "count_only": flags["count_only"],
    }
    where: Any = {"prefix": flags["prefix"], "from_key": flags["from_key"]}
    end = None if range_end is None else range_end.encode(errors="surrogateescape")
    if line.form == "simple" and not flags["count_only"]:
        # By pages, so that a large prefix is never in memory as a whole.
        async for page in line.client.pages(start, end, **where, **options):
            if flags["keys_only"] and not flags["print_value_only"]:
                forms.write_bytes(*(kv.key for kv in page.kvs))
            else:
                forms.write_range(page, values_only=flags["print_value_only"])
        return
    found = await line.client.range(start, end, **where, **options)
    if line.form == "json":
        forms.write_json(forms.range_json(found))
    elif flags["count_only"]:
        click.echo(found.count)
    else:
        forms.write_table(forms.KV_HEAD, (forms.kv_row(kv) for kv in found.kvs))


@verb("put")
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", "file", help="Take the value from this file (-: standard input).")
@click.option("--lease", type=LeaseId(), default="0", help="Lease to tie the key to, in hex.")
@click.option("--prev-kv", is_flag=True, help="Show what the key was before.")
@click.option("--ignore-value", is_flag=True, help="Keep the value, change the lease.")
@click.option("--ignore-lease", is_flag=True, help="Keep the lease, change the value.")
@connected()
async def put(
    line: Line, key: str, value: str | None, file: str | None, lease: int, **flags: bool
) -> None:
    """Write KEY. Without VALUE it is read from --file or from standard input, byte for byte."""
    from kvorum.cli import forms

    data = b"" if flags["ignore_value"] and value is None else _value(value, file)
    done = await line.client.put(key_bytes(key), data, lease=lease, **flags)
    if line.form == "json":
        forms.write_json(forms.put_json(done))
    elif line.form == "table":
        shown = [] if done.prev_kv is None else [forms.kv_row(done.prev_kv)]
        say(f"OK, revision {done.header.revision}")
        if flags["prev_kv"]:
            forms.write_table(forms.KV_HEAD, shown)
    else:
        click.echo("OK")
        if done.prev_kv is not None:
            forms.write_bytes(done.prev_kv.key, done.prev_kv.value)


def _value(value: str | None, file: str | None) -> bytes:
    if value is not None and file is not None:
        raise InvalidInput("the value is given twice: as an argument and with --file")
    if value is not None:
        return value.encode(errors="surrogateescape")
    if file is not None and file != "-":
        try:
            return Path(file).read_bytes()
        except OSError as error:
            raise InvalidInput(f"cannot read the value: {error}") from None
    if sys.stdin.isatty():
        say("Reading the value from the terminal; end it with Ctrl-D.")
    return sys.stdin.buffer.read()


@verb("del")
@click.argument("key")
@click.argument("range_end", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY.")
@click.option("--from-key", is_flag=True, help="Every key from KEY on.")
@click.option("--prev-kv", is_flag=True, help="Show what is deleted.")
@connected()
async def delete(
    line: Line, key: str, range_end: str | None, prefix: bool, from_key: bool, prev_kv: bool
) -> None:
    """Delete KEY, or the keys from KEY up to RANGE_END, and say how many."""
    from kvorum.cli import forms

    if (range_end is not None) + prefix + from_key > 1:
        raise InvalidInput("RANGE_END, --prefix and --from-key exclude one another")
    start = b"" if (prefix or from_key) and not key else key_bytes(key)
    end = None if range_end is None else range_end.encode(errors="surrogateescape")
    done = await line.client.delete(start, end, prefix=prefix, from_key=from_key, prev_kv=prev_kv)
    if line.form == "json":
        forms.write_json(forms.delete_json(done))
    elif line.form == "table":
        say(f"{done.deleted} deleted, revision {done.header.revision}")
        if prev_kv:
            forms.write_table(forms.KV_HEAD, (forms.kv_row(kv) for kv in done.prev_kvs))
    else:
        click.echo(done.deleted)
        for kv in done.prev_kvs:
            forms.write_bytes(kv.key, kv.value)


@verb("txn")
@click.option("-i", "--interactive", is_flag=True, help="Ask for each block.")
@connected()
async def txn(line: Line, interactive: bool) -> None:
    """A transaction, read from standard input: conditions, an empty line, what to do when they
    hold, an empty line, what to do when they do not.

    \b
      mod("a") > "0"
    \b
      put b "new value"
    \b
      get a
    """
    from kvorum.cli import forms
    from kvorum.client import txn_text

    text = _ask() if interactive or sys.stdin.isatty() else _stdin_text()
    done = await line.client.commit(txn_text.parse(text))
    if line.form == "json":
        forms.write_json(forms.txn_json(done))
        return
    _write_txn(done)


def _stdin_text() -> str:
    return sys.stdin.buffer.read().decode(errors="surrogateescape")


def _ask() -> str:
    """Read the three blocks line by line, checking each line as it comes."""
    from kvorum.client import txn_text

    lines = []
    prompts = (
        "compares (an empty line ends them):",
        "success requests (get, put, del):",
        "failure requests (get, put, del):",
    )
    for block, prompt in enumerate(prompts):
        say(prompt)
        while (text := sys.stdin.readline()).strip():
            try:
                if block == 0:
                    txn_text.parse_compare(text)
                else:
                    txn_text.parse_op(text)
            except txn_text.TxnTextError as error:
                say(f"{error}; try again")
                continue
            lines.append(text.rstrip("\n"))
        lines.append("")
    return "\n".join(lines)


def _write_txn(done: Any) -> None:
    from kvorum.cli import forms
    from kvorum.client import DeleteResult, PutResult, RangeResult

    click.echo("SUCCESS" if done.succeeded else "FAILURE")
    for response in done.responses:
        click.echo()
        match response:
            case RangeResult():
                forms.write_range(response)
            case PutResult():
                click.echo("OK")
            case DeleteResult():
                click.echo(response.deleted)

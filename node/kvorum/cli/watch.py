"""``kvorum watch``."""

from __future__ import annotations

from typing import Any

import click

from kvorum.cli.options import Line, connected, key_bytes, verb
from kvorum.cli.output import InvalidInput, say


@verb("watch")
@click.argument("key")
@click.argument("range_end", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY; '' takes all.")
@click.option("--from-key", is_flag=True, help="Every key from KEY on.")
@click.option("--rev", type=click.IntRange(0), default=0, help="From this revision on.")
@click.option("--prev-kv", is_flag=True, help="Show what the key was before.")
@click.option("--progress-notify", is_flag=True, help="Say how far the server is.")
@click.option(
    "--filter",
    "filters",
    type=click.Choice(["noput", "nodelete"]),
    multiple=True,
    help="Leave out writes, or deletions.",
)
@click.option("--limit", type=click.IntRange(1), help="End after this many events.")
@connected(endless=True)
async def watch(line: Line, key: str, range_end: str | None, **flags: Any) -> None:
    """Print changes of KEY, or of the keys from KEY up to RANGE_END, as they come, until Ctrl-C.

    With -w json, one JSON document a line for what the server sent together.
    """
    from kvorum.cli import forms
    from kvorum.client import ClientError, WatchBatch

    prefix, from_key = flags["prefix"], flags["from_key"]
    if (range_end is not None) + prefix + from_key > 1:
        raise InvalidInput("RANGE_END, --prefix and --from-key exclude one another")
    start = b"" if (prefix or from_key) and not key else key_bytes(key)
    end = None if range_end is None else range_end.encode(errors="surrogateescape")
    left = flags["limit"]
    watching = line.client.watch(
        start,
        end,
        prefix=prefix,
        from_key=from_key,
        start_revision=flags["rev"],
        prev_kv=flags["prev_kv"],
        no_put="noput" in flags["filters"],
        no_delete="nodelete" in flags["filters"],
        progress=flags["progress_notify"],
    )

    def write(batch: WatchBatch) -> None:
        if line.form == "json":
            forms.write_json(forms.events_json(batch.header, batch.events))
        elif not batch.events:
            say(f"progress: revision {batch.revision}")
        else:
            for event in batch.events:
                _write(line, event)

    try:
        async with watching:
            say(f"watching from revision {watching.statistics().next_revision}")
            async for batch in watching.batches():
                if left is not None and len(batch.events) >= left:
                    write(WatchBatch(batch.header, batch.events[:left], batch.revision))
                    return
                left = None if left is None else left - len(batch.events)
                write(batch)
    except ClientError as error:
        say(f"the watch ended: {error.message}")
        raise


def _write(line: Line, event: Any) -> None:
    from kvorum.cli import forms

    if line.form == "table":
        before = "" if event.prev_kv is None else f"  was {forms.shown(event.prev_kv.value)}"
        value = "" if event.type == "DELETE" else f"  {forms.shown(event.value)}"
        click.echo(
            f"{event.revision:>10}  {event.type:<6}  {forms.shown(event.key)}{value}{before}"
        )
        return
    forms.write_bytes(event.type.encode())
    if event.prev_kv is not None:
        forms.write_bytes(event.prev_kv.key, event.prev_kv.value)
    forms.write_bytes(event.key, event.value)

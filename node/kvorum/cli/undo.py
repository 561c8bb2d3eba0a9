"""``kvorum undelete``, ``restore-prefix`` and ``diff``: the past brought back, and compared."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kvorum.cli.options import Line, connected, key_bytes, verb
from kvorum.cli.output import Failed, Gone, InvalidInput, say
from kvorum.cli.past import changes
from kvorum.cli.progress import Progress

if TYPE_CHECKING:
    from kvorum.client import Client
    from kvorum.client.plan import Step
    from kvorum.client.types import KeyValue

_VALUE_SHOWN = 60
_AT_ONCE = 16  # Values asked for beside one another: each is a question at a revision of its own.

_WHYS = {
    "changed": "somebody wrote it meanwhile",
    "lease gone": "its lease is gone",
    "held back": "it goes with another key that was left alone",
}

_YES = click.option("--yes", is_flag=True, help="Do it; without, it is only shown.")


# --- undelete ---------------------------------------------------------------------------------


@verb("undelete")
@click.argument("key")
@click.option("--prefix", is_flag=True, help="Every deleted key that begins with KEY.")
@click.option("--since-rev", type=click.IntRange(0), default=0, help="Only deleted from here on.")
@_YES
@connected()
async def undelete(line: Line, key: str, prefix: bool, since_rev: int, yes: bool) -> None:
    """Bring a deleted KEY back with its last value.

    A key that exists is left alone, and so is one that somebody writes meanwhile. What comes back
    hangs on no lease. Deletions before the last compaction cannot be undone: their values are gone.
    """
    start = b"" if prefix and not key else key_bytes(key)
    steps = _undeleting(line, start, prefix, since_rev)
    if not await run_steps(line, steps, yes) and not prefix:
        if (await line.client.get(start)).kv is not None:
            raise Failed(f"{key} is not deleted")
        raise Gone(f"no deletion of {key} is known: it never was, or it is compacted away")


async def _undeleting(
    line: Line, start: bytes, prefix: bool, since_rev: int
) -> AsyncGenerator[Step, None]:
    from kvorum.client.plan import Step
    from kvorum.client.types import key_range
    from kvorum.history.pages import Question

    begin, end = key_range(start, prefix=prefix)
    deleted: dict[bytes, int] = {}
    async with aclosing(changes(line, Question(begin, end), 0)) as rows:
        async for row in rows:
            if row.type == 0:
                deleted.pop(row.key, None)
            elif row.revision >= since_rev:
                deleted[row.key] = row.revision
    keys = sorted(deleted)
    for at in range(0, len(keys), _AT_ONCE):
        found = await asyncio.gather(
            *(_before(line.client, key, deleted[key]) for key in keys[at : at + _AT_ONCE])
        )
        for key, kv in zip(keys[at : at + _AT_ONCE], found, strict=True):
            if kv is None:
                say(f"{shown_key(key)}: its value before revision {deleted[key]} is compacted")
            else:
                yield Step(key, None, kv.value)


async def _before(client: Client, key: bytes, revision: int) -> KeyValue | None:
    """A key as it was just before its deletion at ``revision``; None when that is compacted."""
    from kvorum.client.errors import CompactedError

    try:
        return (await client.get(key, revision=revision - 1)).kv
    except CompactedError:
        return None


# --- restore-prefix ---------------------------------------------------------------------------


@verb("restore-prefix")
@click.argument("prefix")
@click.option("--revision", type=click.IntRange(1), required=True, help="Make it as it was then.")
@_YES
@connected()
async def restore_prefix(line: Line, prefix: str, revision: int, yes: bool) -> None:
    """Make every key that begins with PREFIX as it was at a revision ('': all keys).

    Keys that were made since go, those that went come back, changed ones get their old value; those
    that hang on a lease keep it. It is done in several transactions; a key that somebody writes
    meanwhile is left alone and named. When it is broken off, the same command goes on.
    """
    from kvorum.client.plan import restoring
    from kvorum.client.types import key_range

    start, end = key_range(prefix.encode(errors="surrogateescape"), prefix=True)
    await run_steps(line, restoring(line.client, start, end, revision), yes)


async def run_steps(line: Line, steps: AsyncGenerator[Step, None], yes: bool) -> int:
    """Show a plan, or do it; how many steps it has."""
    from kvorum.client.plan import carry_out

    if not yes:
        count = 0
        async with aclosing(steps):
            async for step in steps:
                count += 1
                _show(line, step)
        if count:
            say(f"{count} keys would change; --yes does it")
        else:
            say("nothing to do")
        return count
    progress = Progress("keys written")
    try:
        outcome = await carry_out(
            line.client, steps, lambda done: progress.add(done - progress.count)
        )
    except BaseException:
        progress.end()
        say(f"broken off after {progress.count} keys; the same command goes on")
        raise
    progress.end()
    for conflict in outcome.conflicts:
        say(f"left alone, {_WHYS[conflict.why]}: {shown_key(conflict.step.key)}")
    say(f"{outcome.done} keys written" + (f", revision {outcome.revision}" if outcome.done else ""))
    if outcome.conflicts:
        raise Failed(f"{len(outcome.conflicts)} keys are not as they should be")
    return outcome.done


def _show(line: Line, step: Step) -> None:
    _write(line, step.key, None if step.before is None else step.before.value, step.value)


# --- diff -------------------------------------------------------------------------------------


class _Side(NamedTuple):
    """What is compared: a prefix of a cluster at a revision (0: now)."""

    endpoints: str
    prefix: str
    revision: int


@verb("diff")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--exit-code", is_flag=True, help="Leave with 1 when they differ.")
@connected()
async def diff(line: Line, one: str, other: str, exit_code: bool) -> None:
    """Compare two prefixes, revisions or clusters, key by key.

    \b
    A and B are [ENDPOINTS#]PREFIX[@REVISION], for instance
      kvorum diff /app/@1200 /app/
      kvorum diff http://10.0.0.1:2379#/app/ http://10.0.1.1:2379#/app/
    Without ENDPOINTS it is the cluster of --endpoints. Keys are compared
    without their prefix. + is only in B, - only in A, ~ has another value.
    """
    from kvorum.client.plan import merged

    sides = _side(one), _side(other)
    count = 0
    async with AsyncExitStack() as stack:
        scans = [await _scan(line, side, stack) for side in sides]
        async for was, now in merged(*scans):
            if was is not None and now is not None and was.value == now.value:
                continue
            count += 1
            key = was.key if was is not None else now.key if now is not None else b""
            _write(line, key, was and was.value, now and now.value)
    say(f"{count} keys differ" if count else "no difference")
    if count and exit_code:
        raise click.exceptions.Exit(1)


def _side(text: str) -> _Side:
    endpoints, sharp, rest = text.rpartition("#")
    match = re.fullmatch(r"(.*?)(?:@(\d+))?", rest, re.DOTALL)
    assert match is not None, "it matches everything"
    if sharp and not endpoints:
        raise InvalidInput(f"{text!r}: there are no endpoints in front of the #")
    return _Side(endpoints, match[1], int(match[2] or 0))


async def _scan(line: Line, side: _Side, stack: AsyncExitStack) -> AsyncIterator[KeyValue]:
    """The keys of a side in order, without their prefix."""
    from kvorum.client.types import key_range

    client = line.client
    if side.endpoints:
        client = await stack.enter_async_context(line.elsewhere(side.endpoints))
    prefix = side.prefix.encode(errors="surrogateescape")
    start, end = key_range(prefix, prefix=True)

    async def keys() -> AsyncGenerator[KeyValue, None]:
        async for kv in client.scan(start, end, revision=side.revision):
            yield kv._replace(key=kv.key[len(prefix) :])

    return await stack.enter_async_context(aclosing(keys()))


# --- what both show ---------------------------------------------------------------------------


def _write(line: Line, key: bytes, before: bytes | None, after: bytes | None) -> None:
    """One key that is, or would be, different."""
    from kvorum.cli.forms import write_json

    if line.form == "json":
        write_json(_document(key, before, after))
    elif before is None:
        click.echo(f"+ {shown_key(key)}  {shown_key(after or b'')}")
    elif after is None:
        click.echo(f"- {shown_key(key)}  {shown_key(before)}")
    else:
        click.echo(f"~ {shown_key(key)}  {shown_key(before)} → {shown_key(after)}")


def _document(key: bytes, before: bytes | None, after: bytes | None) -> dict[str, Any]:
    document = {"key": base64.b64encode(key).decode()}
    for name, value in (("before", before), ("after", after)):
        if value is not None:
            document[name] = base64.b64encode(value).decode()
    return document


def shown_key(data: bytes) -> str:
    """Bytes as printable text, cut when they are long."""
    from kvorum.cli.forms import shown

    text = shown(data)
    return text if len(text) <= _VALUE_SHOWN else f"{text[:_VALUE_SHOWN]}… ({len(data)} bytes)"

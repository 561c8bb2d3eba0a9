"""``kvorum load`` and ``kvorum dump``."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from kvorum.cli.options import Line, connected, verb
from kvorum.cli.output import Failed, InvalidInput, say
from kvorum.cli.progress import Progress
from kvorum.limits import LOAD_CHUNK_BYTES, LOAD_CHUNK_OPS

if TYPE_CHECKING:
    from kvorum.client.jsonlines import Head


@verb("load")
@click.argument("file", required=False, default="-")
@click.option("--from-line", type=click.IntRange(1), default=1, help="Begin at this line of FILE.")
@click.option("--to-prefix", default="", help="Put this in front of every key.")
@click.option("--check", is_flag=True, help="Read FILE and say what is wrong; write nothing.")
@connected()
async def load(line: Line, file: str, from_line: int, to_prefix: str, check: bool) -> None:
    """Write the keys of FILE (JSON Lines; -: standard input).

    Keys go in transactions of up to 100. When the command is interrupted or fails it says at which
    line to go on; a transaction whose outcome is not known is named, and going on repeats it.
    """
    from kvorum.client import Put, Txn
    from kvorum.client.jsonlines import Head, LineError, read_line

    prefix = to_prefix.encode(errors="surrogateescape")
    progress = Progress("keys written" if not check else "keys read")
    chunk: list[Put] = []
    keys: set[bytes] = set()
    weight, begun = 0, from_line

    async def flush() -> None:
        nonlocal weight
        if chunk and not check:
            await line.client.commit(Txn(then=tuple(chunk)))
        progress.add(len(chunk))
        chunk.clear()
        keys.clear()
        weight = 0

    number = from_line - 1
    try:
        with _reading(file) as source:
            for number, raw in enumerate(source, start=1):
                if number < from_line:
                    continue
                try:
                    found = read_line(raw)
                except LineError as error:
                    raise InvalidInput(f"line {number}: {error}") from None
                if found is None or isinstance(found, Head):
                    continue
                key, value = prefix + found[0], found[1]
                size = len(key) + len(value)
                full = len(chunk) >= LOAD_CHUNK_OPS or weight + size > LOAD_CHUNK_BYTES
                if full or key in keys:
                    await flush()
                    begun = number
                if not chunk:
                    begun = number
                chunk.append(Put(key, value))
                keys.add(key)
                weight += size
            await flush()
    except BaseException:
        progress.end()
        if not check:
            say(f"stopped; go on with --from-line {begun}")
        raise
    progress.end()
    say(f"{progress.count} keys {'can be loaded' if check else 'written'}")


@contextmanager
def _reading(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115  (closed by the with below)
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from None
    with source:
        yield source


@verb("dump")
@click.argument("prefix", required=False, default="")
@click.option("--rev", type=click.IntRange(0), default=0, help="As it was at this revision.")
@click.option("-o", "--output", "output", default="-", help="File to write (-: standard output).")
@click.option("--resume", is_flag=True, help="Go on with a dump in --output that was broken off.")
@click.option("--force", is_flag=True, help="Write over --output if it exists.")
@connected()
async def dump(line: Line, prefix: str, rev: int, output: str, resume: bool, force: bool) -> None:
    """Write the keys that begin with PREFIX (none: all) as JSON Lines, all as of one revision.

    A dump to a file that is broken off can be gone on with: --resume reads the revision and the
    last whole line from the file.
    """
    from kvorum.client import key_range
    from kvorum.client.jsonlines import Head, head_line, key_line

    start, end = key_range(prefix.encode(errors="surrogateescape"), prefix=True)
    key = start
    if resume:
        if output == "-":
            raise InvalidInput("--resume needs --output with the dump to go on with")
        head, key = _left_off(Path(output))
        if (head.start, head.end) != (start, end):
            raise InvalidInput(f"{output} is a dump of another prefix")
        rev = head.revision
    elif rev == 0:
        # Pin the revision before the first line is written, so that the head can name it.
        found = await line.client.range(start, end, limit=1, keys_only=True)
        rev = found.header.revision
    progress = Progress("keys written")
    try:
        with _writing(output, resume=resume, force=force) as target:
            if not resume:
                target.write(head_line(Head(rev, start, end)) + "\n")
            async for page in line.client.pages(key, end, revision=rev):
                target.writelines(key_line(kv) + "\n" for kv in page.kvs)
                target.flush()
                progress.add(len(page.kvs))
    except BaseException:
        progress.end()
        if output != "-":
            say(f"broken off; go on with --resume --output {output}")
        raise
    progress.end()
    say(f"{progress.count} keys written, as of revision {rev}")


def _left_off(file: Path) -> tuple[Head, bytes]:
    """The head of a dump and the key to go on from. A torn last line is cut off."""
    from kvorum.client.jsonlines import Head, LineError, read_line

    try:
        with file.open("r+b") as source:
            first = source.readline()
            head = read_line(first)
            if not isinstance(head, Head) or not first.endswith(b"\n"):
                raise InvalidInput(f"{file} is no dump: its first line does not say so")
            whole, last = source.tell(), b""
            for raw in source:
                if not raw.endswith(b"\n"):
                    break
                whole, last = whole + len(raw), raw
            source.truncate(whole)
    except OSError as error:
        raise InvalidInput(f"cannot go on with {file}: {error.strerror}") from None
    except LineError as error:
        raise InvalidInput(f"{file} is no dump: {error}") from None
    if not last:
        return head, head.start
    try:
        found = read_line(last)
    except LineError as error:
        raise Failed(f"the last line of {file} is damaged: {error}") from None
    if not isinstance(found, tuple):
        raise Failed(f"the last line of {file} is damaged: no key")
    return head, found[0] + b"\0"


@contextmanager
def _writing(output: str, *, resume: bool, force: bool) -> Iterator[IO[str]]:
    if output == "-":
        # JSON Lines are UTF-8 whatever the locale; what is ours is flushed, and stdout stays open.
        target = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="\n")
        try:
            yield target
        finally:
            target.detach()
        return
    mode = "a" if resume else ("w" if force else "x")
    try:
        file = Path(output).open(mode, encoding="utf-8", newline="\n")  # noqa: SIM115  (closed below)
    except FileExistsError:
        raise InvalidInput(f"{output} exists; use --force or --resume") from None
    except OSError as error:
        raise InvalidInput(f"cannot write {output}: {error.strerror}") from None
    with file:
        yield file

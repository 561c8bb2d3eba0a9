"""Questions about the past, to whichever cluster it is: a kvorum member answers itself, the history
of a real etcd is read into a mirror first, which is removed again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvorum.cli.options import Line
from kvorum.cli.output import InvalidInput, say
from kvorum.cli.progress import Progress

if TYPE_CHECKING:
    from kvorum.client.history_mirror import HistoryMirror, Loaded
    from kvorum.history.pages import Question
    from kvorum.history.rows import Row


class Answer(NamedTuple):
    """Rows of an answer; bytes are bytes. ``columns`` are (name, DuckDB's type)."""

    columns: tuple[tuple[str, str], ...]
    rows: list[list[Any]]
    truncated: bool


async def answer(
    line: Line, sql: str, max_rows: int, timeout_s: float | None, revision: int = 0
) -> Answer:
    """Ask; 0 and None are the bounds of whoever answers. ``revision``: what the view ``keys``
    shows, 0 for now. Raises ClientError, InvalidInput.
    """
    from kvorum.client.errors import Unsupported

    try:
        return await _of_member(line, sql, max_rows, timeout_s, revision)
    except Unsupported:
        async with mirrored(line) as mirror:
            return await _of_mirror(line, mirror, sql, max_rows, timeout_s, revision)


async def changes(line: Line, question: Question, limit: int) -> AsyncGenerator[Row, None]:
    """Every known change of a key or range, oldest first; at most ``limit`` unless it is 0."""
    from kvorum.client.errors import Unsupported

    left = limit or -1
    async with AsyncExitStack() as stack:
        rows = await stack.enter_async_context(aclosing(_changes_of_member(line, question, limit)))
        try:
            row = await anext(rows, None)
        except Unsupported:
            mirror = await stack.enter_async_context(mirrored(line))
            rows = await stack.enter_async_context(aclosing(mirror.history(question)))
            row = await anext(rows, None)
        while row is not None:
            yield row
            left -= 1
            row = await anext(rows, None) if left else None


async def _changes_of_member(
    line: Line, question: Question, limit: int
) -> AsyncGenerator[Row, None]:
    from kvorum.history.rows import Row

    inspect = line.client.member(line.client.endpoints[0]).inspect
    told = False
    async for batch in inspect.history(
        question.key,
        question.range_end or None,
        from_revision=question.from_revision,
        to_revision=question.to_revision,
        limit=limit,
    ):
        if batch.compact_revision > 0 and not told:
            told = True
            say_compacted(batch.compact_revision)
        for found in batch.revisions:
            yield Row(
                found.revision,
                found.sub,
                found.type,
                found.key,
                found.value,
                found.create_revision,
                found.version,
                found.lease,
                0,
                found.at_ms,
                found.member,
                found.user,
            )


def say_compacted(revision: int) -> None:
    """Of what was before a compaction only the newest versions are left."""
    say(f"compacted at {revision}: of what was before, only what was left is known")


async def _of_member(
    line: Line, sql: str, max_rows: int, timeout_s: float | None, revision: int
) -> Answer:
    inspect = line.client.member(line.client.endpoints[0]).inspect
    columns: list[tuple[str, str]] = []
    rows: list[list[Any]] = []
    truncated = False
    millis = 0 if timeout_s is None else max(1, int(timeout_s * 1000))
    async for batch in inspect.query(sql, max_rows=max_rows, timeout_ms=millis, revision=revision):
        columns += [(column.name, column.type) for column in batch.columns]
        rows += [json.loads(row, object_hook=_bytes_back) for row in batch.rows_json]
        truncated = batch.truncated
    return Answer(tuple(columns), rows, truncated)


async def _of_mirror(
    line: Line,
    mirror: HistoryMirror,
    sql: str,
    max_rows: int,
    timeout_s: float | None,
    revision: int,
) -> Answer:
    from kvorum.client.mirror_query import ask_mirror
    from kvorum.history.query import QueryRefused

    columns: tuple[tuple[str, str], ...] = ()
    rows: list[list[Any]] = []
    truncated = False
    parts = ask_mirror(
        mirror,
        line.client,
        sql,
        max_rows=max_rows,
        timeout_s=timeout_s or 0,
        revision=revision,
    )
    try:
        async for part in parts:
            columns = tuple((column.name, column.type) for column in part.columns)
            rows += [json.loads(row, object_hook=_bytes_back) for row in part.rows_json]
            truncated = part.truncated
    except QueryRefused as error:
        raise InvalidInput(str(error)) from error
    return Answer(columns, rows, truncated)


@asynccontextmanager
async def mirrored(line: Line) -> AsyncIterator[HistoryMirror]:
    """The cluster's whole kept history in a temporary file, loaded; with progress."""
    from kvorum.client.history_mirror import HistoryMirror

    progress = Progress("changes read from the cluster")

    def told(loaded: Loaded) -> None:
        progress.add(loaded.rows - progress.count)

    directory = Path(tempfile.mkdtemp(prefix="kvorum-past-"))
    try:
        async with HistoryMirror(line.client, directory / "past.duckdb", told=told) as mirror:
            loaded = await mirror.load()
            progress.end()
            if loaded.oldest:
                say(
                    f"compacted at revision {loaded.oldest}: of what was before, only what was left"
                )
            yield mirror
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _bytes_back(value: dict[str, Any]) -> Any:
    encoded = value.get("bytes")
    if len(value) == 1 and isinstance(encoded, str):
        return base64.b64decode(encoded)
    return value

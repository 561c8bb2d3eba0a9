"""Figures of the past, by our own SQL over the table ``history``: nodes and mirror answer alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from kvorum.client import key_range

from kvorum_tui.live.errors import translated as of_client
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import Bounds, Bucket, Gone, HeatCell

ALL = b"\0"
PAGE = 2_000  # Rows of one answer to a question of ours.
MIRROR_PROBLEMS = "the mirror of the past"


class PastFigures:
    """What needs no more than rows of an answer."""

    @abstractmethod
    async def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of an answer; the subclass's."""

    @abstractmethod
    async def bounds(self) -> Bounds:
        """How far back one can look; the subclass's."""

    async def deleted(self, prefix: bytes, since: int = 0) -> AsyncIterator[tuple[Gone, ...]]:
        """Keys that are gone."""
        start, end = key_range(prefix, prefix=True)
        oldest = (await self.bounds()).oldest
        after = b""
        while True:
            rows = await self._answer(
                "SELECT key, max(revision) AS gone, max(revision) FILTER (type = 0), "
                'arg_max(epoch_ms("at"), revision), arg_max(member, revision), '
                "arg_max(user_name, revision) FROM history "
                f"WHERE {within(start, end)} AND key > {blob(after)} GROUP BY key "
                f"HAVING arg_max(type, revision) = 1 AND gone >= {since:d} "
                f"ORDER BY key LIMIT {PAGE:d}"
            )
            if rows:
                yield tuple(
                    Gone(key, gone, last or 0 if gone > oldest else 0, max(0, at), member, user)
                    for key, gone, last, at, member, user in rows
                )
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def clock_of(self, revision: int) -> int:
        """When a revision was written."""
        rows = await self._answer(
            f'SELECT max(epoch_ms("at")) FROM history WHERE revision = {revision:d}'
        )
        return max(0, rows[0][0] or 0)

    async def revision_at(self, at_ms: int) -> int:
        """What was the newest revision then."""
        rows = await self._answer(
            f'SELECT max(revision) FROM history WHERE epoch_ms("at") BETWEEN 1 AND {at_ms:d}'
        )
        return rows[0][0] or 0

    async def density(
        self, prefix: bytes, first: int, last: int, buckets: int
    ) -> tuple[Bucket, ...]:
        """How much was written when."""
        start, end = key_range(prefix, prefix=True)
        width = max(1, -(-(last - first + 1) // max(1, buckets)))
        rows = await self._answer(
            f"SELECT (revision - {first:d}) // {width:d} AS bucket, "
            "count(*) FILTER (type = 0), count(*) FILTER (type = 1), "
            'sum(octet_length(key) + octet_length(value))::BIGINT, max(epoch_ms("at")) '
            f"FROM history WHERE {within(start, end)} "
            f"AND revision BETWEEN {first:d} AND {last:d} GROUP BY bucket"
        )
        found = {row[0]: row[1:] for row in rows}
        out = []
        for number, begin in enumerate(range(first, last + 1, width)):
            puts, deletes, size, at_ms = found.get(number, (0, 0, 0, 0))
            stretch = begin, min(last, begin + width - 1)
            out.append(Bucket(*stretch, puts, deletes, size, max(0, at_ms)))
        return tuple(out)

    async def heat(
        self, prefix: bytes, separator: bytes, first: int, last: int, columns: int, rows: int = 60
    ) -> tuple[HeatCell, ...]:
        """What was written where and when."""
        start, end = key_range(prefix, prefix=True)
        width = max(1, -(-(last - first + 1) // max(1, columns)))
        # Keys that are no text are grouped by DuckDB's spelling of them; an example of each group
        # tells its bytes.
        at = len(prefix.decode("utf-8", "replace")) + 1
        mark = separator.decode("utf-8", "replace").replace("'", "''")
        found = await self._answer(
            "WITH parts AS (SELECT key, (revision - "
            f"{first:d}) // {width:d} AS bucket, octet_length(key) + octet_length(value) AS size, "
            f"coalesce(try(decode(key)), key::VARCHAR) AS t, instr(substr(t, {at:d}), '{mark}') "
            f"AS cut, CASE WHEN cut > 0 THEN substr(t, 1, {at - 1:d} + cut) ELSE t END AS part "
            f"FROM history WHERE {within(start, end)} "
            f"AND revision BETWEEN {first:d} AND {last:d}), "
            "busy AS (SELECT part FROM parts GROUP BY part "
            f"ORDER BY count(*) DESC, part LIMIT {rows:d}) "
            "SELECT any_value(parts.key), busy.part IS NULL AS rest, bucket, "
            "count(*), sum(size)::BIGINT FROM parts LEFT JOIN busy USING (part) "
            "GROUP BY busy.part, bucket"
        )
        return tuple(
            HeatCell(b"" if rest else _part(key, prefix, separator), bucket, writes, size)
            for key, rest, bucket, writes, size in found
        )

    async def _answer(self, sql: str) -> list[tuple[Any, ...]]:
        with translated():
            return await self._ask(sql)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the client, the mirror and its file as the terminal shows them."""
    try:
        with of_client():
            yield
    except SessionError:
        raise
    except OSError as error:
        raise SessionError(str(error), rpc=MIRROR_PROBLEMS) from error
    except Exception as error:
        # DuckDB is loaded where there is a mirror only, so that its errors have no name here.
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb", "kvorum"):
            raise
        raise SessionError(str(error), rpc=MIRROR_PROBLEMS) from error


def blob(data: bytes) -> str:
    """Bytes as DuckDB's SQL says them."""
    return f"unhex('{data.hex()}')"


def within(start: bytes, end: bytes) -> str:
    """A range of keys, after etcd's rules, as a condition."""
    where = f"key >= {blob(start)}" if start != ALL else "true"
    return where if end == ALL else f"{where} AND key < {blob(end)}"


def _part(key: bytes, prefix: bytes, separator: bytes) -> bytes:
    """The key up to the first separator behind the prefix; whole where there is none."""
    at = key.find(separator, len(prefix))
    return key if at < 0 else key[: at + len(separator)]


def alive(start: bytes, end: bytes, revision: int) -> str:
    """The keys of a range that there were at a revision, with the revisions of their values."""
    return (
        "SELECT key, max(revision) AS newest FROM history "
        f"WHERE revision <= {revision:d} AND {within(start, end)} "
        "GROUP BY key HAVING arg_max(type, revision) = 0"
    )

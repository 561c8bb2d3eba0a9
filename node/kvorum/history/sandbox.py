"""The process in which people's SQL runs: ``python -m kvorum.history.sandbox FILE``.

A SQL engine cannot promise bounds from within. Measured on DuckDB 2.0.0 with a memory limit of
512 MB: ``len(range(1000000000))`` took 20 GB and heeded an interrupt after a minute. So the engine
gets a process of its own, a private copy of the history opened read-only, and the system's bounds
on memory and processor time; whoever asked kills it when the time is up.

One JSON request comes on standard input (:class:`Request`); JSON lines go out: ``{"columns":
[[name, type], ...]}``, then a row (a JSON array) a line, then ``{"end": truncated}``; or
``{"error": text}``, whenever it happens. Bytes are written ``{"bytes": base64}``.

Beside the views of the file there are those of ``query_views.sql``: the keys at the revision that
the request looks at, leases and members as the request tells them, writes by prefix.
"""

from __future__ import annotations

import base64
import json
import math
import re
import resource
import sys
from collections.abc import Sequence
from datetime import date, datetime, time
from importlib.resources import files
from typing import NamedTuple, TextIO

import duckdb

_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_FETCH_ROWS = 64
_NEWEST = 2**63 - 1
_MEMBER_TYPES = ("UBIGINT", "VARCHAR", "VARCHAR[]", "VARCHAR[]", "BOOLEAN")
_ZONE_HINT = "a TIMESTAMP WITH TIME ZONE cannot be shown; cast it, as in now()::TIMESTAMP"
_AT_HINT = 'note: "at" is a word of the grammar; write e.at, "at", or time'


class Request(NamedTuple):
    """What to run and within which bounds."""

    sql: str
    max_rows: int
    max_bytes: int
    memory_mb: int
    address_space_mb: int
    cpu_s: int
    revision: int = 0  # what the view "keys" shows; 0: now
    leases: Sequence[Sequence[object]] = ()  # id, granted seconds, remaining seconds or None
    members: Sequence[Sequence[object]] = ()  # id, name, client URLs, peer URLs, is learner


class Refused(Exception):
    """The statement is not one that may run here."""


def main(arguments: list[str]) -> int:
    """Run the request on standard input against the file named."""
    request = Request(**json.loads(sys.stdin.read()))
    megabytes = request.address_space_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (megabytes, megabytes))
    resource.setrlimit(resource.RLIMIT_CPU, (request.cpu_s, request.cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _run(arguments[0], request, sys.stdout)
    except (duckdb.OutOfMemoryException, MemoryError):
        _say(sys.stdout, {"error": f"the query needs more than {request.memory_mb} MB of memory"})
    except (Refused, duckdb.Error) as error:
        _say(sys.stdout, {"error": _explain(error, request.sql)})
    return 0


def _run(path: str, request: Request, out: TextIO) -> None:
    connection = duckdb.connect(
        path,
        read_only=True,
        config={
            "threads": "1",
            "memory_limit": f"{request.memory_mb}MB",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
        },
    )
    _add_views(connection, request)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    connection.execute(_only_statement(connection, request.sql))
    columns = [[name, str(kind)] for name, kind, *_ in connection.description or []]
    _say(out, {"columns": columns})
    _say(out, {"end": _write_rows(connection, request, out)})


def _add_views(connection: duckdb.DuckDBPyConnection, request: Request) -> None:
    """What is not in the file. The SQL of people runs after it, and cannot change it."""
    views = files("kvorum.history").joinpath("query_views.sql").read_text("utf-8")
    connection.execute(views)
    revision = request.revision or _NEWEST
    connection.execute(f"CREATE TEMP VIEW keys AS SELECT * FROM keys_at({int(revision)})")
    for table, types, rows in (
        ("_leases", ("BIGINT", "BIGINT", "BIGINT"), request.leases),
        ("_members", _MEMBER_TYPES, request.members),
    ):
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            taken = ", ".join(f"unnest(${n}::{kind}[])" for n, kind in enumerate(types, 1))
            connection.execute(f"INSERT INTO {table} SELECT {taken}", columns)


def _only_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(f"one statement at a time, not {len(statements)}")
    kind = statements[0].type
    if kind not in _READING:
        name = str(kind).rpartition(".")[2].replace("_", " ")
        raise Refused(f"only statements that read may run here, not {name}")
    return statements[0]


def _write_rows(connection: duckdb.DuckDBPyConnection, request: Request, out: TextIO) -> bool:
    """Write rows until they end (False) or a bound is reached (True)."""
    rows = size = 0
    while found := connection.fetchmany(_FETCH_ROWS):
        for row in found:
            line = json.dumps([_plain(value) for value in row], ensure_ascii=False)
            size += len(line)
            if rows == request.max_rows or size > request.max_bytes:
                return True
            out.write(line + "\n")
            rows += 1
    return False


def _plain(value: object) -> object:
    """A value as JSON can say it."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return str(value)


def _explain(error: Exception, sql: str) -> str:
    """DuckDB's words, with a hint where they do not help."""
    text = str(error).strip()
    if isinstance(error, duckdb.ParserException) and re.search(r"\bat\b", sql, re.IGNORECASE):
        return f"{text}\n{_AT_HINT}"
    if "pytz" in text:
        return _ZONE_HINT
    return text


def _say(out: TextIO, message: object) -> None:
    out.write(json.dumps(message, ensure_ascii=False) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

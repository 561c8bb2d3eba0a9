"""Keys as files and back: JSON Lines (those of ``kvorum dump``, byte for byte), CSV; Parquet and a
script for etcdctl, which can only be written.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from kvorum.client.jsonlines import Head, LineError, head_line, key_line, read_entry
from kvorum.client.ops import Put, Txn
from kvorum.client.planning import Entry
from kvorum.client.txn_text import render
from kvorum.client.types import KeyValue
from kvorum.limits import LOAD_CHUNK_OPS

from kvorum_tui.model.decode import key_from_text

FORMATS = {
    ".jsonl": "JSON Lines, byte for byte, with revisions and leases",
    ".csv": "CSV; what is no text as base64",
    ".parquet": "Parquet; text where it is text, and the bytes",
    ".sh": "a shell script of etcdctl's transactions",
}
COLUMNS = (
    "key",
    "key_encoding",
    "value",
    "value_encoding",
    "create_revision",
    "mod_revision",
    "version",
    "lease",
)


def written(ending: str, records: Sequence[KeyValue], head: Head | None) -> Iterator[str]:
    """A file's text, piece by piece."""
    if ending == ".csv":
        yield _csv_row(COLUMNS)
        for kv in records:
            yield _csv_row((*_cell(kv.key), *_cell(kv.value), *map(str, kv[2:])))
        return
    if ending == ".sh":
        yield "#!/bin/sh\n# Written by kvorum. Leases are not in it.\nset -e\n"
        for at in range(0, len(records), LOAD_CHUNK_OPS):
            puts = tuple(Put(kv.key, kv.value) for kv in records[at : at + LOAD_CHUNK_OPS])
            yield f"etcdctl txn <<'END_OF_KEYS'\n{render(Txn((), puts))}\nEND_OF_KEYS\n"
        return
    if head is not None:
        yield head_line(head) + "\n"
    for kv in records:
        yield key_line(kv) + "\n"


# Named as the columns of the SQL view ``keys``.
PARQUET_COLUMNS = (
    ("key", "VARCHAR"),
    ("value", "VARCHAR"),
    ("version", "BIGINT"),
    ("create_revision", "BIGINT"),
    ("mod_revision", "BIGINT"),
    ("lease", "BIGINT"),
    ("key_bytes", "BLOB"),
    ("value_bytes", "BLOB"),
)


def parquet_rows(records: Iterable[KeyValue]) -> Iterator[tuple[object, ...]]:
    """The rows of a Parquet file; what is no UTF-8 has bytes only."""
    for kv in records:
        yield (
            _decoded(kv.key),
            _decoded(kv.value),
            kv.version,
            kv.create_revision,
            kv.mod_revision,
            kv.lease,
            kv.key,
            kv.value,
        )


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _csv_row(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _cell(data: bytes) -> tuple[str, str]:
    """Text as it is, everything that could suffer on its way as base64."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(c >= " " or c in "\n\t" for c in text):
        return text, "text"
    return base64.b64encode(data).decode(), "base64"


def read_file(data: bytes, ending: str) -> list[Entry]:
    """The keys of a file. Raises LineError with the line."""
    return list(_read_csv(data) if ending == ".csv" else _read_lines(data))


def _read_lines(data: bytes) -> Iterator[Entry]:
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            found = read_entry(line)
        except LineError as error:
            raise LineError(f"line {number}: {error}") from None
        if isinstance(found, Entry):
            yield found


def _read_csv(data: bytes) -> Iterator[Entry]:
    try:
        rows = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
        if not {"key", "value"} <= set(rows.fieldnames or ()):
            raise LineError("line 1: a CSV file needs the columns key and value")
        for row in rows:
            try:
                key = _from_cell(row["key"], row.get("key_encoding"))
                value = _from_cell(row["value"], row.get("value_encoding"))
                lease = int(row.get("lease") or 0)
            except (ValueError, TypeError) as error:
                raise LineError(f"line {rows.line_num}: {error}") from None
            if not key:
                raise LineError(f"line {rows.line_num}: the key is empty")
            yield Entry(key, value, lease)
    except UnicodeDecodeError as error:
        raise LineError(f"this is no UTF-8 text: {error.reason}") from None
    except csv.Error as error:
        raise LineError(f"this is no CSV: {error}") from None


def _from_cell(cell: str | None, encoding: str | None) -> bytes:
    if cell is None:
        raise ValueError("the row is too short")
    if encoding in (None, "", "text"):
        return cell.encode()
    if encoding == "base64":
        return base64.b64decode(cell, validate=True)
    raise ValueError(f"{encoding!r} is no encoding: text or base64")


def typed(text: str) -> list[Entry]:
    """Keys as somebody types them, a line each: ``key = value``, or JSON Lines. Raises LineError
    with the line.
    """
    entries: list[Entry] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if line.lstrip().startswith("{"):
            try:
                found = read_entry(line.encode())
            except LineError as error:
                raise LineError(f"line {number}: {error}") from None
            if isinstance(found, Entry):
                entries.append(found)
            continue
        name, equals, value = line.partition("=")
        key = key_from_text(name.strip())
        if not equals or not key:
            raise LineError(f"line {number}: write key = value, or a JSON object")
        entries.append(Entry(key, value.strip().encode()))
    return entries

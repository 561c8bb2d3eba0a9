"""Results as JSON, tables and plain lines.

JSON has etcdctl's shape: its field names, base64 for keys and values, numbers for 64-bit ids,
fields that are zero left out. Tables are ours: bytes that are no printable text show as
``\\xHH``.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from kvorum.client import (
    DeleteResult,
    Event,
    Header,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
)

Json = dict[str, Any]


def write_json(document: Any) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(document, separators=(",", ":"), ensure_ascii=False))


def write_bytes(*parts: bytes) -> None:
    """Each part and a newline, byte for byte."""
    for part in parts:
        sys.stdout.buffer.write(part + b"\n")
    sys.stdout.buffer.flush()


def shown(data: bytes) -> str:
    """Bytes as printable text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in data)
    return "".join(
        c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode()) for c in text
    )


def write_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a line under its head. Columns of numbers are right-aligned."""
    for line in table_lines(head, rows):
        click.echo(line)


def table_lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The same as lines."""
    body = [list(row) for row in rows]
    right = [
        bool(body) and all(isinstance(row[at], int) and row[at] is not True for row in body)
        for at in range(len(head))
    ]
    texts = [[_cell(cell) for cell in row] for row in body]
    widths = [
        max(len(name), *(len(row[at]) for row in texts)) if texts else len(name)
        for at, name in enumerate(head)
    ]
    for row in [list(head), ["-" * width for width in widths], *texts]:
        cells = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return shown(value)
    return str(value)


def b64(data: bytes) -> str:
    """Base64 with padding."""
    return base64.b64encode(data).decode()


def _without_zeros(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value}


def header_json(header: Header) -> Json:
    """A reply's header."""
    return _without_zeros(header._asdict())


def kv_json(kv: KeyValue) -> Json:
    """One key."""
    return _without_zeros(
        {
            "key": b64(kv.key),
            "create_revision": kv.create_revision,
            "mod_revision": kv.mod_revision,
            "version": kv.version,
            "value": b64(kv.value),
            "lease": kv.lease,
        }
    )


def range_json(found: RangeResult) -> Json:
    """The answer to a get."""
    return {"header": header_json(found.header)} | _without_zeros(
        {"kvs": [kv_json(kv) for kv in found.kvs], "more": found.more, "count": found.count}
    )


def put_json(done: PutResult) -> Json:
    """The answer to a put."""
    prev = {} if done.prev_kv is None else {"prev_kv": kv_json(done.prev_kv)}
    return {"header": header_json(done.header)} | prev


def delete_json(done: DeleteResult) -> Json:
    """The answer to a delete."""
    return {"header": header_json(done.header)} | _without_zeros(
        {"deleted": done.deleted, "prev_kvs": [kv_json(kv) for kv in done.prev_kvs]}
    )


def txn_json(done: TxnResult) -> Json:
    """The answer to a transaction."""
    responses = []
    for response in done.responses:
        match response:
            case RangeResult():
                responses.append({"ResponseRange": range_json(response)})
            case PutResult():
                responses.append({"ResponsePut": put_json(response)})
            case DeleteResult():
                responses.append({"ResponseDeleteRange": delete_json(response)})
            case TxnResult():
                responses.append({"ResponseTxn": txn_json(response)})
    return {"header": header_json(done.header)} | _without_zeros(
        {"succeeded": done.succeeded, "responses": [{"Response": one} for one in responses]}
    )


def events_json(header: Header, events: Sequence[Event]) -> Json:
    """Events that came together, as one line of a watch."""
    return {
        "Header": header_json(header),
        "Events": [_event_json(event) for event in events],
        "CompactRevision": 0,
        "Canceled": False,
        "Created": False,
    }


def _event_json(event: Event) -> Json:
    kind: Json = {"type": 1} if event.type == "DELETE" else {}
    prev: Json = {} if event.prev_kv is None else {"prev_kv": kv_json(event.prev_kv)}
    return kind | {"kv": kv_json(event.kv)} | prev


KV_HEAD = ("KEY", "VALUE", "CREATED", "MODIFIED", "VERSION", "LEASE")


def kv_row(kv: KeyValue) -> tuple[object, ...]:
    """One key as a row under :data:`KV_HEAD`."""
    lease = f"{kv.lease & 0xFFFF_FFFF_FFFF_FFFF:x}" if kv.lease else ""
    return kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, lease


def write_range(found: RangeResult, *, values_only: bool = False) -> None:
    """Keys and values in the simple form: one line each."""
    for kv in found.kvs:
        if values_only:
            write_bytes(kv.value)
        else:
            write_bytes(kv.key, kv.value)


def lease_hex(id: int) -> str:
    """A lease's id as etcdctl writes it."""
    return f"{id & 0xFFFF_FFFF_FFFF_FFFF:016x}"

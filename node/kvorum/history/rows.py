"""Rows of the history as Python values, and their way into DuckDB as Arrow tables.

Row-wise inserts cost DuckDB about a millisecond each; a table of columns, 2 microseconds a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import arro3.core as arrow

PUT: Final = 0
DELETE: Final = 1


class Identity(NamedTuple):
    """Whose history a file holds. A mirror of a cluster has member 0."""

    cluster_id: int
    member_id: int


class Row(NamedTuple):
    """One change of one key; fields as in ``schema.sql``, ``at_ms`` in milliseconds since 1970."""

    revision: int
    sub: int
    type: int
    key: bytes
    value: bytes
    create_revision: int
    version: int
    lease: int
    prev_revision: int
    at_ms: int
    member: int
    user_name: str


class Record(NamedTuple):
    """A live key as it was; fields in the order of the machine's own Record."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class EventRow(NamedTuple):
    """A change for a watcher. ``prev`` is the record it replaced: None for a creation, when it was
    not asked for, and when compaction removed it.
    """

    revision: int
    sub: int
    type: int
    record: Record
    prev: Record | None


class Batch(NamedTuple):
    """Rows that reach ``applied_index``; both go into one transaction. No rows: only the index
    moved.

    A mirror has no applied index and leaves both of its numbers 0.
    """

    rows: Sequence[Row]
    applied_index: int
    applied_term: int
    revision: int


class Progress(NamedTuple):
    """How far a history goes: all entries up to ``applied_index``, all revisions up to
    ``revision``. ``compact_revision`` is agreed, ``swept_revision`` carried out (-1: never).
    """

    applied_index: int
    applied_term: int
    revision: int
    compact_revision: int
    swept_revision: int


_TYPE = arrow.DataType
_COLUMNS: Final = (
    ("revision", _TYPE.int64()),
    ("sub", _TYPE.int64()),
    ("type", _TYPE.uint8()),
    ("key", _TYPE.binary()),
    ("value", _TYPE.binary()),
    ("create_revision", _TYPE.int64()),
    ("version", _TYPE.int64()),
    ("lease", _TYPE.int64()),
    ("prev_revision", _TYPE.int64()),
    ("at_ms", _TYPE.int64()),
    ("member", _TYPE.uint64()),
    ("user_name", _TYPE.utf8()),
)

BATCH_NAME: Final = "incoming_rows"
INSERT_ROWS: Final = f"""
    INSERT INTO history
    SELECT * REPLACE (make_timestamp_ms(at_ms) AS at_ms) FROM {BATCH_NAME}
"""
"""Moves a registered Arrow table into the history; columns go by position."""

ROW_COLUMNS: Final = (
    "revision, sub, type, key, value, create_revision, version, lease, prev_revision, "
    'epoch_ms("at"), member, user_name'
)
"""What to select so that ``Row(*fetched)`` fits."""


def to_arrow(rows: Sequence[Row]) -> arrow.Table:
    """The rows as an Arrow table. Raises OverflowError or TypeError for values that do not fit."""
    columns = zip(*rows, strict=True)
    arrays = [
        arrow.Array(list(column), kind) for column, (_, kind) in zip(columns, _COLUMNS, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, names=[name for name, _ in _COLUMNS])

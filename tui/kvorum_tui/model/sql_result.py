"""The rows of an answer: held by column, sorted without holding anything up, compared with the
answer before.

A million rows are lists of values that came with them; sorting makes a list of places. Sorting
runs in a thread, but Python's sort lets no other thread go on: so it sorts stretches of some
thousand rows, and merges them.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len

from kvorum_tui.model.decode import printable, safe_text
from kvorum_tui.model.mask import MASK, hidden

WIDTH_MIN, WIDTH_MAX = 4, 60
# Rows whose widest cell makes a column's width: of the beginning of an answer, and of each batch.
LEARNT_FIRST, LEARNT_LATER = 400, 12
TEXT_MAX = 400  # Characters of a cell that are looked at to paint it.
SORT_STRETCH = 4_096
COMPARED_ROWS = 50_000  # Answers with more rows are not compared with the one before.

Row = tuple[Any, ...]


class Cell(NamedTuple):
    """A cell as one paints it. ``kind``: null, text, number, bytes, time, nested, yes/no, empty."""

    text: str
    kind: str


_INKS = {
    "null": "faint",
    "empty": "faint",
    "number": "json-number",
    "bytes": "accent",
    "time": "primary",
    "nested": "json-key",
    "yes/no": "json-word",
}
_RIGHT = frozenset({"number"})


def ink_of(kind: str) -> str:
    """The ink of a kind of cell."""
    return _INKS.get(kind, "text")


def is_right(kind: str) -> bool:
    """Whether it stands at the right."""
    return kind in _RIGHT


def cell_of(value: Any, type_: str = "") -> Cell:
    """A value as one line, at most some hundred characters of it."""
    if value is None:
        return Cell("NULL", "null")
    if isinstance(value, bool):
        return Cell("yes" if value else "no", "yes/no")
    if isinstance(value, (int, float)):
        return Cell(str(value), "number")
    if hidden():
        return Cell(MASK, "text")
    if isinstance(value, bytes):
        text = printable(value[:TEXT_MAX]) + ("…" if len(value) > TEXT_MAX else "")
        return Cell("b" + json.dumps(text, ensure_ascii=False).replace("\\\\", "\\"), "bytes")
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False, default=_nested)
        return Cell(safe_text(text[:TEXT_MAX]) + ("…" if len(text) > TEXT_MAX else ""), "nested")
    text = str(value)
    if not text:
        return Cell("''", "empty")
    kind = "text"
    if type_.startswith(("TIMESTAMP", "DATE", "TIME")):
        kind = "time"
        text = text.replace("T", " ", 1)
    elif type_.startswith(("DECIMAL", "HUGEINT", "DOUBLE", "FLOAT")):
        kind = "number"
    shown = text[:TEXT_MAX].replace("\n", "↵")
    return Cell(safe_text(shown) + ("…" if len(text) > TEXT_MAX else ""), kind)


def whole(value: Any) -> str:
    """All of a value as text, for the clipboard."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return printable(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=_nested)
    return str(value)


def _nested(value: Any) -> str:
    return printable(value) if isinstance(value, bytes) else str(value)


class SqlResult:
    """An answer that grows. Rows are numbered as they are shown; :attr:`order` maps to how they
    came.
    """

    def __init__(self) -> None:
        self.columns: tuple[tuple[str, str], ...] = ()
        self.values: list[list[Any]] = []
        self.widths: list[int] = []
        self.count = 0
        self.truncated = False
        self.complete = False
        self.order: list[int] | None = None
        self.sorted_by: tuple[int, bool] | None = None
        self.fresh: dict[int, frozenset[int]] = {}
        """Rows that differ from the answer before -> which columns; none: the whole row is new."""
        self.gone = 0

    # --- growing ----------------------------------------------------------------------------------

    def extend(
        self, columns: Sequence[tuple[str, str]], rows: Sequence[Row], truncated: bool = False
    ) -> None:
        """Rows came."""
        if not self.columns:
            self.columns = tuple(columns)
            self.values = [[] for _ in columns]
            self.widths = [
                min(WIDTH_MAX, max(WIDTH_MIN, cell_len(name) + 2)) for name, _ in columns
            ]
        for place, found in enumerate(zip(*rows, strict=True)):
            self.values[place].extend(found)
        learnt = LEARNT_FIRST if self.count < LEARNT_FIRST else LEARNT_LATER
        self._learn(rows[:: max(1, len(rows) // learnt)])
        self.count += len(rows)
        self.truncated = truncated
        if self.order is not None:
            self.unsort()  # What came later is not in the order.

    def _learn(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for place, value in enumerate(row):
                if self.widths[place] < WIDTH_MAX:
                    text = cell_of(value, self.columns[place][1]).text
                    width = min(WIDTH_MAX, cell_len(text))
                    if width > self.widths[place]:
                        self.widths[place] = width

    # --- reading ----------------------------------------------------------------------------------

    def origin(self, row: int) -> int:
        """Where a shown row came in the answer."""
        return row if self.order is None else self.order[row]

    def value(self, row: int, column: int) -> Any:
        """A value."""
        return self.values[column][self.origin(row)]

    def cell(self, row: int, column: int) -> Cell:
        """A value as it is painted."""
        return cell_of(self.value(row, column), self.columns[column][1])

    def row(self, row: int) -> Row:
        """A whole row."""
        origin = self.origin(row)
        return tuple(values[origin] for values in self.values)

    def rows(self) -> Iterator[Row]:
        """All rows as they are shown."""
        if not self.columns:
            return
        if self.order is None:
            yield from zip(*self.values, strict=True)
            return
        for origin in self.order:
            yield tuple(values[origin] for values in self.values)

    def column(self, *names: str) -> int | None:
        """The place of the first of these columns that there is."""
        own = [name.lower() for name, _ in self.columns]
        return next((own.index(name) for name in names if name in own), None)

    def copy_row(self, row: int) -> str:
        """A row as a line of tabs and text."""
        return "\t".join(whole(value) for value in self.row(row))

    # --- sorting ----------------------------------------------------------------------------------

    def order_by(self, column: int, descending: bool) -> list[int]:
        """The order of rows by a column, NULLs last; for a thread. Take it with :meth:`sort`."""
        values = self.values[column][: self.count]
        nulls = [place for place, value in enumerate(values) if value is None]
        keys = _comparable(values)
        stretches = [
            sorted(
                [
                    place
                    for place in range(start, min(start + SORT_STRETCH, len(values)))
                    if values[place] is not None
                ],
                key=keys.__getitem__,
                reverse=descending,
            )
            for start in range(0, len(values), SORT_STRETCH)
        ]
        return [*heapq.merge(*stretches, key=keys.__getitem__, reverse=descending), *nulls]

    def sort(self, column: int, descending: bool, order: list[int]) -> bool:
        """Show rows in this order; False when rows came meanwhile."""
        if len(order) != self.count:
            return False
        self.order, self.sorted_by = order, (column, descending)
        return True

    def unsort(self) -> None:
        """As they came."""
        self.order = self.sorted_by = None

    # --- against the answer before ----------------------------------------------------------------

    def compare(self, before: SqlResult) -> None:
        """Find what differs. Rows are the same when all their values are; of two that have the
        first value in common, alone in both answers, the columns that differ are told.
        """
        self.fresh, self.gone = {}, 0
        if before.columns != self.columns or max(self.count, before.count) > COMPARED_ROWS:
            return
        old = Counter(map(_hashable, before.rows()))
        by_first = _by_first(before)
        own_first = _by_first(self)
        for place, row in enumerate(zip(*self.values, strict=True)):
            known = _hashable(row)
            if old[known] > 0:
                old[known] -= 1
                continue
            first = _hashable(row[:1])
            was = by_first.get(first)
            changed: Iterable[int] = ()
            if was is not None and own_first.get(first) is not None:
                changed = (n for n, (a, b) in enumerate(zip(was, row, strict=True)) if a != b)
            self.fresh[place] = frozenset(changed)
        changed_rows = sum(1 for columns in self.fresh.values() if columns)
        self.gone = sum(old.values()) - changed_rows

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.fresh or self.gone)


def _comparable(values: list[Any]) -> list[Any]:
    """Values that can be compared with one another: as they are, where all are of one kind."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float, bool} or kinds in ({str}, {bytes}):
        return values
    return [value if isinstance(value, str) else whole(value) for value in values]


def _hashable(row: Row) -> Row:
    return tuple(
        json.dumps(value, default=_nested) if isinstance(value, (list, dict)) else value
        for value in row
    )


def _by_first(result: SqlResult) -> dict[Row, Row | None]:
    """Rows by their first value; None where several have it."""
    found: dict[Row, Row | None] = {}
    for row in result.rows():
        first = _hashable(row[:1])
        found[first] = None if first in found else row
    return found

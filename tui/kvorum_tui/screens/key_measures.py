"""Figures in the Keys tab: keys, bytes and writes a minute on each branch, order by any of them,
and the pass that reads values to learn their sizes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.key_index import Row
from kvorum_tui.screens.key_base import KeysView
from kvorum_tui.screens.key_view import Facts
from kvorum_tui.session.ranges import span_of
from kvorum_tui.widgets.dialogs import Confirm
from kvorum_tui.widgets.key_tree import Figures

BYTES_PER_S = 16 * 1024 * 1024  # A pass reads no faster: the cluster has other clients.
ASK_ABOVE = 50_000  # Keys above which it asks before it reads all their values.
AGAIN_S = 1.0  # What is sorted by a measure is put in order this often.
ORDERS = ("", "keys", "bytes", "writes")
ORDER_WORDS = {"": "by name", "keys": "most keys", "bytes": "most bytes", "writes": "most writes"}


class KeyMeasures(KeysView):
    """The measuring half of the Keys tab."""

    order: str
    _ranked_at: float

    def figures(self, row: Row) -> Figures:
        """What stands behind a branch."""
        gone = self.gone_keys.under(row.path) if self.gone else 0
        size = self.sizes.of(row.path) if not self.kv.at else None
        now = self.kv.clock()
        share = 0.0
        if self.order:
            measure = self._measure()
            above = measure(self.shown.parent_of(row.path, True))
            share = measure(row.path) / above if above else 0.0
        return Figures(
            row.keys - gone,
            gone,
            size.value_bytes + self.shown.key_bytes_below(row.path) if size else None,
            size is None or not size.writes,
            0 if self.kv.at else self.feed.rates.per_minute(row.path, now),
            self.marks.under(row.path) if len(self.marks) else 0,
            share,
        )

    def facts(self, path: bytes) -> Facts:
        """Everything that is known of a branch, for the right side."""
        size = self.sizes.of(path) if not self.kv.at else None
        now = self.kv.clock()
        return Facts(
            self.shown.count_below(path) - (self.gone_keys.under(path) if self.gone else 0),
            len(self.shown.branches_below(path)),
            self.shown.key_bytes_below(path),
            size,
            now - size.at if size is not None else 0.0,
            0 if self.kv.at else self.feed.rates.per_minute(path, now),
            self.gone_keys.under(path) if self.gone else 0,
            self.marks.under(path) if len(self.marks) else 0,
            tuple(self.sizes.largest(path)) if size is not None else (),
        )

    def _measure(self) -> Callable[[bytes], int]:
        if self.order == "bytes":
            return self._bytes
        if self.order == "writes":
            now = self.kv.clock()
            return lambda path: self.feed.rates.per_minute(path, now)
        return self.shown.count_below

    def _bytes(self, path: bytes) -> int:
        size = self.sizes.of(path)
        return (size.value_bytes if size else 0) + self.shown.key_bytes_below(path)

    def columns_changed(self) -> None:
        """Which columns there are."""
        columns = set()
        if self.sizes and not self.kv.at:
            columns.add("size")
        if self.feed.rates.per_minute(b"", self.kv.clock()) and not self.kv.at:
            columns.add("rate")
        if self.order:
            columns.add("bar")
        if self.key_tree.columns != columns:
            self.key_tree.columns = frozenset(columns)
            self.key_tree.refresh()

    def why_not_measure(self, name: str) -> str:
        """What is not known of the past."""
        if name == "key_measure" and self.kv.at:
            return "values of now are measured; come back to now first (T)"
        if name == "key_sort" and self.shown.flat:
            return "a flat list stands in the order of keys (t shows the tree)"
        return ""

    def do_key_sort(self) -> None:
        """The next order."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        if self.order == "bytes" and not self.sizes:
            self.kv.tell("bytes of keys alone: g reads the values once to know theirs")
        self.apply_order()
        self.columns_changed()
        self.key_tree.changed()
        self.key_tree.keep_in_sight()
        self.retitle()

    def apply_order(self) -> None:
        """Let every index that is shown have the chosen order."""
        for index in (self.index, self.past_index):
            if index is not None:
                index.rank = self._measure() if self.order else None
                index.rank_again()
        self._ranked_at = self.kv.clock()

    def order_again(self, now: float) -> None:
        """Measures change: put what is open in order anew, now and then."""
        if self.order and now - self._ranked_at >= AGAIN_S:
            self.apply_order()
            self.key_tree.changed()

    # --- sizes ------------------------------------------------------------------------------------

    async def do_key_measure(self) -> None:
        """Read the values below the branch once; of everything, where no branch is chosen."""
        row = self.row
        prefix = row.path if row is not None and row.branch else b""
        if row is not None and not row.branch and not self.shown.flat:
            prefix = self.shown.parent_of(row.path, False)
        keys = self.index.count_below(prefix)
        where = printable(prefix) if prefix else "the whole store"
        if keys > ASK_ABOVE:
            lines = [
                [(f"{keys:,} values under {where} are read once", "bold")],
                [("No call tells the size of a prefix: somebody has to read.", "text")],
                [("At most 16 MiB a second; esc stops it.", "dim")],
            ]
            if not await self.app.push_screen_wait(
                Confirm("Measure the values?", lines, "Measure", danger=False)
            ):
                return
        self.aside(lambda: self.measure(prefix), "measure", exclusive=True)

    async def measure(self, prefix: bytes) -> None:
        """The pass, with progress; nothing is told of a pass that was stopped."""
        measuring = self.sizes.begin(prefix)
        loop = asyncio.get_running_loop()
        where = printable(prefix) if prefix else "everything"
        began = loop.time()
        try:
            for span in self.feed.spans:
                low, high = span_of(prefix)
                low = max(low, span[0])
                high = min(high, span[1]) if high and span[1] else high or span[1]
                if high and low >= high:
                    continue
                pages = self.kv.session.ranges.values((low, high), measuring.revision)
                before = measuring.read
                async for page in pages:
                    measuring.revision = measuring.revision or page.revision
                    for start in range(0, len(page.records), 250):
                        part = page.records[start : start + 250]
                        now = self.kv.clock()
                        self.sizes.add(measuring, part, self.index.branches_of, now)
                        await asyncio.sleep(0)
                    measuring.total = before + page.total
                    self.busy(
                        f"sizes of {where}: {measuring.read:,} of "
                        f"{words.short_count(measuring.total)} read, "
                        f"{words.size(measuring.value_bytes)} · esc stops"
                    )
                    owed = measuring.value_bytes / BYTES_PER_S - (loop.time() - began)
                    await asyncio.sleep(max(0.0, owed))
            self.sizes.end(measuring, self.kv.clock())
            self.kv.tell(
                f"{where}: {words.plural(measuring.read, 'value')}, "
                f"{words.size(measuring.value_bytes)} at revision {measuring.revision:,}"
            )
        finally:
            self.busy("")
        self.columns_changed()
        if self.order:
            self.apply_order()
        self.key_tree.changed()
        if self.row is not None and self.row.branch:
            self.show_row(self.row)

    def stop_measuring(self) -> bool:
        """Escape: stop a pass that runs."""
        group = f"{self.tab}-measure"
        if any(w.group == group and not w.is_finished for w in self.workers):
            self.workers.cancel_group(self, group)
            self.kv.tell("stopped measuring")
            return True
        return False

"""Finding in the Keys tab: the filter line over the names, and the search through the values. What
is found stands in the tree as a list to walk; both let the screen live while they work.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable

from textual import on
from textual.widgets import Input

from kvorum_tui.key_feed import COMPACTED
from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.key_filter import HELP, KeyFilter, parse
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.screens.key_base import KeysView
from kvorum_tui.session import SessionError
from kvorum_tui.session.ranges import span_of
from kvorum_tui.widgets.dialogs import Field, Form

TURN_S = 0.006  # So long a turn of the event loop may search.
STEP = 1_000
RANKED_STEP = 250  # Ranking what matches takes some times longer than matching.
TREE_MAX = 20_000  # Up to so many matches can also stand as a tree.
FOUND_MAX = 100_000  # Values that a search lists.
RANKED_MAX = 100_000  # More matches than these stand in the order of keys.
SETTLE_S = 0.05  # A moment for the next letter.


class ValueSearch:
    """A search through values: ``read`` of ``total`` so far."""

    def __init__(self, text: str, prefix: bytes) -> None:
        self.text = text
        self.prefix = prefix
        pattern = text[1:] if text.startswith("~") else re.escape(text)
        self.lit = pattern
        flags = re.IGNORECASE if text == text.lower() else 0
        self.pattern = re.compile(pattern.encode(), flags | re.DOTALL)
        self.read = 0
        self.total = 0
        self.state = "reading"  # "reading", "stopped", "whole", "full"

    def hits(self, records: tuple[KeyRecord, ...]) -> list[bytes]:
        """The keys whose values match."""
        return [record.key for record in records if self.pattern.search(record.value)]


class KeyFinding(KeysView):
    """The finding half of the Keys tab."""

    filter: KeyFilter | None
    search: ValueSearch | None
    looked_at: int  # Keys that the filter has compared so far; -1 when it has seen all.
    wrong: str
    ranked = False  # Whether the best match comes first.

    def do_key_filter(self) -> None:
        """Open the filter line."""
        self.field.add_class("on")
        self.field.focus()
        self.remove_class("detail")

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        text = event.value
        self.aside(lambda: self.set_filter(text), "filter", exclusive=True)

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.key_tree.focus()

    async def set_filter(self, text: str) -> None:
        """Search the index a stretch at a time, so that the screen stays alive."""
        await asyncio.sleep(SETTLE_S)
        self.wrong = ""
        if not text:
            self.unfilter()
            return
        try:
            wanted = parse(text)
        except ValueError as error:
            self.wrong = str(error)
            self.retitle()
            return
        old = self.filter
        narrowing = old is not None and self.looked_at < 0 and wanted.narrows(old)
        source = self.found if narrowing and self.found is not None else self.tree_index
        self.workers.cancel_group(self, f"{self.tab}-search")
        self.search = None
        self.busy("")
        self.filter = wanted
        await self._collect(source, wanted)

    def _list(self, keys: Iterable[bytes] = ()) -> KeyIndex:
        """A list of what was found, the best match first where there is one and few enough."""
        rank = self.filter.rank if self.filter is not None and self.ranked else None
        made = KeyIndex(self.index.separators, branches=False, order=rank)
        made.extend(keys)
        return made

    async def _collect(self, source: KeyIndex, wanted: KeyFilter) -> None:
        self.ranked = wanted.rank is not None
        found = self.found = self._list()
        self.looked_at, after, step = 0, None, RANKED_STEP if self.ranked else STEP
        self.key_tree.lit = wanted.lit
        shown, plain = False, list[bytes]()
        while True:
            end = time.perf_counter() + TURN_S
            while True:
                keys, after = source.scan(wanted.match, after, step)
                self.looked_at += step
                found.extend(keys)
                if self.ranked:
                    plain += keys
                    if len(plain) > RANKED_MAX:
                        self.ranked = False
                        found = self.found = self._list(plain)
                if after is None or time.perf_counter() > end:
                    break
            if after is None:
                self.looked_at = -1
            if not shown or keys or after is None:
                shown = True
                # Whoever still types looks at the best one, wherever it came from.
                self.key_tree.show_index(found, top=self.ranked and self.field.has_focus)
            of = len(source)
            self.busy(f"{self.looked_at:,} of {of:,} keys compared" if after is not None else "")
            self.retitle()
            if after is None:
                return
            await asyncio.sleep(0)

    def unfilter(self) -> None:
        """Everything again, on the same key."""
        row = self.row
        self.workers.cancel_group(self, f"{self.tab}-filter")
        self.workers.cancel_group(self, f"{self.tab}-search")
        self.filter, self.search, self.found, self.wrong = None, None, None, ""
        self.key_tree.lit = None
        self.key_tree.show_index(self.tree_index)
        if row is not None and not row.branch:
            self.key_tree.goto(row.path)
        self.busy("")
        self.retitle()

    def found_changed(self, touched: dict[bytes, KeyEvent]) -> None:
        """Keep what was found current."""
        found = self.found
        if found is None:
            return
        for key, event in touched.items():
            if event.kind == "delete" and key not in self.index:
                found.delete(key)
            elif self.search is not None:
                if not key.startswith(self.search.prefix):
                    continue
                if self.search.pattern.search(event.value):
                    found.insert(key)
                else:
                    found.delete(key)
            elif self.filter is not None and self.filter.match(key):
                found.insert(key)

    def why_not_find(self, name: str) -> str:
        """What cannot be shown as a tree."""
        if name == "key_flat" and self.found is not None and len(self.found) > TREE_MAX:
            return f"more than {TREE_MAX:,} matches stand as a list only"
        return ""

    def do_key_flat(self) -> None:
        """Tree or flat list; of a filter's matches, too."""
        row = self.row
        if self.found is not None:
            as_tree = not self.found.branches
            keys = sorted(self.found.keys)
            fresh = self._list() if not as_tree else KeyIndex(self.index.separators)
            fresh.extend(keys)
            if as_tree:
                for key in fresh.keys:
                    fresh.reveal(key)
            self.found = fresh
            self.key_tree.show_index(fresh)
        else:
            self.tree_index.flat = not self.tree_index.flat
        if row is not None and not (row.branch and self.shown.flat):
            self.key_tree.goto(row.path, row.branch)
        self.key_tree.changed()
        self.retitle()

    # --- values -----------------------------------------------------------------------------------

    async def do_key_search(self) -> None:
        """Ask what to look for, and where."""
        row = self.row
        start = row.path if row is not None and row.branch else b""
        values = await self.app.push_screen_wait(
            Form(
                "Find in values",
                [
                    Field("text", "Text, or ~regular expression", check=_searchable),
                    Field("prefix", "In keys that start with (empty: all)", key_to_text(start)),
                ],
                "Find",
            )
        )
        if values is not None:
            prefix = key_from_text(values["prefix"])
            wanted = ValueSearch(values["text"], prefix)
            self.aside(lambda: self.find_values(wanted), "search", exclusive=True)

    async def find_values(self, wanted: ValueSearch) -> None:
        """Read the values page by page; what is found is there at once, and stays when it is
        stopped.
        """
        self.filter, self.search = None, wanted
        found = self.found = self._list()
        self.key_tree.lit = None
        self.key_tree.show_index(found)
        self.key_tree.focus()
        self._search_told()
        try:
            async for records, total in self._records(wanted.prefix):
                hits = await asyncio.to_thread(wanted.hits, records)
                wanted.read += len(records)
                wanted.total = total
                if hits:
                    found.extend(hits[: FOUND_MAX - len(found)])
                    self.key_tree.changed()
                self._search_told()
                if len(found) >= FOUND_MAX:
                    wanted.state = "full"
                    break
            else:
                wanted.state = "whole"
        finally:
            if wanted.state == "reading":
                wanted.state = "stopped"
            if self.search is wanted and self.is_attached:
                self._search_told()

    async def _records(self, prefix: bytes) -> AsyncIterator[tuple[tuple[KeyRecord, ...], int]]:
        """Pages of what may be read under a prefix, now or at the revision that is looked at."""
        done, revision = 0, self.kv.at
        for low, high in self.feed.spans:
            first, last = span_of(prefix)
            first = max(low, first)
            last = min(high, last) if high and last else high or last
            if last and first >= last:
                continue
            total = 0
            try:
                async for page in self.kv.session.ranges.values((first, last), revision):
                    total = page.total
                    yield page.records, done + total
            except SessionError as error:
                if error.code != COMPACTED or not revision:
                    raise
                async for state in self.kv.session.past.state(first, revision):
                    total = state.total
                    yield state.records, done + total
            done += total

    def lit(self) -> str:
        """What is looked for in values."""
        return self.search.lit if self.search is not None else ""

    def stop_finding(self) -> bool:
        """Escape: stop a search and keep what it found; then clear it, or the filter. False when
        there is neither.
        """
        if self.search is not None and self.search.state == "reading":
            self.workers.cancel_group(self, f"{self.tab}-search")
            self.search.state = "stopped"
            self._search_told()
            return True
        if self.search is not None or self.filter is not None or self.field.has_class("on"):
            self.field.remove_class("on")
            if self.field.value:
                self.field.value = ""
            else:
                self.unfilter()
            return True
        return False

    def _search_told(self) -> None:
        """How far a search is, or how far it came."""
        search = self.search
        if search is None:
            return
        where = f" under {printable(search.prefix)}" if search.prefix else ""
        total = words.short_count(search.total) if search.total else "?"
        if search.state == "reading":
            self.busy(f"{search.read:,} of {total} values{where} read · esc stops")
        elif search.state == "whole":
            self.busy(f"all {search.read:,} values{where} read · esc ends")
        else:
            why = "stopped" if search.state == "stopped" else "no room for more"
            self.busy(f"{why} after {search.read:,} of {total} values{where} · esc ends")
        self.retitle()

    def finding_title(self) -> str:
        """What was found, and how far it has looked."""
        if self.wrong:
            return self.wrong
        here = len(self.found) if self.found is not None else 0
        search = self.search
        if search is not None:
            return f"{words.plural(here, 'value')} with {search.text}"
        if self.filter is None:
            return ""
        of = len(self.tree_index) - (len(self.gone) if self.past_index is None else 0)
        if self.looked_at >= 0:
            return f"{here:,} so far {self.filter.words}"
        order = ", too many to rank" if self.filter.rank is not None and not self.ranked else ""
        return f"{here:,} of {of:,} {self.filter.words}{order}"


def _searchable(text: str) -> str:
    if not text.lstrip("~"):
        return "at least one letter"
    try:
        ValueSearch(text, b"")
    except re.error as error:
        return f"no regular expression: {error}"
    return ""


FILTER_HINT = f"keys that contain…   {HELP}"

"""Places in the Keys tab: bookmarks, keys looked at lately, separators, and the ranges that a user
may read; remembered by cluster from one time to the next.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kvorum_tui import kept
from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.places import Place, Places
from kvorum_tui.screens.key_base import KeysView
from kvorum_tui.session.ranges import EVERYTHING, joined, span_of
from kvorum_tui.widgets.choose import Choose, Item
from kvorum_tui.widgets.dialogs import Field, Form

CANDIDATES = (b":", b".", b"|", b"\\", b"-")  # Tried where no key has a slash.
GUESS_KEYS = 10


class KeyPlaces(KeysView):
    """The remembering half of the Keys tab."""

    _saved: dict[str, Any]
    _asking: bool
    fed: bool

    # --- remembering ------------------------------------------------------------------------------

    async def remember(self) -> None:
        """Read what is kept of this cluster, before the keys are read."""
        try:
            table = await asyncio.to_thread(kept.load, self.kv.cluster_title)
        except OSError as error:
            self.kv.tell(f"bookmarks cannot be read: {error}", "warning")
            return
        self.places = Places.from_table(table)
        self._saved = self.places.as_table()
        if self.places.separators:
            await self.cut_at(self.places.separators)
        self.feed.remembered = tuple(span_of(prefix) for prefix in self.places.prefixes)

    def keep(self) -> None:
        """Write it when it has changed; called now and then, and at the end."""
        table = self.places.as_table()
        if table != self._saved:
            self._saved = table
            self.aside(lambda: asyncio.to_thread(self._save, table), "keep")

    def keep_now(self) -> None:
        """The same, before it is too late."""
        table = self.places.as_table()
        if table != self._saved:
            self._saved = table
            self._save(table)

    def _save(self, table: dict[str, Any]) -> None:
        kept.save(self.kv.cluster_title, table)

    # --- bookmarks --------------------------------------------------------------------------------

    def do_key_bookmark(self) -> None:
        """A bookmark on what is under the cursor, or away with it."""
        row = self.row
        if row is None:
            return
        there = self.places.toggle(Place(row.path, row.branch))
        verb = "bookmarked" if there else "no bookmark any more:"
        self.kv.tell(f"{verb} {printable(row.path)}")
        self.keep()

    async def do_key_places(self) -> None:
        """Choose a bookmark, or a key looked at lately."""
        items = [
            Item(f"b{n}", printable(mark.path), "bookmark, a branch" if mark.branch else "bookmark")
            for n, mark in enumerate(self.places.bookmarks)
        ]
        items += [
            Item(f"r{n}", printable(key), "looked at lately")
            for n, key in enumerate(self.places.recent)
        ]
        empty = "no bookmark yet: b on a key or branch puts one"
        answer = await self.app.push_screen_wait(
            Choose("Bookmarks and recent keys", items, "", empty)
        )
        if not answer:
            return
        number = int(answer[1:])
        if answer[0] == "b":
            self.goto_place(self.places.bookmarks[number])
        else:
            self.goto_place(Place(self.places.recent[number]))

    # --- separators -------------------------------------------------------------------------------

    async def do_key_separator(self) -> None:
        """Other separators."""
        field = Field(
            "separator",
            "Cut keys at (several apart by blanks; \\x00 and the like are understood)",
            " ".join(key_to_text(each) for each in self.index.separators),
            check=lambda text: "" if text.split() else "at least one character",
        )
        values = await self.app.push_screen_wait(Form("Separators", [field], "Use them"))
        if values is None:
            return
        separators = tuple(dict.fromkeys(map(key_from_text, values["separator"].split())))
        self.places.separators = separators
        self.keep()
        await self.cut_at(separators)

    async def cut_at(self, separators: tuple[bytes, ...]) -> None:
        """Put all keys into a tree that is cut elsewhere."""
        if separators == self.index.separators:
            return
        self.workers.cancel_group(self, "keys-feed")
        fresh = KeyIndex(separators)
        fresh.flat = self.index.flat
        keys = list(self.index.keys)
        for start in range(0, len(keys), 2_000):
            fresh.extend(keys[start : start + 2_000])
            await asyncio.sleep(0)
        row = self.row
        self.index = self.feed.index = fresh
        self.unfilter()
        self.key_tree.show_index(fresh)
        if row is not None and not row.branch:
            self.key_tree.goto(row.path)
        if self.past_index is not None:
            self.past_index = None
            self.travelled(self.kv.at)
        elif self.feed.session is not None and self.fed:
            self.start_feed()
        self.order_changed()
        self.retitle()

    def guessed(self) -> tuple[bytes, ...]:
        """Where keys without any slash could be cut; empty where they are cut well already."""
        keys = [bytes(key) for key in self.index.keys[:400]]
        if (
            self.places.separators
            or len(self.index.separators) > 1
            or len(keys) < GUESS_KEYS
            or any(b"/" in key for key in keys)
        ):
            return ()
        found = [
            each
            for each in CANDIDATES
            if each != self.index.separator and sum(each in k for k in keys) * 2 > len(keys)
        ]
        return tuple(found[:1])

    # --- ranges -----------------------------------------------------------------------------------

    async def do_key_ranges(self) -> None:
        """Ask which prefixes to read."""
        feed = self.feed
        allowed = feed.allowed
        spans = [] if feed.everything else feed.spans
        start = " ".join(key_to_text(low) for low, _ in spans)
        label = "Keys that start with (several apart by blanks; empty: everything)"
        if feed.denied is not None:
            label = "You may not list all keys. Which prefixes may you read? (apart by blanks)"
            if allowed is not None and allowed.roles:
                label += f" Your roles: {', '.join(allowed.roles)}, they name no range to read."
        values = await self.app.push_screen_wait(
            Form("Ranges", [Field("prefixes", label, start)], "Read them")
        )
        if values is None:
            return
        prefixes = tuple(key_from_text(text) for text in values["prefixes"].split())
        self.places.prefixes = prefixes
        self.keep()
        feed.use(joined(map(span_of, prefixes)) or (EVERYTHING,))
        self.start_feed()

    def ask_ranges(self) -> None:
        """Once, when the user may not list everything and nobody tells what he may."""
        if not self._asking:
            self._asking = True
            self.aside(self.do_key_ranges, "ranges")

    def ranges_title(self) -> str:
        """Which part of the store this is."""
        feed = self.feed
        if feed.everything:
            return ""
        if feed.allowed is not None and feed.allowed.spans == feed.spans:
            return f" in {words.plural(len(feed.spans), 'range')} of your roles"
        return f" in {words.plural(len(feed.spans), 'range')}"

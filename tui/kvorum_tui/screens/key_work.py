"""What the parts of the Keys tab's changing half share: what they work on, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvorum.client.types import KeyValue

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.plan import MAX_BYTES, MAX_KEYS
from kvorum_tui.session.plans import Found
from kvorum_tui.widgets.dialogs import FRAME_CELLS, Rich, folded

if TYPE_CHECKING:
    from kvorum_tui.screens.keys import KeysPane
    from kvorum_tui.screens.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Target:
    """What an action works on: the marked keys, else the branch or the key under the cursor."""

    keys: tuple[bytes, ...] = ()
    prefix: bytes | None = None

    @property
    def text(self) -> str:
        """In words."""
        if self.prefix is not None:
            return f"{printable(self.prefix)}…" if self.prefix else "all keys"
        if len(self.keys) == 1:
            return printable(self.keys[0])
        return f"{len(self.keys):,} marked keys"

    @property
    def place(self) -> bytes:
        """The branch or key; of marked keys the longest beginning that they share."""
        if self.prefix is not None:
            return self.prefix
        first, last = min(self.keys), max(self.keys)
        same = next(
            (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
            min(len(first), len(last)),
        )
        return first[:same]


class KeyWork:
    """A part of the changing half of ``pane``."""

    def __init__(self, pane: KeysPane) -> None:
        self.pane = pane

    @property
    def kv(self) -> Workspace:
        """The cluster."""
        return self.pane.kv

    def unmark(self) -> None:
        """Nothing is marked any more."""
        self.pane.clear_marks()

    def target(self) -> Target | None:
        """What an action works on now; None where there is nothing."""
        marked = self.pane.marked()
        if marked:
            return Target(tuple(marked))
        row = self.pane.row
        if row is None:
            return None
        return Target(prefix=row.path) if row.branch else Target((row.path,))

    def twin_lines(self, line: str) -> Rich:
        """The headless twin below a difference, broken where a wide dialog ends."""
        width = min(110, int(self.kv.app.size.width * 0.96)) - FRAME_CELLS
        return folded([[("twin ", "head"), (line, "accent")]], width)

    async def read(self, target: Target) -> Found | None:
        """The keys with their values; None, and a word, when there are none or too many."""
        prefixes = [target.prefix] if target.prefix is not None else []
        found = await self.kv.session.plans.read(target.keys, prefixes, limit=MAX_KEYS)
        if found.more:
            self.kv.tell(
                f"more than {MAX_KEYS:,} keys: too many for one plan; take a smaller branch",
                "warning",
            )
            return None
        if not found.records:
            self.kv.tell(f"there is nothing left of {target.text}", "warning")
            return None
        size = sum(len(kv.value) for kv in found.records)
        if size > MAX_BYTES:
            text = f"{words.size(size)} of values are too much for one plan; take a smaller branch"
            self.kv.tell(text, "warning")
            return None
        return found

    async def living(self, records: Sequence[KeyValue]) -> frozenset[int]:
        """Those of the keys' leases that there are."""
        leases = {kv.lease for kv in records if kv.lease}
        return await self.kv.session.plans.living(leases) if leases else frozenset()

"""What this terminal has written, so that it can be taken back, and taken back again.

An undo is an ordinary plan: it writes what was there before, if nobody has changed it since. It is
logged like everything else; taking it back is the redo.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kvorum.client.planning import Deed

ENTRIES_MAX = 100
DEEDS_MAX = 100_000  # Of all entries together: each holds a value from before and one from after.


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was written, with one title. ``undoes``: the number of the entry that it took
    back, 0 when it was no undo. ``redo``: that was an undo itself. ``undone``: it was taken back.
    """

    number: int
    title: str
    deeds: tuple[Deed, ...]
    at: float
    undoes: int = 0
    redo: bool = False
    undone: bool = False

    @property
    def revision(self) -> int:
        """The last revision that it wrote."""
        return max(deed.revision for deed in self.deeds)


class UndoLog:
    """The entries of one cluster's session, oldest first; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._next = 1

    def add(self, title: str, deeds: Iterable[Deed], at: float, undoes: int = 0) -> Entry | None:
        """Something was written; nothing is logged where nothing was."""
        done = tuple(deeds)
        if not done:
            return None
        redo = any(e.number == undoes and e.undoes and not e.redo for e in self._entries)
        entry = Entry(self._next, title, done, at, undoes, redo)
        self._next += 1
        self._entries = [
            replace(each, undone=True) if each.number == undoes else each for each in self._entries
        ]
        self._entries.append(entry)
        total = sum(len(each.deeds) for each in self._entries)
        while len(self._entries) > 1 and (len(self._entries) > ENTRIES_MAX or total > DEEDS_MAX):
            total -= len(self._entries.pop(0).deeds)
        return entry

    def newest(self) -> list[Entry]:
        """What has not been taken back, newest first."""
        return [entry for entry in reversed(self._entries) if not entry.undone]

    def last_undo(self) -> Entry | None:
        """What a redo would take back: the newest undo that still stands."""
        return next((e for e in self.newest() if e.undoes and not e.redo), None)

    def wrote(self, revision: int) -> Entry | None:
        """The entry that wrote a revision."""
        return next(
            (e for e in self._entries if any(deed.revision == revision for deed in e.deeds)), None
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What one revision did, as far as it was asked for."""

    revision: int
    deeds: tuple[Deed, ...]


def by_revision(deeds: Sequence[Deed]) -> list[Written]:
    """Changes put together by their transactions, newest first."""
    found: dict[int, list[Deed]] = {}
    for deed in deeds:
        found.setdefault(deed.revision, []).append(deed)
    return [
        Written(revision, tuple(sorted(found[revision], key=lambda deed: deed.key)))
        for revision in sorted(found, reverse=True)
    ]

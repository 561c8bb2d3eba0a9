"""What a row of the table of planted mistakes is, and the words its finders look for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvorum.sim.plan import Mix

from support.planted.finders import Finder, Plant

# What clients do in runs of the simulation that look for something.
READS = Mix(put=50, delete=0, txn=0, read=50, lease=0, transfer=0, compact=0)
DELETES = Mix(put=40, delete=40, txn=0, read=5, lease=0, transfer=0, compact=0)
LEASES = Mix(put=20, delete=0, txn=0, read=5, lease=40, transfer=0, compact=0)
COMPACTS = replace(DELETES, compact=10, kept_revisions=60)
HOT = replace(DELETES, compact=15, kept_revisions=0)

# What the simulation says of them.
GONE = r"entries that were acknowledged are gone|leader completeness|lost_write"
DIFFER = r"digests differ|differ at|leader completeness|log matching|is committed|watch_|a watcher"
UNBOOTABLE = r"cannot start although nothing harmed its disks"
MISSED = r"watch_|a watcher|twice"
STALE = r"stale_read"
EARLY = r"lease_early|lease .* ended at"


@dataclass(frozen=True)
class Mistake:
    """One of them: the patch that makes it, whose it was first, what finds it, and whether the
    simulation does so in runs that look for nothing (``KVORUM_LONG=1`` sees to that).
    """

    plant: Plant
    source: str
    found_by: tuple[Finder, ...]
    by_chance: bool = False

    @property
    def name(self) -> str:
        """Of the patch."""
        return self.plant.__name__

    @property
    def words(self) -> str:
        """What is wrong with it on."""
        return " ".join((self.plant.__doc__ or "").split("\n\n", 1)[0].split())


def mistake(plant: Plant, source: str, *found_by: Finder, by_chance: bool = False) -> Mistake:
    """A row of the table."""
    return Mistake(plant, source, found_by, by_chance)

"""Compaction: agreeing which revisions nobody may read any more.

Two halves. The logical one is the machine's: one number moves, at once, on every member at the same
entry, and reads below it are refused. The physical one is the history's, at its leisure, and
:func:`survives` is its rule.
"""

from __future__ import annotations

from typing import Final

from kvorum.errors import Condition

# Before any compaction. etcd's number, visible in HashKV; Compact(0) works once on a fresh store.
NEVER: Final = -1


def check(requested: int, compacted: int, current: int) -> Condition | None:
    """Why a compaction at ``requested`` cannot be agreed: at or below the last one, or in the
    future.
    """
    if requested <= compacted:
        return Condition.COMPACTED
    if requested > current:
        return Condition.FUTURE_REVISION
    return None


def check_read(revision: int, compacted: int, current: int) -> Condition | None:
    """Why a read at ``revision`` cannot be answered. The compact revision itself can; <= 0 means
    the newest.
    """
    if revision > current:
        return Condition.FUTURE_REVISION
    if 0 < revision < compacted:
        return Condition.COMPACTED
    return None


def survives(
    mod_revision: int, next_revision: int | None, is_tombstone: bool, compact_revision: int
) -> bool:
    """Whether a version of a key stays in the history after a compaction.

    ``next_revision`` is the mod revision of the key's following version, None for its last. Kept:
    every version above the compact revision; of those at or below it the newest, if it is live
    (reads at the compact revision need it); and a tombstone at exactly the compact revision, for a
    watcher that starts there (etcd#18089).
    """
    if mod_revision > compact_revision:
        return True
    if is_tombstone:
        return mod_revision == compact_revision
    return next_revision is None or next_revision > compact_revision

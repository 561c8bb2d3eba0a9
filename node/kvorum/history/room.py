"""Telling a full disk from all else that may go wrong in a write of DuckDB's.

DuckDB says it in words only. What it does then (2.0, on a file system that was filled up):

- a commit is rolled back as a whole, its log ends where it ended before, and the next commit finds
  all in order;
- a checkpoint makes the instance useless for everybody (``duckdb.FatalException``); the file and
  its log are as they were, and opening them again needs no room.

A failed fsync is no such thing, whatever the reason given for it: what was written before it may
be gone, and the process ends.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

import duckdb

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_REASONS: Final = "|".join(re.escape(os.strerror(number)) for number in _FULL)
# What was being done, if said; then one write (or the making of a file), and why it failed.
_REFUSED: Final = re.compile(
    r"(?:[A-Za-z ]+: )*"
    r'(?:Could not write(?: to)? file|Cannot open file) "[^\n]*"'
    r"(?: - attempted to write 0 bytes)?: "
    f"(?:{_REASONS})"
)


def finds_no_room(error: Exception) -> bool:
    """Whether a write failed for want of room: nothing of it is in the file, and it may be tried
    again, on an instance that is still good.
    """
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, duckdb.Error) and _REFUSED.fullmatch(str(error)) is not None

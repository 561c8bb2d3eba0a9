"""What other packages bring: entry points of the groups ``kvorum.decoders``, ``kvorum.panes`` and
``kvorum.drills``. ``kvorum --no-plugins`` (or ``KVORUM_NO_PLUGINS=1``) does without any.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points

VARIABLE = "KVORUM_NO_PLUGINS"


def plugins(group: str) -> list[EntryPoint]:
    """The entry points of a group, by name; none of them is imported by this."""
    if os.environ.get(VARIABLE, "") not in ("", "0", "false"):
        return []
    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


def reason(error: BaseException) -> str:
    """Why a plugin failed, for a sentence."""
    return f"{type(error).__name__}: {error}".rstrip(": ")

"""What the terminal remembers from one time to the next, by cluster: one JSON file in the state
folder, ``$KVORUM_STATE`` or ``terminal.json``.

Two terminals may write it: each reads it again first and replaces its own cluster's part only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import platformdirs
from kvorum.files import replace_file

CLUSTERS_MAX = 100


def state_path() -> Path:
    """The file."""
    given = os.environ.get("KVORUM_STATE")
    return Path(given) if given else platformdirs.user_state_path("kvorum") / "terminal.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # Half a file of a machine that went down: nothing in it is worth an error.
    return table if isinstance(table, dict) else {}


def load(title: str) -> dict[str, Any]:
    """What is kept of a cluster. Raises OSError."""
    part = _read(state_path()).get(title)
    return part if isinstance(part, dict) else {}


def save(title: str, part: dict[str, Any]) -> None:
    """Keep this of a cluster; the file is whole at every moment. Raises OSError."""
    path = state_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    table = _read(path)
    table.pop(title, None)
    table[title] = part
    while len(table) > CLUSTERS_MAX:
        del table[next(iter(table))]
    replace_file(path, json.dumps(table, indent=1), private=True)

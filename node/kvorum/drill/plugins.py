"""Drills that other packages bring: entry points of the group ``kvorum.drills``.

Each loads to a package (its ``*.toml`` files are scenarios), to the path of a folder, or to
something that returns either. A scenario is known by its file's name; those that ship keep theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from kvorum.client.plugins import plugins, reason

GROUP = "kvorum.drills"


def brought(taken: Collection[str]) -> tuple[dict[str, Path], list[str]]:
    """Scenario files by name, and what is wrong with the plugins that should have brought some.
    ``taken``: names that are in use.
    """
    found: dict[str, Path] = {}
    wrong: list[str] = []
    for entry in plugins(GROUP):
        try:
            paths = sorted(_folder(entry.load()).glob("*.toml"))
            if not paths:
                raise ValueError("it brings no *.toml file")
        except Exception as error:
            wrong.append(f"drills of {entry.name}: {reason(error)}")
            continue
        for path in paths:
            if path.stem in found or path.stem in taken:
                wrong.append(f"drills of {entry.name}: there is a drill {path.stem} already")
            else:
                found[path.stem] = path
    return found, wrong


def _folder(loaded: Any) -> Path:
    if callable(loaded):
        loaded = loaded()
    if isinstance(loaded, ModuleType):
        loaded = files(loaded)
    if not isinstance(loaded, (str, Path)):
        raise TypeError(f"a package or a folder is needed, not {type(loaded).__name__}")
    folder = Path(loaded)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    return folder

"""Where drills are found, and where their runs are kept."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from kvorum.cluster.places import default_run_dir, samples_dir
from kvorum.drill.plugins import brought
from kvorum.errors import ConfigError

# A run folder's name: number, drill, stage.
RUN_FOLDER = re.compile(r"(\d{4,})-")


def drills_dir() -> Path:
    """The directory of the drills that ship."""
    return samples_dir() / "drills"


def drill_names() -> list[str]:
    """The names of the drills that ship, sorted."""
    return sorted(path.stem for path in drills_dir().glob("*.toml"))


def all_drills() -> tuple[list[str], list[str]]:
    """The names of the drills that ship and of those that plugins bring, and what is wrong with
    plugins.
    """
    shipped = drill_names()
    more, wrong = brought(shipped)
    return [*shipped, *sorted(more)], wrong


def find_drill(text: str) -> Path:
    """The scenario file meant by ``text``: a file, or the name of a drill that ships or that a
    plugin brings. Raises ConfigError with the nearest name.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    shipped = drills_dir() / f"{text}.toml"
    if path.name == text and shipped.is_file():
        return shipped
    more, _ = brought(drill_names())
    if text in more:
        return more[text]
    names = [*drill_names(), *sorted(more)]
    near = difflib.get_close_matches(text, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ConfigError(f"{text}: neither a scenario file nor a drill that ships; {hint}")


def runs_dir() -> Path:
    """Where runs are kept when no directory is given: in the user's data directory."""
    return default_run_dir("drills")


def new_run_folder(parent: Path, name: str, stage: str) -> Path:
    """Create the folder of a run: numbered, so that runs sort by age. Raises ConfigError."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(m[1]) for entry in parent.iterdir() if (m := RUN_FOLDER.match(entry.name))]
        folder = parent / f"{max(numbers, default=0) + 1:04d}-{name}-{stage}"
        folder.mkdir()
    except OSError as error:
        raise ConfigError(f"{parent}: no run can be kept there: {error}") from error
    return folder

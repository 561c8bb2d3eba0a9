"""Earlier runs of drills: what is kept of each in its folder, read back for lists and comparisons.

A run that was broken off, or whose runner was killed, has no verdict; its folder says with
``run.json`` what it was, and ``kvorum check`` can still judge what was recorded until then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kvorum.drill.places import RUN_FOLDER
from kvorum.errors import ConfigError

RUN_FILE, VERDICT_FILE = "run.json", "verdict.json"
RUNS_LISTED_MAX = 1_000  # The newest of them: each is two small files to read.


@dataclass(frozen=True)
class RunSummary:
    """One earlier run.

    Attributes:
        name: the drill's. stage, seed: as it was run. when: its beginning, in UTC. passed: None
        when there is no verdict. figures: :class:`kvorum.drill.verdict.Figures` by name, empty
        without a verdict. failed: the findings that were not good, by name. cluster: what it ran
        on, in words.
    """

    name: str
    stage: str
    seed: int
    when: datetime
    passed: bool | None
    figures: Mapping[str, Any]
    folder: Path
    failed: tuple[str, ...] = ()
    cluster: str = ""
    violations: tuple[str, ...] = field(default=())

    @property
    def word(self) -> str:
        """How it ended."""
        return "no verdict" if self.passed is None else "passed" if self.passed else "FAILED"

    @property
    def label(self) -> str:
        """Enough to tell it from others: its number, and its stage."""
        number = self.folder.name.split("-", 1)[0]
        return f"{number} {self.stage}" if number.isdigit() else f"{self.folder.name} {self.stage}"


def list_runs(directory: Path) -> list[RunSummary]:
    """The runs in ``directory``, the newest first, at most :data:`RUNS_LISTED_MAX`; none when there
    is no such directory. Folders that hold no run of a drill are left out.
    """
    try:
        folders = sorted((p for p in directory.iterdir() if RUN_FOLDER.match(p.name)), reverse=True)
    except OSError:
        return []
    found = []
    for folder in folders[:RUNS_LISTED_MAX]:
        try:
            found.append(read_run(folder))
        except ConfigError:
            continue  # Somebody else's folder, or one that its runner only just made.
    return found


def read_run(folder: Path) -> RunSummary:
    """The run kept in ``folder``. Raises ConfigError when it holds none."""
    head, verdict = _table(folder / RUN_FILE), _table(folder / VERDICT_FILE)
    known = verdict or head
    try:
        when = head.get("began_unix_s") if head else None
        moment = float(when) if when is not None else folder.stat().st_mtime
        findings = verdict["findings"] if verdict else []
        return RunSummary(
            name=str(known["drill"]),
            stage=str(known["stage"]),
            seed=int(known["seed"]),
            when=datetime.fromtimestamp(moment, UTC),
            passed=bool(verdict["passed"]) if verdict else None,
            figures=dict(verdict["figures"]) if verdict else {},
            folder=folder,
            failed=tuple(str(f["name"]) for f in findings if not f["ok"]),
            cluster=str(head.get("cluster", "")),
            violations=tuple(str(v["text"]) for v in verdict.get("violations", ())),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{folder}: holds no run of a drill: {error!r}") from error
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error


def find_run(text: str, directory: Path) -> Path:
    """The folder meant by ``text``: a path, a folder's name in ``directory``, or its number there.

    Raises ConfigError with what to do.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if (directory / text).is_dir() and path.name == text:
        return directory / text
    if text.isdigit():
        for folder in sorted(directory.glob(f"{int(text):04d}-*")):
            return folder
    raise ConfigError(f"{text}: no run folder, and no run in {directory}; see: kvorum drill runs")


def _table(path: Path) -> dict[str, Any]:
    """A file's JSON object, or an empty one when there is no such file or it is not whole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

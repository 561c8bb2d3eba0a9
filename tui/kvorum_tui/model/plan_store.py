"""Plans that were begun, in files, so that one that was stopped or broke off can be gone on with.

A file is JSON Lines: a head, a line a step, then a line for each transaction that was done. It
holds values, so that nobody but its owner may read it, and it is removed when the plan has been
carried out. What is done and what is not is not believed from the file: who goes on reads the
keys again (:func:`kvorum.client.plan.still_to_do`).
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvorum.client.plan import Step
from kvorum.client.types import KeyValue
from kvorum.files import replace_file

from kvorum_tui.model.plan import Plan
from kvorum_tui.model.plan_files import default_folder

FORMAT = 1
SUFFIX = ".plan"


class PlanFileError(Exception):
    """A file that is no plan, or a damaged one."""


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """The head of a kept plan. ``done``: steps that were known to be done when it ended."""

    name: str
    title: str
    verb: str
    twin: str
    cluster: int
    where: str
    at: float
    steps: int
    done: int
    error: str = ""


class PlanStore:
    """The unfinished plans of this user. Methods raise OSError; reading one PlanFileError too."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def keep(self, plan: Plan, where: str) -> str:
        """Write a plan down before it is begun; returns its name."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = plan.kept or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        head = {
            "kvorum_plan": FORMAT,
            "title": plan.title,
            "verb": plan.verb,
            "twin": plan.twin,
            "cluster": plan.cluster,
            "where": where,
            "at": time.time(),
            "steps": len(plan.steps),
        }
        steps = "".join(json.dumps(_step_fields(step)) + "\n" for step in plan.steps)
        replace_file(self._path(name), json.dumps(head) + "\n" + steps, private=True)
        return name

    def note(self, name: str, done: int, error: str = "") -> None:
        """Write down how far it came."""
        with self._path(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"done": done, "error": error}) + "\n")

    def forget(self, name: str) -> None:
        """Remove it."""
        self._path(name).unlink(missing_ok=True)

    def all(self) -> list[KeptPlan]:
        """Every plan that can be read, the newest first."""
        found: list[KeptPlan] = []
        if not self.folder.is_dir():
            return found
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), reverse=True):
            try:
                found.append(self._head(path))
            except (PlanFileError, OSError):
                continue  # A file of another format, or one that goes just now.
        return found

    def load(self, name: str) -> tuple[KeptPlan, tuple[Step, ...]]:
        """A plan with its steps."""
        path = self._path(name)
        head = self._head(path)
        try:
            with path.open(encoding="utf-8") as file:
                next(file)
                steps = tuple(_step_of(json.loads(next(file))) for _ in range(head.steps))
        except (StopIteration, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise PlanFileError(f"{path} is damaged: {error or 'it ends too early'}") from error
        return head, steps

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _head(self, path: Path) -> KeptPlan:
        done, error = 0, ""
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(file.readline())
                if head.get("kvorum_plan") != FORMAT:
                    raise PlanFileError(f"{path} is no plan of this version")
                for line in file:
                    if line.startswith('{"done"'):
                        told = json.loads(line)
                        done, error = told["done"], told["error"]
            return KeptPlan(
                path.stem,
                head["title"],
                head["verb"],
                head["twin"],
                head["cluster"],
                head["where"],
                head["at"],
                head["steps"],
                done,
                error,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise PlanFileError(f"{path} is damaged: {wrong}") from wrong


def _step_fields(step: Step) -> dict[str, Any]:
    before = step.before
    return {
        "key": _text(step.key),
        "value": None if step.value is None else _text(step.value),
        "lease": step.lease,
        "group": step.group,
        "before": None if before is None else [_text(before.value), *before[2:]],
    }


def _step_of(fields: dict[str, Any]) -> Step:
    key, value, before = _bytes(fields["key"]), fields["value"], fields["before"]
    was = None
    if before is not None:
        create, mod, version, lease = map(int, before[1:])
        was = KeyValue(key, _bytes(before[0]), create, mod, version, lease)
    new = None if value is None else _bytes(value)
    return Step(key, was, new, int(fields["lease"]), int(fields["group"]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)

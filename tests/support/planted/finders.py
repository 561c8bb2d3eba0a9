"""What finds a mistake: a text, a named test, a schedule made by hand, runs of the simulation.

A finder's ``hunt`` does its work once and returns what it saw go wrong, if that is what ``shows``
describes: a mistake that is found for another reason than its own is not found.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any, Protocol

import pytest
from kvorum.sim.network import FAIR
from kvorum.sim.plan import CLIENTS, WATCHERS, Mix, Plan, Strike, Traits
from kvorum.sim.run import simulate
from kvorum.sim.shrink import run_plan
from kvorum.sim.world import SafetyViolation
from unit.history.conftest import Opened
from unit.machine import script as machine_script
from unit.raft import script as raft_script
from unit.raft.harness import Node
from unit.raft.safety import Watchdog
from unit.replica import script as replica_script

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]

TESTS = Path(__file__).resolve().parents[2]
RUNS_MAX = 30
"""How many runs that look for something are tried at most; the first is enough, until the
simulation changes."""

_RULE = "---\n"


class Finder(Protocol):
    """One way to find a mistake."""

    @property
    def words(self) -> str:
        """What it is, for a table."""

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        """Look once. What was found, if it was what this mistake leads to."""

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        """The same without the mistake: what goes wrong at all, which must be nothing."""


# --- texts ----------------------------------------------------------------------------------------


def _trace(path: str, verbs: str, patch: Patch) -> str:
    if path.startswith("raft/"):
        return raft_script.run_script(verbs)
    if path.startswith("machine/"):
        return machine_script.run_script(verbs, patch)
    return replica_script.run_script(verbs, patch)


@dataclass(frozen=True)
class Text:
    """A text of tests/scripts leads to another trace: ``shows`` matches a line that is new
    (``+ ...``), one that is missing (``- ...``), or the first that stands elsewhere (``too early:
    ...``).
    """

    path: str
    shows: str

    @property
    def words(self) -> str:
        return f"text {self.path}"

    def _differences(self, patch: Patch) -> list[str]:
        verbs, _, recorded = (TESTS / "scripts" / f"{self.path}.txt").read_text().partition(_RULE)
        try:
            trace = _trace(self.path, verbs, patch)
        except Exception as error:
            return [f"! {type(error).__name__}: {error}"]
        new, old = trace.splitlines(), recorded.splitlines()
        added, missing = Counter(new) - Counter(old), Counter(old) - Counter(new)
        order = [
            f"too early: {line.strip()}" for line, was in zip(new, old, strict=False) if line != was
        ]
        return [
            *(f"+ {line.strip()}" for line in added),
            *(f"- {line.strip()}" for line in missing),
            *order[:1],
        ]

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        found = self._differences(patch)
        return next((line for line in found if re.search(self.shows, line)), None)

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        return next(iter(self._differences(patch)), None)


class _Watched(Watchdog):
    """The cluster of a raft text, under the eyes of the checks on raft's promises."""

    def __init__(self, voters: Iterable[int], learners: Iterable[int] = (), **more: Any) -> None:
        more.pop("tracing", None)
        super().__init__(voters, learners=learners, **more)  # type: ignore[arg-type]  # any ids


@contextmanager
def _watched_nodes() -> Iterator[None]:
    call = Node.call

    def watched(node: Node, act: Any) -> None:
        call(node, act)
        node.cluster.check(node)  # type: ignore[attr-defined]  # the cluster is a Watchdog

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raft_script, "ScriptCluster", _Watched)
        patch.setattr(Node, "call", watched)
        yield


@dataclass(frozen=True)
class Watched:
    """A raft text as a schedule: one of raft's promises does not hold in it."""

    path: str
    shows: str

    @property
    def words(self) -> str:
        return f"raft's promises in text {self.path}"

    def _broken(self) -> str | None:
        verbs = (TESTS / "scripts" / f"{self.path}.txt").read_text().partition(_RULE)[0]
        with _watched_nodes():
            try:
                raft_script.run_script(verbs)
            except AssertionError as broken:
                return str(broken)
        return None

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        return _if_shown(self.shows, self._broken())

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        return self._broken()


# --- tests and schedules --------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A test fails. ``case`` numbers the set of parameters, for one that has several."""

    __test__ = False

    module: str
    name: str
    shows: str
    case: int = 0

    @property
    def words(self) -> str:
        return f"test {self.module.rsplit('.', 1)[-1]}::{self.name}"

    def _failure(self, patch: Patch, tmp_path: Path) -> str | None:
        test = getattr(importlib.import_module(self.module), self.name)
        given: dict[str, Any] = {"tmp_path": tmp_path, "monkeypatch": patch}
        for mark in getattr(test, "pytestmark", ()):
            names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
            values = list(mark.args[1])[self.case]
            given |= zip(
                [name.strip() for name in names],
                values if len(names) > 1 else (values,),
                strict=True,
            )
        wanted = inspect.signature(test).parameters
        history = Opened(tmp_path / "history.duckdb") if "history" in wanted else None
        try:
            test(**{name: history if name == "history" else given[name] for name in wanted})
        except (Exception, pytest.fail.Exception) as failure:
            here = inspect.getsourcefile(test)
            lines = [f.line for f in extract_tb(failure.__traceback__) if f.filename == here]
            return f"{type(failure).__name__}: {failure} at {lines[-1] if lines else self.name}"
        finally:
            if history is not None:
                history.close()
        return None

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        return _if_shown(self.shows, self._failure(patch, tmp_path))

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        return self._failure(patch, tmp_path)


@dataclass(frozen=True)
class Schedule:
    """A schedule made by hand (tests/sim/schedules), which asserts what must hold in it."""

    play: Callable[[Patch], None]
    shows: str

    @property
    def words(self) -> str:
        return f"schedule {self.play.__name__}"

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        return _if_shown(self.shows, self.holds(patch, tmp_path))

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        try:
            self.play(patch)
        except Exception as broken:
            return f"{type(broken).__name__}: {broken}"
        return None


# --- the simulation -------------------------------------------------------------------------------


def by_chance(shows: str, seeds: Iterable[int]) -> str | None:
    """The first of these seeds whose run breaks a promise in these words: plans as the simulation
    draws them, which look for nothing.
    """
    for seed in seeds:
        try:
            simulate(seed)
        except SafetyViolation as violation:
            if re.search(shows, violation.what):
                return f"seed {seed}: {violation.what}"
    return None


@dataclass(frozen=True)
class Focused:
    """Runs in fair weather, with good clocks, and a fault of one of these kinds every second.

    Nothing in them is drawn by the simulation's own dice for plans, whose changes they outlive.
    """

    first: int
    kinds: str
    mix: Mix
    shows: str
    nodes: int = 3
    snapshot_count: int = 10_000
    watch_buffer_bytes: int = 20_000

    @property
    def words(self) -> str:
        return f"simulation of {', '.join(self.kinds.split())}"

    def plan(self, seed: int) -> Plan:
        """The run of this seed."""
        rng = random.Random(f"focused {seed}")
        strikes = [
            Strike(rng.randrange(20_000_000), rng.choice(self.kinds.split()), rng.getrandbits(32))
            for _ in range(20)
        ]
        return Plan(
            seed=seed,
            nodes=self.nodes,
            seconds=20.0,
            snapshot_count=self.snapshot_count,
            watch_buffer_bytes=self.watch_buffer_bytes,
            clients=tuple(range(1, CLIENTS + 1)),
            watchers=tuple(range(1, WATCHERS + 1)),
            weather=FAIR,
            traits=(Traits(),) * self.nodes,
            mix=self.mix,
            left_out=(),
            strikes=tuple(sorted(strikes)),
        )

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        for seed in (self.first, *range(RUNS_MAX)):
            violation = run_plan(self.plan(seed))
            if violation is not None and re.search(self.shows, violation.what):
                return f"seed {seed}: {violation.what}"
        return None

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        found = run_plan(self.plan(self.first))
        return found.what if found is not None else None


@dataclass(frozen=True)
class Kept:
    """A plan of tests/sim/plans: a run that failed once."""

    file: str
    shows: str

    @property
    def words(self) -> str:
        return f"plan {self.file}"

    def hunt(self, patch: Patch, tmp_path: Path) -> str | None:
        return _if_shown(self.shows, self.holds(patch, tmp_path))

    def holds(self, patch: Patch, tmp_path: Path) -> str | None:
        found = run_plan(Plan.from_json((TESTS / "sim" / "plans" / self.file).read_text()))
        return found.what if found is not None else None


def _if_shown(shows: str, found: str | None) -> str | None:
    return found if found is not None and re.search(shows, found) else None

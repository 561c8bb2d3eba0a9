"""The release gate's slices: registered, run for some minutes, stopped, gone on with, judged.

A slice is a function that does its work piece by piece::

    @slice("kills", "200 cycles of kill -9 of all nodes ...", (3,), [AtLeast("cycles", 200)])
    async def run(state: State, until: Deadline) -> None:
        with state.cluster(3, faults=True) as cluster:
            while state.wanting() and not until.over():
                ...
                state.add("cycles")
                state.sample("boot_s", 1.25)

What it adds is kept in ``DIR/NAME.json`` and merged over runs. Whatever it raises is a violation
(an AssertionError is how one is usually said), and so is every :meth:`State.violation`; both keep
the directory they happened in. Names of counters may be ``group/name``, which the table shows
together, and ``_name``, which is the slice's own affair; the unit of samples is the end of their
name (``_s``, ``_ms``, ``_mib``, ``_percent``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import inspect
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kvorum.cluster.rundir import RunDir
from kvorum.cluster.supervisor import Supervisor
from support.clusters import ClusterHandle, make_spec

from release.goals import Goal

TOP = Path(__file__).resolve().parents[2]
SAMPLES_MAX = 100_000  # Of one name; beyond, a fair choice of them is kept.
_SAVE_S = 5.0
_TELL_S = 10.0
_WHAT_CHARS = 300  # The whole of an error is in the evidence.

Run = Callable[["State", "Deadline"], Awaitable[None] | None]


class Slice(NamedTuple):
    """One part of the gate. ``items``: of the release gate's list."""

    name: str
    goal: str
    items: tuple[int, ...]
    goals: tuple[Goal, ...]
    run: Run


SLICES: dict[str, Slice] = {}


def slice(
    name: str, goal: str, items: Sequence[int], goals: Sequence[Goal] = ()
) -> Callable[[Run], Run]:
    """Register a slice under a name that is unique. ``goal``: the goals in words, for the table."""

    def register(run: Run) -> Run:
        assert name not in SLICES, f"two slices are called {name}"
        SLICES[name] = Slice(name, goal, tuple(items), tuple(goals), run)
        return run

    return register


class Deadline:
    """When a run has to end. A slice looks between two pieces of its work."""

    def __init__(self, minutes: float) -> None:
        self._end_s = time.monotonic() + 60 * minutes

    def over(self) -> bool:
        """Whether the time is up."""
        return self.left_s() <= 0

    def left_s(self) -> float:
        """Seconds that are left, 0 when none are."""
        return max(0.0, self._end_s - time.monotonic())


class Recorded(Exception):
    """Something needed could not be had; that is a violation by now, and the slice ends."""


class State:
    """What a slice has done, over all its runs, and where it works.

    ``directory`` holds the result files; ``say`` shows one line of progress.
    """

    def __init__(
        self, part: Slice, directory: Path, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.part = part
        self.directory = directory
        self._say = say
        self._file = directory / f"{part.name}.json"
        kept: dict[str, Any] = {}
        if self._file.exists():
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        self.counters: dict[str, int] = kept.get("counters", {})
        self.samples: dict[str, list[float]] = kept.get("samples", {})
        self.sampled: dict[str, int] = kept.get("sampled", {})
        self.largest: dict[str, float] = kept.get("largest", {})
        self.facts: dict[str, str] = kept.get("facts", {})
        self.violations: list[dict[str, str]] = kept.get("violations", [])
        self.mended: list[dict[str, str]] = kept.get("mended", [])
        self.runs: list[dict[str, Any]] = kept.get("runs", [])
        self._rng = random.Random(len(self.runs))
        self._saved_s = self._told_s = time.monotonic()

    # --- what a slice tells -----------------------------------------------------------------------

    def add(self, counter: str, by: int = 1) -> None:
        """Count something."""
        self.counters[counter] = self.counters.get(counter, 0) + by
        self._tick()

    def sample(self, name: str, *values: float) -> None:
        """Measurements of one kind."""
        held = self.samples.setdefault(name, [])
        for value in values:
            self.sampled[name] = seen = self.sampled.get(name, 0) + 1
            self.largest[name] = max(self.largest.get(name, value), value)
            if len(held) < SAMPLES_MAX:
                held.append(round(value, 6))
            elif (place := self._rng.randrange(seen)) < SAMPLES_MAX:
                held[place] = round(value, 6)
        self._tick()

    def forget(self, name: str) -> None:
        """Samples that no longer count."""
        for kept in (self.samples, self.sampled, self.largest):
            kept.pop(name, None)

    def fact(self, name: str, text: str) -> None:
        """Something the table should say in words, such as why a part cannot be done here. The
        newest text of a name holds; "" takes it away.
        """
        self.facts[name] = text
        if not text:
            del self.facts[name]

    def violation(self, what: str, replay: str, evidence: Path | None = None) -> None:
        """A promise was not kept. ``replay``: the command that shows it again."""
        found = {"what": what, "replay": replay, "evidence": str(evidence or "")}
        self.violations.append({**found, "commit": commit()})
        self.say(f"VIOLATION {what}\n  again: {replay}\n  evidence: {evidence or 'none'}")
        self.save()

    def say(self, line: str) -> None:
        """Show a line now."""
        self._say(f"{self.part.name}: {line}")

    # --- what a slice asks ------------------------------------------------------------------------

    def count(self, counter: str) -> int:
        """A counter's value; of ``group/*``, the smallest of the group (0 without any)."""
        if counter.endswith("/*"):
            return min(self.group(counter[:-2]).values(), default=0)
        return self.counters.get(counter, 0)

    def group(self, name: str) -> dict[str, int]:
        """The counters of a group, by their names within it."""
        start = f"{name}/"
        found = {k[len(start) :]: v for k, v in self.counters.items() if k.startswith(start)}
        return dict(sorted(found.items()))

    def plain(self) -> dict[str, int]:
        """The counters that are in no group and not a slice's own affair (``_name``)."""
        shown = [name for name in self.counters if "/" not in name and not name.startswith("_")]
        return {name: self.counters[name] for name in sorted(shown)}

    def quantile(self, name: str, q: float) -> float | None:
        """The value that a share ``q`` of the samples does not exceed; None without samples."""
        held = sorted(self.samples.get(name, ()))
        if not held:
            return None
        return self.largest[name] if q >= 1.0 else held[math.ceil(q * len(held)) - 1]

    def wanting(self) -> bool:
        """Whether a goal wants more to be done, and nothing was violated."""
        return not self.violations and any(goal.open(self) for goal in self.part.goals)

    # --- where a slice works ----------------------------------------------------------------------

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory of its own, gone in the end, unless there was a violation. Whatever is raised
        inside is one, says so, and goes no further.
        """
        number = len(self.runs)
        while (place := self.directory / "work" / f"{self.part.name}-{number}").exists():
            number += 1
        place.mkdir(parents=True)
        before = len(self.violations)
        try:
            yield place
        except Recorded:
            raise
        except Exception as error:
            said = "".join(traceback.format_exception(error))
            (place / "traceback.txt").write_text(said, encoding="utf-8")
            last = traceback.extract_tb(error.__traceback__)[-1]
            first = f"{type(error).__name__}: {error}".partition("\n")[0][:_WHAT_CHARS]
            where = f"{Path(last.filename).name}:{last.lineno}"
            self.violation(f"{first} ({where})", again(self.part.name), place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        else:
            if len(self.violations) == before or not any(place.iterdir()):
                shutil.rmtree(place, ignore_errors=True)

    @contextlib.contextmanager
    def cluster(
        self, nodes: int = 3, *, start: bool = True, **options: Any
    ) -> Iterator[ClusterHandle]:
        """Real processes, with the options of :func:`support.clusters.make_spec`; killed by pid in
        the end. Raising and keeping as in :meth:`scratch`.
        """
        yielded = False
        with self.scratch() as place:
            handle = ClusterHandle(make_spec(place, nodes, **options), place / "run")
            # However the gate ends, no process outlives it.
            run_dir = RunDir(place / "run")
            handle.supervisor = Supervisor(handle.spec, run_dir, handle.said.append, bound=True)
            try:
                if start:
                    handle.start()
                yielded = True
                yield handle
            finally:
                handle.end()
        if not yielded:
            raise Recorded

    # --- keeping ----------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s > self._told_s + _TELL_S:
            self._told_s = now_s
            self.say(self.progress())
        if now_s > self._saved_s + _SAVE_S:
            self.save()

    def progress(self) -> str:
        """The counters in one line, groups by what all of them have."""
        said = [f"{spoken(name)} {n:,}" for name, n in self.plain().items()]
        for group in sorted({name.partition("/")[0] for name in self.counters if "/" in name}):
            counts = self.group(group).values()
            each = f"{len(counts)} kinds, at least {min(counts):,} of each"
            said.append(f"{spoken(group)} {sum(counts):,} ({each})")
        return ", ".join(said)

    def save(self) -> None:
        """Write the result file; whoever reads it sees the old one or the new one."""
        self._saved_s = time.monotonic()
        names = ("counters", "samples", "sampled", "largest", "facts", "violations")
        kept = {name: getattr(self, name) for name in (*names, "mended", "runs")}
        self.directory.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(new, self._file)

    def verdict(self) -> str:
        """``met``, ``violated``, ``missed`` (a bound), ``open`` (more to do) or ``not run``."""
        if self.violations:
            return "violated"
        if not self.runs:
            return "not run"
        if any(goal.open(self) for goal in self.part.goals):
            return "open"
        return "missed" if self.missed() else "met"

    def missed(self) -> list[str]:
        """The bounds that do not hold."""
        return [said for goal in self.part.goals if (said := goal.missed(self))]


def spoken(name: str) -> str:
    """A name of a counter as words."""
    return name.replace("_", " ")


def again(name: str) -> str:
    """The command that runs a slice."""
    return f"python tests/check.py --release {name}"


def commit() -> str:
    """The tree that runs, in short, with a word if it is changed; "" outside a repository."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout.strip()


EXIT = {"met": 0, "violated": 1, "missed": 1, "open": 3, "not run": 3}


def run_slice(part: Slice, directory: Path, minutes: float, say: Callable[[str], None]) -> State:
    """Run a slice for some minutes, or until its goal is met. KeyboardInterrupt comes through,
    what was done until then is kept.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory / f"{part.name}.lock"):
        state = State(part, directory, say)
        state.say(f"{part.goal}; {state.verdict()} so far")
        if state.wanting():
            began_s = time.monotonic()
            state.runs.append({"commit": commit(), "minutes": 0.0})
            try:
                _perform(state, Deadline(minutes))
            finally:
                state.runs[-1]["minutes"] = round((time.monotonic() - began_s) / 60, 2)
                state.save()
    return state


def _perform(state: State, until: Deadline) -> None:
    with contextlib.suppress(Recorded), state.scratch():
        done = state.part.run(state, until)
        if inspect.isawaitable(done):
            asyncio.run(_awaited(done))


async def _awaited(work: Awaitable[None]) -> None:
    await work


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two runs of one slice would forget one another's figures."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"this slice is running already ({lock})")
        yield

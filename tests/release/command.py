"""``python tests/check.py --release``: the command line of the release gate."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import release
from release import gate, table
from release.gate import SLICES, TOP, State

# What git ignores already; evidence may hold databases of some hundred MB.
DIRECTORY = TOP / ".kvorum" / "release"
MINUTES = 75.0

EPILOG = """\
Exit status: 0 every goal met, 1 a violation (or a bound that does not hold), 3 not finished: the
same command goes on. Ctrl-C keeps what was done. After a violation a slice does no more until
--mended says what was done about it (the figures stay, the violation is listed as mended) or
--fresh begins anew.
"""


def load() -> None:
    """Import every module here, so that the slices are registered."""
    for module in pkgutil.iter_modules(release.__path__):
        importlib.import_module(f"release.{module.name}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="check.py --release",
        description="The release gate, slice by slice.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("slices", nargs="*", metavar="SLICE", help="which; none: all, in order")
    parser.add_argument("--list", action="store_true", help="the slices, their goals and state")
    parser.add_argument("--table", action="store_true", help="write the figures to tests/README.md")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for each  [default: 75]")
    parser.add_argument("--dir", type=Path, default=DIRECTORY, help="results and evidence")
    parser.add_argument("--mended", metavar="WORDS", help="what was done about the violations")
    parser.add_argument("--fresh", action="store_true", help="forget what these slices have done")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.slices) - set(SLICES))
    if unknown:
        parser.error(f"no slice {', '.join(unknown)}; there are: {', '.join(ordered())}")
    if (options.mended is not None or options.fresh) and not options.slices:
        parser.error("--mended and --fresh need the names of slices")
    return options


def ordered() -> list[str]:
    """The names of all slices, by the items they answer to."""
    return sorted(SLICES, key=lambda name: (SLICES[name].items, name))


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit status."""
    load()
    options = parse(arguments)
    names = options.slices or ordered()
    for name in names:
        if options.fresh:
            forget(name, options.dir)
        if options.mended is not None:
            mend(name, options.dir, options.mended)
    if options.list:
        for name in names:
            show(State(SLICES[name], options.dir))
        return 0
    if options.table:
        states = [State(SLICES[name], options.dir) for name in ordered()]
        if not any(state.runs for state in states):
            raise SystemExit(f"nothing was run in {options.dir}: the page stays as it is")
        table.write(states)
        print(f"written to {table.README.relative_to(TOP)}")
        return 0
    if options.mended is not None or options.fresh:
        return 0
    return run_all(names, options.dir.resolve(), options.minutes)


def run_all(names: Sequence[str], directory: Path, minutes: float) -> int:
    """One after the other; the gravest status."""
    before = signal.signal(signal.SIGTERM, _stop)
    statuses = [0]
    try:
        for name in names:
            state = gate.run_slice(SLICES[name], directory, minutes, _say)
            show(state)
            statuses.append(gate.EXIT[state.verdict()])
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        statuses.append(3)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 1 if 1 in statuses else max(statuses)


def _stop(number: int, frame: FrameType | None) -> None:
    # Not by SIGINT: a shell's background process ignores that.
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def show(state: State) -> None:
    """A slice, its goal and what was reached."""
    items = ", ".join(map(str, state.part.items))
    minutes = sum(run["minutes"] for run in state.runs)
    print(f"{state.part.name}  (item {items})  {state.verdict()}, {minutes:.1f} minutes")
    print(f"    goal     {state.part.goal}")
    if state.runs:
        print(f"    reached  {table.reached(state)}")
    for said in state.missed() if state.verdict() == "missed" else ():
        print(f"    missed   {said}")
    for found in state.violations:
        print(f"    VIOLATION {found['what']}\n      again: {found['replay']}")
        print(f"      evidence: {found['evidence']}")


def forget(name: str, directory: Path) -> None:
    """Begin a slice anew; its violations that were mended stay told, its evidence stays."""
    state = State(SLICES[name], directory)
    mended = state.mended
    (directory / f"{name}.json").unlink(missing_ok=True)
    if mended:
        state = State(SLICES[name], directory)
        state.mended = mended
        state.save()


def mend(name: str, directory: Path, words: str) -> None:
    """The violations of a slice are mended; their evidence goes."""
    state = State(SLICES[name], directory)
    for found in state.violations:
        state.mended.append({**found, "mended": words})
        if found["evidence"]:
            shutil.rmtree(found["evidence"], ignore_errors=True)
    state.violations = []
    state.save()

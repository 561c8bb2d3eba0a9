"""``kvorum drill list`` and ``kvorum drill run``: break a cluster from a scenario file."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvorum.drill.places import drill_names, find_drill, new_run_folder, runs_dir
from kvorum.drill.report import figure_lines, moment_line, verdict_lines
from kvorum.drill.scenario import Scenario, read_scenario
from kvorum.drill.words import STAGES
from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from kvorum.drill.runner import Moment
    from kvorum.drill.verdict import Verdict

PASSED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_SEEDS = 1 << 31

_FORM = click.option(
    "-w",
    "--write-out",
    type=click.Choice(["simple", "json"]),
    default="simple",
    show_default=True,
    help="How results are written.",
)


class BadInput(click.ClickException):
    """The scenario, the stage or an option is wrong."""

    exit_code = BAD_INPUT


@click.group()
def drill() -> None:
    """Break a cluster on purpose, from a file, and get a verdict with figures.

    \b
    Exit codes:
      0    every demand was met
      1    one was not, or the cluster did not start
      2    the input is wrong: the scenario, the stage, an option
      130  interrupted; every fault is lifted
    """


@drill.command("list")
@_FORM
def list_(write_out: str) -> None:
    """The drills that ship, and where each can run."""
    try:
        scenarios = [read_scenario(find_drill(name)) for name in drill_names()]
    except ConfigError as error:
        raise BadInput(str(error)) from error
    if write_out == "json":
        click.echo(json.dumps([_entry(scenario) for scenario in scenarios]))
        return
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        stages = ",".join(scenario.stages)
        click.echo(f"{scenario.name:<{width}}  {stages:<13}  {scenario.title}")


def _entry(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "learn": scenario.learn,
        "stages": list(scenario.stages),
        "nodes": scenario.shape.nodes,
        "length_s": scenario.length_s,
        "steps": [step.words for step in scenario.steps],
        "file": str(scenario.path),
    }


@drill.command()
@click.argument("scenario", metavar="NAME|FILE")
@click.option("--stage", type=click.Choice(STAGES), help="Default: the first that the drill names.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the run's folder is made (default: in the user's data directory).",
)
@click.option(
    "--endpoints",
    help="Members of a cluster that runs already, separated by commas. Without it the drill starts"
    " and stops a cluster of its own.",
)
@click.option("--seed", type=click.IntRange(0), help="Chooses whom roles mean (default: drawn).")
@_FORM
def run(
    scenario: str,
    stage: str | None,
    directory: Path | None,
    endpoints: str | None,
    seed: int | None,
    write_out: str,
) -> None:
    """Run a drill that ships, or a scenario file."""
    try:
        found = read_scenario(find_drill(scenario))
        kind = stage or found.stages[0]
        chosen = random.SystemRandom().randrange(_SEEDS) if seed is None else seed
        given = tuple(e.strip() for e in (endpoints or "").split(",") if e.strip())
        if why := found.refusal(kind):
            raise ConfigError(why)
        folder = new_run_folder(directory or runs_dir(), found.name, kind)
        code = _run(found, kind, chosen, folder, given, write_out)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    sys.exit(code)


def _run(
    scenario: Scenario,
    kind: str,
    seed: int,
    folder: Path,
    endpoints: tuple[str, ...],
    write_out: str,
) -> int:
    # Half a second of imports that `drill list` and wrong input need not pay for.
    from kvorum.drill.runner import Stopped
    from kvorum.drill.session import make_stage, run_drill
    from kvorum.drill.stage import StageError

    def say(moment: Moment) -> None:
        click.echo(moment_line(moment), err=True)

    again = f"kvorum drill run {scenario.name} --stage {kind} --seed {seed}"
    click.echo(f"{scenario.name} on stage {kind}, seed {seed}: {scenario.title}", err=True)
    with _stopping() as stopping:
        try:
            made = make_stage(scenario, kind, seed, folder, stopping, endpoints)
            verdict = asyncio.run(run_drill(scenario, made, seed, folder, stopping, say))
        except ConfigError:
            folder.rmdir()  # Nothing was run, so there is nothing to keep.
            raise
        except Stopped:
            click.echo(f"interrupted; no fault is in force; recording: {folder}", err=True)
            return INTERRUPTED
        except StageError as error:
            click.echo(f"Error: {error}", err=True)
            return FAILED
    _show(verdict, folder, write_out)
    if not verdict.passed:
        click.echo(f"again: {again}", err=True)
    return PASSED if verdict.passed else FAILED


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """While inside, SIGINT, SIGTERM and SIGHUP end the drill in order."""
    stopping = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, frame: stopping.set()) for n in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(verdict: Verdict, folder: Path, write_out: str) -> None:
    if write_out == "json":
        click.echo(json.dumps({**verdict.as_json(), "folder": str(folder)}))
        return
    for line in verdict_lines(verdict):
        click.echo(line)
    for name, value in figure_lines(verdict.figures):
        click.echo(f"  {name:<29} {value}")
    click.echo(f"{'passed' if verdict.passed else 'FAILED'}: {folder}")

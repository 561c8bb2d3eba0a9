"""``kvorum drill``: break a cluster from a scenario file; look at drills, and at earlier runs."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from kvorum.cli.chosen import tunnel_options
from kvorum.cli.drillmeter import Meter
from kvorum.cli.drillruns import BAD_INPUT, FORM, compare, runs
from kvorum.cli.options import tls_options, tunnel_from
from kvorum.cli.output import ask_password
from kvorum.cluster.file import ClusterSpec, read_cluster_file
from kvorum.cluster.places import find_cluster_file
from kvorum.drill.places import all_drills, find_drill, new_run_folder, runs_dir
from kvorum.drill.preview import lasting, preview
from kvorum.drill.report import figure_lines, moment_line, verdict_lines
from kvorum.drill.scenario import Scenario, read_scenario
from kvorum.drill.words import STAGES
from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from kvorum.client import TLS, Tunnel
    from kvorum.drill.access import Access
    from kvorum.drill.facts import Moment
    from kvorum.drill.verdict import Verdict

PASSED, FAILED, INTERRUPTED = 0, 1, 130
_SEEDS = 1 << 31


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


drill.add_command(runs)
drill.add_command(compare)


@drill.command("list")
@FORM
def list_(write_out: str) -> None:
    """The drills that ship and those that plugins bring, and where each can run."""
    try:
        names, wrong = all_drills()
        scenarios = [read_scenario(find_drill(name)) for name in names]
    except ConfigError as error:
        raise BadInput(str(error)) from error
    for text in wrong:
        click.echo(text, err=True)
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
@click.option("--nodes", type=click.IntRange(1, 9), help="Members (default: the drill's own).")
@FORM
def show(scenario: str, nodes: int | None, write_out: str) -> None:
    """What a drill does and what it teaches, step by step, and the quorum that is left at worst."""
    try:
        found = read_scenario(find_drill(scenario))
    except ConfigError as error:
        raise BadInput(str(error)) from error
    lines = preview(found, nodes or 0)
    if write_out == "json":
        steps = [
            {
                "when": line.when,
                "does": line.does,
                "hits": line.hits,
                "lasts": line.lasts,
                "left": line.left,
                "voters": line.voters,
                "quorum": line.quorum,
            }
            for line in lines
        ]
        click.echo(json.dumps({**_entry(found), "preview": steps}))
        return
    click.echo(f"{found.name}: {found.title}")
    click.echo(f"{found.learn}\n")
    click.echo(f"{found.shape.nodes} members, {found.length_s:g} s; on {', '.join(found.stages)}")
    for line in lines:
        click.echo(f"  {line.text}")


@dataclass(frozen=True)
class _Target:
    """On what a drill runs: endpoints that are given, or the file of a cluster to start."""

    endpoints: tuple[str, ...] = ()
    access: Access | None = None
    cluster: ClusterSpec | None = None

    @property
    def words(self) -> str:
        """For the run's folder; empty for a cluster of the drill's own shape."""
        return str(self.cluster.path) if self.cluster else ",".join(self.endpoints)


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
    "--cluster",
    help="A cluster file or a sample's name (tls3, auth3, etcd3, ...): the drill starts and stops"
    " a cluster of that shape.",
)
@click.option(
    "--endpoints",
    help="Members of a cluster that runs already, separated by commas. Without it the drill starts"
    " and stops a cluster of its own.",
)
@click.option("--user", help="With --endpoints: user name, or name:password.")
@click.option("--password", help="Password of --user.")
@click.option("--yes", is_flag=True, help="With --endpoints: do also what nothing can heal.")
@click.option("--seed", type=click.IntRange(0), help="Chooses whom roles mean (default: drawn).")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing while it runs.")
@FORM
@tunnel_options
@tls_options
def run(
    scenario: str,
    stage: str | None,
    directory: Path | None,
    cluster: str | None,
    endpoints: str | None,
    user: str | None,
    password: str | None,
    yes: bool,
    seed: int | None,
    quiet: bool,
    write_out: str,
    tls: TLS | None,
    ssh: str | None,
    proxy_command: str | None,
) -> None:
    """Run a drill that ships, or a scenario file."""
    try:
        found = read_scenario(find_drill(scenario))
        tunnel = tunnel_from({"ssh": ssh, "proxy_command": proxy_command})
        target = _target(cluster, endpoints, user, password, tls, tunnel)
        kind = stage or _default_stage(found, target)
        chosen = random.SystemRandom().randrange(_SEEDS) if seed is None else seed
        if why := found.refusal(kind):
            raise ConfigError(why)
        if target.endpoints and not yes and (for_good := lasting(found)):
            raise ConfigError(f"{' '.join(for_good)} If this cluster is for that, add --yes")
        folder = new_run_folder(directory or runs_dir(), found.name, kind)
        code = _run(found, kind, chosen, folder, target, quiet, write_out)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    sys.exit(code)


def _target(
    cluster: str | None,
    endpoints: str | None,
    user: str | None,
    password: str | None,
    tls: TLS | None,
    tunnel: Tunnel | None,
) -> _Target:
    """What the options mean. Raises ConfigError where they contradict one another."""
    given = tuple(e.strip() for e in (endpoints or "").split(",") if e.strip())
    if cluster is not None:
        if given or user or password:
            raise ConfigError(
                "--cluster starts a cluster; --endpoints, --user, --cert are of one"
                " that runs already"
            )
        return _Target(cluster=read_cluster_file(find_cluster_file(cluster)))
    if not given:
        if user or password:
            raise ConfigError("--user and --password go with --endpoints")
        return _Target()
    from kvorum.drill.access import Access

    if user is not None and password is None:
        user, colon, rest = user.partition(":")
        password = rest if colon else ask_password(user)
    if user is None and password is not None:
        raise ConfigError("--password needs --user")
    return _Target(given, Access(tls, user, password, tunnel))


def _default_stage(scenario: Scenario, target: _Target) -> str:
    """The first that the drill names and that the cluster file's program fits."""
    if target.cluster is not None:
        return "etcd" if target.cluster.program == "etcd" else "live"
    return scenario.stages[0]


def _run(
    scenario: Scenario,
    kind: str,
    seed: int,
    folder: Path,
    target: _Target,
    quiet: bool,
    write_out: str,
) -> int:
    # Half a second of imports that `drill list` and wrong input need not pay for.
    from kvorum.drill.facts import Stopped
    from kvorum.drill.session import make_stage, run_drill
    from kvorum.drill.stage import StageError

    meter = Meter(quiet)

    def say(moment: Moment) -> None:
        meter.say(moment_line(moment))

    meter.say(f"{scenario.name} on stage {kind}, seed {seed}: {scenario.title}")
    with _stopping() as stopping:
        try:
            made = make_stage(
                scenario,
                kind,
                seed,
                folder,
                stopping,
                *(target.endpoints, target.access),
                target.cluster,
            )
            verdict = asyncio.run(
                run_drill(scenario, made, seed, folder, stopping, say, meter.progress, target.words)
            )
        except ConfigError:
            folder.rmdir()  # Nothing was run, so there is nothing to keep.
            raise
        except Stopped:
            meter.clear()
            click.echo(f"interrupted; no fault is in force; recording: {folder}", err=True)
            return INTERRUPTED
        except KeyboardInterrupt:
            meter.clear()
            click.echo(
                "interrupted twice: faults and the drill's own nodes end by themselves in"
                f" their time; recording: {folder}",
                err=True,
            )
            return INTERRUPTED
        except StageError as error:
            meter.clear()
            click.echo(f"Error: {error}", err=True)
            return FAILED
    meter.clear()
    _show(verdict, folder, write_out)
    if not verdict.passed:
        again = f"kvorum drill run {scenario.path} --stage {kind} --seed {seed}"
        if target.cluster is not None:
            again += f" --cluster {target.cluster.path}"
        click.echo(f"again: {again}", err=True)
    return PASSED if verdict.passed else FAILED


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """While inside, SIGINT, SIGTERM and SIGHUP end the drill in order; a second one ends it at
    once.
    """
    stopping = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, handle) for n in numbers}
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
    for name in ("timeline.svg", "finding.svg"):
        if (folder / name).exists():
            click.echo(f"  {folder / name}")

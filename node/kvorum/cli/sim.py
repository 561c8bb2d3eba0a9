"""``kvorum sim``: simulated clusters under faults, by seed."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import click

from kvorum.sim.run import Report, Simulation
from kvorum.sim.world import SafetyViolation

_EXIT_VIOLATION = 1
_EXIT_INTERRUPTED = 5


@click.command()
@click.option("--seed", type=int, help="Run one seed and print its trace's last events.")
@click.option("--seeds", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--first", type=int, default=0, show_default=True, help="The first of them.")
@click.option(
    "--nodes",
    type=click.Choice(["0", "1", "3", "5"]),
    default="0",
    help="Members; 0: each seed chooses.",
)
@click.option("--seconds", type=float, default=30.0, show_default=True, help="Simulated, each.")
@click.option("-w", "--write-out", type=click.Choice(["simple", "json"]), default="simple")
def sim(
    seed: int | None, seeds: int, first: int, nodes: str, seconds: float, write_out: str
) -> None:
    """Break simulated clusters of the production replica and check that nothing is lost.

    Exit status: 0 when every seed held, 1 at the first violation, 5 when interrupted.
    """
    wanted = [seed] if seed is not None else range(first, first + seeds)
    started = time.monotonic()
    done = 0
    try:
        for number in wanted:
            simulation = Simulation(number, int(nodes), seconds)
            try:
                report = simulation.run()
            except SafetyViolation as violation:
                _explain(simulation, violation, number, nodes, seconds)
                sys.exit(_EXIT_VIOLATION)
            done += 1
            _show(report, write_out)
            if seed is not None and write_out == "simple":
                click.echo("\n".join(simulation.world.trace))
    except KeyboardInterrupt:
        click.echo(f"interrupted after {done} seeds, none of which failed", err=True)
        sys.exit(_EXIT_INTERRUPTED)
    spent_s = time.monotonic() - started
    click.echo(f"{done} seeds held, {spent_s:.1f} s", err=True)


def _show(report: Report, write_out: str) -> None:
    if write_out == "json":
        click.echo(json.dumps(asdict(report)))
        return
    click.echo(
        f"seed {report.seed:<6} nodes {report.nodes}  faults {report.faults:<4} "
        f"terms {report.terms:<4} committed {report.committed:<5} acknowledged "
        f"{report.acknowledged:<5} unknown {report.unknown:<4} converged {report.converged_s:.1f} s"
        f"  trace {report.trace_hash:016x}"
    )


def _explain(
    simulation: Simulation, violation: SafetyViolation, seed: int, nodes: str, seconds: float
) -> None:
    for line in simulation.world.trace:
        click.echo(line, err=True)
    click.echo(f"\nVIOLATION {violation}", err=True)
    click.echo(f"replay: kvorum sim --seed {seed} --nodes {nodes} --seconds {seconds:g}", err=True)

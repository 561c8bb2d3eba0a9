"""``kvorum sim``: simulated clusters under faults, by seed."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from kvorum.cli.output import form_option
from kvorum.sim.fleet import Outcome, Tally, processors, run_many
from kvorum.sim.plan import Plan, draw_plan
from kvorum.sim.run import Report, Simulation, judged
from kvorum.sim.shrink import Shrinker
from kvorum.sim.world import SafetyViolation

_EXIT_VIOLATION = 1
_EXIT_INTERRUPTED = 5
_PROGRESS_S = 2.0


@click.command()
@click.option("--seed", type=int, help="This seed; with --seeds, the first of them.")
@click.option("--seeds", type=click.IntRange(1), help="How many.  [default: 50, or 1 with --seed]")
@click.option(
    "--nodes",
    type=click.Choice(["0", "1", "3", "5"]),
    default="0",
    help="Members; 0: each seed chooses.",
)
@click.option("--seconds", type=float, default=30.0, show_default=True, help="Length of the storm.")
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: one a processor]")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first violation.")
@click.option("--shrink", is_flag=True, help="Look for a smaller run that fails alike.")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run what this file plans instead of what a seed decides.",
)
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the plan (the shrunk one, with --shrink) here, for --plan.",
)
@form_option("simple", "json")
def sim(
    seed: int | None,
    seeds: int | None,
    nodes: str,
    seconds: float,
    jobs: int | None,
    keep_going: bool,
    shrink: bool,
    plan_file: Path | None,
    save: Path | None,
    write_out: str,
) -> None:
    """Break simulated clusters of the production replica and check that nothing is lost.

    A single seed or plan prints its trace. Exit status: 0 when every seed held, 1 when one did not,
    2 for a wrong command, 5 when interrupted.
    """
    as_json = write_out == "json"
    if plan_file is not None or (seed is not None and seeds is None):
        plan = _plan(plan_file, seed or 0, int(nodes), seconds)
        sys.exit(_single(plan, plan_file, shrink, save, as_json))
    if shrink or save is not None:
        raise click.UsageError("--shrink and --save need one --seed or a --plan")
    first, count = seed or 0, seeds or 50
    wanted = range(first, first + count)
    sys.exit(_many(wanted, int(nodes), seconds, jobs or processors(), keep_going, as_json))


def _plan(file: Path | None, seed: int, nodes: int, seconds: float) -> Plan:
    if file is None:
        return draw_plan(seed, nodes, seconds)
    try:
        return Plan.from_json(file.read_text())
    except (ValueError, TypeError, KeyError) as error:
        raise click.UsageError(f"{file} is no plan: {error}") from error


# --- one run --------------------------------------------------------------------------------------


def _single(plan: Plan, file: Path | None, shrink: bool, save: Path | None, as_json: bool) -> int:
    failed, simulation = _run(plan, as_json)
    if failed is not None and shrink:
        plan = _shrunk(plan, failed)
        failed, simulation = _run(plan, as_json)
    if save is not None:
        save.write_text(plan.to_json() + "\n")
        click.echo(f"plan written to {save}", err=True)
    if not as_json:
        click.echo("\n".join(simulation.world.trace))
    if failed is None:
        return 0
    click.echo(f"\nVIOLATION {failed}", err=True)
    if shrink:
        _describe(plan)
    again = f"--plan {save or file}" if save or file else _seed_options(plan)
    click.echo(f"replay: kvorum sim {again}", err=True)
    return _EXIT_VIOLATION


def _run(plan: Plan, as_json: bool) -> tuple[SafetyViolation | None, Simulation]:
    simulation = Simulation(plan.seed, plan=plan, verbose=True)
    try:
        report = judged(simulation)
    except SafetyViolation as violation:
        if as_json:
            click.echo(json.dumps({"seed": plan.seed, "violation": str(violation)}))
        return violation, simulation
    _show(report, as_json)
    return None, simulation


def _seed_options(plan: Plan) -> str:
    return f"--seed {plan.seed} --nodes {plan.nodes} --seconds {plan.seconds:g}"


def _shrunk(plan: Plan, failed: SafetyViolation) -> Plan:
    def told(smaller: Plan, runs: int) -> None:
        click.echo(
            f"run {runs}: {len(smaller.strikes)} strikes, {len(smaller.clients)} clients, "
            f"{len(smaller.watchers)} watchers, {smaller.seconds:g} s still fail",
            err=True,
        )

    shrinker = Shrinker(plan, failed, told=told)
    try:
        return shrinker.shrink()
    except KeyboardInterrupt:
        click.echo("interrupted; this is the smallest so far", err=True)
        return shrinker.plan


def _describe(plan: Plan) -> None:
    click.echo(
        f"left: {plan.nodes} nodes, {plan.seconds:g} s, clients {list(plan.clients)}, watchers "
        f"{list(plan.watchers)}, {plan.weather}",
        err=True,
    )
    for traits in plan.traits:
        click.echo(f"  {traits}", err=True)
    for strike in plan.strikes:
        click.echo(f"  at {strike.at_us / 1e6:.3f} s: {strike.kind}", err=True)


# --- many seeds -----------------------------------------------------------------------------------


def _many(
    seeds: range, nodes: int, seconds: float, jobs: int, keep_going: bool, as_json: bool
) -> int:
    tally, shown_s, interrupted = Tally(), time.monotonic(), False
    try:
        with closing(run_many(seeds, nodes, seconds, jobs)) as outcomes:
            for outcome in outcomes:
                tally.add(outcome)
                _tell(outcome, nodes, seconds, as_json)
                if outcome.report is None and not keep_going:
                    break
                if time.monotonic() - shown_s > _PROGRESS_S:
                    shown_s = time.monotonic()
                    click.echo(_progress(tally, len(seeds)), err=True)
    except KeyboardInterrupt:
        interrupted = True
    _summary(tally, len(seeds), as_json)
    if tally.violations:
        return _EXIT_VIOLATION
    return _EXIT_INTERRUPTED if interrupted else 0


def _tell(outcome: Outcome, nodes: int, seconds: float, as_json: bool) -> None:
    if outcome.report is not None:
        _show(outcome.report, as_json)
        return
    if as_json:
        click.echo(json.dumps({"seed": outcome.seed, "violation": outcome.violation}))
    click.echo(f"VIOLATION {outcome.violation}", err=True)
    options = f"--seed {outcome.seed} --nodes {nodes} --seconds {seconds:g}"
    click.echo(f"replay: kvorum sim {options}  (smaller: add --shrink)", err=True)


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**asdict(report), "trace_hash": f"{report.trace_hash:016x}"}))
        return
    click.echo(
        f"seed {report.seed:<6} nodes {report.nodes}  faults {report.faults:<4} "
        f"terms {report.terms:<4} committed {report.committed:<5} acknowledged "
        f"{report.acknowledged:<5} unknown {report.unknown:<4} converged {report.converged_s:.1f} s"
        f"  trace {report.trace_hash:016x}"
    )


def _progress(tally: Tally, total: int) -> str:
    kinds = sum(count > 0 for count in tally.struck().values())
    return (
        f"{tally.seeds} of {total} seeds, {tally.seeds_per_s:.2f} a second, "
        f"{tally.simulated_s / 3600:.2f} simulated hours, {tally.faults} faults, {kinds} kinds of "
        f"harm seen, {len(tally.paths())} paths, {len(tally.violations)} violations"
    )


def _summary(tally: Tally, total: int, as_json: bool) -> None:
    if as_json:
        summary = {
            "seeds": tally.seeds,
            "seeds_per_s": round(tally.seeds_per_s, 3),
            "simulated_s": round(tally.simulated_s, 1),
            "operations": tally.operations,
            "acknowledged": tally.acknowledged,
            "faults": tally.faults,
            "violations": [outcome.seed for outcome in tally.violations],
            "struck": tally.struck(),
            "paths": tally.paths(),
        }
        click.echo(json.dumps({"summary": summary}))
        return
    click.echo("\nharm done:", err=True)
    for name, count in tally.struck().items():
        click.echo(f"  {count:>10}  {name}", err=True)
    click.echo("paths taken:", err=True)
    for name, count in tally.paths().items():
        click.echo(f"  {count:>10}  {name}", err=True)
    click.echo(_progress(tally, total), err=True)

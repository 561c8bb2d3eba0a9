"""One drill from file to verdict; :mod:`kvorum.drill.kept` has what is kept of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kvorum.cluster.file import ClusterSpec
from kvorum.drill.access import Access
from kvorum.drill.facts import Moment, Progress, unheard
from kvorum.drill.judging import judged
from kvorum.drill.kept import Kept
from kvorum.drill.runner import Runner
from kvorum.drill.scenario import Scenario
from kvorum.drill.stage import Stage, StageError
from kvorum.drill.verdict import Verdict, judge
from kvorum.errors import ConfigError


def quiet(moment: Moment) -> None:
    """The default listener: says nothing."""


def make_stage(
    scenario: Scenario,
    kind: str,
    seed: int,
    folder: Path,
    stopping: threading.Event,
    endpoints: Sequence[str] = (),
    access: Access | None = None,
    cluster: ClusterSpec | None = None,
) -> Stage:
    """The stage of that kind. ``endpoints``: of a cluster that runs already, spoken to as
    ``access`` says; ``cluster``: the shape of the one to start instead of the scenario's own.

    Raises ConfigError with the reason where it cannot run the drill.
    """
    why = scenario.refusal(kind)
    if why:
        raise ConfigError(why)
    if kind == "sim":
        if endpoints:
            raise ConfigError("stage sim has no endpoints; leave --endpoints away")
        if cluster is not None:
            raise ConfigError("stage sim simulates the scenario's own cluster; leave it away")
        # Half a second that drills on processes need not spend.
        from kvorum.drill.simulated import SimStage

        return SimStage(scenario, seed)
    from kvorum.drill.processes import ProcessStage, refusal_of_given

    if endpoints and (why := refusal_of_given(scenario, kind)):
        raise ConfigError(why)
    return ProcessStage(
        kind, scenario, seed, folder / "cluster", stopping, endpoints, access, cluster
    )


async def run_drill(
    scenario: Scenario,
    stage: Stage,
    seed: int,
    folder: Path,
    stopping: threading.Event,
    say: Callable[[Moment], None] = quiet,
    progress: Callable[[Progress], None] = unheard,
    cluster: str = "",
) -> Verdict:
    """Run, judge, keep. ``say`` is told each moment as it comes, ``progress`` a few times a second
    how far the run is; both in this event loop. ``cluster``: what it runs on, in words, where that
    is not a cluster of the drill's own.

    Raises :class:`kvorum.drill.facts.Stopped` when it was interrupted (what was recorded until then
    is kept), and StageError when the cluster does not start or the run cannot be kept.
    """
    try:
        return await _run_drill(scenario, stage, seed, folder, stopping, say, progress, cluster)
    except OSError as error:
        raise StageError(f"{folder}: the run cannot be kept: {error}") from error


async def _run_drill(
    scenario: Scenario,
    stage: Stage,
    seed: int,
    folder: Path,
    stopping: threading.Event,
    say: Callable[[Moment], None],
    progress: Callable[[Progress], None],
    cluster: str,
) -> Verdict:
    kept = Kept(folder, scenario, stage, seed, cluster)

    def told(moment: Moment) -> None:
        kept.moment(moment)
        say(moment)

    runner = Runner(scenario, stage, seed, told, stopping, progress)
    try:
        facts = await runner.run()
    finally:
        await asyncio.to_thread(kept.close, runner.facts)
    history = stage.recorder.history
    found, gravest = await asyncio.to_thread(judged, history)
    verdict = judge(scenario, stage.kind, seed, facts, history, found)
    await asyncio.to_thread(kept.conclude, verdict, facts, gravest)
    return verdict

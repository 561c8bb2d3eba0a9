"""Runs a scenario on a stage: steps when they are due, faults lifted when their time is over.

Whatever happens - a step that fails, Ctrl-C, an error - every fault is lifted and the stage is
closed before the runner returns. Should the runner itself be killed, nodes lift their faults by
themselves: each was given its duration.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from kvorum.check import records as r
from kvorum.drill.facts import Facts, Moment, Progress, Stopped, unheard
from kvorum.drill.recorder import NS
from kvorum.drill.reigns import Reigns
from kvorum.drill.scenario import Scenario, Step
from kvorum.drill.stage import Fault, Stage, StageError, View
from kvorum.drill.targets import NoTarget, cut_links, resolve
from kvorum.drill.words import DEADLY, LINK_WORDS, WORDS

__all__ = ["Facts", "Moment", "Progress", "Runner", "Stopped", "unheard"]

T = TypeVar("T")

_POLL_S = 0.02
_TELL_S = 0.2  # Between two words about progress.
_TARGET_S = 10.0  # How long a step waits for somebody who fits its role.
_CONVERGE_MORE_S = 30.0  # Waited beyond what is expected: how late it was is a figure as well.
# A member that was killed for good is back after these, or none any more.
_BACK = ("restart", "remove_member", "replace_member", "rejoin_member")
_DIGESTS_S = 15.0  # After the last write every member applies it within a heartbeat or two.


@dataclass
class _Active:
    fault: Fault
    ends_s: float
    line: int


class Runner:
    """One run.

    Args:
        seed: chooses among nodes that fit a role.
        say: told each moment as it comes. progress: told every so often how far it is.
        stopping: set from anywhere to end the drill early; :meth:`run` then raises Stopped.
    """

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        seed: int,
        say: Callable[[Moment], None],
        stopping: threading.Event,
        progress: Callable[[Progress], None] = unheard,
    ) -> None:
        self.facts = Facts()
        self._scenario = scenario
        self._stage = stage
        self._rng = random.Random(seed)
        self._say = say
        self._stopping = stopping
        self._progress = progress
        self._phase, self._told_s = "starting", 0.0
        self._dead: dict[str, int] = {}  # Killed until somebody starts them: the fault's line.
        self._active: list[_Active] = []
        self._before: tuple[str, ...] = ()
        self._mark = View()  # The cluster as it was at the step before,
        self._marked_s = 0.0  # and when that was.
        self._behind = 0
        self._clear_s = 0.0  # When anything was last broken, mended or ordered,
        self._agreed_s: float | None = None  # and when all members agreed after that.
        self._held_s: float | None = None  # Since when the next step's condition holds.
        self._reigns = Reigns(self.facts)

    async def run(self) -> Facts:
        """The whole drill. Raises Stopped, and StageError when the stage cannot even begin."""
        try:
            self._enter("starting")
            await self._stage.open()
            await self._stage.begin()
            view = self._stage.view()
            self.facts.first_term = view.term
            self._mark = view
            try:
                self._enter("steps")
                await self._steps()
                self._enter("healing")
                await self._heal()
                self._enter("converging")
                await self._converge()
                self._enter("reading")
                self.facts.finished_s = self._stage.now_s()
                await self._stage.finish()
                self._enter("comparing")
                await self._compare()
            except StageError as error:
                self.facts.broken = str(error)
                self._note("failed", str(error))
            self.facts.last_term = max(self._stage.view().term, self.facts.first_term)
        finally:
            await self._stage.close()
            for active in self._active:
                self._over(active.line)
        return self.facts

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._tell()

    def _tell(self) -> None:
        recorder, view = self._stage.recorder, self._stage.view()
        self._told_s = self._stage.now_s()
        self._progress(
            Progress(
                at_s=self._told_s if self._phase != "starting" else 0.0,
                length_s=self._scenario.length_s,
                phase=self._phase,
                acknowledged=recorder.acknowledged,
                failed=recorder.refused,
                unknown=recorder.unknown,
                leader=view.leader,
                term=view.term,
                faults=tuple(active.fault.words for active in self._active),
            )
        )

    # --- the loop ---------------------------------------------------------------------------------

    async def _steps(self) -> None:
        waiting = deque(self._scenario.steps)
        while True:
            await self._tick()
            now = self._stage.now_s()
            if waiting and self._due(waiting[0], now):
                await self._do(waiting.popleft())
                self._held_s = None
            elif now >= self._scenario.length_s or self._early(bool(waiting)):
                break
        for step in waiting:
            self._fail(step, f"its condition ({step.when or step.at_s}) never held")
        self.facts.ended_s = self._stage.now_s()

    def _early(self, waiting: bool) -> bool:
        """Whether the run ends before its time."""
        return self._scenario.ends_with_steps and not waiting and not self._active

    async def _tick(self) -> None:
        if self._stopping.is_set():
            raise Stopped
        await self._stage.wait(_POLL_S)
        for active in [a for a in self._active if a.ends_s <= self._stage.now_s()]:
            await self._lift(active)
        self._observe()
        if self._stage.now_s() >= self._told_s + _TELL_S:
            self._tell()
        if self._agreed_s is None and not self._active and self._agree(self._clear_s):
            self._agreed_s = self._stage.now_s()
            self._reigns.agreed(self._stage.view())
            self._note("note", f"all agree, {self._agreed_s - self._clear_s:.2f} s after that")

    def _stir(self) -> None:
        """Something was broken, mended or ordered: agreement must be found anew."""
        self._clear_s, self._agreed_s = self._stage.now_s(), None
        self._behind = max((node.applied for node in self._stage.view().nodes), default=0)

    def _agree(self, since_s: float) -> bool:
        """Everybody answers in one term with a leader, has applied what anybody had at
        ``_behind``, and a write that was asked for since is acknowledged.
        """
        view = self._stage.view()
        same = view.leader is not None and all(
            n.alive and not n.paused and n.term == view.term and n.applied >= self._behind
            for n in view.nodes
        )
        return same and self._stage.recorder.write_called_s >= since_s

    def _observe(self) -> None:
        news = self._reigns.see(self._stage.view(), self._stage.now_s())
        if news is not None:
            self._note("leader", news)

    def _due(self, step: Step, now: float) -> bool:
        if step.at_s is not None:
            return now >= step.at_s
        if not self._holds(step.when):
            self._held_s = None
            return False
        if self._held_s is None:
            self._held_s = now
        return now >= self._held_s + step.after_s

    def _holds(self, condition: str) -> bool:
        view = self._stage.view()
        if condition == "leader":
            return view.leader is not None
        if condition == "no_leader":
            return view.leader is None
        if condition == "new_leader":
            return view.leader is not None and view.term > self._mark.term
        if condition == "dead":
            return not all(node.alive for node in view.nodes)
        if condition == "healed":
            return not self._active
        return self._stage.recorder.write_called_s > self._marked_s

    # --- one step ---------------------------------------------------------------------------------

    async def _do(self, step: Step) -> None:
        self._mark, self._marked_s = self._stage.view(), self._stage.now_s()
        try:
            if step.do == "heal":
                await self._heal()
            elif step.do == "converge":
                await self._until_agreed(step.within_s)
            elif WORDS[step.do].fault or step.do in DEADLY:
                await self._inject(step)
            else:
                await self._order(step)
        except (NoTarget, StageError) as error:
            self._fail(step, str(error))

    async def _ticking(self, deed: Coroutine[Any, Any, str]) -> str:
        """Await what may take long, while faults are lifted when they are over. A stage whose
        coroutines never suspend is done with the first breath.
        """
        task = asyncio.create_task(deed)
        try:
            await asyncio.sleep(0)
            while not task.done():
                await self._tick()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _names(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Roles as names."""
        return await self._found(
            lambda: resolve(roles, self._stage.view(), self._rng, self._before)
        )

    async def _found(self, find: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """What ``find`` finds, as soon as there is somebody: a leader is waited for."""
        end_s = self._stage.now_s() + _TARGET_S
        while True:
            try:
                return find()
            except NoTarget:
                if self._stage.now_s() >= end_s:
                    raise
            await self._tick()

    async def _inject(self, step: Step) -> None:
        names = await self._names(step.targets)
        links: tuple[tuple[str, str], ...] = ()
        if step.do in LINK_WORDS:
            to = await self._names(step.to)
            links = await self._found(
                lambda: cut_links(step.do, self._stage.view(), names, to, self._rng)
            )
        fault = Fault(step, names, links)
        view, began_s = self._stage.view(), self._stage.now_s()
        self._note("step", fault.words)
        self.facts.injected += 1
        proof = await self._ticking(self._stage.inject(fault))
        self.facts.bitten += 1
        self._stir()
        self._note("proof", proof)
        self._before = names or self._before
        line = self._record(fault, began_s)
        if step.for_s:
            # At the moment of the injection: what the stage took for it is part of its time.
            self._active.append(_Active(fault, began_s + step.for_s, line))
        else:
            self._dead.update(dict.fromkeys(names, line))
        self._reigns.hit(fault, view, began_s)

    async def _order(self, step: Step) -> None:
        names = await self._names(step.targets)
        view, began_s = self._stage.view(), self._stage.now_s()
        shown = f"{step.do.replace('_', ' ')} {' and '.join(names)}".strip()
        self._note("step", shown)
        self._reigns.ordered(step, names, view, began_s)
        self._stage.recorder.history.add(
            r.Fault(step.do, int(began_s * NS), int(began_s * NS), ",".join(names))
        )
        proof = await self._ticking(self._stage.order(step, names))
        if step.do in _BACK:
            self._risen(names)
        self._before = names or self._before
        self._stir()
        self._note("proof", proof)

    def _record(self, fault: Fault, began_s: float) -> int:
        """A line about the fault, with the end that is planned; the true one comes when it is
        over.
        """
        history = self._stage.recorder.history
        ends_s = began_s + fault.step.for_s
        history.add(
            r.Fault(
                fault.step.do,
                int(began_s * NS),
                int(ends_s * NS) if fault.step.for_s else r.NEVER,
                ",".join(fault.names) or ",".join(sorted({a for a, _ in fault.links})),
                fault.words,
            )
        )
        return len(history.faults) - 1

    def _over(self, line: int) -> None:
        """The fault of that line has ended now."""
        faults = self._stage.recorder.history.faults
        faults[line] = faults[line]._replace(until=self._stage.recorder.now())

    def _risen(self, names: tuple[str, ...]) -> None:
        """Members that were killed for good are started again, or are no members any more."""
        for line in sorted({self._dead.pop(name) for name in names if name in self._dead}):
            if line not in self._dead.values():
                self._over(line)

    async def _lift(self, active: _Active) -> None:
        self._active.remove(active)
        did = await self._stage.lift(active.fault)
        self._over(active.line)
        self._stir()
        self._note("lift", f"over: {active.fault.words}{f' ({did})' if did else ''}")

    # --- the end ----------------------------------------------------------------------------------

    async def _heal(self) -> None:
        if self._active or not all(node.alive for node in self._stage.view().nodes):
            for active in list(self._active):
                await self._lift(active)
            await self._stage.heal()
            self._risen(tuple(self._dead))
            self._stir()
        self.facts.healed_s = self._stage.now_s()
        self._note("lift", "no fault is in force, every member is started")

    async def _converge(self) -> None:
        wait_s = self._scenario.expect.converge_within_s + _CONVERGE_MORE_S
        try:
            await self._until_agreed(wait_s)
        except StageError as error:
            self._note("failed", str(error))
        if self._agreed_s is not None:
            self.facts.converged_s = self._agreed_s - self._clear_s

    async def _until_agreed(self, within_s: float) -> None:
        """Until :meth:`_tick` has seen agreement."""
        began_s = self._stage.now_s()
        while self._agreed_s is None:
            if self._stage.now_s() - began_s > within_s:
                nodes = self._stage.view().nodes
                shown = ", ".join(f"{n.name} term {n.term} at {n.applied}" for n in nodes)
                raise StageError(f"no agreement within {within_s:g} s: {shown}")
            await self._tick()

    async def _compare(self) -> None:
        """Digests, once everybody has applied everything."""
        end_s = self._stage.now_s() + _DIGESTS_S
        while True:
            found = await self._stage.digests()
            self.facts.digests = found
            names = self._stage.view().names
            self.facts.silent = tuple(name for name in names if name not in found)
            if (
                not self.facts.silent and len(set(found.values())) == 1
            ) or self._stage.now_s() > end_s:
                return
            await self._stage.wait(5 * _POLL_S)

    def _fail(self, step: Step, why: str) -> None:
        self.facts.failed_steps.append(f"line {step.line}: {step.words}: {why}")
        self._note("failed", f"{step.words}: {why}")

    def _note(self, kind: str, text: str) -> None:
        moment = Moment(round(self._stage.now_s(), 3), kind, text)
        self.facts.moments.append(moment)
        self._say(moment)

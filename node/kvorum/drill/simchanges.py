"""Orders about the members of a simulated cluster: add, remove, replace, rejoin.

They are done as an operator does them: asked of any member that serves, again while the cluster is
not ready, and a machine is started for whoever the members know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvorum.drill.scenario import Step
from kvorum.drill.stage import StageError
from kvorum.errors import Condition
from kvorum.machine import commands
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Failed, Outcome
from kvorum.sim.boot import peer_url
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

_DONE_S = 30.0
_TRY_S = 5.0
_AGAIN_S = 0.3  # Between two tries of a change that the cluster is not ready for.
_TRY_TICKS = 40
_REQUESTS = 0xFFFA << 32

# Lets simulated time pass, until a condition holds: then True.
Run = Callable[[float, Callable[[], bool] | None], bool]


class SimChanges:
    """Carries orders out. ``names`` are those of the members, by id; ``make`` brings up a machine
    for a new one and adds it to ``nodes``."""

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimNode],
        names: dict[int, str],
        make: Callable[[int], SimNode],
        run: Run,
    ) -> None:
        self._world = world
        self._nodes = nodes
        self._names = names
        self._make = make
        self._run = run
        self._asked = 0

    def order(self, step: Step, names: Sequence[str]) -> str:
        """One order; what came of it. Raises StageError."""
        match step.do:
            case "add_member":
                return self._add(step.learner)
            case "remove_member":
                return self._remove(names)
            case "replace_member":
                return f"{self._remove(names)}, {self._add(False)}"
            case "rejoin_member":
                for name in names:
                    self._rejoin(name)
                return f"{' and '.join(names)} back under a new id, and voting"
        raise StageError(f"{step.do} is not done by stage sim")

    def node(self, name: str) -> SimNode:
        """The machine of a member. Raises StageError."""
        for node in self._nodes:
            if self._names.get(node.id) == name:
                return node
        raise StageError(f"{name} is no member now")

    def _remove(self, names: Sequence[str]) -> str:
        for name in names:
            node = self.node(name)
            self._change(commands.MemberRemove(node.id), Condition.MEMBER_NOT_FOUND)
            del self._names[node.id]
        return f"{' and '.join(names)} removed"

    def _add(self, learner: bool, name: str = "") -> str:
        began_us = self._world.now_us
        member = 1 + max(node.id for node in self._nodes)
        name = name or f"n{member}"
        added = commands.MemberAdd(member, (peer_url(member),), learner, 1)
        self._change(added, Condition.MEMBER_EXIST)
        node = self._make(member)
        self._names[member] = name
        self._bring_up(node)
        if not learner:
            return f"{name} added and started"
        self._change(commands.MemberPromote(member), Condition.MEMBER_NOT_LEARNER)
        took_s = (self._world.now_us - began_us) / 1e6
        return f"{name} added as a learner, votes after {took_s:.2f} s"

    def _bring_up(self, node: SimNode) -> None:
        """Start it, again while nobody can tell it who the members are, until it knows them."""
        end_us = self._world.now_us + int(_DONE_S * 1e6)
        while not node.joined:
            if self._world.now_us >= end_us:
                raise StageError(f"n{node.id} was started and has not joined in {_DONE_S:g} s")
            if not node.alive:
                node.start()
            self._run(_AGAIN_S, lambda: node.joined)

    def _rejoin(self, name: str) -> None:
        node = self.node(name)
        if node.alive:
            raise StageError(f"{name} runs; only a dead one can rejoin")
        self._remove((name,))
        self._add(learner=True, name=name)

    def _change(self, change: commands.MemberChange, again: Condition) -> None:
        """Ask until it is done; ``again`` is what a second try of a done one is told."""
        end_us = self._world.now_us + int(_DONE_S * 1e6)
        why = "nobody serves"
        tries = 0
        while self._world.now_us < end_us:
            outcome = self._ask(change)
            if isinstance(outcome, Done):
                return
            if isinstance(outcome, Failed):
                why = outcome.condition.message
                if tries and outcome.condition is again:
                    return
                tries += 1
            self._run(_AGAIN_S, None)
        raise StageError(f"{change}: {why}")

    def _ask(self, change: commands.MemberChange) -> Outcome | None:
        serving = [node for node in self._nodes if node.joined and node.id in self._names]
        if not serving:
            return None
        self._asked += 1
        now_ms = self._world.now_us // 1000
        outcomes: list[Outcome] = []
        ask = i.ChangeMembers(_REQUESTS | self._asked, change, now_ms, _TRY_TICKS)
        self._world.rng.choice(serving).ask(ask, outcomes.append)
        self._run(_TRY_S, lambda: bool(outcomes))
        return outcomes[0] if outcomes else None

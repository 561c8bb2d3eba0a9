"""Three replicas without hands, the first of which leads."""

from __future__ import annotations

from typing import Any

from kvorum.machine import commands
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from unit.replica.world import World

MEMBERS = (1, 2, 3)


class Elected:
    """Three members, the first of which leads, and what it replies."""

    def __init__(self, count: int = 3, **settings: int) -> None:
        self.replies: dict[int, Any] = {}
        self.effects: list[tuple[int, e.Effect]] = []
        self.world = World(count, self._observe, **settings)
        while self.world.nodes[1].replica.leader != 1:
            self.world.give(1, i.Tick())
            self.world.settle()

    def _observe(self, node: Any, effect: e.Effect) -> None:
        self.effects.append((node.id, effect))
        if isinstance(effect, e.Reply):
            self.replies[effect.request_id] = effect.outcome

    def change(self, number: int, change: commands.Command, on: int = 1) -> Any:
        """Ask for a change of members."""
        self.world.give(on, i.ChangeMembers(number, change, 0))
        self.world.settle()
        return self.replies.get(number)

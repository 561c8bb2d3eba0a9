"""Links with weather of their own, and a member's whole applied order, in a simulated world."""

from __future__ import annotations

from collections.abc import Callable

from kvorum.check import records as r
from kvorum.drill.simload import recorded
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import WatchSpec
from kvorum.sim.network import Network, Weather
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

_DUMP_STREAM = 9_000


class LinkNetwork(Network):
    """A network whose directed links can have a weather each; ``links``: (from, to) -> weather."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.links: dict[tuple[int, int], Weather] = {}

    def send(self, sender: int, to: int, deliver: Callable[[], None], once: bool = False) -> None:
        """As everywhere, in this link's weather."""
        fair = self.weather
        self.weather = self.links.get((sender, to), fair)
        try:
            super().send(sender, to, deliver, once)
        finally:
            self.weather = fair


class Dumper:
    """Reads all events from ``first`` to ``last`` from one member, by a watch of its own."""

    def __init__(self, world: World, node: SimNode, first: int, last: int) -> None:
        self.events: dict[int, list[r.Event]] = {}
        self._world = world
        self._last = last
        self._next = first
        node.sinks[_DUMP_STREAM] = self._taken
        spec = WatchSpec(b"\0", b"\0", first, prev_kv=True)
        node.handle(i.WatchClose(_DUMP_STREAM), i.WatchCreate(_DUMP_STREAM, spec))

    def complete(self) -> bool:
        """Everything is here."""
        return self._next > self._last

    def _taken(self, node: SimNode, deliver: e.Deliver) -> None:
        for item in deliver.items:
            if isinstance(item, e.Events):
                for event in item.events:
                    self.events.setdefault(event.revision, []).append(recorded(event))
                self._next = item.events[-1].revision + 1
            elif isinstance(item, e.Progress):
                self._next = max(self._next, item.revision + 1)
        size = deliver.size_bytes
        self._world.after(0, lambda: node.handle(i.WatchTaken(_DUMP_STREAM, size)))

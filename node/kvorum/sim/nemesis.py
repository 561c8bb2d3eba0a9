"""What goes wrong, and how often: each seed draws its own mixture, so that some runs are all
crashes and others all weather."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvorum.replica import inputs as i
from kvorum.sim.network import Network, Weather
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

_SECOND_US = 1_000_000


class Nemesis:
    """Breaks nodes and links for as long as it is told to."""

    def __init__(self, world: World, network: Network, nodes: Sequence[SimNode]) -> None:
        self._world = world
        self._network = network
        self._nodes = nodes
        self._active = False
        self.injected = 0

    def start(self) -> None:
        """Draw this seed's mixture and let it loose."""
        rng = self._world.rng
        self._active = True
        self._network.weather = Weather(
            loss=rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
            duplicate=rng.choice((0.0, 0.02, 0.2)),
            delay_us_min=rng.choice((50, 500)),
            delay_us_max=rng.choice((1_000, 5_000, 50_000)),
            spike=rng.choice((0.0, 0.01, 0.05)),
        )
        for node in self._nodes:
            node.clock_rate = rng.uniform(0.85, 1.2) if rng.random() < 0.3 else 1.0
            node.sync_us_max = rng.choice((1_000, 5_000, 40_000, 150_000))
            node.crash_chance = rng.choice((0.0, 0.0, 0.0005, 0.003))
            # A vote is a promise that matters most right after it was given.
            node.vote_crash_chance = rng.choice((0.0, 0.0, 0.1, 0.4))
        for fault in (
            self._crash,
            self._partition,
            self._pause,
            self._contest,
            self._sync_error,
            self._all_down,
        ):
            mean_s = rng.choice((0, 2, 5, 15))
            if fault in (self._sync_error, self._all_down):
                mean_s *= 4
            if mean_s:
                self._schedule(fault, mean_s)

    def _schedule(self, fault: Callable[[], None], mean_s: float) -> None:
        def strike() -> None:
            if self._active:
                self.injected += 1
                fault()
                self._schedule(fault, mean_s)

        self._world.after(int(self._world.rng.expovariate(1 / mean_s) * _SECOND_US), strike)

    def stop(self) -> None:
        """No more faults: links whole, weather fair, clocks even, every node up."""
        self._active = False
        self._network.heal()
        self._network.weather = Weather()
        for node in self._nodes:
            node.clock_rate, node.sync_us_max, node.crash_chance = 1.0, 4_000, 0.0
            node.vote_crash_chance = 0.0
            node.heal_disks()
            node.pause(False)
            if not node.alive:
                node.start()

    def _pick(self) -> SimNode:
        """Any node; the leader more often, because that is where it hurts."""
        rng = self._world.rng
        leaders = [n for n in self._nodes if n.alive and n.replica.leader == n.id]
        return rng.choice(leaders) if leaders and rng.random() < 0.4 else rng.choice(self._nodes)

    def _crash(self) -> None:
        node = self._pick()
        node.crash(power=self._world.rng.random() < 0.6)
        self.revive(node)

    def revive(self, node: SimNode) -> None:
        """Start a dead node again after a while."""

        def start() -> None:
            if not node.alive:
                node.start()

        # Often at once: what a node promised just before it died must still bind it.
        rng = self._world.rng
        longest_us = rng.choice((5_000, 20_000, 200_000, 2 * _SECOND_US, 6 * _SECOND_US))
        self._world.after(rng.randint(1_000, longest_us), start)

    def _contest(self) -> None:
        """The leader's machine reboots, two others lose patience at the same moment, and whoever
        gives one of them its vote may be gone before the other asks: only its disk remembers.
        """
        rng = self._world.rng
        node = self._pick()
        node.crash(power=True)
        rivals = rng.sample(self._nodes, min(2, len(self._nodes)))
        patience = [i.Tick()] * rng.randint(10, 25)

        def start() -> None:
            if self._active and not node.alive:
                node.start()

        def campaign() -> None:
            for rival in rivals:
                # A leader's ticks are also its leases' clocks, which must not jump.
                if rival.alive and rival.replica.leader != rival.id:
                    rival.handle(*patience)

        self._world.after(rng.randint(1_000, 10_000), start)
        self._world.after(rng.randint(10_000, 20_000), campaign)
        self.revive(node)

    def _all_down(self) -> None:
        for node in self._nodes:
            node.crash(power=True)
            self.revive(node)

    def _sync_error(self) -> None:
        """The next fsync but a few fails: the process must end there and then."""
        self._pick().fail_sync(self._world.rng.randrange(1, 6))

    def _pause(self) -> None:
        node = self._pick()
        node.pause(True)
        self._world.after(
            self._world.rng.randint(100_000, 4 * _SECOND_US), lambda: node.pause(False)
        )

    def _partition(self) -> None:
        rng = self._world.rng
        ids = [node.id for node in self._nodes]
        kind = rng.choice(("halves", "isolate", "one-way", "ring", "heal"))
        self._network.heal()
        if kind == "halves":
            rng.shuffle(ids)
            at = rng.randrange(1, len(ids)) if len(ids) > 1 else 0
            pairs = [(a, b) for a in ids[:at] for b in ids[at:]]
            pairs += [(b, a) for a, b in pairs]
        elif kind == "isolate":
            lonely = self._pick().id
            pairs = [(lonely, x) for x in ids if x != lonely]
            pairs += [(b, a) for a, b in pairs]
        elif kind == "one-way":
            lonely = self._pick().id
            others = [x for x in ids if x != lonely]
            pairs = [(x, lonely) if rng.random() < 0.5 else (lonely, x) for x in others]
        elif kind == "ring":
            # Every node still reaches its two neighbours; with three nodes one link is cut.
            rng.shuffle(ids)
            near = {
                (ids[k], ids[(k + step) % len(ids)]) for k in range(len(ids)) for step in (1, -1)
            }
            pairs = [(a, b) for a in ids for b in ids if a != b and (a, b) not in near]
            if len(ids) == 3:
                pairs = [(ids[0], ids[1]), (ids[1], ids[0])]
        else:
            pairs = []
        for sender, to in pairs:
            self._network.cut(sender, to)
        self._world.note(f"links: {kind} {pairs}")
        self._world.after(rng.randint(200_000, 8 * _SECOND_US), self._network.heal)

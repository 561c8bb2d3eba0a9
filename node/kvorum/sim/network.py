"""The network between simulated nodes: late, lossy, doubling, reordering, cut in one or both
directions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvorum.sim.world import World, between

Pairs = list[tuple[int, int]]
SHAPES = ("halves", "isolate", "deaf", "mute", "one-way", "ring", "bridge", "heal")


@dataclass(frozen=True)
class Weather:
    """What the network does to each message; chances are in [0, 1], times in microseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_us_min: int = 200
    delay_us_max: int = 2_000
    spike: float = 0.0
    spike_us: int = 400_000


FAIR = Weather()


class Network:
    """Directed links by (from, to). A cut link loses everything sent while it is cut."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.dice("network")
        self.weather = FAIR
        self._cut: dict[tuple[int, int], None] = {}
        self.sent = 0
        self.lost = 0

    def send(self, sender: int, to: int, deliver: Callable[[], None], once: bool = False) -> None:
        """Perhaps deliver, perhaps twice (unless ``once``), perhaps late, and in no order."""
        self.sent += 1
        rng, weather, coverage = self._rng, self.weather, self._world.coverage
        if (sender, to) in self._cut:
            self.lost += 1
            coverage["network.cut"] += 1
            return
        if rng.random() < weather.loss:
            self.lost += 1
            coverage["network.lost"] += 1
            return
        copies = 1
        if rng.random() < weather.duplicate and not once:
            copies = 2
            coverage["network.doubled"] += 1
        for _ in range(copies):
            delay = between(rng, weather.delay_us_min, weather.delay_us_max)
            if rng.random() < weather.spike:
                delay += rng.randrange(weather.spike_us)
                coverage["network.late"] += 1
            self._world.after(delay, deliver)

    def connected(self, sender: int, to: int) -> bool:
        """Nothing cuts this direction."""
        return (sender, to) not in self._cut

    def cut(self, sender: int, to: int) -> None:
        """Lose everything in this direction from now on."""
        self._cut[sender, to] = None

    def join(self, sender: int, to: int) -> None:
        """This direction is whole again."""
        self._cut.pop((sender, to), None)

    def heal(self) -> None:
        """No link is cut any more."""
        self._cut.clear()


def both_ways(pairs: Pairs) -> Pairs:
    """Each direction of each pair."""
    return pairs + [(b, a) for a, b in pairs]


def shape(kind: str, ids: Sequence[int], lonely: int, rng: random.Random) -> Pairs:
    """The directed links that a cut of this kind (one of ``SHAPES``) takes away.

    ``lonely`` is whom it is about, where it is about one node. halves: two groups. isolate: one
    node hears and reaches nobody. deaf: hears nobody. mute: reaches nobody. one-way: each of its
    links loses one direction. ring: each node reaches its two neighbours only. bridge: two groups
    that only one node joins. heal: none.
    """
    others = [other for other in ids if other != lonely]
    mixed = list(ids)
    rng.shuffle(mixed)
    if kind == "halves" and len(ids) > 1:
        at = rng.randrange(1, len(ids))
        return both_ways([(a, b) for a in mixed[:at] for b in mixed[at:]])
    if kind == "isolate":
        return both_ways([(lonely, other) for other in others])
    if kind == "deaf":
        return [(other, lonely) for other in others]
    if kind == "mute":
        return [(lonely, other) for other in others]
    if kind == "one-way":
        return [(x, lonely) if rng.random() < 0.5 else (lonely, x) for x in others]
    if kind == "ring" and len(ids) > 3:
        steps = ((k, (k + step) % len(mixed)) for k in range(len(mixed)) for step in (1, -1))
        near = {(mixed[a], mixed[b]) for a, b in steps}
        return [(a, b) for a in mixed for b in mixed if a != b and (a, b) not in near]
    if kind in ("ring", "bridge") and len(ids) > 2:
        # With three nodes both are the same: one link is cut.
        half = len(mixed) // 2
        left, right = mixed[:half], mixed[half + 1 :]
        return both_ways([(a, b) for a in left for b in right])
    return []

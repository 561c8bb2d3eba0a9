"""The network between simulated nodes: late, lossy, doubling, reordering, cut in one or both
directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvorum.sim.world import World


@dataclass
class Weather:
    """What the network does to each message; chances are in [0, 1], times in microseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_us_min: int = 200
    delay_us_max: int = 2_000
    spike: float = 0.0
    spike_us: int = 400_000


class Network:
    """Directed links by (from, to). A cut link loses everything sent while it is cut."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.weather = Weather()
        self._cut: dict[tuple[int, int], None] = {}
        self.sent = 0
        self.lost = 0

    def send(self, sender: int, to: int, deliver: Callable[[], None], once: bool = False) -> None:
        """Perhaps deliver, perhaps twice (unless ``once``), perhaps late, and in no order."""
        self.sent += 1
        rng, weather = self._world.rng, self.weather
        if (sender, to) in self._cut or rng.random() < weather.loss:
            self.lost += 1
            return
        copies = 2 if rng.random() < weather.duplicate and not once else 1
        for _ in range(copies):
            delay = rng.randint(weather.delay_us_min, weather.delay_us_max)
            if rng.random() < weather.spike:
                delay += rng.randrange(weather.spike_us)
            self._world.after(delay, deliver)

    def connected(self, sender: int, to: int) -> bool:
        """Nothing cuts this direction."""
        return (sender, to) not in self._cut

    def cut(self, sender: int, to: int) -> None:
        """Lose everything in this direction from now on."""
        self._cut[sender, to] = None

    def heal(self) -> None:
        """No link is cut any more."""
        self._cut.clear()

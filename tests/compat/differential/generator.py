"""Draws scripts from a seed and from what etcd has answered so far."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from compat.differential.accounts import Accounts
from compat.differential.draw import Draw
from compat.differential.kv import KV
from compat.differential.leases import Leases
from compat.differential.step import CAMEL, JSON, Step
from compat.differential.upkeep import Upkeep
from compat.differential.watches import Watches
from compat.differential.wire import ROUTES
from compat.differential.world import World


class Generator:
    """An endless script. Each step must have been performed before the next one is asked for.

    ``release`` is the etcd that is asked (``3.4``, ``3.5``), for what must not be sent to it.
    """

    def __init__(
        self, seed: int, release: str, world: World, *, auth: bool = True, members: bool = True
    ) -> None:
        self._random = Random(seed)
        draw = self._draw = Draw(self._random, world)
        self._kv = KV(draw)
        self._leases = Leases(draw)
        self._watches = Watches(draw, release)
        self._upkeep = Upkeep(draw, self._kv, self._leases)
        self._accounts = Accounts(
            draw, release, self._kv, self._leases, self._watches, self._upkeep
        )

    def __iter__(self) -> Iterator[Step]:
        while True:
            for step in self._chapter():
                yield self._over_json(step) if self._draw.chance(0.2) else step

    def _chapter(self) -> Iterator[Step]:
        pick = self._random.random()
        if pick < 0.76:
            yield self._kv.step()
        elif pick < 0.84:
            yield from self._leases.steps()
        elif pick < 0.93:
            yield from self._watches.steps()
        elif pick < 0.965:
            yield self._upkeep.step()
        elif pick < 0.970:
            yield from self._upkeep.alarm()
        elif pick < 0.972:
            yield from self._upkeep.learner()
        elif pick < 0.99:
            yield self._accounts.step()
        elif pick < 0.993:
            yield Step("KV/Range", self._kv.range(), token="nonsense")
        elif pick < 0.997:
            yield from self._accounts.chapter()

    def _over_json(self, step: Step) -> Step:
        """The same request through the gateway, if it has a route."""
        return step._replace(via=self._draw.one(JSON, CAMEL)) if step.kind in ROUTES else step

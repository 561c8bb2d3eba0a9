"""What goes wrong: performs the strikes of a plan on nodes, disks and links, and ends it all.

A strike chooses whom it hits when it comes, with dice of its own. It counts as struck only when it
could do what it is for: ``coverage`` tells both, ``strike.<kind>`` and ``strike.<kind> missed``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from kvorum.machine import commands
from kvorum.replica import inputs as i
from kvorum.sim.network import FAIR, SHAPES, Network, both_ways, shape
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Plan, Strike, Traits
from kvorum.sim.steward import Steward
from kvorum.sim.world import World

_SECOND_US = 1_000_000
_OWN_REQUESTS = 0xFFFE << 32
_WELL = Traits()


class Reader(Protocol):
    """A watch's client, which can stop reading."""

    def stall(self, for_us: int) -> None:
        """Take nothing for a while."""


class Nemesis:
    """Breaks nodes and links for as long as it is told to."""

    def __init__(
        self,
        world: World,
        network: Network,
        nodes: Sequence[SimNode],
        plan: Plan,
        steward: Steward,
        readers: Sequence[Reader] = (),
    ) -> None:
        self._world = world
        self._network = network
        self._nodes = nodes
        self._plan = plan
        self._steward = steward
        self._readers = readers
        self._rng = world.dice("nemesis")
        self._active = False
        self._requests = 0
        self._kept_down: tuple[int, ...] = ()
        self.injected = 0
        self._kinds: dict[str, Callable[[random.Random], bool]] = {
            "crash": self._crash,
            "cut": self._cut,
            "flap": self._flap,
            "pause": self._pause,
            "slow": self._slow,
            "jump": self._jump,
            "contest": self._contest,
            "all_down": self._all_down,
            "sync_error": self._sync_error,
            "write_error": self._write_error,
            "disk_full": self._disk_full,
            "slow_disk": self._slow_disk,
            "flip_log": self._flip_log,
            "flip_snapshot": self._flip_snapshot,
            "lose_history": self._lose_history,
            "compact": self._compact,
            "transfer": self._transfer,
            "stall_watcher": self._stall_watcher,
            **steward.kinds,
        }

    # --- the storm --------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the plan loose."""
        self._active = True
        self._network.weather = self._plan.weather
        for node in self._nodes:
            self.adopt(node)
        for strike in self._plan.strikes:
            self._schedule(strike)

    def adopt(self, node: SimNode) -> None:
        """Give a node its traits for as long as the storm lasts, and raise it when it dies."""
        self._set(node, self._traits(node))
        node.on_death = self.revive

    def _schedule(self, strike: Strike) -> None:
        def act() -> None:
            if not self._active:
                return
            self._world.tell(lambda: f"strike {strike.kind} (at {strike.at_us} us of the storm)")
            struck = self._kinds[strike.kind](random.Random(strike.draw))
            self.injected += struck
            self._world.coverage[f"strike.{strike.kind}{'' if struck else ' missed'}"] += 1

        self._world.after(strike.at_us, act)

    def stop(self, left_out: Sequence[int] = ()) -> None:
        """No more faults: links whole, weather fair, clocks even, every node up.

        But for the members ``left_out``: half of these are down, the others cut off.
        """
        self._active = False
        self._steward.stop()
        self._kept_down = ()
        self._network.heal()
        self._network.weather = FAIR
        for node in self._nodes:
            self._set(node, _WELL)
            node.disks.heal()
            node.pause(False)
        for number in left_out:
            self._leave_out(number)
        for node in self._nodes:
            if not node.alive and node.id not in self._kept_down:
                node.start()

    def _leave_out(self, number: int) -> None:
        if self._rng.random() < 0.5:
            node = self._steward.node(number)
            assert node is not None
            node.crash(power=True)
            self._kept_down += (number,)
        else:
            ids = [node.id for node in self._nodes]
            for sender, to in shape("isolate", ids, number, self._rng):
                self._network.cut(sender, to)

    @staticmethod
    def _set(node: SimNode, traits: Traits) -> None:
        node.clock_rate, node.sync_us_max = traits.clock_rate, traits.sync_us_max
        node.crash_chance = traits.crash_chance
        node.vote_crash_chance = traits.vote_crash_chance

    def _traits(self, node: SimNode) -> Traits:
        traits = self._plan.traits
        return traits[(node.id - 1) % len(traits)] if self._active else _WELL

    def _living(self) -> list[SimNode]:
        """All but those that were removed and have ended."""
        return [node for node in self._nodes if not node.gone]

    def _pick(self, rng: random.Random) -> SimNode:
        """Any node that can live; the leader more often, because that is where it hurts."""
        able = [n for n in self._nodes if not n.out and not n.gone]
        leaders = [n for n in able if n.alive and n.replica.leader == n.id]
        return rng.choice(leaders) if leaders and rng.random() < 0.4 else rng.choice(able)

    def revive(self, node: SimNode) -> None:
        """Start a dead node again after a while."""

        def start() -> None:
            if not node.alive and node.id not in self._kept_down:
                node.start()

        # Often at once: what a node promised just before it died must still bind it.
        rng = self._rng
        longest_us = rng.choice((5_000, 20_000, 200_000, 2 * _SECOND_US, 6 * _SECOND_US))
        self._world.after(rng.randint(1_000, longest_us), start)

    # --- processes --------------------------------------------------------------------------------

    def _crash(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        was_alive = node.alive
        node.crash(power=rng.random() < 0.6)
        self.revive(node)
        return was_alive

    def _all_down(self, rng: random.Random) -> bool:
        for node in self._living():
            node.crash(power=True)
            self.revive(node)
        return True

    def _contest(self, rng: random.Random) -> bool:
        """The leader's machine reboots, two others lose patience at the same moment, and whoever
        gives one of them its vote may be gone before the other asks: only its disk remembers.
        """
        node = self._pick(rng)
        node.crash(power=True)
        living = self._living()
        rivals = rng.sample(living, min(2, len(living)))
        ticks = rng.randint(10, 25)

        def start() -> None:
            if self._active and not node.alive:
                node.start()

        def campaign() -> None:
            for rival in rivals:
                self._age(rival, ticks)

        self._world.after(rng.randint(1_000, 10_000), start)
        self._world.after(rng.randint(10_000, 20_000), campaign)
        self.revive(node)
        return True

    @staticmethod
    def _age(node: SimNode, ticks: int) -> bool:
        # A leader's ticks are also its leases' clocks, which must not jump.
        if not node.alive or node.replica.leader == node.id:
            return False
        node.handle(*[i.Tick()] * ticks)
        return True

    def _jump(self, rng: random.Random) -> bool:
        """A clock jumps ahead."""
        return self._age(self._pick(rng), rng.randint(3, 100))

    def _pause(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        node.pause(True)
        self._world.after(rng.randint(100_000, 4 * _SECOND_US), lambda: node.pause(False))
        return node.paused

    def _slow(self, rng: random.Random) -> bool:
        """A tenth of its speed, clock and disk, for a while."""
        node = self._pick(rng)
        node.clock_rate, node.sync_us_max = 0.1, 200_000

        def recover() -> None:
            self._set(node, self._traits(node))

        self._world.after(rng.randint(_SECOND_US, 6 * _SECOND_US), recover)
        return node.alive

    # --- disks ------------------------------------------------------------------------------------

    def _sync_error(self, rng: random.Random) -> bool:
        """The next fsync but a few fails: the process must end there and then."""
        node = self._pick(rng)
        disk = node.disks.snap if rng.random() < 0.2 else node.disks.log
        disk.fail_syncs = rng.randrange(1, 6)
        return node.alive

    def _write_error(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        disk = node.disks.snap if rng.random() < 0.2 else node.disks.log
        disk.fail_writes = rng.randrange(1, 6)
        return node.alive

    def _disk_full(self, rng: random.Random) -> bool:
        """Little room is left, until somebody clears up: at the node's next start at the latest."""
        node = self._pick(rng)
        disk = node.disks.log
        used = sum(disk.size(name) for name in disk.names())
        disk.capacity_bytes = used + rng.randrange(2_000)
        self._world.after(rng.randint(_SECOND_US, 8 * _SECOND_US), node.disks.heal)
        return node.alive

    def _slow_disk(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        node.sync_us_max = rng.choice((200_000, 1_000_000))
        self._world.after(
            rng.randint(_SECOND_US, 6 * _SECOND_US),
            lambda: setattr(node, "sync_us_max", self._traits(node).sync_us_max),
        )
        return node.alive

    def _flip_log(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        if not self._steward.may_harm(node):
            return False
        node.crash(power=False)
        self.revive(node)
        return node.flip_log(rng)

    def _flip_snapshot(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        if not self._steward.may_harm(node):
            return False
        node.crash(power=False)
        self.revive(node)
        return node.flip_snapshot(rng)

    def _lose_history(self, rng: random.Random) -> bool:
        node = self._pick(rng)
        node.crash(power=rng.random() < 0.5)
        self.revive(node)
        node.lose_history()
        return True

    # --- links ------------------------------------------------------------------------------------

    def _cut(self, rng: random.Random) -> bool:
        ids = [node.id for node in self._living()]
        self._network.heal()
        kind = rng.choice(SHAPES)
        pairs = shape(kind, ids, self._pick(rng).id, rng)
        for sender, to in pairs:
            self._network.cut(sender, to)
        self._world.note(f"links: {kind} {pairs}")
        self._world.coverage[f"cut.{kind}"] += bool(pairs)
        self._world.after(rng.randint(200_000, 8 * _SECOND_US), self._heal)
        return bool(pairs)

    def _heal(self) -> None:
        if self._active:
            self._network.heal()

    def _flap(self, rng: random.Random) -> bool:
        """One link goes and comes again, several times."""
        ids = [node.id for node in self._living()]
        if len(ids) < 2:
            return False
        one, other = rng.sample(ids, 2)
        links = both_ways([(one, other)])

        def turn(left: int) -> None:
            if not self._active:
                return
            for link in links:
                (self._network.cut if left % 2 else self._network.join)(*link)
            if left:
                self._world.after(rng.randint(50_000, 1_500_000), lambda: turn(left - 1))

        turn(2 * rng.randint(2, 6) + 1)
        return True

    # --- what is asked of the cluster -------------------------------------------------------------

    def _ask(self, node: SimNode, ask: Callable[[int], object]) -> bool:
        self._requests += 1
        alive = node.alive
        node.ask(ask(_OWN_REQUESTS | self._requests), lambda outcome: None)
        return alive

    def _compact(self, rng: random.Random) -> bool:
        """Everything up to a moment ago, or to right now."""
        node = self._pick(rng)
        if not node.alive:
            return False
        revision = max(1, node.replica.machine.revision - rng.choice((0, 0, 1, 10)))
        now_ms = self._world.now_us // 1000
        command = commands.Compact(revision, rng.random() < 0.5)
        return self._ask(node, lambda number: i.Propose(number, command, now_ms))

    def _transfer(self, rng: random.Random) -> bool:
        """Whoever leads hands over to somebody."""
        leaders = [n for n in self._nodes if n.alive and n.replica.leader == n.id]
        target = rng.choice(self._living())
        if not leaders or target is leaders[0]:
            return False
        return self._ask(leaders[0], lambda number: i.TransferLeader(number, target.id))

    def _stall_watcher(self, rng: random.Random) -> bool:
        if not self._readers:
            return False
        rng.choice(self._readers).stall(rng.randint(_SECOND_US, 15 * _SECOND_US))
        return True

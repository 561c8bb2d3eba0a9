"""What a seed decides before its run begins: how large the cluster is, which faults strike when,
how the network and each node misbehave, what the clients prefer.

Each seed picks its own faults and their rates (swarm testing): most kinds are off in most runs, so
that those that are on meet nodes that are otherwise well, and rare meetings become likely.

A plan is a value. Every strike carries the number from which its own choices are drawn, and every
part of the world has dice of its own, so that one strike or one client can be left out without
changing what the others do: that is what makes a failing plan shrinkable (see ``shrink``).
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from kvorum.sim.network import FAIR, Weather

_SECOND_US = 1_000_000
CLIENTS = 4
WATCHERS = 3
STRIKES_MAX = 2_000  # Of one plan; a run of a minute has about fifty.

# How much rarer than others a kind is, because it takes longer to recover from.
KINDS: Mapping[str, int] = {
    "crash": 1,
    "cut": 1,
    "flap": 2,
    "pause": 1,
    "slow": 2,
    "jump": 2,
    "contest": 1,
    "all_down": 4,
    "sync_error": 4,
    "write_error": 4,
    "disk_full": 4,
    "slow_disk": 2,
    "flip_log": 8,
    "flip_snapshot": 4,
    "lose_history": 4,
    "compact": 1,
    "transfer": 1,
    "stall_watcher": 2,
}
# Changes of the members, which a run has some of or none at all.
MEMBER_KINDS: Mapping[str, int] = {
    "add_learner": 1,
    "add_voter": 2,
    "promote": 1,
    "remove": 1,
    "remove_leader": 2,
    "update_urls": 3,
    "replace": 2,
}


class Strike(NamedTuple):
    """One fault: when (microseconds from the storm's beginning), what, and the number its choices
    are drawn from."""

    at_us: int
    kind: str
    draw: int


@dataclass(frozen=True)
class Traits:
    """How one node is through the whole storm.

    Attributes:
        clock_rate: speed of its clock, 1.0 is right. sync_us_max: the slowest its disk is.
        crash_chance: of dying before any single effect. vote_crash_chance: of losing power right
        after giving a vote.
    """

    clock_rate: float = 1.0
    sync_us_max: int = 4_000
    crash_chance: float = 0.0
    vote_crash_chance: float = 0.0


@dataclass(frozen=True)
class Mix:
    """What clients like to do: weights by kind of operation, how many keys they share, and how
    many revisions their compactions leave."""

    put: int = 40
    delete: int = 10
    txn: int = 15
    read: int = 25
    lease: int = 5
    transfer: int = 2
    compact: int = 3
    keys: int = 6
    kept_revisions: int = 20
    old_read: int = 0


@dataclass(frozen=True)
class Plan:
    """One run, decided. ``left_out`` are the members that stay broken while the others must already
    converge; always a minority. ``lease_checkpoint_ticks`` and ``lease_checkpoint_persist`` are
    settings of every node (see ``replica.state.ReplicaConfig``)."""

    seed: int
    nodes: int
    seconds: float
    snapshot_count: int
    watch_buffer_bytes: int
    clients: tuple[int, ...]
    watchers: tuple[int, ...]
    weather: Weather
    traits: tuple[Traits, ...]
    mix: Mix
    left_out: tuple[int, ...]
    strikes: tuple[Strike, ...]
    lease_checkpoint_ticks: int = 0
    lease_checkpoint_persist: bool = False

    def to_json(self) -> str:
        """The plan as one line that :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """A plan that was written down. Raises ValueError or TypeError for anything else."""
        raw: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **raw,
                "clients": tuple(raw["clients"]),
                "watchers": tuple(raw["watchers"]),
                "weather": Weather(**raw["weather"]),
                "traits": tuple(Traits(**traits) for traits in raw["traits"]),
                "mix": Mix(**raw["mix"]),
                "left_out": tuple(raw["left_out"]),
                "strikes": tuple(Strike(*strike) for strike in raw["strikes"]),
            }
        )

    def calm(self) -> Plan:
        """The same run without any weather, traits or strikes."""
        return replace(self, weather=FAIR, traits=(Traits(),) * self.nodes, strikes=(), left_out=())


def draw_plan(seed: int, nodes: int = 0, seconds: float = 30.0) -> Plan:
    """What this seed decides. ``nodes`` 0: it chooses among 1, 3 and 5. ``seconds``: length of the
    storm."""
    rng = random.Random(f"plan {seed}")
    count = rng.choice((1, 3, 3, 3, 5, 5))
    count = nodes or count
    # Dice of its own for each later thought, so that a seed goes on deciding what it decided.
    more = random.Random(f"plan {seed} leases and reads")
    plan = Plan(
        seed=seed,
        nodes=count,
        seconds=seconds,
        snapshot_count=rng.choice((20, 60, 400, 10_000)),
        watch_buffer_bytes=rng.choice((1_000, 20_000, 1_000_000)),
        clients=tuple(range(1, CLIENTS + 1)),
        watchers=tuple(range(1, WATCHERS + 1)),
        weather=_weather(rng),
        traits=tuple(_traits(rng) for _ in range(count)),
        mix=_mix(rng),
        left_out=_left_out(rng, count),
        strikes=_strikes(rng, seconds, KINDS, rng.choice((0.1, 0.25, 0.25, 0.5)), (2, 5, 15)),
        lease_checkpoint_ticks=more.choice((0, 0, 5, 12)),
        lease_checkpoint_persist=more.random() < 0.5,
    )
    mix = replace(plan.mix, old_read=more.choice((0, 5, 20)))
    strikes = (*plan.strikes, *_changes(random.Random(f"plan {seed} members"), seconds))
    return replace(plan, mix=mix, strikes=tuple(sorted(strikes)))


def _weather(rng: random.Random) -> Weather:
    return Weather(
        loss=rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
        duplicate=rng.choice((0.0, 0.02, 0.2)),
        delay_us_min=rng.choice((50, 500)),
        delay_us_max=rng.choice((1_000, 5_000, 50_000)),
        spike=rng.choice((0.0, 0.01, 0.05)),
    )


def _traits(rng: random.Random) -> Traits:
    return Traits(
        clock_rate=rng.uniform(0.85, 1.2) if rng.random() < 0.3 else 1.0,
        sync_us_max=rng.choice((1_000, 5_000, 40_000, 150_000)),
        crash_chance=rng.choice((0.0, 0.0, 0.0005, 0.003)),
        # A vote is a promise that matters most right after it was given.
        vote_crash_chance=rng.choice((0.0, 0.0, 0.1, 0.4)),
    )


def _mix(rng: random.Random) -> Mix:
    if rng.random() < 0.5:
        return Mix()
    return Mix(
        put=rng.choice((10, 40, 80)),
        delete=rng.choice((0, 10, 40)),
        txn=rng.choice((0, 15, 40)),
        read=rng.choice((5, 25, 80)),
        lease=rng.choice((0, 5, 40)),
        transfer=rng.choice((0, 2, 10)),
        compact=rng.choice((0, 3, 15)),
        keys=rng.choice((1, 6, 40)),
        kept_revisions=rng.choice((0, 20, 500)),
    )


def _left_out(rng: random.Random, count: int) -> tuple[int, ...]:
    minority = (count - 1) // 2
    if not minority or rng.random() < 0.5:
        return ()
    return tuple(sorted(rng.sample(range(1, count + 1), rng.randint(1, minority))))


def _changes(rng: random.Random, seconds: float) -> tuple[Strike, ...]:
    """Of the members: in half of the runs, seldom or all the time."""
    if rng.random() < 0.5:
        return ()
    pace_s = rng.choice((1, 3, 10))
    return _strikes(rng, seconds, MEMBER_KINDS, 0.7, (pace_s,))


def _strikes(
    rng: random.Random,
    seconds: float,
    kinds: Mapping[str, int],
    share: float,
    means_s: Sequence[int],
) -> tuple[Strike, ...]:
    """Strikes of a ``share`` of the kinds, each at a pace of its own."""
    strikes: list[Strike] = []
    for kind, rarity in kinds.items():
        mean_s = rng.choice(means_s) * rarity
        at_us = 0
        if rng.random() >= share:
            continue
        while len(strikes) < STRIKES_MAX:
            at_us += int(rng.expovariate(1 / mean_s) * _SECOND_US)
            if at_us >= seconds * _SECOND_US:
                break
            strikes.append(Strike(at_us, kind, rng.getrandbits(32)))
    return tuple(sorted(strikes))

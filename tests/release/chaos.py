"""Long random scenarios, made of a seed out of the words of drills.

A scenario is dealt from a deck of all kinds of faults that a cluster of its size can have. What
bends the cluster without stopping anybody (loss, delay, clocks, slow fsyncs) may go on while the
next fault comes; what takes members away comes one at a time, so that a majority is left, but for
the moments in which everybody is killed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# One member has no links, nobody to hand over to and nobody to replace it.
ALONE = (
    *("pause", "kill", "restart", "skew", "slow_fsync", "slow_history", "stall"),
    *("disk_full", "fail_fsync", "cut_clients", "reset_clients"),
)
KINDS = (
    *("sever", "isolate", "one_way", "ring", "majority", "minority", "loss", "delay"),
    *("transfer_leader", "kill_all", "corrupt_wal", "replace_member", "rejoin_member"),
    *ALONE,
)
_BACKGROUND = ("loss", "delay", "skew", "slow_fsync", "slow_history", "stall")
_BEGIN_S = 1.5
_LAST_S = 3.0  # Nothing begins so shortly before the end.


@dataclass
class _Deal:
    """What has been dealt so far."""

    rng: random.Random
    names: list[str]
    first: list[str]  # Members that clients know; they learn of no other.
    steps: list[dict[str, Any]] = field(default_factory=list)
    free_s: dict[str, float] = field(default_factory=dict)  # When a background fault is over.
    newest: int = 0

    def step(self, at_s: float, do: str, **more: Any) -> None:
        """One more step."""
        self.steps.append({"at_s": round(at_s, 2), "do": do, **more})

    def known(self) -> str:
        """A member that clients know."""
        return self.rng.choice([name for name in self.names if name in self.first])

    def replaced(self) -> str:
        """A member goes, and one with the next number comes; returns who goes. Clients keep two
        members that they know.
        """
        fresh = [name for name in self.names if name not in self.first]
        old = [name for name in self.names if name in self.first]
        name = self.rng.choice(old if len(old) > 2 else fresh)
        self.names.remove(name)
        self.newest += 1
        self.names.append(f"n{self.newest}")
        return name


def scenario(seed: int, nodes: int, length_s: float, wanted: Sequence[str] = KINDS) -> str:
    """The text of a scenario. ``wanted``: the kinds that are dealt first, and again before others
    are.
    """
    rng = random.Random(seed)
    names = [f"n{n + 1}" for n in range(nodes)]
    deal = _Deal(rng, names, list(names), newest=nodes)
    able = [kind for kind in KINDS if nodes > 1 or kind in ALONE]
    first = [kind for kind in able if kind in wanted] or able
    deck: list[str] = []
    at_s = _BEGIN_S
    while at_s < length_s - _LAST_S:
        if not deck:
            deck = rng.sample(first, len(first)) + rng.sample(able, min(3, len(able)))
        kind = deck.pop(0)
        # Who is killed cannot say any more what else was done to it.
        free = deal.free_s.values() if kind == "kill_all" else [deal.free_s.get(kind, 0.0)]
        at_s = _dealt(deal, kind, max(at_s, *free, 0.0))
    # A lock's keys are nobody's recorded writes; without locks every revision needs an author. With
    # them, revisions that are compacted away could not be judged.
    locks = 2 if rng.random() < 0.25 else 0
    if not locks and rng.random() < 0.6:
        for n in range(1, int(length_s // 8)):
            deal.step(8.0 * n, "compact", keep=300)
    steps = [step for step in deal.steps if step["at_s"] < length_s]
    steps.sort(key=lambda step: float(step["at_s"]))
    load = {"clients": 12, "keys": rng.choice((3, 8)), "watchers": 3, "leases": 3, "locks": locks}
    # A cluster of five shares this machine's cores among five: it is asked for less.
    load["rate"] = 70 if nodes > 3 else 90
    cluster = {"nodes": nodes, "snapshot_count": rng.choice((0, 50, 200, 1000))}
    return _text(seed, length_s, cluster, load, steps)


def _dealt(deal: _Deal, kind: str, at_s: float) -> float:
    """Deal one fault at ``at_s``; returns when the next one may come."""
    rng = deal.rng
    for_s = round(rng.uniform(1.0, 4.0), 1)
    whom = rng.choice(("leader", "leader", "follower")) if len(deal.names) > 1 else "leader"
    if kind in _BACKGROUND:
        return _background(deal, kind, at_s)
    if kind in ("ring", "majority", "minority"):
        deal.step(at_s, kind, for_s=for_s + 1)
        for_s += 1
    elif kind == "sever":
        deal.step(at_s, kind, target="leader", to="follower", for_s=for_s)
    elif kind == "kill_all":
        for_s = round(for_s / 2, 1)
        deal.step(at_s, "kill", target="all", for_s=for_s)
    elif kind in ("restart", "transfer_leader"):
        for_s = 1.0
        deal.step(at_s, kind, target="follower" if kind == "transfer_leader" else whom)
    elif kind == "replace_member":
        for_s = 3.0
        deal.step(at_s, kind, target=deal.replaced())
    elif kind in ("corrupt_wal", "rejoin_member"):
        for_s = _damaged(deal, at_s, rejoins=kind == "rejoin_member")
    elif kind in ("cut_clients", "reset_clients"):
        more = {"for_s": for_s} if kind == "cut_clients" else {}
        deal.step(at_s, kind, target=deal.known(), **more)
    else:  # pause, kill, disk_full, fail_fsync, isolate, one_way
        deal.step(at_s, kind, target=whom, for_s=for_s)
    return at_s + for_s + rng.uniform(1.0, 3.0)


def _damaged(deal: _Deal, at_s: float, rejoins: bool) -> float:
    """A member whose log is damaged while it is dead, and its way back; how long that takes."""
    name = deal.rng.choice(deal.names) if rejoins else deal.replaced()
    deal.step(at_s, "kill", target=name)
    deal.step(at_s + 0.7, "corrupt_wal", target=name)
    deal.step(at_s + 1.0, "restart", target=name)
    # By then it has refused to run.
    deal.step(at_s + 4.0, "rejoin_member" if rejoins else "replace_member", target=name)
    return 8.0


def _background(deal: _Deal, kind: str, at_s: float) -> float:
    rng = deal.rng
    for_s = round(rng.uniform(4.0, 10.0), 1)
    whom = rng.choice(("leader", "follower", "all"))
    if len(deal.names) == 1:
        whom = "leader"
    if kind == "loss":
        deal.step(at_s, kind, target=whom, percent=rng.choice((5, 10, 25)), for_s=for_s)
    elif kind == "delay":
        ms = rng.choice((10, 40, 120))
        deal.step(at_s, kind, target=whom, ms=ms, jitter_ms=ms, for_s=for_s)
    elif kind == "skew":
        percent = rng.choice((-20, -10, 10, 20))
        deal.step(at_s, kind, target="leader" if whom == "all" else whom, percent=percent)
        deal.steps[-1]["for_s"] = for_s
    else:
        ms = rng.choice((10, 40) if kind == "stall" else (20, 100, 300))
        deal.step(at_s, kind, target=whom, ms=ms, for_s=for_s)
    deal.free_s[kind] = at_s + for_s + 0.5
    overlapping = rng.random() < 0.6
    return at_s + (rng.uniform(0.5, 2.0) if overlapping else for_s + 1.0)


def _text(
    seed: int,
    length_s: float,
    cluster: dict[str, Any],
    load: dict[str, Any],
    steps: list[dict[str, Any]],
) -> str:
    """TOML."""
    head = {
        "": {
            "name": f"chaos-{seed}",
            "title": f"Faults of seed {seed} on {cluster['nodes']} members",
            "learn": "That no mixture of faults breaks a promise.",
            "stages": ["live"],
            "length_s": length_s,
        },
        "[cluster]": cluster,
        "[workload]": load,
        "[expect]": {"converge_within_s": 40},
    }
    tables = [*head.items(), *(("[[step]]", step) for step in steps)]
    return "\n".join(line for name, values in tables for line in _table(name, values))


def _table(name: str, values: dict[str, Any]) -> list[str]:
    lines = [f"{key} = {_value(value)}" for key, value in values.items()]
    return [*([name] if name else []), *lines, ""]


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)

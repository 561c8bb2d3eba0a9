"""Who is meant: roles become names at the moment of the step, and cuts become links.

Pure: a view of the cluster and a source of chance in, names and links out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kvorum.drill.stage import Link, View


class NoTarget(Exception):
    """Nobody fits the role now; the text says why."""


def resolve(
    roles: Sequence[str], view: View, rng: random.Random, before: Sequence[str] = ()
) -> tuple[str, ...]:
    """The nodes meant by roles and names, each once, in the cluster's order.

    ``before``: the targets of the step before, whom ``other`` avoids. Raises NoTarget.
    """
    found: set[str] = set()
    for role in roles:
        found.update(_meant(role, view, rng, before))
    return tuple(name for name in view.names if name in found)


def _meant(role: str, view: View, rng: random.Random, before: Sequence[str]) -> list[str]:
    names = list(view.names)
    if role == "all":
        return names
    if role not in ("leader", "follower", "followers", "other", "majority", "minority"):
        if role not in names:
            raise NoTarget(f"{role} is no member now; there are {', '.join(names)}")
        return [role]
    if role == "other":
        fresh = [n for n in names if n not in before and n != view.leader]
        return [_one(fresh or [n for n in names if n not in before], role, rng)]
    if view.leader is None:
        raise NoTarget(f"{role}: no leader is known")
    followers = [n for n in names if n != view.leader]
    if role == "leader":
        return [view.leader]
    if role == "followers":
        return followers
    if role == "follower":
        return [_one([n for n in followers if view.node(n).alive], role, rng)]
    few = (len(names) - 1) // 2
    rng.shuffle(followers)
    return followers[:few] if role == "minority" else [view.leader, *followers[few:]]


def _one(names: list[str], role: str, rng: random.Random) -> str:
    if not names:
        raise NoTarget(f"{role}: nobody is left for that role")
    return rng.choice(names)


def cut_links(
    word: str, view: View, targets: Sequence[str], to: Sequence[str], rng: random.Random
) -> tuple[Link, ...]:
    """The directed links (from, to) that a step bends. Raises NoTarget."""
    names = list(view.names)
    if word == "ring":
        return ring_cuts(names)
    if word in ("majority", "minority"):
        side = _side(word, view, rng)
        return between(side, [n for n in names if n not in side])
    rest = [n for n in to if n not in targets] or [n for n in names if n not in targets]
    if word == "one_way":
        return tuple((a, b) for a in targets for b in rest)
    if word == "sever":
        return between(targets, rest)
    # isolate, delay, loss: whatever the target sends or receives, also among several targets.
    return tuple((a, b) for a in names for b in names if a != b and {a, b} & {*targets})


def between(one: Sequence[str], other: Sequence[str]) -> tuple[Link, ...]:
    """Both ways of every link between two sides."""
    return tuple(link for a in one for b in other for link in ((a, b), (b, a)))


def _side(word: str, view: View, rng: random.Random) -> list[str]:
    """The smaller side of a cut: with the leader or without."""
    few = (len(view.names) - 1) // 2
    if few == 0:
        raise NoTarget(f"{word}: {len(view.names)} members have no smaller side")
    if word == "majority":
        return _meant("minority", view, rng, ())
    followers = _meant("followers", view, rng, ())
    rng.shuffle(followers)
    return [*_meant("leader", view, rng, ()), *followers[: few - 1]]


def ring_cuts(names: list[str]) -> tuple[Link, ...]:
    """Links that are no ring's; of three nodes one link is cut, so that one is a bridge."""
    count = len(names)
    if count == 3:
        return between(names[:1], names[1:2])
    near = {(k, (k + step) % count) for k in range(count) for step in (1, -1)}
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b and (a, b) not in near]
    return tuple((names[a], names[b]) for a, b in pairs)

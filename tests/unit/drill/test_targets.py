"""Roles become names, cuts become links."""

from __future__ import annotations

import random

import pytest
from kvorum.drill.stage import NodeView, View
from kvorum.drill.targets import NoTarget, cut_links, resolve

FIVE = View(tuple(NodeView(f"n{n}", leader=n == 2) for n in range(1, 6)), "n2", 7)
THREE = View(tuple(NodeView(f"n{n}", leader=n == 1) for n in range(1, 4)), "n1", 3)
LOST = View(tuple(NodeView(f"n{n}") for n in range(1, 4)), None, 3)


def meant(*roles: str, view: View = FIVE, seed: int = 1, before: tuple[str, ...] = ()) -> list[str]:
    return list(resolve(roles, view, random.Random(seed), before))


def test_roles() -> None:
    assert meant("leader") == ["n2"]
    assert meant("followers") == ["n1", "n3", "n4", "n5"]
    assert meant("all") == ["n1", "n2", "n3", "n4", "n5"]
    assert meant("n4", "leader", "n4") == ["n2", "n4"]


@pytest.mark.parametrize("seed", range(20))
def test_roles_that_chance_fills(seed: int) -> None:
    assert "n2" not in meant("follower", seed=seed)
    assert len(meant("follower", seed=seed)) == 1
    minority = meant("minority", seed=seed)
    assert len(minority) == 2 and "n2" not in minority
    majority = meant("majority", seed=seed)
    assert len(majority) == 3 and "n2" in majority
    assert meant("other", seed=seed, before=("n1", "n3", "n4")) == ["n5"]


def test_a_seed_means_the_same_nodes_again() -> None:
    assert [meant("minority", seed=n) for n in range(9)] == [
        meant("minority", seed=n) for n in range(9)
    ]


def test_a_dead_follower_is_not_chosen() -> None:
    dead = View((NodeView("n1", leader=True), NodeView("n2", alive=False), NodeView("n3")), "n1", 1)
    assert {meant("follower", view=dead, seed=n)[0] for n in range(20)} == {"n3"}


@pytest.mark.parametrize("role", ["leader", "follower", "followers", "majority", "minority"])
def test_without_a_leader_there_is_no_role(role: str) -> None:
    with pytest.raises(NoTarget, match="no leader is known"):
        meant(role, view=LOST)


def test_a_removed_member_is_no_target() -> None:
    with pytest.raises(NoTarget, match="n9 is no member now; there are n1, n2, n3"):
        meant("n9", view=LOST)


def links(word: str, targets: tuple[str, ...] = (), to: tuple[str, ...] = ()) -> set[str]:
    view = FIVE if word in ("majority", "minority", "ring") else THREE
    found = cut_links(word, view, targets, to, random.Random(1))
    assert len(found) == len(set(found))
    return {f"{a}>{b}" for a, b in found}


def test_cuts() -> None:
    assert links("isolate", ("n1",)) == {"n1>n2", "n2>n1", "n1>n3", "n3>n1"}
    assert links("sever", ("n1",), ("n3",)) == {"n1>n3", "n3>n1"}
    assert links("one_way", ("n1",)) == {"n1>n2", "n1>n3"}
    assert links("one_way", ("n1",), ("n2",)) == {"n1>n2"}
    assert links("delay", ("n2",)) == {"n1>n2", "n2>n1", "n2>n3", "n3>n2"}


def side(cut: set[str], start: str) -> set[str]:
    """Everybody whom ``start`` still reaches directly."""
    return {name for name in FIVE.names if f"{start}>{name}" not in cut}


def test_a_majority_keeps_the_leader_and_a_minority_takes_him() -> None:
    kept, taken = links("majority"), links("minority")
    assert len(side(kept, "n2")) == 3
    assert len(side(taken, "n2")) == 2


def test_in_a_ring_everybody_reaches_two() -> None:
    cut = links("ring")
    assert all(len(side(cut, name)) == 3 for name in FIVE.names)


def test_of_three_a_ring_cuts_one_link() -> None:
    assert len(cut_links("ring", THREE, (), (), random.Random(1))) == 2


def test_a_single_member_has_no_sides() -> None:
    one = View((NodeView("n1", leader=True),), "n1", 1)
    with pytest.raises(NoTarget, match="1 members have no smaller side"):
        cut_links("minority", one, (), (), random.Random(1))

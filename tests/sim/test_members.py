"""Members that come and go in a simulated cluster: each kind of change bites, each rule that a
careless hand could drop is missed by a run.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from kvorum.machine.members import MemberTable
from kvorum.machine.operations import MemberAdd
from kvorum.raft.core import Raft
from kvorum.sim import joining
from kvorum.sim.node import SimNode
from kvorum.sim.plan import MEMBER_KINDS, Mix, Plan, Strike, draw_plan
from kvorum.sim.run import Simulation, judged
from kvorum.sim.shrink import run_plan
from kvorum.sim.steward import Steward
from support import planted

_STRIKES = 40
_SECONDS = 25.0


def changing(seed: int, nodes: int = 3, others: str = "", checkpoint: int = 20) -> Plan:
    """Fair weather, a change of the members or a strike of ``others`` every half second or so."""
    rng = random.Random(f"changing {seed}")
    plan = draw_plan(seed, nodes, seconds=_SECONDS).calm()
    kinds = [*MEMBER_KINDS, *others.split()]
    strikes = tuple(
        Strike(rng.randrange(int(_SECONDS * 1e6)), rng.choice(kinds), rng.getrandbits(32))
        for _ in range(_STRIKES)
    )
    mix = Mix(put=30, delete=5, txn=0, read=10, lease=0, transfer=0, compact=0)
    return replace(plan, mix=mix, snapshot_count=checkpoint, strikes=tuple(sorted(strikes)))


def test_every_kind_of_change_bites() -> None:
    done: Counter[str] = Counter()
    for seed in range(4):
        done.update(judged(Simulation(0, plan=changing(seed, others="cut"))).coverage)
    for kind in ("add_learner", "add_voter", "promote", "remove", "remove_leader", "update_urls"):
        assert done[f"strike.{kind}"] and done[f"member.{kind} done"], kind
    assert done["member.disks lost"] and done["member.remove_lost done"]
    assert done["member.replace done"]
    assert done["member.promote refused"], "nobody was promoted before it had caught up"
    assert done["member.reuse_id refused"] and not done["member.reuse_id done"]
    assert done["member.left, by its own log"] and done["member.left, by a peer"]
    assert done["boot.joins"] and done["raft.snapshot installed"]
    assert done["raft.transfer to because=removed"]


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_clusters_of_all_sizes_change(nodes: int) -> None:
    report = judged(Simulation(0, plan=changing(7, nodes, others="crash pause")))
    done = Counter(report.coverage)
    assert done["member.add_voter done"] + done["member.add_learner done"]
    assert report.acknowledged > 100


def test_two_become_one_and_four_three_though_one_is_lost() -> None:
    two: Steward = Simulation(1, plan=changing(1, 2)).steward
    assert two._may_remove(1) and two._may_remove(2)
    four = Simulation(1, plan=changing(1, 4))
    four.nodes[0].out = "for this test"
    assert [four.steward._may_remove(member) for member in (1, 2, 3, 4)] == [True] * 4
    # One that is no more can be needed by those that do not know; one that lingers is there.
    four.nodes[1].gone = True
    assert four.steward.spare() == -1


def test_the_last_ones_go_on_without_those_that_were_removed() -> None:
    done: Counter[str] = Counter()
    others = "crash all_down remove remove_leader remove_leader"
    for seed, nodes in ((0, 2), (1, 2), (2, 2), (0, 4), (1, 4), (2, 4)):
        plan = changing(seed, nodes, others=others)
        done.update(judged(Simulation(0, plan=plan)).coverage)
    assert done["member.remove done"] + done["member.remove_leader done"] > 20
    assert done["member.left, by its own snapshot"]


def found(plans: range, others: str = "") -> str:
    """What the first of these runs breaks that breaks anything."""
    for seed in plans:
        violation = run_plan(changing(seed, others=others))
        if violation is not None:
            return violation.what
    return ""


def test_an_id_that_comes_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check = MemberTable._check_add

    def forgetful(table: MemberTable, change: MemberAdd) -> object:
        removed, table.removed = table.removed, {}
        try:
            return check(table, change)
        finally:
            table.removed = removed

    monkeypatch.setattr(MemberTable, "_check_add", forgetful)
    assert "id reused" in found(range(10))


def test_two_changes_at_once_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.two_changes_in_flight(monkeypatch)
    assert "one change at a time" in found(range(17, 37), "contest")


def test_a_change_before_an_own_entry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.change_before_an_own_commit(monkeypatch)
    assert "own term first" in found(range(20), "contest transfer")


def test_a_member_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNode, "leave", lambda node, how: None)
    assert "removed members run on" in found(range(10))


def test_a_joiner_that_is_never_caught_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimNode, "stage", lambda node, *of_the_snapshot: False)
    assert "no convergence" in found(range(3))


def test_a_joiner_that_thinks_it_began_the_cluster_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = joining.ask_members

    def proud(own: int, *others: object) -> object:
        first = ask(own, *others)  # type: ignore[arg-type]  # handed through as it came
        return None if first is None else first._replace(joins=False)

    monkeypatch.setattr("kvorum.sim.node.ask_members", proud)
    assert found(range(3))


def test_a_table_that_lags_behind_raft_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Raft.apply_conf_change
    monkeypatch.setattr(Raft, "apply_conf_change", lambda raft, change: apply(raft, None))
    assert "members: node" in found(range(3))


def test_what_is_taken_away_leaves_a_majority() -> None:
    simulation = Simulation(3, plan=changing(3))
    steward: Steward = simulation.steward
    assert steward.spare() == 1
    simulation.nodes[0].out = "for this test"
    assert steward.lost(1) and steward.spare() == 0
    # Two of three are left: neither may go, and the lost one may.
    assert [steward._may_remove(member) for member in (1, 2, 3)] == [True, False, False]
    assert not steward.may_harm(simulation.nodes[1])

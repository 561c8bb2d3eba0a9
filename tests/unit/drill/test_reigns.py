"""Leaders and the times between them, from views made by hand."""

from __future__ import annotations

import pytest
from kvorum.drill.facts import Facts
from kvorum.drill.reigns import Reigns, takes_leader
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, NodeView, View
from kvorum.drill.targets import between


def view(leader: str | None, term: int) -> View:
    nodes = tuple(NodeView(n, term=term, leader=n == leader) for n in ("n1", "n2", "n3"))
    return View(nodes, leader, term)


def kill(*names: str, do: str = "kill") -> Fault:
    return Fault(Step(1, do), names)


def test_the_time_from_the_fault_to_the_next_leader() -> None:
    facts = Facts()
    reigns = Reigns(facts)
    assert reigns.see(view("n1", 2), 0.1) == "n1 leads term 2"
    assert reigns.see(view("n1", 2), 0.2) is None
    reigns.hit(kill("n1"), view("n1", 2), 1.0)
    assert facts.new_leader_s == [None]
    assert reigns.see(view(None, 2), 1.5) is None
    assert reigns.see(view("n3", 3), 2.25) == "n3 leads term 3"
    assert facts.new_leader_s == [1.25]
    assert facts.leaders == [(0.1, "n1", 2), (2.25, "n3", 3)]


def test_who_is_seen_late_does_not_lead_again() -> None:
    reigns = Reigns(Facts())
    reigns.see(view("n3", 3), 1.0)
    assert reigns.see(view("n1", 2), 1.1) is None


def test_a_fault_that_was_over_before_anybody_noticed_is_no_loss() -> None:
    facts = Facts()
    reigns = Reigns(facts)
    reigns.see(view("n1", 2), 0.1)
    reigns.hit(kill("n1", do="pause"), view("n1", 2), 1.0)
    reigns.agreed(view("n1", 2))
    reigns.see(view("n2", 3), 9.0)  # For other reasons.
    assert facts.new_leader_s == []


def test_a_leader_that_never_came_stays_unknown() -> None:
    facts = Facts()
    reigns = Reigns(facts)
    reigns.hit(kill("n1"), view("n1", 2), 1.0)
    reigns.agreed(view(None, 2))
    assert facts.new_leader_s == [None]


def test_a_removal_counts_from_when_the_leader_was_last_seen() -> None:
    facts = Facts()
    reigns = Reigns(facts)
    reigns.ordered(Step(1, "remove_member"), ("n1",), view("n1", 2), 1.0)
    reigns.see(view("n1", 2), 4.0)  # The cluster was not ready for the change before.
    reigns.see(view("n2", 3), 5.0)
    assert facts.new_leader_s == [1.0]


def test_orders_that_take_the_leader() -> None:
    facts = Facts()
    reigns = Reigns(facts)
    reigns.ordered(Step(1, "transfer_leader"), ("n1",), view("n1", 2), 1.0)
    reigns.ordered(Step(1, "restart"), ("n2",), view("n1", 2), 1.0)
    reigns.ordered(Step(1, "compact"), (), view("n1", 2), 1.0)
    assert facts.new_leader_s == []
    reigns.ordered(Step(1, "transfer_leader"), ("n2",), view("n1", 2), 1.0)
    reigns.ordered(Step(1, "restart"), ("n1",), view("n1", 2), 1.0)
    assert facts.new_leader_s == [None, None]


@pytest.mark.parametrize(
    ("fault", "takes"),
    [
        (kill("n1"), True),
        (kill("n2"), False),
        (kill("n1", do="fail_fsync"), True),
        (kill("n1", do="pause"), True),
        (kill("n1", do="slow_fsync"), False),
        (kill("n1", do="cut_clients"), False),
        (Fault(Step(1, "isolate"), ("n1",), between(["n1"], ["n2", "n3"])), True),
        (Fault(Step(1, "isolate"), ("n2",), between(["n2"], ["n1", "n3"])), False),
        (Fault(Step(1, "delay"), ("n1",), between(["n1"], ["n2", "n3"])), False),
        (Fault(Step(1, "one_way"), ("n1",), (("n1", "n2"), ("n1", "n3"))), True),
        (Fault(Step(1, "one_way"), ("n1",), (("n1", "n2"),)), False),
    ],
)
def test_what_takes_the_leader(fault: Fault, takes: bool) -> None:
    assert takes_leader(fault, view("n1", 2)) is takes
    assert takes_leader(fault, view(None, 2)) is False

"""What a drill will do, said before: who is hit, and whether a majority stays together."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.drill.places import drill_names, find_drill
from kvorum.drill.preview import PreviewLine, preview
from kvorum.drill.scenario import parse_scenario, read_scenario

HEAD = 'name = "x"\ntitle = "t"\nlearn = "l"\nlength_s = 20\n'


def lines(*steps: str, nodes: int = 3) -> list[PreviewLine]:
    tables = "".join(f"[[step]]\n{step}\n" for step in steps)
    text = f"{HEAD}[cluster]\nnodes = {nodes}\n{tables}"
    return preview(parse_scenario(text, Path("x.toml")))


def lefts(*steps: str, nodes: int = 3) -> list[tuple[int, bool]]:
    return [(line.left, line.quorum) for line in lines(*steps, nodes=nodes)]


def step(do: str, at_s: float = 1, target: str = "", more: str = "") -> str:
    who = f'target = "{target}"\n' if target else ""
    return f'at_s = {at_s}\ndo = "{do}"\n{who}{more}'


def test_a_line_for_people() -> None:
    (line,) = lines(step("isolate", 2, "leader", "for_s = 6"))
    assert line.text == (
        "at 2 s: isolate leader for 6 s; hits leader, 4 of 6 one-way links; for 6 s;"
        " at worst 2 of 3 voters together: quorum"
    )


@pytest.mark.parametrize(
    ("do", "target", "nodes", "left"),
    [
        ("isolate", "leader", 3, 2),
        ("isolate", "all", 3, 1),
        ("ring", "", 5, 3),
        ("ring", "", 7, 3),
        ("minority", "", 5, 3),
        ("majority", "", 5, 3),
        ("pause", "majority", 5, 2),
        ("pause", "minority", 5, 3),
        ("one_way", "leader", 3, 2),
        ("delay", "all", 3, 3),
        ("disk_full", "follower", 3, 2),
    ],
)
def test_how_many_are_left_together(do: str, target: str, nodes: int, left: int) -> None:
    more = "for_s = 2\n" + "ms = 5" * (do == "delay")
    assert lefts(step(do, 1, target, more), nodes=nodes) == [(left, left > nodes // 2)]


def test_faults_add_up_until_they_are_over() -> None:
    first = step("isolate", 1, "n2", "for_s = 4")
    assert lefts(first, step("kill", 2, "n3")) == [(2, True), (1, False)]
    assert lefts(first, step("kill", 6, "n3")) == [(2, True), (2, True)]


def test_a_role_means_the_worst_who_may_be_meant() -> None:
    killed = step("kill", 1, "n2")
    assert lefts(killed, step("pause", 2, "follower", "for_s = 1"))[-1] == (1, False)
    # The leader is dead, so another leads: there are two left, and one of them goes.
    assert lefts(step("kill", 1, "leader"), step("kill", 2, "leader"))[-1] == (1, False)


def test_conditions_come_as_early_as_they_can() -> None:
    first = step("isolate", 1, "n2", "for_s = 4")
    early = 'when = "leader"\ndo = "kill"\ntarget = "n3"'
    late = 'when = "healed"\ndo = "kill"\ntarget = "n3"'
    assert lefts(first, early)[-1] == (1, False)
    assert lefts(first, late)[-1] == (2, True)


def test_who_boots_is_out_meanwhile_and_back_after() -> None:
    found = lines(step("restart", 1, "n2"), step("kill", 2, "n3"))
    assert [line.left for line in found] == [2, 2]
    assert found[0].lasts == "while it boots"


def test_damage_outlasts_a_start_but_no_replacement() -> None:
    broken = (step("kill", 1, "n3"), step("corrupt_wal", 2, "n3"), step("restart", 3, "n3"))
    assert lefts(*broken, step("kill", 4, "n2"))[-1] == (1, False)
    assert lefts(*broken, step("replace_member", 4, "n3"), step("kill", 5, "n2"))[-1] == (2, True)


def test_members_that_come_and_go_count() -> None:
    found = lines(step("add_member", 1), step("remove_member", 2, "n2"), step("heal", 3))
    assert [(line.left, line.voters) for line in found] == [(3, 4), (3, 3), (3, 3)]


@pytest.mark.parametrize("name", drill_names())
def test_every_drill_that_ships_has_a_preview(name: str) -> None:
    scenario = read_scenario(find_drill(name))
    found = preview(scenario)
    assert [line.step for line in found] == list(scenario.steps)
    assert all(line.text for line in preview(scenario, 5))

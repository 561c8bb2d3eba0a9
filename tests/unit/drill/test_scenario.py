"""The scenario file: what is read, and every refusal with its line and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.drill.places import drill_names, find_drill, new_run_folder
from kvorum.drill.scenario import Scenario, parse_scenario, read_scenario
from kvorum.drill.words import STAGES, WORDS
from kvorum.errors import ConfigError

HEAD = '''name = "x"
title = "A title"
learn = """
Two
lines."""
'''
STEP = """
[[step]]
at_s = 1
do = "isolate"
target = "leader"
for_s = 2
"""


def parse(text: str) -> Scenario:
    return parse_scenario(text, Path("x.toml"))


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value)


def test_everything_has_a_default_but_what_a_drill_is_about() -> None:
    scenario = parse(HEAD + STEP)
    assert (scenario.name, scenario.title, scenario.learn) == ("x", "A title", "Two lines.")
    assert (scenario.stages, scenario.length_s, scenario.shape.nodes) == (STAGES, 10.0, 3)
    step = scenario.steps[0]
    assert (step.line, step.do, step.at_s, step.targets, step.for_s) == (
        9,
        "isolate",
        1.0,
        ("leader",),
        2.0,
    )
    assert scenario.expect.converge_within_s == 30.0
    assert scenario.load.clients == 4


def test_a_step_is_repeated() -> None:
    text = HEAD + STEP.replace("for_s = 2", "for_s = 0.5\nrepeat = 3\nevery_s = 1.5")
    assert [step.at_s for step in parse(text).steps] == [1.0, 2.5, 4.0]


def test_a_drill_may_end_with_its_steps() -> None:
    assert parse(HEAD + STEP).ends_with_steps is False
    assert parse(HEAD + "ends_with_steps = true\n" + STEP).ends_with_steps is True


def test_without_a_word_about_stages_those_count_that_can_do_it() -> None:
    assert parse(HEAD + STEP.replace("isolate", "skew") + "percent = 5").stages == ("live", "sim")
    defrag = '[[step]]\nat_s = 1\ndo = "defrag"\ntarget = "n1"'
    assert parse(HEAD + defrag).stages == ("live", "etcd")


def test_members_that_join_can_be_named() -> None:
    added = STEP + '[[step]]\nat_s = 2\ndo = "add_member"\n'
    later = '[[step]]\nat_s = 3\ndo = "kill"\ntarget = "n4"\n'
    text = HEAD + 'stages = ["live"]\n' + added + later
    assert parse(text).steps[2].targets == ("n4",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = ", "x.toml: is not TOML"),
        (HEAD, "x.toml: step: no steps; write at least one [[step]] table"),
        ('name = "X y"', "x.toml:1: name: 'X y' is no name; use small letters, digits and '-'"),
        ('name = "x"\n', "x.toml: title: is missing; it must be a text"),
        ('nam = "x"\n', "x.toml:1: nam: unknown key; did you mean 'name'?"),
        (
            HEAD + 'stages = ["lvie"]' + STEP,
            "x.toml:6: stages: 'lvie' is not known; did you mean 'live'?",
        ),
        (
            HEAD + "[cluster]\nnodes = 12" + STEP,
            "x.toml:7: nodes: 12 must be a whole number from 1 to 9",
        ),
        (
            HEAD + "[cluster]\nelection_ms = 200" + STEP,
            "x.toml:7: election_ms: must be five heartbeats (500) or more",
        ),
        (HEAD + "[workload]\nrat = 5" + STEP, "x.toml:7: rat: unknown key; did you mean 'rate'?"),
        (HEAD + "[workload]\nrate = true" + STEP, "must be a number from 0.1 to 1000"),
        (
            HEAD + STEP + "[expect]\nleader_stay = true",
            "x.toml:13: leader_stay: unknown key; did you mean 'leader_stays'?",
        ),
        (
            HEAD + STEP.replace("isolate", "isolte"),
            "x.toml:9: do: 'isolte' is not known; did you mean 'isolate'?",
        ),
        (
            HEAD + STEP.replace("leader", "laeder"),
            "x.toml:10: target: 'laeder' is not known; did you mean 'leader'?",
        ),
        (HEAD + STEP.replace('"leader"', '"n4"'), "x.toml:10: target: 'n4' is not known"),
        (
            HEAD + STEP + "ms = 5",
            "x.toml:12: ms: unknown key with do = 'isolate'; known are: do, at_s, when,",
        ),
        (HEAD + STEP.replace("for_s = 2", ""), "x.toml:7: for_s: isolate needs it"),
        (HEAD + STEP.replace("at_s = 1", ""), "x.toml:7: at_s: give either at_s or when"),
        (HEAD + STEP + 'when = "leader"', "x.toml:8: at_s: give either at_s or when"),
        (HEAD + STEP + "after_s = 1", "x.toml:12: after_s: goes with when"),
        (HEAD + STEP.replace("at_s = 1", "at_s = 60"), "x.toml:8: at_s: 60 must be from 0 to 10"),
        (HEAD + STEP.replace("for_s = 2", "for_s = 900"), "must be from 0.05 to 600"),
        (
            HEAD + STEP + STEP.replace("at_s = 1", "at_s = 0.5"),
            "x.toml:15: at_s: 0.5 is before the step above (1)",
        ),
        (
            HEAD + STEP + "repeat = 9\nevery_s = 3",
            "x.toml:12: repeat: the last time is 25 s, after length_s",
        ),
        (
            HEAD + STEP.replace("at_s = 1", 'when = "new_leeder"'),
            "x.toml:8: when: 'new_leeder' is not known; did you mean 'new_leader'?",
        ),
        (
            HEAD + 'stages = ["etcd"]' + STEP.replace("isolate", "loss") + "percent = 5",
            "x.toml:6: stages: etcd cannot loss (line 9): a TCP proxy cannot lose",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, problem: str) -> None:
    assert problem in refusal(text)


def test_every_word_says_what_it_does() -> None:
    assert all(word.text and not word.text.endswith(".") for word in WORDS.values())
    assert {stage for word in WORDS.values() for stage in word.refused} <= {*STAGES}


@pytest.mark.parametrize("name", drill_names())
def test_a_drill_that_ships(name: str) -> None:
    scenario = read_scenario(find_drill(name))
    assert scenario.name == name
    assert 200 < len(scenario.learn) < 900
    for stage in STAGES:
        assert bool(scenario.refusal(stage)) is (stage not in scenario.stages)


def test_fifteen_drills_ship_and_more() -> None:
    assert len(drill_names()) >= 15


def test_a_drill_is_found_by_name_and_by_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(HEAD + STEP, encoding="utf-8")
    assert find_drill(str(file)) == file
    assert find_drill("lease-storm").name == "lease-storm.toml"
    with pytest.raises(ConfigError, match="did you mean 'lease-storm'"):
        find_drill("lease-strom")


def test_runs_are_numbered(tmp_path: Path) -> None:
    made = [new_run_folder(tmp_path / "runs", "x", "sim").name for _ in range(2)]
    assert made == ["0001-x-sim", "0002-x-sim"]

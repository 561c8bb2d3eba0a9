"""The release gate's frame: figures that add up over runs, verdicts, evidence, the table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from release import command, gate, table
from release.gate import Deadline, Run, Slice, State, run_slice
from release.goals import AtLeast, AtMost, Goal, Quantile

Made = Callable[..., Slice]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Registers a slice called "made" for as long as a test runs."""
    monkeypatch.setattr(gate, "SLICES", {})
    monkeypatch.setattr(command, "SLICES", gate.SLICES)
    monkeypatch.setattr(command, "load", lambda: None)

    def make(run: Run, *goals: Goal) -> Slice:
        gate.slice("made", "what is wanted", (3, 4), goals)(run)
        return gate.SLICES["made"]

    yield make


def once(state: State, until: Deadline) -> None:
    """Three more, and a measurement."""
    state.add("done", 3)
    state.add("kinds/a")
    state.sample("took_s", 0.5, 1.5)


def go(part: Slice, directory: Path) -> State:
    return run_slice(part, directory, 1.0, lambda line: None)


def test_figures_add_up_over_runs_until_the_goal_is_met(made: Made, tmp_path: Path) -> None:
    part = made(once, AtLeast("done", 6), Quantile("took_s", 1.0, 2.0))
    first = go(part, tmp_path)
    assert (first.verdict(), first.count("done")) == ("open", 3)
    second = go(part, tmp_path)
    assert (second.verdict(), second.count("done"), len(second.runs)) == ("met", 6, 2)
    assert second.sampled == {"took_s": 4}
    # There is nothing more to do, so nothing is done.
    assert go(part, tmp_path).count("done") == 6


def test_a_bound_that_does_not_hold_is_told_when_all_is_done(made: Made, tmp_path: Path) -> None:
    part = made(once, AtLeast("done", 6), Quantile("took_s", 1.0, 1.0), AtMost("kinds/a", 1))
    assert go(part, tmp_path).verdict() == "open"
    state = go(part, tmp_path)
    assert state.verdict() == "missed"
    assert state.missed() == ["took_s largest: 1.5, not 1", "kinds/a: 2, not 1"]


def test_a_group_has_what_all_of_it_have(made: Made, tmp_path: Path) -> None:
    state = State(made(once, AtLeast("kinds/*", 2)), tmp_path)
    assert state.count("kinds/*") == 0
    state.add("kinds/a", 5)
    state.add("kinds/b", 1)
    assert state.count("kinds/*") == 1
    assert state.wanting()
    state.add("kinds/b", 1)
    assert not state.wanting()
    assert state.group("kinds") == {"a": 5, "b": 2}


def test_whatever_is_raised_is_a_violation_and_its_place_is_kept(
    made: Made, tmp_path: Path
) -> None:
    async def breaks(state: State, until: Deadline) -> None:
        await asyncio.sleep(0)
        with state.scratch() as place:
            (place / "log").write_text("last words", encoding="utf-8")
            raise ValueError("lost\nand more of it")
        state.add("after")

    part = made(breaks, AtLeast("done", 1))
    state = go(part, tmp_path)
    assert state.verdict() == "violated"
    (found,) = state.violations
    assert found["what"].startswith("ValueError: lost (test_gate.py:")
    assert found["replay"] == "python tests/check.py --release made"
    kept = Path(found["evidence"])
    assert (kept / "log").read_text(encoding="utf-8") == "last words"
    assert "and more of it" in (kept / "traceback.txt").read_text(encoding="utf-8")
    # A slice that is violated does nothing more until somebody says what was done about it.
    assert not state.wanting()
    assert len(go(part, tmp_path).runs) == 1


def test_a_cluster_that_does_not_start_is_one_violation(made: Made, tmp_path: Path) -> None:
    def starts(state: State, until: Deadline) -> None:
        with state.cluster(1, flags=("--no-such-flag",)):
            state.add("inside")
        state.add("after")

    state = go(made(starts, AtLeast("done", 1)), tmp_path)
    (found,) = state.violations
    assert "yield" not in found["what"]
    assert (Path(found["evidence"]) / "traceback.txt").stat().st_size > 0
    assert not state.counters


def test_mended_violations_are_told_for_ever(made: Made, tmp_path: Path) -> None:
    def breaks(state: State, until: Deadline) -> None:
        state.add("done")
        assert state.mended, "one write is lost"

    part = made(breaks, AtLeast("done", 2))
    words = ["made", "--dir", str(tmp_path)]
    assert command.main(words) == 1
    evidence = Path(State(part, tmp_path).violations[0]["evidence"])
    assert evidence.exists()
    assert command.main([*words, "--mended", "the tail is cut"]) == 0
    assert not evidence.exists()
    assert command.main(words) == 0
    assert command.main([*words, "--fresh"]) == 0
    state = State(part, tmp_path)
    assert (state.verdict(), state.counters) == ("not run", {})
    assert "one write is lost" in table.mended([state])
    assert "Mended: the tail is cut." in table.mended([state])


def test_interrupted_runs_keep_what_they_did(made: Made, tmp_path: Path) -> None:
    def interrupted(state: State, until: Deadline) -> None:
        once(state, until)
        with state.scratch() as place:
            (place / "large").write_text("x", encoding="utf-8")
            raise KeyboardInterrupt

    part = made(interrupted, AtLeast("done", 6))
    assert command.main(["made", "--dir", str(tmp_path)]) == 3
    state = State(part, tmp_path)
    assert (state.verdict(), state.count("done"), state.violations) == ("open", 3, [])
    assert list((tmp_path / "work").iterdir()) == []


def test_the_statuses(made: Made, tmp_path: Path) -> None:
    made(once, AtLeast("done", 6))
    words = ["--dir", str(tmp_path)]
    assert [command.main(words) for _ in range(3)] == [3, 0, 0]


def test_unknown_slices_are_refused(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    made(once)
    for words in (["other"], ["--fresh"], ["--mended", "x"]):
        with pytest.raises(SystemExit) as refused:
            command.main(words)
        assert refused.value.code == 2
    assert "no slice other; there are: made" in capsys.readouterr().err


def test_two_runs_of_one_slice_at_once_are_refused(made: Made, tmp_path: Path) -> None:
    def twice(state: State, until: Deadline) -> None:
        with pytest.raises(SystemExit, match="running already"):
            go(state.part, tmp_path)
        state.add("done")

    assert go(made(twice, AtLeast("done", 1)), tmp_path).verdict() == "met"


def test_two_slices_of_one_name_are_refused(made: Made) -> None:
    made(once)
    with pytest.raises(AssertionError, match="two slices are called made"):
        made(once)


def test_more_samples_than_are_kept_leave_a_fair_choice(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SAMPLES_MAX", 1_000)
    state = State(made(once), tmp_path)
    state.sample("x_ms", *range(20_000))
    assert (state.sampled["x_ms"], len(state.samples["x_ms"])) == (20_000, 1_000)
    assert state.quantile("x_ms", 1.0) == 19_999
    median = state.quantile("x_ms", 0.5)
    assert median is not None and 9_000 < median < 11_000
    assert state.quantile("y_ms", 0.5) is None


def test_quantiles_are_the_nearest_rank(made: Made, tmp_path: Path) -> None:
    state = State(made(once), tmp_path)
    state.sample("x_s", *range(1, 101))
    assert [state.quantile("x_s", q) for q in (0.5, 0.99, 1.0)] == [50, 99, 100]


def test_the_result_file_is_whole_or_the_old_one(made: Made, tmp_path: Path) -> None:
    state = State(made(once), tmp_path)
    state.add("done")
    state.save()
    kept = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert kept["counters"] == {"done": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["made.json"]


def test_the_table(made: Made, tmp_path: Path) -> None:
    def told(state: State, until: Deadline) -> None:
        once(state, until)
        state.add("_begun", 9)
        state.add("kinds/b", 2)
        state.fact("where", "only | here")
        state.fact("plot", "line 1\nline 2")
        state.fact("_own", "hidden")

    part = made(told, AtLeast("done", 3))
    text = "before\n<!-- release: by a command -->\nold\n<!-- end -->\nafter"
    assert "| 3, 4 | `made` | what is wanted | not run | not run |" in table.filled(
        text, [State(part, tmp_path)]
    )
    filled = table.filled(text, [go(part, tmp_path)])
    assert filled.startswith("before\n<!-- release: by a command -->\nOn ")
    assert filled.endswith("<!-- end -->\nafter")
    assert (
        "| 3, 4 | `made` | what is wanted | 3 done; kinds 3 (2 kinds, at least 1 of each); "
        "took p50 0.5, p99 1.5, largest 1.5 s; only \\| here | **met**, 0 min |"
    ) in filled
    assert "- `made`, kinds: a 1, b 2." in filled
    assert "| `made` | took, s | 2 | 0.5 | 1.5 | 1.5 |" in filled
    assert "```\nline 1\nline 2\n```" in filled
    assert "old" not in filled and "hidden" not in filled and "begun" not in filled
    with pytest.raises(ValueError, match="0 places"):
        table.filled("no marks", [])

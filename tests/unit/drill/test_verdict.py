"""The figures of a verdict, each against a recording made by hand, and the pictures of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from kvorum.check import records as r
from kvorum.drill.compare import FIGURES
from kvorum.drill.facts import Facts, Moment
from kvorum.drill.judging import Violation
from kvorum.drill.picture import timeline_svg
from kvorum.drill.report import figure_lines, report
from kvorum.drill.scenario import Scenario, parse_scenario
from kvorum.drill.stage import Digest
from kvorum.drill.verdict import Figures, Verdict, judge

TEXT = """
name = "x"
title = "A <title>"
learn = "l"
length_s = 10
[[step]]
at_s = 1
do = "kill"
target = "leader"
for_s = 1
[expect]
new_leader_within_s = 3
"""
S = 1_000_000_000


def scenario() -> Scenario:
    return parse_scenario(TEXT, Path("x.toml"))


def put(id_: int, called_s: float, took_s: float = 0.01, **more: Any) -> r.Operation:
    called = int(called_s * S)
    done = int((called_s + took_s) * S)
    made = r.Operation(id_, 1, called, r.Put(b"k", b"%d" % id_), done, r.PutAnswer(), id_ + 1, 2)
    return made._replace(**more)


def facts(**more: Any) -> Facts:
    digests = {"n1": Digest(9, 7), "n2": Digest(9, 7)}
    made = Facts(ended_s=10.0, healed_s=10.0, finished_s=10.5, converged_s=0.5, digests=digests)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def verdict(
    history: r.History, found: tuple[Violation, ...] = (), about: Facts | None = None
) -> Verdict:
    return judge(scenario(), "live", 1, about or facts(), history, found)


def of(*operations: r.Operation, **more: Any) -> Figures:
    history = r.History(operations=list(operations))
    return verdict(history, about=facts(**more)).figures


def even(*seconds: float) -> list[r.Operation]:
    return [put(n + 1, at) for n, at in enumerate(seconds)]


def test_the_stall_is_the_longest_silence_of_writes() -> None:
    writes = even(1, 2, 3, 7, 8, 9, 10.1)
    assert of(*writes).write_stall_s == pytest.approx(4.0)
    # A read in between is no write.
    read = r.Operation(50, 1, 5 * S, r.Range(b"k"), int(5.5 * S), r.RangeAnswer(), 3, 2)
    assert of(*writes, read).write_stall_s == pytest.approx(4.0)
    assert of(*writes, read).read_stall_s == pytest.approx(5.5)
    assert of(*writes, read._replace(request=r.Range(b"k", serializable=True))).read_stall_s is None


def test_the_beginning_and_the_end_count_as_well() -> None:
    assert of(*even(5, 6, 7, 8, 9, 10.1)).write_stall_s == pytest.approx(5.01)
    # Nothing was acknowledged any more after the third second: that is no short stall.
    assert of(*even(1, 2, 3)).write_stall_s == pytest.approx(10.5 - 3.01)
    # The first answer after all faults ends it: what is read at the end takes its time.
    assert of(*even(1, 3, 5, 7, 9, 10.1), put(9, 20.0)).write_stall_s == pytest.approx(2.0)
    assert of().write_stall_s is None


def test_counts_by_how_operations_ended() -> None:
    refused = put(2, 2, answer=None, error="NO_LEADER")
    unknown = put(3, 3, answer=None, error="x", unknown=True, returned=r.NEVER)
    figures = of(put(1, 1), refused, unknown)
    assert (figures.operations, figures.acknowledged, figures.failed, figures.unknown) == (
        *(3, 1, 1),
        1,
    )
    assert figures.writes == 1


def test_percentiles_are_of_writes() -> None:
    figures = of(*(put(n, n / 20, took_s=n / 1000) for n in range(1, 101)))
    assert (figures.write_p50_ms, figures.write_p99_ms) == (51.0, 100.0)
    assert of().write_p99_ms is None


def test_every_loss_of_a_leader_has_its_time() -> None:
    figures = of(put(1, 1), new_leader_s=[1.25, 0.5])
    assert (figures.new_leader_s, figures.new_leaders_s) == (1.25, (1.25, 0.5))
    never = verdict(r.History(operations=even(1)), about=facts(new_leader_s=[1.25, None]))
    assert never.figures.new_leaders_s == (1.25, None)
    assert [f.name for f in never.findings if not f.ok] == ["new_leader_within_s"]
    assert dict(figure_lines(never.figures))["time to new leader"] == "1.25 s (each: 1.25, never)"


@pytest.mark.parametrize(
    ("rule", "kind", "field"),
    [
        ("lost_write", "lost_acknowledgement", "lost_acknowledgements"),
        ("stale_read", "stale_read", "stale_reads"),
        ("watch_ordered", "watch", "watch_gaps"),
        ("wrong_read", "wrong_answer", "wrong_answers"),
        ("members_differ", "", "other_violations"),
    ],
)
def test_each_violation_has_its_figure(rule: str, kind: str, field: str) -> None:
    made = verdict(r.History(operations=even(1)), (Violation(kind, rule, "text"),))
    counted = (
        *("lost_acknowledgements", "stale_reads", "watch_gaps"),
        *("wrong_answers", "other_violations"),
    )
    assert {n: getattr(made.figures, n) for n in counted} == {n: int(n == field) for n in counted}
    assert not made.passed


@pytest.mark.parametrize(
    ("digests", "equal"),
    [
        ({"n1": Digest(9, 7), "n2": Digest(9, 7)}, True),
        ({"n1": Digest(9, 7), "n2": Digest(9, 8)}, False),
        ({"n1": Digest(9, 7), "n2": Digest(8, 7)}, False),
        ({}, False),
    ],
)
def test_digests_are_equal_or_not(digests: dict[str, Digest], equal: bool) -> None:
    assert of(put(1, 1), digests=digests).digests_equal is equal


def test_a_member_that_tells_no_digest_is_not_equal() -> None:
    made = verdict(r.History(operations=even(1)), about=facts(silent=("n3",)))
    assert made.figures.digests_equal is False
    (digests,) = [f for f in made.findings if f.name == "digests"]
    assert digests.text == "n1 7 at 9, n2 7 at 9; none from n3"


def test_every_figure_is_in_the_comparison_or_told_by_another() -> None:
    known = {figure.key for figure in FIGURES}
    left = set(Figures.__dataclass_fields__) - known
    assert left == {"length_s", "writes", "faults", "new_leaders_s"}
    assert known <= set(Figures.__dataclass_fields__)


def told() -> tuple[r.History, Facts]:
    history = r.History(operations=[*even(1, 2, 6, 10.1), put(9, 3, answer=None, error="x")])
    history.faults = [
        r.Fault("kill", 2 * S, 5 * S, "n1", "kill <leader>: n1"),
        *(r.Fault("isolate", 6 * S, r.NEVER, "n2") for _ in range(40)),
    ]
    about = facts(leaders=[(0.0, "n1", 2), (4.0, "n2", 3)], new_leader_s=[2.0])
    about.moments = [Moment(2.0, "step", "kill leader")]
    return history, about


def test_the_picture_shows_leaders_faults_and_the_stall() -> None:
    history, about = told()
    svg = timeline_svg(history, about, verdict(history, about=about))
    tree = ElementTree.fromstring(svg)
    tips = [title.text or "" for title in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert "n1 leads term 2 from 0.00 s" in tips
    assert "n2 leads term 3 from 4.00 s" in tips
    assert "kill <leader>: n1, 2.00 s to 5.00 s" in tips
    assert "no write was acknowledged for 4.10 s" in tips
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "and 17 more" in texts
    assert "new leader 2.00 s, write stall 4.10 s, converged 0.50 s, 4 acknowledged, 1 failed," in (
        " ".join(text or "" for text in texts)
    )


def test_shapes_stay_inside_the_picture() -> None:
    history, about = told()
    tree = ElementTree.fromstring(timeline_svg(history, about, verdict(history, about=about)))
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    for box in tree.iter("{http://www.w3.org/2000/svg}rect"):
        x, y = float(box.get("x", 0)), float(box.get("y", 0))
        assert 0 <= x <= x + float(box.attrib["width"]) <= width + 1
        assert 0 <= y <= y + float(box.attrib["height"]) <= height + 1


def test_a_run_without_anything_has_a_picture_and_a_report() -> None:
    empty = verdict(r.History(), about=Facts())
    ElementTree.fromstring(timeline_svg(r.History(), Facts(), empty))
    assert "x on stage live, seed 1: FAILED" in report(scenario(), empty, Facts())

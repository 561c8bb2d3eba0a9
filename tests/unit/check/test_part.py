"""The shortest part of a spoiled history breaks the same rule, needs each of its lines, and can be
drawn.
"""

from __future__ import annotations

from random import Random
from xml.etree import ElementTree

import pytest
from kvorum.check.judge import judge
from kvorum.check.lines import encode_line, read_history
from kvorum.check.part import shortest
from kvorum.check.records import (
    Fault,
    History,
    Operation,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Run,
)
from kvorum.check.timeline import describe, outcome, render
from kvorum.check.verdict import Finding
from unit.check.mutations import copied
from unit.check.mutations_told import MUTATIONS
from unit.check.reference import make

SVG = "{http://www.w3.org/2000/svg}"


def stale() -> History:
    """A put that returned, and a read of what was before it, among other things."""
    history = copied(make(Random(3), 40, unknown=0))
    mutate, _ = MUTATIONS["read_is_stale"]
    random = Random(5)
    while not mutate(history, random):
        pass
    # Who answered does not matter here; the member went back as well.
    history.operations = [op._replace(member="") for op in history.operations]
    return history


def test_a_stale_read_is_two_operations() -> None:
    history = stale()
    finding = judge(history).findings[0]
    assert finding.rule == "stale_read"
    part = shortest(history, finding)
    assert tuple(sorted(op.id for op in part.operations)) == tuple(sorted(finding.operations))
    assert len(part.operations) == 2
    assert part.watches == []
    again = read_history(map(encode_line, part.lines()))
    assert "stale_read" in {found.rule for found in judge(again).findings}
    for place in range(2):
        less = copied(part)
        del less.operations[place]
        assert judge(less).findings == ()


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_first_finding_has_a_part_and_a_picture(name: str) -> None:
    mutate, _ = MUTATIONS[name]
    for seed in range(400):
        history = copied(make(Random(seed % 60), 50, unknown=0.1 * (seed % 2)))
        if mutate(history, Random(seed)):
            break
    finding = judge(history).findings[0]
    part = shortest(history, finding)
    assert len(part.operations) <= max(2, len(finding.operations))
    picture = ElementTree.fromstring(render(part, finding, "<a run>"))
    assert picture.findtext(f"{SVG}title") == f"{finding.rule} · <a run>"
    drawn = {box.findtext(f"{SVG}title") or "" for box in picture.iter(f"{SVG}rect")}
    for op in part.operations:
        assert any(text.startswith(f"operation {op.id}: {describe(op.request)}") for text in drawn)


def test_the_picture_shows_who_when_and_what() -> None:
    history = History(run=Run("r"))
    history.operations = [
        Operation(1, 4, 1_000_000, Put(b"a<b", b"1"), 3_000_000, PutAnswer(), 2, member="n1"),
        Operation(2, 5, 5_000_000, Range(b"a<b"), 6_000_000, RangeAnswer(), 1, member="n2"),
        Operation(3, 5, 7_000_000, Put(b"c", b"2"), unknown=True),
    ]
    history.faults = [Fault("sever", 2_000_000, 8_000_000, "n2")]
    finding = Finding("stale_read", "operation 2 & operation 1", (1, 2), (), (1, 2))
    picture = ElementTree.fromstring(render(history, finding))
    texts = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    for wanted in (
        "stale_read",
        "operation 2 & operation 1",
        "client 4",
        "client 5",
        "put a<b=1 → r2",
        "get a<b → nothing r1",
        "put c=2 → unknown",
        "sever n2",
    ):
        assert wanted in texts
    boxes = {box.findtext(f"{SVG}title"): box for box in picture.iter(f"{SVG}rect")}
    put, get = (boxes[f"operation {n}: {text}"] for n, text in _titles())
    assert put.get("class") == get.get("class") == "bad"
    assert float(put.get("x", 0)) + float(put.get("width", 0)) < float(get.get("x", 0))
    lost = next(box for text, box in boxes.items() if text and text.startswith("operation 3"))
    assert lost.get("class") == "unknown"


def _titles() -> list[tuple[int, str]]:
    return [(1, "put a<b=1 → r2, n1"), (2, "get a<b → nothing r1, n2")]


def test_outcomes_in_words() -> None:
    assert outcome(Operation(1, 1, 1, Put(b"a"), 2, error="NO_SPACE")) == "NO_SPACE"
    assert outcome(Operation(1, 1, 1, Put(b"a"), 2)) == "refused"

"""Every rule of the checklist that the core must hold has a script or a test of its name."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[1] / "scripts" / "raft"

RULES = {
    "E": range(1, 15),
    "L": range(1, 15),
    "R": range(1, 10),
    "T": range(1, 5),
    "S": range(1, 8),
    "M": range(1, 13),
    "P": range(1, 5),
}
ELSEWHERE = {
    "R7": "no lease reads exist: nothing in raft reads a clock",
    "S5": "how much log stays behind a snapshot is the replica's choice",
    "S7": "watches, leases and caches after a snapshot are the replica's",
    "M4": "held by E8 here: nobody campaigns with an unapplied change",
    "M7": "ids are remembered by the machine's member table",
    "M12": "addresses are carried by the driver",
    "P3": "waiters belong to the replica",
}


def test_every_rule_has_a_test_named_after_it() -> None:
    names = {path.stem for path in SCRIPTS.glob("*.txt")}
    for path in HERE.glob("test_*.py"):
        names |= set(re.findall(r"def test_(\w+)", path.read_text()))
    named = {match[1] for name in names if (match := re.match(r"([ELRTSMP]\d+)_", name))}
    wanted = {f"{letter}{number}" for letter, numbers in RULES.items() for number in numbers}
    assert wanted - named - set(ELSEWHERE) == set()
    assert set(ELSEWHERE) & named == set(), "the excuse is out of date"

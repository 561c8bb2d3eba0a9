"""Every text of tests/scripts/machine: verbs above the rule, the trace they must lead to below.

`KVORUM_REWRITE=1 pytest tests/unit/machine/test_scripts.py` records the traces anew. Read the
difference before committing it: a recorded mistake passes for ever.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit.machine.script import run_script

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "machine"
RULE = "---\n"


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.txt")), ids=lambda path: path.stem)
def test_script(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs, _, recorded = path.read_text().partition(RULE)
    trace = run_script(verbs, monkeypatch)
    if os.environ.get("KVORUM_REWRITE") == "1":
        path.write_text(verbs + RULE + trace)
        return
    assert trace == recorded


def test_every_script_says_what_it_shows() -> None:
    paths = sorted(SCRIPTS.rglob("*.txt"))
    assert len(paths) >= 40
    for path in paths:
        assert path.read_text().startswith("# "), f"{path.name} has no comment at its head"

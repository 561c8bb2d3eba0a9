"""Every text of tests/scripts/{watch,lease,read}: verbs above the rule, what they lead to below.

`KVORUM_REWRITE=1 pytest tests/unit/replica/test_scripts.py` records the traces anew. Read the
difference before committing it: a recorded mistake passes for ever.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit.replica.script import run_script

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
RULE = "---\n"
PATHS = sorted(path for room in ("watch", "lease", "read") for path in (SCRIPTS / room).glob("*"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_script(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs, _, recorded = path.read_text().partition(RULE)
    trace = run_script(verbs, monkeypatch)
    if os.environ.get("KVORUM_REWRITE") == "1":
        path.write_text(verbs + RULE + trace)
        return
    assert trace == recorded


def test_every_script_says_what_it_shows() -> None:
    assert len(PATHS) >= 40
    for path in PATHS:
        assert path.read_text().startswith("# "), f"{path.name} has no comment at its head"


@pytest.mark.parametrize("wound", [15220, 15271, 17529, 18089, 19179, 20221])
def test_every_wound_of_etcds_watches_has_its_text(wound: int) -> None:
    assert [path for path in PATHS if path.name.startswith(f"etcd{wound}_")]

"""Drills on real processes: kvorum's own and real etcd, headless, interrupted, wrong.

``KVORUM_LONG=1`` runs every drill that ships on every stage of processes that it names, which takes
about ten minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kvorum.check.lines import read_history
from kvorum.check.records import History
from kvorum.drill.places import drill_names, find_drill
from kvorum.drill.scenario import read_scenario
from support.clusters import wait_until
from support.programs import need_program

KVORUM = [sys.executable, "-P", "-m", "kvorum"]

BROKEN_LEADERS = """
name = "broken-leaders"
title = "A leader is cut off, its successor paused, the next one killed"
learn = "Nothing that is not in the drills that ship."
length_s = 7.5
[workload]
leases = 2
locks = 2
[[step]]
at_s = 0.5
do = "isolate"
target = "leader"
for_s = 2.5
[[step]]
when = "new_leader"
do = "slow_fsync"
target = "follower"
ms = 50
for_s = 1
[[step]]
at_s = 3.2
do = "pause"
target = "leader"
for_s = 2
[[step]]
at_s = 5.5
do = "kill"
target = "leader"
for_s = 1
"""
ON_ETCD = """
name = "on-etcd"
title = "A leader is cut off, another kills its successor, leadership is handed over"
learn = "Nothing that is not in the drills that ship."
length_s = 6
[[step]]
at_s = 0.5
do = "isolate"
target = "leader"
for_s = 2
[[step]]
at_s = 3
do = "kill"
target = "follower"
for_s = 0.5
[[step]]
at_s = 5
do = "transfer_leader"
target = "follower"
"""


def drill(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KVORUM, "drill", *words], capture_output=True, text=True, check=False, timeout=200
    )


def ran(tmp_path: Path, scenario: str, stage: str, code: int = 0) -> tuple[dict[str, Any], History]:
    file = tmp_path / "scenario.toml"
    file.write_text(scenario, encoding="utf-8")
    done = drill("run", str(file), "--stage", stage, "--dir", str(tmp_path / "r"), "-w", "json")
    assert done.returncode == code, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    folder = Path(verdict["folder"])
    return verdict, read_history((folder / "history.ndjson").read_text().splitlines())


def test_three_leaders_are_broken(tmp_path: Path) -> None:
    verdict, history = ran(tmp_path, BROKEN_LEADERS, "live")
    assert verdict["passed"] is True
    figures = verdict["figures"]
    assert figures["faults"] == figures["faults_bitten"] == 4
    assert figures["terms"] >= 3
    assert figures["digests_equal"] is True
    assert figures["new_leader_s"] > 0
    assert [f.kind for f in history.faults] == ["isolate", "slow_fsync", "pause", "kill"]
    assert len(history.dumps) == len(history.digests) == 3
    assert history.holds


def test_real_etcd_under_the_same_words(tmp_path: Path) -> None:
    need_program("etcd")
    verdict, history = ran(tmp_path, ON_ETCD, "etcd")
    assert verdict["passed"] is True
    assert verdict["stage"] == "etcd"
    assert verdict["figures"]["terms"] >= 2
    assert len(history.dumps) == 3


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names a path below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and b"serve" in words:
            found.append(int(entry.parent.name))
    return found


def test_an_interrupted_drill_leaves_nothing_behind(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = ["drill", "run", "leader-paused", "--stage", "live", "--dir", str(runs)]
    with subprocess.Popen([*KVORUM, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "stopped" in line:  # The leader's process stands still.
                break
        assert len(processes_of(runs)) == 3
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130, rest
    assert "no fault is in force" in rest
    wait_until(lambda: not processes_of(runs), "no node runs on")
    folder = next(runs.iterdir())
    assert read_history((folder / "history.ndjson").read_text().splitlines()).operations


def test_wrong_input_is_code_two(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(ON_ETCD.replace("isolate", "isolte"), encoding="utf-8")
    done = drill("run", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:8: do: 'isolte' is not known; did you mean 'isolate'?" in done.stderr
    assert drill("run", "no-such-drill").returncode == 2
    assert drill("run", "leader-killed", "--stage", "moon").returncode == 2
    refused = drill("run", "member-replaced", "--stage", "sim")
    assert refused.returncode == 2
    assert "replace_member is refused on stage sim" in refused.stderr
    runs = tmp_path / "runs"
    given = ["--endpoints", "127.0.0.1:1", "--stage", "live", "--dir", str(runs)]
    refused = drill("run", "leader-killed", *given)
    assert refused.returncode == 2
    assert "kill is refused: this cluster's processes are not the drill's" in refused.stderr
    assert list(runs.iterdir()) == []


def test_a_failed_verdict_is_code_one(tmp_path: Path) -> None:
    wrong = ON_ETCD + "\n[expect]\nleader_stays = true\n"
    verdict, _ = ran(tmp_path, wrong, "sim", code=1)
    assert [f["name"] for f in verdict["findings"] if not f["ok"]] == ["leader_stays"]


def test_the_list() -> None:
    entries = json.loads(drill("list", "-w", "json").stdout)
    assert [entry["name"] for entry in entries] == drill_names()
    assert all(entry["learn"] and entry["stages"] and entry["steps"] for entry in entries)
    lines = drill("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == drill_names()


EVERY = [
    (name, stage)
    for name in drill_names()
    for stage in read_scenario(find_drill(name)).stages
    if stage != "sim"
]


@pytest.mark.skipif(
    os.environ.get("KVORUM_LONG") != "1", reason="takes ten minutes: KVORUM_LONG=1 runs it"
)
@pytest.mark.parametrize(("name", "stage"), EVERY)
def test_every_drill_on_every_stage(name: str, stage: str, tmp_path: Path) -> None:
    if stage == "etcd":
        need_program("etcd")
    done = drill("run", name, "--stage", stage, "--dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr

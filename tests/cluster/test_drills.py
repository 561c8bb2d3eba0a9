"""Drills on real processes: kvorum's own and real etcd, headless, interrupted, wrong.

``KVORUM_LONG=1`` runs every drill that ships on every stage of processes that it names, which takes
half an hour.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cluster.drillwords import able, bites, every_word, held_back, moments
from kvorum.check.lines import read_history
from kvorum.check.records import History
from kvorum.client import Client
from kvorum.drill.places import drill_names, find_drill
from kvorum.drill.runs import read_run
from kvorum.drill.scenario import read_scenario
from kvorum.drill.words import WORDS
from support.clusters import ClusterHandle, wait_until
from support.programs import need_program

KVORUM = [sys.executable, "-P", "-m", "kvorum"]

SHORT = """
name = "short"
title = "A leader is cut off"
learn = "Nothing that is not in the drills that ship."
length_s = 6
ends_with_steps = true
[cluster]
election_ms = 500
heartbeat_ms = 50
[workload]
leases = 2
locks = 2
[[step]]
at_s = 0.5
do = "isolate"
target = "leader"
for_s = 1.5
"""
ENDLESS = """
name = "endless"
title = "A leader is cut off, a follower paused, for longer than anybody waits"
learn = "Nothing that is not in the drills that ship."
length_s = 120
[cluster]
election_ms = 500
heartbeat_ms = 50
[[step]]
at_s = 0.1
do = "isolate"
target = "leader"
for_s = 60
[[step]]
when = "new_leader"
do = "pause"
target = "other"
for_s = 60
"""
WRONG = """
name = "wrong"
title = "A leader is isolted"
learn = "Nothing."
[[step]]
at_s = 0.5
do = "isolte"
target = "leader"
for_s = 2
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


def failed_steps(verdict: dict[str, Any]) -> list[str]:
    return [f"{f['name']}: {f['text']}" for f in verdict["findings"] if not f["ok"]]


def test_every_word_bites_on_processes(tmp_path: Path) -> None:
    """Faults are proven by the nodes' own logs: messages lost and held back, fsyncs that waited."""
    scenario = every_word("live")
    assert {step.do for step in scenario.steps} == set(WORDS)
    verdict, history = ran(tmp_path, scenario.text, "live")
    assert failed_steps(verdict) == []
    figures = verdict["figures"]
    assert figures["faults"] == figures["faults_bitten"] == 18
    assert figures["digests_equal"] is True
    folder = Path(verdict["folder"])
    lasted = {f.kind for f in history.faults if f.until > f.at}
    assert lasted >= {word.name for word in WORDS.values() if word.fault} | {"kill", "fail_fsync"}
    bitten = bites(folder)
    for what in ("link cut", "link loss", "link delay", "fsync", "clock"):
        assert bitten[what] > 0, bitten
    for what in (
        *("reply_before=delay(10)", "history_commit_before=delay(10)"),
        *("wal_write_before=raise(ENOSPC)", "wal_sync_before=raise(EIO)"),
    ):
        assert bitten[what] > 0, bitten
    assert held_back(folder)["cut clients all"] > 0
    proofs = " ".join(moments(folder, "proof"))
    for words in (
        *("stopped", "dead", "exited with status 74", "connections with n1 and n2 and n3 reset"),
        *("leads after", "started again", "compacted at revision", "rewritten in"),
        *("n4 added and started", "n4 removed, n5 added", "n5 removed"),
        *("bytes are written", "n3 back under a new id, and voting"),
    ):
        assert words in proofs
    assert "all agree" in " ".join(moments(folder, "note"))
    assert len(history.dumps) == len(history.digests) == 3
    picture = ElementTree.parse(folder / "timeline.svg").getroot()
    assert picture.tag.endswith("svg")


def test_every_word_bites_on_real_etcd(tmp_path: Path) -> None:
    need_program("etcd")
    scenario = every_word("etcd")
    assert {step.do for step in scenario.steps} == able("etcd")
    verdict, history = ran(tmp_path, scenario.text, "etcd")
    assert failed_steps(verdict) == []
    figures = verdict["figures"]
    assert figures["faults"] == figures["faults_bitten"] == 11
    assert verdict["stage"] == "etcd"
    held = held_back(Path(verdict["folder"]))
    for words in (
        "isolate follower",
        "ring",
        "majority",
        "minority",
        "delay all",
        "cut clients all",
    ):
        assert held[words] > 0, held
    assert len(history.dumps) == 3


def test_a_cluster_with_users_and_certificates(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SHORT, encoding="utf-8")
    options = ["--cluster", "auth3", "--dir", str(tmp_path / "r"), "-w", "json"]
    done = drill("run", str(file), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    figures = verdict["figures"]
    assert figures["terms"] >= 1
    assert figures["new_leader_s"] > 0
    folder = Path(verdict["folder"])
    assert (folder / "cluster" / "certs").is_dir()
    assert read_run(folder).cluster.endswith("auth3/cluster.toml")
    assert read_history((folder / "history.ndjson").read_text().splitlines()).holds


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names a path below a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and (b"serve" in words or b"--data-dir=" in words):
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


def begun(runs: Path, *options: str) -> subprocess.Popen[str]:
    """A drill whose leader is cut off and whose other follower stands still."""
    file = runs.with_suffix(".toml")
    file.write_text(ENDLESS, encoding="utf-8")
    words = ["drill", "run", str(file), "--dir", str(runs), "--seed", "1", *options]
    process = subprocess.Popen([*KVORUM, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "stopped" in line:
            return process
    raise AssertionError(f"the drill ended with {process.wait()}")


@pytest.mark.parametrize("stage", ["live", "etcd"])
def test_a_killed_runner_leaves_no_process_and_its_recording(tmp_path: Path, stage: str) -> None:
    if stage == "etcd":
        need_program("etcd")
    runs = tmp_path / "runs"
    with begun(runs, "--stage", stage) as process:
        assert len(processes_of(runs)) == 3
        process.kill()
    wait_until(lambda: not processes_of(runs), "the nodes end with their runner")
    (folder,) = runs.iterdir()
    assert read_run(folder).passed is None
    words = [*KVORUM, "check", str(folder), "-w", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the run was broken off" in done.stderr
    assert json.loads(done.stdout)["figures"]["acknowledged"] > 0
    assert "isolate leader for 60 s" in (folder / "log.txt").read_text()


def test_nodes_of_others_heal_by_themselves_when_the_runner_is_killed(
    tmp_path: Path, kvorum_cluster: Callable[..., ClusterHandle]
) -> None:
    cluster = kvorum_cluster(3, faults=True)
    scenario = SHORT.replace("for_s = 1.5", "for_s = 4").replace("locks = 2", "locks = 0")
    file = tmp_path / "scenario.toml"
    file.write_text(scenario, encoding="utf-8")
    words = ["drill", "run", str(file), "--dir", str(tmp_path / "runs")]
    words += ["--endpoints", ",".join(cluster.endpoints)]
    with subprocess.Popen([*KVORUM, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "faults in force" in line:
                break
        process.kill()

    async def served() -> None:
        async with Client(cluster.endpoints) as client:
            for endpoint in cluster.endpoints:
                while await client.member(endpoint).faults.list():
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(cluster.wait_ready)
            await client.put("healed", "x")

    assert [view.state for view in cluster.supervisor.nodes()] == ["running"] * 3
    asyncio.run(served())


def test_wrong_input_is_code_two(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(WRONG, encoding="utf-8")
    done = drill("run", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:7: do: 'isolte' is not known; did you mean 'isolate'?" in done.stderr
    assert drill("run", "no-such-drill").returncode == 2
    assert drill("run", "leader-killed", "--stage", "moon").returncode == 2
    refused = drill("run", "lossy-network", "--stage", "etcd")
    assert refused.returncode == 2
    assert "loss is refused on stage etcd" in refused.stderr
    runs = tmp_path / "runs"
    given = ["--endpoints", "127.0.0.1:1", "--stage", "live", "--dir", str(runs)]
    refused = drill("run", "leader-killed", *given)
    assert refused.returncode == 2
    assert "kill is refused: this cluster's processes are not the drill's" in refused.stderr
    assert list(runs.iterdir()) == []
    lasting = drill("run", "eager-compaction", *given)
    assert lasting.returncode == 2
    assert "older revisions are gone. If this cluster is for that, add --yes" in lasting.stderr


def test_a_failed_verdict_is_code_one(tmp_path: Path) -> None:
    wrong = SHORT.replace("locks = 2", "locks = 0") + "\n[expect]\nleader_stays = true\n"
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
    os.environ.get("KVORUM_LONG") != "1", reason="takes half an hour: KVORUM_LONG=1 runs it"
)
@pytest.mark.parametrize(("name", "stage"), EVERY)
def test_every_drill_on_every_stage(name: str, stage: str, tmp_path: Path) -> None:
    if stage == "etcd":
        need_program("etcd")
    done = drill("run", name, "--stage", stage, "--dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr

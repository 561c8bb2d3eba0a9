"""``kvorum up`` as people use it: a process of its own, signals, a killed supervisor, the same
data again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kvorum.cluster.probe import ask_all
from kvorum.cluster.process import start_time
from support.clusters import wait_until
from support.programs import need_program

PROGRAMS = ["kvorum", "etcd"]


@pytest.fixture(params=PROGRAMS)
def cluster_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A cluster file of three nodes with a few keys, for each program."""
    if request.param == "etcd":
        need_program("etcd")
    (tmp_path / "keys.jsonl").write_text(
        '{"key": "/a", "was": ["1"], "value": "2"}\n{"key": "/b", "value": "x", "deleted": true}\n',
        encoding="utf-8",
    )
    nodes = "".join(f'[[node]]\nname = "n{i}"\n' for i in (1, 2, 3))
    path = tmp_path / "cluster.toml"
    path.write_text(
        f'name = "shop"\nprogram = "{request.param}"\nkeys = "keys.jsonl"\n{nodes}',
        encoding="utf-8",
    )
    return path


def run_dir(cluster_file: Path) -> Path:
    return cluster_file.parent / "run"


def command(cluster_file: Path, *options: str) -> list[str]:
    where = ["--dir", str(run_dir(cluster_file))]
    return [sys.executable, "-m", "kvorum", "up", str(cluster_file), *where, *options]


class Up:
    """One ``kvorum up`` process."""

    def __init__(self, cluster_file: Path, *options: str) -> None:
        self.errors = cluster_file.parent / "up.err"
        with self.errors.open("wb") as err:
            self.child = subprocess.Popen(
                command(cluster_file, "-w", "json", *options),
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )

    def ready(self) -> dict[str, object]:
        """Wait for the one JSON object that it prints when the cluster is up."""
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.said()
        return dict(json.loads(line))

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.child.send_signal(number)
        return self.child.wait(60)


def pids(report: dict[str, object]) -> list[int]:
    nodes = report["nodes"]
    assert isinstance(nodes, list)
    return [int(node["pid"]) for node in nodes]


@contextmanager
def up(cluster_file: Path, *options: str) -> Iterator[Up]:
    """An ``up`` that is over in the end, and its nodes with it."""
    process = Up(cluster_file, *options)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
            process.child.wait()
        if process.child.stdout is not None:
            process.child.stdout.close()
        subprocess.run(
            command(cluster_file, "--stop"),
            check=True,
            capture_output=True,
        )


def revisions(report: dict[str, object]) -> set[int]:
    endpoints = report["endpoints"]
    assert isinstance(endpoints, list)
    answers = ask_all({url: url for url in endpoints})
    return {answer.revision if answer else 0 for answer in answers.values()}


def test_ctrl_c_stops_all_and_the_data_is_there_again(cluster_file: Path) -> None:
    with up(cluster_file) as first:
        report = first.ready()
        assert len(pids(report)) == 3
        wait_until(lambda: revisions(report) == {4}, "one put, one change, one delete")
        assert first.end() == 0
        assert all(start_time(pid) is None for pid in pids(report))
        assert "sample keys loaded: 4 writes" in first.said()
    with up(cluster_file) as second:
        again = second.ready()
        assert again["endpoints"] == report["endpoints"]
        assert not set(pids(again)) & set(pids(report))
        wait_until(lambda: revisions(again) == {4}, "the same revision as before")
        assert "sample keys" not in second.said()
        assert second.end(signal.SIGTERM) == 0


def test_a_killed_supervisor_leaves_nodes_that_the_next_one_adopts(cluster_file: Path) -> None:
    with up(cluster_file) as first:
        report = first.ready()
        first.child.kill()
        first.child.wait()
        assert all(start_time(pid) is not None for pid in pids(report))
        with up(cluster_file) as second:
            assert pids(second.ready()) == pids(report)
            assert "still running from an earlier start" in second.said()
            assert second.end() == 0
        assert all(start_time(pid) is None for pid in pids(report))


def test_a_death_is_shown_and_the_others_go_on(cluster_file: Path) -> None:
    with up(cluster_file) as process:
        report = process.ready()
        victim = pids(report)[0]
        os.kill(victim, signal.SIGKILL)
        told = f"n1: pid {victim} was ended by SIGKILL; log: "
        wait_until(lambda: told in process.said(), "the death is told")
        assert process.child.poll() is None
        assert all(start_time(pid) is not None for pid in pids(report)[1:])
        assert process.end() == 0


def test_two_supervisors_do_not_share_a_directory(cluster_file: Path) -> None:
    with up(cluster_file) as first:
        first.ready()
        done = subprocess.run(
            command(cluster_file),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"already run by another supervisor (pid {first.child.pid})" in done.stderr
        assert first.end() == 0


def test_ctrl_c_before_everything_is_up_leaves_nothing(cluster_file: Path) -> None:
    with up(cluster_file) as process:
        folder = run_dir(cluster_file)
        wait_until(lambda: (folder / "n1" / "pid.json").exists(), "the first node's pid file")
        assert process.end() == 0
        left = [json.loads(p.read_text(encoding="utf-8")) for p in folder.glob("*/pid.json")]
        assert left
        assert all(start_time(entry["pid"]) != entry["started"] for entry in left)


def test_detached_nodes_run_until_they_are_stopped(cluster_file: Path) -> None:
    with up(cluster_file, "--detach") as process:
        report = process.ready()
        assert process.child.wait(60) == 0
        assert all(start_time(pid) is not None for pid in pids(report))
    assert all(start_time(pid) is None for pid in pids(report))

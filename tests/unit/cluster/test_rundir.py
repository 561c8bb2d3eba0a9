"""Run directories: one supervisor each, ports kept for good, no foreign data run or deleted."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from kvorum.cluster.file import NodeSpec
from kvorum.cluster.rundir import (
    HOST,
    PORTS_FROM,
    PORTS_TO,
    ClusterError,
    RunDir,
    free_port,
    port_is_free,
)
from kvorum.errors import ConfigError
from support.clusters import make_spec


def test_ports_are_chosen_once(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, 3)
    first = RunDir(tmp_path / "run")
    first.acquire()
    state = first.prepare(spec)
    ports = [p for n in state.ports.values() for p in (n.client, n.peer)]
    assert len(set(ports)) == 6
    assert all(PORTS_FROM <= port < PORTS_TO for port in ports)
    first.release()
    assert RunDir(tmp_path / "run").prepare(spec) == state


def test_ports_of_the_file_are_taken_as_they_are(tmp_path: Path) -> None:
    spec = replace(make_spec(tmp_path, 1), nodes=(NodeSpec("n1", 2379, 2380),))
    run = RunDir(tmp_path / "run")
    run.acquire()
    state = run.prepare(spec)
    assert (state.ports["n1"].client, state.ports["n1"].peer) == (2379, 2380)


def test_only_one_supervisor(tmp_path: Path) -> None:
    first = RunDir(tmp_path)
    first.acquire()
    with pytest.raises(ClusterError, match=r"already run by another supervisor \(pid \d+\)"):
        RunDir(tmp_path).acquire()
    first.release()
    second = RunDir(tmp_path)
    second.acquire()
    second.release()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"program": "etcd"}, "program:"),
        ({"nodes": (NodeSpec("n1"),)}, "node:"),
        ({"data_dir": Path("elsewhere")}, "data_dir:"),
        ({"nodes": (NodeSpec("n1"), NodeSpec("n2", peer_port=1))}, "node[1].peer_port:"),
    ],
)
def test_data_of_another_shape_is_refused(
    tmp_path: Path, change: dict[str, object], key: str
) -> None:
    spec = make_spec(tmp_path, 2)
    run = RunDir(tmp_path / "run")
    run.acquire()
    run.prepare(spec)
    with pytest.raises(ConfigError) as caught:
        run.prepare(replace(spec, **change))  # type: ignore[arg-type]  # a table of fields
    assert key in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_a_torn_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 1, ', encoding="utf-8")
    with pytest.raises(ClusterError, match=r"run\.json cannot be read"):
        RunDir(tmp_path).state()


def test_fresh_deletes_runs_and_nothing_else(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, 2)
    run = RunDir(tmp_path / "run")
    run.acquire()
    run.prepare(spec)
    run.log("n1").write_text("started", encoding="utf-8")
    (run.node_dir("n1") / "data").mkdir()
    (run.path / "notes.txt").write_text("mine", encoding="utf-8")
    (run.path / "photos").mkdir()
    run.forget(spec)
    assert not run.node_dir("n1").exists()
    assert (run.path / "notes.txt").exists()
    assert (run.path / "photos").exists()
    assert run.state() is None


def test_fresh_deletes_data_elsewhere_only_where_a_run_put_it(tmp_path: Path) -> None:
    spec = replace(make_spec(tmp_path, 1), data_dir=tmp_path / "data")
    run = RunDir(tmp_path / "run")
    run.acquire()
    run.prepare(spec)
    for folder in (tmp_path / "data" / "n1", tmp_path / "photos" / "n1"):
        folder.mkdir(parents=True)
    run.forget(replace(spec, data_dir=tmp_path / "photos"))
    assert not (tmp_path / "data" / "n1").exists()
    assert (tmp_path / "photos" / "n1").exists()


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not port_is_free(port)
    taken: set[int] = set()
    assert free_port(taken) in taken

"""The supervisor with small stand-in programs: what it does with processes, whatever they are."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from kvorum.cluster.command import node_argv, node_env
from kvorum.cluster.process import Process
from kvorum.cluster.rundir import HOST, ClusterError, RunDir
from kvorum.cluster.supervisor import Interrupted, Supervisor
from kvorum.errors import ConfigError
from support.clusters import make_spec, wait_until

OBEDIENT = "#!/bin/sh\necho started $1\nexec sleep 600\n"
STUBBORN = "#!/bin/sh\ntrap '' TERM\necho deaf\nwhile :; do sleep 0.05; done\n"
BROKEN = "#!/bin/sh\necho cannot open the shop\nexit 3\n"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory first on PATH; a script called ``etcd`` there is what cluster files run."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def program(directory: Path, text: str) -> None:
    path = directory / "etcd"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Told(list[str]):
    """What a supervisor said."""

    def __call__(self, text: str) -> None:
        self.append(text)


def start_stranger(tmp_path: Path) -> Process:
    """A process that has nothing to do with any cluster."""
    return Process.start(["sleep", "600"], dict(os.environ), tmp_path / "stranger.log")


def make(tmp_path: Path, nodes: int = 2, **options: str) -> tuple[Supervisor, Told]:
    told = Told()
    spec = make_spec(tmp_path, nodes, program="etcd", **options)  # type: ignore[arg-type]  # strings
    return Supervisor(spec, RunDir(tmp_path / "run"), told), told


def launch(supervisor: Supervisor) -> None:
    """Start without waiting for readiness, which no stand-in reaches."""
    supervisor.open()
    for view in supervisor.nodes():
        if view.state == "dead":
            supervisor.restart(view.name)


def test_processes_left_by_a_killed_supervisor_are_adopted(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    first, _ = make(tmp_path)
    launch(first)
    pids = [view.pid for view in first.nodes()]
    first.leave()  # All that is left of a killed supervisor: pid files and a free lock.

    second, told = make(tmp_path)
    launch(second)
    assert [view.pid for view in second.nodes()] == pids
    assert told == [f"n{i}: still running from an earlier start, pid {pids[i - 1]}" for i in (1, 2)]
    second.stop()
    assert [view.state for view in second.nodes()] == ["dead", "dead"]


def test_a_leftover_with_other_flags_is_replaced(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    first, _ = make(tmp_path, 1)
    launch(first)
    (pid,) = [view.pid for view in first.nodes()]
    first.leave()

    told = Told()
    spec = replace(first.spec, flags=("--quota-backend-bytes=7",))
    second = Supervisor(spec, RunDir(tmp_path / "run"), told)
    launch(second)
    assert told == [f"n1: pid {pid} runs with other flags; stopping it"]
    assert second.nodes()[0].pid != pid
    second.stop()


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(
    tmp_path: Path, stand_in: Path
) -> None:
    program(stand_in, OBEDIENT)
    first, _ = make(tmp_path, 1)
    launch(first)
    first.stop()
    identity = first.run.identity("n1")
    assert identity is not None
    stranger = start_stranger(tmp_path)
    while stranger.identity.started == identity.started:  # Start times count in hundredths.
        stranger.kill()
        stranger = start_stranger(tmp_path)
    first.run.write_identity("n1", replace(identity, pid=stranger.pid))

    second, told = make(tmp_path, 1)
    assert second.stop_leftovers() == []
    launch(second)
    second.stop()
    assert told == []
    assert stranger.alive()
    stranger.kill()


def test_fresh_ends_leftovers_before_it_deletes(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    first, _ = make(tmp_path, 1)
    launch(first)
    identity = first.run.identity("n1")
    token = first.state.token if first.state else ""
    first.leave()
    second, _ = make(tmp_path, 1)
    second.open(fresh=True)
    assert identity is not None and not identity.alive()
    assert second.state is not None and second.state.token != token
    second.stop()


def test_a_stubborn_node_is_killed_and_that_is_said(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, STUBBORN)
    supervisor, told = make(tmp_path, 1)
    launch(supervisor)
    view = supervisor.nodes()[0]
    pid = view.pid
    wait_until(lambda: "deaf" in view.log.read_text(), "the node takes no SIGTERM any more")
    supervisor.stop(timeout_s=0.2)
    assert told == [f"n1: killed, pid {pid} (no end in 0.2 s)"]
    assert supervisor.nodes()[0].ending == "was ended by SIGKILL"


REMOVED = """#!/bin/sh
echo '{"level":"warn","msg":"data-dir used by this member must be removed"}'
mkdir -p run/n1/data/member
exit 0
"""


@pytest.mark.parametrize("restart", ["never", "always"])
def test_a_removed_member_is_shown_as_such_and_not_started_again(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch, restart: str
) -> None:
    monkeypatch.chdir(tmp_path)
    program(stand_in, REMOVED)
    supervisor, told = make(tmp_path, 1, restart=restart)
    launch(supervisor)
    wait_until(lambda: supervisor.nodes()[0].state == "removed", "the node's farewell")
    supervisor.poll()
    supervisor.poll()
    data = tmp_path / "run" / "n1" / "data"
    said = f"n1: was removed from the cluster; it is not started, {data} may be deleted"
    assert told == [said]
    assert supervisor.endpoints() == [] and supervisor.answers() == {}
    supervisor.leave()
    # A later supervisor knows it too, until the data are deleted.
    second, told = make(tmp_path, 1, restart=restart)
    with pytest.raises(ClusterError, match="not ready"):
        second.start(timeout_s=0.1)
    assert told == [said]
    (data / "member").rmdir()
    assert second.nodes()[0].state == "dead"
    second.leave()
    # What an earlier life said does not count.
    program(stand_in, BROKEN)
    third, _ = make(tmp_path, 1)
    launch(third)
    (data / "member").mkdir()
    wait_until(lambda: third.nodes()[0].state != "running", "the end of the node")
    assert third.nodes()[0].state == "dead"
    third.leave()


def test_hurry_cuts_the_wait_short(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, STUBBORN)
    hurry = threading.Event()
    spec = make_spec(tmp_path, 1, program="etcd")
    told = Told()
    supervisor = Supervisor(spec, RunDir(tmp_path / "run"), told, hurry=hurry)
    launch(supervisor)
    hurry.set()
    supervisor.stop(timeout_s=600)
    assert "asked to hurry" in told[0]


def test_a_paused_node_can_be_stopped(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, told = make(tmp_path, 1)
    launch(supervisor)
    supervisor.pause("n1")
    assert supervisor.nodes()[0].state == "paused"
    supervisor.stop()
    assert told == []
    assert supervisor.nodes()[0].ending == "was ended by SIGTERM"


def test_a_death_is_told_once_with_the_log(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, told = make(tmp_path, 1)
    launch(supervisor)
    view = supervisor.nodes()[0]
    supervisor.kill("n1")
    supervisor.poll()
    supervisor.poll()
    assert told == [f"n1: pid {view.pid} was ended by SIGKILL; log: {view.log}"]
    with pytest.raises(ClusterError, match="n1 is not running; restart it first"):
        supervisor.pause("n1")
    supervisor.restart("n1")
    assert supervisor.nodes()[0].pid != view.pid
    supervisor.stop()


def test_restart_always_starts_a_dead_node_again(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvorum.limits.NODE_RESTART_WAIT_S", (0.0, 0.0))
    program(stand_in, OBEDIENT)
    supervisor, told = make(tmp_path, 1, restart="always")
    launch(supervisor)
    os.kill(supervisor.nodes()[0].pid, signal.SIGKILL)
    wait_until(lambda: supervisor.poll() or len(told) == 2, "restarted")
    assert "restarting in 0 s" in told[0]
    assert told[1] == f"n1: restarted, pid {supervisor.nodes()[0].pid}"
    supervisor.stop()


def test_a_restart_that_is_not_possible_is_put_off(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvorum.limits.NODE_RESTART_WAIT_S", (0.0,))
    program(stand_in, OBEDIENT)
    supervisor, told = make(tmp_path, 1, restart="always")
    launch(supervisor)
    assert supervisor.state is not None
    with socket.socket() as other:
        other.bind((HOST, supervisor.state.ports["n1"].client))
        other.listen()
        supervisor.kill("n1")
        wait_until(lambda: supervisor.poll() or len(told) > 1, "a try that failed")
        assert "is taken by another process" in told[1]
        assert told[1].endswith("; trying again in 0 s")
    wait_until(lambda: supervisor.poll() or "restarted" in told[-1], "restarted after all")
    supervisor.stop()


def test_a_node_that_ends_before_it_is_ready_says_why_in_a_sentence(
    tmp_path: Path, stand_in: Path
) -> None:
    program(stand_in, BROKEN)
    supervisor, _ = make(tmp_path)
    with pytest.raises(ClusterError) as caught:
        supervisor.start()
    said, where = str(caught.value).splitlines()
    assert said == "n1 exited with status 3 before it was ready: cannot open the shop"
    assert where == f"Its log: {supervisor.run.log('n1')}"
    supervisor.stop()


def test_a_silent_node_is_named_after_the_bound(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, _ = make(tmp_path)
    with pytest.raises(ClusterError, match="not ready after 0 s: no answer from n1, n2"):
        supervisor.start(timeout_s=0)
    supervisor.stop()


def test_a_stop_during_the_start_ends_what_was_started(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    stopping = threading.Event()
    spec = make_spec(tmp_path, 2, program="etcd")
    supervisor = Supervisor(spec, RunDir(tmp_path / "run"), stopping=stopping)
    launch(supervisor)
    stopping.set()
    with pytest.raises(Interrupted):
        supervisor.wait_ready()
    supervisor.stop()
    assert [view.state for view in supervisor.nodes()] == ["dead", "dead"]


def test_a_taken_port_is_named(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, _ = make(tmp_path, 1)
    supervisor.open()
    assert supervisor.state is not None
    port = supervisor.state.ports["n1"].peer
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        with pytest.raises(ClusterError, match=f"n1: port {port} is taken"):
            supervisor.restart("n1")
    supervisor.stop()


def test_an_unknown_node_and_a_missing_program_are_named(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(stand_in, OBEDIENT)
    supervisor, _ = make(tmp_path, 1)
    supervisor.open()
    with pytest.raises(ClusterError, match="there is no node 'x'; there are: n1"):
        supervisor.kill("x")
    supervisor.stop()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="etcd is not on PATH"):
        supervisor.open()


def test_the_command_line_is_etcds(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, _ = make(tmp_path)
    supervisor.open()
    assert supervisor.state is not None
    spec = replace(supervisor.spec, flags=("--quota-backend-bytes=7",))
    certs = supervisor.certificates
    argv = node_argv(spec, spec.nodes[0], supervisor.state, tmp_path / "data", certs)
    ports = supervisor.state.ports
    assert argv == [
        str(stand_in / "etcd"),
        "--name=n1",
        f"--data-dir={tmp_path / 'data'}",
        f"--listen-client-urls=http://127.0.0.1:{ports['n1'].client}",
        f"--advertise-client-urls=http://127.0.0.1:{ports['n1'].client}",
        f"--listen-peer-urls=http://127.0.0.1:{ports['n1'].peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{ports['n1'].peer}",
        f"--initial-cluster=n1=http://127.0.0.1:{ports['n1'].peer}"
        f",n2=http://127.0.0.1:{ports['n2'].peer}",
        "--initial-cluster-state=new",
        f"--initial-cluster-token={supervisor.state.token}",
        "--heartbeat-interval=100",
        "--election-timeout=1000",
        "--quota-backend-bytes=7",
    ]
    env = node_env(replace(spec, env={"A": "b"}), {"ETCD_NAME": "x", "HOME": "/h"})
    assert env == {"HOME": "/h", "PYTHONUNBUFFERED": "1", "A": "b"}
    supervisor.stop()


def test_states_wait_for_no_deed(tmp_path: Path, stand_in: Path) -> None:
    program(stand_in, OBEDIENT)
    supervisor, _ = make(tmp_path)
    launch(supervisor)
    found: list[dict[str, str]] = []
    with supervisor._guard:  # As a restart holds it while a node takes its time to end.
        asking = threading.Thread(target=lambda: found.append(supervisor.states()), daemon=True)
        asking.start()
        asking.join(30.0)
    assert found == [{"n1": "running", "n2": "running"}]
    supervisor.stop()
    assert supervisor.states() == {"n1": "dead", "n2": "dead"}

"""``kvorum up`` and ``kvorum demo``: a cluster file's nodes as processes of this machine.

``up`` runs until Ctrl-C (a second one kills what is slow to stop); ``demo`` puts the terminal
on top and stops the nodes when it is closed.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

import click

from kvorum.cli.output import form_option
from kvorum.cli.progress import MovingLine
from kvorum.cluster.file import read_cluster_file
from kvorum.cluster.places import default_run_dir, find_cluster_file
from kvorum.cluster.rundir import ClusterError, RunDir
from kvorum.cluster.supervisor import Interrupted, NodeView, Supervisor
from kvorum.errors import ConfigError

POLL_S = 0.2  # Between two looks at the processes: a death is on the screen before one wonders.
DEMO_SAMPLES = {1: "one", 3: "three", 5: "five"}


class Stopper:
    """The first signal to stop sets ``stopping``; another one sets ``hurry``."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.hurry = threading.Event()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP stop the cluster in order and end nothing at
        once.
        """
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()


def _say(text: str) -> None:
    # A closed window takes no words any more, and is no reason to leave nodes running.
    with suppress(OSError):
        click.echo(text, err=True)


@click.command()
@click.argument("cluster")
@click.option(
    "--dir",
    "run_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where data and logs lie (default: in the user's data directory, by the cluster's name).",
)
@click.option("--fresh", is_flag=True, help="Give up the data of earlier runs first.")
@click.option("--detach", is_flag=True, help="Leave the nodes running; end them with --stop.")
@click.option(
    "--stop", is_flag=True, help="End the nodes that are still running, and nothing else."
)
@click.option("--keys/--no-keys", default=True, help="Load the sample keys on the first start.")
@form_option("simple", "json")
def up(
    cluster: str,
    run_dir: Path | None,
    fresh: bool,
    detach: bool,
    stop: bool,
    keys: bool,
    write_out: str,
) -> None:
    """Run the nodes of CLUSTER as processes, until Ctrl-C.

    CLUSTER is a cluster file, a directory with a cluster.toml, or a sample's name (one, three,
    five, wan5, tls3, auth3). The next start finds the same data on the same ports.
    """
    stopper = Stopper()
    with _told(), stopper.installed():
        spec = read_cluster_file(find_cluster_file(cluster))
        if not keys:
            spec = replace(spec, keys=None)
        run = RunDir(run_dir or default_run_dir(spec.name))
        supervisor = Supervisor(spec, run, _say, stopper.stopping, stopper.hurry)
        if stop:
            _stop_leftovers(supervisor)
            return
        left = False
        try:
            _bring_up(supervisor, fresh)
            _show(supervisor, write_out)
            left = detach
            if not detach:
                _stand_by(supervisor, stopper)
        except Interrupted:
            _say("stopping before everything was up")
        finally:
            if left:
                supervisor.leave()
            else:
                _stop(supervisor)


@click.command()
@click.argument("cluster", required=False)
@click.option("--nodes", type=click.Choice(["1", "3", "5"]), default="3", help="How many nodes.")
@click.option(
    "--dir",
    "run_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here (default: a temporary directory, deleted in the end).",
)
def demo(cluster: str | None, nodes: str, run_dir: Path | None) -> None:
    """A cluster with sample data and faults enabled, and the terminal on it.

    CLUSTER is a sample's name or a cluster file (default: the sample of so many --nodes).
    """
    _demo(cluster or DEMO_SAMPLES[int(nodes)], run_dir, tour=False)


@click.command()
def tour() -> None:
    """A guided tour of a cluster of three nodes that is made for it.

    Majority, log and commit, election, partition, the old leader's return, revisions, watching from
    the past, compaction, leases: each step is explained, done, and seen on the screen.
    """
    _demo(DEMO_SAMPLES[3], None, tour=True)


def _demo(sample: str, run_dir: Path | None, *, tour: bool) -> None:
    stopper = Stopper()
    with _told(), _directory(run_dir) as path, stopper.installed():
        spec = read_cluster_file(find_cluster_file(sample))
        spec = replace(spec, faults=spec.program == "kvorum", name="demo")
        notes = _Notes(_say)
        # Bound: whatever ends the demo, kill -9 and a closed window included, ends its nodes.
        supervisor = Supervisor(
            spec, RunDir(path), notes, stopper.stopping, stopper.hurry, bound=True
        )
        try:
            some = "1 node" if len(spec.nodes) == 1 else f"{len(spec.nodes)} nodes"
            _say(f"starting {some} in {path}")
            _bring_up(supervisor, fresh=False)
            notes.to_file(path / "supervisor.log")
            with _watched(supervisor, stopper):
                _open_terminal(supervisor, tour)
        except Interrupted:
            _say("stopping before everything was up")
        finally:
            notes.listener = _say
            _stop(supervisor)


class _Notes:
    """What the supervisor says: on the screen, or into a file while the terminal has the screen."""

    def __init__(self, listener: Callable[[str], None]) -> None:
        self.listener = listener

    def __call__(self, text: str) -> None:
        self.listener(text)

    def to_file(self, path: Path) -> None:
        """From now on, append to ``path``."""

        def append(text: str) -> None:
            with path.open("a", encoding="utf-8") as out:
                out.write(text + "\n")

        self.listener = append


@contextmanager
def _told() -> Iterator[None]:
    """Errors that name a remedy become one message and exit status 1, never a traceback."""
    try:
        yield
    except (ConfigError, ClusterError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted
        return
    path = Path(tempfile.mkdtemp(prefix="kvorum-demo-"))
    keep = False
    try:
        yield path
    except ClusterError:
        # The message names a log in there.
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)


def _bring_up(supervisor: Supervisor, fresh: bool) -> None:
    supervisor.start(fresh=fresh)
    line = MovingLine()
    done = supervisor.load_keys(
        lambda done, total: line.tell(f"loading sample keys: {done} of {total}")
    )
    line.clear()
    if done:
        _say(f"sample keys loaded: {done} writes")
    if supervisor.set_up_auth():
        _say("users and roles made; auth is on")
    # Last: what is loaded before need not wait for slow links.
    supervisor.keep_links()


def _stop(supervisor: Supervisor) -> None:
    if any(view.state in ("running", "paused") for view in supervisor.nodes()):
        _say("stopping the nodes")
    supervisor.stop()


def _stop_leftovers(supervisor: Supervisor) -> None:
    ended = supervisor.stop_leftovers()
    _say(f"stopped: {', '.join(ended)}" if ended else "no node was running")


def _stand_by(supervisor: Supervisor, stopper: Stopper) -> None:
    _say("Ctrl-C stops the cluster; data and ports are kept")
    while not stopper.stopping.wait(POLL_S):
        supervisor.poll()


@contextmanager
def _watched(supervisor: Supervisor, stopper: Stopper) -> Iterator[None]:
    """Poll the processes from a thread while the terminal has the main one."""

    def watch() -> None:
        while not stopper.stopping.wait(POLL_S):
            supervisor.poll()

    thread = threading.Thread(target=watch, name="supervisor")
    thread.start()
    try:
        yield
    finally:
        stopper.stopping.set()
        thread.join()


def _open_terminal(supervisor: Supervisor, tour: bool) -> None:
    from kvorum_tui.app import run

    from kvorum.cluster.control import SupervisorControl

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, leave) for n in (signal.SIGTERM, signal.SIGHUP)}
    control = SupervisorControl(supervisor)
    try:
        run(supervisor.endpoints(), control=control, title="demo", tls=supervisor.tls, tour=tour)
    finally:
        # Another signal while the nodes are being stopped is to hurry that, not to end it.
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(supervisor: Supervisor, write_out: str) -> None:
    views = supervisor.nodes()
    if write_out == "json":
        click.echo(json.dumps(_as_json(supervisor, views)))
        return
    leader = supervisor.leader()
    click.echo(f"cluster {supervisor.spec.name} in {supervisor.run.path}")
    rows = [("NAME", "PID", "CLIENTS", "PEERS", "LOG")]
    for view in views:
        name = f"{view.name} (leader)" if view.name == leader else view.name
        if view.state == "removed":
            name = f"{view.name} (removed)"
        rows.append((name, str(view.pid), view.client_url, view.peer_url, str(view.log)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    click.echo(f"export ETCDCTL_API=3 ETCDCTL_ENDPOINTS={','.join(supervisor.endpoints())}")
    files = _tls_files(supervisor)
    if files:
        told = " ".join(
            f"ETCDCTL_{name.upper()}={shlex.quote(path)}" for name, path in files.items()
        )
        click.echo(f"export {told}")
    sys.stdout.flush()


def _tls_files(supervisor: Supervisor) -> dict[str, str]:
    """The files that clients need, by their options' names; empty without TLS."""
    tls = supervisor.tls
    if tls is None:
        return {}
    files = {"cacert": tls.ca_cert, "cert": tls.cert, "key": tls.key}
    return {name: str(path) for name, path in files.items() if path is not None}


def _as_json(supervisor: Supervisor, views: list[NodeView]) -> dict[str, object]:
    return {
        "name": supervisor.spec.name,
        "run_dir": str(supervisor.run.path),
        "leader": supervisor.leader(),
        "endpoints": supervisor.endpoints(),
        "tls": _tls_files(supervisor),
        "nodes": [
            {
                "name": view.name,
                "state": view.state,
                "pid": view.pid,
                "client_url": view.client_url,
                "peer_url": view.peer_url,
                "log": str(view.log),
                "data_dir": str(view.data_dir),
            }
            for view in views
        ],
    }

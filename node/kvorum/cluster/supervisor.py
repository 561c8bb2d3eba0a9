"""The nodes of a cluster together: started, watched, hurt on request, stopped.

A supervisor is used by one owner at a time, from any thread (a lock keeps the calls apart).
Every wait is bounded and ends early when the ``stopping`` event is set, which is how a Ctrl-C
at any moment leads to :meth:`Supervisor.stop` and not to a half-started cluster that nobody
knows.

Long because all that happens to a node goes through one lock, and who takes it stands together.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from kvorum import limits
from kvorum.client import TLS
from kvorum.client.errors import ClientError
from kvorum.cluster import accounts, command, keys, probe
from kvorum.cluster.certificates import Certificates
from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.lastwords import last_words
from kvorum.cluster.leash import Leash
from kvorum.cluster.links import Links
from kvorum.cluster.process import Process, rotate_log
from kvorum.cluster.rundir import (
    ClusterError,
    NodePorts,
    RunDir,
    RunState,
    free_port,
    port_is_free,
)

READY_POLL_S = 0.1  # Between two rounds of questions while nodes come up.


class Interrupted(Exception):
    """The wait was given up because the supervisor was told to stop."""


@dataclass(frozen=True)
class NodeView:
    """One node as the supervisor sees it. ``state`` is running, paused, dead, or removed: it ended
    because it is no member any more. ``pid`` is 0 if it was never started.
    """

    name: str
    pid: int
    state: str
    ending: str
    client_url: str
    peer_url: str
    log: Path
    data_dir: Path


@dataclass
class _Node:
    spec: NodeSpec
    argv: list[str]
    process: Process | None = None
    death_told: bool = False
    restarts: int = 0
    restart_at: float | None = None
    started_at: float = 0.0


def _quiet(text: str) -> None:
    """The default listener: says nothing."""


class Supervisor:
    """Runs the nodes of ``spec`` in ``run``. ``say`` is told, in one line each, what happens.
    ``bound``: the nodes end with this process, also when it is killed, and nobody adopts them.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        run: RunDir,
        say: Callable[[str], None] = _quiet,
        stopping: threading.Event | None = None,
        hurry: threading.Event | None = None,
        bound: bool = False,
    ) -> None:
        self.spec = spec
        self.run = run
        self._say = say
        self._stopping = stopping or threading.Event()
        self._hurry = hurry or threading.Event()
        self._guard = threading.RLock()
        self._nodes: dict[str, _Node] = {}
        self.state: RunState | None = None
        self.certificates = Certificates(run.certs_dir)
        self._links = Links(spec.links, self.tls)
        self._bound = bound
        self._leash: Leash | None = None

    @property
    def tls(self) -> TLS | None:
        """How the nodes are spoken to; None when they speak plainly."""
        if self.spec.tls.clients == "off":
            return None
        return self.certificates.tls(self.identity)

    @property
    def identity(self) -> str | None:
        """Whose certificate the supervisor shows to nodes: root's where there is auth."""
        if self.spec.tls.clients != "mutual":
            return None
        return "root" if self.spec.auth is not None else "client"

    # --- together -------------------------------------------------------------------------------

    def start(self, timeout_s: float = limits.NODE_READY_S, fresh: bool = False) -> None:
        """Take the run directory, start every node or adopt the one left running, wait until ready.

        ``fresh`` first gives up everything earlier runs left there, data included. Raises
        ConfigError (the file and the directory do not fit), ClusterError (a node did not come
        up: the reason is in the text, and where its log is) or Interrupted. The nodes started so
        far keep running then; :meth:`stop` ends them.
        """
        with self._guard:
            self.open(fresh)
            for name in self._nodes:
                self._check_stopping()
                if self.is_removed(name):
                    self._say(self._removal(name))
                elif self._process(name) is None:
                    self._launch(name)
        self.wait_ready(timeout_s)

    def open(self, fresh: bool = False) -> None:
        """Take the run directory and adopt whatever an earlier supervisor left running in it."""
        with self._guard:
            command.program(self.spec)
            self.run.acquire()
            if self._bound and self._leash is None:
                self._leash = Leash()
            if fresh:
                self._end(self.run.leftovers())
                self.run.forget(self.spec)
            self.state = self.run.prepare(self.spec)
            self._prepare_certificates()
            for node in self.spec.nodes:
                data = self.run.data_dir(self.spec, node)
                argv = command.node_argv(self.spec, node, self.state, data, self.certificates)
                self._nodes[node.name] = _Node(node, argv)
                self._adopt(node.name)

    def _prepare_certificates(self) -> None:
        if not self.spec.tls.words:
            return
        clients = ["client"] if self.spec.tls.clients == "mutual" else []
        if self.spec.auth is not None:
            clients = ["root", *(user.name for user in self.spec.auth.users)]
        self.certificates.prepare([node.name for node in self.spec.nodes], clients)

    def _adopt(self, name: str) -> None:
        identity = self.run.identity(name)
        left = Process.adopt(identity) if identity else None
        if left is None:
            return
        node = self._nodes[name]
        if list(left.identity.argv) == node.argv:
            left.send(signal.SIGCONT)
            node.process = left
            self._say(f"{name}: still running from an earlier start, pid {left.pid}")
            return
        self._say(f"{name}: pid {left.pid} runs with other flags; stopping it")
        self._end({name: left})

    def wait_ready(self, timeout_s: float = limits.NODE_READY_S) -> str:
        """Wait until every member answers and all name the same leader; returns the leader's name.

        Raises ClusterError when a node dies meanwhile or ``timeout_s`` passes, Interrupted when
        told to stop.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._check_stopping()
            for name in self._members():
                self._check_alive(name)
            answers = self.answers()
            leader = probe.agreed_leader(answers)
            if leader is not None:
                return leader
            if time.monotonic() > deadline:
                silent = [name for name, answer in answers.items() if answer is None]
                what = f"no answer from {', '.join(silent)}" if silent else "no common leader"
                logs = "\n".join(f"{n}{self._last_words(n)}" for n in silent or self._nodes)
                raise ClusterError(f"not ready after {timeout_s:g} s: {what}\n{logs}")
            self._stopping.wait(READY_POLL_S)

    def load_keys(self, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
        """On the first start, write the cluster file's sample keys; returns the operations done.

        Raises ConfigError (a wrong line), ClusterError (the cluster takes no writes) or
        Interrupted; then the next start begins again.
        """
        assert self.state is not None
        if self.spec.keys is None or self.state.keys_loaded:
            return 0
        samples = keys.read_keys(self.spec.keys)
        loader = keys.Loader(self.endpoints(), self._stopping.is_set, self.tls)
        done = asyncio.run(loader.load(samples, progress))
        self._check_stopping()
        self.state = replace(self.state, keys_loaded=True)
        self.run.write_state(self.state)
        return done

    def set_up_auth(self) -> bool:
        """On the first start, make the cluster file's users and roles and switch auth on; True when
        that was done now.

        Raises ClusterError when the cluster refuses; then the next start begins again.
        """
        assert self.state is not None
        if self.spec.auth is None or self.state.auth_on:
            return False
        try:
            asyncio.run(accounts.set_up(self.endpoints(), self.tls, self.spec.auth))
        except ClientError as error:
            raise ClusterError(f"users and roles cannot be set up: {error}") from error
        self.state = replace(self.state, auth_on=True)
        self.run.write_state(self.state)
        return True

    def keep_links(self) -> None:
        """Give nodes the delays of their links where that is due. Not from inside an event loop."""
        if self._links.due():
            for name in asyncio.run(self._links.give(self._urls(self._nodes))):
                self._say(f"{name}: cannot be told the delays of its links; trying again")

    def stop(self, timeout_s: float = limits.NODE_STOP_S) -> None:
        """End every node (SIGTERM, a bounded wait, then SIGKILL, said so); give the directory back.

        The leader goes last: asked first, it would hand over to followers that are stopping too.
        """
        with self._guard:
            running = {n: p for n in self._nodes if (p := self._process(n)) is not None}
            leader = self._leader_to_stop(running)
            self._end({n: p for n, p in running.items() if n != leader}, timeout_s)
            last = {n: p for n, p in running.items() if n == leader}
            self._wait_alone(last)
            self._end(last, timeout_s)
            if self._leash is not None:
                self._leash.close()
                self._leash = None
            self.run.release()

    def _leader_to_stop(self, running: dict[str, Process]) -> str | None:
        if len(running) < 2:
            return None
        return probe.known_leader(probe.ask_all(self._urls(running), limits.PROBE_STOP_S, self.tls))

    def _wait_alone(self, last: dict[str, Process]) -> None:
        """Wait until the last node has noticed that it leads nobody.

        Real etcd, stopped as leader, tries for seven seconds to hand over to members that are gone.
        """
        deadline = time.monotonic() + 2 * self.spec.election_ms / 1000 + limits.PROBE_TIMEOUT_S
        while self.spec.program == "etcd" and len(self._nodes) > 1 and last:
            if self._hurry.is_set():
                return
            answers = probe.ask_all(self._urls(last), limits.PROBE_STOP_S, self.tls)
            if time.monotonic() > deadline or probe.known_leader(answers) is None:
                return
            time.sleep(READY_POLL_S)

    def stop_leftovers(self) -> list[str]:
        """End what an earlier supervisor left running here; returns the nodes' names."""
        with self._guard:
            self.run.acquire()
            try:
                left = self.run.leftovers()
                self._end(left)
                return list(left)
            finally:
                self.run.release()

    def leave(self) -> None:
        """Give the directory back and let the nodes run on; a later supervisor adopts them."""
        with self._guard:
            self.run.release()

    def _end(self, processes: dict[str, Process], timeout_s: float = limits.NODE_STOP_S) -> None:
        for process in processes.values():
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)
        deadline = time.monotonic() + timeout_s
        for name, process in processes.items():
            if not process.wait(max(0.0, deadline - time.monotonic()), self._hurry.is_set):
                why = "asked to hurry" if self._hurry.is_set() else f"no end in {timeout_s:g} s"
                self._say(f"{name}: killed, pid {process.pid} ({why})")
                process.kill()

    # --- one node -------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """kill -9, and wait until the process is gone."""
        with self._guard:
            process = self._process(name)
            if process is not None:
                process.kill()

    def pause(self, name: str) -> None:
        """SIGSTOP, until it bites: the node keeps connections and memory and does nothing."""
        with self._guard:
            process = self._signal(name, signal.SIGSTOP)
            process.wait(limits.NODE_SIGNAL_S, process.paused)

    def resume(self, name: str) -> None:
        """SIGCONT after :meth:`pause`."""
        with self._guard:
            process = self._signal(name, signal.SIGCONT)
            process.wait(limits.NODE_SIGNAL_S, lambda: not process.paused())

    def restart(self, name: str) -> None:
        """Start the node on its own data; one that runs is stopped first. Does not wait for
        readiness.
        """
        with self._guard:
            process = self._process(name)
            if process is not None:
                self._end({name: process})
            self._launch(name)

    def reserve(self, name: str) -> str:
        """Choose ports for a node that the cluster file does not name; returns its peer URL, with
        which it is to be added to the cluster before :meth:`join` starts it.
        """
        with self._guard:
            assert self.state is not None
            if name in self._nodes:
                raise ClusterError(f"there is a node {name!r} already; choose another name")
            taken = {port for p in self.state.ports.values() for port in (p.client, p.peer)}
            ports = NodePorts(free_port(taken), free_port(taken))
            self.state = replace(self.state, ports={**self.state.ports, name: ports})
            return command.peer_url(self.spec, self.state, name)

    def join(self, name: str, flags: Iterable[str]) -> None:
        """Start a node that was reserved and added; ``flags`` (its ``--initial-cluster`` among
        them) come last and win. It is looked after like the others. Does not wait for readiness.
        """
        with self._guard:
            assert self.state is not None
            node = NodeSpec(name, flags=("--initial-cluster-state=existing", *flags))
            self.run.node_dir(name).mkdir(exist_ok=True, mode=0o700)
            data = self.run.data_dir(self.spec, node)
            argv = command.node_argv(self.spec, node, self.state, data, self.certificates)
            self._nodes[name] = _Node(node, argv)
            self._launch(name)

    def _signal(self, name: str, number: signal.Signals) -> Process:
        process = self._process(name)
        if process is None or not process.send(number):
            raise ClusterError(f"{name} is not running; restart it first")
        return process

    def _launch(self, name: str) -> None:
        node = self._nodes[name]
        assert self.state is not None
        ports = self.state.ports[name]
        for port in (ports.client, ports.peer):
            if not port_is_free(port):
                raise ClusterError(
                    f"{name}: port {port} is taken by another process; end that one, or start on"
                    " other ports with --fresh (gives up the data) or another --dir"
                )
        rotate_log(self.run.log(name))
        self.run.note_start(name)
        try:
            node.process = Process.start(
                node.argv, command.node_env(self.spec), self.run.log(name), self._leash
            )
        except OSError as error:
            raise ClusterError(f"{name}: {node.argv[0]} cannot be started: {error}") from error
        self.run.write_identity(name, node.process.identity)
        self._links.forget(name)
        node.death_told = False
        node.restart_at = None
        node.started_at = time.monotonic()

    def is_removed(self, name: str) -> bool:
        """Whether the node is no member of the cluster any more and has ended for that."""
        node = self._node(name)
        return self._process(name) is None and self.run.was_removed(self.spec, node.spec)

    def _removal(self, name: str) -> str:
        data = self.run.data_dir(self.spec, self._node(name).spec)
        return f"{name}: was removed from the cluster; it is not started, {data} may be deleted"

    def _process(self, name: str) -> Process | None:
        """The process of node ``name`` if it is alive."""
        process = self._node(name).process
        return process if process is not None and process.alive() else None

    def _node(self, name: str) -> _Node:
        try:
            return self._nodes[name]
        except KeyError as error:
            raise ClusterError(
                f"there is no node {name!r}; there are: {', '.join(self._nodes)}"
            ) from error

    # --- watching -------------------------------------------------------------------------------

    def poll(self) -> None:
        """Look at every process once: tell of deaths, restart where the cluster file says so, and
        give links their delays. Not from inside an event loop.
        """
        with self._guard:
            for name, node in self._nodes.items():
                if node.process is None or node.process.alive():
                    continue
                if not node.death_told:
                    self._tell_death(name, node)
                if node.restart_at is not None and time.monotonic() >= node.restart_at:
                    self._try_again(name, node)
        # Without the lock: a node that does not answer must not hold up a kill or a restart.
        self.keep_links()

    def _try_again(self, name: str, node: _Node) -> None:
        """An automatic restart; one that is not possible now is told and put off."""
        try:
            self._launch(name)
        except ClusterError as error:
            wait_s = limits.NODE_RESTART_WAIT_S[-1]
            node.restart_at = time.monotonic() + wait_s
            self._say(f"{error}; trying again in {wait_s:g} s")
            return
        assert node.process is not None
        self._say(f"{name}: restarted, pid {node.process.pid}")

    def _tell_death(self, name: str, node: _Node) -> None:
        assert node.process is not None
        node.death_told = True
        if self.is_removed(name):
            self._say(self._removal(name))
            return
        text = f"{name}: pid {node.process.pid} {node.process.ending()}"
        if (node.spec.restart or self.spec.restart) != "always":
            self._say(f"{text}; log: {self.run.log(name)}")
            return
        if time.monotonic() - node.started_at > limits.NODE_RESTART_FORGIVE_S:
            node.restarts = 0
        pauses = limits.NODE_RESTART_WAIT_S
        wait_s = pauses[min(node.restarts, len(pauses) - 1)]
        node.restarts += 1
        node.restart_at = time.monotonic() + wait_s
        self._say(f"{text}; restarting in {wait_s:g} s")

    def answers(self) -> dict[str, probe.Answer | None]:
        """Every member's answer to the probe (None: it gave none). Not from inside an event
        loop.
        """
        return probe.ask_all(self._urls(self._members()), tls=self.tls)

    def _members(self) -> list[str]:
        """The nodes that the cluster still counts on."""
        return [name for name in self._nodes if not self.is_removed(name)]

    def _urls(self, names: Iterable[str]) -> dict[str, str]:
        assert self.state is not None
        return {name: command.client_url(self.spec, self.state, name) for name in names}

    def leader(self) -> str | None:
        """The name of the node that leads now, as far as the nodes that answer know."""
        return probe.known_leader(self.answers())

    def nodes(self) -> list[NodeView]:
        """Every node, in the cluster file's order."""
        with self._guard:
            return [self._view(name) for name in self._nodes]

    def _state(self, name: str, node: _Node) -> str:
        process = node.process
        if process is not None and process.alive():
            return "paused" if process.paused() else "running"
        return "removed" if self.is_removed(name) else "dead"

    def _view(self, name: str) -> NodeView:
        assert self.state is not None
        node = self._nodes[name]
        process, state = node.process, self._state(name, node)
        return NodeView(
            name=name,
            pid=process.pid if process else 0,
            state=state,
            ending=process.ending() if process and state in ("dead", "removed") else "",
            client_url=command.client_url(self.spec, self.state, name),
            peer_url=command.peer_url(self.spec, self.state, name),
            log=self.run.log(name),
            data_dir=self.run.data_dir(self.spec, node.spec),
        )

    def states(self) -> dict[str, str]:
        """Every node's state by name, as :class:`NodeView` has it. Waits for no deed that is under
        way in another thread: an event loop may ask.
        """
        return {name: self._state(name, node) for name, node in list(self._nodes.items())}

    def endpoints(self) -> list[str]:
        """The client URLs of all nodes that are members, in the cluster file's order."""
        return [view.client_url for view in self.nodes() if view.state != "removed"]

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise Interrupted

    def _check_alive(self, name: str) -> None:
        process = self._nodes[name].process
        if process is None or not process.alive():
            ending = process.ending() if process else "was not started"
            raise ClusterError(f"{name} {ending} before it was ready{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        """The reason a node gave, in a sentence, and where the rest of its log is."""
        log = self.run.log(name)
        reason = last_words(log, self.run.log_since(name))
        return f": {reason}\nIts log: {log}" if reason else f"; it said nothing. Its log: {log}"

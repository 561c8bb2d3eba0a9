"""The ``live`` and ``etcd`` stages: a cluster of real processes and its clients.

The supervisor runs the processes (or somebody else does: then nothing can be done to processes, and
a step that wants to is refused). Links of kvorum's members are bent by their fault gates, those of
real etcd by proxies. A paused process has a watchdog beside it that lets it go on after its time,
so that no crash of the drill leaves it standing.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kvorum.check import records as r
from kvorum.client import TLS, Client
from kvorum.client.errors import ClientError
from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.rundir import ClusterError, RunDir, free_port
from kvorum.cluster.supervisor import Interrupted, Supervisor
from kvorum.drill.changes import Changes
from kvorum.drill.damage import flip_a_bit
from kvorum.drill.dump import complete
from kvorum.drill.eye import Eye
from kvorum.drill.facts import Stopped
from kvorum.drill.gates import Gates
from kvorum.drill.liveload import Crowd, kept
from kvorum.drill.proxies import Proxies
from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Scenario, Step
from kvorum.drill.stage import Digest, Fault, StageError, View
from kvorum.drill.words import LINK_WORDS
from kvorum.errors import ConfigError

_READY_S = 20.0
_CALL_S = 5.0
_WATCHDOG_LATE_S = 1.0
_NOT_OURS = "this cluster's processes are not the drill's; leave --endpoints away"
# What only whoever runs the processes can do, and on real etcd whoever stands between them.
_NEEDS_PROCESSES = ("kill", "restart", "add_member", "replace_member", "corrupt_wal")


def refusal_of_given(scenario: Scenario, kind: str) -> str:
    """Why a drill cannot run on a cluster that somebody else runs; empty when it can."""
    for step in scenario.steps:
        bent = kind == "etcd" and step.do in (*LINK_WORDS, "pause")
        if bent or step.do in _NEEDS_PROCESSES:
            return f"{scenario.path}:{step.line}: {step.do} is refused: {_NOT_OURS}"
    return ""


class ProcessStage:
    """A cluster of processes.

    Args:
        kind: ``live`` (kvorum) or ``etcd``. folder: where data and logs go. endpoints: of a
        cluster that runs already; empty lets the drill start its own. say: one line each of what
        the supervisor does.
    """

    def __init__(
        self,
        kind: str,
        scenario: Scenario,
        seed: int,
        folder: Path,
        stopping: threading.Event,
        endpoints: Sequence[str] = (),
        tls: TLS | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.kind = kind
        self._scenario = scenario
        self._given = tuple(endpoints)
        self._tls = tls
        self._rng = random.Random(seed)
        self._began = time.monotonic()
        self.recorder = Recorder(self.now_s)
        self._proxied: dict[str, tuple[int, int]] = {}
        self._supervisor: Supervisor | None = None
        if not self._given:
            self._supervisor = Supervisor(self._spec(), RunDir(folder), say, stopping, bound=True)
        self._eye = Eye(tls, self._states)
        self._proxies = Proxies(self._name_of)
        self._client: Client | None = None
        self._gates: Gates | None = None
        self._crowd: Crowd | None = None
        self._watchdogs: dict[str, subprocess.Popen[bytes]] = {}
        self._changes: Changes | None = None

    def _spec(self) -> ClusterSpec:
        shape = self._scenario.shape
        names = [f"n{n + 1}" for n in range(shape.nodes)]
        nodes = [NodeSpec(name) for name in names]
        if self.kind == "etcd":
            taken: set[int] = set()
            self._proxied = {name: (free_port(taken), free_port(taken)) for name in names}
            urls = {name: f"http://127.0.0.1:{port}" for name, (port, _) in self._proxied.items()}
            cluster = ",".join(f"{name}={url}" for name, url in urls.items())
            nodes = [
                NodeSpec(
                    name,
                    peer_port=self._proxied[name][1],
                    flags=(
                        f"--initial-advertise-peer-urls={urls[name]}",
                        f"--initial-cluster={cluster}",
                    ),
                )
                for name in names
            ]
        count = shape.snapshot_count
        return ClusterSpec(
            path=self._scenario.path,
            name="drill",
            nodes=tuple(nodes),
            program="etcd" if self.kind == "etcd" else "kvorum",
            heartbeat_ms=shape.heartbeat_ms,
            election_ms=shape.election_ms,
            faults=self.kind == "live",
            flags=(f"--snapshot-count={count}",) if count else (),
        )

    @property
    def own(self) -> bool:
        """The cluster was started for the drill."""
        return not self._given

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the cluster, or find the members of the given one; wait for a leader."""
        try:
            urls = await self._start() if self._supervisor is not None else await self._find()
        except Interrupted as error:
            raise Stopped from error
        except (ClusterError, ConfigError, ClientError, OSError) as error:
            raise StageError(f"the cluster does not start: {error}") from error
        self._client = Client(
            list(urls.values()), tls=self._tls, timeout_s=_CALL_S, dial_timeout_s=1.0
        )
        self._gates = Gates(self._client, lambda: self._eye.urls, lambda: self._eye.ids)
        self._changes = Changes(self._client, self._eye, self._supervisor, self._proxies)
        for name, url in urls.items():
            self._eye.follow(name, url)
        await self._ready(set(urls))
        self._began = time.monotonic()

    async def _start(self) -> dict[str, str]:
        assert self._supervisor is not None
        for name, (port, target) in self._proxied.items():
            await self._proxies.open(name, port, target)
        await asyncio.to_thread(self._supervisor.start)
        return {view.name: view.client_url for view in self._supervisor.nodes()}

    async def _find(self) -> dict[str, str]:
        async with Client(self._given, tls=self._tls, timeout_s=_CALL_S) as client:
            table = (await client.cluster.members()).members
        urls = {m.name: m.client_urls[0] for m in table if m.client_urls}
        if len(urls) < len(table):
            raise StageError("some members have no client URL; start them all first")
        return urls

    async def _ready(self, names: set[str]) -> None:
        end = time.monotonic() + _READY_S
        while self._eye.view().leader is None or set(self._eye.ids) != names:
            if time.monotonic() > end:
                silent = ", ".join(sorted(names - set(self._eye.ids)))
                raise StageError(f"no leader, or no answer from {silent or 'nobody'}")
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End the clients, lift every fault, stop what was started."""
        if self._crowd is not None:
            await self._crowd.stop()
        for name in list(self._watchdogs):
            await self._resume(name)
        if self._gates is not None:
            await self._gates.lift_all()
        await self._eye.close()
        if self._client is not None:
            await self._client.aclose()
        if self._supervisor is not None and self._supervisor.state is not None:
            await asyncio.to_thread(self._supervisor.stop)
        await self._proxies.close()

    def now_s(self) -> float:
        """Seconds since the cluster was ready."""
        return time.monotonic() - self._began

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def view(self) -> View:
        """The members as last heard of."""
        return self._eye.view()

    def _states(self) -> dict[str, str] | None:
        """What the supervisor knows of its processes; None where they are somebody else's."""
        if self._supervisor is None:
            return None
        if self._supervisor.state is None:
            return {}
        views = self._supervisor.nodes()
        return {view.name: "dead" if view.state == "removed" else view.state for view in views}

    def _state(self, name: str) -> str:
        states = self._states()
        return "running" if states is None else states.get(name, "dead")

    def _name_of(self, hexadecimal: str) -> str:
        try:
            number = int(hexadecimal, 16)
        except ValueError:
            return ""
        return next((name for name, id_ in self._eye.ids.items() if id_ == number), "")

    # --- clients ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the clients. On a cluster of somebody else's, keys begin with the run's own
        prefix; what an earlier run with the same seed left there is where the recording begins.
        """
        assert self._client is not None
        prefix = b"drill/" if not self._given else b"drill/%08x/" % self._rng.getrandbits(32)
        there = await self._client.range(prefix, prefix=True)
        revision, load = there.header.revision, self._scenario.load
        self.recorder.history.add(r.State(revision, tuple(kept(kv) for kv in there.kvs)))
        self._crowd = Crowd(
            list(self._eye.urls.values()),
            self._tls,
            load,
            self.recorder,
            prefix,
            self._rng,
            self._eye.name,
        )
        self._crowd.start(revision + 1)

    async def finish(self) -> None:
        """Stop the clients, wait for the watchers, read every member's applied order."""
        assert self._client is not None and self._crowd is not None
        await self._crowd.stop_writers()
        await complete(self._client, self._crowd, self._eye.urls, not self._given)

    # --- faults -----------------------------------------------------------------------------------

    async def inject(self, fault: Fault) -> str:
        """Begin a fault."""
        do = fault.step.do
        if do == "kill":
            return await self._kill(fault.names)
        if do == "pause" and self._supervisor is not None:
            return await self._pause(fault)
        if fault.links and self.kind == "etcd":
            return self._proxies.inject(fault)
        assert self._gates is not None
        return await self._gates.inject(fault)

    async def lift(self, fault: Fault) -> None:
        """End a fault."""
        do = fault.step.do
        if do == "kill":
            for name in fault.names:
                if self._state(name) == "dead":
                    await self._deed("restart", name)
        elif do == "pause" and self._supervisor is not None:
            for name in fault.names:
                await self._resume(name)
        elif fault.links and self.kind == "etcd":
            self._proxies.lift(fault)
        else:
            assert self._gates is not None
            await self._gates.lift(fault)

    async def _kill(self, names: Sequence[str]) -> str:
        for name in names:
            await self._deed("kill", name)
        alive = [name for name in names if self._state(name) != "dead"]
        if alive:
            raise StageError(f"{' and '.join(alive)} lives on after SIGKILL")
        return f"{' and '.join(names)} dead"

    async def _pause(self, fault: Fault) -> str:
        assert self._supervisor is not None
        for name in fault.names:
            pid = next(view.pid for view in self._supervisor.nodes() if view.name == name)
            await self._deed("pause", name)
            late_s = fault.step.for_s + _WATCHDOG_LATE_S
            self._watchdogs[name] = _watchdog(pid, late_s)
        moving = [name for name in fault.names if self._state(name) != "paused"]
        if moving:
            raise StageError(f"{' and '.join(moving)} did not stop at SIGSTOP")
        return f"{' and '.join(fault.names)} stopped"

    async def _resume(self, name: str) -> None:
        watchdog = self._watchdogs.pop(name, None)
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()
        if self._state(name) == "paused":
            await self._deed("resume", name)

    async def _deed(self, deed: str, name: str) -> None:
        if self._supervisor is None:
            raise StageError(_NOT_OURS)
        try:
            await asyncio.to_thread(getattr(self._supervisor, deed), name)
        except ClusterError as error:
            raise StageError(str(error)) from error

    async def heal(self) -> None:
        """Lift everything and start the dead."""
        assert self._gates is not None
        await self._gates.lift_all()
        for name in list(self._watchdogs):
            await self._resume(name)
        for node in self._eye.view().nodes:
            if self._supervisor is not None and self._state(node.name) == "dead":
                await self._deed("restart", node.name)

    # --- orders -----------------------------------------------------------------------------------

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """Do what does not last."""
        assert self._changes is not None and self._crowd is not None
        try:
            if step.do == "restart":
                for name in names:
                    await self._deed("restart", name)
                return f"{' and '.join(names)} started again"
            if step.do == "corrupt_wal":
                return await self._corrupt(names)
            if step.do == "compact":
                return await self._compact(step.keep)
            return await self._changes.order(step, names)
        except (ClientError, ClusterError) as error:
            raise StageError(f"{step.do}: {error}") from error

    async def _corrupt(self, names: Sequence[str]) -> str:
        if self._supervisor is None:
            raise StageError(_NOT_OURS)
        told = []
        for view in self._supervisor.nodes():
            if view.name not in names:
                continue
            if self._state(view.name) != "dead":
                raise StageError(f"{view.name} runs; kill it first")
            flipped = await asyncio.to_thread(flip_a_bit, view.data_dir / "member" / "wal")
            told.append(f"{view.name}: {flipped}")
        return "; ".join(told)

    async def _compact(self, keep: int) -> str:
        assert self._client is not None
        called = self.recorder.now()
        newest = (await self._client.get("drill")).header.revision
        request = r.Compact(max(1, newest - keep))
        try:
            header = await self._client.compact(request.revision)
        except ClientError as error:
            self.recorder.failed(0, called, request, str(error), unknown=True)
            raise
        self.recorder.done(0, called, request, r.Done(), header.revision)
        return f"compacted at revision {request.revision}"

    async def digests(self) -> dict[str, Digest]:
        """Every member's HashKV at one revision."""
        assert self._client is not None
        try:
            revision = (await self._client.get("drill")).header.revision
        except ClientError:
            return {}
        found = {}
        for name, url in self._eye.urls.items():
            try:
                answer = await self._client.member(url).maintenance.hash_kv(revision)
            except ClientError:
                continue  # Behind, or out of reach: the caller asks again.
            digest = answer.hash << 64 | (answer.compact_revision & (1 << 64) - 1)
            found[name] = Digest(revision, digest)
        return found


def _watchdog(pid: int, after_s: float) -> subprocess.Popen[bytes]:
    """A process of its own that lets ``pid`` go on, also when the drill is no more."""
    return subprocess.Popen(
        ["sh", "-c", f"sleep {after_s:.2f}; kill -CONT {pid}"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )

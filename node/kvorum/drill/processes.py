"""The ``live`` and ``etcd`` stages: a cluster of real processes and its clients.

The supervisor runs the processes (or somebody else does: then nothing can be done to processes, and
a step that wants to is refused). Links of kvorum's members are bent by their fault gates, those of
real etcd by proxies. What is the drill's own ends with the drill, also when it is killed: its nodes
are on a leash, faults and pauses have timers of their own.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kvorum.check import records as r
from kvorum.client import Client
from kvorum.client.errors import ClientError, CompactedError
from kvorum.cluster.file import ClusterSpec
from kvorum.cluster.rundir import ClusterError, RunDir
from kvorum.cluster.supervisor import Interrupted, Supervisor
from kvorum.drill.access import Access
from kvorum.drill.changes import Changes
from kvorum.drill.deeds import NOT_OURS, Deeds
from kvorum.drill.doors import Doors
from kvorum.drill.dump import complete
from kvorum.drill.eye import Eye
from kvorum.drill.facts import Stopped
from kvorum.drill.gates import Gates
from kvorum.drill.liveload import Crowd, kept
from kvorum.drill.proxies import Proxies
from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Scenario, Step
from kvorum.drill.shape import behind_proxies, cluster_of
from kvorum.drill.stage import Digest, Fault, StageError, View
from kvorum.drill.words import CLIENT_WORDS, LINK_WORDS
from kvorum.errors import ConfigError

_READY_S = 20.0
_CALL_S = 5.0
_LINKS_S = 0.5  # Between two looks whether a member has lost the delays of its links.
# What only whoever runs the processes can do, and on real etcd whoever stands between them.
_NEEDS_PROCESSES = (
    *("kill", "restart", "fail_fsync", "corrupt_wal"),
    *("add_member", "replace_member", "rejoin_member"),
)


def refusal_of_given(scenario: Scenario, kind: str) -> str:
    """Why a drill cannot run on a cluster that somebody else runs; empty when it can."""
    for step in scenario.steps:
        bent = kind == "etcd" and step.do in (*LINK_WORDS, "pause")
        if bent or step.do in _NEEDS_PROCESSES:
            return f"{scenario.path}:{step.line}: {step.do} is refused: {NOT_OURS}"
    return ""


class ProcessStage:
    """A cluster of processes.

    Args:
        kind: ``live`` (kvorum) or ``etcd``. folder: where data and logs go. endpoints: of a
        cluster that runs already; empty lets the drill start its own. access: how a given cluster
        is spoken to. cluster: the cluster file whose shape the drill's own cluster has; None takes
        the scenario's. say: one line each of what the supervisor does.

    Raises ConfigError when the cluster file does not fit.
    """

    def __init__(
        self,
        kind: str,
        scenario: Scenario,
        seed: int,
        folder: Path,
        stopping: threading.Event,
        endpoints: Sequence[str] = (),
        access: Access | None = None,
        cluster: ClusterSpec | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.kind = kind
        self._scenario = scenario
        self._given = tuple(endpoints)
        self._access = access or Access()
        self._rng = random.Random(seed)
        self._began = time.monotonic()
        self.recorder = Recorder(self.now_s)
        self._proxied: dict[str, tuple[int, int]] = {}
        self._supervisor: Supervisor | None = None
        if not self._given:
            spec = cluster_of(scenario, kind, cluster)
            if kind == "etcd":
                spec, self._proxied = behind_proxies(spec)
            self._supervisor = Supervisor(spec, RunDir(folder), say, stopping, bound=True)
        self._deeds = Deeds(self._supervisor, lambda names: self._eye.anew(names))
        self._eye = Eye(self._deeds.states)
        self._proxies = Proxies(self._name_of)
        self._doors = Doors()
        self._client: Client | None = None
        self._gates: Gates | None = None
        self._crowd: Crowd | None = None
        self._changes: Changes | None = None
        self._linking: asyncio.Task[None] | None = None

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
        self._client = self._access.client(list(urls.values()), _CALL_S)
        self._gates = Gates(self._client, lambda: self._eye.urls, lambda: self._eye.ids)
        self._changes = Changes(
            self._client, self._access, self._eye, self._supervisor, self._proxies
        )
        self._eye.look(self._access, urls)
        await self._ready(set(urls))
        self._began = time.monotonic()

    async def _start(self) -> dict[str, str]:
        supervisor = self._supervisor
        assert supervisor is not None
        for name, (port, target) in self._proxied.items():
            await self._proxies.open(name, port, target)
        await asyncio.to_thread(supervisor.start)
        await asyncio.to_thread(supervisor.set_up_auth)
        self._access = Access(supervisor.tls)
        if supervisor.spec.links:
            await asyncio.to_thread(supervisor.keep_links)
            self._linking = asyncio.create_task(self._keep_links(supervisor))
        return {view.name: view.client_url for view in supervisor.nodes()}

    async def _keep_links(self, supervisor: Supervisor) -> None:
        """A member that was started anew gets the delays of its links again."""
        while True:
            await asyncio.sleep(_LINKS_S)
            await asyncio.to_thread(supervisor.keep_links)

    async def _find(self) -> dict[str, str]:
        async with self._access.client(self._given, _CALL_S) as client:
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
        await self._deeds.resume_all()
        if self._gates is not None:
            await self._gates.lift_all()
        if self._linking is not None:
            self._linking.cancel()
            await asyncio.wait([self._linking])
        await self._eye.close()
        if self._client is not None:
            await self._client.aclose()
        if self._supervisor is not None and self._supervisor.state is not None:
            await asyncio.to_thread(self._supervisor.stop)
        await self._doors.close()
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
        try:
            there = await self._client.range(prefix, prefix=True)
        except ClientError as error:
            raise StageError(f"the store cannot be read: {error}") from error
        revision, load = there.header.revision, self._scenario.load
        self.recorder.history.add(r.State(revision, tuple(kept(kv) for kv in there.kvs)))
        self._crowd = Crowd(
            await self._fronts(),
            self._access,
            load,
            self.recorder,
            prefix,
            self._rng,
            self._eye.name,
        )
        self._crowd.start(revision + 1)

    async def _fronts(self) -> list[str]:
        """Where clients go: to the members, or to doors before them where a step wants some."""
        urls = self._eye.urls
        if self._scenario.count(*CLIENT_WORDS):
            return [await self._doors.stand(name, url) for name, url in urls.items()]
        return list(urls.values())

    async def finish(self) -> None:
        """Stop the clients, wait for the watchers, read every member's applied order."""
        assert self._client is not None and self._crowd is not None
        await self._crowd.stop_writers()
        await complete(self._client, self._crowd, self._eye.urls, not self._given)

    # --- faults -----------------------------------------------------------------------------------

    async def inject(self, fault: Fault) -> str:
        """Begin a fault."""
        assert self._gates is not None
        match fault.step.do:
            case "kill":
                return await self._deeds.kill(fault.names)
            case "pause" if self._deeds.ours:
                return await self._deeds.pause(fault)
            case "cut_clients":
                return self._shut(fault.names)
            case "fail_fsync":
                await self._gates.inject_deadly(fault)
                return await self._deeds.ended(fault.names)
        if fault.links and self.kind == "etcd":
            return self._proxies.inject(fault)
        return await self._gates.inject(fault)

    async def lift(self, fault: Fault) -> str | None:
        """End a fault."""
        assert self._gates is not None
        match fault.step.do:
            case "kill" | "fail_fsync":
                await self._deeds.start_dead(fault.names)
            case "pause" if self._deeds.ours:
                for name in fault.names:
                    await self._deeds.resume(name)
            case "cut_clients":
                held = sum(self._doors.unshut(name) for name in fault.names)
                return f"{held} bytes held back"
            case _ if fault.links and self.kind == "etcd":
                return self._proxies.lift(fault)
            case _:
                await self._gates.lift(fault)
        return None

    def _shut(self, names: Sequence[str]) -> str:
        for name in names:
            self._door(name)
        held = sum(self._doors.shut(name) for name in names)
        return f"nothing passes between clients and {' and '.join(names)}: {held} connections held"

    def _door(self, name: str) -> None:
        if not self._doors.has(name):
            raise StageError(
                f"{name} joined when clients had their addresses; no client goes there"
            )

    async def heal(self) -> None:
        """Lift everything and start the dead."""
        assert self._gates is not None
        await self._gates.lift_all()
        await self._deeds.resume_all()
        await self._deeds.start_dead(self._eye.view().names)

    # --- orders -----------------------------------------------------------------------------------

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """Do what does not last."""
        assert self._changes is not None and self._crowd is not None
        try:
            match step.do:
                case "restart":
                    return await self._deeds.restart(names)
                case "corrupt_wal":
                    return await self._deeds.corrupt(names)
                case "reset_clients":
                    return self._reset(names)
                case "compact":
                    return await self._compact(step.keep)
            return await self._changes.order(step, names)
        except (ClientError, ClusterError) as error:
            raise StageError(f"{step.do}: {error}") from error

    def _reset(self, names: Sequence[str]) -> str:
        for name in names:
            self._door(name)
        broken = sum(self._doors.slam(name) for name in names)
        if not broken:
            raise StageError(f"no client was connected with {' and '.join(names)}")
        return f"{broken} connections with {' and '.join(names)} reset"

    async def _compact(self, keep: int) -> str:
        assert self._client is not None and self._crowd is not None
        newest = (await self._client.get("drill")).header.revision
        revision = max(1, newest - keep)
        call = self.recorder.call(0, r.Compact(revision))
        try:
            header = await self._client.compact(revision)
        except CompactedError as error:
            self._crowd.refused(call, error)
            return f"compacted at revision {revision} already: nothing was written since"
        except ClientError as error:
            self.recorder.gave_up(call, str(error), unknown=True)
            raise
        self.recorder.answered(call, r.Done(), header.revision)
        return f"compacted at revision {revision}"

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

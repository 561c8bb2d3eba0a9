"""The ``sim`` stage: the production replica in simulated time, broken by the scenario's steps.

A second of a drill costs some milliseconds, and a seed gives the same run, event for event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvorum.check import records as r
from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Scenario, Step
from kvorum.drill.simchanges import SimChanges
from kvorum.drill.simdoors import Doors
from kvorum.drill.simload import Caller, Client, Follower, LeaseHolder
from kvorum.drill.simtools import Dumper, LinkNetwork
from kvorum.drill.stage import Digest, Fault, Link, NodeView, StageError, View
from kvorum.machine.digest import HashResult
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Failed, Outcome
from kvorum.sim.network import Weather
from kvorum.sim.node import SimNode
from kvorum.sim.properties import Properties
from kvorum.sim.world import SafetyViolation, World

_US = 1_000_000
_BOOT_S = 10.0  # A first leader stands after one or two election timeouts.
_ORDER_S = 10.0
_COMPACT_TRIES = 3
_BITES_S = 5.0  # How long a fault of a disk may take until a write meets it.
_DRAIN_S = 3.0  # Longer than a client's patience.
_SNAPSHOT_COUNT = 400
_ORDERER, _LEASE_FROM, _STREAM_FROM = 900, 1000, 1
_FAIR = Weather()


class SimStage:
    """A simulated cluster. ``seed`` decides everything that the scenario leaves open."""

    kind = "sim"

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._world = World(seed)
        self._network = LinkNetwork(self._world)
        self._properties = Properties(self._world)
        ids = tuple(range(1, scenario.shape.nodes + 1))
        self._nodes: list[SimNode] = []
        self._by_id: dict[int, SimNode] = {}
        self._names = {n: f"n{n}" for n in ids}
        for n in ids:
            self._make(n, ids)
        self._changes = SimChanges(
            self._world, self._nodes, self._names, lambda n: self._make(n, ()), self._run
        )
        self.recorder = Recorder(self.now_s)
        self._began_us = 0
        self._faults: list[Fault] = []
        self._actors: list[Client | LeaseHolder] = []
        self._followers: list[Follower] = []
        self._doors = Doors()
        self._orderer = Caller(self._world, self._nodes, self.recorder, _ORDERER, self._doors)

    def _make(self, number: int, voters: tuple[int, ...]) -> SimNode:
        count = self._scenario.shape.snapshot_count or _SNAPSHOT_COUNT
        node = SimNode(self._world, self._network, self._properties, number, voters, count)
        node.nodes = self._by_id
        self._by_id[number] = node
        self._nodes.append(node)
        return node

    def _members(self) -> list[SimNode]:
        """Those that are members now, in the order of their names."""
        order = sorted(self._names, key=lambda n: int(self._names[n][1:]))
        return [self._by_id[n] for n in order]

    @property
    def own(self) -> bool:
        """Always: the world is the drill's."""
        return True

    # --- life -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Boot all members and wait for a leader."""
        for node in self._nodes:
            node.start()
        if not self._run(_BOOT_S, lambda: self.view().leader is not None):
            raise StageError(f"no leader after {_BOOT_S:g} simulated seconds")
        self._began_us = self._world.now_us

    async def close(self) -> None:
        """Nothing runs on."""

    def now_s(self) -> float:
        """Simulated seconds since the cluster was open."""
        return (self._world.now_us - self._began_us) / _US

    async def wait(self, seconds: float) -> None:
        """Let simulated time pass. Raises StageError when a safety property breaks."""
        self._run(seconds, None)

    def _run(self, seconds: float, until: Callable[[], bool] | None) -> bool:
        try:
            end_us = self._world.now_us + int(seconds * _US)
            return self._world.run_until(end_us, until)
        except SafetyViolation as violation:
            raise StageError(f"a safety property broke: {violation}") from violation

    def view(self) -> View:
        """The members as they are."""
        seen = []
        for node in self._members():
            name = self._names[node.id]
            if not node.alive:
                seen.append(NodeView(name, alive=False))
                continue
            replica = node.replica
            leads = replica.leader == node.id
            applied = replica.machine.applied_index
            seen.append(NodeView(name, True, node.paused, replica.term, applied, leads))
        led = [node for node in seen if node.leader and not node.paused]
        best = max(led, key=lambda node: node.term, default=None)
        term = max((node.term for node in seen), default=0)
        return View(tuple(seen), best.name if best else None, term)

    # --- clients ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start clients, lease holders and watchers."""
        load = self._scenario.load
        for n in range(load.clients):
            caller = Caller(self._world, self._nodes, self.recorder, n + 1, self._doors)
            self._actors.append(Client(caller, load))
        for n in range(load.leases):
            caller = Caller(self._world, self._nodes, self.recorder, _LEASE_FROM + n, self._doors)
            self._actors.append(LeaseHolder(caller, load))
        for n in range(load.watchers):
            follower = Follower(
                self._world, self._nodes, self.recorder, _STREAM_FROM + n, self._doors
            )
            self._followers.append(follower)
        for actor in (*self._actors, *self._followers):
            actor.start()

    async def finish(self) -> None:
        """Stop the clients, let watchers catch up, dump the applied order and the digests."""
        for actor in self._actors:
            actor.stop()
        self._run(_DRAIN_S, None)
        newest = max(node.replica.machine.revision for node in self._members() if node.alive)
        self._run(_ORDER_S, lambda: all(f.next_revision > newest for f in self._followers))
        history = self.recorder.history
        history.quiet = r.Quiet(self.recorder.now(), newest)
        for node in self._members():
            if node.alive:
                self._dump(node)

    def _dump(self, node: SimNode) -> None:
        """A member's applied order, through a watch on that member alone, and its hash."""
        machine, name = node.replica.machine, self._names[node.id]
        first, last = max(2, machine.compact_revision + 1), machine.revision
        dumper = Dumper(self._world, node, first, last)
        if not self._run(_ORDER_S, dumper.complete):
            raise StageError(f"{name} does not tell its history from {first} to {last}")
        history = self.recorder.history
        history.add(r.Dump(name, first, last))
        for revision, events in sorted(dumper.events.items()):
            history.add(r.Applied(name, revision, tuple(events)))
        answer = machine.hash_kv(last)
        if isinstance(answer, HashResult):
            history.add(r.Digest(name, last, answer.hash, answer.compact_revision))

    # --- faults -----------------------------------------------------------------------------------

    async def inject(self, fault: Fault) -> str:
        """Begin a fault. The proof is the state of the world afterwards."""
        self._faults.append(fault)
        do = fault.step.do
        if do == "cut_clients":
            held = sum(self._doors.shut(node.id) for node in self._named(fault.names))
            return f"nothing passes between clients and {' and '.join(fault.names)}: {held} held"
        if fault.links:
            self._weather()
            return f"{len(fault.links)} one-way links bent"
        for node in self._named(fault.names):
            if do == "kill":
                node.crash(power=False)
            elif do == "pause":
                if not node.alive:
                    raise StageError(f"{self._names[node.id]} is dead and cannot be paused")
                node.pause(True)
            elif do == "disk_full":
                self._fill(node)
            elif do == "fail_fsync":
                self._fail_fsync(node)
            elif do == "slow_history":
                node.history_us_more = fault.step.ms * 1000
            elif do == "skew":
                node.clock_rate = 1 + fault.step.percent / 100
            elif do == "slow_fsync":
                node.sync_us_max = 2 * fault.step.ms * 1000
            else:
                raise StageError(f"{do} is not done by stage sim")
        proofs = {
            "kill": "dead",
            "pause": "takes no input",
            "skew": f"ticks at {1 + fault.step.percent / 100:g}",
            "slow_fsync": f"fsync {fault.step.ms} ms on average",
            "disk_full": "waits for room on its disk",
            "fail_fsync": "dead, after a sync that failed",
            "slow_history": f"commits its history {fault.step.ms} ms later",
        }
        return f"{' and '.join(fault.names)} {proofs[do]}"

    def _fill(self, node: SimNode) -> None:
        """No room for another byte, and a write that has found that out."""
        disk, coverage = node.disks.log, self._world.coverage
        disk.capacity_bytes = sum(disk.size(name) for name in disk.names())
        waited = coverage["disk.waits for room"]
        if not self._run(_BITES_S, lambda: coverage["disk.waits for room"] > waited):
            raise StageError(f"{self._names[node.id]} wrote nothing while its disk was full")

    def _fail_fsync(self, node: SimNode) -> None:
        node.disks.log.fail_syncs = 0
        if not self._run(_BITES_S, lambda: not node.alive):
            raise StageError(f"{self._names[node.id]} lives on after a sync that failed")

    async def lift(self, fault: Fault) -> None:
        """End one fault."""
        if fault not in self._faults:
            return
        self._faults.remove(fault)
        if fault.links:
            self._weather()
        for node in self._named(fault.names):
            self._mend(node, fault.step.do)

    def _mend(self, node: SimNode, do: str) -> None:
        if do in ("kill", "fail_fsync") and not node.alive:
            node.start()
        elif do == "cut_clients":
            self._doors.open(node.id)
        elif do == "disk_full":
            node.disks.heal()
        elif do == "slow_history":
            node.history_us_more = 0
        elif do == "pause":
            node.pause(False)
        elif do == "skew":
            node.clock_rate = 1.0
        elif do == "slow_fsync":
            node.sync_us_max = 4_000

    def _weather(self) -> None:
        """What all faults together do to links."""
        self._network.heal()
        self._network.links.clear()
        for fault in self._faults:
            for link in fault.links:
                self._bend(fault.step, link)

    def _bend(self, step: Step, link: Link) -> None:
        one, other = (self._changes.node(name).id for name in link)
        before = self._network.links.get((one, other), _FAIR)
        if step.do == "delay":
            low = step.ms * 1000
            high = low + step.jitter_ms * 1000 + _FAIR.delay_us_max
            weather = Weather(before.loss, before.duplicate, low, high)
        elif step.do == "loss":
            weather = Weather(
                step.percent / 100, before.duplicate, before.delay_us_min, before.delay_us_max
            )
        else:
            self._network.cut(one, other)
            return
        self._network.links[one, other] = weather

    def _named(self, names: Sequence[str]) -> list[SimNode]:
        return [node for node in self._members() if self._names[node.id] in names]

    async def heal(self) -> None:
        """End all faults, start the dead."""
        for fault in list(self._faults):
            await self.lift(fault)
        for node in self._members():
            if not node.alive:
                node.start()

    # --- orders -----------------------------------------------------------------------------------

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """Restart, transfer, compact, corrupt, change members."""
        if step.do == "restart":
            for node in self._named(names):
                node.crash(power=False)
                node.start()
            refused = [f"{self._names[n.id]} refuses: {n.out}" for n in self._named(names) if n.out]
            return "; ".join(refused) or f"{' and '.join(names)} booted"
        if step.do == "reset_clients":
            broken = sum(self._doors.slam(node.id) for node in self._named(names))
            if not broken:
                raise StageError(f"no client was connected with {' and '.join(names)}")
            return f"{broken} connections with {' and '.join(names)} reset"
        if step.do == "corrupt_wal":
            return self._corrupt(names)
        if step.do == "transfer_leader":
            return self._transfer(names[0])
        if step.do == "compact":
            return self._compact(step.keep)
        return self._changes.order(step, names)

    def _corrupt(self, names: Sequence[str]) -> str:
        for node in self._named(names):
            if node.alive:
                raise StageError(f"{self._names[node.id]} runs; only a dead one's log is damaged")
            if not node.flip_log(self._world.rng):
                raise StageError(f"{self._names[node.id]} has no log that could be damaged")
        return f"a bit of {' and '.join(names)} flipped in the middle of the log"

    def _transfer(self, name: str) -> str:
        leader = self.view().leader
        if leader is None:
            raise StageError("nobody leads, so nobody can hand over")
        began = self.now_s()
        outcomes: list[Outcome] = []
        target = self._named((name,))[0].id
        number = self.recorder.id() << 8
        self._named((leader,))[0].ask(i.TransferLeader(number, target), outcomes.append)
        self._run(_ORDER_S, lambda: bool(outcomes))
        if outcomes and isinstance(outcomes[0], Done):
            return f"{name} leads after {self.now_s() - began:.3f} s"
        why = outcomes[0].condition.message if outcomes and isinstance(outcomes[0], Failed) else ""
        raise StageError(f"no transfer to {name}: {why or 'no answer'}")

    def _compact(self, keep: int) -> str:
        """Asked of another member when one does not answer; done, too, when it was done before."""
        machines = [node.replica.machine for node in self._members() if node.alive]
        revision = max(1, max(machine.revision for machine in machines) - keep)
        for _ in range(_COMPACT_TRIES):
            if self._compacted(revision):
                return f"compacted at revision {revision}"
            if any(machine.compact_revision >= revision for machine in machines):
                return f"compacted at revision {revision} or later already"
        raise StageError(f"compaction at {revision} was not acknowledged")

    def _compacted(self, revision: int) -> bool:
        heard: list[r.Answer | None] = []
        self._orderer.ask(r.Compact(revision), lambda answer, _: heard.append(answer))
        self._run(_ORDER_S, lambda: bool(heard))
        return bool(heard) and heard[0] is not None

    async def digests(self) -> dict[str, Digest]:
        """Applied index and digest of everybody who is alive."""
        machines = {self._names[n.id]: n.replica.machine for n in self._members() if n.alive}
        return {name: Digest(m.applied_index, m.digest) for name, m in machines.items()}

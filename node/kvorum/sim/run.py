"""One run: build a cluster from a seed, break it, let it heal, judge it."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.machine import commands
from kvorum.raft.types import EntryKind
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Outcome
from kvorum.sim.nemesis import Nemesis
from kvorum.sim.network import Network
from kvorum.sim.node import SimNode
from kvorum.sim.properties import Properties
from kvorum.sim.verify import verify
from kvorum.sim.workload import Client, Follower
from kvorum.sim.world import SafetyViolation, World

_SECOND_US = 1_000_000
CONVERGE_S = 60
_CATCH_UP_S = 30
_CLIENTS = 4
_CLOCK_RATE_MAX = 1.2


@dataclass(frozen=True)
class Report:
    """What a run was and did."""

    seed: int
    nodes: int
    simulated_s: float
    events: int
    faults: int
    messages: int
    committed: int
    operations: int
    acknowledged: int
    unknown: int
    terms: int
    converged_s: float
    trace_hash: int


class Simulation:
    """A cluster in a world of its own.

    Args:
        seed: decides everything. nodes: members; 0 lets the seed choose among 1, 3 and 5. seconds:
        simulated length of the phase with faults.
    """

    def __init__(self, seed: int, nodes: int = 0, seconds: float = 30.0) -> None:
        self.world = World(seed)
        rng = self.world.rng
        drawn = rng.choice((1, 3, 3, 3, 5, 5))
        self.count = nodes or drawn
        self.seconds = seconds
        self.network = Network(self.world)
        self.properties = Properties(self.world)
        ids = tuple(range(1, self.count + 1))
        snapshot_count = rng.choice((20, 60, 400, 10_000))
        self.nodes = [
            SimNode(self.world, self.network, self.properties, n, ids, snapshot_count) for n in ids
        ]
        by_id = {node.id: node for node in self.nodes}
        for node in self.nodes:
            node.nodes = by_id
        self.nemesis = Nemesis(self.world, self.network, self.nodes)
        for node in self.nodes:
            node.on_death = self.nemesis.revive
        self.clients = [Client(self.world, self.nodes, n + 1) for n in range(_CLIENTS)]
        self.watchers = [Follower(self.world, self.nodes, n + 1, n == 1) for n in range(2)]

    def run(self) -> Report:
        """Break, heal, converge, verify. Raises SafetyViolation."""
        world = self.world
        for node in self.nodes:
            node.start()
        world.run_until(3 * _SECOND_US)
        for client in self.clients:
            client.start()
        for watcher in self.watchers:
            watcher.start()
        self.nemesis.start()
        world.run_until(world.now_us + int(self.seconds * _SECOND_US))
        self.nemesis.stop()
        healed_us = world.now_us
        world.run_until(healed_us + 5 * _SECOND_US)
        for client in self.clients:
            client.stop()
        self._converge(healed_us)
        converged_s = (world.now_us - healed_us) / _SECOND_US
        if not world.run_until(world.now_us + _CATCH_UP_S * _SECOND_US, self._all_seen):
            world.fail("a watcher is behind for good")
        operations = [op for client in self.clients for op in client.operations]
        verify(world, self.properties.committed, operations, self.watchers)
        self._check_leases()
        return Report(
            seed=world.seed,
            nodes=self.count,
            simulated_s=world.now_us / _SECOND_US,
            events=world.events,
            faults=self.nemesis.injected,
            messages=self.network.sent,
            committed=len(self.properties.committed),
            operations=len(operations),
            acknowledged=sum(op.returned_us >= 0 and not op.definite_failure for op in operations),
            unknown=sum(op.returned_us < 0 for op in operations),
            terms=max(self.properties.leaders, default=0),
            converged_s=converged_s,
            trace_hash=world.trace_hash,
        )

    def _converge(self, since_us: int) -> None:
        """Liveness: without faults, a write is acknowledged and all members agree, in bounded
        time."""
        acknowledged = False

        def answered(outcome: Outcome) -> None:
            nonlocal acknowledged
            acknowledged = acknowledged or isinstance(outcome, Done)

        def probe(number: int) -> None:
            if not acknowledged:
                node = self.nodes[number % self.count]
                put = commands.Put(b"probe", b"%d" % number)
                node.ask(i.Propose(0xFFFF << 32 | number, put, 0), answered)
                self.world.after(8 * _SECOND_US, lambda: probe(number + 1))

        probe(1)
        limit_us = since_us + CONVERGE_S * _SECOND_US

        def agree() -> bool:
            return acknowledged and self._agree()

        if not self.world.run_until(limit_us, agree):
            state = [
                (n.id, n.replica.role.value, n.replica.term, n.replica.machine.applied_index)
                for n in self.nodes
            ]
            self.world.fail(f"no convergence in {CONVERGE_S} s: written {acknowledged}, {state}")

    def _all_seen(self) -> bool:
        """Every watcher has been given everything."""
        newest = max(node.replica.machine.revision for node in self.nodes)
        return all(watcher.next_revision > newest for watcher in self.watchers)

    def _agree(self) -> bool:
        applied = {(n.replica.machine.applied_index, n.replica.machine.digest) for n in self.nodes}
        return len(applied) == 1

    def _check_leases(self) -> None:
        """No lease that was renewed may have ended before its time, by the fastest clock there
        was."""
        memories = {lease: memory for c in self.clients for lease, memory in c.leases.items()}
        for index, at_us in self.properties.committed_us.items():
            entry = self.properties.committed[index]
            if entry.kind != EntryKind.NORMAL or not entry.data:
                continue
            command = commands.decode(entry.data).command
            if not isinstance(command, commands.LeaseExpire) or command.proposer_term != entry.term:
                continue
            for lease in command.ids:
                memory = memories.get(lease)
                if memory is None:
                    continue
                earliest_us = memory.renewed_us + memory.ttl_s * _SECOND_US / _CLOCK_RATE_MAX
                if at_us < earliest_us:
                    self.world.fail(
                        f"lease {lease:x} of {memory.ttl_s} s ended at {at_us} us, renewed at "
                        f"{memory.renewed_us} us"
                    )


def simulate(seed: int, nodes: int = 0, seconds: float = 30.0) -> Report:
    """Run one seed; a violation carries the trace's tail."""
    simulation = Simulation(seed, nodes, seconds)
    try:
        return simulation.run()
    except SafetyViolation:
        raise
    except Exception as error:
        raise SafetyViolation(f"seed {seed}: {type(error).__name__}: {error}") from error

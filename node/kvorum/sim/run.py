"""One run: build a cluster from a seed, break it, let it heal, judge it.

Safety first: for as long as the plan's faults last, nothing may be lost or contradict itself. Then
liveness, in two steps. A majority is healed while the others stay broken: it must answer everything
it was asked, agree and take a write, in bounded time. Then all are healed that can be, and must
agree, have ended every lease, and have given every watcher everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvorum.machine import commands
from kvorum.raft.types import EntryKind
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Outcome
from kvorum.sim.following import Follower
from kvorum.sim.joining import others_among
from kvorum.sim.nemesis import Nemesis
from kvorum.sim.network import Network
from kvorum.sim.node import SimNode
from kvorum.sim.plan import Plan, draw_plan
from kvorum.sim.properties import Properties
from kvorum.sim.steward import Steward
from kvorum.sim.verify import verify
from kvorum.sim.workload import Client, Operation
from kvorum.sim.world import SafetyViolation, World

_SECOND_US = 1_000_000
CONVERGE_S = 60
ANSWER_S = 15  # 70 ticks for a request, as much again for a change of leader in between.
_DEPART_S = 15  # A removed member is told when it campaigns, and lingers for three elections.
LEASES_S = 15  # The longest TTL of 4 s, granted anew by two leaders, and the scan.
_CATCH_UP_S = 30
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
    coverage: dict[str, int]


class Simulation:
    """A cluster in a world of its own.

    Args:
        seed: decides everything. nodes: members; 0 lets the seed choose among 1, 3 and 5. seconds:
        simulated length of the phase with faults. plan: what is to happen instead of what the seed
        decides. verbose: whether the trace tells every request and what raft does.
    """

    def __init__(
        self,
        seed: int,
        nodes: int = 0,
        seconds: float = 30.0,
        plan: Plan | None = None,
        verbose: bool = False,
    ) -> None:
        self.plan = plan = plan or draw_plan(seed, nodes, seconds)
        self.world = World(plan.seed, verbose)
        self.count = plan.nodes
        self.network = Network(self.world)
        self.properties = Properties(self.world)
        self.nodes: list[SimNode] = []
        self._by_id: dict[int, SimNode] = {}
        ids = tuple(range(1, self.count + 1))
        for n in ids:
            self._node(n, ids)
        self.clients = [Client(self.world, self.nodes, n, plan.mix) for n in plan.clients]
        self.watchers = [Follower(self.world, self.nodes, n, n == 2, n == 3) for n in plan.watchers]
        self.steward = Steward(self.world, self.nodes, self._joiner)
        self.nemesis = Nemesis(
            self.world, self.network, self.nodes, plan, self.steward, self.watchers
        )
        for node in self.nodes:
            node.on_death = self.nemesis.revive

    def _node(self, number: int, voters: tuple[int, ...]) -> SimNode:
        plan = self.plan
        node = SimNode(
            self.world,
            self.network,
            self.properties,
            number,
            voters,
            plan.snapshot_count,
            plan.watch_buffer_bytes,
            plan.lease_checkpoint_ticks,
            plan.lease_checkpoint_persist,
        )
        node.nodes = self._by_id
        self._by_id[number] = node
        self.nodes.append(node)
        return node

    def _joiner(self, number: int) -> SimNode:
        node = self._node(number, ())
        self.nemesis.adopt(node)
        return node

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
        self.steward.start()
        self.nemesis.start()
        world.run_until(world.now_us + int(self.plan.seconds * _SECOND_US))
        healed_us = world.now_us
        left_out = self._left_out()
        if left_out:
            world.note(f"liveness: all but {left_out} must converge")
            self._heal_and_converge(left_out, 0xFFFF)
        world.note("liveness: all must converge")
        self._heal_and_converge((), 0xFFFD)
        converged_s = (world.now_us - healed_us) / _SECOND_US
        if not world.run_until(world.now_us + _DEPART_S * _SECOND_US, self._departed):
            world.fail(f"removed members run on: {self._lingering()}")
        self._end_forgotten()
        for watcher in self.watchers:
            watcher.hurry()
        if not world.run_until(world.now_us + LEASES_S * _SECOND_US, self._no_lease):
            world.fail(f"leases outlive their time: {self._leases()}")
        # The last leases' end was the last write.
        if not world.run_until(world.now_us + _CATCH_UP_S * _SECOND_US, self._all_seen):
            world.fail("a watcher is behind for good")
        operations = [op for client in self.clients for op in client.operations]
        rebuilt = [moment for node in self.nodes for moment in node.rebuilt]
        verify(world, self.properties.committed, operations, self.watchers, rebuilt)
        self._check_leases()
        return self._report(operations, converged_s)

    def _report(self, operations: Sequence[Operation], converged_s: float) -> Report:
        world = self.world
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
            coverage=dict(sorted(world.coverage.items())),
        )

    # --- liveness ---------------------------------------------------------------------------------

    def _left_out(self) -> tuple[int, ...]:
        """The plan's minority, as far as those that are out for good leave room for it; those that
        are members no more stand for others."""
        voters = self.steward.conf().voters
        meant = [n if n in voters else voters[n % len(voters)] for n in self.plan.left_out]
        more = [n for n in dict.fromkeys(meant) if not self.steward.lost(n)]
        return tuple(sorted(more[: max(0, self.steward.spare())]))

    def _heal_and_converge(self, left_out: Sequence[int], requests: int) -> None:
        """Without faults every request is answered, a write acknowledged, and all healthy members
        agree, in bounded time."""
        world = self.world
        since_us = world.now_us
        self.nemesis.stop(left_out)
        world.run_until(since_us + 5 * _SECOND_US)
        if not left_out:
            for client in self.clients:
                client.stop()
        self._converge(since_us, left_out, requests)
        before_us = world.now_us

        def owed() -> dict[int, list[int]]:
            healthy = self._healthy(left_out)
            return {n.id: n.overdue(before_us) for n in healthy if n.overdue(before_us)}

        if not world.run_until(before_us + ANSWER_S * _SECOND_US, lambda: not owed()):
            world.fail(f"requests are never answered: {owed()}")

    def _converge(self, since_us: int, left_out: Sequence[int], requests: int) -> None:
        acknowledged = False
        over = False

        def answered(outcome: Outcome) -> None:
            nonlocal acknowledged
            acknowledged = acknowledged or isinstance(outcome, Done)

        def probe(number: int) -> None:
            if not acknowledged and not over:
                healthy = self._healthy(left_out)
                node = healthy[number % len(healthy)]
                put = commands.Put(b"probe", b"%d" % number)
                node.ask(i.Propose(requests << 32 | number, put, 0), answered)
                self.world.after(8 * _SECOND_US, lambda: probe(number + 1))

        probe(1)
        limit_us = since_us + CONVERGE_S * _SECOND_US

        def agree() -> bool:
            return acknowledged and _agree(self._healthy(left_out))

        if not self.world.run_until(limit_us, agree):
            state = [_told(node) for node in self._healthy(left_out)]
            self.world.fail(f"no convergence in {CONVERGE_S} s: written {acknowledged}, {state}")
        over = True

    def _healthy(self, left_out: Sequence[int] = ()) -> list[SimNode]:
        """Those of the newest configuration's members that must be well now."""
        members = self.steward.conf().members()
        nodes = [self._by_id[n] for n in members if n not in left_out and n in self._by_id]
        return [node for node in nodes if not node.out]

    def _lingering(self) -> list[int]:
        """Members that were removed and run on, though enough of those that stayed could tell them
        so."""
        healthy = {node.id for node in self._healthy()}
        members = self.steward.conf().members()
        return [
            node.id
            for node in self.nodes
            if node.alive and node.id not in members and others_among(node, healthy)
        ]

    def _end_forgotten(self) -> None:
        """Removed members that nobody can tell so any more: their operator ends them."""
        members = self.steward.conf().members()
        for node in self.nodes:
            if node.id not in members:
                node.crash(power=False)

    def _departed(self) -> bool:
        return not self._lingering()

    def _all_seen(self) -> bool:
        """Every watcher has been given everything."""
        newest = max(node.replica.machine.revision for node in self._healthy())
        return all(watcher.next_revision > newest for watcher in self.watchers)

    def _leases(self) -> list[int]:
        return sorted(
            {lease.id for node in self._healthy() for lease in node.replica.machine.leases}
        )

    def _no_lease(self) -> bool:
        return not any(len(node.replica.machine.leases) for node in self._healthy())

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


def _told(node: SimNode) -> tuple[object, ...]:
    if not node.boots:
        return node.id, "never started"
    replica = node.replica
    alive = "" if node.alive else "dead "
    role = f"{alive}{replica.role.value}"
    return node.id, role, replica.term, replica.machine.applied_index, replica.raft.conf.voters


def _agree(nodes: Sequence[SimNode]) -> bool:
    if not all(node.joined for node in nodes):
        return False
    applied = {(n.replica.machine.applied_index, n.replica.machine.digest) for n in nodes}
    return len(applied) == 1


def simulate(seed: int, nodes: int = 0, seconds: float = 30.0) -> Report:
    """Run one seed; a violation carries the trace's tail."""
    return judged(Simulation(seed, nodes, seconds))


def judged(simulation: Simulation) -> Report:
    """Run it; whatever a node raises is a violation as well, because it would have ended there."""
    try:
        return simulation.run()
    except SafetyViolation:
        raise
    except Exception as error:
        world, what = simulation.world, f"{type(error).__name__}: {error}"
        at_s = world.now_us / _SECOND_US
        raise SafetyViolation(f"seed {world.seed} at {at_s:.6f} s: {what}", what) from error

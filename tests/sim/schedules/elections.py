"""Two elections that a random run has once in a thousand: a voter that reboots between two requests
for its vote, and a member that was alone for long.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kvorum.raft.messages import VoteRequest
from kvorum.raft.types import Role
from kvorum.replica import inputs as i
from kvorum.sim.node import SimNode
from kvorum.sim.run import Simulation


def contest(patch: pytest.MonkeyPatch) -> None:
    """Two candidates of one term want the vote of a member that reboots between their requests."""
    simulation = Simulation(1, nodes=3)
    world, held = simulation.world, []
    deliver = SimNode._to_peer

    def hold_votes(node: SimNode, to: int, happened: i.Input, once: bool = False) -> None:
        if isinstance(happened, i.Received) and any(
            isinstance(message, VoteRequest) and not message.pre for message in happened.messages
        ):
            held.append((node, to, happened))
        else:
            deliver(node, to, happened, once)

    def wait(condition: Callable[[], bool]) -> None:
        assert world.run_until(world.now_us + 10_000_000, condition)

    for node in simulation.nodes:
        node.start()
    wait(lambda: any(node.replica.role is Role.LEADER for node in simulation.nodes))
    voter = next(node for node in simulation.nodes if node.replica.role is Role.LEADER)
    rivals = [node for node in simulation.nodes if node is not voter]
    patch.setattr(SimNode, "_to_peer", hold_votes)
    for one, other in (rivals, rivals[::-1]):
        simulation.network.cut(one.id, other.id)
    voter.crash(power=True)
    voter.start()
    for rival in rivals:
        rival.handle(*[i.Tick()] * 20)
    wait(lambda: {node.id for node, to, _ in held if to == voter.id} == {r.id for r in rivals})
    assert rivals[0].replica.term == rivals[1].replica.term
    first, second = (
        next(request for request in held if request[0] is rival and request[1] == voter.id)
        for rival in rivals
    )
    deliver(*first)
    wait(lambda: rivals[0].replica.role is Role.LEADER)
    # The voter must not learn from anybody but its disk whom it voted for.
    simulation.network.cut(rivals[0].id, voter.id)
    voter.crash(power=True)
    world.run_until(world.now_us + 10_000)
    voter.start()
    deliver(*second)
    world.run_until(world.now_us + 300_000)
    leaders = sum(node.replica.role is Role.LEADER for node in simulation.nodes)
    assert leaders == 1, f"{leaders} leaders"


def return_of_a_lonely_member(patch: pytest.MonkeyPatch) -> None:
    """A member that heard nobody for long comes back, and the leader goes on leading."""
    simulation = Simulation(1, nodes=3)
    world, network = simulation.world, simulation.network
    for node in simulation.nodes:
        node.start()

    def leading() -> list[SimNode]:
        return [node for node in simulation.nodes if node.replica.role is Role.LEADER]

    assert world.run_until(10_000_000, lambda: bool(leading()))
    leader = leading()[0]
    lonely = next(node for node in simulation.nodes if node is not leader)
    for other in simulation.nodes:
        if other is not lonely:
            network.cut(lonely.id, other.id)
            network.cut(other.id, lonely.id)
    before = leader.replica.term
    world.run_until(world.now_us + 20_000_000)
    network.heal()
    world.run_until(world.now_us + 5_000_000)
    after = max(node.replica.term for node in simulation.nodes)
    assert after == before, f"its return ended a leadership: term {after} after {before}"

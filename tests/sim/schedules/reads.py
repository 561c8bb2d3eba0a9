"""A read point that was on its way when its asker died."""

from __future__ import annotations

import pytest
from kvorum.machine import commands
from kvorum.machine.results import RangeResult
from kvorum.raft.messages import ReadIndexResponse
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done
from unit.replica.world import Node, World


def late_answer_to_a_former_life(patch: pytest.MonkeyPatch) -> None:
    """Member 3 asks for a read point, dies, starts again and asks anew; the first answer arrives
    now, from before a write that was acknowledged between the two.
    """
    answers: dict[int, object] = {}
    held: list[i.Received] = []

    def observe(node: Node, effect: e.Effect) -> None:
        if isinstance(effect, e.Reply):
            answers[effect.request_id] = effect.outcome

    world = World(3, observe)
    send = world.send

    def hold_read_points(sender: int, to: int, what: i.Input) -> None:
        if isinstance(what, i.Received) and isinstance(what.messages[0], ReadIndexResponse):
            held.append(what)
        else:
            send(sender, to, what)

    def give(member: int, happened: i.Input) -> None:
        world.give(member, happened)
        world.settle()

    while world.nodes[1].replica.leader != 1:
        give(1, i.Tick())
    give(1, i.Propose(1, commands.Put(b"a", b"1"), 0))
    patch.setattr(world, "send", hold_read_points)
    give(3, i.Read(2, commands.Range(b"a"), True))
    assert len(held) == 1
    world.nodes[3].crash()
    world.nodes[3].start()
    give(1, i.Tick())
    # From here on member 3 is heard and hears nothing, but for the late answer.
    for other in (1, 2):
        world.cuts[other, 3] = world.cuts[3, other] = None
    give(1, i.Propose(3, commands.Put(b"a", b"2"), 0))
    assert isinstance(answers[3], Done)
    give(3, i.Read(4, commands.Range(b"a"), True))
    give(3, held[0])
    answer = answers.get(4)
    if isinstance(answer, Done):
        assert isinstance(answer.value, RangeResult)
        assert answer.value.revision == 3, "stale read: the write before it is not seen"

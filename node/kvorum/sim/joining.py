"""How a simulated member begins and ends its membership, as the server does.

A joiner asks the members that run who they are and starts without a configuration of its own; one
that was removed writes that down, lingers until nobody can need it, and never starts again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from kvorum.limits import REMOVED_LINGER_ELECTIONS
from kvorum.machine import commands
from kvorum.replica import inputs as i
from kvorum.sim.boot import First
from kvorum.sim.network import Network

if TYPE_CHECKING:
    from kvorum.sim.node import SimNode

_SECOND_US = 1_000_000
_ELECTION_US = _SECOND_US
_LOOK_US = 100_000
_LINK_US = 3_000_000
_PUBLISH_REQUESTS = 0xFFFC << 32
_PUBLISH_TICKS = 20

Later = Callable[[int, Callable[[], None]], None]


class Removed(Exception):
    """The members say that this id was removed: it never comes back."""


def ask_members(own: int, nodes: Iterable[SimNode], network: Network) -> First | None:
    """What the members that can be reached tell a joiner, the leader's word first. None: none of
    them knows of it. Raises Removed."""
    reached = [
        node
        for node in nodes
        if node.joined and not node.paused and network.connected(node.id, own)
    ]
    reached.sort(key=lambda node: node.replica.leader != node.id)
    for node in reached:
        members = node.replica.machine.members
        if own in members.removed:
            raise Removed
        if members.get(own) is not None:
            return First(members.all(), joins=True)
    return None


def publish(node: SimNode, later: Later, tries: int = 0) -> None:
    """A member that joined tells its name until its own table says that it was heard."""
    known = node.replica.machine.members.get(node.id)
    if node.leaving is not None or (known is not None and known.name):
        return
    if node.joined:
        tries += 1
        number = _PUBLISH_REQUESTS | node.id << 24 | node.boots << 12 | tries
        said = commands.MemberPublish(node.id, f"n{node.id}", (f"http://n{node.id}:2379",))
        node.ask(i.Propose(number, said, 0, timeout_ticks=_PUBLISH_TICKS), lambda outcome: None)
    later(_SECOND_US, lambda: publish(node, later, tries))


def keep_links(node: SimNode, network: Network, later: Later) -> None:
    """A link that is idle is opened anew now and then, and whoever opens one and was removed is
    told so: also a member that has nothing to say, because it waits for its first snapshot."""
    for member in node.replica.machine.members.all():
        peer = node.nodes.get(member.id)
        if peer is None or not peer.alive or peer.paused or not network.connected(node.id, peer.id):
            continue
        if node.id in peer.replica.machine.members.removed:
            peer.refuse(node)
    later(_LINK_US, lambda: keep_links(node, network, later))


class Leaving:
    """The end of a member that knows that it was removed. ``noted``: its disk says so."""

    def __init__(self, node: SimNode, later: Later, rng: random.Random) -> None:
        self.noted = False
        self._node = node
        self._later = later
        later(rng.randint(1_000, 30_000), self._note)

    def _note(self) -> None:
        self.noted = True
        self._linger()

    def _linger(self) -> None:
        node = self._node
        if node.replica.leader == node.id:
            self._later(_LOOK_US, self._linger)
        else:
            self._later(REMOVED_LINGER_ELECTIONS * _ELECTION_US, lambda: node.crash(power=False))

"""How a simulated member begins and ends its membership, as the server does.

A joiner asks the members that run who they are and starts without a configuration of its own; one
that was removed lingers until nobody can need it, writes that down, and never starts again; when it
hears too few of the others it ends as well, but may be started again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from kvorum.limits import (
    REMOVED_LINGER_ELECTIONS,
    REMOVED_LINGER_MAX_ELECTIONS,
    REMOVED_TOLD_MAX_ELECTIONS,
)
from kvorum.machine import commands
from kvorum.raft.departure import is_dispensable
from kvorum.replica import inputs as i
from kvorum.sim.boot import First
from kvorum.sim.network import Network

if TYPE_CHECKING:
    from kvorum.sim.node import SimNode

_SECOND_US = 1_000_000
_ELECTION_US = _SECOND_US
_LOOK_US = 100_000
_NOTED_US = 50_000  # From the note to the end of the process.
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


def others_among(node: SimNode, members: Collection[int]) -> bool:
    """Whether these make up a majority of the other voters that a member knows."""
    table = node.replica.machine.members.all()
    return is_dispensable([x.id for x in table if x.id != node.id and not x.is_learner], members)


def told_removed(node: SimNode, teller: int) -> None:
    """A peer that has applied a member's removal says so to it."""
    if node.alive and teller not in node.replica.machine.members.removed:
        node.leave("by a peer")
        if node.leaving is not None:
            node.leaving.told(teller)


class Leaving:
    """The end of a member that knows that it was removed. ``noted``: its disk says so."""

    def __init__(self, node: SimNode, later: Later, rng: random.Random) -> None:
        self.noted = False
        self._node = node
        self._later = later
        self._rng = rng
        self._tellers: set[int] = set()
        self._looks = 0
        later(_LOOK_US, self._look)

    def told(self, teller: int) -> None:
        """A peer that has applied the removal says so."""
        self._tellers.add(teller)

    def _look(self) -> None:
        node = self._node
        leads = node.replica.leader == node.id
        self._looks += not leads
        spent = self._looks * _LOOK_US // _ELECTION_US
        applied = node.id in node.replica.machine.members.removed
        enough = others_among(node, self._tellers) or (
            # It does not know who remains: in the end it takes the word of one.
            not applied and spent >= REMOVED_TOLD_MAX_ELECTIONS
        )
        if not leads and spent >= REMOVED_LINGER_ELECTIONS and enough:
            self._later(self._rng.randint(1_000, 30_000), self._end)
        elif spent >= REMOVED_LINGER_MAX_ELECTIONS:
            self._end_unheard()
        else:
            self._later(_LOOK_US, self._look)

    def _end_unheard(self) -> None:
        node = self._node
        node.say("ends, though too few have said that they know of its removal")
        node.crash(power=False)
        if node.on_death is not None:
            node.on_death(node)

    def _end(self) -> None:
        self.noted = True
        self._later(_NOTED_US, lambda: self._node.crash(power=False))

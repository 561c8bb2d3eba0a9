"""The other members, as the member table has them: who has a link, and what goes to whom."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Iterable

from kvorum.limits import PEER_STRANGERS_MAX
from kvorum.machine.members import Member
from kvorum.replica.effects import (
    Effect,
    Send,
    SendDigest,
    SendLeaseAnswer,
    SendLeaseAsk,
    SendSnapshot,
)
from kvorum.replica.inputs import Input, SnapshotSent
from kvorum.server.crash import Crash
from kvorum.server.faults import FaultGate
from kvorum.server.link import Outgoing, PeerLink, Self
from kvorum.server.peerwire import encode_node, encode_raft, raft_bytes
from kvorum.server.ports import PeerFigures

_NODE_MESSAGE_BYTES = 64


class Peers:
    """Links by member id: made, moved and let go as the member table changes.

    Args:
        own: who speaks.
        post: hands inputs to the replica.
        members: the member table now.
        snapshots: begins the transfer of a snapshot to the peer at this URL.
        told_removed: this peer says that this node is no member any more.
    """

    def __init__(
        self,
        own: Self,
        post: Callable[[Input], None],
        members: Callable[[], Iterable[Member]],
        snapshots: Callable[[SendSnapshot, str], None],
        gate: FaultGate,
        crash: Crash,
        rng: random.Random,
        told_removed: Callable[[int], None],
    ) -> None:
        self._own = own
        self._post = post
        self._members = members
        self._snapshots = snapshots
        self._gate = gate
        self._crash = crash
        self._rng = rng
        self._told_removed = told_removed
        self._links: dict[int, PeerLink] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    # --- effects ----------------------------------------------------------------------------------

    def send(self, effect: Effect) -> None:
        """Queue what an effect says to one peer, or to all."""
        if isinstance(effect, Send):
            link = self._links.get(effect.to)
            if link is not None:
                link.put([Outgoing(encode_raft(x), None, raft_bytes(x)) for x in effect.messages])
            return
        message = Outgoing(None, encode_node(effect, self._own.member_id), _NODE_MESSAGE_BYTES)
        if isinstance(effect, SendDigest):
            for link in self._links.values():
                link.put((message,))
            return
        assert isinstance(effect, (SendLeaseAsk, SendLeaseAnswer))
        link = self._links.get(effect.to)
        if link is not None:
            link.put((message,))

    def send_snapshot(self, effect: SendSnapshot) -> None:
        """Begin a transfer; a peer without a link (it was just removed) fails at once."""
        link = self._links.get(effect.to)
        if link is None:
            self._post(SnapshotSent(effect.to, False))
        else:
            self._snapshots(effect, link.url)

    def members_changed(self) -> None:
        """Have links to exactly the members of the table."""
        members = {x.id: x.peer_urls for x in self._members()}
        for id_ in tuple(self._links):
            if id_ not in members:
                self.drop(id_)
        for id_, urls in members.items():
            self.meet(id_, urls)

    def figures(self) -> Iterable[PeerFigures]:
        """Of every link."""
        return [link.figures() for link in self._links.values()]

    def connected_s(self, id_: int) -> float:
        """For how long this node has been connected to a peer; 0 when it is not."""
        link = self._links.get(id_)
        return link.connected_s if link is not None else 0.0

    # --- links ------------------------------------------------------------------------------------

    def get(self, id_: int) -> PeerLink | None:
        """The link to a member."""
        return self._links.get(id_)

    def meet(self, id_: int, urls: tuple[str, ...]) -> None:
        """Have a link to this member; a link to other addresses is dialled anew."""
        if id_ == self._own.member_id or not urls:
            return
        link = self._links.get(id_)
        if link is not None and set(link.urls) == set(urls):
            return
        if link is not None:
            self.drop(id_)
        told = functools.partial(self._told_removed, id_)
        link = PeerLink(self._own, id_, urls, self._post, self._gate, self._rng, told)
        self._links[id_] = link
        self._tasks[id_] = self._crash.spawn(link.run(), f"peer {id_:x}")

    def welcome(self, id_: int, urls: tuple[str, ...]) -> bool:
        """A peer's stream has come in: answer it soon, also one that the table does not know yet.
        False when there are too many such already.
        """
        link = self._links.get(id_)
        if link is not None:
            link.hurry()
            return True
        known = {member.id for member in self._members()}
        if id_ not in known and len(self._links.keys() - known) >= PEER_STRANGERS_MAX:
            return False
        self.meet(id_, urls)
        return True

    def drop(self, id_: int) -> None:
        """Let a link go."""
        link = self._links.pop(id_, None)
        if link is not None:
            link.close()
        task = self._tasks.pop(id_, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Let every link go."""
        for id_ in tuple(self._links):
            self.drop(id_)

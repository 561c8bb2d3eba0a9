"""Whatever becomes of an attempt to reach a peer, another follows, until the link is let go.

What grpclib and the network may do is played by fakes, one way out of an attempt each. What bytes
from a peer may do is in ``test_dial``.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import ProtocolError
from kvorum.errors import ConfigError
from kvorum.machine.members import Member
from kvorum.replica.inputs import Input, Unreachable
from kvorum.server import link as module
from kvorum.server.crash import Crash
from kvorum.server.faults import FaultGate
from kvorum.server.leaving import REMOVED
from kvorum.server.link import PeerLink, Self
from kvorum.server.peers import Peers
from kvorum_proto.kvorum import v1

ACK = v1.PeerAck(cluster_id=1, member_id=2)
PATIENCE_S = 60.0

Deed = Callable[[], Awaitable[Any]]


def raising(error: BaseException) -> Deed:
    async def deed() -> None:
        raise error

    return deed


async def nothing() -> None:
    return None


async def for_ever() -> None:
    await asyncio.Event().wait()


async def acknowledged() -> v1.PeerAck:
    return ACK


async def cancelled() -> None:
    """As grpclib does to whoever waits for a stream that is lost."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def cancelled_and_late() -> None:
    """The same, made an error of, and the attempt's time is up on the way out."""
    try:
        await cancelled()
    except asyncio.CancelledError:
        await for_ever()


class Stream:
    """A stream of one attempt: what opening it, each message and its end lead to."""

    def __init__(self, ways: dict[str, Deed]) -> None:
        self._ways = ways
        self._received = 0

    async def __aenter__(self) -> Stream:
        await self._ways.get("open", nothing)()
        return self

    async def __aexit__(self, *what: object) -> None:
        await self._ways.get("exit", nothing)()

    async def send_message(self, data: bytes) -> None:
        await self._ways.get("send" if self._received else "greet", nothing)()

    async def recv_message(self) -> Any:
        self._received += 1
        if self._received == 1:
            return await self._ways.get("ack", acknowledged)()
        return await self._ways.get("read", for_ever)()

    async def cancel(self) -> None:
        await self._ways.get("cancel", nothing)()


class Wire:
    """Stands for channels and methods in the link's module."""

    def __init__(self) -> None:
        self.ways: dict[str, Deed] = {}
        self.urls: list[str] = []
        self.open = 0
        self._changed = asyncio.Event()

    def channel_to(self, url: str, tls: object) -> Wire:
        self.urls.append(url)
        self.open += 1
        self._changed.set()
        if "channel" in self.ways:
            self.open -= 1
            raise ConfigError("no certificate")
        return self

    def method(self, channel: Wire, *what: object) -> Any:
        class Method:
            def open(self) -> Stream:
                return Stream(channel.ways)

        return Method()

    def close(self) -> None:
        self.open -= 1

    async def attempts(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.urls) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Wire]]:
    """Short waits; gives what stands for the network, within a loop."""
    for name in ("PEER_BACKOFF_MIN_S", "PEER_BACKOFF_MAX_S"):
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(module, "PEER_DIAL_TIMEOUT_S", 0.03)
    monkeypatch.setattr(module, "PEER_PING_S", 0.005)
    monkeypatch.setattr(module, "_CANCEL_AGAIN_S", 0.02)

    def make() -> Wire:
        wire = Wire()
        monkeypatch.setattr(module, "channel_to", wire.channel_to)
        monkeypatch.setattr(module, "StreamStreamMethod", wire.method)
        return wire

    yield make


LOST = StreamTerminatedError("lost")
OTHER = v1.PeerAck(cluster_id=9, member_id=2)
WAYS: dict[str, dict[str, Deed]] = {
    "no certificate": {"channel": nothing},
    "refused": {"open": raising(ConnectionRefusedError())},
    "handshake fails": {"open": raising(ssl.SSLError("handshake"))},
    "opening never ends": {"open": for_ever},
    "opening is cancelled": {"open": cancelled},
    "opening is cancelled late": {"open": cancelled_and_late},
    "greeting is lost": {"greet": raising(LOST)},
    "greeting never ends": {"greet": for_ever},
    "no answer": {"ack": for_ever},
    "answer is cancelled": {"ack": cancelled},
    "answer is cancelled late": {"ack": cancelled_and_late},
    "answer is an end": {"ack": nothing},
    "answer is a refusal": {"ack": raising(GRPCError(Status.FAILED_PRECONDITION, "mismatch"))},
    "answer without words": {"ack": raising(GRPCError(Status.UNAVAILABLE))},
    "answer of another cluster": {"ack": lambda: asyncio.sleep(0, OTHER)},
    "answer breaks the protocol": {"ack": raising(ProtocolError("frame"))},
    "reader ends": {"read": nothing},
    "reader fails": {"read": raising(LOST)},
    "reader is cancelled": {"read": cancelled},
    "reader is refused": {"read": raising(GRPCError(Status.INTERNAL, "no"))},
    "writer fails": {"send": raising(ConnectionResetError())},
    "writer is cancelled": {"send": cancelled},
    "the end fails": {"read": nothing, "cancel": raising(LOST)},
    "the end is cancelled": {"read": nothing, "cancel": cancelled},
    "leaving fails": {"read": nothing, "exit": raising(LOST)},
    "leaving is cancelled": {"ack": raising(LOST), "exit": cancelled},
}


def link_of(posted: list[Input], told: Callable[[], None] = lambda: None) -> PeerLink:
    rng = random.Random(1)
    gate = FaultGate(asyncio.get_running_loop(), rng)
    return PeerLink(Self(1, 1, ()), 2, ("http://a:1", "http://b:1"), posted.append, gate, rng, told)


async def let_go(link: PeerLink, running: asyncio.Task[None]) -> None:
    """As ``Peers.drop`` does; it must end soon."""
    link.close()
    running.cancel()
    await asyncio.wait((running,), timeout=PATIENCE_S)
    assert running.done()


@pytest.mark.parametrize("way", WAYS)
def test_another_attempt_follows(quick: Callable[[], Wire], way: str) -> None:
    async def test() -> None:
        wire, posted = quick(), list[Input]()
        wire.ways = WAYS[way]
        link = link_of(posted)
        running = asyncio.get_running_loop().create_task(link.run())
        await wire.attempts(4)
        assert not running.done()
        assert wire.open <= 1, "what was opened is closed before the next"
        assert set(posted) <= {Unreachable(2)}
        # Nothing of it is in the way of the one that succeeds.
        wire.ways = {}
        await wire.attempts(len(wire.urls) + 1)
        async with asyncio.timeout(PATIENCE_S):
            while not link.connected:
                await asyncio.sleep(0.001)
        tries = len(wire.urls)
        await asyncio.sleep(0.02)
        assert link.connected and len(wire.urls) == tries
        await let_go(link, running)
        assert (wire.open, link.connected) == (0, False)

    asyncio.run(test())


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_is_let_go_tries_no_more(quick: Callable[[], Wire], way: str) -> None:
    async def test() -> None:
        wire, posted = quick(), list[Input]()
        wire.ways = WAYS[way]
        link = link_of(posted)
        running = asyncio.get_running_loop().create_task(link.run())
        await wire.attempts(1)
        await let_go(link, running)
        tries = len(wire.urls)
        await asyncio.sleep(0.005)
        assert (wire.open, len(wire.urls)) == (0, tries)

    asyncio.run(test())


def test_only_the_word_of_a_removal_is_told_on(quick: Callable[[], Wire]) -> None:
    async def test() -> None:
        wire, told = quick(), list[bool]()
        wire.ways = {"ack": raising(GRPCError(Status.FAILED_PRECONDITION, "other"))}
        link = link_of([], lambda: told.append(True))
        running = asyncio.get_running_loop().create_task(link.run())
        await wire.attempts(3)
        assert not told
        wire.ways = {"ack": raising(GRPCError(Status.FAILED_PRECONDITION, REMOVED))}
        await wire.attempts(len(wire.urls) + 3)
        assert told
        await let_go(link, running)

    asyncio.run(test())


def test_a_mistake_of_our_own_is_not_taken_for_a_loss(quick: Callable[[], Wire]) -> None:
    async def test() -> None:
        wire = quick()
        wire.ways = {"read": raising(KeyError("a mistake"))}
        with pytest.raises(KeyError):
            await link_of([]).run()
        assert wire.open == 0

    asyncio.run(test())


@pytest.mark.parametrize("way", ["opening never ends", "no answer", "answer is cancelled late"])
def test_a_member_that_moves_is_dialled_where_it_is(quick: Callable[[], Wire], way: str) -> None:
    """Also while an attempt to reach it at the old place is under way."""

    async def test() -> None:
        wire, crashes = quick(), list[BaseException]()
        wire.ways = WAYS[way]
        rng = random.Random(1)
        members = [Member(2, "n2", ("http://old:1",))]
        crash = Crash(lambda error, code: crashes.append(error))
        gate = FaultGate(asyncio.get_running_loop(), rng)
        peers = Peers(
            Self(1, 1, ()),
            lambda happened: None,
            lambda: members,
            lambda effect, url: None,
            gate,
            crash,
            rng,
            lambda teller: None,
        )
        peers.members_changed()
        await wire.attempts(1)
        members[:] = [Member(2, "n2", ("http://new:1",))]
        wire.ways = {}
        peers.members_changed()
        async with asyncio.timeout(PATIENCE_S):
            while not peers.connected_s(2):
                await asyncio.sleep(0.001)
        assert wire.urls[-1] == "http://new:1" and wire.urls.count("http://new:1") == 1
        peers.close()
        await crash.cancel_all()
        assert not crashes and wire.open == 0

    asyncio.run(test())

"""One member's way to another: a queue, a stream, and what becomes of them.

Raft's messages may be lost, so nothing here waits: what does not fit a peer's queue is dropped and
the replica is told that the peer is unreachable; what is queued in one turn of the loop leaves in
one frame. A stream is dialled again for ever, with growing waits. Heartbeats never queue behind a
snapshot, which travels on a call (and a connection) of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from grpclib.client import StreamStreamMethod
from grpclib.exceptions import GRPCError
from kvorum_proto.codec import encode
from kvorum_proto.kvorum import v1

from kvorum.limits import (
    PEER_BACKOFF_MAX_S,
    PEER_BACKOFF_MIN_S,
    PEER_DIAL_TIMEOUT_S,
    PEER_FRAME_BYTES,
    PEER_FRAME_MESSAGES,
    PEER_PING_S,
    PEER_QUEUE_BYTES,
    PEER_QUEUE_MESSAGES,
)
from kvorum.replica.inputs import Input, Unreachable
from kvorum.server.dial import BROKEN, channel_to
from kvorum.server.faults import Direction, FaultGate, LinkRule
from kvorum.server.latency import NETWORK_BUCKETS_US, Buckets
from kvorum.server.leaving import REMOVED
from kvorum.server.ports import PeerFigures
from kvorum.server.seldom import Seldom
from kvorum.server.tls import TlsPort

log = logging.getLogger(__name__)

EXCHANGE_PATH = "/kvorum.v1.Peer/Exchange"

_ROUND_TRIP_WEIGHT = 0.2
# How often a paused node's stream looks whether it may speak again.
_PAUSED_LOOK_S = 0.05
_HAIR_S = 1e-6
# A cancellation may be lost where grpclib makes an error of it: it is repeated.
_CANCEL_AGAIN_S = 0.5


@dataclass(frozen=True)
class Self:
    """Who this node is, for the frames it sends."""

    cluster_id: int
    member_id: int
    peer_urls: tuple[str, ...]
    # How it speaks to https:// URLs.
    tls: TlsPort | None = None


@dataclass
class Outgoing:
    """One message in a queue: a raft message or a node's, and about how long it is."""

    raft: v1.RaftMessage | None
    node: v1.NodeMessage | None
    size_bytes: int


class PeerLink:
    """This node's way to one peer.

    Args:
        own: who speaks.
        id_: the peer.
        urls: where it may be reached; tried in turn.
        post: hands inputs to the replica.
        gate: the faults of the link.
        rng: jitter of the waits between two tries.
        told_removed: the peer says that this node is no member any more.
    """

    def __init__(
        self,
        own: Self,
        id_: int,
        urls: tuple[str, ...],
        post: Callable[[Input], None],
        gate: FaultGate,
        rng: random.Random,
        told_removed: Callable[[], None],
    ) -> None:
        self.id = id_
        self.urls = urls
        # Where it answered last; the first choice of whoever else has something for it.
        self.url = urls[0]
        self._own = own
        self._post = post
        self._gate = gate
        self._rng = rng
        self._told_removed = told_removed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Outgoing] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._delayed_until = 0.0
        self._echo: tuple[int, int] | None = None
        self._tries = 0
        self._closed = False
        self.connected = False
        self.disconnects = 0
        self._connected_at = 0.0
        self._hurry = asyncio.Event()
        self._seldom = Seldom(self._loop.time)
        self.round_trip_us = 0.0
        self.round_trips = Buckets(NETWORK_BUCKETS_US)
        self.sent_bytes = 0
        self.received_bytes = 0
        self.dropped = 0

    # --- in the turn ------------------------------------------------------------------------------

    def put(self, messages: Iterable[Outgoing]) -> None:
        """Queue messages, through the faults of the link. Drops what cannot be queued."""
        rule = self._gate.link(self.id, Direction.OUTBOUND)
        if rule is None and not self._delayed_until:
            self._enqueue(messages)
            return
        passed = [x for x in messages if rule is None or self._gate.passes(rule)]
        if passed:
            self._later(passed, rule)

    def _later(self, messages: list[Outgoing], rule: LinkRule | None) -> None:
        """Hold messages back; a message never overtakes an earlier one, as on a real link."""
        now = self._loop.time()
        delay_s = self._gate.delay_s(rule) if rule is not None else 0.0
        # Timers of one instant run in any order; a hair apart they keep theirs.
        due = max(self._delayed_until + _HAIR_S, now + delay_s)
        if due <= now + _HAIR_S:
            self._delayed_until = 0.0
            self._enqueue(messages)
            return
        self._delayed_until = due
        self._loop.call_at(due, self._enqueue, messages)

    def _enqueue(self, messages: Iterable[Outgoing]) -> None:
        lost = 0
        for message in messages:
            full = len(self._queue) >= PEER_QUEUE_MESSAGES or self._queued_bytes >= PEER_QUEUE_BYTES
            if not self.connected or full:
                lost += 1
                continue
            self._queue.append(message)
            self._queued_bytes += message.size_bytes
        if lost:
            self.dropped += lost
            self._post(Unreachable(self.id))
        if self._queue:
            self._kick()

    def heard(self, frame_bytes: int, sent_ns: int, echo_ns: int) -> None:
        """A frame of the peer's own stream arrived: its clock goes back with our next frame."""
        now = time.monotonic_ns()
        self.received_bytes += frame_bytes
        if sent_ns:
            self._echo = (sent_ns, now)
        if 0 < echo_ns <= now:
            sample = (now - echo_ns) / 1000
            self.round_trips.add(int(sample))
            old = self.round_trip_us or sample
            self.round_trip_us = old + (sample - old) * _ROUND_TRIP_WEIGHT

    # --- the stream -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a stream to the peer, until ``close``."""
        while not self._closed:
            url = self.urls[self._tries % len(self.urls)]
            try:
                await self._attempt(url)
            except BROKEN as error:
                self._broken(url, error)
            finally:
                self._forget()
            if self._closed:
                return
            self._tries += 1
            exponent = min(self._tries, 16) - 1
            wait_s = min(PEER_BACKOFF_MAX_S, PEER_BACKOFF_MIN_S * 2**exponent)
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s * self._rng.uniform(0.5, 1.0)):
                    await self._hurry.wait()

    async def _attempt(self, url: str) -> None:
        """One exchange, in a task of its own. Raises one of ``BROKEN``.

        grpclib cancels whoever waits for a stream that is lost and makes an error of it, not in
        every case; such a cancellation must end the attempt and not the link, and one of the link
        itself must end both.
        """
        attempt = self._loop.create_task(self._exchange(url))
        try:
            await asyncio.wait((attempt,))
        finally:
            while not attempt.done():
                attempt.cancel()
                await asyncio.wait((attempt,), timeout=_CANCEL_AGAIN_S)
        if attempt.cancelled():
            raise ConnectionAbortedError("the connection was lost")
        attempt.result()

    def hurry(self) -> None:
        """The peer shows that it lives: dial it now if this waits to do so."""
        if not self.connected:
            self._hurry.set()

    @property
    def connected_s(self) -> float:
        """For how long it has been connected; 0 when it is not."""
        return self._loop.time() - self._connected_at if self.connected else 0.0

    async def _exchange(self, url: str) -> None:
        channel = channel_to(url, self._own.tls)
        try:
            # Frames are encoded here, to count their bytes; the codec passes bytes through.
            method: StreamStreamMethod[Any, v1.PeerAck] = StreamStreamMethod(
                channel, EXCHANGE_PATH, v1.PeerFrame, v1.PeerAck
            )
            # Opening and a refusal's end are bounded too: a link must never wait for ever.
            async with asyncio.timeout(PEER_DIAL_TIMEOUT_S) as dialling, method.open() as stream:
                await stream.send_message(self._frame([]))
                self._accept(await stream.recv_message())
                dialling.reschedule(None)
                self.url = url
                log.info(
                    "established peer stream",
                    extra={"remote-peer-id": f"{self.id:x}", "url": url},
                )
                ended = asyncio.ensure_future(stream.recv_message())
                try:
                    await self._write_until(ended, stream)
                finally:
                    ended.cancel()
                    await asyncio.gather(ended, return_exceptions=True)
                    await stream.cancel()
        finally:
            channel.close()

    async def _write_until(self, ended: asyncio.Future[v1.PeerAck | None], stream: Any) -> None:
        """Send frames until the other side ends the stream (it never says anything more).

        Every second one leaves even when there is nothing to say: it measures the round trip.
        """
        ended.add_done_callback(lambda _: self._kick())
        while not ended.done() and not self._closed:
            if not self._queue:
                self._waiter = self._loop.create_future()
                ping = self._loop.call_later(PEER_PING_S, self._kick)
                try:
                    await self._waiter
                finally:
                    ping.cancel()
                    self._waiter = None
            if self._gate.paused:
                await asyncio.sleep(_PAUSED_LOOK_S)
            elif not ended.done() and not self._closed:
                data = self._frame(self._take())
                await stream.send_message(data)
                self.sent_bytes += len(data)
        if ended.done():
            ended.result()

    def _kick(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _accept(self, ack: v1.PeerAck | None) -> None:
        if ack is None:
            raise ConnectionError("the peer ended the stream at once")
        if ack.cluster_id != self._own.cluster_id:
            raise ConnectionError(
                f"cluster ID mismatch: peer has {ack.cluster_id:x}, own is {self._own.cluster_id:x}"
            )
        if ack.member_id != self.id:
            raise ConnectionError(f"member ID mismatch: {ack.member_id:x} answers there")
        self.connected = True
        self._connected_at = self._loop.time()
        self._tries = 0

    def _take(self) -> list[Outgoing]:
        """The next frame's messages."""
        taken: list[Outgoing] = []
        size = 0
        while self._queue and len(taken) < PEER_FRAME_MESSAGES and size < PEER_FRAME_BYTES:
            message = self._queue.popleft()
            size += message.size_bytes
            taken.append(message)
        self._queued_bytes -= size
        return taken

    def _frame(self, messages: list[Outgoing]) -> bytes:
        now = time.monotonic_ns()
        echo_ns = 0
        if self._echo is not None:
            sent_ns, heard_ns = self._echo
            # The time it lay here is not the link's.
            echo_ns = sent_ns + (now - heard_ns)
            self._echo = None
        frame = v1.PeerFrame(
            cluster_id=self._own.cluster_id,
            sender=self._own.member_id,
            to=self.id,
            raft=[x.raft for x in messages if x.raft is not None],
            node=[x.node for x in messages if x.node is not None],
            sent_ns=now,
            echo_ns=echo_ns,
            peer_urls=[] if self.connected else list(self._own.peer_urls),
        )
        return encode(frame)

    def _broken(self, url: str, error: BaseException) -> None:
        was_connected = self.connected
        self.disconnects += was_connected
        level = logging.WARNING if was_connected or self._tries == 0 else logging.DEBUG
        refusal = error.message if isinstance(error, GRPCError) else str(error)
        if refusal == REMOVED:
            self._told_removed()
        elif refusal is not None and "mismatch" in refusal:
            # A wrong address stays wrong until somebody reads about it.
            level = logging.ERROR if self._seldom.is_due(refusal) else logging.DEBUG
        log.log(
            level,
            "lost peer stream" if was_connected else "cannot reach peer",
            extra={
                "remote-peer-id": f"{self.id:x}",
                "url": url,
                "error": str(error) or type(error).__name__,
            },
        )
        self._post(Unreachable(self.id))

    def _forget(self) -> None:
        self.connected = False
        self.dropped += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._echo = None

    def close(self) -> None:
        """Dial no more. The task is cancelled besides; a cancellation that meets a connection just
        lost comes out of grpclib as the loss, and must end the link all the same.
        """
        self._closed = True
        self._kick()

    def figures(self) -> PeerFigures:
        """For the statistics."""
        return PeerFigures(
            self.id,
            self.connected,
            int(self.round_trip_us),
            self.sent_bytes,
            self.received_bytes,
            self.dropped,
            self.round_trips.read(),
            self.disconnects,
        )

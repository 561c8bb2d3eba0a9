"""Watch streams as the server sees them, for scripts of what a member answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.const import Status
from kvorum.client import (
    Event,
)
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb
from unit.client.fakes import (
    FakeMember,
    header,
    refuse,
)

WATCH = "/etcdserverpb.Watch/Watch"


Session = Callable[["Call"], Awaitable[None]]


class Call:
    """One watch stream as the server sees it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def request(self) -> pb.WatchRequest:
        """The next request."""
        found: pb.WatchRequest | None = await self._stream.recv_message()
        assert found is not None, "the client ended the stream"
        return found

    async def created(self, watch_id: int, *, revision: int = 10) -> pb.WatchCreateRequest:
        """Take a create and confirm it."""
        create = (await self.request()).create_request
        assert create is not None
        await self.send(watch_id, revision=revision, created=True)
        return create

    async def send(
        self, watch_id: int, *events: mvccpb.Event, revision: int = 10, **fields: Any
    ) -> None:
        """Send a response."""
        await self._stream.send_message(
            pb.WatchResponse(
                header=header(revision), watch_id=watch_id, events=list(events), **fields
            )
        )

    async def stay(self) -> None:
        """Keep the stream open."""
        await asyncio.Event().wait()

    async def broken_after(self, read: asyncio.Event) -> None:
        """End the stream with an error when the client has read what was sent.

        grpclib forgets what it has not handed out yet when a stream is reset; a test that wants
        it delivered waits.
        """
        await read.wait()
        raise refuse(Status.UNAVAILABLE, "etcdserver: server stopped")


def serve(member: FakeMember, *sessions: Session) -> list[int]:
    """Let a member's watch streams follow these scripts, one a stream; the last one repeats."""
    opened: list[int] = []

    async def handle(stream: Any) -> None:
        opened.append(len(opened))
        await sessions[min(opened[-1], len(sessions) - 1)](Call(stream))

    member.streams[WATCH] = handle
    return opened


async def first(watch: Any, count: int) -> list[Event]:
    """So many events, or a failure when they do not come."""
    async with asyncio.timeout(10):
        return [await anext(watch) for _ in range(count)]

"""One long-lived stream that many share, kept alive over disconnects.

Watches and lease renewals both multiplex: one call carries the requests of many, the replies
name whom they are for, and when the call breaks everything that is still wanted is asked for
again, on another member. :class:`SharedStream` does what is common to both; a subclass says what
to ask for and what a reply means.

A session (one call) has a task that reads and a task that writes, because grpclib cancels
whichever task is waiting when a connection breaks; the supervisor above them is never touched by
that.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

from betterproto2 import Message
from kvorum_proto.codec import DecodeError, decode, encode
from kvorum_proto.rpc import Method

from kvorum.client.caller import Caller
from kvorum.client.connection import Failure
from kvorum.client.endpoints import Endpoint
from kvorum.client.errors import (
    REAUTHENTICATE,
    ClientError,
    ConnectError,
    NoLeaderError,
    ProtocolViolation,
    error_for,
)
from kvorum.client.pool import ObservedStream
from kvorum.errors import Code

Req = TypeVar("Req", bound=Message)
Rep = TypeVar("Rep", bound=Message)

# A broken stream is opened again after these; anything else is an answer (contract page "clients",
# section 1).
_RESUMED = frozenset({Code.UNAVAILABLE, Code.INTERNAL})


class SharedStream(ABC, Generic[Req, Rep]):
    """A stream with a supervisor task that lives exactly as long as somebody needs it."""

    def __init__(
        self, caller: Caller, called: Method, reply_type: type[Rep], *, require_leader: bool | None
    ) -> None:
        self._caller = caller
        self._called = called
        self._reply_type = reply_type
        self._require_leader = require_leader
        self._supervisor: asyncio.Task[None] | None = None
        self._session: asyncio.Task[None] | None = None
        self._outbox: deque[Req] = deque()
        self._outbox_filled = asyncio.Event()
        self._token: str | None = None
        self._nudge = asyncio.Event()
        self._restart_reason: ClientError | None = None
        self._up = False
        self.endpoint: Endpoint | None = None
        self.last_error: ClientError | None = None
        self.sessions = 0

    # What a subclass says.

    @abstractmethod
    def _needed(self) -> bool:
        """Whether anybody still needs the stream."""

    @abstractmethod
    def _opened(self) -> None:
        """A new session begins: send what has to be asked for (again)."""

    @abstractmethod
    def _received(self, reply: Rep) -> None:
        """A reply came. Must not block; raises :class:`ProtocolViolation` to begin a new
        session.
        """

    @abstractmethod
    def _gone(self, error: ClientError) -> None:
        """The stream cannot go on: tell everybody."""

    # What a subclass uses.

    def _send(self, request: Req) -> None:
        """Queue a request. Without a session it is dropped: ``_opened`` asks for everything
        anew.
        """
        if self._up:
            self._outbox.append(request)
            self._outbox_filled.set()

    def _run(self) -> None:
        """Start the supervisor unless it runs."""
        if self._supervisor is None or self._supervisor.done():
            self._supervisor = asyncio.get_running_loop().create_task(
                self._supervise(), name=f"kvorum client: {self._called.path}"
            )

    def _stop_if_unneeded(self) -> None:
        """End the session when nobody needs the stream; the supervisor sees that and ends too."""
        if not self._needed():
            self._nudge.set()
            if self._session is not None:
                self._session.cancel()

    def _restart(self, error: ClientError) -> None:
        """End the session for this reason; the supervisor opens another, elsewhere if it can."""
        if self._session is not None:
            self._restart_reason = error
            self._session.cancel()

    @property
    def unreachable(self) -> ConnectError | None:
        """Why no member can be connected to, as far as the last try tells; None when one can."""
        last = self.last_error
        return last if isinstance(last, ConnectError) and not self._up else None

    async def aclose(self) -> None:
        """End the stream and wait until its tasks are gone."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])

    async def _supervise(self) -> None:
        no_leader = 0
        relogins = 0
        while self._needed():
            picker, now_s = self._caller.picker, time.monotonic()
            endpoint = picker.pick(now_s)
            await self._pause(picker.wait_s(endpoint, now_s))
            before = self.sessions
            error = await self._one_session(endpoint)
            if not self._needed():
                return
            if self.sessions > before:
                no_leader = relogins = 0
            self.last_error = error
            if error is None:
                continue
            if error.condition in REAUTHENTICATE and self._caller.pool.may_login and relogins == 0:
                relogins += 1
                self._caller.pool.forget_token(self._token)
                continue
            if error.code not in _RESUMED:
                self._gone(error)
                return
            if isinstance(error, NoLeaderError):
                no_leader += 1
                if self._require_leader and no_leader >= len(picker.endpoints):
                    self._gone(error)
                    return
            picker.failed(endpoint, time.monotonic())

    async def _pause(self, seconds: float) -> None:
        """Wait before the next try, or until the stream is not needed any more."""
        self._nudge.clear()
        if seconds > 0 and self._needed():
            try:
                async with asyncio.timeout(seconds):
                    await self._nudge.wait()
            except TimeoutError:
                pass

    async def _one_session(self, endpoint: Endpoint) -> ClientError | None:
        """One call from its opening to its end. Gives the reason for the end, None for a wanted
        one.
        """
        self._session = asyncio.get_running_loop().create_task(self._read(endpoint))
        try:
            await asyncio.wait([self._session])
        except asyncio.CancelledError:
            self._session.cancel()
            await asyncio.wait([self._session])
            raise
        finally:
            session, self._session = self._session, None
            self._up = False
            self.endpoint = None
            self._outbox.clear()
        if session.cancelled():
            reason, self._restart_reason = self._restart_reason, None
            return reason
        error = session.exception()
        where, rpc = str(endpoint), self._called.path
        if isinstance(error, Failure):
            if error.lost and not error.sent:
                return ConnectError(error.message, code=error.code, endpoint=where, rpc=rpc)
            return error_for(error.code, error.message, endpoint=where, rpc=rpc)
        if isinstance(error, ClientError):
            return error
        if error is not None:
            broken = ClientError(f"the client failed: {error!r}", code=Code.UNKNOWN, endpoint=where)
            broken.__cause__ = error
            return broken
        return ClientError("the server ended the stream", code=Code.UNAVAILABLE, endpoint=where)

    async def _read(self, endpoint: Endpoint) -> None:
        pool = self._caller.pool
        await self._caller.login(time.monotonic() + pool.timeout_s)
        self._token = pool.token
        stream = await self._caller.open(
            self._called, endpoint, require_leader=self._require_leader
        )
        self._up, self.endpoint = True, endpoint
        self._opened()
        writer = asyncio.get_running_loop().create_task(self._write(stream))
        first = True
        try:
            while (data := await stream.receive()) is not None:
                if first:
                    first = False
                    self.sessions += 1
                    self._caller.picker.succeeded(endpoint)
                self._received(decode(self._reply_type, data))
        except DecodeError as error:
            text = f"a reply cannot be decoded: {error}"
            raise ProtocolViolation(text, code=Code.INTERNAL, endpoint=str(endpoint)) from error
        finally:
            self._up = False
            writer.cancel()
            try:
                await asyncio.wait([writer])
            finally:  # Cancelled once more while it waits.
                await stream.close()

    async def _write(self, stream: ObservedStream) -> None:
        """Send what is queued. When sending fails, reading fails too and tells why."""
        while True:
            while self._outbox:
                try:
                    await stream.send(encode(self._outbox.popleft()))
                except Failure:
                    return
            self._outbox_filled.clear()
            await self._outbox_filled.wait()

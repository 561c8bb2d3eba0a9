"""Calls: a request goes out with a deadline and a token, and comes back as a reply or as one typed
error.

:class:`Caller` chooses endpoints; a client has one for all its endpoints and one for each member it
talks to on its own. What they share is the :class:`kvorum.client.pool.Pool`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TypeVar

from betterproto2 import Message
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import DecodeError, decode, encode
from kvorum_proto.rpc import Method

from kvorum.client.connection import Failure
from kvorum.client.endpoints import Endpoint, Picker
from kvorum.client.errors import ProtocolViolation
from kvorum.client.methods import method, only_reads
from kvorum.client.observe import Observed, without_secrets
from kvorum.client.pool import ObservedStream, Pool, RpcRecord
from kvorum.client.retry import Next, after, final_error
from kvorum.errors import Code

R = TypeVar("R", bound=Message)

_AUTHENTICATE = method("/etcdserverpb.Auth/Authenticate")


class Caller:
    """Makes calls over the endpoints of one picker.

    A ``patient`` one keeps trying to connect until the dial timeout; one that is not says at once
    that its member cannot be reached, which is what somebody who looks at that member wants.
    """

    def __init__(self, pool: Pool, picker: Picker, *, patient: bool = True) -> None:
        self.pool = pool
        self.picker = picker
        self._patient = patient

    async def call(
        self,
        called: Method,
        request: Message,
        reply_type: type[R],
        *,
        timeout_s: float | None = None,
        require_leader: bool | None = None,
    ) -> R:
        """One unary call, within ``timeout_s`` seconds whatever happens.

        Raises a :class:`kvorum.client.errors.ClientError`; a write of unknown fate as
        ``UnknownOutcome``.
        """
        self.pool.guard(called, request)
        limit_s = self.pool.timeout_s if timeout_s is None else timeout_s
        deadline_s = time.monotonic() + limit_s
        await self.login(deadline_s)
        return await self.attempts(
            called, request, reply_type, deadline_s, require_leader, self.pool.may_login
        )

    async def login(self, deadline_s: float) -> None:
        """Make sure that there is a token, if there are credentials."""

        async def authenticate(name: str, password: str) -> str:
            request = pb.AuthenticateRequest(name=name, password=password)
            reply = await self.attempts(
                _AUTHENTICATE, request, pb.AuthenticateResponse, deadline_s, False, False
            )
            return reply.token

        await self.pool.login(authenticate)

    async def attempts(
        self,
        called: Method,
        request: Message,
        reply_type: type[R],
        deadline_s: float,
        require_leader: bool | None,
        may_login: bool,
    ) -> R:
        """Try until there is a reply, an error that stands, or no time left."""
        repeatable = only_reads(called, request)
        payload = encode(request)
        began_s = time.monotonic()
        dial_until_s = min(deadline_s, began_s + self.pool.dial_timeout_s)
        # A write that was refused is not tried again so late that the deadline would leave its fate
        # unknown.
        reserve_s = 0.0 if repeatable else min(0.5, (deadline_s - began_s) / 4)
        tried: set[Endpoint] = set()
        while True:
            endpoint = self.picker.pick(time.monotonic())
            await self._wait(endpoint, deadline_s)
            tried.add(endpoint)
            token = self.pool.token
            try:
                return await self._attempt(
                    called, payload, reply_type, endpoint, deadline_s, repeatable, require_leader
                )
            except Failure as failure:
                others = len(self.picker.endpoints) > 1
                step = after(failure, repeatable=repeatable, others=others, may_login=may_login)
                self._noted(endpoint, failure, step)
                now_s = time.monotonic()
                pause_s = self.picker.wait_s(self.picker.pick(now_s), now_s)
                dialled = failure.sent or len(tried) < len(self.picker.endpoints)
                limit_s = deadline_s - reserve_s if dialled else dial_until_s
                if not failure.sent and not self._patient:
                    step = Next.STOP
                if step is Next.STOP or now_s + pause_s >= limit_s:
                    raise final_error(
                        failure,
                        repeatable=repeatable,
                        request=request,
                        endpoint=str(endpoint),
                        rpc=called.path,
                    ) from failure
            if step is Next.LOGIN:
                may_login = False
                self.pool.forget_token(token)
                await self.login(deadline_s)

    async def _wait(self, endpoint: Endpoint, deadline_s: float) -> None:
        """Keep away from an endpoint that has failed, but leave time to try it all the same."""
        if self._patient:
            now_s = time.monotonic()
            left_s = max(0.0, deadline_s - now_s)
            await asyncio.sleep(min(self.picker.wait_s(endpoint, now_s), left_s / 2))

    def _noted(self, endpoint: Endpoint, failure: Failure, step: Next) -> None:
        """Keep what the failure says about the endpoint itself."""
        if failure.lost or step is Next.ELSEWHERE or failure.code is Code.UNAVAILABLE:
            self.picker.failed(endpoint, time.monotonic())
        else:
            self.picker.succeeded(endpoint)

    async def _attempt(
        self,
        called: Method,
        payload: bytes,
        reply_type: type[R],
        endpoint: Endpoint,
        deadline_s: float,
        repeatable: bool,
        require_leader: bool | None,
    ) -> R:
        started_s = time.monotonic()
        remaining_s = max(0.0, deadline_s - started_s)
        if repeatable and len(self.picker.endpoints) > 1:
            remaining_s = max(remaining_s / 2, min(remaining_s, 0.25))
        code, text, size, data = Code.OK, "", 0, b""
        try:
            data = await self._exchange(called, payload, endpoint, remaining_s, require_leader)
            size = len(data)
        except Failure as failure:
            code, text = failure.code, failure.message
            raise
        except asyncio.CancelledError:
            code, text = Code.CANCELLED, "cancelled by the caller"
            raise
        finally:
            took_s = time.monotonic() - started_s
            at_s = time.time() - took_s
            where = str(endpoint)
            self.pool.observed(
                RpcRecord(at_s, where, called.path, took_s, len(payload), size, code, text)
            )
            if self.pool.listeners:
                sent = without_secrets(called, payload)
                told = without_secrets(called, data, reply=True)
                call_id = self.pool.listeners.next_id()
                self.pool.listeners.tell(
                    Observed(
                        call_id, "call", at_s, where, called.path, took_s, sent, told, code, text
                    )
                )
        self.picker.succeeded(endpoint)
        return _decoded(reply_type, data, where, called)

    async def _exchange(
        self,
        called: Method,
        payload: bytes,
        endpoint: Endpoint,
        timeout_s: float,
        require_leader: bool | None,
    ) -> bytes:
        connection = self.pool.connection(endpoint)
        until_s = time.monotonic() + timeout_s
        await connection.connect(min(timeout_s, self.pool.dial_timeout_s))
        return await connection.unary(
            called.path,
            payload,
            timeout_s=max(0.0, until_s - time.monotonic()),
            metadata=self.pool.metadata(require_leader),
        )

    async def open(
        self,
        called: Method,
        endpoint: Endpoint,
        *,
        require_leader: bool | None = None,
        timeout_s: float | None = None,
    ) -> ObservedStream:
        """Open a streaming call on one endpoint. Raises :class:`Failure`: nothing has been sent on
        it yet, and ``ReadOnlyError`` where only reading is allowed and the method does not.
        """
        self.pool.guard(called, None)
        connection = self.pool.connection(endpoint)
        await connection.connect(self.pool.dial_timeout_s)
        metadata = self.pool.metadata(require_leader)
        duplex = connection.stream(called.path, timeout_s=timeout_s, metadata=metadata)
        stream = ObservedStream(duplex, self.pool, endpoint, called)
        await stream.open()
        return stream

    async def replies(
        self, called: Method, request: Message, reply_type: type[R], *, timeout_s: float | None
    ) -> AsyncGenerator[R, None]:
        """The replies of a call where only the server streams.

        Another endpoint is tried only before the first reply. ``timeout_s`` bounds the whole stream
        (None: no bound). Raises a :class:`kvorum.client.errors.ClientError`.
        """
        reads = self.pool.guard(called, request)
        deadline_s = time.monotonic() + self.pool.timeout_s
        await self.login(deadline_s)
        may_login, first = self.pool.may_login, True
        while True:
            endpoint = self.picker.pick(time.monotonic())
            await self._wait(endpoint, deadline_s)
            token = self.pool.token
            try:
                stream = await self.open(called, endpoint, timeout_s=timeout_s)
                try:
                    await stream.send(encode(request), end=True)
                    while (data := await stream.receive()) is not None:
                        first = False
                        yield _decoded(reply_type, data, str(endpoint), called)
                    return
                finally:
                    await stream.close()
            except Failure as failure:
                others = len(self.picker.endpoints) > 1
                step = after(failure, repeatable=reads, others=others, may_login=may_login)
                self._noted(endpoint, failure, step)
                if not failure.sent and not self._patient:
                    step = Next.STOP
                if step is Next.STOP or not first or time.monotonic() >= deadline_s:
                    where = str(endpoint)
                    raise final_error(
                        failure, repeatable=reads, request=request, endpoint=where, rpc=called.path
                    ) from failure
            if step is Next.LOGIN:
                may_login = False
                self.pool.forget_token(token)
                await self.login(deadline_s)


def _decoded(reply_type: type[R], data: bytes, where: str, called: Method) -> R:
    """A reply's message. Raises ProtocolViolation."""
    try:
        return decode(reply_type, data)
    except DecodeError as error:
        text = f"the reply cannot be decoded: {error}"
        raise ProtocolViolation(
            text, code=Code.INTERNAL, endpoint=where, rpc=called.path
        ) from error

"""What stands between a call and its handler, the same for every service.

- a condition of the table becomes its gRPC status, letter by letter;
- a learner answers only what etcd lets it answer;
- ``hasleader`` metadata refuses calls without a leader at once, and ends streams that have been
  without one for three election timeouts (semantics page, section 6.5);
- with auth on, who calls is established (a token, else a certificate's common name), and whether
  they may: the table is in ``rules``;
- faults are inflicted from this machine only;
- what nobody foresaw becomes INTERNAL for the caller and a trace in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import H2Error
from kvorum_proto.rpc import Method

from kvorum.api.rules import Who as Who
from kvorum.api.rules import anybody, handlers, require, rule_of
from kvorum.errors import Condition, KvorumError
from kvorum.server import tls
from kvorum.server.tokens import established
from kvorum.urls import plain_address

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

log = logging.getLogger("kvorum.api")

FAULTS = "kvorum.v1.Faults"
_BEARER = "bearer "
_NOT_FOR_LEARNERS = ("etcdserverpb.", "v3lockpb.", "v3electionpb.")
_LEARNER_MAY = frozenset(
    {
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Maintenance/Snapshot",
    }
)


class ServerStream(Protocol):
    """What handlers use of grpclib's server stream."""

    metadata: Any
    peer: Any
    deadline: Any

    async def recv_message(self) -> Any: ...

    async def send_message(self, message: Any) -> None: ...


UnaryCall = Callable[[Any, Who], Awaitable[Any]]
StreamCall = Callable[[Any, Who], Awaitable[None]]


def error_of(condition: Condition) -> GRPCError:
    """The status a condition has on the wire."""
    return GRPCError(Status(int(condition.code)), condition.message)


class LeaderWatch:
    """Ends streams that asked for a leader when there has been none for three election timeouts."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        node.on_role_change(self._changed)

    def _changed(self, *_: object) -> None:
        if self._node.leader:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            delay_s = 3 * self._node.config.election_timeout_ms / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def guard(self, work: Awaitable[None]) -> None:
        """Run a stream's work until it ends or the leader has been gone for too long."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, future), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise KvorumError(Condition.NO_LEADER)
            await task
        finally:
            self._waiting.discard(future)
            task.cancel()
            # Its error is taken, too, where the call was given up in the same moment.
            await asyncio.gather(task, return_exceptions=True)


class Guards:
    """Wraps handlers; one for a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._leader_watch = LeaderWatch(node)

    def unary(self, method: Method, call: UnaryCall) -> Handler:
        """A handler of one request and one answer (a message, or its bytes)."""

        async def handle(stream: ServerStream) -> None:
            request = await stream.recv_message()
            if request is None:
                raise GRPCError(Status.UNKNOWN, "EOF")
            try:
                self._admit(method, stream, request)
                who = await self._permit(method, stream, request)
                await stream.send_message(await call(request, who))
            except KvorumError as error:
                raise error_of(error.condition) from None
            except (GRPCError, ProtocolError, StreamTerminatedError, H2Error):
                raise
            except Exception:
                log.exception("%s failed", method.path)
                raise GRPCError(Status.INTERNAL, "kvorum: internal error") from None

        return Handler(handle, _cardinality(method), method.request, method.response)

    def stream(self, method: Method, call: StreamCall) -> Handler:
        """A handler that reads and writes messages itself."""

        async def handle(stream: ServerStream) -> None:
            try:
                self._admit(method, stream, None)
                who = await self._permit(method, stream, None)
                if stream.metadata.get("hasleader") == "true":
                    await self._leader_watch.guard(call(stream, who))
                else:
                    await call(stream, who)
            except KvorumError as error:
                raise error_of(error.condition) from None
            except (GRPCError, ProtocolError, StreamTerminatedError, H2Error):
                raise
            except Exception:
                log.exception("%s failed", method.path)
                raise GRPCError(Status.INTERNAL, "kvorum: internal error") from None

        return Handler(handle, _cardinality(method), method.request, method.response)

    def unimplemented(self, method: Method) -> Handler:
        """A method of the contract that this node does not have."""

        async def handle(stream: ServerStream) -> None:
            raise GRPCError(Status.UNIMPLEMENTED, f"method {method.name} not implemented")

        return Handler(handle, _cardinality(method), method.request, method.response)

    async def _permit(self, method: Method, stream: ServerStream, request: Any) -> Who:
        """Who calls, if they may by the method's own rule. Raises KvorumError."""
        who = self._who(stream)
        rule = rule_of(method.path)
        if self._node.machine.auth.enabled and rule is not anybody:
            await self._catch_up(stream)
        if self._node.machine.auth.enabled and rule not in (anybody, handlers):
            require(rule(self._node.machine.auth, who(), request))
        return who

    def _who(self, stream: ServerStream) -> Who:
        node = self._node
        token = _token_of(stream)
        name = ""
        # The gateway's calls come with a connection that may be a proxy's.
        if node.config.client_tls.client_cert_auth and "grpcgateway-accept" not in stream.metadata:
            name = common_name(stream.peer)
        return lambda: established(node.tokens, node.machine.auth, token, name)

    async def _catch_up(self, stream: ServerStream) -> None:
        """A token that another member gave a moment ago is known here once its entry is applied.

        Whoever has it was answered, so that the entry is committed: no more than what is committed
        now needs to be waited for, whatever index a forged token names.
        """
        node, token = self._node, _token_of(stream)
        if token is not None and node.tokens.awaited(token) > node.machine.applied_index:
            await node.barrier()

    def _admit(self, method: Method, stream: ServerStream, request: Any) -> None:
        node = self._node
        if not _is_utf8(stream.metadata.get("client-api-version", "")):
            raise KvorumError(Condition.INVALID_CLIENT_API_VERSION)
        if node.is_learner and method.service.startswith(_NOT_FOR_LEARNERS):
            serializable = getattr(request, "serializable", True)
            if method.path not in _LEARNER_MAY or not serializable:
                raise KvorumError(Condition.NOT_SUPPORTED_FOR_LEARNER)
        if not node.leader and stream.metadata.get("hasleader") == "true":
            raise KvorumError(Condition.NO_LEADER)
        if method.service == FAULTS and not _is_loopback(stream.peer):
            raise GRPCError(Status.PERMISSION_DENIED, "faults: only from loopback")


def _is_utf8(header: str) -> bool:
    """Whether a header's bytes, which come as a character each, are UTF-8."""
    if header.isascii():
        return True
    try:
        header.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True


def _token_of(stream: ServerStream) -> str | None:
    """The token of a call; gRPC clients and the gateway's name it differently."""
    metadata = stream.metadata
    token = metadata.get("token")
    if token is None:
        token = metadata.get("authorization")
        if token is not None and token[: len(_BEARER)].lower() == _BEARER:
            token = token[len(_BEARER) :]
    return None if token is None else str(token).strip()


def common_name(peer: Any) -> str:
    """The common name in the certificate at the other end of a connection; "" without either."""
    return tls.common_name(peer.cert() or {})


def _is_loopback(peer: Any) -> bool:
    """Whether a call comes from this machine: by a loopback address or a Unix socket."""
    address = peer.addr()
    if isinstance(address, tuple):
        try:
            return ip_address(plain_address(address[0])).is_loopback
        except ValueError:
            return False
    return isinstance(address, (str, bytes))


def _cardinality(method: Method) -> Cardinality:
    return {
        (False, False): Cardinality.UNARY_UNARY,
        (False, True): Cardinality.UNARY_STREAM,
        (True, False): Cardinality.STREAM_UNARY,
        (True, True): Cardinality.STREAM_STREAM,
    }[(method.client_streaming, method.server_streaming)]

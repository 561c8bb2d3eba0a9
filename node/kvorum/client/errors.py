"""What a call can end with, as exceptions.

Everything a call raises is a :class:`ClientError`. It carries the gRPC code, the server's words,
the endpoint and the RPC, and, when the words are in the table of :mod:`kvorum.errors`, the
condition they stand for. The conditions that programs decide on have classes of their own.

:class:`UnknownOutcome` is the important one: the request may have been carried out, or may still
be. It is raised for writes only, and never hidden behind a retry.
"""

from __future__ import annotations

from kvorum.errors import BY_MESSAGE, Code, Condition


class ClientError(Exception):
    """A call that failed.

    ``endpoint`` and ``rpc`` are empty when the failure came before a member was chosen.
    """

    def __init__(self, message: str, *, code: Code, endpoint: str = "", rpc: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.endpoint = endpoint
        self.rpc = rpc

    @property
    def condition(self) -> Condition | None:
        """The condition that the server's words stand for, or None for other words."""
        return BY_MESSAGE.get(self.message)

    def __str__(self) -> str:
        where = " ".join(part for part in (self.rpc, self.endpoint) if part)
        return f"{self.message} [{self.code.name}{', ' + where if where else ''}]"


class UnknownOutcome(ClientError):
    """A write whose fate is not known: it may have taken effect, or still may.

    ``request`` describes what was asked, so that a log of it is enough to find out later.
    """

    def __init__(
        self, message: str, *, code: Code, endpoint: str = "", rpc: str = "", request: str = ""
    ) -> None:
        super().__init__(message, code=code, endpoint=endpoint, rpc=rpc)
        self.request = request

    def __str__(self) -> str:
        return f"outcome unknown: {super().__str__()} request: {self.request}"


class ReadOnlyError(ClientError):
    """The client was opened with ``read_only=True`` and the call could change something. Nothing
    was sent.
    """


class ConnectError(ClientError):
    """No member could be reached; nothing was sent."""


class DeadlineError(ClientError):
    """A read did not end in time."""


class ConnectionLostError(ClientError):
    """The connection broke while a read or a stream was under way."""


class Unsupported(ClientError):
    """The server does not offer this RPC (an older etcd, or a service only kvorum has)."""


class ProtocolViolation(ClientError):
    """The server sent something that the protocol does not allow."""


class CompactedError(ClientError):
    """The revision asked for has been compacted away.

    ``compact_revision`` is the lowest revision that can still be read, or 0 when the server did not
    tell.
    """

    def __init__(
        self, message: str, *, code: Code, endpoint: str = "", rpc: str = "", revision: int = 0
    ) -> None:
        super().__init__(message, code=code, endpoint=endpoint, rpc=rpc)
        self.compact_revision = revision


class FutureRevisionError(ClientError):
    """The revision asked for does not exist yet."""


class LeaseNotFoundError(ClientError):
    """The lease does not exist, or has expired."""


class PermissionDeniedError(ClientError):
    """The user may not do this."""


class AuthError(ClientError):
    """Wrong name or password, or a token that is no longer accepted."""


class NoLeaderError(ClientError):
    """The member knows no leader."""


class NoSpaceError(ClientError):
    """The store is full: compact, defragment and disarm the alarm."""


class InvalidRequestError(ClientError):
    """The server refused the request as wrong; sending it again will not help."""


_BY_CONDITION: dict[Condition, type[ClientError]] = {
    Condition.COMPACTED: CompactedError,
    Condition.FUTURE_REVISION: FutureRevisionError,
    Condition.LEASE_NOT_FOUND: LeaseNotFoundError,
    Condition.PERMISSION_DENIED: PermissionDeniedError,
    Condition.AUTH_FAILED: AuthError,
    Condition.AUTH_NO_PASSWORD_USER: AuthError,
    Condition.INVALID_AUTH_TOKEN: AuthError,
    Condition.AUTH_OLD_REVISION: AuthError,
    Condition.USER_EMPTY: AuthError,
    Condition.NO_LEADER: NoLeaderError,
    Condition.NO_SPACE: NoSpaceError,
}

_BY_CODE: dict[Code, type[ClientError]] = {
    Code.UNIMPLEMENTED: Unsupported,
    Code.DEADLINE_EXCEEDED: DeadlineError,
    Code.INVALID_ARGUMENT: InvalidRequestError,
    Code.PERMISSION_DENIED: PermissionDeniedError,
    Code.UNAUTHENTICATED: AuthError,
}

# The user's token is gone or old: log in again, once, and repeat (contract page "clients", section
# 1).
REAUTHENTICATE = frozenset(
    {Condition.INVALID_AUTH_TOKEN, Condition.USER_EMPTY, Condition.AUTH_OLD_REVISION}
)

# Refused before anything could enter the log: these never leave a write's fate open, whatever their
# code.
REFUSED_UNLOGGED = frozenset(
    {
        Condition.NO_LEADER,
        Condition.NOT_CAPABLE,
        Condition.NOT_SUPPORTED_FOR_LEARNER,
        Condition.UNHEALTHY,
        Condition.TOO_MANY_REQUESTS,
        Condition.AUTH_NO_PASSWORD_USER,
    }
)

# Codes that a server only gives to a request it refused. With any other code a write may have been
# carried out.
_REFUSALS = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.PERMISSION_DENIED,
        Code.RESOURCE_EXHAUSTED,
        Code.FAILED_PRECONDITION,
        Code.OUT_OF_RANGE,
        Code.UNIMPLEMENTED,
        Code.DATA_LOSS,
        Code.UNAUTHENTICATED,
    }
)


def error_for(code: Code, message: str, *, endpoint: str = "", rpc: str = "") -> ClientError:
    """The exception for a status, by its words first and its code second."""
    condition = BY_MESSAGE.get(message)
    kind = _BY_CONDITION.get(condition) if condition is not None else None
    if kind is None:
        kind = _BY_CODE.get(code, ClientError)
    return kind(message, code=code, endpoint=endpoint, rpc=rpc)


def is_refusal(error: ClientError) -> bool:
    """Whether the server surely did not carry the request out."""
    return error.code in _REFUSALS or error.condition in REFUSED_UNLOGGED

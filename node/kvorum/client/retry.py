"""What to do with a call that failed: try again, log in again, give up, or say that nobody knows.

The rule is one: a request is sent again only if it changes nothing, or if the server surely did not
act on it. A write that may have been carried out ends as
:class:`kvorum.client.errors.UnknownOutcome`.
"""

from __future__ import annotations

import dataclasses
from enum import Enum, auto
from typing import Any, cast

from betterproto2 import Message

from kvorum.client.connection import Failure
from kvorum.client.errors import (
    REAUTHENTICATE,
    REFUSED_UNLOGGED,
    ClientError,
    ConnectError,
    ConnectionLostError,
    UnknownOutcome,
    error_for,
    is_refusal,
)
from kvorum.errors import BY_MESSAGE, Code
from kvorum.limits import CLIENT_DESCRIBE_BYTES

_SECRET = frozenset({"password", "hashed_password", "token"})


class Next(Enum):
    """What follows a failed try."""

    ELSEWHERE = auto()  # Try again, on another endpoint if there is one.
    LOGIN = auto()  # Get a new token, then try again.
    STOP = auto()  # Raise.


def after(failure: Failure, *, repeatable: bool, others: bool, may_login: bool) -> Next:
    """Decide what follows.

    ``repeatable``: the request changes nothing. ``others``: there is another endpoint.
    ``may_login``: there are credentials and this call has not used them yet.
    """
    condition = BY_MESSAGE.get(failure.message)
    if condition in REAUTHENTICATE:
        return Next.LOGIN if may_login else Next.STOP
    if not failure.sent:
        return Next.ELSEWHERE
    if condition in REFUSED_UNLOGGED and failure.code is not Code.RESOURCE_EXHAUSTED:
        return Next.ELSEWHERE if others or repeatable else Next.STOP
    if repeatable and failure.code is Code.UNAVAILABLE:
        return Next.ELSEWHERE
    if repeatable and others and failure.code is Code.DEADLINE_EXCEEDED:
        return Next.ELSEWHERE
    return Next.STOP


def final_error(
    failure: Failure, *, repeatable: bool, request: Message | None, endpoint: str, rpc: str
) -> ClientError:
    """The exception for a failure that is not followed by another try."""
    code, text = failure.code, failure.message
    if not failure.sent and failure.lost:
        return ConnectError(text, code=code, endpoint=endpoint, rpc=rpc)
    error = error_for(code, text, endpoint=endpoint, rpc=rpc)
    if failure.sent and not repeatable and not is_refusal(error):
        what = "" if request is None else describe(request)
        return UnknownOutcome(text, code=code, endpoint=endpoint, rpc=rpc, request=what)
    if failure.lost and code is Code.UNAVAILABLE:
        return ConnectionLostError(text, code=code, endpoint=endpoint, rpc=rpc)
    return error


def describe(request: Message) -> str:
    """A request in one line: the fields that are set, long bytes by their length, secrets left
    out.
    """
    parts = []
    for field in dataclasses.fields(cast(Any, request)):
        value = getattr(request, field.name)
        if field.name in _SECRET or value is None or (not value and value != b""):
            continue
        if value == b"" and field.name != "value":
            continue
        parts.append(f"{field.name}={_described(value)}")
    return f"{type(request).__name__}({', '.join(parts)})"


def _described(value: Any) -> str:
    if isinstance(value, bytes):
        return repr(value) if len(value) <= CLIENT_DESCRIBE_BYTES else f"<{len(value)} bytes>"
    if isinstance(value, list):
        shown = ", ".join(_described(item) for item in value[:8])
        return f"[{shown}{', ...' if len(value) > 8 else ''}]"
    return describe(value) if isinstance(value, Message) else str(value)

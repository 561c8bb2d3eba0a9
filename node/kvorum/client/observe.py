"""Watching a client at work: who listens is told of every try of every call, with what went out and
what came back.

``Client.observe`` adds a listener. It is called in the event loop, once for a unary call, and for a
stream when it opens, at each message and when it ends; all of one call have the same ``id``. While
nobody listens nothing of this is computed.

Secrets never get out: the fields named in :data:`SECRETS` (passwords and tokens) are blanked before
a listener sees the bytes, wherever in a message they stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any, Literal, NamedTuple, cast, get_type_hints

from betterproto2 import Message
from kvorum_proto.codec import DecodeError, decode, encode
from kvorum_proto.rpc import Method

from kvorum.errors import Code

Phase = Literal["call", "open", "sent", "received", "end"]
SECRETS = frozenset({"password", "hashed_password", "token"})


class Observed(NamedTuple):
    """One try of one unary call (phase ``call``), or a moment in the life of a stream.

    ``at_s`` is when the call began, in seconds since 1970; ``duration_s`` how long it has been
    since. ``request`` and ``reply`` are the messages on the wire without their secrets; of a stream
    ``sent`` and ``received`` carry one each. ``code`` counts in the phases ``call`` and ``end``.
    """

    id: int
    phase: Phase
    at_s: float
    endpoint: str
    method: str
    duration_s: float
    request: bytes = b""
    reply: bytes = b""
    code: Code = Code.OK
    message: str = ""


Listener = Callable[[Observed], None]


class Listeners:
    """Who listens to one client. False as long as nobody does."""

    def __init__(self) -> None:
        self._told: list[Listener] = []
        self._ids = count(1)

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell this listener from now on. Returns what ends that."""
        self._told.append(listener)

        def stop() -> None:
            if listener in self._told:
                self._told.remove(listener)

        return stop

    def next_id(self) -> int:
        """A number for one call."""
        return next(self._ids)

    def tell(self, observed: Observed) -> None:
        """Tell everybody."""
        for listener in tuple(self._told):
            listener(observed)


def without_secrets(called: Method, payload: bytes, *, reply: bool = False) -> bytes:
    """A message of this method as bytes, its secrets blanked. What cannot be decoded although it
    could hold one is left out altogether.
    """
    if not payload or not holds_secret(called, reply=reply):
        return payload
    try:
        message = decode(called.response if reply else called.request, payload)
    except DecodeError:
        return b""
    _blank(message)
    return encode(message)


@cache
def holds_secret(called: Method, *, reply: bool = False) -> bool:
    """Whether a message of this method can hold a secret."""
    return _may_hold(called.response if reply else called.request, set())


def _may_hold(kind: type[Message], seen: set[type[Message]]) -> bool:
    """Whether a field of this message, or of one within it, is a secret."""
    if kind in seen:
        return False
    seen.add(kind)
    fields = {field.name for field in dataclasses.fields(cast(Any, kind))}
    if fields & SECRETS:
        return True
    return any(_may_hold(each, seen) for each in _messages_in(kind))


def _messages_in(kind: type[Message]) -> list[type[Message]]:
    """The kinds of messages that fields of this kind hold."""
    found = []
    for hint in get_type_hints(kind, vars(__import__(kind.__module__, fromlist=["_"]))).values():
        parts = [hint, *getattr(hint, "__args__", ())]
        found += [each for each in parts if isinstance(each, type) and issubclass(each, Message)]
    return found


def _blank(message: Message) -> None:
    for field in dataclasses.fields(cast(Any, message)):
        value = getattr(message, field.name)
        if field.name in SECRETS and value:
            setattr(message, field.name, type(value)())
        elif isinstance(value, Message):
            _blank(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, Message):
                    _blank(each)

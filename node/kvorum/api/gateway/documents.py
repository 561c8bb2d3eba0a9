"""Bytes of an HTTP body as JSON values: one value, or objects one after the other."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from kvorum.api.gateway.forms import FormError

_SPACE = b" \t\r\n"
_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
_IN_OBJECT = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OPENING = b"{["


def _no_constant(name: str) -> Any:
    raise FormError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def first_value(body: bytes) -> Any:
    """The JSON value a body begins with; an empty object for an empty body, or null. What follows
    the value is not looked at, as in etcd. Raises FormError.
    """
    try:
        text = body.decode().lstrip(_SPACE.decode())
    except UnicodeDecodeError as error:
        raise FormError(f"the body is not UTF-8 at byte {error.start}") from None
    if not text:
        return {}
    try:
        value, _ = _DECODER.raw_decode(text)
    except RecursionError:
        raise FormError("values are nested too deep") from None
    except FormError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise FormError(f"the body is no JSON: {error}") from None
    return {} if value is None else value


class Objects:
    """Cuts bytes into JSON objects: ``{...}{...}``, with or without space between them.

    Args:
        limit_bytes: of one object, brackets included.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False

    def feed(self, data: bytes) -> None:
        """More bytes, for :meth:`take`."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next object; None when it is not complete. Raises FormError for what is none."""
        found = self._next()
        held = len(self._buffer) if found is None else len(found)
        if held > self._limit_bytes:
            raise FormError(f"the object is larger than {self._limit_bytes} bytes")
        return found

    def end(self) -> None:
        """No more bytes come. Raises FormError inside of an object."""
        if self._depth:
            raise FormError("the body ends inside of an object")

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._depth and not self._begin():
            return None
        while True:
            found = (_IN_STRING if self._in_string else _IN_OBJECT).search(buffer, self._at)
            if found is None:
                self._at = len(buffer)
                return None
            at = found.start()
            byte = buffer[at]
            if byte == _BACKSLASH:
                if at + 1 == len(buffer):
                    self._at = at
                    return None
                at += 1
            elif byte == _QUOTE:
                self._in_string = not self._in_string
            else:
                self._depth += 1 if byte in _OPENING else -1
            self._at = at + 1
            if not self._depth:
                whole = bytes(buffer[: self._at])
                del buffer[: self._at]
                self._at = 0
                return whole

    def _begin(self) -> bool:
        """Go past the space before an object, and its bracket."""
        found = _NOT_SPACE.search(self._buffer)
        if found is None:
            self._buffer.clear()
            return False
        del self._buffer[: found.start()]
        if self._buffer[0] != _OPENING[0]:
            raise FormError("a JSON object is expected")
        self._depth, self._at = 1, 1
        return True

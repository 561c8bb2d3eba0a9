"""Parts of a session that a file does not have: whatever is asked of them is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from kvorum_tui.model.rpc_log import RpcMoment
from kvorum_tui.session import ReadOnly, SessionError


class _Refusal:
    """The answer of a call that can be awaited or iterated over: an error."""

    def __init__(self, error: SessionError) -> None:
        self._error = error

    def __await__(self) -> Any:
        raise self._error
        yield  # An awaitable's method is a generator.

    def __aiter__(self) -> _Refusal:
        return self

    async def __anext__(self) -> NoReturn:
        raise self._error

    async def aclose(self) -> None:
        """As a generator."""


class Refused:
    """Any part: every method of it is refused with ``why``."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Callable[..., _Refusal]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: _Refusal(ReadOnly(self._why))


class NoRpcs:
    """No calls are made."""

    def __init__(self, why: str) -> None:
        self._why = why
        self.flags: tuple[str, ...] = ()

    def listen(self, told: Callable[[RpcMoment], None]) -> Callable[[], None]:
        """Nothing will ever be told."""
        return lambda: None

    async def again(self, endpoint: str, path: str, request: bytes) -> bytes:
        """There is nobody to ask."""
        raise ReadOnly(self._why, rpc=path)

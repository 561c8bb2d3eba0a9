"""How many calls of functions a request costs a server: what seconds cannot say on a busy machine.

A server in this process answers a client in this process, one request after the other. Counted is
every call into code of ours or of the libraries under it, and every call of C from there, on the
event loop's thread; not the event loop itself, not the tests, and not the threads of disk and
history, whose number of turns depends on how fast they are. A tick, or the history's report that
comes later, makes some requests dearer; so what counts is the cheapest of many, which is the same
on any machine.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_TESTS = str(Path(__file__).resolve().parent.parent)
_FOREIGN = ("/asyncio/", "/selectors.py", "/threading.py", "/uvloop/", "<frozen", _TESTS)


class CallCount:
    """Counts while it is entered."""

    def __init__(self) -> None:
        self.calls = 0
        self.by_function: Counter[str] = Counter()
        self._counted: dict[CodeType, bool] = {}

    def __enter__(self) -> CallCount:
        self.calls = 0
        self.by_function.clear()
        # A collection in between would call finalizers of whatever died before.
        gc.disable()
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "c_call"):
            return
        code = frame.f_code
        counted = self._counted.get(code)
        if counted is None:
            where = code.co_filename
            counted = self._counted[code] = not any(part in where for part in _FOREIGN)
        if counted:
            self.calls += 1
            self.by_function[
                code.co_qualname if event == "call" else f"C {argument.__qualname__}"
            ] += 1


Ask = Callable[[], Awaitable[object]]


async def fewest_calls(ask: Ask, rest: Ask, enough: int, tries: int) -> Counter[str]:
    """The calls of the cheapest of so many requests, by function; no more are made once one is as
    cheap as ``enough``. ``rest`` returns when nothing of the request before is left to be done.
    """
    counter, fewest = CallCount(), sys.maxsize
    cheapest: Counter[str] = Counter()
    for _ in range(tries):
        await rest()
        with counter:
            await ask()
        if counter.calls < fewest:
            fewest, cheapest = counter.calls, counter.by_function.copy()
        if fewest <= enough:
            break
    return cheapest

"""The smallest script that still shows a difference."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from compat.differential.allowed import Case
from compat.differential.runner import Runner
from compat.differential.servers import Pair, pair_of
from compat.differential.step import Step
from compat.real_etcd import Release

ATTEMPTS_MAX = 300  # Fresh pairs; some seconds each.


def kind_of(case: Case) -> tuple[str, str]:
    """Equal for two differences that are taken for the same one."""
    return case.step.kind, re.sub(r"\d+", "N", case.path)


def replay(runner: Runner, steps: list[Step]) -> tuple[int, list[Case]] | None:
    """Perform a script; the number of the first step that shows differences, and these."""
    for number, step in enumerate([*steps, Step("sync", {})]):
        if cases := runner.perform(step):
            return number, cases
    return None


class Stock:
    """Fresh pairs: the next one starts while one is used."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._next = self._order()

    def __enter__(self) -> Stock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dispose(*self._next.result())
        self._pool.shutdown()

    def _order(
        self,
    ) -> Future[tuple[AbstractContextManager[Any], AbstractContextManager[Pair], Pair]]:
        def make() -> tuple[AbstractContextManager[Any], AbstractContextManager[Pair], Pair]:
            directory = tempfile.TemporaryDirectory()
            starting = pair_of(self._release, Path(directory.name))
            return directory, starting, starting.__enter__()

        return self._pool.submit(make)

    @staticmethod
    def _dispose(
        directory: AbstractContextManager[Any], starting: AbstractContextManager[Pair], pair: Pair
    ) -> None:
        starting.__exit__(None, None, None)
        directory.__exit__(None, None, None)

    def replay(self, name: str, steps: list[Step]) -> tuple[int, list[Case]] | None:
        """Perform a script on a fresh pair."""
        taken = self._next.result()
        self._next = self._order()
        runner = Runner(taken[2], name)
        try:
            return replay(runner, steps)
        finally:
            runner.close()
            self._dispose(*taken)


def shrink(
    steps: list[Step], shows: Callable[[list[Step]], bool], say: Callable[[str], None]
) -> list[Step]:
    """A script, of which nothing can be left out, that still ``shows`` what ``steps`` show."""
    left = ATTEMPTS_MAX

    def still(candidate: list[Step]) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and shows(candidate)

    size = max(1, len(steps) // 2)
    while True:
        at = 0
        while at < len(steps):
            candidate = steps[:at] + steps[at + size :]
            if still(candidate):
                steps = candidate
                say(f"{len(steps)} steps")
            else:
                at += size
        if size == 1:
            break
        size = max(1, size // 2)
    at = 0
    while at < len(steps):
        for request in _smaller(steps[at].request):
            candidate = [*steps[:at], steps[at]._replace(request=request), *steps[at + 1 :]]
            if still(candidate):
                steps = candidate
                say(f"smaller: {steps[at].kind}")
                break
        else:
            at += 1
    return steps


def _smaller(value: Any) -> Iterator[Any]:
    """The value with one thing less, the big ones first."""
    if isinstance(value, dict):
        for name in value:
            yield {other: each for other, each in value.items() if other != name}
        for name, each in value.items():
            yield from ({**value, name: less} for less in _smaller(each))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield from ([*value[:at], less, *value[at + 1 :]] for less in _smaller(each))

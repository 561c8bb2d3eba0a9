"""How a node dies: at once, with a trace, with an exit code that says of what. Never half alive.

A task that ended by surprise, a replica that raised, a disk that failed: going on would leave a
process that looks well and is not. The supervisor restarts it; what it promised is on disk.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, ParamSpec

log = logging.getLogger(__name__)

P = ParamSpec("P")

_CANCEL_AGAIN_S = 0.5


class Exit(IntEnum):
    """Exit codes of a node beyond 0 (stopped) and 1, 2 (configuration)."""

    # The data on disk cannot be used; the log names the file.
    BAD_DATA = 65
    # An exception nobody foresaw.
    UNFORESEEN = 70
    # The disk refused a write or an fsync.
    DISK = 74
    # The replica found a state that must not be lived on with.
    FATAL = 78


class FatalError(Exception):
    """A reason to die that was foreseen, with its exit code."""

    def __init__(self, reason: str, code: Exit) -> None:
        super().__init__(reason)
        self.code = code


def end_process(error: BaseException, code: int) -> None:
    """Leave now, without running anything else: no finalizer may write what is not trusted."""
    logging.shutdown()
    os._exit(code)


class Crash:
    """Watches tasks and callbacks; the first surprise ends the process.

    Args:
        end: called once with the error and the exit code. Tests give their own.
    """

    def __init__(self, end: Callable[[BaseException, int], None] = end_process) -> None:
        self._end = end
        self.error: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def die(self, error: BaseException) -> None:
        """The end, for this reason. A second reason changes nothing."""
        if self.error is not None:
            return
        self.error = error
        code = error.code if isinstance(error, FatalError) else Exit.UNFORESEEN
        log.critical(
            "the node ends",
            exc_info=(type(error), error, error.__traceback__),
            extra={"exit-code": int(code)},
        )
        self._end(error, int(code))

    def guard(self, callback: Callable[P, None]) -> Callable[P, None]:
        """The callback, whose exceptions end the process."""

        @functools.wraps(callback)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self.die(error)

        return guarded

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task whose exceptions end the process."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.die(error)

    async def cancel_all(self) -> None:
        """Cancel every task spawned here and wait until they are gone."""
        while tasks := tuple(self._tasks):
            for task in tasks:
                task.cancel()
            # A cancellation can be lost where a library turns it into an error of its own.
            await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)

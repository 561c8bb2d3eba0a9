"""Work that goes on beside something else, while it is entered."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Self


class Beside:
    """A context in which :meth:`run` goes on as a task of its own; leaving it ends the task."""

    _task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run(self) -> None:
        """What is done beside; the task ends when it returns."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._task is not None:
            self._task.cancel()

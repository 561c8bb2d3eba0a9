"""People's SQL on a running node: a few at a time, on threads of their own, never on the loop."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from kvorum.history.query import Query, QueryRefused, QueryResult, QueryRunner
from kvorum.limits import QUERIES_RUNNING, QUERIES_WAITING
from kvorum.server.historydesk import HistoryDesk


class _Source:
    """The history in use at the moment of asking."""

    def __init__(self, history: HistoryDesk) -> None:
        self._history = history

    def settle(self) -> Future[Hashable]:
        return self._history.ask_writer(lambda writer: writer.settle())

    def copy_to(self, path: Path) -> Future[Path]:
        return self._history.ask_writer(lambda writer: writer.copy_to(path))


class QueryDesk:
    """Runs queries against the node's own history; copies for them live in ``directory``.

    The directory and the threads are made when somebody asks for the first time; what an earlier
    process left there is removed at once.
    """

    def __init__(self, history: HistoryDesk, directory: Path) -> None:
        self._source = _Source(history)
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        self._runner: QueryRunner | None = None
        self._threads = ThreadPoolExecutor(QUERIES_RUNNING, "query")
        self._open: set[Query] = set()
        self._closed = False

    async def run(self, query: Query) -> QueryResult:
        """Run it; a caller that goes away takes its query with it.

        Raises :class:`QueryRefused`, QueryStopped when the node ends meanwhile, and HistoryFailed
        when the history is dead.
        """
        if self._closed:
            raise QueryRefused("the node is ending")
        if len(self._open) >= QUERIES_RUNNING + QUERIES_WAITING:
            raise QueryRefused(f"{len(self._open)} queries are running or waiting; try again later")
        if self._runner is None:
            self._runner = QueryRunner(self._source, self._directory)
        self._open.add(query)
        try:
            return await asyncio.wrap_future(self._threads.submit(self._runner.run, query))
        finally:
            query.cancel()
            self._open.discard(query)

    def cancel_all(self) -> None:
        """End every query; new ones are refused."""
        self._closed = True
        for query in self._open:
            query.cancel()

    def close(self) -> None:
        """Wait for the threads and remove the copies. Blocks."""
        self._threads.shutdown(cancel_futures=True)
        if self._runner is not None:
            self._runner.close()

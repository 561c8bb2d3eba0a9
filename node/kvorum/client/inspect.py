"""What a kvorum member tells beyond etcd's API: statistics, raft log, history, SQL.

Answers are the messages of ``kvorum_proto.kvorum.v1``. A member that does not offer the service
(a real etcd) raises ``Unsupported``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from kvorum_proto.kvorum import v1

from kvorum.client.caller import Caller
from kvorum.client.methods import method
from kvorum.client.types import Key, key_range

_STATISTICS = method("/kvorum.v1.Inspect/Statistics")
_LOG = method("/kvorum.v1.Inspect/Log")
_HISTORY = method("/kvorum.v1.Inspect/History")
_QUERY = method("/kvorum.v1.Inspect/Query")


class Inspect:
    """The inspection calls of one member. Each raises a
    :class:`kvorum.client.errors.ClientError`.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def statistics(
        self, *, interval_ms: int = 0, log_tail: int = 0
    ) -> AsyncGenerator[v1.NodeStatistics, None]:
        """Statistics now and then at this interval (0: the node's own), with the newest log
        entries.
        """
        request = v1.StatisticsRequest(interval_ms=interval_ms, log_tail=log_tail)
        async for report in self._caller.replies(
            _STATISTICS, request, v1.NodeStatistics, timeout_s=None
        ):
            yield report

    async def statistics_once(self, *, log_tail: int = 0) -> v1.NodeStatistics:
        """Statistics now."""
        request = v1.StatisticsRequest(once=True, log_tail=log_tail)
        found = v1.NodeStatistics()
        async for report in self._caller.replies(
            _STATISTICS, request, v1.NodeStatistics, timeout_s=self._caller.pool.timeout_s
        ):
            found = report
        return found

    async def log(self, from_index: int = 0, *, limit: int = 0) -> v1.LogResponse:
        """A stretch of the raft log, newest last."""
        request = v1.LogRequest(from_index=from_index, limit=limit)
        return await self._caller.call(_LOG, request, v1.LogResponse)

    async def history(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_revision: int = 0,
        to_revision: int = 0,
        limit: int = 0,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[v1.HistoryBatch, None]:
        """Every kept revision of a key or range, oldest first, deletions included."""
        start, end = key_range(key, range_end, prefix=prefix)
        request = v1.HistoryRequest(
            key=start,
            range_end=end,
            from_revision=from_revision,
            to_revision=to_revision,
            limit=limit,
        )
        async for batch in self._caller.replies(
            _HISTORY, request, v1.HistoryBatch, timeout_s=timeout_s
        ):
            yield batch

    async def query(
        self, sql: str, *, max_rows: int = 0, timeout_ms: int = 0, revision: int = 0
    ) -> AsyncGenerator[v1.QueryRows, None]:
        """Read-only SQL over the member's revision history; the bounds 0 take the node's own.
        ``revision``: what the view ``keys`` shows, 0 for now.
        """
        request = v1.QueryRequest(
            sql=sql, max_rows=max_rows, timeout_ms=timeout_ms, revision=revision
        )
        async for rows in self._caller.replies(_QUERY, request, v1.QueryRows, timeout_s=None):
            yield rows

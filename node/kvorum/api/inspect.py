"""kvorum.v1.Inspect: what a node tells about itself beyond etcd's API.

History is answered from this member's own file, a page at a time and without a quorum: it goes as
far as ``NodeStatistics.history_revision`` says, some milliseconds behind what is applied.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto.kvorum import v1

from kvorum.api.guards import ServerStream, Who
from kvorum.api.rules import require
from kvorum.errors import Condition, KvorumError
from kvorum.history.database import HistoryFailed
from kvorum.history.pages import START, Question
from kvorum.history.query import Given, Query, QueryRefused, QueryStopped, asks_for
from kvorum.history.reader import HistoryBusy, HistoryInterrupted
from kvorum.history.rows import Row
from kvorum.history.streaming import parts
from kvorum.limits import (
    INSPECT_HISTORY_BYTES,
    INSPECT_HISTORY_ROWS,
    INSPECT_INTERVAL_MS_MIN,
    INSPECT_LOG_TAIL_MAX,
    QUERY_BYTES,
    QUERY_BYTES_TOLD,
    QUERY_LEASES,
    QUERY_ROWS,
    QUERY_TIMEOUT_S,
)
from kvorum.machine import commands
from kvorum.raft import membership
from kvorum.raft.types import Entry, EntryKind

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

_DEFAULT_INTERVAL_MS = 500
_KEY_SHOWN_BYTES = 48
_CLOCKS_S = 1.0  # How long a query waits for the leader's word on leases.


class Inspect:
    """Statistics at a bounded rate, stretches of the raft log, kept revisions of keys, SQL."""

    service = "kvorum.v1.Inspect"

    def __init__(self, node: Node) -> None:
        self._node = node
        self.unary = {"Log": self.log}
        self.streams = {
            "Statistics": self.statistics,
            "History": self.history,
            "Query": self.query,
        }

    async def statistics(self, stream: ServerStream, who: Who) -> None:
        """A report now and then until the client leaves, or may not hear more.

        The tail of the log names keys: with auth on it is left out for who is not root.
        """
        request = await stream.recv_message()
        if request is None:
            return
        interval_ms = max(INSPECT_INTERVAL_MS_MIN, request.interval_ms or _DEFAULT_INTERVAL_MS)
        tail = min(request.log_tail, INSPECT_LOG_TAIL_MAX)
        while True:
            auth, caller = self._node.machine.auth, who()
            require(auth.check_user(caller))
            shown = tail if auth.check_root(caller) is None else 0
            await stream.send_message(self._report(shown))
            if request.once:
                return
            await asyncio.sleep(interval_ms / 1000)

    def _report(self, tail: int) -> v1.NodeStatistics:
        report = self._node.statistics().to_message()
        if tail:
            raft = self._node.raft
            last = raft.log.last_index
            first = max(raft.log.first_index, last - tail + 1)
            report.log = summaries(raft.entries_slice(first, last + 1))
        return report

    async def log(self, request: v1.LogRequest, who: Who) -> v1.LogResponse:
        """A stretch of the log that is still in memory."""
        raft = self._node.raft
        log = raft.log
        first = max(log.first_index, request.from_index)
        limit = min(request.limit or INSPECT_LOG_TAIL_MAX, INSPECT_LOG_TAIL_MAX)
        end = min(log.last_index + 1, first + limit)
        return v1.LogResponse(
            first_index=log.first_index,
            last_index=log.last_index,
            commit=log.commit,
            entries=summaries(raft.entries_slice(first, end)) if first < end else [],
        )

    async def history(self, stream: ServerStream, who: Who) -> None:
        """Every kept revision of a key or range, oldest first, in bounded batches; at least one
        batch, which says what is compacted.
        """
        request = await stream.recv_message()
        if request is None:
            return
        if not request.key:
            raise KvorumError(Condition.KEY_NOT_PROVIDED)
        question = Question(
            request.key, request.range_end, request.from_revision, request.to_revision
        )
        left, after, more = request.limit, START, True
        while more:
            rows = min(left, INSPECT_HISTORY_ROWS) if request.limit else INSPECT_HISTORY_ROWS
            reading = self._node.history.read_page(question, after, rows, INSPECT_HISTORY_BYTES)
            try:
                page = await asyncio.wrap_future(reading)
            except HistoryBusy:
                raise KvorumError(Condition.TOO_MANY_REQUESTS) from None
            except HistoryInterrupted:
                raise KvorumError(Condition.TIMEOUT) from None
            # A long history is a long call.
            require(self._node.machine.auth.check_root(who()))
            await stream.send_message(
                v1.HistoryBatch(
                    compact_revision=max(0, page.compact_revision),
                    revisions=[_revision(row) for row in page.rows],
                )
            )
            left -= len(page.rows)
            more = page.more and (left > 0 or not request.limit)
            if more:
                after = (page.rows[-1].revision, page.rows[-1].sub)

    async def query(self, stream: ServerStream, who: Who) -> None:
        """Read-only SQL over this member's history, of all that it has applied; see
        :mod:`kvorum.history.query` for what may run and how much.
        """
        request = await stream.recv_message()
        if request is None:
            return
        query = Query(
            request.sql,
            max_rows=request.max_rows or QUERY_ROWS,
            timeout_s=request.timeout_ms / 1000 if request.timeout_ms else QUERY_TIMEOUT_S,
            max_bytes=QUERY_BYTES_TOLD if request.max_rows > QUERY_ROWS else QUERY_BYTES,
            revision=max(0, request.revision),
            given=await self._given(request.sql),
        )
        first = True
        try:
            async with aclosing(parts(query, self._node.queries.run)) as answer:
                async for part in answer:
                    # A query is a long call.
                    require(self._node.machine.auth.check_root(who()))
                    columns = [v1.QueryColumn(name=name, type=kind) for name, kind in part.columns]
                    await stream.send_message(
                        v1.QueryRows(
                            columns=columns if first else [],
                            rows_json=part.rows_json,
                            truncated=part.truncated,
                        )
                    )
                    first = False
        except QueryRefused as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None
        except (QueryStopped, HistoryFailed) as error:
            raise GRPCError(Status.UNAVAILABLE, str(error)) from None

    async def _given(self, sql: str) -> Given:
        """Leases and members, where the query may look at them. Without a leader nobody knows how
        long a lease has left.
        """
        node = self._node
        leases: list[tuple[int, int | None, int | None]] = []
        if asks_for(sql, "leases"):
            ids = [lease.id for lease in islice(node.machine.leases, QUERY_LEASES)]
            left: dict[int, int] = {}
            try:
                done = await node.lease_ask(ids, renew=False, timeout_s=_CLOCKS_S)
                assert isinstance(done.value, tuple)
                left = {clock.id: clock.remaining_s for clock in done.value}
            except KvorumError:
                pass
            for id_ in ids:
                lease = node.machine.leases.get(id_)
                if lease is not None:
                    leases.append((id_, lease.ttl_s, left.get(id_)))
        members = []
        if asks_for(sql, "members"):
            members = [
                (m.id, m.name, m.client_urls, m.peer_urls, m.is_learner) for m in node.members()
            ]
        return Given(leases, members)


def _revision(row: Row) -> v1.HistoryRevision:
    return v1.HistoryRevision(
        revision=row.revision,
        sub=row.sub,
        type=row.type,
        key=row.key,
        value=row.value,
        create_revision=row.create_revision,
        version=row.version,
        lease=row.lease,
        at_ms=row.at_ms,
        member=row.member,
        user=row.user_name,
    )


def summaries(entries: tuple[Entry, ...] | list[Entry]) -> list[v1.LogEntry]:
    """Entries in words; keys are shown, values are not: a log view must not spill secrets."""
    return [
        v1.LogEntry(
            index=entry.index, term=entry.term, summary=summary(entry), bytes=len(entry.data)
        )
        for entry in entries
    ]


def summary(entry: Entry) -> str:
    """One entry in a few words."""
    if not entry.data:
        return "empty"
    try:
        if entry.kind == EntryKind.CONF_CHANGE:
            changes = membership.decode(entry.data).changes
            return "config " + ", ".join(f"{op.name.lower()} {member:x}" for op, member in changes)
        return _words(commands.decode(entry.data).command)
    except ValueError as error:
        return f"unreadable: {error}"


def _words(command: commands.Command) -> str:
    if isinstance(command, commands.Put):
        return f"put {_shown(command.key)}"
    if isinstance(command, commands.DeleteRange):
        end = f"..{_shown(command.range_end)}" if command.range_end else ""
        return f"delete {_shown(command.key)}{end}"
    if isinstance(command, commands.Txn):
        size = max(len(command.success), len(command.failure))
        return f"txn if {len(command.compare)} then {size} ops"
    if isinstance(command, commands.LeaseGrant):
        return f"lease grant {command.id & (1 << 64) - 1:x} {command.ttl_s}s"
    if isinstance(command, commands.LeaseRevoke):
        return f"lease revoke {command.id & (1 << 64) - 1:x}"
    if isinstance(command, commands.LeaseExpire):
        return "lease expire " + ",".join(f"{lease & (1 << 64) - 1:x}" for lease in command.ids)
    if isinstance(command, commands.Compact):
        return f"compact {command.revision}"
    if isinstance(command, commands.MemberPublish):
        return f"publish {command.name}"
    return type(command).__name__


def _shown(key: bytes) -> str:
    text = key[:_KEY_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return text + ("…" if len(key) > _KEY_SHOWN_BYTES else "")

"""etcdserverpb.KV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_proto import etcdserverpb as pb

from kvorum.api import translate
from kvorum.api.guards import Who
from kvorum.api.headers import Headers
from kvorum.api.rules import read_as, require
from kvorum.errors import KvorumError
from kvorum.machine import commands
from kvorum.machine.auth import Caller
from kvorum.machine.checks import CommandLimits, validate
from kvorum.machine.operations import DeleteRange, Put, Range, Txn
from kvorum.machine.results import CompactResult, DeleteResult, PutResult, RangeResult, TxnResult
from kvorum.machine.txn import all_serializable, is_read_only
from kvorum.replica.requests import Done

if TYPE_CHECKING:
    from kvorum.server.runtime import Node


class KV:
    """Keys: read, write, delete, transact, compact (semantics page, sections 1 to 5)."""

    service = "etcdserverpb.KV"

    def __init__(self, node: Node, headers: Headers) -> None:
        self._node = node
        self._headers = headers
        self.unary = {
            "Range": self.range,
            "Put": self.put,
            "DeleteRange": self.delete_range,
            "Txn": self.txn,
            "Compact": self.compact,
        }

    async def range(self, request: pb.RangeRequest, who: Who) -> bytes:
        """Keys of a range, now or at a kept revision."""
        query = translate.range_query(request)
        done = await self._read(query, who, serializable=request.serializable)
        result = done.value
        assert isinstance(result, RangeResult)
        return self._headers.field(result.revision, done.stamp.term) + translate.range_body(result)

    async def put(self, request: pb.PutRequest, who: Who) -> bytes:
        """Write a key."""
        command = translate.put_command(request)
        done = await self._node.propose(command, self._asker(command, who))
        result = done.value
        assert isinstance(result, PutResult)
        return self._headers.field(result.revision, done.stamp.term) + translate.put_body(result)

    async def delete_range(self, request: pb.DeleteRangeRequest, who: Who) -> bytes:
        """Delete the keys of a range in one revision."""
        command = translate.delete_command(request)
        done = await self._node.propose(command, self._asker(command, who))
        result = done.value
        assert isinstance(result, DeleteResult)
        return self._headers.field(result.revision, done.stamp.term) + translate.delete_body(result)

    async def txn(self, request: pb.TxnRequest, who: Who) -> bytes:
        """Compare, then do one branch, in one revision; without writes it is a read."""
        command = translate.txn_command(request)
        if is_read_only(command):
            # A transaction without any operation counts as "all serializable" in etcd, which then
            # evaluates its compares on possibly stale state; here its compares are worth a
            # ReadIndex (semantics page, section 4).
            serializable = all_serializable(command) and bool(command.success or command.failure)
            done = await self._read(command, who, serializable=serializable)
        else:
            done = await self._node.propose(command, self._asker(command, who))
        result = done.value
        assert isinstance(result, TxnResult)
        return self._headers.field(result.revision, done.stamp.term) + translate.txn_body(result)

    async def compact(self, request: pb.CompactionRequest, who: Who) -> bytes:
        """Forget what only older revisions can see."""
        done = await self._node.propose(commands.Compact(request.revision, request.physical), who())
        assert isinstance(done.value, CompactResult)
        return self._headers.field(done.stamp.revision, done.stamp.term)

    # Whoever asks: a request that is wrong by itself is told that first, as by etcd (semantics
    # page, section 4). Writes and linearizable reads find it out on their way, but for a token that
    # means nobody.

    def _check(self, command: Put | DeleteRange | Range | Txn) -> None:
        require(validate(command, CommandLimits(self._node.config.max_txn_ops)))

    def _asker(self, command: Put | DeleteRange | Txn, who: Who) -> Caller:
        """Who asks. Raises KvorumError for a wrong token or, before that, a wrong command."""
        try:
            return who()
        except KvorumError:
            self._check(command)
            raise

    async def _read(self, query: Range | Txn, who: Who, *, serializable: bool) -> Done:
        if serializable:
            self._check(query)
        return await read_as(self._node, query, who, linearizable=not serializable)

"""The builder of transactions, and their answers.

::

    done = await (
        client.txn()
        .if_(Key("a").mod_revision == 3, Key("b").exists())
        .then(Put("a", "new"), Delete("b"))
        .else_(Get("a"))
        .commit()
    )
    if done.succeeded: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from kvorum_proto import etcdserverpb as pb

from kvorum.client.ops import Compare, Op, Txn
from kvorum.client.types import (
    DeleteResult,
    Header,
    PutResult,
    RangeResult,
    TxnResult,
    delete_of,
    header_of,
    put_of,
    range_of,
)

Commit = Callable[[Txn], Awaitable[TxnResult]]


class TxnBuilder:
    """Collects conditions and operations; :meth:`commit` sends them, :attr:`op` nests them in
    another transaction.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._compares: list[Compare] = []
        self._then: list[Op] = []
        self._else: list[Op] = []

    def if_(self, *compares: Compare) -> Self:
        """Conditions; all of them have to hold. Without any the first branch runs."""
        for compare in compares:
            if not isinstance(compare, Compare):
                raise TypeError(f"a condition is a Compare like Key('a').version == 1: {compare!r}")
        self._compares += compares
        return self

    def then(self, *ops: Op | TxnBuilder) -> Self:
        """Operations for when every condition holds."""
        self._then += [_op(op) for op in ops]
        return self

    def else_(self, *ops: Op | TxnBuilder) -> Self:
        """Operations for when a condition does not hold."""
        self._else += [_op(op) for op in ops]
        return self

    @property
    def op(self) -> Txn:
        """What has been collected, as a value."""
        return Txn(tuple(self._compares), tuple(self._then), tuple(self._else))

    async def commit(self) -> TxnResult:
        """Send it. Raises a :class:`kvorum.client.errors.ClientError`."""
        return await self._commit(self.op)


def _op(op: Op | TxnBuilder) -> Op:
    return op.op if isinstance(op, TxnBuilder) else op


def txn_of(reply: pb.TxnResponse) -> TxnResult:
    """A TxnResponse of the wire as ours."""
    responses = tuple(_response(op) for op in reply.responses)
    return TxnResult(header_of(reply.header), reply.succeeded, responses)


def _response(op: pb.ResponseOp) -> RangeResult | PutResult | DeleteResult | TxnResult:
    if op.response_range is not None:
        return range_of(op.response_range)
    if op.response_put is not None:
        return put_of(op.response_put)
    if op.response_delete_range is not None:
        return delete_of(op.response_delete_range)
    if op.response_txn is not None:
        return txn_of(op.response_txn)
    return RangeResult(Header(), (), False, 0)

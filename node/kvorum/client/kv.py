"""Reading and writing keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypedDict, Unpack

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.errors import ClientError
from kvorum.client.methods import method
from kvorum.client.ops import Delete, Get, Put, SortOrder, SortTarget, Txn
from kvorum.client.txn import TxnBuilder, txn_of
from kvorum.client.types import (
    DeleteResult,
    GetResult,
    Header,
    Key,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
    delete_of,
    header_of,
    key_range,
    put_of,
    range_of,
)
from kvorum.errors import Code
from kvorum.limits import CLIENT_PAGE_BYTES, CLIENT_PAGE_KEYS

_RANGE = method("/etcdserverpb.KV/Range")
_PUT = method("/etcdserverpb.KV/Put")
_DELETE = method("/etcdserverpb.KV/DeleteRange")
_TXN = method("/etcdserverpb.KV/Txn")
_COMPACT = method("/etcdserverpb.KV/Compact")


class RangeOptions(TypedDict, total=False):
    """What a read of a range may be asked for beyond the keys themselves."""

    revision: int
    limit: int
    sort_by: SortTarget
    sort_order: SortOrder
    serializable: bool
    keys_only: bool
    count_only: bool
    min_mod_revision: int
    max_mod_revision: int
    min_create_revision: int
    max_create_revision: int


class KV:
    """Keys. Reads are linearizable unless ``serializable`` asks one member for what it has.

    Every method raises a :class:`kvorum.client.errors.ClientError`; writes of unknown fate raise
    ``UnknownOutcome``. ``timeout_s`` replaces the client's own.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(
        self,
        key: Key,
        *,
        revision: int = 0,
        serializable: bool = False,
        timeout_s: float | None = None,
    ) -> GetResult:
        """One key, now or as it was at ``revision``."""
        found = await self._range(
            Get(key, revision=revision, serializable=serializable), timeout_s=timeout_s
        )
        return GetResult(found.header, found.kvs[0] if found.kvs else None)

    async def range(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_key: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> RangeResult:
        """Some keys, in one answer. For ranges that may be large use :meth:`pages` or
        :meth:`scan`.
        """
        get = Get(key, range_end, prefix, from_key, **options)
        return await self._range(get, timeout_s=timeout_s)

    async def get_prefix(
        self, prefix: Key, *, timeout_s: float | None = None, **options: Unpack[RangeOptions]
    ) -> RangeResult:
        """Every key with this prefix, as of one revision, read by pages and put together."""
        kvs: list[KeyValue] = []
        header, count = Header(), 0
        async for page in self.pages(prefix, prefix=True, timeout_s=timeout_s, **options):
            if not kvs:
                header, count = page.header, page.count
            kvs += page.kvs
        return RangeResult(header, tuple(kvs), False, count)

    async def pages(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_key: bool = False,
        page_size: int = CLIENT_PAGE_KEYS,
        timeout_s: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> AsyncIterator[RangeResult]:
        """A range by pages in key order, all at the revision of the first one.

        A page holds at most ``page_size`` keys, fewer when the server finds the answer too large or
        pages come out above a megabyte. ``count`` of a page counts from that page's first key to
        the end. A ``limit`` bounds the keys of all pages; with a sort order the range comes in one
        page. Raises ``CompactedError`` when the revision is compacted away in between.
        """
        start, end = key_range(key, range_end, prefix=prefix, from_key=from_key)
        get = Get(start, end or None, **options)
        if not end or options.get("count_only") or options.get("sort_order", "none") != "none":
            yield await self._range(get, timeout_s=timeout_s)
            return
        left = options.get("limit") or None
        size = max(1, page_size)
        while True:
            asked = size if left is None else min(size, left)
            try:
                page = await self._range(replace(get, limit=asked), timeout_s=timeout_s)
            except ClientError as error:
                if error.code is not Code.RESOURCE_EXHAUSTED or asked == 1:
                    raise
                size = max(1, asked // 2)
                continue
            if left is not None:
                left -= len(page.kvs)
            yield page
            if not page.more or not page.kvs or left == 0:
                return
            weight = sum(len(kv.key) + len(kv.value) for kv in page.kvs)
            if weight > CLIENT_PAGE_BYTES:
                size = max(1, len(page.kvs) * CLIENT_PAGE_BYTES // weight)
            revision = get.revision if get.revision > 0 else page.header.revision
            get = replace(get, key=page.kvs[-1].key + b"\0", revision=revision)

    async def scan(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_key: bool = False,
        page_size: int = CLIENT_PAGE_KEYS,
        **options: Unpack[RangeOptions],
    ) -> AsyncIterator[KeyValue]:
        """The keys of :meth:`pages`, one by one."""
        async for page in self.pages(
            key, range_end, prefix=prefix, from_key=from_key, page_size=page_size, **options
        ):
            for kv in page.kvs:
                yield kv

    async def put(
        self,
        key: Key,
        value: Key = b"",
        *,
        lease: int = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
        timeout_s: float | None = None,
    ) -> PutResult:
        """Write one key."""
        put = Put(key, value, lease, prev_kv, ignore_value, ignore_lease)
        reply = await self._caller.call(_PUT, put.message(), pb.PutResponse, timeout_s=timeout_s)
        return put_of(reply)

    async def delete(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_key: bool = False,
        prev_kv: bool = False,
        timeout_s: float | None = None,
    ) -> DeleteResult:
        """Delete one key or a range; deleting nothing is no error."""
        request = Delete(key, range_end, prefix, from_key, prev_kv).message()
        reply = await self._caller.call(
            _DELETE, request, pb.DeleteRangeResponse, timeout_s=timeout_s
        )
        return delete_of(reply)

    def txn(self) -> TxnBuilder:
        """A transaction to be built: see :mod:`kvorum.client.txn`."""
        return TxnBuilder(self.commit)

    async def commit(self, txn: Txn, *, timeout_s: float | None = None) -> TxnResult:
        """Carry out a transaction that is a value already."""
        reply = await self._caller.call(_TXN, txn.message(), pb.TxnResponse, timeout_s=timeout_s)
        return txn_of(reply)

    async def compact(
        self, revision: int, *, physical: bool = False, timeout_s: float | None = None
    ) -> Header:
        """Forget what happened before ``revision``; with ``physical`` return only when it is gone
        from disk.
        """
        request = pb.CompactionRequest(revision=revision, physical=physical)
        reply = await self._caller.call(
            _COMPACT, request, pb.CompactionResponse, timeout_s=timeout_s
        )
        return header_of(reply.header)

    async def _range(self, get: Get, *, timeout_s: float | None) -> RangeResult:
        reply = await self._caller.call(
            _RANGE, get.message(), pb.RangeResponse, timeout_s=timeout_s
        )
        return range_of(reply)

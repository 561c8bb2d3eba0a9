"""Keys, ranges and transactions on live clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kvorum.client import (
    Client,
    ClientError,
    CompactedError,
    Delete,
    FutureRevisionError,
    Get,
    InvalidRequestError,
    Key,
    KeyValue,
    LeaseNotFoundError,
    Put,
    RangeResult,
    Txn,
    TxnResult,
)
from kvorum.errors import Condition

Live = Callable[..., None]


def test_a_value_comes_back_byte_for_byte(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        data = bytes(range(256)) * 10
        put = await client.put(prefix.encode() + b"\xff\x00", data)
        got = await client.get(prefix.encode() + b"\xff\x00")
        assert got
        assert got.value == data
        assert got.kv is not None
        assert got.kv.mod_revision == got.kv.create_revision == put.header.revision
        assert got.kv.version == 1
        assert got.header.cluster_id == put.header.cluster_id != 0
        assert not await client.get(prefix + "missing")

    live(scenario)


def test_put_options(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        key = prefix + "k"
        assert (await client.put(key, "1", prev_kv=True)).prev_kv is None
        before = (await client.put(key, "2", prev_kv=True)).prev_kv
        assert before is not None
        assert before.value == b"1"
        lease = await client.leases.grant(60)
        await client.put(key, lease=lease.id, ignore_value=True)
        kv = (await client.get(key)).kv
        assert kv is not None
        assert (kv.value, kv.lease) == (b"2", lease.id)
        await client.put(key, "3", ignore_lease=True)
        kv = (await client.get(key)).kv
        assert kv is not None
        assert (kv.value, kv.lease) == (b"3", lease.id)
        with pytest.raises(LeaseNotFoundError):
            await client.put(key, "4", lease=12345)
        with pytest.raises(InvalidRequestError) as raised:
            await client.put(prefix + "none", ignore_value=True)
        assert raised.value.condition is Condition.KEY_NOT_FOUND
        await client.leases.revoke(lease.id)
        assert not await client.get(key)

    live(scenario)


def test_ranges(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        for name, value in (("a", "3"), ("b", "1"), ("c", "2")):
            await client.put(prefix + name, value)
        await client.put(prefix + "a", "9")

        async def names(*where: Any, **options: Any) -> str:
            found = await client.range(*where, **options)
            return "".join(kv.key.decode()[-1] for kv in found.kvs)

        assert await names(prefix, prefix=True) == "abc"
        assert await names(prefix + "a", prefix + "c") == "ab"
        assert await names(prefix, prefix=True, sort_order="descend") == "cba"
        by_value = {"sort_by": "value", "sort_order": "ascend"}
        assert await names(prefix, prefix=True, **by_value) == "bca"
        by_mod = {"sort_by": "mod", "sort_order": "descend", "limit": 1}
        assert await names(prefix, prefix=True, **by_mod) == "a"
        found = await client.range(prefix, prefix=True, limit=2)
        assert (found.more, found.count) == (True, 3)
        counted = await client.range(prefix, prefix=True, count_only=True)
        assert (counted.kvs, counted.count) == ((), 3)
        keys = await client.range(prefix, prefix=True, keys_only=True)
        assert {kv.value for kv in keys.kvs} == {b""}
        assert keys.kvs[0].version == 2
        newest = max(kv.mod_revision for kv in keys.kvs)
        assert await names(prefix, prefix=True, min_mod_revision=newest) == "a"
        assert (await client.get_prefix(prefix)).count == 3
        assert await names(prefix, prefix=True, serializable=True) in ("abc", "ab", "a", "")

    live(scenario)


def test_the_past_can_be_read(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        first = (await client.put(prefix + "k", "1")).header.revision
        await client.put(prefix + "k", "2")
        await client.delete(prefix + "k")
        assert (await client.get(prefix + "k", revision=first)).value == b"1"
        assert not await client.get(prefix + "k")
        with pytest.raises(FutureRevisionError):
            await client.get(prefix + "k", revision=2**40)

    live(scenario)


def test_a_compacted_revision_is_said(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        first = (await client.put(prefix + "k", "1")).header.revision
        second = (await client.put(prefix + "k", "2")).header.revision
        await client.compact(second, physical=True)
        with pytest.raises(CompactedError):
            await client.get(prefix + "k", revision=first)
        assert (await client.get(prefix + "k", revision=second)).value == b"2"
        with pytest.raises(CompactedError):
            await client.compact(second)

    live(scenario)


def test_deletes(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        for name in "abc":
            await client.put(prefix + name, name)
        one = await client.delete(prefix + "a", prev_kv=True)
        assert (one.deleted, [kv.value for kv in one.prev_kvs]) == (1, [b"a"])
        nothing = await client.delete(prefix + "a")
        assert (nothing.deleted, nothing.header.revision) == (0, one.header.revision)
        assert (await client.delete(prefix, prefix=True)).deleted == 2

    live(scenario)


def test_pages_show_one_revision_while_keys_change(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        count = 57
        for at in range(0, count, 19):
            puts = tuple(Put(f"{prefix}{n:03}", "old") for n in range(at, at + 19))
            await client.commit(Txn(then=puts))
        seen: list[KeyValue] = []
        async for page in client.pages(prefix, prefix=True, page_size=10):
            seen += page.kvs
            await client.put(f"{prefix}{len(seen):03}", "new")
            await client.put(f"{prefix}~{len(seen)}", "new")
        assert [kv.key.decode() for kv in seen] == [f"{prefix}{n:03}" for n in range(count)]
        assert {kv.value for kv in seen} == {b"old"}

    live(scenario)


def test_transactions(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        key = prefix + "k"
        create = client.txn().if_(Key(key).missing()).then(Put(key, "1")).else_(Get(key))
        assert (await create.commit()).succeeded
        again = await create.commit()
        assert not again.succeeded
        (read,) = again.responses
        assert isinstance(read, RangeResult)
        assert read.kvs[0].value == b"1"
        kv = read.kvs[0]
        checks = [
            (Key(key).exists(), True),
            (Key(key).value == "1", True),
            (Key(key).value > "0", True),
            (Key(key).value != "1", False),
            (Key(prefix + "none").value != "1", False),
            (Key(key).version == 1, True),
            (Key(key).version <= 1, True),
            (Key(key).version >= 2, False),
            (Key(key).mod_revision == kv.mod_revision, True),
            (Key(key).create_revision < kv.create_revision, False),
            (Key(key).lease == 0, True),
            (Key(prefix, prefix=True).version > 0, True),
            (Key(prefix, prefix=True).version > 1, False),
        ]
        for compare, holds in checks:
            done = await client.txn().if_(compare).commit()
            assert done.succeeded is holds, compare

    live(scenario)


def test_transactions_nest(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        inner = client.txn().if_(Key(prefix + "b").missing()).then(Put(prefix + "b", "2"))
        await client.put(prefix + "c", "3")
        done = await client.txn().then(Put(prefix + "a", "1"), inner, Delete(prefix + "c")).commit()
        _, nested, _ = done.responses
        assert isinstance(nested, TxnResult)
        assert nested.succeeded
        found = (await client.get_prefix(prefix)).kvs
        assert [(kv.value, kv.mod_revision) for kv in found] == [
            (b"1", done.header.revision),
            (b"2", done.header.revision),
        ]

    live(scenario)


@pytest.mark.parametrize(
    ("txn", "condition"),
    [
        (Txn(then=(Put("d", "1"), Put("d", "2"))), Condition.DUPLICATE_KEY),
        (Txn(then=tuple(Put(f"o{n}", "") for n in range(129))), Condition.TOO_MANY_OPS),
        (Txn(then=(Put("", ""),)), Condition.KEY_NOT_PROVIDED),
    ],
)
def test_refused_transactions(live: Live, txn: Txn, condition: Condition) -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(InvalidRequestError) as raised:
            await client.commit(txn)
        assert raised.value.condition is condition

    live(scenario)


def test_a_value_that_is_too_large_is_refused(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(InvalidRequestError) as raised:
            await client.put(prefix + "k", b"x" * 1_600_000)
        assert raised.value.condition is Condition.REQUEST_TOO_LARGE
        with pytest.raises(ClientError, match="larger than max"):
            await client.put(prefix + "k", b"x" * 3_000_000)

    live(scenario)


def test_a_range_above_the_usual_message_limit_is_read(live: Live, prefix: str) -> None:
    async def scenario(client: Client) -> None:
        for n in range(8):
            await client.put(f"{prefix}{n}", bytes([n]) * 1_000_000)
        found = await client.range(prefix, prefix=True)
        assert [kv.value for kv in found.kvs] == [bytes([n]) * 1_000_000 for n in range(8)]
        pages = [page async for page in client.pages(prefix, prefix=True, page_size=2)]
        assert [len(page.kvs) for page in pages] == [2, *[1] * 6]
        await client.delete(prefix, prefix=True)

    live(scenario)

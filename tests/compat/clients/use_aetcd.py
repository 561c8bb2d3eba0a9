"""aetcd, every method of it once, as a program of its own.

    python use_aetcd.py HOST:PORT SPARE_PEER_URL [USER PASSWORD]

One line of JSON for each feature: its name and what the library answered, without ids, terms and
times; revisions are told as distances from the first. With a USER everything is done in its name.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
from typing import Any

import aetcd


def say(feature: str, answer: Any) -> None:
    """One line."""
    print(json.dumps([feature, answer], default=plain), flush=True)


def plain(value: Any) -> Any:
    """Bytes as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else repr(value)


def pairs(found: Any) -> list[tuple[bytes, bytes]]:
    """Keys and values of a range."""
    return [(each.key, each.value) for each in found]


async def keys(client: Any) -> None:
    """Reading and writing."""
    first = (await client.put(b"a", b"1")).header.revision
    say("put", (await client.put(b"b", b"2")).header.revision - first)
    say("put prev_kv", (await client.put(b"b", b"3", prev_kv=True)).prev_kv.value)
    found = await client.get(b"b", serializable=True)
    say("get", [found.key, found.value, found.version, found.mod_revision - first, found.lease])
    say("get missing", await client.get(b"none"))
    for name in (b"p/1", b"p/2", b"p/3"):
        await client.put(name, name.upper())
    say("get_prefix", pairs(await client.get_prefix(b"p/")))
    found = await client.get_prefix(b"p/", sort_order="descend", keys_only=True)
    say("get_prefix descend", [pairs(found), found.more, found.count, len(found)])
    found = await client.get_prefix(b"p/", sort_order="descend", sort_target="mod")
    say("get_prefix by mod", pairs(found))
    say("get_range", pairs(await client.get_range(b"p/1", b"p/3")))
    say("get_all", pairs(await client.get_all(sort_order="ascend", sort_target="create")))
    say("replace", [await client.replace(b"b", b"3", b"4"), await client.replace(b"b", b"3", b"5")])
    say("delete", (await client.delete(b"a", prev_kv=True)).prev_kv.value)
    say("delete missing", await client.delete(b"a"))
    say("delete_range", (await client.delete_range(b"p/1", b"p/2")).deleted)
    say("delete_prefix", (await client.delete_prefix(b"p/", prev_kv=True)).deleted)


async def transactions(client: Any) -> None:
    """Compares of every kind, and operations of every kind."""
    t = client.transactions
    await client.put(b"t", b"5")
    done, answers = await client.transaction(
        compare=[t.value(b"t") == b"5", t.version(b"t") > 0, t.create(b"t") != 0, t.mod(b"t") > 0],
        success=[t.put(b"t", b"6"), t.get(b"t"), t.delete(b"none")],
        failure=[],
    )
    say("transaction", [done, [(value, about.key) for value, about in answers[1]]])
    inner = t.txn(compare=[], success=[t.get(b"t")], failure=[])
    done, answers = await client.transaction(
        compare=[t.version(b"t") < 1], success=[], failure=[inner]
    )
    say("transaction nested", [done, len(answers)])


async def watches(client: Any) -> None:
    """Iterators, once, filters, cancelling."""
    start = (await client.put(b"w/0", b"0")).header.revision
    watch = await client.watch_prefix(b"w/", start_revision=start, prev_kv=True)
    await client.put(b"w/1", b"1")
    await client.delete(b"w/1")
    told = []
    async for event in watch:
        old = event.prev_kv.value if event.prev_kv else None
        told.append([event.kind, event.kv.key, event.kv.value, old])
        if len(told) == 3:
            await watch.cancel()
    say("watch_prefix", told)
    watch = await client.watch(b"w/1", kind=aetcd.rtypes.EventKind.DELETE, start_revision=start)
    async for event in watch:
        say("watch delete only", [event.kind, event.kv.key])
        await watch.cancel()
    once = await client.watch_once(b"w/0", timeout=30, start_revision=start)
    say("watch_once", once.kv.value)
    once = await client.watch_prefix_once(b"w/", timeout=30, start_revision=start)
    say("watch_prefix_once", once.kv.key)
    try:
        await client.watch_once(b"w/never", timeout=1)
    except aetcd.exceptions.WatchTimeoutError as error:
        say("watch_once timed out", type(error).__name__)
    await client.compact(start + 1, physical=True)
    say("compact", "done")
    try:
        watch = await client.watch(b"w/0", start_revision=start - 1)
        async for event in watch:
            say("watch compacted", f"not refused: {event}")
    except aetcd.exceptions.RevisionCompactedError as error:
        say("watch compacted", error.compacted_revision - start)


async def leases(client: Any) -> None:
    """Grant, attach, renew, look at, revoke; and a lock on top."""
    lease = await client.lease(60, lease_id=4712)
    say("lease", [lease.id, lease.ttl, await lease.granted_ttl(), await lease.remaining_ttl() > 0])
    await client.put(b"l/1", b"1", lease=lease)
    say("lease keys", list(await lease.keys()))
    say("lease refresh", (await lease.refresh()).TTL)
    await lease.revoke()
    say("lease revoke", await client.get(b"l/1"))
    try:
        await client.revoke_lease(4712)
    except Exception as error:
        say("lease revoke twice", [type(error).__name__, str(error)])
    lock = client.lock(b"house", ttl=30)
    other = client.lock(b"house", ttl=30)
    say("lock acquire", await lock.acquire(timeout=10))
    say("lock taken", await other.acquire(timeout=0))
    waiting = asyncio.ensure_future(other.acquire(timeout=30))
    say("lock refresh", (await lock.refresh()).TTL)
    say("lock release", [await lock.is_acquired(), await lock.release()])
    say("lock handed on", [await waiting, await other.is_acquired(), await other.release()])


async def cluster(client: Any, spare_peer_url: str) -> None:
    """Members, alarms, maintenance."""
    members = [member async for member in client.members()]
    say("members", sorted(member.name for member in members))
    status = await client.status()
    say("status", [status.leader is not None, status.db_size > 0])
    say("hash", isinstance(await client.hash(), int))
    await client.defragment()
    say("defragment", "done")
    own = members[0]
    say("create_alarm", [a.alarm_type for a in await client.create_alarm(member_id=own.id)])
    say("list_alarms", [alarm.alarm_type async for alarm in client.list_alarms()])
    say("disarm_alarm", [a.alarm_type for a in await client.disarm_alarm(member_id=own.id)])
    file = io.BytesIO()
    await client.snapshot(file)
    body, digest = file.getvalue()[:-32], file.getvalue()[-32:]
    say("snapshot", [len(body) % 512, hashlib.sha256(body).digest() == digest])
    await own.update(list(own.peer_urls))
    say("update_member", "done")
    added = await add_member(client, spare_peer_url)
    say("add_member", [added.name, list(added.peer_urls) == [spare_peer_url]])
    await added.remove()
    say("remove_member", len([member async for member in client.members()]))


async def add_member(client: Any, peer_url: str) -> Any:
    """A new cluster refuses new members until all are connected for five seconds: ask again."""
    for _ in range(60):
        try:
            return await client.add_member([peer_url])
        except aetcd.exceptions.ClientError:
            await asyncio.sleep(0.5)
    raise SystemExit("the cluster stayed unhealthy")


async def main() -> None:
    """The whole library, in order."""
    host, _, port = sys.argv[1].rpartition(":")
    user, password = sys.argv[3:5] or (None, None)
    async with aetcd.Client(host, int(port), user, password, timeout=30) as client:
        await keys(client)
        await transactions(client)
        await watches(client)
        await leases(client)
        await cluster(client, sys.argv[2])


if __name__ == "__main__":
    asyncio.run(main())

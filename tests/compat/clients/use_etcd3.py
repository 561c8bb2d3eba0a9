"""python-etcd3, every method of it once, as a program of its own.

    python use_etcd3.py HOST:PORT SPARE_PEER_URL

One line of JSON for each feature: its name and what the library answered, without ids, terms and
times. The store's revisions are told as distances from the first, so that two servers say the same.
Runs in an environment of its own: the library wants a protobuf of another age.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
import time
from typing import Any

import etcd3


def say(feature: str, answer: Any) -> None:
    """One line."""
    print(json.dumps([feature, answer], default=plain), flush=True)


def plain(value: Any) -> Any:
    """Bytes as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else repr(value)


def pairs(found: Any) -> list[tuple[bytes, bytes]]:
    """Keys and values of a range."""
    return [(about.key, value) for value, about in found]


def keys(client: Any) -> None:
    """Reading and writing."""
    first = client.put("a", "1").header.revision
    say("put", client.put("b", "2").header.revision - first)
    say("put prev_kv", client.put("b", "3", prev_kv=True).prev_kv.value)
    value, about = client.get("b")
    say("get", [value, about.key, about.version, about.mod_revision - first, about.lease_id])
    say("get missing", client.get("none")[0])
    say("get serializable", client.get("a", serializable=True)[0])
    say("get_response", client.get_response("a").count)
    for name in ("p/1", "p/2", "p/3"):
        client.put(name, name.upper())
    say("get_prefix", pairs(client.get_prefix("p/")))
    say("get_prefix descend", pairs(client.get_prefix("p/", sort_order="descend")))
    say("get_prefix by value", pairs(client.get_prefix("p/", sort_target="value")))
    say("get_prefix keys_only", pairs(client.get_prefix("p/", keys_only=True)))
    say("get_prefix_response", client.get_prefix_response("p/").count)
    say("get_range", pairs(client.get_range("p/1", "p/3")))
    say("get_range_response", client.get_range_response("a", "c").count)
    say("get_all", len(list(client.get_all())))
    say("get_all_response", client.get_all_response(sort_order="ascend").kvs[0].key)
    say(
        "put_if_not_exists",
        [client.put_if_not_exists("n", "1"), client.put_if_not_exists("n", "2")],
    )
    say("replace", [client.replace("n", "1", "2"), client.replace("n", "1", "3")])
    say("delete", [client.delete("n"), client.delete("n")])
    say("delete response", client.delete("a", prev_kv=True, return_response=True).prev_kvs[0].value)
    say("delete_prefix", client.delete_prefix("p/").deleted)


def transactions(client: Any) -> None:
    """Compares of every kind, and operations of every kind."""
    t = client.transactions
    client.put("t", "5")
    says = client.transaction(
        compare=[t.value("t") == "5", t.version("t") > 0, t.create("t") != 0, t.mod("t") > 0],
        success=[t.put("t", "6"), t.get("t"), t.delete("none")],
        failure=[],
    )
    say("transaction", [says[0], [(v, m.key) for v, m in says[1][1]]])
    done = client.transaction(
        compare=[t.version("t") < 1],
        success=[],
        failure=[t.txn(compare=[], success=[t.get("t")], failure=[])],
    )
    say("transaction nested", [done[0], len(done[1])])


def watches(client: Any) -> None:
    """Iterators, callbacks, responses, once, cancelling."""
    start = client.put("w/0", "0").header.revision
    events, cancel = client.watch_prefix("w/", start_revision=start, prev_kv=True)
    client.put("w/1", "1")
    client.delete("w/1")
    told = []
    for event in events:
        told.append([type(event).__name__, event.key, event.value, event.prev_value])
        if len(told) == 3:
            cancel()
    say("watch_prefix", told)
    events, cancel = client.watch("w/0", start_revision=start)
    say("watch", [next(iter(events)).value])
    cancel()
    responses, cancel = client.watch_response("w/0", start_revision=start)
    say("watch_response", len(next(iter(responses)).events))
    cancel()
    responses, cancel = client.watch_prefix_response("w/", start_revision=start)
    say("watch_prefix_response", next(iter(responses)).events[0].key)
    cancel()
    seen: list[bytes] = []
    done = threading.Event()

    def called(response: Any) -> None:
        seen.extend(event.key for event in response.events)
        done.set()

    watch_id = client.add_watch_callback("w/2", called)
    client.put("w/2", "2")
    assert done.wait(30)
    client.cancel_watch(watch_id)
    say("add_watch_callback", seen)
    done.clear()
    watch_id = client.add_watch_prefix_callback("w/3", called)
    client.put("w/33", "3")
    assert done.wait(30)
    client.cancel_watch(watch_id)
    say("add_watch_prefix_callback", seen)
    say("watch_once", client.watch_once("w/0", timeout=30, start_revision=start).value)
    say("watch_prefix_once", client.watch_prefix_once("w/", timeout=30, start_revision=start).key)
    try:
        client.watch_once("w/never", timeout=0.2)
    except etcd3.exceptions.WatchTimedOut as error:
        say("watch_once timed out", type(error).__name__)
    client.compact(start + 1, physical=True)
    events, cancel = client.watch("w/0", start_revision=start - 1)
    try:
        next(iter(events))
    except etcd3.exceptions.RevisionCompactedError as error:
        say("watch compacted", error.compacted_revision - start)
    try:
        client.compact(start)
    except Exception as error:
        say("compact twice", [str(error.code()), error.details()])


def leases(client: Any) -> None:
    """Grant, attach, renew, look at, revoke; and a lock on top."""
    lease = client.lease(60, lease_id=4711)
    say("lease", [lease.id, lease.ttl, lease.granted_ttl])
    client.put("l/1", "1", lease=lease)
    say("lease keys", list(lease.keys))
    say("lease refresh", [reply.TTL for reply in lease.refresh()])
    say("get_lease_info", client.get_lease_info(4711).grantedTTL)
    say("get_lease_info none", client.get_lease_info(1).TTL)
    lease.revoke()
    say("lease revoke", client.get("l/1")[0])
    try:
        client.revoke_lease(4711)
    except Exception as error:
        say("lease revoke twice", [str(error.code()), error.details()])
    lock = client.lock("house", ttl=30)
    say("lock acquire", lock.acquire(timeout=10))
    other = client.lock("house", ttl=30)
    say("lock taken", other.acquire(timeout=0))
    say("lock refresh", [reply.TTL for reply in lock.refresh()])
    say("lock release", [lock.is_acquired(), lock.release(), lock.is_acquired()])
    with client.lock("car") as held:
        say("lock with", held.is_acquired())


def add_member(client: Any, peer_url: str) -> Any:
    """A new cluster refuses new members until all are connected for five seconds: ask again."""
    for _ in range(60):
        try:
            return client.add_member([peer_url])
        except etcd3.exceptions.ConnectionFailedError:
            time.sleep(0.5)
    raise SystemExit("the cluster stayed unhealthy")


def cluster(client: Any, spare_peer_url: str) -> None:
    """Members, alarms, maintenance."""
    say("members", sorted(member.name for member in client.members))
    say("member urls", [len(member.client_urls) for member in client.members])
    say("status", [client.status().leader is not None, client.status().db_size > 0])
    say("hash", isinstance(client.hash(), int))
    client.defragment()
    say("defragment", "done")
    member = next(iter(client.members))
    say("list_alarms", list(client.list_alarms()))
    say("create_alarm", [alarm.alarm_type for alarm in client.create_alarm(member_id=member.id)])
    say("active_alarms", len(list(member.active_alarms)))
    try:
        client.put("full", "1")
    except Exception as error:
        say("put when full", [str(error.code()), error.details()])
    say("disarm_alarm", [a.alarm_type for a in client.disarm_alarm(member_id=member.id)])
    file = io.BytesIO()
    client.snapshot(file)
    body, digest = file.getvalue()[:-32], file.getvalue()[-32:]
    say("snapshot", [len(body) % 512, hashlib.sha256(body).digest() == digest])
    try:
        client.add_member(["not a url"])
    except Exception as error:
        say("add_member bad", [str(error.code()), error.details()])
    own = next(iter(client.members))
    client.update_member(own.id, list(own.peer_urls))
    say("update_member", "done")
    added = add_member(client, spare_peer_url)
    say("add_member", [added.name, list(added.peer_urls) == [spare_peer_url]])
    added.remove()
    say("remove_member", len(list(client.members)))
    try:
        client.remove_member(added.id)
    except Exception as error:
        say("remove_member twice", [str(error.code()), error.details()])


def main() -> None:
    """The whole library, in order."""
    host, _, port = sys.argv[1].rpartition(":")
    with etcd3.client(host, int(port), timeout=30) as client:
        keys(client)
        transactions(client)
        watches(client)
        leases(client)
        cluster(client, sys.argv[2])


if __name__ == "__main__":
    main()

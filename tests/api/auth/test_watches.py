"""Watches of people with few permissions: judged when they are created, and then no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from api.auth.people import AUTH, FAST, READ, WATCH, Person, allow, login, settle
from api.node.hands import LocalCluster, cluster
from kvorum_proto import etcdserverpb as pb

EMPTY = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"
DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
BAD_TOKEN = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"


def create(key: bytes, range_end: bytes = b"", **options: Any) -> pb.WatchRequest:
    request = pb.WatchCreateRequest(key=key, range_end=range_end, **options)
    return pb.WatchRequest(create_request=request)


async def answers(person: Person, *requests: pb.WatchRequest) -> list[tuple[int, bool, str]]:
    """What a stream says to requests: id, whether it is canceled, and why."""
    found = []
    async with person.local.stream(WATCH, metadata=person.metadata) as stream:
        for request in requests:
            await stream.send_message(request)
        for _ in requests:
            said = await stream.recv_message()
            assert said.created
            assert said.header is not None
            found.append((said.watch_id, said.canceled, said.cancel_reason))
        await stream.cancel()
    return found


CASES = {
    "a key that is not granted": (b"secret", b"", DENIED),
    "a range that is granted": (b"r/", b"r0", ""),
    "a key that is granted": (b"r/a", b"", ""),
    "more than the range": (b"r/", b"r1", DENIED),
    "from a granted key on": (b"r/", b"\0", DENIED),
    "everything": (b"", b"\0", DENIED),
    "the empty key": (b"", b"", DENIED),
    "a range that holds no key, beside what is granted": (b"z", b"a", DENIED),
}


@pytest.mark.parametrize("case", CASES)
def test_a_reader_watches_what_it_may_read(case: str) -> None:
    key, end, reason = CASES[case]

    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            reader = await login(local, "reader")
            expected = (-1, True, reason) if reason else (0, False, "")
            assert await answers(reader, create(key, end)) == [expected]

    asyncio.run(main())


def test_one_key_is_one_key_however_the_range_is_spelled() -> None:
    """GHSA-xg4h-6gfc-h4m8: a right to one key must not become "from this key on"."""

    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            add = pb.AuthUserAddRequest(name="one", password="one")
            await root.call(AUTH + "UserAdd", add)
            await allow(root, "one", READ, b"k")
            one = await login(local, "one")
            requests = [create(b"k"), create(b"k", b"\0"), create(b"k", b"k\0")]
            assert await answers(one, *requests) == [
                (0, False, ""),
                (-1, True, DENIED),
                (1, False, ""),
            ]

    asyncio.run(main())


def test_refusals_stand_in_the_order_of_requests() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            reader = await login(local, "reader")
            requests = [
                create(b"r/a"),
                create(b"secret"),
                create(b"r/b"),
                create(b"r/c", b"r/a"),
                create(b"secret", b"a"),  # Refused for the right, before the shape is looked at.
                create(b"r/c", watch_id=1),
            ]
            assert await answers(reader, *requests) == [
                (0, False, ""),
                (-1, True, DENIED),
                (1, False, ""),
                (-1, True, "mvcc: watcher range is empty"),
                (-1, True, DENIED),
                (-1, True, "mvcc: duplicate watch ID provided on the WatchStream"),
            ]
            assert await answers(Person(local), create(b"r/a")) == [(-1, True, EMPTY)]
            assert await answers(Person(local, "x.1"), create(b"r/a")) == [(-1, True, BAD_TOKEN)]

    asyncio.run(main())


async def watching(local: LocalCluster, person: Person, stream: Any, key: bytes) -> None:
    await stream.send_message(create(key))
    said = await stream.recv_message()
    assert (said.created, said.canceled) == (True, False)


def test_an_open_watch_outlives_its_permission() -> None:
    """As in etcd; whoever wants it closed restarts the member or closes the connection."""

    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader")
            async with local.stream(WATCH, metadata=reader.metadata) as stream:
                await watching(local, reader, stream, b"r/a")
                await root.call(AUTH + "RoleDelete", pb.AuthRoleDeleteRequest(role="reader"))
                await root.put(b"r/a", b"2")
                events = (await stream.recv_message()).events
                assert [event.kv.value for event in events] == [b"2"]
                # A new one on the same stream is judged by what holds now.
                await stream.send_message(create(b"r/a"))
                assert (await stream.recv_message()).cancel_reason == DENIED
                await root.call(AUTH + "UserDelete", pb.AuthUserDeleteRequest(name="reader"))
                await stream.send_message(create(b"r/a"))
                assert (await stream.recv_message()).cancel_reason == BAD_TOKEN
                await root.put(b"r/a", b"3")
                events = (await stream.recv_message()).events
                assert [event.kv.value for event in events] == [b"3"]
                await stream.cancel()

    asyncio.run(main())


def test_an_open_watch_outlives_the_enabling_of_auth() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            nobody = Person(local)
            async with local.stream(WATCH) as stream:
                await watching(local, nobody, stream, b"r/a")
                root = await settle(local)
                assert (await stream.recv_message()).events[0].kv.value == b"1"
                await root.put(b"r/a", b"2")
                assert (await stream.recv_message()).events[0].kv.value == b"2"
                await stream.send_message(create(b"r/a"))
                assert (await stream.recv_message()).cancel_reason == EMPTY
                await stream.cancel()

    asyncio.run(main())

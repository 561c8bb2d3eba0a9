"""Many logins at once: they wait for one another, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from api.auth.people import AUTH, FAST, Person, login, settle
from api.node.hands import MEMBER_IDS, cluster
from grpclib.exceptions import GRPCError
from kvorum.limits import AUTH_HASHES_WAITING
from kvorum.server import passwords
from kvorum_proto import etcdserverpb as pb

FULL = (8, "etcdserver: too many requests")


def test_a_flood_of_logins_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    matches = passwords._matches

    def slow(password: bytes, hashed: bytes) -> bool:
        go.wait(30)
        return matches(password, hashed)

    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            writer = await login(local, "writer")
            monkeypatch.setattr(passwords, "_matches", slow)
            kept = local.nodes[MEMBER_IDS[0]].passwords
            room = kept._threads + AUTH_HASHES_WAITING
            request = pb.AuthenticateRequest(name="writer", password="writer")
            path = AUTH + "Authenticate"
            flood = [asyncio.ensure_future(local.call(path, request)) for _ in range(room + 20)]
            await local.until(lambda: sum(each.done() for each in flood) == 20)
            # All threads are busy, and the queue is full.
            await writer.put(b"w/a", b"1")
            assert await root.get(b"w/a") == [b"1"]
            assert await Person(local).refused(path, request) == FULL
            go.set()
            done = await asyncio.gather(*flood, return_exceptions=True)
            refused = [each for each in done if isinstance(each, GRPCError)]
            assert len(refused) == 20
            assert {(each.status.value, each.message) for each in refused} == {FULL}
            assert len({each.token for each in done if not isinstance(each, BaseException)}) == room

    asyncio.run(main())


def test_a_stranger_makes_nobody_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            guest = await login(local, "guest")

            def never(password: bytes, cost: int) -> bytes:
                raise AssertionError("hashed for somebody who may not")

            monkeypatch.setattr(passwords, "_hash", never)
            add = pb.AuthUserAddRequest(name="x", password="x")
            change = pb.AuthUserChangePasswordRequest(name="root", password="x")
            for person, words in (
                (guest, (7, "etcdserver: permission denied")),
                (Person(local), (3, "etcdserver: user name is empty")),
                (Person(local, "x.1"), (16, "etcdserver: invalid auth token")),
            ):
                assert await person.refused(AUTH + "UserAdd", add) == words
                assert await person.refused(AUTH + "UserChangePassword", change) == words

    asyncio.run(main())

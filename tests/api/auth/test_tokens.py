"""Tokens as clients meet them: on every member, until they end."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from api.auth.people import (
    AUTH,
    BAD_TOKEN,
    EMPTY,
    FAILED,
    FAST,
    KV,
    OLD,
    READWRITE,
    Person,
    allow,
    login,
    settle,
)
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum.machine.auth import Caller
from kvorum.server.signedtokens import JwtTokens
from kvorum.server.tokens import SimpleTokens, new_prefix
from kvorum_proto import authpb
from kvorum_proto import etcdserverpb as pb
from unit.server.jwtkeys import secret_config

NOT_ENABLED = (9, "etcdserver: authentication is not enabled")
NO_PASSWORD = (2, "auth: authentication failed, password was given for no password user")


async def refused_login(local: LocalCluster, name: str, password: str) -> tuple[int, str]:
    request = pb.AuthenticateRequest(name=name, password=password)
    return await Person(local).refused(AUTH + "Authenticate", request)


def test_a_token_is_good_on_every_member() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            await settle(local)
            reader = await login(local, "reader", on=1)
            assert re.fullmatch(r"[A-Za-z]{16}\.\d+", reader.token or "")
            for on in range(3):
                assert await reader.get(b"r/a", on=on) == [b"1"]
                assert await reader.get(b"r/a", on=on, serializable=True) == [b"1"]

    asyncio.run(main())


def test_a_member_that_lags_waits_for_the_token() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            await settle(local)
            local.cut_off.add(MEMBER_IDS[2])
            reader = await login(local, "reader")
            reading = asyncio.ensure_future(reader.get(b"r/a", on=2, serializable=True))
            await local.turns(200)
            # It knows no such token, and knows that it cannot know.
            assert not reading.done()
            local.cut_off.clear()
            await local.until(reading.done, ticks=1)
            assert await reading == [b"1"]

    asyncio.run(main())


def test_a_forged_token_of_any_index_is_refused() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            await settle(local)
            for token in (
                "x",
                "a.b.c",
                "." * 40,
                "AAAAAAAAAAAAAAAA.1",
                "AAAAAAAAAAAAAAAA.18446744073709551615",
                "AAAAAAAAAAAAAAAA." + "9" * 5000,
                "AAAAAAAAAAAAAAAA.-1",
            ):
                forger = Person(local, token)
                request = pb.RangeRequest(key=b"r/a")
                assert await forger.refused(KV + "Range", request, on=1) == BAD_TOKEN, token

    asyncio.run(main())


def test_authorization_says_the_same_with_and_without_bearer() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            request = pb.RangeRequest(key=b"r/a")
            for value in (root.token, f"Bearer {root.token}", f"bearer {root.token}"):
                metadata = {"authorization": value}
                assert (await local.call(KV + "Range", request, metadata=metadata)).count == 1
            # The token of a gRPC client comes first.
            metadata = {"authorization": root.token or "", "token": "wrong"}
            with pytest.raises(GRPCError) as caught:
                await local.call(KV + "Range", request, metadata=metadata)
            assert caught.value.message == BAD_TOKEN[1]

    asyncio.run(main())


def test_tokens_are_ignored_while_auth_is_off() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            assert await refused_login(local, "root", "root") == NOT_ENABLED
            await Person(local, "wrong").put(b"k", b"1")
            assert await Person(local, "wrong.7").get(b"k") == [b"1"]

    asyncio.run(main())


def test_logins_that_fail() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            add = pb.AuthUserAddRequest(
                name="cert", options=authpb.UserAddOptions(no_password=True)
            )
            await root.call(AUTH + "UserAdd", add)
            assert await refused_login(local, "reader", "wrong") == FAILED
            assert await refused_login(local, "reader", "") == FAILED
            assert await refused_login(local, "nobody", "x") == FAILED
            assert await refused_login(local, "", "") == FAILED
            assert await refused_login(local, "cert", "") == NO_PASSWORD
            # A wrong token does not stand in the way of a right password.
            request = pb.AuthenticateRequest(name="reader", password="reader")
            metadata = {"token": "wrong"}
            assert (await local.call(AUTH + "Authenticate", request, metadata=metadata)).token

    asyncio.run(main())


def test_what_ends_tokens_ends_them_everywhere() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            root = await settle(local)
            reader, again, writer = [
                await login(local, name, on=1) for name in ("reader", "reader", "writer")
            ]
            change = pb.AuthUserChangePasswordRequest(name="reader", password="new")
            await root.call(AUTH + "UserChangePassword", change)
            request = pb.RangeRequest(key=b"r/a")
            for on in range(3):
                assert await reader.refused(KV + "Range", request, on=on) == BAD_TOKEN
                assert await again.refused(KV + "Range", request, on=on) == BAD_TOKEN
                await writer.put(b"w/a", on=on)
            assert await refused_login(local, "reader", "reader") == FAILED
            reader = await login(local, "reader", "new")
            await root.call(AUTH + "UserDelete", pb.AuthUserDeleteRequest(name="reader"))
            for on in range(3):
                assert await reader.refused(KV + "Range", request, on=on) == BAD_TOKEN
            await root.call(AUTH + "AuthDisable", pb.AuthDisableRequest())
            assert await reader.get(b"r/a") == [b"1"]  # Nobody is asked now.
            await Person(local).call(AUTH + "AuthEnable", pb.AuthEnableRequest())
            for on in range(3):
                for person in (root, writer):
                    assert await person.refused(KV + "Range", request, on=on) == BAD_TOKEN

    asyncio.run(main())


def test_a_token_outlives_changes_of_permissions() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            reader = await login(local, "reader")
            await allow(root, "reader", READWRITE, b"w/", b"w0")
            await reader.put(b"w/a", b"1")
            assert await reader.get(b"w/a") == [b"1"]

    asyncio.run(main())


def test_an_unused_token_ends_and_a_used_one_does_not() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            now_s = [0.0]
            local.nodes[MEMBER_IDS[0]].tokens = SimpleTokens(300, lambda: now_s[0])
            root = await settle(local)
            idle = await login(local, "reader")
            for _ in range(4):
                now_s[0] += 100
                assert await root.get(b"r/a") == [b"1"]
            assert await idle.refused(KV + "Range", pb.RangeRequest(key=b"r/a")) == BAD_TOKEN
            now_s[0] += 301
            assert await root.refused(KV + "Range", pb.RangeRequest(key=b"r/a")) == BAD_TOKEN

    asyncio.run(main())


def test_a_password_that_changes_while_it_is_compared() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            node = local.nodes[MEMBER_IDS[0]]
            matches = node.passwords.matches
            changes = 0

            async def slow(password: bytes, hashed: bytes | None) -> bool:
                nonlocal changes
                right = await matches(password, hashed)
                if changes < 2:
                    changes += 1
                    name = f"new{changes}"
                    await root.call(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name=name))
                elif changes == 2:
                    changes += 1
                    change = pb.AuthUserChangePasswordRequest(name="reader", password="other")
                    await root.call(AUTH + "UserChangePassword", change)
                return right

            node.passwords.matches = slow  # type: ignore[method-assign]  # the moment in between
            # Two changes make the comparison anew; after the third the password is wrong.
            assert await refused_login(local, "reader", "reader") == FAILED
            assert changes == 3

    asyncio.run(main())


def test_signed_tokens(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            for node in local.nodes.values():
                node.tokens = JwtTokens(secret_config(tmp_path))
            root = await settle(local)
            reader = await login(local, "reader", on=2)
            assert (reader.token or "").count(".") == 2
            for on in range(3):
                assert await reader.get(b"r/a", on=on) == [b"1"]
            node = local.nodes[MEMBER_IDS[0]]
            auth = node.machine.auth
            caller = node.tokens.caller(reader.token or "", auth)
            assert caller == Caller("reader", auth.revision)
            await allow(root, "reader", READWRITE, b"w/", b"w0")
            # The token says under which permissions it was given; those are gone.
            assert await reader.refused(KV + "Range", pb.RangeRequest(key=b"r/a")) == OLD
            assert await reader.refused(KV + "Put", pb.PutRequest(key=b"w/a")) == OLD
            # A row of changes by root needs no new token for each.
            await root.call(AUTH + "RoleAdd", pb.AuthRoleAddRequest(name="more"))
            assert await root.refused(KV + "Range", pb.RangeRequest(key=b"r/a")) == OLD
            reader = await login(local, "reader")
            await reader.put(b"w/a", b"1")
            assert await Person(local).refused(KV + "Put", pb.PutRequest(key=b"w/a")) == EMPTY

    asyncio.run(main())


def test_prefixes_do_not_repeat() -> None:
    prefixes = {new_prefix() for _ in range(1000)}
    assert len(prefixes) == 1000
    assert all(re.fullmatch("[A-Za-z]{16}", prefix) for prefix in prefixes)

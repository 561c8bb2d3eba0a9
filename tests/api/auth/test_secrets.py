"""Passwords, their hashes and tokens are in no log and in no view of the raft log."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from api.auth.people import AUTH, FAILED, FAST, KV, Person, login, settle
from api.node.hands import MEMBER_IDS, cluster
from kvorum.config import LogConfig
from kvorum.server import logs
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum import v1

PASSWORD, OTHER = "correct-horse-battery", "staple-of-the-horse"


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """Everything goes to a file, as with ``--log-level debug``."""
    quiet = [
        logging.getLogger(name) for name in ("", "hpack", "h2", "grpclib", "aiohttp", "asyncio")
    ]
    before = [logger.level for logger in quiet], logging.getLogger().handlers[:]
    path = tmp_path / "log"
    logs.set_up(LogConfig(level="debug", outputs=(str(path),)))
    yield path
    for handler in logging.getLogger().handlers:
        handler.close()
    logging.getLogger().handlers[:] = before[1]
    for logger, level in zip(quiet, before[0], strict=True):
        logger.setLevel(level)


def test_nothing_secret_is_ever_logged(logged: Path) -> None:
    told: list[str] = []
    secrets = [PASSWORD, OTHER, "guess-of-a-stranger"]

    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            add = pb.AuthUserAddRequest(name="alice", password=PASSWORD)
            await root.call(AUTH + "UserAdd", add)
            alice = await login(local, "alice", PASSWORD)
            wrong = pb.AuthenticateRequest(name="alice", password="guess-of-a-stranger")
            assert await Person(local).refused(AUTH + "Authenticate", wrong) == FAILED
            change = pb.AuthUserChangePasswordRequest(name="alice", password=OTHER)
            await root.call(AUTH + "UserChangePassword", change)
            hashed = base64.b64encode(bcrypt.hashpw(b"x", bcrypt.gensalt(4))).decode()
            brought = pb.AuthUserAddRequest(name="bob", hashed_password=hashed)
            await root.call(AUTH + "UserAdd", brought)
            await alice.refused(KV + "Range", pb.RangeRequest(key=b"k"))
            again = await login(local, "alice", OTHER)
            users = local.nodes[MEMBER_IDS[0]].machine.auth.accounts.users()
            secrets.extend(user.password.decode() for user in users)
            secrets.extend(person.token or "" for person in (root, alice, again))
            secrets.append(hashed)
            log = await root.call("/kvorum.v1.Inspect/Log", v1.LogRequest())
            told.extend(entry.summary for entry in log.entries)

    asyncio.run(main())
    everything = "\n".join([*told, logged.read_text()])
    assert "invalid authentication was requested" in everything
    assert "UserChangePassword" in everything
    assert len(secrets) > 9
    assert all(secrets)
    # A token's prefix is the secret of it.
    for secret in (*secrets, *[each.split(".")[0] for each in secrets if "." in each]):
        if len(secret) > 3:
            assert secret not in everything, secret


def test_an_error_that_nobody_foresaw_tells_no_secret(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            node = local.nodes[MEMBER_IDS[0]]

            async def broken(*_: object, **__: object) -> None:
                raise RuntimeError("broken")

            monkeypatch.setattr(node, "propose", broken)
            request = pb.AuthenticateRequest(name="root", password="root")
            internal = (13, "kvorum: internal error")
            assert await Person(local).refused(AUTH + "Authenticate", request) == internal

    asyncio.run(main())
    text = logged.read_text()
    assert "RuntimeError: broken" in text
    assert "$2a$" not in text

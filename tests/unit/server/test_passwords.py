"""Hashing passwords: what is kept, what matches, what a flood of them may cost."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable

import bcrypt
import pytest
from kvorum.errors import Condition, KvorumError
from kvorum.limits import AUTH_HASHES_WAITING
from kvorum.server import passwords as module
from kvorum.server.passwords import Passwords, given_hash


def test_a_hash_is_of_the_form_that_etcd_writes() -> None:
    async def main() -> None:
        kept = Passwords(5)
        hashed = await kept.hash("pässword".encode())
        assert hashed.startswith(b"$2a$05$")
        assert len(hashed) == 60
        assert await kept.hash("pässword".encode()) != hashed
        assert await kept.matches("pässword".encode(), hashed)
        assert not await kept.matches(b"password", hashed)
        assert not await kept.matches(b"", hashed)
        kept.close()

    asyncio.run(main())


def test_passwords_of_odd_lengths() -> None:
    async def main() -> None:
        kept = Passwords(4)
        for password in (b"", b"a\0b", b"x" * 72):
            hashed = await kept.hash(password)
            assert await kept.matches(password, hashed)
            assert not await kept.matches(password[:-1] + b"?", hashed)
        with pytest.raises(ValueError, match=r"^bcrypt: password length exceeds 72 bytes$"):
            await kept.hash(b"x" * 73)
        # One that an older etcd has hashed as far as bcrypt looks.
        cut = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4, b"2a"))
        assert await kept.matches(b"x" * 80, cut)
        kept.close()

    asyncio.run(main())


def test_what_is_no_hash_matches_nothing() -> None:
    async def main() -> None:
        kept = Passwords(4)
        for hashed in (b"", b"x", b"$2a$04$", b"$2a$99$" + b"a" * 53, b"$1$04$" + b"a" * 53):
            assert not await kept.matches(b"", hashed)
        kept.close()

    asyncio.run(main())


def test_nobodys_password_costs_as_much_as_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    check = bcrypt.checkpw

    def checkpw(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return check(password, hashed)

    monkeypatch.setattr(module.bcrypt, "checkpw", checkpw)

    async def main() -> None:
        kept = Passwords(6)
        assert not await kept.matches(b"x", None)
        assert not await kept.matches(b"x", None)
        kept.close()

    asyncio.run(main())
    # Compared twice, with one hash of the node's own cost.
    assert len(compared) == 2
    assert len(set(compared)) == 1
    assert compared[0].startswith(b"$2a$06$")


class Stuck:
    """Takes the place of bcrypt until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = threading.Event()
        self.calls = 0
        monkeypatch.setattr(module, "_matches", self._matches)

    def _matches(self, password: bytes, hashed: bytes) -> bool:
        self.calls += 1
        self._go.wait(30)
        return True

    def release(self) -> None:
        """Let all go on."""
        self._go.set()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other threads do."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def test_more_than_can_wait_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)

    async def main() -> None:
        kept = Passwords(4)
        room = kept._threads + AUTH_HASHES_WAITING
        asked = [asyncio.ensure_future(kept.matches(b"x", b"y")) for _ in range(room)]
        await until(lambda: stuck.calls == kept._threads)
        for _ in range(3):
            with pytest.raises(KvorumError) as caught:
                await kept.matches(b"x", b"y")
            assert caught.value.condition is Condition.TOO_MANY_REQUESTS
        # Who gives up while waiting leaves its place to the next.
        asked[-1].cancel()
        await until(lambda: kept._under_way == room - 1)
        asked.append(asyncio.ensure_future(kept.matches(b"x", b"y")))
        stuck.release()
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(answer is True for answer in done) == room
        await until(lambda: kept._under_way == 0)
        kept.close()

    asyncio.run(main())


def test_at_the_end_who_waits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)

    async def main() -> None:
        kept = Passwords(4)
        asked = [asyncio.ensure_future(kept.matches(b"x", b"y")) for _ in range(kept._threads + 2)]
        await until(lambda: stuck.calls == kept._threads)
        kept.close()
        stuck.release()
        done = await asyncio.gather(*asked, return_exceptions=True)
        stopped = [error for error in done if isinstance(error, KvorumError)]
        assert [error.condition for error in stopped] == [Condition.STOPPED] * 2

    asyncio.run(main())


def test_hashes_that_are_brought_along() -> None:
    hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(4))
    assert given_hash(base64.b64encode(hashed).decode()) == hashed
    for wrong in (b"pw", b"", hashed + b"x", hashed[:-1], b"$2a$04$" + b" " * 53):
        with pytest.raises(ValueError, match="not base64 of a bcrypt hash"):
            given_hash(base64.b64encode(wrong).decode())
    with pytest.raises(ValueError, match="not base64 of a bcrypt hash"):
        given_hash("!" + base64.b64encode(hashed).decode())
    with pytest.raises(ValueError, match="costs more than 15"):
        given_hash(base64.b64encode(b"$2a$16$" + hashed[7:]).decode())

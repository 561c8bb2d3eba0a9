"""Hashing and comparing passwords, beside the loop.

bcrypt takes tens of milliseconds of a core on purpose. Its threads are few, wait in a bounded queue
and give way to everything else on the machine, so that a flood of logins makes logins slow and
nothing but logins.

A name that nobody has costs as much as a wrong password: who measures the time does not learn which
names exist.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from kvorum.errors import Condition, KvorumError
from kvorum.limits import (
    AUTH_GIVEN_COST_MAX,
    AUTH_HASH_THREADS,
    AUTH_HASH_THREADS_MAX,
    AUTH_HASHES_WAITING,
)

T = TypeVar("T")

PASSWORD_BYTES_MAX = 72  # What bcrypt looks at; etcd refuses to hash more, in these words.
TOO_LONG = "bcrypt: password length exceeds 72 bytes"

_HASH = re.compile(rb"\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}")
_NICENESS = 10


class Passwords:
    """Hashes for one node. ``cost`` is bcrypt's: every step doubles the work (4 to 31)."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        threads = (os.cpu_count() or 1) // 2
        self._threads = min(max(AUTH_HASH_THREADS, threads), AUTH_HASH_THREADS_MAX)
        self._pool: ThreadPoolExecutor | None = None
        self._under_way = 0
        self._nobody = b""

    async def hash(self, password: bytes) -> bytes:
        """The salted hash of a password, in bcrypt's text form as etcd keeps it.

        Raises ValueError for one of more than 72 bytes, KvorumError TOO_MANY_REQUESTS.
        """
        if len(password) > PASSWORD_BYTES_MAX:
            raise ValueError(TOO_LONG)
        return await self._aside(lambda: _hash(password, self._cost))

    async def matches(self, password: bytes, hashed: bytes | None) -> bool:
        """Whether this is the password. None stands for nobody's and takes as long.

        Raises KvorumError TOO_MANY_REQUESTS.
        """
        if hashed is None:
            await self._aside(lambda: _matches(password, self._nobodys()))
            return False
        return await self._aside(lambda: _matches(password, hashed))

    def close(self) -> None:
        """No more; what waits is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _nobodys(self) -> bytes:
        """A hash that nothing matches, made when it is first needed."""
        if not self._nobody:
            self._nobody = _hash(os.urandom(16), self._cost)
        return self._nobody

    async def _aside(self, work: Callable[[], T]) -> T:
        if self._under_way >= self._threads + AUTH_HASHES_WAITING:
            raise KvorumError(Condition.TOO_MANY_REQUESTS)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "passwords", initializer=_step_back)
        done = self._pool.submit(work)
        # Counted until the thread is through with it: who gave up waiting for a hash under way
        # still costs.
        self._under_way += 1
        loop = asyncio.get_running_loop()
        done.add_done_callback(lambda _: self._leave(loop))
        try:
            return await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if done.cancelled() and me is not None and not me.cancelling():
                raise KvorumError(Condition.STOPPED) from None
            raise

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        # A closed loop counts no more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        self._under_way -= 1


def given_hash(text: str) -> bytes:
    """The hash in a request's ``hashedPassword``: base64 of bcrypt's text form.

    Raises ValueError for anything else, and for one so expensive that logins would be an attack.
    """
    try:
        hashed = base64.b64decode(text, validate=True)
    except binascii.Error:
        hashed = b""
    match = _HASH.fullmatch(hashed)
    if match is None:
        raise ValueError("hashedPassword is not base64 of a bcrypt hash")
    if int(match[1]) > AUTH_GIVEN_COST_MAX:
        raise ValueError(f"hashedPassword costs more than {AUTH_GIVEN_COST_MAX}")
    return hashed


def _hash(password: bytes, cost: int) -> bytes:
    # The version that Go writes, so that a restored etcd reads what it would have written.
    return bcrypt.hashpw(password, bcrypt.gensalt(cost, b"2a"))


def _matches(password: bytes, hashed: bytes) -> bool:
    if _HASH.fullmatch(hashed) is None:
        # A user that came in with a foreign snapshot: no password is right.
        return False
    try:
        # Hashes of etcd's older releases know no more than the first 72 bytes.
        return bcrypt.checkpw(password[:PASSWORD_BYTES_MAX], hashed)
    except ValueError:
        # The form of a hash, and yet none: a salt whose last bits cannot be, a cost out of bounds.
        return False


def _step_back() -> None:
    """Let everything else run first. Only Linux has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)

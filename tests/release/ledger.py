"""What was acknowledged, and whether all of it is there in the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.client.session import Session
from kvorum.client.types import PutResult


class Ledger:
    """Writes of keys that nobody else writes, each once, below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.acknowledged: dict[bytes, int] = {}
        self._numbers = itertools.count()

    async def write(self, client: Session) -> PutResult | None:
        """One write; None when it was not acknowledged, whatever became of it."""
        key = f"{self.prefix}{next(self._numbers)}".encode()
        try:
            done = await client.put(key, b"x")
        except ClientError:
            return None
        self.acknowledged[key] = done.header.revision
        return done

    async def lost(self, endpoints: Sequence[str], within_s: float = 30.0) -> int:
        """Acknowledged writes that some member does not hold, each asked for itself."""
        missing = 0
        async with Client(endpoints, timeout_s=within_s) as client:
            # Linearizable, so that each member has applied all of it when it answers.
            for endpoint in endpoints:
                found = await client.member(endpoint).get_prefix(self.prefix, keys_only=True)
                held = {kv.key: kv.mod_revision for kv in found.kvs}
                missing += sum(
                    held.get(key) != revision for key, revision in self.acknowledged.items()
                )
        return missing


class Writers:
    """Some who write all the time, until they are left."""

    def __init__(self, ledger: Ledger, endpoints: Sequence[str], number: int) -> None:
        self._ledger = ledger
        self._endpoints = list(endpoints)
        self._number = number
        self._tasks: list[asyncio.Task[None]] = []
        self.unanswered = 0
        self.longest_s = 0.0

    async def __aenter__(self) -> Writers:
        self._tasks = [asyncio.create_task(self._write()) for _ in range(self._number)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        async with Client(self._endpoints, timeout_s=2.0, dial_timeout_s=0.5) as client:
            while True:
                began_s = time.monotonic()
                done = await self._ledger.write(client)
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                if done is None:
                    self.unanswered += 1
                    await asyncio.sleep(0.02)

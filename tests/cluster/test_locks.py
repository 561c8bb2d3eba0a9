"""The Lock service on real processes whose leader is killed: never two holders at a time.

Workers add one to a counter, by reading and writing it while they hold the lock. The lock alone
keeps them apart; the write is fenced only by "my key is still there", as the lock's users must do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum.client import Client, Key, Put
from kvorum.client.errors import ClientError, UnknownOutcome
from kvorum.http2.server import KvorumChannel
from kvorum_proto import v3lockpb as lockpb
from kvorum_proto.codec import Codec
from kvorum_proto.services import METHODS
from support.clusters import ClusterHandle

Launch = Callable[..., ClusterHandle]

pytestmark = pytest.mark.slow

WORKERS = 6
ROUNDS = 15
TTL_S = 600
COUNTER = "counter"
_PATIENCE_S = 90.0


class Worker:
    """One who counts."""

    def __init__(self, cluster: ClusterHandle, number: int) -> None:
        self._cluster = cluster
        self._lease = number + 1  # Granted before anything breaks.
        self._turn = number
        self.counted = 0
        self.perhaps = 0  # Writes of unknown fate.

    async def run(self, client: Client) -> None:
        """All its rounds."""
        for _ in range(ROUNDS):
            key = await self._lock()
            try:
                await self._count(client, key)
            except UnknownOutcome:
                self.perhaps += 1
            except ClientError:
                pass  # Refused for certain: not counted.
            await self._unlock(client, key)

    async def _lock(self) -> bytes:
        """Wait for the lock at one member; if that member fails, at the next."""
        method = METHODS["/v3lockpb.Lock/Lock"]
        while True:
            self._turn += 1
            endpoint = self._cluster.endpoints[self._turn % 3]
            port = int(endpoint.rpartition(":")[2])
            channel = KvorumChannel("127.0.0.1", port, codec=Codec())
            try:
                make: Any = UnaryUnaryMethod
                call = make(channel, method.path, method.request, method.response)
                request = lockpb.LockRequest(name=b"lock", lease=self._lease)
                key: bytes = (await call(request)).key
                return key
            except (GRPCError, StreamTerminatedError, OSError):
                await asyncio.sleep(0.1)
            finally:
                channel.close()

    async def _count(self, client: Client, key: bytes) -> None:
        before = int((await client.get(COUNTER)).value or b"")
        done = (
            await client.txn().if_(Key(key).exists()).then(Put(COUNTER, str(before + 1))).commit()
        )
        self.counted += done.succeeded

    async def _unlock(self, client: Client, key: bytes) -> None:
        while True:
            try:
                await client.delete(key)
                return
            except ClientError:
                await asyncio.sleep(0.1)


def test_a_leader_dies_while_workers_wait(kvorum_cluster: Launch) -> None:
    cluster = kvorum_cluster(3)

    async def main() -> None:
        async with Client(cluster.endpoints) as client:
            await client.put(COUNTER, "0")
            for lease in range(1, WORKERS + 1):
                await client.leases.grant(TTL_S, id=lease)
            workers = [Worker(cluster, number) for number in range(WORKERS)]
            working = asyncio.gather(*[worker.run(client) for worker in workers])
            leader = await asyncio.to_thread(cluster.leader)
            await asyncio.to_thread(cluster.kill9, leader)
            await asyncio.to_thread(cluster.leader, leader)
            await asyncio.to_thread(cluster.restart, leader)
            async with asyncio.timeout(_PATIENCE_S):
                await working
            counted = sum(worker.counted for worker in workers)
            perhaps = sum(worker.perhaps for worker in workers)
            found = int((await client.get(COUNTER)).value or b"")
            assert counted <= found <= counted + perhaps
            assert counted > WORKERS * ROUNDS // 2

    asyncio.run(main())

"""Leases of people with few permissions: whoever touches a lease touches the keys on it."""

from __future__ import annotations

import asyncio

from api.auth.people import DENIED, EMPTY, FAST, KV, LEASE, Person, login, settle
from api.node.hands import LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb


async def renew(person: Person, lease: int) -> int | tuple[int, str]:
    """The TTL of a renewed lease, or how it is refused."""
    try:
        async with person.local.stream(
            LEASE + "LeaseKeepAlive", metadata=person.metadata
        ) as stream:
            await stream.send_message(pb.LeaseKeepAliveRequest(id=lease), end=True)
            answer = await stream.recv_message()
            return int(answer.ttl)
    except GRPCError as error:
        return error.status.value, error.message or ""


async def granted(person: Person, lease: int) -> None:
    request = pb.LeaseGrantRequest(id=lease, ttl=60)
    assert (await person.call(LEASE + "LeaseGrant", request)).id == lease


async def others(local: LocalCluster) -> tuple[Person, Person, Person]:
    """Root with a key ``secret`` on lease 1, a reader, a writer with a key on lease 2."""
    root = await settle(local)
    reader, writer = await login(local, "reader"), await login(local, "writer")
    await granted(root, 1)
    await root.put(b"secret", b"x", lease=1)
    await granted(writer, 2)
    await writer.put(b"w/a", b"x", lease=2)
    return root, reader, writer


def test_a_lease_is_revoked_by_who_may_delete_its_keys() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root, reader, writer = await others(local)
            revoke = LEASE + "LeaseRevoke"
            for person in (reader, writer):
                assert await person.refused(revoke, pb.LeaseRevokeRequest(id=1)) == DENIED
            assert await Person(local).refused(revoke, pb.LeaseRevokeRequest(id=2)) == EMPTY
            assert await reader.refused(revoke, pb.LeaseRevokeRequest(id=2)) == DENIED
            missing = (5, "etcdserver: requested lease not found")
            assert await reader.refused(revoke, pb.LeaseRevokeRequest(id=3)) == missing
            assert await Person(local).refused(revoke, pb.LeaseRevokeRequest(id=3)) == EMPTY
            await writer.call(revoke, pb.LeaseRevokeRequest(id=2))
            await root.call(revoke, pb.LeaseRevokeRequest(id=1))
            assert await root.get(b"secret") == []

    asyncio.run(main())


def test_keys_are_hung_on_a_lease_by_who_may_write_the_others() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            _, _, writer = await others(local)
            put = pb.PutRequest(key=b"w/b", lease=1)
            assert await writer.refused(KV + "Put", put) == DENIED
            txn = pb.TxnRequest(failure=[pb.RequestOp(request_put=put)])
            assert await writer.refused(KV + "Txn", txn) == DENIED
            await writer.put(b"w/b", lease=2)

    asyncio.run(main())


def test_a_lease_is_kept_alive_by_who_may_write_its_keys() -> None:
    async def main() -> None:
        async with cluster(3, **FAST) as local:
            root, reader, writer = await others(local)
            assert await renew(root, 1) == 60
            assert await renew(writer, 2) == 60
            assert await renew(writer, 1) == DENIED
            assert await renew(reader, 2) == DENIED
            assert await renew(Person(local), 2) == EMPTY
            assert await renew(Person(local), 3) == EMPTY
            assert await renew(reader, 3) == 0  # Not there: any user may hear that.

    asyncio.run(main())


def test_keys_on_a_lease_are_told_to_who_may_read_them() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root, reader, writer = await others(local)
            await granted(root, 4)
            await root.put(b"r/b", b"x", lease=4)
            path = LEASE + "LeaseTimeToLive"

            def asked(lease: int, keys: bool = True) -> pb.LeaseTimeToLiveRequest:
                return pb.LeaseTimeToLiveRequest(id=lease, keys=keys)

            assert await reader.refused(path, asked(1)) == DENIED
            assert await writer.refused(path, asked(2)) == DENIED
            assert await Person(local).refused(path, asked(1, keys=False)) == EMPTY
            assert (await reader.call(path, asked(1, keys=False))).granted_ttl == 60
            assert (await reader.call(path, asked(4))).keys == [b"r/b"]
            assert (await root.call(path, asked(1))).keys == [b"secret"]
            assert (await reader.call(path, asked(9))).ttl == -1

    asyncio.run(main())


def test_all_leases_are_told_to_who_may_read_all_their_keys() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root, reader, _ = await others(local)
            path, request = LEASE + "LeaseLeases", pb.LeaseLeasesRequest()
            assert await reader.refused(path, request) == DENIED
            assert sorted(x.id for x in (await root.call(path, request)).leases) == [1, 2]
            for lease in (1, 2):
                await root.call(LEASE + "LeaseRevoke", pb.LeaseRevokeRequest(id=lease))
            await granted(reader, 5)
            assert [x.id for x in (await reader.call(path, request)).leases] == [5]

    asyncio.run(main())

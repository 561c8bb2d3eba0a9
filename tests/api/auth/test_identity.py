"""Who calls by a certificate, through the gateway, and in the name of others."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any

from api.auth.people import AUTH, DENIED, EMPTY, FAST, KV, Person, login, settle
from api.node.hands import MEMBER_IDS, LocalCluster, cluster
from grpclib.const import Handler
from grpclib.exceptions import GRPCError
from kvorum.api import registry
from kvorum.api.gateway.calls import metadata_of
from kvorum.api.guards import common_name
from kvorum.config_tls import TlsConfig
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import v3electionpb as ve
from kvorum_proto import v3lockpb as vl
from kvorum_proto.grpc.health.v1 import HealthCheckRequest
from multidict import CIMultiDict, MultiDict

HEALTH = "/grpc.health.v1.Health/Check"
LOCK, UNLOCK = "/v3lockpb.Lock/Lock", "/v3lockpb.Lock/Unlock"


class Certificate:
    """The other end of a connection, as grpclib tells it."""

    def __init__(self, *names: str) -> None:
        self._subject = ((("organizationName", "x"),), *((("commonName", n),) for n in names))

    def cert(self) -> dict[str, Any]:
        """The certificate, parsed."""
        return {"subject": self._subject}

    def addr(self) -> tuple[str, int]:
        """Where from."""
        return ("127.0.0.1", 1)


class Stream:
    """A call of somebody with a certificate."""

    deadline = None

    def __init__(self, request: Any, peer: Certificate, **metadata: str) -> None:
        self.metadata = MultiDict(metadata)
        self.peer = peer
        self._request = request
        self.answer: Any = None

    async def recv_message(self) -> Any:
        """The request."""
        return self._request

    async def send_message(self, message: Any) -> None:
        """Keeps the answer."""
        self.answer = message


async def called(
    local: LocalCluster, path: str, request: Any, peer: Certificate, **metadata: str
) -> Any:
    """A call with a certificate: its answer, or how it is refused."""
    handlers: dict[str, Handler] = {}
    for service in registry.client_services(local.nodes[MEMBER_IDS[0]]):
        handlers.update(service.__mapping__())
    stream: Any = Stream(request, peer, **metadata)
    try:
        await handlers[path].func(stream)
    except GRPCError as error:
        return error.status.value, error.message
    return stream.answer


def asks_for_certificates(local: LocalCluster) -> None:
    node = local.nodes[MEMBER_IDS[0]]
    tls = dataclasses.replace(TlsConfig(), client_cert_auth=True)
    node.config = dataclasses.replace(node.config, client_tls=tls)


def test_a_certificate_stands_for_its_common_name() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            own = pb.RangeRequest(key=b"r/a")
            path = KV + "Range"
            reader = Certificate("reader")
            # Certificates count where they are asked for and checked.
            assert await called(local, path, own, reader) == EMPTY
            asks_for_certificates(local)
            assert isinstance(await called(local, path, own, reader), bytes)
            assert await called(local, path, pb.RangeRequest(key=b"secret"), reader) == DENIED
            assert await called(local, path, own, Certificate("stranger")) == DENIED
            assert await called(local, path, own, Certificate()) == EMPTY
            assert isinstance(await called(local, path, own, Certificate("root")), bytes)
            # A token comes first.
            guest = await login(local, "guest")
            denied = await called(local, path, own, reader, token=guest.token or "")
            assert denied == DENIED
            fine = await called(local, path, own, Certificate("guest"), token=root.token or "")
            assert isinstance(fine, bytes)
            # The connection of a gateway's call may be a proxy's.
            metadata = {"grpcgateway-accept": "*/*"}
            assert await called(local, path, own, reader, **metadata) == EMPTY

    asyncio.run(main())


def test_the_last_of_several_common_names_counts() -> None:
    assert common_name(Certificate("a", "b")) == "b"
    assert common_name(Certificate()) == ""
    assert common_name(SimpleNamespace(cert=lambda: None)) == ""


def test_names_of_the_token_in_http() -> None:
    def found(**headers: str) -> dict[str, str]:
        named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        request: Any = SimpleNamespace(headers=named)
        metadata = dict(metadata_of(request))
        metadata.pop("grpcgateway-accept")
        return metadata

    assert found(Authorization="t.1") == {"authorization": "t.1"}
    assert found(authorization="Bearer t.1") == {"authorization": "t.1"}
    assert found(Grpc_Metadata_Token="t.1") == {"token": "t.1"}
    assert found(Grpc_Metadata_Authorization="Bearer t.1") == {"authorization": "Bearer t.1"}
    assert found(Token="t.1") == {"token": "t.1"}


def test_locks_are_taken_in_the_callers_name() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            root = await settle(local)
            guest = await login(local, "guest")
            request = vl.LockRequest(name=b"l")
            # These services have one code for all.
            assert await guest.refused(LOCK, request) == (2, DENIED[1])
            assert await Person(local).refused(LOCK, request) == (2, EMPTY[1])
            unlock = vl.UnlockRequest(key=b"r/a")
            assert await guest.refused(UNLOCK, unlock) == (2, DENIED[1])
            lock = await root.call(LOCK, request)
            await root.call(UNLOCK, vl.UnlockRequest(key=lock.key))
            leader = "/v3electionpb.Election/Leader"
            words = (2, DENIED[1])
            assert await guest.refused(leader, ve.LeaderRequest(name=b"e")) == words
            campaign = "/v3electionpb.Election/Campaign"
            assert await guest.refused(campaign, ve.CampaignRequest(name=b"e")) == words
            users = await root.call(AUTH + "UserList", pb.AuthUserListRequest())
            assert len(users.users) == 4

    asyncio.run(main())


def test_health_is_told_to_everybody() -> None:
    async def main() -> None:
        async with cluster(**FAST) as local:
            await settle(local)
            for person in (Person(local), Person(local, "wrong")):
                assert int((await person.call(HEALTH, HealthCheckRequest())).status) == 1

    asyncio.run(main())

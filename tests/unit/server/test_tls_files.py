"""Files of certificates, names in them, and the log of those turned away: without any
connection.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from kvorum.certs import Watched
from kvorum.config_tls import TlsConfig
from kvorum.errors import ConfigError
from kvorum.server import tls as tls_module
from kvorum.server.selfsigned import self_signed
from kvorum.server.tls import Refusals, TlsPort, address_refusal, names_host
from kvorum.urls import parse_urls
from support.authority import DAY, Authority


def test_something_made_from_files_is_made_again_only_when_they_change(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    old = 1_000_000_000_000_000_000
    os.utime(file, ns=(old, old))
    made: list[str] = []

    def make() -> str:
        text = file.read_text()
        made.append(text)
        if text == "bad":
            raise ConfigError("bad")
        return text

    watched = Watched((file, None), make)
    assert [watched.get() for _ in range(3)] == ["1"] * 3
    assert made == ["1"]
    file.write_text("bad")
    os.utime(file, ns=(old + 1, old + 1))
    assert [watched.get() for _ in range(3)] == ["1"] * 3
    assert made == ["1", "bad"]
    file.write_text("2")
    os.utime(file, ns=(old + 2, old + 2))
    assert [watched.get() for _ in range(3)] == ["2"] * 3
    assert made == ["1", "bad", "2"]
    # So new that it may change within one tick of the clock: looked at every time.
    file.write_text("3")
    assert [watched.get() for _ in range(2)] == ["3"] * 2
    assert made[3:] in (["3"], ["3", "3"])


def test_something_that_cannot_be_made_at_first_is_an_error(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown, other = authority.issue("server"), authority.issue("other")
    nowhere = tmp_path / "nowhere"
    good = TlsConfig(cert_file=shown.cert, key_file=shown.key)
    for config, text in (
        (replace(good, key_file=other.key), "does not match the public key of certificate"),
        (replace(good, cert_file=nowhere), f"open {nowhere}: no such file or directory"),
        (replace(good, cert_file=shown.key), "not a PEM certificate and an unencrypted PEM key"),
        (replace(good, trusted_ca_file=nowhere), f"open {nowhere}: no such file or directory"),
        (replace(good, trusted_ca_file=shown.key), "holds no PEM certificate"),
        (replace(good, crl_file=nowhere), f"revocation list {nowhere}: "),
        (replace(good, crl_file=shown.cert), f"revocation list {shown.cert}: "),
        (replace(good, ciphers=("RC4-SHA",)), "this machine's OpenSSL has none of RC4-SHA"),
    ):
        with pytest.raises(ConfigError) as caught:
            TlsPort(config, tmp_path).check(listens=True, dials=False)
        assert text in str(caught.value)


def test_a_self_signed_certificate_that_ran_out_is_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = authority.issue("cert", ends=-DAY / 2)
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "cert.pem").write_bytes(old.cert.read_bytes())
    (folder / "key.pem").write_bytes(old.key.read_bytes())
    cert, _ = self_signed(folder, ["::1", "host.example"], 1)
    made = x509.load_pem_x509_certificate(cert.read_bytes())
    assert made.serial_number != old.serial
    with pytest.raises(ConfigError, match="cannot keep a self-signed certificate"):
        self_signed(cert / "below", [], 1)
    with pytest.raises(ConfigError, match="cannot keep a self-signed certificate"):
        self_signed(tmp_path / "for-ever", [], 10_000_000)
    (folder / "cert.pem").write_bytes(old.cert.read_bytes())
    _, key = self_signed(folder, [], 1)
    assert key.stat().st_mode & 0o777 == 0o600


def test_no_certificate_is_made_for_plain_urls(tmp_path: Path) -> None:
    TlsPort(TlsConfig(auto=True), tmp_path, parse_urls("http://127.0.0.1:1"))
    assert list(tmp_path.iterdir()) == []


def shown_for(*names: tuple[str, str]) -> dict[str, Any]:
    """What getpeercert gives for a certificate with these alternative names."""
    return {"subject": ((("commonName", "x.example"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        ((("DNS", "a.example"),), "a.example", True),
        ((("DNS", "A.Example"),), "a.EXAMPLE.", True),
        ((("DNS", "*.example"),), "a.example", True),
        ((("DNS", "*.example"),), "a.b.example", False),
        ((("DNS", "*.example"),), "example", False),
        ((("DNS", "a*.example"),), "ab.example", False),
        ((("DNS", "127.0.0.1"),), "127.0.0.1", False),
        ((("IP Address", "127.0.0.1"),), "127.0.0.1", True),
        ((("IP Address", "0:0:0:0:0:0:0:1"),), "::1", True),
        ((("IP Address", "127.0.0.1"),), "127.0.0.2", False),
        # The common name is no host name, as in Go.
        ((), "x.example", False),
    ],
)
def test_names_of_certificates(names: tuple[tuple[str, str], ...], host: str, fits: bool) -> None:
    assert names_host(shown_for(*names), host) is fits


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ((), ""),
        ((("IP Address", "127.0.0.1"),), ""),
        ((("DNS", "localhost"),), ""),
        ((("IP Address", "192.0.2.1"), ("DNS", "localhost")), ""),
        ((("IP Address", "192.0.2.1"),), "x509: certificate is valid for 192.0.2.1, not 127.0.0.1"),
        (
            (("DNS", "nowhere.invalid"), ("DNS", "*.nowhere.invalid")),
            'tls: "127.0.0.1" does not match any of DNSNames '
            "['nowhere.invalid', '*.nowhere.invalid']",
        ),
    ],
)
def test_addresses_of_peers(names: tuple[tuple[str, str], ...], refusal: str) -> None:
    assert asyncio.run(address_refusal(shown_for(*names), "127.0.0.1")) == refusal


def test_refusals_are_told_within_bounds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    monkeypatch.setattr(tls_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(tls_module, "TLS_REFUSALS_TOLD", 3)
    refusals = Refusals("peer")
    for number in range(50):
        refusals.tell(("192.0.2.1", number), "no")
    assert len(caplog.records) == 3
    first = caplog.records[0]
    assert first.message == "rejected connection on peer endpoint"
    assert first.__dict__["remote-addr"] == "192.0.2.1:0"
    now[0] += tls_module.TLS_REFUSALS_WINDOW_S
    refusals.tell("", "no")
    assert [r.message for r in caplog.records[3:]] == [
        "rejected more connections",
        "rejected connection on peer endpoint",
    ]
    assert caplog.records[3].__dict__["count"] == 47

"""Flags about TLS: what they come to, what contradicts itself, what is merely warned of."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from kvorum import config
from kvorum.ciphers import openssl_names, version_of
from kvorum.config import NodeConfig
from kvorum.errors import ConfigError

HTTPS = (
    "--listen-client-urls=https://127.0.0.1:2379",
    "--advertise-client-urls=https://127.0.0.1:2379",
)
PEERS = (
    "--listen-peer-urls=https://127.0.0.1:2380",
    "--initial-advertise-peer-urls=https://127.0.0.1:2380",
)
PAIR = ("--cert-file=c", "--key-file=k")
PEER_PAIR = ("--peer-cert-file=pc", "--peer-key-file=pk")


def load(*flags: str) -> NodeConfig:
    loaded = config.load(list(flags), {})
    assert isinstance(loaded, NodeConfig)
    return loaded


def test_every_flag_has_its_place() -> None:
    loaded = load(
        *HTTPS,
        *PEERS,
        *PAIR,
        *PEER_PAIR,
        "--client-cert-auth",
        "--trusted-ca-file=ca",
        "--client-crl-file=crl",
        "--client-cert-allowed-hostname=h",
        "--peer-client-cert-auth",
        "--peer-trusted-ca-file=pca",
        "--peer-crl-file=pcrl",
        "--peer-cert-allowed-cn=cn",
        "--peer-client-cert-file=pcc",
        "--peer-client-key-file=pck",
        "--experimental-peer-skip-client-san-verification",
        "--self-signed-cert-validity=3",
        "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_AES_128_GCM_SHA256",
        "--tls-max-version=TLS1.3",
    )
    client, peer = loaded.client_tls, loaded.peer_tls
    assert (client.kind, client.cert_file, client.key_file) == ("client", Path("c"), Path("k"))
    assert (client.trusted_ca_file, client.crl_file) == (Path("ca"), Path("crl"))
    assert (client.client_cert_auth, client.allowed_hostname) == (True, "h")
    assert client.skip_client_san
    assert (peer.kind, peer.cert_file, peer.key_file) == ("peer", Path("pc"), Path("pk"))
    assert (peer.trusted_ca_file, peer.crl_file) == (Path("pca"), Path("pcrl"))
    assert (peer.dial_cert_file, peer.dial_key_file) == (Path("pcc"), Path("pck"))
    assert (peer.allowed_cn, peer.allowed_hostname) == ("cn", "")
    assert peer.skip_client_san
    for one in (client, peer):
        assert one.ciphers == ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305")
        assert (one.min_version, one.max_version, one.validity_years) == ("TLS1.2", "TLS1.3", 3)
    assert loaded.warnings == ()


def test_a_ca_alone_asks_for_certificates() -> None:
    # As etcd does: with an authority to check clients by, they are checked.
    assert load(*HTTPS, *PAIR, "--trusted-ca-file=ca").client_tls.wants_client_cert
    assert not load(*HTTPS, *PAIR).client_tls.wants_client_cert


def test_suites_by_their_go_names() -> None:
    names = "TLS_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"
    assert openssl_names(names) == ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256")
    both = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    assert openssl_names(both) == ("ECDHE-RSA-CHACHA20-POLY1305",)
    assert version_of("") is None
    assert version_of("TLS1.3") is ssl.TLSVersion.TLSv1_3


def test_every_suite_of_tls_1_2_that_go_prefers_is_known_here() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = [
        f"TLS_ECDHE_{key}_WITH_{bulk}"
        for key in ("RSA", "ECDSA")
        for bulk in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
    ]
    context.set_ciphers(":".join(openssl_names(names)))
    have = {cipher["name"] for cipher in context.get_ciphers()}
    assert set(openssl_names(names)) <= have


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--key-file=k",), "--cert-file and --key-file must both be present or both absent"),
        (
            ("--peer-cert-file=c",),
            "--peer-cert-file and --peer-key-file must both be present or both absent",
        ),
        (
            (*PEER_PAIR, "--peer-client-key-file=k"),
            "--peer-client-cert-file and --peer-client-key-file must both be present",
        ),
        (
            HTTPS,
            "TLS key/cert (--cert-file, --key-file) must be provided for client url "
            "https://127.0.0.1:2379 with HTTPS scheme",
        ),
        (
            ("--listen-metrics-urls=https://127.0.0.1:2381",),
            "TLS key/cert (--cert-file, --key-file) must be provided for metrics url",
        ),
        (
            ("--listen-peer-urls=unixs:///tmp/x",),
            "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url",
        ),
        ((*PAIR, "--client-cert-auth"), "--client-cert-auth needs --trusted-ca-file"),
        (
            (*PEER_PAIR, "--peer-client-cert-auth"),
            "--peer-client-cert-auth needs --peer-trusted-ca-file",
        ),
        (
            ("--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"),
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            ("--tls-min-version=TLS1.1",),
            'unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)',
        ),
        (("--tls-max-version=SSL3",), 'unexpected TLS version "SSL3"'),
        (("--cipher-suites=FOO",), 'unexpected TLS cipher suite "FOO"'),
        (
            ("--cipher-suites=TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",),
            'unexpected TLS cipher suite "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"',
        ),
        (
            ("--tls-min-version=TLS1.3", "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (
            ("--tls-max-version=TLS1.2", "--cipher-suites=TLS_AES_128_GCM_SHA256"),
            "--cipher-suites has suites of TLS1.3 only, above --tls-max-version",
        ),
        (
            ("--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"),
            "--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive",
        ),
        (
            ("--auto-tls", "--self-signed-cert-validity=0"),
            "selfSignedCertValidity is invalid,it should be greater than 0",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(flags: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(*flags)
    assert str(caught.value).startswith(text)


def test_settings_without_effect_are_warned_of() -> None:
    loaded = load(*PAIR, "--client-cert-auth", "--trusted-ca-file=ca", "--auto-tls")
    url = "http://localhost:2379"
    assert loaded.warnings == (
        "scheme is HTTP while key and cert files are present; ignoring key and cert files "
        f"(client-url {url})",
        "scheme is HTTP while --client-cert-auth is enabled; ignoring client cert auth for this "
        f"URL (client-url {url})",
        "ignoring client auto TLS since certs given",
    )

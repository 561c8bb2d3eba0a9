"""What a node is told about TLS: one frozen value for the client port and one for the peer port,
checked in etcd's words (contract page "server", sections 2 and 5).

Only what flags can contradict is checked here; files are read by :mod:`kvorum.server.tls` before a
port answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kvorum.ciphers import openssl_names, version_of
from kvorum.errors import ConfigError
from kvorum.flags import Settings
from kvorum.urls import Url


@dataclass(frozen=True)
class TlsConfig:
    """The TLS settings of one kind of port.

    ``kind`` is "client" or "peer". ``dial_cert_file`` and ``dial_key_file`` are shown to others
    where this node is the client (None: ``cert_file`` and ``key_file`` are). ``ciphers`` are
    OpenSSL's names; ``newest_only`` says that those asked for are all of TLS 1.3.
    """

    kind: str = "client"
    cert_file: Path | None = None
    key_file: Path | None = None
    dial_cert_file: Path | None = None
    dial_key_file: Path | None = None
    trusted_ca_file: Path | None = None
    crl_file: Path | None = None
    client_cert_auth: bool = False
    allowed_cn: str = ""
    allowed_hostname: str = ""
    # Do not compare the addresses in a peer's certificate with the one it comes from (nor in a
    # client's: etcd does so on the peer port only).
    skip_client_san: bool = False
    # Make a self-signed certificate in the data directory when none is given.
    auto: bool = False
    validity_years: int = 1
    ciphers: tuple[str, ...] = ()
    newest_only: bool = False
    min_version: str = "TLS1.2"
    max_version: str = ""

    @property
    def has_certificate(self) -> bool:
        """Whether there is a certificate to show: given, or made."""
        return self.auto or (self.cert_file is not None and self.key_file is not None)

    @property
    def wants_client_cert(self) -> bool:
        """Whether who connects must show a certificate; etcd asks for one as soon as there is a CA
        to check it with.
        """
        return self.client_cert_auth or self.trusted_ca_file is not None

    @property
    def prefix(self) -> str:
        """What this port's flags begin with."""
        return "peer-" if self.kind == "peer" else ""


def read_tls(s: Settings, kind: str) -> TlsConfig:
    """The settings of the "client" or the "peer" port. ConfigError when they contradict
    themselves.
    """
    peer = kind == "peer"
    prefix = "peer-" if peer else ""

    def file(name: str) -> Path | None:
        text = s.text(prefix + name)
        return Path(text) if text else None

    suites = [word.strip() for word in s.text("cipher-suites").split(",") if word.strip()]
    ciphers = openssl_names(suites)
    tls = TlsConfig(
        kind=kind,
        cert_file=file("cert-file"),
        key_file=file("key-file"),
        dial_cert_file=file("client-cert-file"),
        dial_key_file=file("client-key-file"),
        trusted_ca_file=file("trusted-ca-file"),
        crl_file=file("crl-file" if peer else "client-crl-file"),
        client_cert_auth=s.boolean(prefix + "client-cert-auth"),
        allowed_cn=s.text("peer-cert-allowed-cn") if peer else "",
        allowed_hostname=s.text(prefix + ("" if peer else "client-") + "cert-allowed-hostname"),
        skip_client_san=not peer or s.boolean("peer-skip-client-san-verification"),
        auto=s.boolean(prefix + "auto-tls"),
        validity_years=s.integer("self-signed-cert-validity"),
        ciphers=ciphers,
        newest_only=bool(suites) and not ciphers,
        min_version=s.text("tls-min-version"),
        max_version=s.text("tls-max-version"),
    )
    _check(tls)
    return tls


def _check(tls: TlsConfig) -> None:
    low, high = version_of(tls.min_version), version_of(tls.max_version)
    if low is not None and high is not None and low > high:
        raise ConfigError(
            f"min version ({tls.min_version}) is greater than max version ({tls.max_version})"
        )
    if tls.min_version == "TLS1.3" and (tls.ciphers or tls.newest_only):
        raise ConfigError("cipher suites cannot be configured when only TLS1.3 is enabled")
    if tls.newest_only and tls.max_version == "TLS1.2":
        raise ConfigError("--cipher-suites has suites of TLS1.3 only, above --tls-max-version")
    for cert, key, cert_flag, key_flag in (
        (tls.cert_file, tls.key_file, f"{tls.prefix}cert-file", f"{tls.prefix}key-file"),
        (
            tls.dial_cert_file,
            tls.dial_key_file,
            f"{tls.prefix}client-cert-file",
            f"{tls.prefix}client-key-file",
        ),
    ):
        if (cert is None) != (key is None):
            raise ConfigError(
                f"--{cert_flag} and --{key_flag} must both be present or both absent "
                f"[key: {key or ''}, cert: {cert or ''}]"
            )
    if tls.client_cert_auth and tls.trusted_ca_file is None:
        raise ConfigError(
            f"--{tls.prefix}client-cert-auth needs --{tls.prefix}trusted-ca-file, "
            "the CA that clients' certificates are checked with"
        )
    if tls.allowed_cn and tls.allowed_hostname:
        raise ConfigError(
            "--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive "
            f'(cn="{tls.allowed_cn}", hostname="{tls.allowed_hostname}")'
        )
    if tls.auto and tls.cert_file is None and tls.validity_years < 1:
        raise ConfigError(
            "selfSignedCertValidity is invalid,it should be greater than 0 "
            "(--self-signed-cert-validity is in years)"
        )


def verify_schemes(tls: TlsConfig, urls: Iterable[Url], flags: str) -> None:
    """Whether the URLs that ``flags`` list can be listened on. ConfigError for TLS without a
    certificate.
    """
    for url in urls:
        if url.is_secure and not tls.has_certificate:
            raise ConfigError(
                f"TLS key/cert (--{tls.prefix}cert-file, --{tls.prefix}key-file) must be provided "
                f"for {flags} url {url.text} with HTTPS scheme"
            )


def scheme_warnings(tls: TlsConfig, urls: Iterable[Url]) -> list[str]:
    """What to say about settings that do nothing because a URL is plain, in etcd's words."""
    said = []
    for url in urls:
        if url.is_secure:
            continue
        if tls.cert_file is not None:
            said.append(
                "scheme is HTTP while key and cert files are present; ignoring key and cert files "
                f"({tls.kind}-url {url.text})"
            )
        if tls.client_cert_auth:
            said.append(
                f"scheme is HTTP while --{tls.prefix}client-cert-auth is enabled; ignoring client "
                f"cert auth for this URL ({tls.kind}-url {url.text})"
            )
    if tls.auto and tls.cert_file is not None:
        said.append(f"ignoring {tls.kind} auto TLS since certs given")
    return said

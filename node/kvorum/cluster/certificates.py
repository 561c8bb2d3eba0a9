"""An authority of a cluster's own, and certificates for its nodes and clients.

They are made in the run directory at the first start and again when they are about to run out;
nodes take new files without a restart. The authority is good for this cluster on this machine and
for nothing else: its key lies beside it, readable by its owner only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kvorum.client.connection import TLS
from kvorum.cluster.rundir import HOST, ClusterError
from kvorum.files import replace_file

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=365)
# Certificates with less left than this are made anew at a start.
_RENEW = timedelta(days=30)
_EARLIER = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key, PEM."""

    cert: Path
    key: Path


class Certificates:
    """The certificates in ``folder``: ``ca``, one a node, one a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.crt"

    def pair(self, name: str) -> Pair:
        """The files of one holder, there or not."""
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def tls(self, name: str | None) -> TLS:
        """The TLS side of a client that shows the certificate of ``name`` (None: shows none)."""
        if name is None:
            return TLS(self.ca)
        pair = self.pair(name)
        return TLS(self.ca, pair.cert, pair.key)

    def prepare(self, nodes: Iterable[str], clients: Iterable[str]) -> None:
        """Make what is missing or about to run out. Raises ClusterError when files are in the
        way.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _lasts(self.ca):
                self._make_authority()
            for name in (*nodes, *clients):
                if not _lasts(self.pair(name).cert):
                    self.issue(name)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"{self.folder}: the certificates there cannot be used ({error}); start with "
                "--fresh to have new ones"
            ) from error

    def _make_authority(self) -> None:
        secret = ec.generate_private_key(ec.SECP256R1())
        name = _subject(f"kvorum sample authority {x509.random_serial_number() & 0xFFFF_FFFF:08x}")
        builder = _builder(name, name, secret, AUTHORITY_LIFE).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self._write("ca", builder.add_extension(usage, critical=True), secret, secret)
        for stale in self.folder.glob("*.crt"):
            if stale != self.ca:
                stale.unlink()

    def issue(self, name: str, life: timedelta = LIFE) -> Pair:
        """A new certificate for ``name``, in place of one that may be there. The common name is
        ``name``; the addresses are those of this machine's loopback.
        """
        ca = self.pair("ca")
        authority = x509.load_pem_x509_certificate(ca.cert.read_bytes())
        signer = serialization.load_pem_private_key(ca.key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        secret = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_subject(name), authority.subject, secret, life)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        return self._write(name, builder, secret, signer)

    def _write(
        self,
        name: str,
        builder: x509.CertificateBuilder,
        secret: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
    ) -> Pair:
        identifier = x509.SubjectKeyIdentifier.from_public_key(secret.public_key())
        made = builder.add_extension(identifier, critical=False).sign(signer, hashes.SHA256())
        pair = self.pair(name)
        encoding = serialization.Encoding.PEM
        form = serialization.PrivateFormat.PKCS8
        pem = secret.private_bytes(encoding, form, serialization.NoEncryption())
        replace_file(pair.key, pem, private=True, durable=True)
        replace_file(pair.cert, made.public_bytes(encoding), private=True, durable=True)
        return pair


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, secret: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
    )


def _lasts(cert: Path) -> bool:
    if not cert.exists():
        return False
    ends = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
    return ends > datetime.now(UTC) + _RENEW

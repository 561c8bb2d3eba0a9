"""Authorities and certificates for tests: any dates, names, uses and signers; revocation lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER_ONLY = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT_ONLY = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files, and the serial number."""

    cert: Path
    key: Path
    serial: int


class Authority:
    """A CA. ``parent`` makes it an intermediate one."""

    def __init__(
        self, folder: Path, name: str = "test authority", parent: Authority | None = None
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name = _subject(name)
        self.secret = ec.generate_private_key(ec.SECP256R1())
        self.parent = parent
        signer = parent or self
        now = datetime.now(UTC)
        self.certificate = (
            _builder(self.name, signer.name, self.secret, now - 2 * DAY, now + 100 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.secret, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(_pem(self.certificate))

    def issue(
        self,
        label: str,
        *,
        cn: str = "",
        hosts: Sequence[str] = ("127.0.0.1", "localhost"),
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
        uses: Sequence[x509.ObjectIdentifier] = BOTH,
        self_signed: bool = False,
        with_chain: bool = True,
    ) -> Identity:
        """A certificate in files called ``label``; issuing a label again replaces them."""
        secret = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = _subject(cn or label)
        builder = _builder(
            subject, subject if self_signed else self.name, secret, now + begins, now + ends
        ).add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(secret if self_signed else self.secret, hashes.SHA256())
        chain = _pem(made)
        if self.parent is not None and with_chain:
            chain += _pem(self.certificate)
        identity = Identity(
            self.folder / f"{label}.crt", self.folder / f"{label}.key", made.serial_number
        )
        # The key first: whoever reads in between finds a pair that does not match, and waits.
        identity.key.write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        identity.cert.write_bytes(chain)
        return identity

    def revoke(self, file: Path, *serials: int, pem: bool = True) -> Path:
        """A revocation list with these serial numbers."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - DAY)
            .next_update(now + DAY)
        )
        for serial in serials:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(now - DAY)
                .build()
            )
            builder = builder.add_revoked_certificate(entry)
        encoding = serialization.Encoding.PEM if pem else serialization.Encoding.DER
        file.write_bytes(builder.sign(self.secret, hashes.SHA256()).public_bytes(encoding))
        return file


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    secret: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)

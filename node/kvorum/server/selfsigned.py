"""Self-signed certificates for ``--auto-tls``: made once, kept in the data directory, replaced when
they have run out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kvorum.errors import ConfigError
from kvorum.files import replace_file

log = logging.getLogger(__name__)

_DAYS_A_YEAR = 365
# Clocks of clients may run behind.
_EARLIER = timedelta(hours=1)


def self_signed(folder: Path, hosts: Iterable[str], years: int) -> tuple[Path, Path]:
    """The certificate and key in ``folder``, made if there are none that hold now.

    Args:
        folder: ``fixtures/client`` or ``fixtures/peer`` of a data directory, as etcd has it.
        hosts: the addresses and names that it is for.
        years: how long a new one is valid.

    ConfigError when the folder cannot be used.
    """
    cert, key = folder / "cert.pem", folder / "key.pem"
    try:
        if cert.exists() and key.exists() and _holds(cert):
            return cert, key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(cert, key, hosts, years)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"cannot keep a self-signed certificate in {folder}: {error}") from None
    log.info("made a self-signed certificate", extra={"cert-file": str(cert), "years": years})
    return cert, key


def _holds(cert: Path) -> bool:
    ends = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
    if ends > datetime.now(UTC):
        return True
    log.warning("replacing an expired self-signed certificate", extra={"cert-file": str(cert)})
    return False


def _make(cert: Path, key: Path, hosts: Iterable[str], years: int) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "kvorum")])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=_DAYS_A_YEAR * years))
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    pem = secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    replace_file(key, pem, private=True, durable=True)
    replace_file(cert, made.public_bytes(serialization.Encoding.PEM), private=True, durable=True)


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys((*hosts, "localhost", "127.0.0.1")):
        if not host:
            continue
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names

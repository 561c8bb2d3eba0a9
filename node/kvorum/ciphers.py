"""Cipher suites and protocol versions of TLS: the names that etcd's flags have for them, and what
OpenSSL calls them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from kvorum.errors import ConfigError

# Suites of TLS 1.3 are always on; etcd accepts their names without effect too.
_NEWEST = frozenset(
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
)
_KEY_EXCHANGES = {"RSA": "", "ECDHE_RSA": "ECDHE-RSA-", "ECDHE_ECDSA": "ECDHE-ECDSA-"}
_BULKS = {
    "RC4_128_SHA": "RC4-SHA",
    "3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "AES_128_CBC_SHA": "AES128-SHA",
    "AES_256_CBC_SHA": "AES256-SHA",
    "AES_128_CBC_SHA256": "AES128-SHA256",
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "CHACHA20_POLY1305": "CHACHA20-POLY1305",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
_VERSIONS = {
    "": None,
    "TLS1.2": ssl.TLSVersion.TLSv1_2,
    "TLS1.3": ssl.TLSVersion.TLSv1_3,
}


def openssl_name(name: str) -> str:
    """OpenSSL's name of a suite, empty for one of TLS 1.3. ConfigError for an unknown one."""
    if name in _NEWEST:
        return ""
    exchange, separator, bulk = name.removeprefix("TLS_").partition("_WITH_")
    if name.startswith("TLS_") and separator and exchange in _KEY_EXCHANGES and bulk in _BULKS:
        return _KEY_EXCHANGES[exchange] + _BULKS[bulk]
    raise ConfigError(f'unexpected TLS cipher suite "{name}"')


def openssl_names(names: Iterable[str]) -> tuple[str, ...]:
    """OpenSSL's names of the suites below TLS 1.3, without repetitions. ConfigError for an unknown
    one.
    """
    found = dict.fromkeys(openssl_name(name) for name in names)
    return tuple(name for name in found if name)


def version_of(text: str) -> ssl.TLSVersion | None:
    """A version as ``--tls-min-version`` has it; None for "leave it to the library". ConfigError
    for anything else.
    """
    if text not in _VERSIONS:
        known = ", ".join(filter(None, _VERSIONS))
        raise ConfigError(f'unexpected TLS version "{text}" (must be one of: {known})')
    return _VERSIONS[text]

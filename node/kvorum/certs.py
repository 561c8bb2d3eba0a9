"""Certificate files, read again when they change: what both sides of a TLS connection share.

Rotation works as with etcd: whoever replaces the files restarts nothing. Each connection asks for
the context; a look at the files' times (a few microseconds) tells whether the one at hand is still
right. A set that cannot be read, say because the key was replaced and the certificate not yet,
leaves the one before in use until the files change again.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from kvorum.errors import ConfigError

log = logging.getLogger(__name__)

# A file changed this recently may change again within one tick of the file system's clock.
_UNSETTLED_NS = 50_000_000

_Made = TypeVar("_Made")
_Stamp = tuple[tuple[int, int, int], ...]


class Watched(Generic[_Made]):
    """Something made from files, and made anew when one of them is another.

    Args:
        files: what it is made from.
        make: makes it; ConfigError when it cannot be made.
    """

    def __init__(self, files: Iterable[Path | str | None], make: Callable[[], _Made]) -> None:
        self._files = tuple(Path(file) for file in files if file is not None)
        self._make = make
        self._seen: _Stamp | None = None
        # What the thing at hand was made from, and what nothing could be made from; None while a
        # file is so new that it may change without showing it.
        self._stamp: _Stamp | None = None
        self._made: _Made | None = None
        self._failed: _Stamp | None = None

    def get(self) -> _Made:
        """The newest that could be made. ConfigError when none ever could."""
        stamp = self._look()
        if self._made is not None and stamp in (self._stamp, self._failed):
            return self._made
        try:
            made = self._make()
        except ConfigError as error:
            if self._made is None:
                raise
            if stamp != self._seen:
                log.error("keeping the certificates in use", extra={"error": str(error)})
            self._seen, self._failed = stamp, self._settled(stamp)
            return self._made
        if self._made is not None and stamp != self._seen:
            log.info("read changed certificates", extra={"files": [str(f) for f in self._files]})
        self._made, self._seen = made, stamp
        self._stamp, self._failed = self._settled(stamp), None
        return made

    def _look(self) -> _Stamp:
        found = []
        for file in self._files:
            try:
                told = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((told.st_mtime_ns, told.st_size, told.st_ino))
        return tuple(found)

    @staticmethod
    def _settled(stamp: _Stamp) -> _Stamp | None:
        """The stamp if its files cannot have changed since without showing it, else None."""
        newest = max((mtime for mtime, _, _ in stamp), default=0)
        return stamp if time.time_ns() - newest > _UNSETTLED_NS else None


def load_identity(context: ssl.SSLContext, cert: Path | str, key: Path | str) -> None:
    """Show this certificate. ConfigError that names the file and what is wrong with it."""
    for file in (cert, key):
        _require_readable(file)
    try:
        # An empty password: OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"private key {key} does not match the public key of certificate {cert}"
            ) from None
        raise ConfigError(
            f"certificate {cert} with key {key}: not a PEM certificate and an unencrypted PEM key "
            f"({error.reason or error})"
        ) from None
    except OSError as error:
        raise ConfigError(f"certificate {cert} with key {key}: {error}") from None


def trust(context: ssl.SSLContext, ca: Path | str) -> None:
    """Trust these authorities and no others. ConfigError that names the file."""
    _require_readable(ca)
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"CA file {ca}: holds no PEM certificate ({error})") from None
    # As Go does: an intermediate authority in the file is trusted without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def require_checked_client_side(context: ssl.SSLContext, *, checked: bool) -> None:
    """Whether the server's certificate and name are checked."""
    context.check_hostname = checked
    context.verify_mode = ssl.CERT_REQUIRED if checked else ssl.CERT_NONE


def _require_readable(file: Path | str) -> None:
    try:
        with contextlib.closing(open(file, "rb")) as source:
            source.read(1)
    except OSError as error:
        raise ConfigError(f"open {file}: {(error.strerror or str(error)).lower()}") from None

"""``--auth-token jwt,...``: signed tokens, and the keys they are signed and checked with.

The claims are etcd's: ``username``, ``revision`` (of the auth store at that time) and ``exp``. A
member with a private key gives and checks; one with only a public key checks what others gave.
Wrong options, files and keys are named at the start, by trying them.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.exceptions import PyJWTError
from jwt.types import Options

from kvorum.config_auth import JwtConfig
from kvorum.errors import ConfigError
from kvorum.machine.auth import Auth, Caller, TokenGiven, TokensEnded
from kvorum.machine.results import AuthenticateResult
from kvorum.server.tokens import IssuingError

VERIFY_ONLY = "auth: token signing attempted with verify-only key"

_KINDS: Final[Mapping[str, tuple[type, type]]] = {
    "RS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "PS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "ES": (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey),
    "Ed": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}
# exp and nbf are looked at wherever they are; nothing else that a foreign issuer may put in counts.
_CHECKED: Final[Options] = {
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
    "verify_iat": False,
}


class JwtTokens:
    """Gives and checks tokens; remembers none.

    Args:
        config: the parsed option.
        now_s: seconds since the epoch, for ``exp``.

    Raises ConfigError naming the option or file that is wrong.
    """

    def __init__(self, config: JwtConfig, now_s: Callable[[], float] = time.time) -> None:
        self._method = config.sign_method
        self._ttl_s = config.ttl_s
        self._now_s = now_s
        # Short secrets are refused by nobody's tokens but told of here, once.
        warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)
        self._private, self._public = _keys(config)
        self._try_keys(config)

    def __len__(self) -> int:
        return 0

    def changed(self, change: TokenGiven | TokensEnded) -> None:
        """Nothing is remembered."""

    def awaited(self, token: str) -> int:
        """A signature can be checked at any time."""
        return 0

    def caller(self, token: str, auth: Auth) -> Caller | None:
        """Whom the token names, under its own auth revision: an old one may read and write nothing
        any more.
        """
        try:
            claims = jwt.decode(token, self._public, algorithms=[self._method], options=_CHECKED)
        except (PyJWTError, ValueError, TypeError, RecursionError):
            # Older releases of the library let what their parts raise pass.
            return None
        user, revision = claims.get("username"), claims.get("revision")
        # JSON knows no integers: other issuers may write 3.0.
        if isinstance(revision, float) and revision.is_integer():
            revision = int(revision)
        if not isinstance(user, str) or type(revision) is not int:
            return None
        return Caller(user, revision)

    def check_issuing(self) -> None:
        """Raises IssuingError where there is no private key."""
        if self._private is None:
            raise IssuingError(VERIFY_ONLY)

    def issue(self, result: AuthenticateResult) -> str:
        """A token for the user under the auth revision of the entry."""
        self.check_issuing()
        return self._sign(result.user, result.auth_revision)

    def _sign(self, user: str, revision: int) -> str:
        end_s = int(self._now_s() + self._ttl_s)
        claims = {"username": user, "revision": revision, "exp": end_s}
        return jwt.encode(claims, self._private, algorithm=self._method)

    def _try_keys(self, config: JwtConfig) -> None:
        """Sign something and check it: whether keys fit the method, and one another."""
        if self._private is None:
            return
        try:
            token = jwt.encode({}, self._private, algorithm=self._method)
        except (PyJWTError, ValueError, TypeError) as error:
            path = config.private_key
            text = f"--auth-token: {path} cannot sign with {self._method}: {error}"
            raise ConfigError(text) from None
        try:
            jwt.decode(token, self._public, algorithms=[self._method])
        except PyJWTError:
            raise ConfigError("--auth-token: auth: public and private keys don't match") from None


def _keys(config: JwtConfig) -> tuple[Any, Any]:
    """The key to sign with, if there is one, and the one to check with."""
    private = _read(config.private_key) if config.private_key is not None else b""
    if config.sign_method.startswith("HS"):
        if not private:
            raise ConfigError("--auth-token: auth: missing key data (priv-key is the secret)")
        return private, private
    kinds = _KINDS[config.sign_method[:2]]
    signing = None
    if config.private_key is not None:
        signing = _private_key(config.private_key, private, kinds[0])
    if config.public_key is not None:
        return signing, _public_key(config.public_key, _read(config.public_key), kinds[1])
    if signing is None:
        raise ConfigError("--auth-token: auth: missing key data (give priv-key, pub-key or both)")
    return signing, signing.public_key()


def _private_key(path: Path, data: bytes, kind: type) -> Any:
    try:
        key = pem.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"--auth-token: {path} holds no private key in PEM: {error}") from None
    if not isinstance(key, kind):
        raise ConfigError(f"--auth-token: the key in {path} is of another kind than the method's")
    return key


def _public_key(path: Path, data: bytes, kind: type) -> Any:
    """A public key; of a certificate, its own."""
    try:
        key: object
        if b"-----BEGIN CERTIFICATE-----" in data:
            key = x509.load_pem_x509_certificate(data).public_key()
        else:
            key = pem.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"--auth-token: {path} holds no public key in PEM: {error}") from None
    if not isinstance(key, kind):
        raise ConfigError(f"--auth-token: the key in {path} is of another kind than the method's")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--auth-token: cannot read {path}: {error.strerror}") from None

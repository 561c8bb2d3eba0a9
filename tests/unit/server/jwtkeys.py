"""Keys for signed tokens, of every kind, made for the tests that use them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from kvorum.config_auth import JwtConfig

_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def secret_config(directory: Path, ttl_s: float = 300.0) -> JwtConfig:
    """HS256 with a secret in a file."""
    path = directory / "secret"
    path.write_bytes(b"0123456789abcdef0123456789abcdef")
    return JwtConfig("HS256", ttl_s, None, path)


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """One of some keys; making them takes a while."""
    return rsa.generate_private_key(65537, 2048)


def write_keys(directory: Path, method: str, number: int = 0) -> tuple[Path, Path]:
    """A private key that fits the method, and its public key; for HS the secret twice."""
    private, public = directory / f"{method}{number}.key", directory / f"{method}{number}.pub"
    if method.startswith("HS"):
        private.write_bytes(bytes(range(64)))
        public.write_bytes(bytes(range(64)))
        return private, public
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if method in _CURVES:
        key = ec.generate_private_key(_CURVES[method]())
    elif method == "EdDSA":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa_key(number)
    private.write_bytes(
        key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public

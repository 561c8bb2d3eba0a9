"""JWTs: every method, what claims mean, and which options and keys are refused at the start."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.x509.oid import NameOID
from kvorum import config
from kvorum.config import NodeConfig
from kvorum.config_auth import SIGN_METHODS, JwtConfig, parse_auth_token
from kvorum.errors import ConfigError
from kvorum.machine.auth import Auth, Caller
from kvorum.machine.results import AuthenticateResult
from kvorum.server.signedtokens import JwtTokens
from kvorum.server.tokens import IssuingError
from unit.server.jwtkeys import rsa_key, secret_config, write_keys

GIVEN = AuthenticateResult("alice", "unused.9", 7)


def tokens(method: str, public: Path | None, private: Path | None, **more: Any) -> JwtTokens:
    return JwtTokens(JwtConfig(method, 300.0, public, private), **more)


@pytest.mark.parametrize("method", SIGN_METHODS)
def test_every_method_signs_and_checks(method: str, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, method)
    signing = tokens(method, public, private)
    token = signing.issue(GIVEN)
    assert jwt.get_unverified_header(token)["alg"] == method
    assert signing.caller(token, Auth()) == Caller("alice", 7)
    head, body, seal = token.split(".")
    swapped = ("A" if seal[0] != "A" else "B") + seal[1:]
    assert signing.caller(f"{head}.{body}.{swapped}", Auth()) is None
    if not method.startswith("HS"):
        checking = tokens(method, public, None)
        assert checking.caller(token, Auth()) == Caller("alice", 7)
        with pytest.raises(IssuingError, match=r"^auth: token signing attempted with verify-only"):
            checking.issue(GIVEN)
        with pytest.raises(IssuingError):
            checking.check_issuing()


def test_claims_are_etcds(tmp_path: Path) -> None:
    config = secret_config(tmp_path, 60.0)
    assert config.private_key is not None
    made = JwtTokens(config, lambda: 1_000_000.5)
    claims = jwt.decode(made.issue(GIVEN), options={"verify_signature": False})
    assert claims == {"username": "alice", "revision": 7, "exp": 1_000_060}


def test_a_token_ends(tmp_path: Path) -> None:
    past = JwtTokens(secret_config(tmp_path, 60.0), lambda: time.time() - 61)
    assert past.caller(past.issue(GIVEN), Auth()) is None
    alive = JwtTokens(secret_config(tmp_path, 3600.0), lambda: time.time() - 61)
    assert alive.caller(alive.issue(GIVEN), Auth()) == Caller("alice", 7)


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"username": "a", "revision": 3}, Caller("a", 3)),
        ({"username": "a", "revision": 3.0}, Caller("a", 3)),
        ({"username": "a", "revision": 3, "aud": "x", "sub": 5, "jti": 1}, Caller("a", 3)),
        ({"username": "a", "revision": 3.5}, None),
        ({"username": "a", "revision": "3"}, None),
        ({"username": "a", "revision": True}, None),
        ({"username": "a", "revision": None}, None),
        ({"username": "a"}, None),
        ({"username": 1, "revision": 3}, None),
        ({"revision": 3}, None),
        ({"username": "a", "revision": 3, "exp": 5}, None),
        ({"username": "a", "revision": 3, "exp": "soon"}, None),
        ({"username": "a", "revision": 3, "nbf": 2**40}, None),
    ],
)
def test_tokens_of_other_issuers(
    claims: dict[str, Any], caller: Caller | None, tmp_path: Path
) -> None:
    config = secret_config(tmp_path)
    assert config.private_key is not None
    secret = config.private_key.read_bytes()
    token = jwt.encode(claims, secret, algorithm="HS256")
    assert JwtTokens(config).caller(token, Auth()) == caller


def test_only_the_configured_method_counts(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "RS256")
    made = tokens("RS256", public, private)
    claims = {"username": "root", "revision": 7}
    key = rsa_key(0)
    assert made.caller(jwt.encode(claims, key, algorithm="RS256"), Auth()) is not None
    assert made.caller(jwt.encode(claims, key, algorithm="RS512"), Auth()) is None
    assert made.caller(jwt.encode(claims, None, algorithm="none"), Auth()) is None
    # The public key, which everybody may know, as the secret of another method.
    forged = jwt.api_jws.PyJWS()
    head = forged.encode(b"{}", b"x" * 32, algorithm="HS256")
    assert made.caller(head, Auth()) is None
    for token in ("", "x", "a.b.c", "é.é.é", "." * 100):
        assert made.caller(token, Auth()) is None


def test_a_public_key_may_come_in_a_certificate(tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, "RS256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    builder = x509.CertificateBuilder(name, name, rsa_key(0).public_key(), 1)
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(1))
    path = tmp_path / "cert.pem"
    path.write_bytes(builder.sign(rsa_key(0), hashes.SHA256()).public_bytes(pem.Encoding.PEM))
    token = tokens("RS256", None, private).issue(GIVEN)
    assert tokens("RS256", path, None).caller(token, Auth()) == Caller("alice", 7)


INVALID = {
    "bearer": 'auth: invalid auth options: unknown token type "bearer": simple or jwt',
    "": 'auth: invalid auth options: unknown token type "": simple or jwt',
    "simple,ttl": 'auth: invalid auth options: "ttl" is not name=value',
    "jwt,ttl=1=2": 'auth: invalid auth options: "ttl=1=2" is not name=value',
    "jwt,ttl=1s,ttl=2s": "auth: invalid auth options: ttl is given twice",
    "jwt,key=x,sign-method=RS256": "auth: invalid auth options: jwt has no option key",
    "jwt,sign-method=RS256,ttl=soon": ('auth: invalid auth options: ttl: invalid duration "soon"'),
    "jwt,sign-method=RS256,ttl=10ms": (
        "auth: invalid auth options: ttl must be at least 1s (set to 10ms)"
    ),
}


@pytest.mark.parametrize("text", INVALID)
def test_options_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_auth_token(text)
    assert str(caught.value) == f"--auth-token: {INVALID[text]}"


@pytest.mark.parametrize("method", ["", "RS257", "none", "rs256"])
def test_methods_that_are_refused(method: str) -> None:
    with pytest.raises(ConfigError, match=r"^--auth-token: auth: invalid auth signature method: "):
        parse_auth_token(f"jwt,priv-key=x,sign-method={method}")


def test_options() -> None:
    assert parse_auth_token("simple") is None
    assert parse_auth_token("jwt,pub-key=a,priv-key=b,sign-method=ES384,ttl=10m") == JwtConfig(
        "ES384", 600.0, Path("a"), Path("b")
    )
    assert parse_auth_token("jwt,priv-key=b,sign-method=HS512") == JwtConfig(
        "HS512", 300.0, None, Path("b")
    )


def test_keys_that_are_refused(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "RS256")
    other, _ = write_keys(tmp_path, "ES256")
    _, stranger = write_keys(tmp_path, "RS256", 1)
    junk = tmp_path / "junk"
    junk.write_text("not a key")
    gone = tmp_path / "gone"
    cases: list[tuple[str, Path | None, Path | None, str]] = [
        ("RS256", None, None, "auth: missing key data (give priv-key, pub-key or both)"),
        ("HS256", public, None, "auth: missing key data (priv-key is the secret)"),
        ("RS256", None, gone, f"cannot read {gone}: No such file or directory"),
        ("RS256", gone, None, f"cannot read {gone}: No such file or directory"),
        ("RS256", None, other, f"the key in {other} is of another kind than the method's"),
        ("ES256", public, None, f"the key in {public} is of another kind than the method's"),
        ("RS256", stranger, private, "auth: public and private keys don't match"),
    ]
    for method, pub, priv, words in cases:
        with pytest.raises(ConfigError) as caught:
            tokens(method, pub, priv)
        assert str(caught.value) == f"--auth-token: {words}"
    for pub, priv, words in (
        (None, junk, f"{junk} holds no private key in PEM: "),
        (junk, None, f"{junk} holds no public key in PEM: "),
        (private, None, f"{private} holds no public key in PEM: "),
    ):
        with pytest.raises(ConfigError) as caught:
            tokens("RS256", pub, priv)
        assert str(caught.value).startswith(f"--auth-token: {words}")
    # A curve that is not the method's.
    with pytest.raises(ConfigError) as caught:
        tokens("ES512", None, other)
    assert str(caught.value).startswith(f"--auth-token: {other} cannot sign with ES512: ")


def test_the_node_is_told_of_tokens_by_etcds_options() -> None:
    plain = config.load([], {})
    assert isinstance(plain, NodeConfig)
    assert (plain.auth_token, plain.auth_token_ttl_s) == ("simple", 300)
    # 0 is etcd's way to say the default.
    told = config.load(["--auth-token-ttl=0"], {"ETCD_AUTH_TOKEN": "jwt,sign-method=EdDSA"})
    assert isinstance(told, NodeConfig)
    assert (told.auth_token, told.auth_token_ttl_s) == ("jwt,sign-method=EdDSA", 300)
    with pytest.raises(ConfigError, match=r"^--auth-token: auth: invalid auth options: "):
        config.load(["--auth-token=bearer"], {})

"""What ``--auth-token`` says: ``simple``, or ``jwt`` and its options, checked in etcd's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kvorum.errors import ConfigError
from kvorum.flagvalues import parse_duration_s

SIMPLE: Final = "simple"
SIMPLE_TTL_S: Final = 300  # etcd's, also for --auth-token-ttl 0.
JWT_TTL_S: Final = 300.0
SIGN_METHODS: Final = (
    *(f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)),
    "EdDSA",
)
_OPTIONS = frozenset({"pub-key", "priv-key", "sign-method", "ttl"})


@dataclass(frozen=True)
class JwtConfig:
    """Signed tokens. For HS methods ``private_key`` holds the secret; without it others' tokens are
    checked and none given.
    """

    sign_method: str
    ttl_s: float = JWT_TTL_S
    public_key: Path | None = None
    private_key: Path | None = None


def parse_auth_token(text: str) -> JwtConfig | None:
    """The option's value; None is ``simple``. ConfigError names what is wrong."""
    kind, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        name, equals, value = part.partition("=")
        if not equals or "=" in value:
            raise _wrong(f'"{part}" is not name=value')
        if name in options:
            raise _wrong(f"{name} is given twice")
        options[name] = value
    if kind == SIMPLE:
        return None
    if kind != "jwt":
        raise _wrong(f'unknown token type "{kind}": simple or jwt')
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        raise _wrong(f"jwt has no option {unknown[0]}")
    return _jwt(options)


def _jwt(options: dict[str, str]) -> JwtConfig:
    method = options.get("sign-method", "")
    if method not in SIGN_METHODS:
        given = f'"{method}"' if method else "none"
        raise ConfigError(
            f"--auth-token: auth: invalid auth signature method: {given}, "
            f"one of {', '.join(SIGN_METHODS)}"
        )
    ttl_s = JWT_TTL_S
    if "ttl" in options:
        try:
            ttl_s = parse_duration_s(options["ttl"])
        except ValueError as error:
            raise _wrong(f"ttl: {error}") from None
        # ``exp`` counts whole seconds.
        if ttl_s < 1:
            raise _wrong(f"ttl must be at least 1s (set to {options['ttl']})")
    public, private = options.get("pub-key"), options.get("priv-key")
    return JwtConfig(
        method, ttl_s, Path(public) if public else None, Path(private) if private else None
    )


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"--auth-token: auth: invalid auth options: {what}")

"""What an endpoint is, and which one the next call goes to.

Endpoints are written as etcd's clients write them: ``host:port``, ``http://host:port``,
``https://host:port``, ``unix:///path`` or ``unixs:///path``. The :class:`Picker` remembers which of
them failed and for how long to keep away from them; the waits grow with each failure and carry
jitter from a ``random.Random`` that the caller hands in, so that a test can hand in a seeded one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from kvorum.errors import ConfigError
from kvorum.limits import CLIENT_BACKOFF_MAX_S, CLIENT_BACKOFF_MIN_S

DEFAULT_PORT = 2379


class Endpoint(NamedTuple):
    """One place to connect to.

    ``host`` and ``port`` are empty for a Unix socket, ``path`` is empty for TCP.
    """

    tls: bool
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix{'s' if self.tls else ''}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"


def parse_endpoint(text: str, *, tls: bool = False) -> Endpoint:
    """Read one endpoint.

    ``tls`` decides for an endpoint without a scheme; a scheme that is written always wins.

    Raises :class:`kvorum.errors.ConfigError` with a text that says what is wrong.
    """
    text = text.strip()
    if not text:
        raise ConfigError("an endpoint is empty; write http://host:port")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https" if tls else "http"), text
    if scheme in ("unix", "unixs"):
        if not rest or rest == "/":
            raise ConfigError(f"endpoint {text!r} names no socket path")
        return Endpoint(scheme == "unixs", "", 0, rest)
    if scheme not in ("http", "https"):
        raise ConfigError(f"endpoint {text!r}: the scheme must be http, https, unix or unixs")
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(f"endpoint {text!r}: the port must be between 1 and 65535") from None
    if not parts.hostname:
        raise ConfigError(f"endpoint {text!r} names no host")
    if parts.path.strip("/") or parts.query or parts.username is not None:
        raise ConfigError(f"endpoint {text!r}: only a host and a port are expected")
    if port == 0:
        raise ConfigError(f"endpoint {text!r}: the port must be between 1 and 65535")
    return Endpoint(scheme == "https", parts.hostname, port or DEFAULT_PORT)


def parse_endpoints(texts: str | Iterable[str], *, tls: bool = False) -> tuple[Endpoint, ...]:
    """Read several endpoints, given as a list or as one text with commas; repeated ones are kept
    once.

    Raises :class:`kvorum.errors.ConfigError` when one is wrong or none is left.
    """
    if isinstance(texts, str):
        texts = texts.split(",")
    found = dict.fromkeys(parse_endpoint(text, tls=tls) for text in texts)
    if not found:
        raise ConfigError("no endpoint given; write for instance http://127.0.0.1:2379")
    return tuple(found)


def backoff_s(failures: int, rng: random.Random) -> float:
    """How long to wait after this many failures in a row, in seconds: doubling, bounded, with up to
    20% jitter.
    """
    doublings = min(max(failures - 1, 0), 20)
    base = min(CLIENT_BACKOFF_MAX_S, CLIENT_BACKOFF_MIN_S * float(1 << doublings))
    return base * (0.8 + 0.4 * rng.random())


@dataclass(slots=True)
class _Health:
    failures: int = 0
    away_until_s: float = 0.0


class Picker:
    """Chooses the endpoint of the next call: sticky while it works, round the list when it does
    not.

    A sticky choice keeps what one client sees in order (headers' revisions never go back) and needs
    one connection instead of one a member; ``spread=True`` goes round the list on every call
    instead.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        rng: random.Random,
        *,
        spread: bool = False,
        shuffle: bool = True,
    ) -> None:
        self._rng = rng
        self._spread = spread
        self._health: dict[Endpoint, _Health] = {}
        self._order: list[Endpoint] = []
        self._at = 0
        self.replace(endpoints)
        if shuffle:
            self._at = rng.randrange(len(self._order))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint, in the order given."""
        return tuple(self._order)

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Take another list (the members changed), keeping what is known of those that stay."""
        if not endpoints:
            raise ConfigError("no endpoint given; write for instance http://127.0.0.1:2379")
        current = self._order[self._at] if self._order else None
        self._order = list(endpoints)
        self._health = {e: self._health.get(e, _Health()) for e in self._order}
        self._at = self._order.index(current) if current in self._health and current else 0

    def pick(self, now_s: float) -> Endpoint:
        """The endpoint for a call that starts now (monotonic seconds).

        When every endpoint is to be kept away from, the one whose wait ends first.
        """
        count = len(self._order)
        start = self._at
        if self._spread:
            self._at = start = (start + 1) % count
        for step in range(count):
            candidate = self._order[(start + step) % count]
            if self._health[candidate].away_until_s <= now_s:
                self._at = (start + step) % count
                return candidate
        ring = [self._order[(start + step) % count] for step in range(count)]
        return min(ring, key=lambda e: self._health[e].away_until_s)

    def wait_s(self, endpoint: Endpoint, now_s: float) -> float:
        """How long to wait before this endpoint may be tried again, in seconds; 0 when it may at
        once.
        """
        health = self._health.get(endpoint)
        return 0.0 if health is None else max(0.0, health.away_until_s - now_s)

    def succeeded(self, endpoint: Endpoint) -> None:
        """The endpoint answered."""
        health = self._health.get(endpoint)
        if health is not None and health.failures:
            health.failures = 0
            health.away_until_s = 0.0

    def failed(self, endpoint: Endpoint, now_s: float) -> None:
        """The endpoint did not answer, or said that it cannot serve: keep away from it for a
        while.
        """
        health = self._health.get(endpoint)
        if health is None:
            return
        health.failures += 1
        health.away_until_s = now_s + backoff_s(health.failures, self._rng)
        if self._order[self._at] == endpoint:
            self._at = (self._at + 1) % len(self._order)

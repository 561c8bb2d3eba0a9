"""Tokens: what shows on each call who has given a password before.

A *simple* token is a secret that each member remembers: sixteen random letters, a dot, and the
index of the entry that gave it. All members learn of it when they apply that entry, and of its end
likewise (``replica.effects.TokensChanged``). It ends by itself when it was not used for its time,
which every member counts for its own, and no member remembers any across a restart: clients log in
again, as with etcd (contract page "semantics", section 10).

A *JWT* is signed and says itself whose it is, until when, and the auth revision it was given under;
see ``signedtokens``.
"""

from __future__ import annotations

import random
import string
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from kvorum.config import NodeConfig
from kvorum.config_auth import parse_auth_token
from kvorum.errors import Condition, KvorumError
from kvorum.limits import AUTH_TOKENS
from kvorum.machine.auth import Auth, Caller, TokenGiven, TokensEnded
from kvorum.machine.results import AuthenticateResult

_PREFIX_LETTERS = 16


class Tokens(Protocol):
    """What a node asks of either kind."""

    def changed(self, change: TokenGiven | TokensEnded) -> None:
        """An applied entry gave a token or ended some."""

    def caller(self, token: str, auth: Auth) -> Caller | None:
        """Whose token it is, now; None when it is nobody's."""

    def awaited(self, token: str) -> int:
        """The index that must be applied here before the token can be judged; 0: any time."""

    def check_issuing(self) -> None:
        """Raises IssuingError where tokens can only be checked, not given."""

    def issue(self, result: AuthenticateResult) -> str:
        """The token that a client gets for an applied Authenticate."""

    def __len__(self) -> int:
        """How many are remembered."""


class IssuingError(Exception):
    """This member can check tokens but not give any; the text is etcd's."""


def new_prefix(rng: random.Random | None = None) -> str:
    """The random part of a token: 16 letters, 91 bits."""
    choice = (rng or random.SystemRandom()).choice
    return "".join(choice(string.ascii_letters) for _ in range(_PREFIX_LETTERS))


class SimpleTokens:
    """The table of one member.

    Args:
        ttl_s: how long a token lives unused.
        now_s: a clock that never goes back.
    """

    def __init__(self, ttl_s: float, now_s: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._now_s = now_s
        # token -> (user, end); a use moves a token to the back, so that ends are in order.
        self._held: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def changed(self, change: TokenGiven | TokensEnded) -> None:
        """Remember a token, or forget a user's, or all."""
        if isinstance(change, TokenGiven):
            self._held[change.token] = (change.user, self._now_s() + self._ttl_s)
            self._sweep()
        elif change.user is None:
            self._held.clear()
        else:
            ended = [token for token, (user, _) in self._held.items() if user == change.user]
            for token in ended:
                del self._held[token]

    def caller(self, token: str, auth: Auth) -> Caller | None:
        """Its user, under the auth revision of this moment; using it keeps it alive."""
        held = self._held.get(token)
        if held is None:
            return None
        user, end_s = held
        now_s = self._now_s()
        if end_s <= now_s:
            del self._held[token]
            return None
        self._held[token] = (user, now_s + self._ttl_s)
        self._held.move_to_end(token)
        return auth.caller(user)

    def awaited(self, token: str) -> int:
        """Its own entry's index, while it is unknown here."""
        if token in self._held:
            return 0
        _, dot, index = token.partition(".")
        return int(index) if dot and index.isascii() and index.isdigit() and len(index) < 20 else 0

    def check_issuing(self) -> None:
        """Always possible."""

    def issue(self, result: AuthenticateResult) -> str:
        """What the entry says."""
        return result.token

    def _sweep(self) -> None:
        """Forget what has ended, and the least used beyond the bound."""
        now_s = self._now_s()
        while self._held:
            token, (_, end_s) = next(iter(self._held.items()))
            if end_s > now_s and len(self._held) <= AUTH_TOKENS:
                return
            del self._held[token]


def established(tokens: Tokens, auth: Auth, token: str | None, common_name: str | None) -> Caller:
    """Who a call comes from: its token says it, else its certificate; with auth off nobody asks.

    Raises KvorumError INVALID_AUTH_TOKEN for a token that means nobody, also where anybody may
    call.
    """
    if not auth.enabled:
        return Caller()
    if token is not None:
        caller = tokens.caller(token, auth)
        if caller is None:
            raise KvorumError(Condition.INVALID_AUTH_TOKEN)
        return caller
    return auth.caller(common_name or "")


def open_tokens(config: NodeConfig) -> Tokens:
    """Tokens of the kind that a node is told to give. ConfigError names an option or file."""
    signed = parse_auth_token(config.auth_token)
    if signed is None:
        return SimpleTokens(config.auth_token_ttl_s, time.monotonic)
    # Most nodes never need the cryptography behind it.
    from kvorum.server.signedtokens import JwtTokens

    return JwtTokens(signed)

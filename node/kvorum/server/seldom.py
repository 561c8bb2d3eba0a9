"""The same thing said once in a while: peers knock again every two seconds, for days."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from kvorum.limits import PEER_REFUSAL_LOG_S, PEER_REFUSALS_REMEMBERED


class Seldom:
    """Remembers what was said when; the oldest is forgotten when there is too much of it.

    Args:
        clock: seconds, of any origin.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[Hashable, float] = {}

    def is_due(self, what: Hashable) -> bool:
        """Whether to say it now; then it counts as said."""
        now = self._clock()
        last = self._said.get(what)
        if last is not None and now - last < PEER_REFUSAL_LOG_S:
            return False
        self._said.pop(what, None)
        if len(self._said) >= PEER_REFUSALS_REMEMBERED:
            del self._said[next(iter(self._said))]
        self._said[what] = now
        return True

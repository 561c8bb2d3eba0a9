"""Requests to Lease. Ids are chosen here, so that both sides agree, or by the servers under an
alias.
"""

from __future__ import annotations

from collections.abc import Iterator

from compat.differential.draw import INT64_MAX, INT64_MIN, KEYS, Draw
from compat.differential.step import ALIASES, Step

_LONG = (3600, 7200, 100_000, 9_000_000_000)
_SHORT = (0, 1, 2, -1, INT64_MIN)


class Leases:
    """Draws grants, revocations and questions."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._granted = 0

    def steps(self) -> Iterator[Step]:
        """One request, or some that belong together."""
        draw = self._draw
        match draw.one(*"gggrkkkttla"):
            case "g":
                yield from self._grant()
            case "r":
                yield Step("Lease/LeaseRevoke", {"ID": draw.lease()})
            case "k":
                requests = [{"ID": draw.lease()} for _ in range(draw.one(1, 1, 1, 2, 5))]
                yield Step("Lease/LeaseKeepAlive", {"requests": requests})
            case "t":
                fields = {"ID": draw.lease(), **draw.flags(0.6, "keys")}
                yield Step("Lease/LeaseTimeToLive", fields)
            case "a":
                lease = draw.lease()
                for key in draw.random.sample(KEYS, 4):
                    yield Step("KV/Put", {"key": key, "lease": lease})
                yield Step("Lease/LeaseTimeToLive", {"ID": lease, "keys": True})
                if draw.chance(0.5):
                    yield Step("Lease/LeaseRevoke", {"ID": lease})
            case _:
                yield Step("Lease/LeaseLeases", {})

    def _grant(self) -> Iterator[Step]:
        draw = self._draw
        if draw.chance(0.15):
            # Raised to the minimum: not kept, for it would run out.
            lease = 500 + draw.random.randint(0, 99)
            yield Step("Lease/LeaseGrant", {"ID": lease, "TTL": draw.one(*_SHORT)})
            yield Step("Lease/LeaseTimeToLive", {"ID": lease})
            yield Step("Lease/LeaseKeepAlive", {"requests": [{"ID": lease}]})
            yield Step("Lease/LeaseRevoke", {"ID": lease})
            return
        if draw.chance(0.1):
            too_long = draw.one(9_000_000_001, INT64_MAX)
            yield Step("Lease/LeaseGrant", {"ID": draw.lease(), "TTL": too_long})
            return
        ttl = draw.one(*_LONG)
        if draw.chance(0.2):
            self._granted += 1
            fields = {"ID": 0, "TTL": ttl}
            yield Step("Lease/LeaseGrant", fields, alias=ALIASES + 1000 + self._granted)
            return
        lease = draw.one(1, 2, 3, 4, 5, -4, 77, INT64_MAX, INT64_MIN)
        yield Step("Lease/LeaseGrant", {"ID": lease, "TTL": ttl})

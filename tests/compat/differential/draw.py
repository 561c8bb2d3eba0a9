"""Keys, values and numbers, dense enough that requests meet one another."""

from __future__ import annotations

from random import Random
from typing import Any, TypeVar

from compat.differential.world import World

T = TypeVar("T")

KEYS = (
    b"a", b"a/", b"a/b", b"a/b/c", b"a/b/d", b"a/c", b"ab", b"b", b"b\0", b"b\0\0",
    b"\0", b"\0\0", b"\xff", b"\xff\xff", b"\xfe\xff", b"\xc3(", "é".encode(), b"k0", b"k1", b"k2",
)  # fmt: skip
VALUES = (b"", b"x", b"y", b"\0", b"\xff\xfe", b"zz", b"x" * 40)
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)


class Draw:
    """What all kinds of requests draw from."""

    def __init__(self, random: Random, world: World) -> None:
        self.random = random
        self.world = world

    def chance(self, probability: float) -> bool:
        """True now and then."""
        return self.random.random() < probability

    def one(self, *choices: T) -> T:
        """One of them."""
        return self.random.choice(choices)

    def key(self) -> bytes:
        """Mostly one of a few keys, seldom an empty one."""
        return b"" if self.chance(0.02) else self.random.choice(KEYS)

    def value(self) -> bytes:
        """A short value, now and then a random one."""
        if self.chance(0.1):
            return self.random.randbytes(self.random.randint(1, 60))
        return self.random.choice(VALUES)

    def end(self, key: bytes) -> bytes:
        """A range end: mostly none; all, a prefix, another key, nothing at all."""
        draw = self.random.random()
        if draw < 0.4:
            return b""
        if draw < 0.5:
            return b"\0"
        if draw < 0.7:
            stem = key.rstrip(b"\xff")
            return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
        return self.random.choice(KEYS)

    def span(self) -> dict[str, Any]:
        """A key and a range end."""
        key = b"\0" if self.chance(0.1) else self.key()
        return {"key": key, **self.maybe("range_end", self.end(key))}

    def revision(self) -> int:
        """Around the newest, around the compacted one, far off."""
        world, pick = self.world, self.random
        near = max(1, world.revision - pick.randint(0, 12))
        edge = world.compacted + pick.randint(-2, 2)
        far = pick.choice((-1, -5, 1, 2, INT64_MAX, INT64_MIN, world.revision + 1000))
        return pick.choice((0, near, near, near, edge, world.revision, world.revision + 1, far))

    def small(self) -> int:
        """A limit or a version."""
        return self.one(0, 1, 2, 3, 5, 100, -1, INT64_MAX, INT64_MIN)

    def lease(self) -> int:
        """Mostly a lease that lives, else any id."""
        if self.world.leases and self.chance(0.7):
            return self.random.choice(sorted(self.world.leases))
        return self.one(0, 1, 2, 3, 9, -4, INT64_MAX, INT64_MIN)

    def maybe(self, name: str, value: Any) -> dict[str, Any]:
        """A field, unless it has the default."""
        return {name: value} if value else {}

    def flags(self, probability: float, *names: str) -> dict[str, Any]:
        """Flags that are set now and then."""
        return {name: True for name in names if self.chance(probability)}

"""Random commands over a handful of keys, dense enough that they meet one another."""

from __future__ import annotations

from random import Random
from typing import Any

from kvorum.machine import operations as ops
from kvorum.machine.operations import (
    Command,
    Compact,
    Compare,
    DeleteRange,
    LeaseExpire,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Range,
    Txn,
)

KEYS = (b"a", b"b", b"c", b"d", b"ab", b"e", b"\0", b"\xff")
ENDS = (b"", b"", b"\0", *KEYS, b"z")
VALUES = (b"", b"x", b"y", b"zz")


class Workload:
    """Draws commands; `revision` must be kept at the store's newest."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.revision = 1

    def command(self) -> Command:
        """Anything that may enter the log and concerns keys or leases."""
        draw = self._random.random()
        if draw < 0.35:
            return self.put()
        if draw < 0.47:
            return self.delete()
        if draw < 0.88:
            return self.txn()
        if draw < 0.89:
            return Compact(self._random.choice((0, self.revision - 5, self.revision + 1)))
        if draw < 0.94:
            return LeaseGrant(self._random.randint(0, 3), 1000)
        if draw < 0.98:
            return LeaseRevoke(self._random.randint(1, 4))
        return LeaseExpire((self._random.randint(1, 3), 2), self._random.choice((1, 1, 2)))

    def put(self) -> Put:
        """A put, now and then with a flag, now and then with a lease that may not exist."""
        pick = self._random
        keep_value, keep_lease = pick.random() < 0.1, pick.random() < 0.1
        value = b"" if keep_value else pick.choice(VALUES)
        lease = 0 if keep_lease else pick.choice((0, 0, 0, 1, 2, 3, 9))
        return Put(pick.choice(KEYS), value, lease, pick.random() < 0.5, keep_value, keep_lease)

    def delete(self) -> DeleteRange:
        """A deletion of a key or a range."""
        pick = self._random
        return DeleteRange(pick.choice(KEYS), pick.choice(ENDS), pick.random() < 0.5)

    def range(self) -> Range:
        """A range with any options; sorted only where no two records tie or ties keep key order."""
        pick = self._random
        order = pick.choice((ops.SORT_NONE, ops.SORT_NONE, ops.SORT_ASCEND, ops.SORT_DESCEND))
        target = pick.choice((ops.TARGET_KEY, ops.TARGET_KEY, ops.TARGET_MOD))
        bounds = [
            pick.choice([0] * 8 + [max(0, self.revision - pick.randint(0, 9))]) for _ in "1234"
        ]
        options: dict[str, Any] = {
            "limit": pick.choice((0, 0, 0, 1, 2, 3, -1)),
            "revision": self.old_revision(),
            "keys_only": pick.random() < 0.2,
            "count_only": pick.random() < 0.2,
        }
        names = ("min_mod", "max_mod", "min_create", "max_create")
        filters = {f"{name}_revision": bound for name, bound in zip(names, bounds, strict=True)}
        return Range(
            pick.choice(KEYS),
            pick.choice(ENDS),
            sort_order=order,
            sort_target=target,
            **options,
            **filters,
        )

    def old_revision(self) -> int:
        """Mostly the newest, else one before, around or after it."""
        near = max(1, self.revision - self._random.randint(0, 6))
        return self._random.choice((0, 0, 0, self.revision, self.revision + 1, near, near, -1, -3))

    def compare(self) -> Compare:
        """Any target, any result, an unknown one too."""
        pick = self._random
        target = pick.randint(0, 4)
        operand: int | bytes = pick.choice((0, 1, 2, self.revision, self.revision - 3))
        if target == ops.COMPARE_VALUE:
            operand = pick.choice(VALUES)
        end = pick.choice(ENDS) if pick.random() < 0.3 else b""
        return Compare(pick.choice(KEYS), target, pick.choice((0, 0, 1, 2, 3, 5)), operand, end)

    def txn(self, depth: int = 0) -> Txn:
        """A transaction, nested up to four deep."""
        count = self._random.choice((0, 0, 1, 2))
        compares = tuple([self.compare() for _ in range(count)])
        return Txn(compares, self._branch(depth), self._branch(depth))

    def reading_txn(self) -> Txn:
        """A transaction of ranges only."""
        branches = [tuple([self.range() for _ in range(self._random.randint(0, 2))]) for _ in "12"]
        return Txn((self.compare(),), *branches)

    def _branch(self, depth: int) -> tuple[Put | DeleteRange | Range | Txn, ...]:
        drawn: list[Put | DeleteRange | Range | Txn] = []
        for _ in range(self._random.randint(0, 3)):
            draw = self._random.random()
            if draw < 0.4:
                drawn.append(self.put())
            elif draw < 0.65:
                drawn.append(self.range())
            elif draw < 0.85 or depth > 2:
                drawn.append(self.delete())
            else:
                drawn.append(self.txn(depth + 1))
        return tuple(drawn)

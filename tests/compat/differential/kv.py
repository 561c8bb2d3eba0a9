"""Requests to KV: every field, valid and invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compat.differential.draw import INT64_MAX, INT64_MIN, Draw
from compat.differential.step import ALIASES, Step

_BOUNDS = ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")
_TARGETS = ("version", "create_revision", "mod_revision", "value", "lease")
_IMPOSSIBLE = {"key": b"a", "target": 0, "result": 0, "version": -7}
DEPTH_MAX = 3
Fields = dict[str, Any]


class KV:
    """Draws ranges, puts, deletions, transactions and compactions."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def step(self) -> Step:
        """One request."""
        draw = self._draw.random.random()
        if draw < 0.005:
            return Step("KV/Range", self._unknown_target())
        if draw < 0.27:
            return Step("KV/Range", self.range())
        if draw < 0.55:
            return Step("KV/Put", self.put())
        if draw < 0.65:
            return Step("KV/DeleteRange", self.delete())
        if draw < 0.98:
            return Step("KV/Txn", self.txn())
        return Step("KV/Compact", self.compact())

    def range(self) -> Fields:
        """Any range, but for sort targets without a meaning: etcd dies of them before 3.6."""
        draw = self._draw
        fields = draw.span()
        if draw.chance(0.3):
            fields |= draw.maybe("limit", draw.small())
        if draw.chance(0.3):
            fields |= draw.maybe("revision", draw.revision())
        if draw.chance(0.3):
            fields |= draw.maybe("sort_order", draw.one(0, 1, 2))
            fields |= draw.maybe("sort_target", draw.one(0, 1, 2, 3, 4))
            if draw.chance(0.1):
                fields["sort_order"] = draw.one(3, 5, -1, 77, 2**31 - 1)
        for name in _BOUNDS:
            if draw.chance(0.07):
                fields |= draw.maybe(name, draw.revision())
        return fields | draw.flags(0.12, "serializable", "keys_only", "count_only")

    def _unknown_target(self) -> Fields:
        """A sort target without a meaning, in a request that etcd refuses before it would sort."""
        fields = self.range() | {"sort_target": self._draw.one(5, -1, 77)}
        return fields | {"revision": self._draw.world.revision + 1000}

    def put(self) -> Fields:
        """Any put; its flags contradict the rest now and then."""
        draw = self._draw
        fields: Fields = {"key": draw.key()}
        if draw.chance(0.85):
            fields["value"] = draw.value()
        if draw.chance(0.2):
            fields |= draw.maybe("lease", draw.lease())
        fields |= draw.flags(0.3, "prev_kv")
        for flag, other in (("ignore_value", "value"), ("ignore_lease", "lease")):
            if draw.chance(0.1):
                fields[flag] = True
                if draw.chance(0.8):
                    fields.pop(other, None)
        return fields

    def delete(self) -> Fields:
        """Any deletion; most ranges are narrow, so that something is left."""
        draw = self._draw
        fields = draw.span() if draw.chance(0.5) else {"key": draw.key()}
        return fields | draw.flags(0.4, "prev_kv")

    def compact(self) -> Fields:
        """A compaction, mostly of what is some revisions old."""
        draw, world = self._draw, self._draw.world
        revision = max(0, world.revision - draw.random.randint(0, 30))
        if draw.chance(0.3):
            revision = draw.revision()
        return {"revision": revision, **draw.flags(0.3, "physical")}

    # --- transactions -----------------------------------------------------------------------------

    def txn(self) -> Fields:
        """Any transaction, such that both sides hold the same afterwards."""
        draw = self._draw
        if draw.chance(0.01):
            return self._too_many()
        txn = self._txn(0)
        if unseen_double(txn) or (has_op(txn, unknown_sort) and not _only_ranges(txn)):
            return never_run(txn)
        return txn

    def compare(self) -> Fields:
        """Any compare: unknown numbers, operands of another target, none at all."""
        draw = self._draw
        target = draw.one(0, 1, 2, 3, 4)
        fields: Fields = {"key": draw.key(), **draw.maybe("result", draw.one(0, 0, 0, 1, 2, 3, 3))}
        fields |= draw.maybe("target", target)
        if draw.chance(0.9):
            member = target if draw.chance(0.95) else draw.one(0, 1, 2, 3, 4)
            fields[_TARGETS[member]] = self._operand(member)
            if fields.get("lease", 0) >= ALIASES and fields.get("result") in (1, 2):
                fields["lease"] = 3  # Whose id is the greater one is each server's own.
        if draw.chance(0.3):
            fields |= draw.maybe("range_end", draw.end(fields["key"]))
        if draw.chance(0.03):
            fields[draw.one("target", "result")] = draw.one(5, 9, -1)
        return fields

    def _operand(self, target: int) -> int | bytes:
        draw = self._draw
        match _TARGETS[target]:
            case "value":
                return draw.value()
            case "lease":
                return draw.lease()
            case "version":
                return draw.one(0, 0, 1, 1, 2, 3, INT64_MAX, INT64_MIN)
        return draw.one(0, 0, draw.revision())

    def _txn(self, depth: int) -> Fields:
        draw = self._draw
        txn: Fields = {}
        compares = [self.compare() for _ in range(draw.one(0, 0, 1, 1, 2))]
        txn |= draw.maybe("compare", compares)
        for name in ("success", "failure"):
            count = draw.one(0, 1, 1, 2, 3) if depth < 2 else draw.one(0, 1, 1)
            txn |= draw.maybe(name, [self._operation(depth) for _ in range(count)])
        return txn

    def _operation(self, depth: int) -> Fields:
        draw = self._draw
        pick = draw.random.random()
        if pick < 0.01:
            return {}
        if pick < 0.4:
            return {"request_put": self.put()}
        if pick < 0.65:
            return {"request_range": self.range()}
        if pick < 0.85 or depth >= DEPTH_MAX:
            return {"request_delete_range": self.delete()}
        return {"request_txn": self._txn(depth + 1)}

    def _too_many(self) -> Fields:
        """Around the bounds of operations, on one level, shared by two, on all together."""
        draw = self._draw
        count = draw.one(127, 128, 129)
        ranges = [{"request_range": {"key": b"k%d" % n}} for n in range(count)]
        inner = [{"request_range": {"key": b"a"}}] * draw.one(0, 1, 2)
        match draw.one("compare", "branch", "nested", "wide"):
            case "wide":
                leaf = {"request_txn": {"success": [{"request_range": {"key": b"a"}}] * 4}}
                limb = {"request_txn": {"success": [leaf] * draw.one(38, 40)}}
                return {"success": [limb] * 50}
            case "compare":
                return {"compare": [_IMPOSSIBLE] * count}
            case "branch":
                return {draw.one("success", "failure"): ranges}
        return {"success": [*ranges[:-1], {"request_txn": {"success": inner}}]}


def never_run(txn: Fields) -> Fields:
    """The transaction's operations where they are checked but not run: etcd would do what kvorum
    refuses, and from then on the two stores would differ.
    """
    inner = {"compare": txn.get("compare", []), **txn}
    return {"compare": [_IMPOSSIBLE], "success": [{"request_txn": inner}]}


def operations(txn: Fields) -> list[Fields]:
    """The operations of both branches."""
    return [*txn.get("success", []), *txn.get("failure", [])]


def has_op(txn: Fields, test: Callable[[Fields], Any]) -> bool:
    """Whether any operation passes the test, however deep."""
    return any(
        test(op) or ("request_txn" in op and has_op(op["request_txn"], test))
        for op in operations(txn)
    )


def operations_in(txn: Fields) -> int:
    """Operations of both branches, on all levels."""
    return sum(1 + operations_in(op.get("request_txn", {})) for op in operations(txn))


def unknown_sort(op: Fields) -> bool:
    """Whether an operation is a range with a sort order without a meaning."""
    query = op.get("request_range", {})
    return not 0 <= query.get("sort_order", 0) <= 2


def unchecked_once(txn: Fields) -> bool:
    """Whether a transaction has what old releases ask no permission for (nested ones, previous
    values, leases), or every release in its own way (ranges that can hold no key).
    """
    return has_empty_range(txn) or has_op(
        txn,
        lambda op: (
            "request_txn" in op
            or any(each.get("prev_kv") or each.get("lease") for each in op.values())
        ),
    )


def has_empty_range(value: Any) -> bool:
    """Whether there is a range that can hold no key anywhere in a request."""
    if isinstance(value, list):
        return any(map(has_empty_range, value))
    if not isinstance(value, dict):
        return False
    end = value.get("range_end", b"")
    if end and end != b"\0" and end <= value.get("key", b""):
        return True
    return any(map(has_empty_range, value.values()))


def _only_ranges(txn: Fields) -> bool:
    return all("request_range" in op for op in operations(txn))


def _changes(branch: list[Fields]) -> tuple[list[bytes], list[Fields]]:
    """Keys put and ranges deleted, nested ones included."""
    puts = [op["request_put"]["key"] for op in branch if "request_put" in op]
    deletes = [op["request_delete_range"] for op in branch if "request_delete_range" in op]
    for op in branch:
        if "request_txn" in op:
            more = _changes(operations(op["request_txn"]))
            puts += more[0]
            deletes += more[1]
    return puts, deletes


def unseen_double(txn: Fields) -> bool:
    """Whether a branch may put a key and delete it with a request that etcd's check for doubles
    does not see: from a key on, or in another nested transaction.
    """
    nested = (op["request_txn"] for op in operations(txn) if "request_txn" in op)
    return any(_unseen(txn.get(name, [])) for name in ("success", "failure")) or any(
        unseen_double(each) for each in nested
    )


def _unseen(branch: list[Fields]) -> bool:
    puts, deletes = _changes(branch)
    nested = any("request_txn" in op for op in branch)
    return any(
        (delete.get("range_end") == b"\0" or nested) and any(_covers(delete, key) for key in puts)
        for delete in deletes
    )


def _covers(delete: Fields, key: bytes) -> bool:
    start, end = delete["key"], delete.get("range_end", b"")
    if not end:
        return bool(key == start)
    return bool(start <= key and (end == b"\0" or key < end))

"""The operations and conditions of a transaction, as values.

``Key("a").mod_revision == 3`` makes a :class:`Compare`; :class:`Put`, :class:`Get`, :class:`Delete`
and :class:`Txn` are operations. They know their wire form and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kvorum_proto import etcdserverpb as pb

from kvorum.client.types import Key as KeyText
from kvorum.client.types import key_range, to_bytes

SortTarget = Literal["key", "version", "create", "mod", "value"]
SortOrder = Literal["none", "ascend", "descend"]
Target = Literal["version", "create", "mod", "value", "lease"]
Relation = Literal["=", "!=", "<", ">"]

_RESULTS: dict[str, pb.CompareResult] = {
    "=": pb.CompareResult.EQUAL,
    "!=": pb.CompareResult.NOT_EQUAL,
    "<": pb.CompareResult.LESS,
    ">": pb.CompareResult.GREATER,
}
_TARGETS: dict[str, pb.CompareTarget] = {
    "version": pb.CompareTarget.VERSION,
    "create": pb.CompareTarget.CREATE,
    "mod": pb.CompareTarget.MOD,
    "value": pb.CompareTarget.VALUE,
    "lease": pb.CompareTarget.LEASE,
}


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition: ``target`` of ``key`` stands in ``relation`` to ``operand``.

    With a ``range_end`` the condition must hold for every key of the range. A missing key counts as
    0 everywhere but in a comparison of values, which it always fails (contract page "semantics",
    section 4).
    """

    target: Target
    key: bytes
    relation: Relation
    operand: int | bytes
    range_end: bytes = b""

    def message(self) -> pb.Compare:
        """The wire form."""
        compare = pb.Compare(
            result=_RESULTS[self.relation],
            target=_TARGETS[self.target],
            key=self.key,
            range_end=self.range_end,
        )
        if isinstance(self.operand, bytes):
            compare.value = self.operand
        elif self.target == "version":
            compare.version = self.operand
        elif self.target == "create":
            compare.create_revision = self.operand
        elif self.target == "mod":
            compare.mod_revision = self.operand
        else:
            compare.lease = self.operand
        return compare


class _Number:
    """A number of a key, waiting to be compared."""

    __hash__ = None  # type: ignore[assignment]  # == makes a Compare, so this cannot live in a set

    def __init__(self, make: Callable[[Relation, int], Compare]) -> None:
        self._make = make

    def __eq__(self, number: int) -> Compare:  # type: ignore[override]  # the point of the class
        return self._make("=", number)

    def __ne__(self, number: int) -> Compare:  # type: ignore[override]  # the point of the class
        return self._make("!=", number)

    def __lt__(self, number: int) -> Compare:
        return self._make("<", number)

    def __gt__(self, number: int) -> Compare:
        return self._make(">", number)

    def __le__(self, number: int) -> Compare:
        return self._make("<", number + 1)

    def __ge__(self, number: int) -> Compare:
        return self._make(">", number - 1)


class _Value:
    """A key's value, waiting to be compared. The protocol has no "less or equal" for values."""

    __hash__ = None  # type: ignore[assignment]  # == makes a Compare, so this cannot live in a set

    def __init__(self, make: Callable[[Relation, KeyText], Compare]) -> None:
        self._make = make

    def __eq__(self, value: KeyText) -> Compare:  # type: ignore[override]  # the point of the class
        return self._make("=", value)

    def __ne__(self, value: KeyText) -> Compare:  # type: ignore[override]  # the point of the class
        return self._make("!=", value)

    def __lt__(self, value: KeyText) -> Compare:
        return self._make("<", value)

    def __gt__(self, value: KeyText) -> Compare:
        return self._make(">", value)


class Key:
    """A key, or with ``prefix`` or ``range_end`` every key of a range, in a transaction's
    conditions.
    """

    def __init__(
        self, key: KeyText, range_end: KeyText | None = None, *, prefix: bool = False
    ) -> None:
        self._key, self._range_end = key_range(key, range_end, prefix=prefix)

    def _number(self, target: Target) -> _Number:
        return _Number(lambda how, n: Compare(target, self._key, how, int(n), self._range_end))

    @property
    def version(self) -> _Number:
        """Puts since the key was created; 0 for a missing key."""
        return self._number("version")

    @property
    def create_revision(self) -> _Number:
        """Revision that created the key; 0 for a missing key."""
        return self._number("create")

    @property
    def mod_revision(self) -> _Number:
        """Revision of the key's last change; 0 for a missing key."""
        return self._number("mod")

    @property
    def lease(self) -> _Number:
        """The lease that the key hangs on; 0 for none."""
        return self._number("lease")

    @property
    def value(self) -> _Value:
        """The key's value. For a missing key every comparison of it fails, ``!=`` too."""
        return _Value(lambda how, v: Compare("value", self._key, how, to_bytes(v), self._range_end))

    def exists(self) -> Compare:
        """The key is there."""
        return self.create_revision > 0

    def missing(self) -> Compare:
        """The key is not there."""
        return self.create_revision == 0


@dataclass(frozen=True, slots=True)
class Put:
    """Write one key. ``ignore_value`` and ``ignore_lease`` keep what the key has."""

    key: KeyText
    value: KeyText = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False

    def message(self) -> pb.PutRequest:
        """The wire form."""
        return pb.PutRequest(
            key=to_bytes(self.key),
            value=to_bytes(self.value),
            lease=self.lease,
            prev_kv=self.prev_kv,
            ignore_value=self.ignore_value,
            ignore_lease=self.ignore_lease,
        )

    def op(self) -> pb.RequestOp:
        """The wire form inside a transaction."""
        return pb.RequestOp(request_put=self.message())


@dataclass(frozen=True, slots=True)
class Get:
    """Read one key or a range; see :func:`kvorum.client.types.key_range` for the first four
    fields.
    """

    key: KeyText
    range_end: KeyText | None = None
    prefix: bool = False
    from_key: bool = False
    revision: int = 0
    limit: int = 0
    sort_by: SortTarget = "key"
    sort_order: SortOrder = "none"
    serializable: bool = False
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0

    def message(self) -> pb.RangeRequest:
        """The wire form."""
        key, range_end = key_range(
            self.key, self.range_end, prefix=self.prefix, from_key=self.from_key
        )
        return pb.RangeRequest(
            key=key,
            range_end=range_end,
            limit=self.limit,
            revision=self.revision,
            sort_order=pb.SortOrder[self.sort_order.upper()],
            sort_target=pb.SortTarget[self.sort_by.upper()],
            serializable=self.serializable,
            keys_only=self.keys_only,
            count_only=self.count_only,
            min_mod_revision=self.min_mod_revision,
            max_mod_revision=self.max_mod_revision,
            min_create_revision=self.min_create_revision,
            max_create_revision=self.max_create_revision,
        )

    def op(self) -> pb.RequestOp:
        """The wire form inside a transaction."""
        return pb.RequestOp(request_range=self.message())


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one key or a range; see :func:`kvorum.client.types.key_range` for the first four
    fields.
    """

    key: KeyText
    range_end: KeyText | None = None
    prefix: bool = False
    from_key: bool = False
    prev_kv: bool = False

    def message(self) -> pb.DeleteRangeRequest:
        """The wire form."""
        key, range_end = key_range(
            self.key, self.range_end, prefix=self.prefix, from_key=self.from_key
        )
        return pb.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=self.prev_kv)

    def op(self) -> pb.RequestOp:
        """The wire form inside a transaction."""
        return pb.RequestOp(request_delete_range=self.message())


@dataclass(frozen=True, slots=True)
class Txn:
    """A transaction: if every condition holds the operations of ``then`` run, else those of
    ``else_``.
    """

    compares: tuple[Compare, ...] = ()
    then: tuple[Op, ...] = ()
    else_: tuple[Op, ...] = ()

    def message(self) -> pb.TxnRequest:
        """The wire form."""
        return pb.TxnRequest(
            compare=[compare.message() for compare in self.compares],
            success=[op.op() for op in self.then],
            failure=[op.op() for op in self.else_],
        )

    def op(self) -> pb.RequestOp:
        """The wire form inside another transaction."""
        return pb.RequestOp(request_txn=self.message())


Op = Put | Get | Delete | Txn

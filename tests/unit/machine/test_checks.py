"""What is refused before proposing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

import pytest
from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine.commands import (
    CommandLimits,
    Compare,
    DeleteRange,
    MemberPromote,
    MemberRemove,
    MemberUpdate,
    Noop,
    Operation,
    Put,
    Range,
    Txn,
    normal_urls,
    validate,
)
from unit.machine.model import inside
from unit.machine.workload import Workload

Trace = list[Operation]


def runs(branch: tuple[Operation | None, ...]) -> Iterator[Trace]:
    """Every sequence of puts and deletions that a branch can turn into."""
    choices: list[list[Trace]] = []
    for op in branch:
        if isinstance(op, Txn):
            choices.append([*runs(op.success), *runs(op.failure)])
        elif isinstance(op, Put | DeleteRange):
            choices.append([[op]])
    for choice in product(*choices):
        yield [op for part in choice for op in part]


def changes_a_key_twice(trace: Trace) -> bool:
    """By looking at each put and everything else in the run."""
    for at, op in enumerate(trace):
        if not isinstance(op, Put):
            continue
        for other_at, other in enumerate(trace):
            if isinstance(other, Put) and other_at != at and other.key == op.key:
                return True
            if isinstance(other, DeleteRange) and inside(other.key, other.range_end, op.key):
                return True
    return False


@pytest.mark.parametrize("seed", range(8))
def test_duplicate_keys_are_those_of_some_run(seed: int) -> None:
    workload = Workload(Random(seed))
    verdicts = {True: 0, False: 0}
    for _ in range(150):
        drawn = workload.txn()
        plain = Txn((), _harmless(drawn.success), _harmless(drawn.failure))
        expected = any(changes_a_key_twice(t) for b in plain[1:] for t in runs(b))
        assert (validate(plain) is Condition.DUPLICATE_KEY) == expected, plain
        verdicts[expected] += 1
    assert min(verdicts.values()) > 10


def _harmless(branch: tuple[Operation | None, ...]) -> tuple[Operation, ...]:
    """The branch without what other checks would refuse."""
    clean: list[Operation] = []
    for op in branch:
        if isinstance(op, Put):
            clean.append(Put(op.key, op.value))
        elif isinstance(op, Txn):
            clean.append(Txn((), _harmless(op.success), _harmless(op.failure)))
        elif op is not None:
            clean.append(op)
    return tuple(clean)


def gets(count: int) -> tuple[Range, ...]:
    return tuple([Range(b"a")] * count)


@pytest.mark.parametrize(
    ("outer", "inner", "refused"),
    [(127, 1, False), (126, 2, False), (127, 2, True), (128, 0, False), (129, 0, True)],
)
def test_a_nested_transaction_has_what_its_parent_left(
    outer: int, inner: int, refused: bool
) -> None:
    """Live on etcd: 127 and an inner 1 pass, an inner 2 does not."""
    inside = (Txn((), gets(inner), ()),) if inner else ()
    txn = Txn((), (*inside, *gets(outer - len(inside))), ())
    assert (validate(txn) is Condition.TOO_MANY_OPS) == refused


def test_a_full_transaction_leaves_nothing_for_a_nested_one() -> None:
    assert validate(Txn((), (*gets(127), Txn((), gets(1), ())))) is Condition.TOO_MANY_OPS
    assert validate(Txn((), (*gets(127), Txn()))) is None


@pytest.mark.parametrize("part", range(3))
def test_compares_and_both_branches_count(part: int) -> None:
    parts: list[tuple[object, ...]] = [(), (), ()]
    parts[part] = (Compare(b"a", 0, 0, 0),) * 3 if part == 0 else gets(3)
    txn = Txn(*parts)  # type: ignore[arg-type]  # one of the three, chosen by number
    assert validate(txn, CommandLimits(max_txn_ops=2)) is Condition.TOO_MANY_OPS
    assert validate(txn, CommandLimits(max_txn_ops=3)) is None


@pytest.mark.parametrize(
    "change", [MemberRemove(0), MemberPromote(0), MemberUpdate(0, ("http://10.0.0.1:2380",))]
)
def test_nobody_has_member_id_0(change: MemberRemove | MemberPromote | MemberUpdate) -> None:
    assert validate(change) is Condition.MEMBER_NOT_FOUND
    assert validate(change._replace(id=1)) is None


def test_total_operations_and_depth_are_bounded() -> None:
    wide = Txn((), gets(60), gets(60))
    many = Txn((), (wide,) * 60, (wide,) * 60)
    assert limits.MAX_TXN_TOTAL_OPS < 60 * 120 * 2
    assert validate(many) is Condition.TOO_MANY_OPS
    deep = Txn()
    for _ in range(limits.MAX_TXN_DEPTH):
        deep = Txn((), (deep,), ())
    assert validate(deep, CommandLimits(max_txn_ops=10_000)) is Condition.TOO_MANY_OPS


def test_operations_are_checked_before_duplicates() -> None:
    twice = (Put(b"a", b""), Put(b"a", b""))
    assert validate(Txn((), twice, (Put(b"", b""),))) is Condition.KEY_NOT_PROVIDED
    assert validate(Txn((), twice, ())) is Condition.DUPLICATE_KEY
    assert validate(Noop()) is None


@pytest.mark.parametrize(
    ("urls", "normal"),
    [
        (("http://b:2380", "http://a:2380"), ("http://a:2380", "http://b:2380")),
        (("https://[::1]:2380",), ("https://[::1]:2380",)),
        (("unix://sock:1",), ("unix://sock:1",)),
        (("unixs:///run/sock",), ("unixs:///run/sock",)),
        ((), ()),
        (("http://a",), ()),
        (("http://:2380",), ()),
        (("http://a:notaport",), ()),
        (("http://a:99999",), ()),
        (("http://[::1:2380",), ()),
        (("http://a:2380/path",), ()),
        (("http://a:2380?x=1",), ()),
        (("http://u@a:2380",), ()),
        (("tcp://a:2380",), ()),
        (("unix://",), ()),
        (("a:2380",), ()),
        (("http://a:2380", ""), ()),
    ],
)
def test_peer_urls(urls: tuple[str, ...], normal: tuple[str, ...]) -> None:
    assert normal_urls(urls) == normal

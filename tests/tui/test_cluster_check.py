"""Finding out whether members hold the same, since when not, and where: the searches by
themselves, and driven against a cluster in memory.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from kvorum_tui.comparing import Comparing, where
from kvorum_tui.model.cluster_check import (
    PAGE_KEYS,
    Difference,
    Scan,
    digest,
    first_difference,
    prefixes,
    scan_keys,
)
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session.checks import HeldPage
from tui.fake_session import FakeSession


@pytest.mark.parametrize("first", [2, 3, 17, 99, 100])
def test_the_first_revision_that_differs_is_found_by_halving(first: int) -> None:
    search = first_difference(1, 100)
    asked = 0
    revision = next(search)
    try:
        while True:
            asked += 1
            assert 1 < revision < 100
            revision = search.send(revision < first)
    except StopIteration as end:
        assert end.value == first
    assert asked <= 7


def record(key: bytes, value: bytes = b"v", mod: int = 5) -> KeyRecord:
    return KeyRecord(key, value, 2, mod, 1)


def search(stores: list[dict[bytes, KeyRecord]]) -> Scan:
    """Run the scan on stores in memory."""
    scan = Scan()
    walk = scan_keys(len(stores), scan)
    asks = next(walk, None)
    while asks is not None:
        pages = []
        for ask in asks:
            found = [
                r if ask.values else replace(r, value=b"")
                for key, r in sorted(stores[ask.member].items())
                if key >= ask.start and (not ask.end or key < ask.end)
            ]
            more = len(found) > ask.limit
            pages.append(HeldPage(tuple(found[: ask.limit]), more, len(found)))
        try:
            asks = walk.send(pages)
        except StopIteration:
            break
    return scan


def test_what_is_planted_is_found_and_nothing_else() -> None:
    rng = random.Random(5)
    keys = [b"/app/%05d" % n for n in range(3 * PAGE_KEYS + 7)]
    for _ in range(20):
        stores = [{key: record(key) for key in keys} for _ in range(3)]
        planted = set(rng.sample(keys, rng.randint(0, 6)))
        for key in planted:
            store = stores[rng.randrange(3)]
            deed = rng.choice(["missing", "revision"])
            if deed == "missing":
                del store[key]
            else:
                store[key] = record(key, b"w", 6)
        if rng.random() < 0.5:
            extra = rng.choice([b"/zzz", b"!first", b"/app/00003/x"])
            stores[rng.randrange(3)][extra] = record(extra)
            planted.add(extra)
        assert {difference.key for difference in search(stores).found} == planted


def test_values_alone_are_found_in_a_second_pass() -> None:
    stores = [{b"a": record(b"a"), b"b": record(b"b")} for _ in range(2)]
    stores[1][b"b"] = record(b"b", b"altered")
    scan = search(stores)
    assert scan.values
    assert [(d.key, d.kind()) for d in scan.found] == [(b"b", "value")]
    assert [r.value for r in scan.found[0].held if r] == [b"v", b"altered"]


def test_a_value_is_found_beside_a_missing_key() -> None:
    stores = [{b"a": record(b"a"), b"b": record(b"b"), b"c": record(b"c")} for _ in range(2)]
    stores[1][b"b"] = record(b"b", b"altered")
    del stores[0][b"c"]
    assert {d.key: d.kind() for d in search(stores).found} == {b"b": "value", b"c": "missing"}


def test_equal_stores_are_read_twice_and_nothing_is_found() -> None:
    scan = search([{b"a": record(b"a")}] * 3)
    assert (scan.found, scan.read, scan.total) == ([], 1, 1)
    assert search([{}, {}]).found == []


def test_digests_tell_neighbouring_fields_apart() -> None:
    assert digest([record(b"ab", b"c")]) != digest([record(b"a", b"bc")])
    assert digest([record(b"a"), record(b"b")]) != digest([record(b"b"), record(b"a")])


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ([b"/app/a/1"], [(b"/app/a/1", 1)]),
        (
            [b"/app/a/1", b"/app/a/2", b"/app/b/3"],
            [(b"/app/", 3), (b"/app/a/", 2), (b"/app/b/", 1)],
        ),
        ([b"x", b"y"], [(b"", 2)]),
        ([b"/reg/pods/1", b"/reg/pods/12"], [(b"/reg/pods/", 2)]),
        ([], []),
    ],
)
def test_prefixes_of_what_differs(keys: list[bytes], shown: list[tuple[bytes, int]]) -> None:
    assert prefixes(keys) == shown


def test_a_difference_in_words() -> None:
    one = record(b"k")
    assert Difference(b"k", (one, None)).kind() == "missing"
    assert Difference(b"k", (one, record(b"k", mod=9))).kind() == "written at another revision"
    assert Difference(b"k", (one, replace(one, lease=7))).kind() == "numbers"


def compare(fake: FakeSession, wait_s: float = 5.0) -> Comparing:
    names = {node.name: node.endpoint for node in fake.nodes}
    comparing = Comparing(fake.checks, names, lambda: fake.revision, lambda: None, wait_s)
    asyncio.run(comparing.run())
    return comparing


def test_members_that_hold_the_same() -> None:
    done = compare(FakeSession({b"/a": b"1", b"/b": b"2"})).result
    assert done.same and done.done
    assert done.said == "the same hash on all 3 members, at revision 3"


def test_one_altered_key_is_traced_to_its_revision_and_prefix() -> None:
    fake = FakeSession({b"/app/%02d" % n: b"x" for n in range(40)})
    fake.checks.altered["n2"] = {b"/app/17": b"rotten"}
    done = compare(fake).result
    assert done.same is False
    assert "n1, n3 | n2" in done.said
    assert done.since == fake.store[b"/app/17"].mod_revision
    assert done.events["n2"][0].value == b"rotten"
    assert done.events["n1"][0].value == b"x"
    assert where(done) == [(b"/app/17", 1)]


def test_a_member_that_is_down_and_one_that_never_catches_up() -> None:
    fake = FakeSession({b"/a": b"1"})
    fake.nodes[2].error = "connection refused"
    done = compare(fake).result
    assert done.same and "no answer from n3" in done.said
    assert "connection refused" in done.failed["n3"]
    fake.nodes[2].error = ""
    names = {node.name: node.endpoint for node in fake.nodes}
    ahead = Comparing(fake.checks, names, lambda: 99, lambda: None, 0.0)
    asyncio.run(ahead.run())
    assert ahead.result.same
    assert "at revision 2 (not all members reached revision 99)" in ahead.result.said


def test_nothing_to_compare_with() -> None:
    assert compare(FakeSession({b"/a": b"1"}, members=1)).result.same is None
    fake = FakeSession({b"/a": b"1"})
    for node in fake.nodes:
        node.error = "gone"
    assert compare(fake).result.said == "no member told its hash"

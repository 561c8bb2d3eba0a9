"""What planners make of what is wanted, and how plans are cut, resumed and taken back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.client.plan import CHANGED, HELD, LEASE_GONE, Step, carry_out, still_to_do, transactions
from kvorum.client.planning import (
    Deed,
    Entry,
    PlanError,
    deleting,
    relocating,
    restoring_to,
    taking_back,
    writing,
)
from kvorum.client.types import KeyValue
from kvorum.limits import LOAD_CHUNK_BYTES, LOAD_CHUNK_OPS
from tui.fake_session import FakeSession

REVISION = 100


def kv(key: bytes, value: bytes = b"v", lease: int = 0, mod: int = 5) -> KeyValue:
    return KeyValue(key, value, 1, mod, 1, lease)


def after(state: Mapping[bytes, bytes], steps: Iterable[Step]) -> dict[bytes, bytes]:
    """What a store holds when steps were done, whose befores hold."""
    out = dict(state)
    for step in steps:
        assert (step.before.value if step.before else None) == state.get(step.key)
        if step.value is None:
            out.pop(step.key, None)
        else:
            out[step.key] = step.value
    return out


names = st.text("ab/", max_size=4).map(str.encode)
stores = st.dictionaries(names.map(lambda name: b"/" + name), st.binary(max_size=2), max_size=12)


@given(stores, names, names, st.booleans(), st.sampled_from(["refuse", "skip", "overwrite"]))
def test_keys_relocated_are_what_one_thinks(
    state: dict[bytes, bytes], old: bytes, new: bytes, move: bool, there: str
) -> None:
    old, new = b"/" + old, b"/" + new
    records = {key: kv(key, value) for key, value in state.items()}
    sources = [record for key, record in sorted(records.items()) if key.startswith(old)]
    made = relocating(
        sources,
        lambda key: new + key[len(old) :],
        records,
        move=move,
        there=there,  # type: ignore[arg-type]  # hypothesis gives words
    )
    keys = [step.key for step in made.steps]
    assert len(keys) == len(set(keys)), "a transaction may not name a key twice"
    wanted = dict(state)
    targets = {record.key: new + record.key[len(old) :] for record in sources}
    collisions = {
        target
        for source, target in targets.items()
        if target in state
        and target != source
        and not (move and target in targets and targets[target] != target)
        and (move or state[target] != state[source])
    }
    assert {record.key for record in made.there} == collisions
    if collisions and there == "refuse":
        assert made.steps == ()
        return
    found = after(state, made.steps)
    if there == "overwrite" or not collisions:
        for source in targets:
            if move:
                wanted.pop(source, None)
        wanted.update({target: state[source] for source, target in targets.items()})
        assert found == wanted
    elif move:
        assert sorted(found.values()) == sorted(state.values()), "nothing is lost, nothing doubled"
    else:
        assert all(found[key] == value for key, value in state.items()), "nothing is overwritten"


def test_both_halves_of_a_move_are_one_group() -> None:
    made = relocating(
        [kv(b"/a/1", lease=7), kv(b"/a/2", lease=8)],
        lambda key: b"/b/" + key[3:],
        {},
        move=True,
        leases={7},
    )
    assert [(s.key, s.value, s.lease, s.group) for s in made.steps] == [
        (b"/b/1", b"v", 7, 1),
        (b"/a/1", None, 0, 1),
        (b"/b/2", b"v", 0, 2),
        (b"/a/2", None, 0, 2),
    ]


def test_what_makes_no_plan() -> None:
    with pytest.raises(PlanError, match="become one"):
        relocating([kv(b"a"), kv(b"b")], lambda key: b"c", {}, move=False)
    with pytest.raises(PlanError, match="without a name"):
        relocating([kv(b"a")], lambda key: b"", {}, move=True)
    chain = [kv(b"a" * n) for n in range(1, LOAD_CHUNK_OPS + 2)]
    with pytest.raises(PlanError, match="over one another"):
        relocating(chain, lambda key: key + b"a", {}, move=True)


def test_writing_leaves_alone_what_is_so_already() -> None:
    present = {b"a": kv(b"a", b"1"), b"b": kv(b"b", b"2")}
    entries = [Entry(b"a", b"1"), Entry(b"b", b"x"), Entry(b"c", b"3"), Entry(b"c", b"4")]
    refused = writing(entries, present)
    assert (refused.steps, [r.key for r in refused.there]) == ((), [b"b"])
    skipped = writing(entries, present, "skip")
    assert skipped.steps == (Step(b"c", None, b"4"),)
    over = writing(entries, present, "overwrite")
    assert [step.key for step in over.steps] == [b"b", b"c"]
    assert [left.why for left in over.left] == ["is so already"]


@given(stores, stores)
def test_restoring_makes_it_as_it_was(then: dict[bytes, bytes], now: dict[bytes, bytes]) -> None:
    made = restoring_to(
        [kv(key, value) for key, value in then.items()],
        [kv(key, value) for key, value in now.items()],
    )
    assert after(now, made.steps) == then


@given(stores)
def test_deleting_leaves_nothing(state: dict[bytes, bytes]) -> None:
    assert after(state, deleting(kv(k, v) for k, v in state.items()).steps) == {}


# --- taking back ----------------------------------------------------------------------------------


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([b"a", b"b", b"c"]),
            st.sampled_from([b"1", b"2"]) | st.none(),
            min_size=1,
        ),
        max_size=6,
    )
)
def test_everything_can_be_taken_back(changes: list[dict[bytes, bytes | None]]) -> None:
    state: dict[bytes, KeyValue] = {b"a": kv(b"a", b"0")}
    start = {key: record.value for key, record in state.items()}
    deeds: list[Deed] = []
    for revision, change in enumerate(changes, REVISION):
        for key, value in change.items():
            before = state.pop(key, None)
            if value is not None:
                state[key] = kv(key, value, mod=revision)
            if before is not None or value is not None:
                deeds.append(Deed(revision, key, before, state.get(key)))
    made = taking_back(deeds, state, ())
    assert made.left == ()
    assert after({key: record.value for key, record in state.items()}, made.steps) == start


def test_why_something_cannot_be_taken_back() -> None:
    old, new = kv(b"k", b"1", mod=5), kv(b"k", b"2", mod=9)
    changed = taking_back([Deed(9, b"k", old, new)], {b"k": kv(b"k", b"3", mod=12)}, ())
    assert (changed.steps, changed.left[0].why) == ((), "changed since, at revision 12")
    gone = taking_back([Deed(9, b"k", old, new)], {}, ())
    assert gone.left[0].why == "changed since, by deleting it"
    lost = taking_back([Deed(9, b"k", None, new, lost=True)], {b"k": new}, ())
    assert "compacted away" in lost.left[0].why
    leased = Deed(9, b"k", old._replace(lease=0xAB), None)
    assert taking_back([leased], {}, ()).left[0].why == "its lease ab is gone"
    assert taking_back([leased], {}, {0xAB}).steps == (Step(b"k", None, b"1", 0xAB, 9),)
    assert taking_back([leased], {}, (), without_lease=True).steps[0].lease == 0


def test_a_transaction_is_taken_back_as_a_whole() -> None:
    deeds = [Deed(9, b"a", None, kv(b"a", mod=9)), Deed(9, b"b", None, kv(b"b", mod=9))]
    now = {b"a": kv(b"a", mod=9), b"b": kv(b"b", mod=9)}
    assert {step.group for step in taking_back(deeds, now, ()).steps} == {9}


# --- transactions ---------------------------------------------------------------------------------

steps_lists = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1, 200, 60_000])), max_size=400
)


@given(steps_lists)
def test_transactions_hold_everything_and_no_more_than_they_may(
    made: list[tuple[int, int]],
) -> None:
    steps = [Step(b"%d" % n, None, b"x" * size, 0, group) for n, (group, size) in enumerate(made)]
    cut = transactions(steps)
    assert [step for chunk in cut for step in chunk] == steps
    for one, other in itertools.pairwise(cut):
        assert not one[-1].group or one[-1].group != other[0].group, "groups stay together"
    for chunk in cut:
        units = 1 + sum(
            1 for a, b in itertools.pairwise(chunk) if not b.group or a.group != b.group
        )
        weight = sum(len(step.value or b"") for step in chunk)
        assert units == 1 or (len(chunk) <= LOAD_CHUNK_OPS and weight <= LOAD_CHUNK_BYTES)


def test_what_is_still_to_do() -> None:
    steps = [
        Step(b"done", None, b"1"),
        Step(b"gone", kv(b"gone"), None),
        Step(b"todo", kv(b"todo"), b"2"),
        Step(b"theirs", None, b"3"),
        Step(b"pair", None, b"4", 0, 1),
        Step(b"half", kv(b"half", mod=5), None, 0, 1),
    ]
    now = {
        b"done": kv(b"done", b"1", mod=9),
        b"todo": kv(b"todo"),
        b"theirs": kv(b"theirs", b"x", mod=9),
        b"half": kv(b"half", b"y", mod=9),
    }
    to_do, done, conflicts = still_to_do(steps, now)
    assert [step.key for step in to_do] == [b"todo"]
    assert [step.key for step in done] == [b"done", b"gone"]
    assert {c.step.key: c.why for c in conflicts} == {
        b"theirs": CHANGED,
        b"pair": HELD,
        b"half": CHANGED,
    }


# --- the engine, on transactions in memory --------------------------------------------------------


async def each(steps: Iterable[Step]) -> AsyncGenerator[Step, None]:
    for step in steps:
        yield step


def test_groups_happen_whole_or_not_at_all() -> None:
    async def run() -> None:
        fake = FakeSession({b"/a/%02d" % n: b"x" for n in range(3)})
        records = (await fake.plans.read(prefixes=[b"/a/"])).records
        made = relocating(records, lambda key: b"/b/" + key[3:], {}, move=True)
        fake.write(b"/a/01", b"theirs")
        outcome = await carry_out(fake.plans.client, each(made.steps))
        assert outcome.done == 4
        assert {c.step.key: c.why for c in outcome.conflicts} == {b"/b/01": HELD, b"/a/01": CHANGED}
        assert {key: r.value for key, r in fake.store.items()} == {
            b"/a/01": b"theirs",
            b"/b/00": b"x",
            b"/b/02": b"x",
        }

    asyncio.run(run())


def test_a_lease_that_is_gone_spoils_only_its_own_keys() -> None:
    async def run() -> None:
        fake = FakeSession()
        lease = await fake.grant(60)
        steps = [
            Step(b"a", None, b"1", lease.id),
            Step(b"b", None, b"2", 0xDEAD),
            Step(b"c", None, b"3"),
        ]
        outcome = await carry_out(fake.plans.client, each(steps))
        assert [(c.step.key, c.why) for c in outcome.conflicts] == [(b"b", LEASE_GONE)]
        assert set(fake.store) == {b"a", b"c"}

    asyncio.run(run())


def test_a_plan_is_stopped_between_transactions() -> None:
    async def run() -> None:
        fake = FakeSession()
        steps = [Step(b"%03d" % n, None, b"") for n in range(250)]
        done: list[int] = []
        wrote: list[tuple[int, int]] = []
        outcome = await carry_out(
            fake.plans.client,
            each(steps),
            done.append,
            wrote=lambda part, revision: wrote.append((len(part), revision)),
            stopped=lambda: bool(done),
        )
        assert (outcome.done, outcome.stopped, done) == (100, True, [100])
        assert wrote == [(100, outcome.revision)]
        assert len(fake.store) == 100

    asyncio.run(run())

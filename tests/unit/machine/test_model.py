"""The machine against a naive model, on random commands."""

from __future__ import annotations

from random import Random

import pytest
from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.commands import Envelope, Range, decode, encode, validate
from kvorum.machine.compaction import survives
from kvorum.machine.digest import HashResult, checksum_of
from kvorum.machine.events import DELETE, Event
from kvorum.machine.record import make_frame
from unit.machine.model import Model, inside
from unit.machine.plain import plain, row
from unit.machine.workload import ENDS, KEYS, Workload

SEEDS = range(12)
COMMANDS = 250


def check_events(model: Model, events: tuple[Event, ...], logged: int) -> None:
    """The events are what the model logged since; each knows what its key was before."""
    told = [(e.revision, e.sub, row(e.record), e.kind == DELETE) for e in events]
    assert told == [(r, s, tuple(changed), gone) for r, s, changed, gone in model.log[logged:]]
    seen: dict[tuple[int, bytes], Event] = {}
    for event in events:
        before = seen.get((event.revision, event.key))
        if before is None:
            old = model.states[event.revision - 1].get(event.key)
            assert (tuple(old) if old else None) == (row(event.prev) if event.prev else None)
        else:  # The same key again in one revision, which only unvalidated transactions do.
            assert event.prev == (None if before.kind == DELETE else before.record)
        seen[(event.revision, event.key)] = event


def check_state(model: Model, machine: Machine, workload: Workload) -> None:
    """Any read, the leases and the checksums agree."""
    for _ in range(4):
        query = workload.range()
        assert plain(machine.read(query)) == model.read(query)
    reading = workload.reading_txn()
    assert plain(machine.read(reading)) == model.read(reading)
    for lease in machine.leases:
        rows = model.states[-1].values()
        assert lease.sorted_keys() == sorted(r.key for r in rows if r.lease == lease.id)
    assert {lease.id for lease in machine.leases} == model.leases
    for revision in range(max(1, model.compacted, machine.window.floor), model.revision + 1):
        frames = [make_frame(*r) for r in model.states[revision].values()]
        expected = HashResult(checksum_of(frames), revision, model.compacted)
        assert machine.hash_kv(revision) == expected
    live = machine.statistics()
    frames = [make_frame(*r) for r in model.states[-1].values()]
    assert (live.keys, live.live_bytes) == (len(frames), sum(map(len, frames)))


@pytest.mark.parametrize("seed", SEEDS)
def test_machine_agrees_with_model(seed: int) -> None:
    random = Random(seed)
    machine, model, workload = Machine(), Model(), Workload(random)
    refused = 0
    for index in range(1, COMMANDS + 1):
        command = workload.command()
        refused += validate(command) is not None  # The machine must stand those, too.
        entry = decode(encode(Envelope(index, 5, 1, "", 0, command)))
        logged = len(model.log)
        applied = machine.apply(index, 1, entry)
        assert plain(applied.result) == model.apply(command, 1), command
        assert applied.revision == machine.revision == model.revision
        check_events(model, applied.events, logged)
        workload.revision = machine.revision
        if index % 5 == 0:
            check_state(model, machine, workload)
    assert 0 < refused < COMMANDS
    assert machine.revision > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_catch_up_is_the_log_filtered(seed: int) -> None:
    random = Random(1000 + seed)
    machine, model, workload = Machine(), Model(), Workload(random)
    for index in range(1, 120):
        command = workload.command()
        machine.apply(index, 1, Envelope(0, 0, 1, "", 0, command))
        model.apply(command, 1)
        workload.revision = machine.revision
    for _ in range(40):
        start, limit = random.randint(1, machine.revision + 2), random.choice((1, 3, 1000))
        key, end = random.choice(KEYS), random.choice(ENDS)
        found = machine.window.events_since(start, key, end, limit)
        if start <= machine.window.floor:
            assert found is None
            continue
        assert found is not None
        matching = [
            entry for entry in model.log if entry[0] >= start and inside(key, end, entry[2].key)
        ]
        wanted = sorted({revision for revision, *_ in matching})
        assert [revision for revision, _ in found.groups] == wanted[:limit]
        told = [(e.revision, e.sub, row(e.record)) for _, events in found.groups for e in events]
        assert told == [(r, s, tuple(x)) for r, s, x, _ in matching if r in wanted[:limit]]
        if len(wanted) > limit:
            assert found.next_revision == wanted[limit]
        else:
            assert found.next_revision == max(machine.revision + 1, start)


@pytest.mark.parametrize("seed", SEEDS)
def test_replay_and_images_lead_to_one_state(seed: int) -> None:
    """Three members: one straight, one restored from an image midway, one whose window is tiny."""
    workload = Workload(Random(2000 + seed))
    straight, restored, again = Machine(3), Machine(3), Machine(3)
    for index in range(1, 160):
        entry = encode(Envelope(index, index, 1, "u", 2, workload.command()))
        straight.apply(index, 1, decode(entry))
        if index % 50 == 0:
            restored = decode_image(encode_image(restored.image()))
        restored.apply(index, 1, decode(entry))
        again.apply(index, 1, decode(entry))
        again.window.release(again.revision)
        assert straight.digest == restored.digest == again.digest
        workload.revision = straight.revision
    images = [b"".join(encode_image(machine.image())) for machine in (straight, restored, again)]
    assert images[0] == images[1] == images[2]
    assert straight.hash_kv() == restored.hash_kv() == again.hash_kv()


@pytest.mark.parametrize("seed", range(4))
def test_compacted_history_still_answers(seed: int) -> None:
    """What `survives` keeps is enough for every read at or above the compact revision."""
    random = Random(3000 + seed)
    model, workload = Model(), Workload(random)
    for _ in range(150):
        model.apply(workload.command(), 1)
        workload.revision = model.revision
    compacted = random.randint(2, model.revision)
    per_key: dict[bytes, list[tuple[int, tuple[object, ...], bool]]] = {}
    for revision, _, changed, gone in model.log:
        versions = per_key.setdefault(changed.key, [])
        if versions and versions[-1][0] == revision:
            versions.pop()  # Put and deleted in one revision: only the end of it is ever read.
        versions.append((revision, tuple(changed), gone))
    kept: dict[bytes, list[tuple[int, tuple[object, ...], bool]]] = {}
    for key, versions in per_key.items():
        following = [version[0] for version in versions[1:]] + [None]
        kept[key] = [
            version
            for version, after in zip(versions, following, strict=True)
            if survives(version[0], after, version[2], compacted)
        ]
        assert [v for v in versions if v[0] > compacted] == [
            v for v in kept[key] if v[0] > compacted
        ]
        assert len([v for v in kept[key] if v[0] <= compacted]) <= 1
    for revision in range(compacted, model.revision + 1):
        state = {}
        for key, versions in kept.items():
            latest = [version for version in versions if version[0] <= revision]
            if latest and not latest[-1][2]:
                state[key] = latest[-1][1]
        assert state == {key: tuple(r) for key, r in model.states[revision].items()}


def test_a_whole_range_of_everything_is_the_model_state() -> None:
    workload, machine, model = Workload(Random(7)), Machine(), Model()
    for index in range(1, 200):
        command = workload.command()
        machine.apply(index, 1, Envelope(0, 0, 1, "", 0, command))
        model.apply(command, 1)
        workload.revision = machine.revision
        everything = Range(b"\0", b"\0")
        assert plain(machine.read(everything)) == model.read(everything)

"""Faults that did not bite, leases that end early, readers that are told twice: each is seen."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kvorum.check import records as r
from kvorum.drill.scenario import parse_scenario
from kvorum_proto import mvccpb
from kvorum_proto.etcdserverpb import WatchResponse
from release import bites, chaos, command, leases, rawcalls, slow_watcher
from release.bites import Logs, Note
from release.gate import SLICES, State
from release.reader import Reader
from release.watchload import WatchLoad

SIZES = (1, 3, 5)


class NoCluster:
    """What a slice asks of a cluster that it does not use."""

    names = ("n1", "n2", "n3")
    endpoints = ("http://127.0.0.1:1",)


def state_of(name: str, directory: Path) -> State:
    command.load()
    return State(SLICES[name], directory)


# --- scenarios ------------------------------------------------------------------------------------


def test_scenarios_are_ones_and_deal_every_kind() -> None:
    dealt = set()
    for seed in range(12):
        for size in SIZES:
            text = chaos.scenario(seed, size, 120.0)
            assert text == chaos.scenario(seed, size, 120.0)
            steps = parse_scenario(text, Path("chaos.toml")).steps
            dealt |= {step.do for step in steps}
            if size == 1:
                assert {step.do for step in steps} <= {*chaos.ALONE, "compact"}
    assert dealt == {*chaos.KINDS, "compact"} - {"kill_all"}


def test_damage_is_dealt_with_its_way_back() -> None:
    for seed in range(12):
        steps = parse_scenario(chaos.scenario(seed, 3, 120.0), Path("chaos.toml")).steps
        for place, step in enumerate(steps):
            if step.do == "corrupt_wal" and step.at_s is not None and step.at_s < 110:
                later = [s for s in steps[place:] if s.targets == step.targets]
                back = [s for s in later if s.do in ("rejoin_member", "replace_member")]
                assert back, f"seed {seed}: {step.words} stays damaged"


def test_what_is_wanted_comes_first() -> None:
    text = chaos.scenario(1, 3, 60.0, ["pause"])
    first = [s.do for s in parse_scenario(text, Path("chaos.toml")).steps if s.do != "compact"]
    assert first[0] == "pause"


# --- proof ----------------------------------------------------------------------------------------


def logs_of(folder: Path, **lines: list[tuple[float, str, dict[str, Any]]]) -> Logs:
    """The logs of members as they write them, read again."""
    for name, some in lines.items():
        (folder / name).mkdir()
        with (folder / name / "node.log").open("w", encoding="utf-8") as out:
            for at_s, message, fields in some:
                at = datetime.fromtimestamp(at_s, UTC).isoformat()
                out.write(json.dumps({"ts": at, "msg": message, **fields}) + "\n")
            out.write("Traceback (most recent call last):\n")
    return Logs.of(folder)


CUT = ("fault injected", {"fault": "link cut", "fault-id": 7})
LIFTED = {"fault": "link cut", "fault-id": 7}


@pytest.mark.parametrize(
    ("after", "bit"),
    [
        ([(12.0, "fault lifted", {**LIFTED, "bites": 3})], True),
        ([(12.0, "fault lifted", {**LIFTED, "bites": 0})], False),
        ([(12.0, "fault lifted", {**LIFTED, "fault-id": 8, "bites": 3})], False),
        ([(11.0, "recovered", {}), (12.0, "fault lifted", {**LIFTED, "bites": 3})], False),
        ([], False),
    ],
)
def test_a_cut_link_has_to_have_lost_something(
    after: list[tuple[float, str, dict[str, Any]]], bit: bool, tmp_path: Path
) -> None:
    logs = logs_of(tmp_path, n1=[(10.0, *CUT), *after], n2=[])
    note = Note("isolate", 10.0, 10.1, ("n1", "n2"), "2 faults in force")
    assert logs.bit(note) is bit
    assert not logs.bit(note._replace(began_s=20.0, done_s=20.1))


def test_proofs_of_other_kinds(tmp_path: Path) -> None:
    full = "failpoint wal_write_before=raise(ENOSPC)"
    damaged = "the log is damaged where it was synced; nothing was cut"
    logs = logs_of(
        tmp_path,
        n1=[
            (10.0, "fault injected", {"fault": full, "fault-id": 1}),
            (10.2, "failpoint", {"failpoint": full.removeprefix("failpoint ")}),
            (20.0, "received signal; shutting down", {}),
            (30.0, damaged, {"level": "fatal"}),
        ],
        n2=[(40.0, "raft.node: role changed", {"role": "leader"})],
    )
    good = [
        Note("disk_full", 10.0, 10.1, ("n1",), "1 faults in force at n1"),
        Note("restart", 19.9, 20.1, ("n1",), "n1 started again"),
        Note("corrupt_wal", 29.0, 29.1, ("n1",), "flipped"),
        Note("transfer_leader", 39.9, 40.1, ("n2",), "n2 leads after 0.1 s"),
        Note("kill", 50.0, 50.1, ("n1",), "n1 dead"),
        Note("cut_clients", 50.0, 50.1, ("n1",), "12 bytes held back"),
    ]
    assert [note.kind for note in good if not logs.bit(note)] == []
    assert not any(logs.bit(note._replace(began_s=60.0, done_s=60.1)) for note in good[:4])
    assert not logs.bit(good[5]._replace(proof="0 bytes held back"))
    assert logs.deaths(good) == []
    assert logs.deaths([]) == [f"n1 ended by itself: {damaged}"]
    assert set(chaos.KINDS) >= {note.kind for note in good}
    assert bites.Said(1.0, "x", {}).fields == {}


# --- leases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gone_s", "said"), [(149.9, "early"), (160.0, ""), (190.0, "late")])
def test_leases_have_bounds_on_both_sides(gone_s: float, said: str, tmp_path: Path) -> None:
    state: State = state_of("leases", tmp_path)
    leased: Any = leases.Leased(state, NoCluster())  # type: ignore[arg-type]  # not used here
    # Until 160: granted at 100, by a clock that is a fifth fast it may end at 150.
    leased._until_s[1], leased._gone_s[1] = 100.0 + leases.TTL_S, gone_s
    if said:
        with pytest.raises(AssertionError, match=f"1 leases ended {said}"):
            leased._judge()
    else:
        leased._judge()
    assert (state.count("early"), state.count("late")) == (said == "early", said == "late")


# --- watchers -------------------------------------------------------------------------------------


def events(*revisions: int) -> WatchResponse:
    kvs = [mvccpb.KeyValue(key=b"slow/1", mod_revision=n) for n in revisions]
    return WatchResponse(events=[mvccpb.Event(kv=kv) for kv in kvs])


def test_a_reader_sees_what_comes_again_or_back() -> None:
    for second, wrong in ((events(4, 5), ""), (events(3), "3 came"), (events(5, 4), "4 after 5")):
        reader = Reader(b"slow/", 2, b"slow/end")
        reader._take(events(2, 2, 3))
        reader._take(second)
        assert wrong in reader.said["wrong"] and bool(wrong) == bool(reader.said["wrong"])


def test_a_slow_reader_has_to_be_told_everything(tmp_path: Path) -> None:
    state = state_of("slow_watcher", tmp_path)
    held: Any = slow_watcher.Round(state, NoCluster(), "held")  # type: ignore[arg-type]  # as above
    held._revisions = 10
    told = {"wrong": "", "events": slow_watcher.EVENTS + 1, "revisions": 11}
    held._judge(told)
    for broken in ({"events": 5}, {"revisions": 10}, {"wrong": "twice"}, {"compacted": 7}):
        with pytest.raises(AssertionError):
            held._judge({**told, **broken})


def test_a_watcher_that_misses_an_event_is_a_violation(tmp_path: Path) -> None:
    async def run(seen: tuple[int, ...]) -> State:
        state = state_of("watches", tmp_path)
        load = WatchLoad(NoCluster())  # type: ignore[arg-type]  # as above
        load.history.add(r.Watch(1, 1, 1, b"w", start=2))
        load.history.add(r.Seen(1, 2, created=True))
        for n in (2, 3):
            put = r.Put(b"w", b"%d" % n)
            load.history.add(r.Operation(n, 0, 10 * n, put, 10 * n + 1, r.PutAnswer(), revision=n))
        for n in seen:
            kv = r.Kv(b"w", b"%d" % n, 2, n, n - 1)
            load.history.add(r.Seen(1, 10 * n + 2, n, (r.Event(r.PUT, kv),)))
        await load.finish(state, tmp_path)
        return state

    assert asyncio.run(run((2, 3))).violations == []
    told = asyncio.run(run((3,))).violations[0]["what"]
    assert "watch_" in told


# --- bytes ----------------------------------------------------------------------------------------


def test_frames_are_counted_as_a_server_reads_them() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    two = rawcalls.frame(4, 0, 0, b"") + rawcalls.frame(6, 0, 0, b"12345678")
    assert rawcalls.frames_in(preface + two) == 2
    lying = b"\xff\xff\xff" + two[3:]
    assert rawcalls.frames_in(preface + lying) == 1
    assert rawcalls.frames_in(b"GET / HTTP/1.1\r\n\r\n") == 0

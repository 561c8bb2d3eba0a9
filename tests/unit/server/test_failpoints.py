"""Failpoints: what can be armed, when it bites, and that nothing is armed where faults are off."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import pytest
from kvorum import config
from kvorum.config import NodeConfig
from kvorum.errors import ConfigError
from kvorum.failpoints import NAMES, VARIABLE, Failpoints, Injected, Term, nothing, parse
from kvorum.server.faultdesk import FaultDesk, fault_of, request_of
from kvorum.server.faults import FailpointFault, FaultGate
from kvorum.storage.failing import FailingDisk
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import WalFailed, WalMetadata
from kvorum.storage.wal import Wal
from kvorum_proto.kvorum import v1


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("wal_sync_before=crash", (Term("wal_sync_before", "crash"),)),
        ("reply_after=crash@3", (Term("reply_after", "crash", "", 0, 3),)),
        (
            "wal_write_before=raise(ENOSPC)*2@5",
            (Term("wal_write_before", "raise", "ENOSPC", 2, 5),),
        ),
        (
            " history_commit_before=delay(20)*4 , snap_sync_after=pause(7) ",
            (
                Term("history_commit_before", "delay", "20", 4),
                Term("snap_sync_after", "pause", "7"),
            ),
        ),
    ],
)
def test_terms_are_read_and_written(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text) == terms
    assert parse(",".join(map(str, terms))) == terms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wal_sync_before", "is not of the form name=action[*count][@n]"),
        ("wal_sync=crash", "there is no failpoint 'wal_sync'; there are: wal_create_before, "),
        ("wal_sync_before=explode", "no action but crash, delay(ms), pause(ms), raise"),
        ("wal_sync_before=crash(1)", "no action but"),
        ("wal_sync_before=delay", "delay takes milliseconds, 1 to 60000"),
        ("wal_sync_before=pause(60001)", "pause takes milliseconds"),
        ("wal_sync_before=raise(ENOENT)", "raise takes one of EIO, ENOSPC, EROFS, EDQUOT"),
        ("wal_sync_before=crash*0", "numbers begin with 1"),
        ("wal_sync_before=crash@0", "numbers begin with 1"),
    ],
)
def test_what_cannot_be_armed_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(text)
    assert words in str(refused.value)


def loaded(environ: dict[str, str], *flags: str) -> NodeConfig:
    found = config.load(flags, environ)
    assert isinstance(found, NodeConfig)
    return found


def test_the_environment_arms_only_where_faults_are_enabled() -> None:
    environ = {VARIABLE: "wal_sync_before=crash@9"}
    assert loaded(environ, "--enable-faults").failpoints == parse(environ[VARIABLE])
    assert loaded({}).failpoints == ()
    with pytest.raises(ConfigError) as refused:
        config.load((), environ)
    assert str(refused.value) == "KVORUM_FAILPOINT is set, and --enable-faults is not given"
    with pytest.raises(ConfigError, match="KVORUM_FAILPOINT: there is no failpoint 'x'"):
        config.load(("--enable-faults",), {VARIABLE: "x=crash"})


def test_it_bites_from_the_nth_time_so_many_times() -> None:
    points = Failpoints(parse("reply_before=raise*2@3"))
    bitten = []
    for number in range(1, 7):
        points.hit("reply_after")
        try:
            points.hit("reply_before")
        except Injected:
            bitten.append(number)
    assert bitten == [3, 4]
    assert points.bitten == {"reply_before": 2}
    points.arm(7, parse("reply_after=raise(EIO)"))
    with pytest.raises(OSError, match="Input/output error \\(failpoint reply_after\\)"):
        points.hit("reply_after")
    points.disarm(7)
    points.hit("reply_after")
    nothing("reply_after")


def test_a_delay_holds_one_thread_and_a_pause_all() -> None:
    points = Failpoints(parse("reply_before=delay(300),reply_after=pause(300)"))
    for name, others_run in (("reply_before", True), ("reply_after", False)):
        stop, longest_s = threading.Event(), [0.0]

        def watch(stop: threading.Event, longest_s: list[float]) -> None:
            last = time.monotonic()
            while not stop.is_set():
                now = time.monotonic()
                longest_s[0] = max(longest_s[0], now - last)
                last = now

        watcher = threading.Thread(target=watch, args=(stop, longest_s))
        watcher.start()
        started = time.monotonic()
        points.hit(name)
        assert time.monotonic() - started >= 0.299
        stop.set()
        watcher.join()
        if not others_run:
            assert longest_s[0] >= 0.299


def test_every_step_of_a_log_has_its_place(tmp_path: Path) -> None:
    """A log's life passes every place of a disk; a failing one is the end of the log."""
    passed: set[str] = set()
    disk = FailingDisk(RealDisk(tmp_path / "wal"), "wal", passed.add)
    wal = Wal.create(disk, WalMetadata(1, 2), salt=1)
    wal.close()
    wal, _ = Wal.open(disk)
    disk.create("x").close()
    disk.remove("x")
    wal.close()
    assert passed == {name for name in NAMES if name.startswith("wal_")}
    points = Failpoints(parse("wal_sync_before=raise(EIO)"))
    with pytest.raises(WalFailed, match="failpoint wal_sync_before") as failed:
        Wal.create(
            FailingDisk(RealDisk(tmp_path / "other"), "wal", points.hit), WalMetadata(1, 2), salt=1
        )
    assert failed.value.errno == 5


def test_the_fault_service_arms_and_lifts() -> None:
    async def run() -> None:
        points = Failpoints()
        gate = FaultGate(asyncio.get_running_loop(), random.Random(1), points)
        desk = FaultDesk(gate)
        text = "reply_before=raise*1@2"
        request = v1.InjectRequest(duration_ms=60_000, failpoint=v1.FailpointFault(terms=text))
        assert request_of(fault_of(request), 60_000) == request
        assert fault_of(request) == FailpointFault(parse(text))
        id_ = desk.inject(request)
        points.hit("reply_before")
        assert [(x[0], x[1].failpoint) for x in desk.list()] == [(id_, request.failpoint)]
        desk.lift(id_)
        points.hit("reply_before")
        assert points.bitten == {}
        for wrong in ("", "x=crash"):
            with pytest.raises(ValueError):
                fault_of(v1.InjectRequest(failpoint=v1.FailpointFault(terms=wrong)))
        with pytest.raises(ValueError, match="this node has no failpoints"):
            FaultGate(asyncio.get_running_loop(), random.Random(1)).inject(
                FailpointFault(parse(text)), 1_000
            )
        gate.close()

    asyncio.run(run())

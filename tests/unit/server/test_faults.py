"""The fault gate: what faults come to, and that each has an end of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum.limits import FAULT_DURATION_MS_MAX, PAUSE_BEGINS_S
from kvorum.server.faultdesk import FaultDesk, fault_of, request_of
from kvorum.server.faults import (
    ClockFault,
    Direction,
    Fault,
    FaultGate,
    LinkFault,
    LinkRule,
    PauseFault,
    SlowFsyncFault,
)
from kvorum_proto.kvorum import v1

LONG_MS = 60_000


def with_gate(test: Callable[[FaultGate], Awaitable[None]]) -> None:
    async def run() -> None:
        gate = FaultGate(asyncio.get_running_loop(), random.Random(1))
        try:
            await test(gate)
        finally:
            gate.close()

    asyncio.run(run())


async def until(gate: FaultGate, condition: Callable[[], bool]) -> None:
    """Wait for a change of the gate after which the condition holds."""
    changed = asyncio.Event()
    gate.on_change(changed.set)
    async with asyncio.timeout(30):
        while not condition():
            changed.clear()
            await changed.wait()


def test_a_fault_is_lifted_by_its_own_timer() -> None:
    async def test(gate: FaultGate) -> None:
        changes: list[float] = []
        gate.on_change(lambda: changes.append(gate.fsync_delay_s))
        gate.inject(SlowFsyncFault(250), 20)
        assert gate.fsync_delay_s == 0.25
        await until(gate, lambda: gate.fsync_delay_s == 0.0)
        assert changes == [0.25, 0.0]
        assert gate.list() == ()

    with_gate(test)


def test_lifting_one_and_all() -> None:
    async def test(gate: FaultGate) -> None:
        first = gate.inject(SlowFsyncFault(10), LONG_MS)
        gate.inject(SlowFsyncFault(20), LONG_MS)
        gate.inject(ClockFault(100, 5), LONG_MS)
        assert gate.fsync_delay_s == pytest.approx(0.03)
        assert gate.lift(first) == 1
        assert gate.lift(first) == 0
        assert gate.fsync_delay_s == pytest.approx(0.02)
        assert [x.fault for x in gate.list()] == [SlowFsyncFault(20), ClockFault(100, 5)]
        assert all(0 < x.remaining_ms <= LONG_MS for x in gate.list())
        assert gate.lift() == 2
        assert (gate.fsync_delay_s, gate.rate_ppm, gate.jump_ms) == (0.0, 0, 0)

    with_gate(test)


def test_links_are_cut_by_peer_and_direction() -> None:
    async def test(gate: FaultGate) -> None:
        gate.inject(LinkFault(7, Direction.OUTBOUND), LONG_MS)
        cut = LinkRule(1.0, 0.0, 0.0)
        assert gate.link(7, Direction.OUTBOUND) == cut
        assert gate.link(7, Direction.INBOUND) is None
        assert gate.link(8, Direction.OUTBOUND) is None
        assert not any(gate.passes(cut) for _ in range(100))
        gate.inject(LinkFault(0), LONG_MS)
        assert gate.link(8, Direction.INBOUND) == cut
        gate.lift()
        assert gate.link(7, Direction.OUTBOUND) is None

    with_gate(test)


def test_the_log_says_how_often_a_fault_bit(caplog: pytest.LogCaptureFixture) -> None:
    async def test(gate: FaultGate) -> None:
        cut = gate.inject(LinkFault(7, Direction.OUTBOUND), LONG_MS)
        late = gate.inject(LinkFault(7, Direction.BOTH, 100), LONG_MS)
        slow = gate.inject(SlowFsyncFault(10), LONG_MS)
        idle = gate.inject(LinkFault(8), LONG_MS)
        inbound, outbound = (gate.link(7, way) for way in (Direction.INBOUND, Direction.OUTBOUND))
        assert inbound is not None and outbound is not None
        assert gate.passes(inbound)
        assert gate.delay_s(inbound) == 0.1
        assert [gate.passes(outbound) for _ in range(3)] == [False] * 3
        assert [gate.fsync_waits_s() for _ in range(2)] == [0.01] * 2
        gate.lift()
        assert gate.fsync_waits_s() == 0.0
        said = [vars(x) for x in caplog.records if x.message == "fault lifted"]
        bites = {each["fault-id"]: each["bites"] for each in said}
        assert bites == {cut: 3, late: 1, slow: 2, idle: 0}

    with_gate(test)


def test_faults_of_one_link_add_up() -> None:
    async def test(gate: FaultGate) -> None:
        gate.inject(LinkFault(7, Direction.BOTH, 100, 50, 500_000), LONG_MS)
        gate.inject(LinkFault(0, Direction.INBOUND, 10, 0, 500_000), LONG_MS)
        rule = gate.link(7, Direction.INBOUND)
        assert rule == LinkRule(0.75, 0.11, 0.05)
        assert rule is not None
        passed = sum(gate.passes(rule) for _ in range(4_000))
        assert 800 < passed < 1_200
        delays = [gate.delay_s(rule) for _ in range(100)]
        assert 0.11 <= min(delays) <= max(delays) <= 0.16
        assert len(set(delays)) > 50

    with_gate(test)


def test_a_pause_lets_the_answer_out_first() -> None:
    async def test(gate: FaultGate) -> None:
        started = asyncio.get_running_loop().time()
        gate.inject(PauseFault(), LONG_MS)
        assert not gate.paused
        await until(gate, lambda: gate.paused)
        assert asyncio.get_running_loop().time() - started >= PAUSE_BEGINS_S * 0.9
        gate.lift()
        assert not gate.paused

    with_gate(test)


@pytest.mark.parametrize(
    ("fault", "duration_ms"),
    [
        (PauseFault(), 0),
        (PauseFault(), FAULT_DURATION_MS_MAX + 1),
        (ClockFault(-1_000_000, 0), 1),
        (ClockFault(1_000_001, 0), 1),
    ],
)
def test_what_cannot_be_injected(fault: Fault, duration_ms: int) -> None:
    async def test(gate: FaultGate) -> None:
        with pytest.raises(ValueError, match="must be"):
            gate.inject(fault, duration_ms)
        assert gate.list() == ()

    with_gate(test)


@pytest.mark.parametrize(
    "fault",
    [
        LinkFault(9, Direction.INBOUND, 1, 2, 3),
        LinkFault(0, Direction.BOTH),
        PauseFault(),
        SlowFsyncFault(4),
        ClockFault(-5, -6),
    ],
)
def test_faults_on_the_wire(fault: Fault) -> None:
    request = request_of(fault, 77)
    assert request.duration_ms == 77
    assert fault_of(v1.InjectRequest.parse(bytes(request))) == fault
    assert fault.words


def test_the_desk_speaks_the_wire() -> None:
    async def test(gate: FaultGate) -> None:
        desk = FaultDesk(gate)
        request = v1.InjectRequest(duration_ms=LONG_MS, slow_fsync=v1.SlowFsyncFault(delay_ms=9))
        id_ = desk.inject(request)
        ((listed, fault, remaining_ms),) = desk.list()
        assert listed == id_
        assert fault.slow_fsync == v1.SlowFsyncFault(delay_ms=9)
        assert 0 < remaining_ms <= LONG_MS
        assert desk.lift(id_) == 1
        for bad in (v1.InjectRequest(duration_ms=5), v1.InjectRequest(pause=v1.PauseFault())):
            with pytest.raises(GRPCError) as caught:
                desk.inject(bad)
            assert caught.value.status is Status.INVALID_ARGUMENT

    with_gate(test)

"""What took too long: what is counted, and what the log says of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from kvorum.server.slowness import Slowness, tell_of_call
from unit.gateway.serving import PUT, serving


def test_turns_that_apply_for_too_long(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slowness(apply_s=0.1, request_s=0.3, heartbeat_s=0.1)
    slow.applied(100_000, 5, 3)
    assert (slow.applies, caplog.records) == (0, [])
    slow.applied(150_000, 5, 3)
    (record,) = caplog.records
    assert (slow.applies, record.levelno) == (1, logging.WARNING)
    assert record.getMessage() == "apply request took too long"
    fields = vars(record)
    assert (fields["took"], fields["expected-duration"]) == ("150ms", "100ms")
    assert (fields["entries"], fields["inputs"]) == (3, 5)


def test_heartbeats_of_a_leader_that_wakes_too_late(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slowness(apply_s=0.1, request_s=0.3, heartbeat_s=0.1)
    slow.woke(0.2, leading=True)
    slow.woke(5.0, leading=False)
    assert (slow.heartbeats, caplog.records) == (0, [])
    slow.woke(0.25, leading=True)
    (record,) = caplog.records
    assert slow.heartbeats == 1
    assert vars(record)["exceeded-duration"] == "250ms"


@pytest.mark.parametrize(
    ("address", "shown"), [(("127.0.0.1", 5), "127.0.0.1:5"), (None, ""), ("/x", "/x")]
)
def test_the_line_of_a_call(address: Any, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    class Peer:
        def addr(self) -> Any:
            return address

    tell_of_call(PUT, Peer(), 1_234_500)
    (record,) = caplog.records
    fields = vars(record)
    assert record.getMessage() == "request stats"
    assert (fields["time spent"], fields["remote"]) == ("1234.5ms", shown)
    assert fields["response type"] == PUT


@pytest.mark.parametrize(("slow_s", "told"), [(0.0, 1), (3600.0, 0)])
def test_unary_calls_are_judged_by_the_flag(
    slow_s: float, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(b"")

    async def run() -> None:
        async with serving(PUT, work, slow_request_s=slow_s) as server:
            body = b'{"key":"c2VjcmV0","value":"c2VjcmV0"}'
            assert (await server.post("/v3/kv/put", body))[0] == 200

    asyncio.run(run())
    lines = [record for record in caplog.records if record.getMessage() == "request stats"]
    assert len(lines) == told
    # What was put is nobody's business here.
    assert "secret" not in "".join(str(vars(record)) for record in lines)

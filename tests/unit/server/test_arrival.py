"""Snapshots that arrive: one at a time, and none begins while what is left of another goes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from kvorum.history.rows import Identity
from kvorum.history.transfer import staging_path
from kvorum.raft.types import ConfState, SnapshotMeta
from kvorum.server import transfer
from kvorum.server.faults import FaultGate
from kvorum.server.peerwire import encode_meta
from kvorum.server.transfer import SnapshotReceiver
from kvorum.storage.memory import MemoryDisk
from kvorum.storage.snapshot_file import Snapshots
from kvorum_proto.kvorum import v1

PATIENCE_S = 60.0
_HEAD = v1.SnapshotHead(
    cluster_id=7,
    sender=2,
    to=1,
    meta=encode_meta(SnapshotMeta(5, 1, ConfState((1, 2)))),
    term=1,
    revision=3,
)


class Stream:
    """What the handler sees of a call: messages that are given to it, and its answers."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        self.answers: list[v1.SnapshotReceipt] = []

    def give(self, *messages: v1.SnapshotChunk) -> None:
        for message in messages:
            self._messages.put_nowait(message)

    async def recv_message(self) -> Any:
        return await self._messages.get()

    async def send_message(self, receipt: v1.SnapshotReceipt) -> None:
        self.answers.append(receipt)


def receiver_at(tmp_path: Path) -> SnapshotReceiver:
    disk = MemoryDisk(Random(1))
    desk: Any = SimpleNamespace(
        store=Snapshots(disk, lambda broken: None), pending=0, failpoint=lambda name: None
    )
    history: Any = SimpleNamespace(path=tmp_path / "history.duckdb", identity=Identity(7, 1))
    gate = FaultGate(asyncio.get_running_loop(), Random(1))
    receiver = SnapshotReceiver(desk, history, gate, lambda happened: None)
    receiver.admission = SimpleNamespace(check=lambda *who: None)  # type: ignore[assignment]  # all
    return receiver


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("step", ["begun", "taking"])
def test_the_next_waits_until_a_broken_one_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Both would build at the same place: what the first still does there, and its removal, must
    not meet the second.
    """
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go_on.wait(PATIENCE_S)

    original_init, original_take = transfer._Arrival.__init__, transfer._Arrival.take

    def begin(arrival: Any, *arguments: Any) -> None:
        original_init(arrival, *arguments)
        if step == "begun" and not held.is_set():
            hold()

    def take(arrival: Any, chunk: Any) -> bool:
        if step == "taking" and not held.is_set():
            hold()
        return original_take(arrival, chunk)

    monkeypatch.setattr(transfer._Arrival, "__init__", begin)
    monkeypatch.setattr(transfer._Arrival, "take", take)

    async def test() -> None:
        receiver = receiver_at(tmp_path)
        first, second, third = Stream(), Stream(), Stream()
        call = asyncio.ensure_future(receiver.install(first))  # type: ignore[arg-type]  # a twin
        first.give(v1.SnapshotChunk(head=_HEAD), v1.SnapshotChunk(image=b"x"))
        await until(held.is_set)
        call.cancel()  # As when the sender's connection is lost.
        await asyncio.wait((call,), timeout=PATIENCE_S)
        await receiver.install(second)  # type: ignore[arg-type]  # a twin
        assert [x.reason for x in second.answers] == ["another snapshot is arriving"]
        go_on.set()
        await until(lambda: not staging_path(tmp_path / "history.duckdb").exists())
        await until(lambda: not receiver.busy)
        third.give(v1.SnapshotChunk(head=_HEAD), v1.SnapshotChunk())
        await receiver.install(third)  # type: ignore[arg-type]  # a twin
        assert [x.reason for x in third.answers] == ["a message without content"]
        await until(lambda: not receiver.busy)
        assert not staging_path(tmp_path / "history.duckdb").exists()

    asyncio.run(asyncio.wait_for(test(), PATIENCE_S))


@pytest.mark.parametrize(
    ("place", "error", "reason"),
    [
        ("begin", OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        ("take", OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
        ("take", duckdb.IOException("cannot write"), "cannot write"),
        ("finish", duckdb.InvalidInputException("not a history"), "not a history"),
    ],
)
def test_a_disk_that_refuses_a_snapshot_refuses_it_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception, reason: str
) -> None:
    """The node goes on with what it has, and the next one is taken as if this had not been."""

    def refuse(*arguments: Any) -> Any:
        raise error

    async def test() -> None:
        receiver = receiver_at(tmp_path)
        chunks = [v1.SnapshotChunk(head=_HEAD), v1.SnapshotChunk(image=b"x")]
        tail = v1.SnapshotChunk(tail=transfer._Sums().tail())
        with monkeypatch.context() as patch:
            if place == "begin":
                patch.setattr(transfer, "HistoryImport", refuse)
            else:
                patch.setattr(transfer._Arrival, place, refuse)
            if place == "finish":
                chunks[1] = tail
            stream = Stream()
            stream.give(*chunks)
            await receiver.install(stream)  # type: ignore[arg-type]  # a twin
            assert [(x.ok, x.reason) for x in stream.answers] == [(False, reason)]
            await until(lambda: not receiver.busy)
        again = Stream()
        again.give(v1.SnapshotChunk(head=_HEAD), v1.SnapshotChunk())
        await receiver.install(again)  # type: ignore[arg-type]  # a twin
        assert [x.reason for x in again.answers] == ["a message without content"]
        await until(lambda: not receiver.busy)
        assert not staging_path(tmp_path / "history.duckdb").exists()

    asyncio.run(asyncio.wait_for(test(), PATIENCE_S))

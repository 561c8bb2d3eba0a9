"""A snapshot on its way from a leader to a follower that the log can no longer serve.

The body travels on a call and a connection of its own: the machine's image, then the history's rows
up to its revision, then sums over both. Reading, encoding and writing happen on threads; the loop
only passes pieces on. Whatever happens to a transfer, the sender's replica hears of it exactly
once.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

import duckdb
from grpclib.client import StreamUnaryMethod
from grpclib.server import Stream
from kvorum_proto.codec import encode
from kvorum_proto.kvorum import v1

from kvorum.history.pages import walk
from kvorum.history.reader import HistoryInterrupted
from kvorum.history.rows import Row
from kvorum.history.selects import snapshot
from kvorum.history.transfer import HistoryImport
from kvorum.limits import (
    SNAPSHOT_PAGE_BYTES,
    SNAPSHOT_PAGE_ROWS,
    SNAPSHOT_SEND_ROWS,
    SNAPSHOT_STALL_S,
    SNAPSHOT_TRANSFER_TIMEOUT_S,
)
from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.replica.effects import SendSnapshot
from kvorum.replica.inputs import Input, SnapshotReceived, SnapshotSent
from kvorum.server.crash import Crash
from kvorum.server.dial import BROKEN, channel_to
from kvorum.server.exchange import INSTALL_PATH, Admission
from kvorum.server.faults import Direction, FaultGate
from kvorum.server.handover import Handover
from kvorum.server.historydesk import HistoryDesk
from kvorum.server.link import Self
from kvorum.server.peerwire import decode_meta, encode_meta
from kvorum.server.snapshotdesk import SnapshotDesk, Staged
from kvorum.storage.interface import SnapshotBroken

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class TransferError(Exception):
    """A transfer that cannot go on; the text says why."""


class _Sums:
    """What the tail of a transfer says, counted on both sides alike."""

    def __init__(self) -> None:
        self.image_bytes = 0
        self.history_rows = 0
        self._hash = hashlib.blake2b(digest_size=32)

    def image(self, chunk: bytes) -> None:
        """One piece of the image."""
        self.image_bytes += len(chunk)
        self._hash.update(chunk)

    def rows(self, rows: v1.HistoryRows) -> None:
        """One batch of rows."""
        self.history_rows += len(rows.rows)
        self._hash.update(encode(rows))

    def tail(self) -> v1.SnapshotTail:
        """The end of a transfer."""
        return v1.SnapshotTail(
            image_bytes=self.image_bytes, history_rows=self.history_rows, hash=self._hash.digest()
        )


def to_wire(row: Row) -> v1.HistoryRow:
    """A row for the wire."""
    return v1.HistoryRow(
        revision=row.revision,
        sub=row.sub,
        type=row.type,
        key=row.key,
        value=row.value,
        create_revision=row.create_revision,
        version=row.version,
        lease=row.lease,
        prev_revision=row.prev_revision,
        at_ms=row.at_ms,
        member=row.member,
        user=row.user_name,
    )


def from_wire(row: v1.HistoryRow) -> Row:
    """A row from the wire."""
    return Row(
        row.revision,
        row.sub,
        row.type,
        row.key,
        row.value,
        row.create_revision,
        row.version,
        row.lease,
        row.prev_revision,
        row.at_ms,
        row.member,
        row.user,
    )


class SnapshotSender:
    """Sends snapshots; one call of :meth:`begin` a transfer."""

    def __init__(
        self,
        own: Self,
        history: HistoryDesk,
        gate: FaultGate,
        crash: Crash,
        post: Callable[[Input], None],
        call_threadsafe: Callable[[Callable[[], None]], None],
    ) -> None:
        self._own = own
        self._history = history
        self._call = call_threadsafe
        self._gate = gate
        self._crash = crash
        self._post = post

    def begin(self, effect: SendSnapshot, url: str) -> None:
        """Send a snapshot to the peer at this URL; ``SnapshotSent`` follows."""
        self._crash.spawn(self._run(effect, url), f"snapshot to {effect.to:x}")

    async def _run(self, effect: SendSnapshot, url: str) -> None:
        ok = False
        told = {"remote-peer-id": f"{effect.to:x}", "snapshot-index": effect.meta.index}
        log.info("sending snapshot", extra=told)
        try:
            async with asyncio.timeout(SNAPSHOT_TRANSFER_TIMEOUT_S):
                await self._send(effect, url)
            ok = True
            log.info("sent snapshot", extra=told)
        except (*BROKEN, TransferError) as error:
            log.warning("cannot send snapshot", extra={**told, "error": str(error)})
        finally:
            self._post(SnapshotSent(effect.to, ok))

    async def _send(self, effect: SendSnapshot, url: str) -> None:
        channel = channel_to(url, self._own.tls)
        handover: Handover[v1.SnapshotChunk] = Handover(self._call, SNAPSHOT_STALL_S)
        done = self._history.export(
            lambda connection: self._produce(connection, effect, handover), handover.stopping
        )
        done.add_done_callback(handover.end)
        try:
            method = StreamUnaryMethod(channel, INSTALL_PATH, v1.SnapshotChunk, v1.SnapshotReceipt)
            async with method.open() as stream, aclosing(handover.pieces()) as chunks:
                async for chunk in chunks:
                    await self._through_gate(effect.to)
                    await stream.send_message(chunk)
                failure = done.exception()
                if failure is not None:
                    raise TransferError(str(failure)) from failure
                await stream.end()
                receipt = await stream.recv_message()
            if receipt is None or not receipt.ok:
                raise TransferError(receipt.reason if receipt else "no receipt")
        finally:
            handover.stopping.set()
            channel.close()

    async def _through_gate(self, to: int) -> None:
        rule = self._gate.link(to, Direction.OUTBOUND)
        if rule is not None:
            if rule.loss >= 1.0:
                raise TransferError("the link is cut")
            await asyncio.sleep(self._gate.delay_s(rule))

    def _produce(
        self,
        connection: duckdb.DuckDBPyConnection,
        effect: SendSnapshot,
        handover: Handover[v1.SnapshotChunk],
    ) -> None:
        """Make the transfer's messages, on the history's thread."""
        with snapshot(connection) as progress:
            if progress.compact_revision > effect.image.compact_revision:
                raise TransferError("a compaction came between the image and its history")
            for chunk in self._chunks(connection, effect):
                if handover.stopping.is_set():
                    raise HistoryInterrupted("the transfer was stopped")
                handover.put([chunk])

    def _chunks(
        self, connection: duckdb.DuckDBPyConnection, effect: SendSnapshot
    ) -> Iterator[v1.SnapshotChunk]:
        sums = _Sums()
        own = self._own
        yield v1.SnapshotChunk(
            head=v1.SnapshotHead(
                cluster_id=own.cluster_id,
                sender=own.member_id,
                to=effect.to,
                meta=encode_meta(effect.meta),
                term=effect.term,
                revision=effect.revision,
                history_floor=effect.history_floor,
            )
        )
        for piece in encode_image(effect.image):
            sums.image(piece)
            yield v1.SnapshotChunk(image=piece)
        # Long pages for DuckDB, short messages for the loops that pack and unpack them.
        for page in walk(connection, effect.revision, SNAPSHOT_PAGE_ROWS, SNAPSHOT_PAGE_BYTES):
            for at in range(0, len(page), SNAPSHOT_SEND_ROWS):
                some = page[at : at + SNAPSHOT_SEND_ROWS]
                rows = v1.HistoryRows(rows=[to_wire(row) for row in some])
                sums.rows(rows)
                yield v1.SnapshotChunk(history=rows)
        yield v1.SnapshotChunk(tail=sums.tail())


class _Arrival:
    """A snapshot in the making at the receiver; every method blocks and runs on its thread."""

    def __init__(self, desk: SnapshotDesk, history: HistoryDesk, head: v1.SnapshotHead) -> None:
        self.head = head
        self.meta = decode_meta(head.meta)
        self._desk = desk
        self._sums = _Sums()
        desk.failpoint("snapshot_receive_before")
        self._file = desk.store.begin(self.meta, head.revision)
        try:
            self._rows = HistoryImport(history.path, history.identity)
        except BaseException:
            self._file.abort()
            raise

    def take(self, chunk: v1.SnapshotChunk) -> bool:
        """One message; True for the last."""
        if chunk.tail is not None:
            if chunk.tail != self._sums.tail():
                raise TransferError("the sums of the snapshot do not match what arrived")
            return True
        if chunk.history is not None:
            self._sums.rows(chunk.history)
            self._rows.add([from_wire(row) for row in chunk.history.rows])
        elif chunk.image:
            self._sums.image(chunk.image)
            self._file.write(chunk.image)
        else:
            raise TransferError("a message without content")
        return False

    def finish(self) -> tuple[Staged, Machine]:
        """Seal both parts and build the state."""
        file = self._file.finish()
        machine = decode_image(self._desk.store.chunks(file))
        if machine.applied_index != self.meta.index or machine.revision != self.head.revision:
            raise TransferError("the image is not what its head says")
        # To the history a floor is a compaction: what lies below it is not whole.
        oldest = max(machine.compact_revision, self.head.history_floor)
        self._rows.finish(self.meta.index, self.meta.term, machine.revision, oldest)
        self._desk.failpoint("snapshot_receive_after")
        return Staged(file, self._rows), machine

    def abort(self) -> None:
        """Leave nothing behind."""
        self._file.abort()
        self._rows.abort()


class SnapshotReceiver:
    """Takes snapshots from leaders."""

    def __init__(
        self,
        desk: SnapshotDesk,
        history: HistoryDesk,
        gate: FaultGate,
        post: Callable[[Input], None],
    ) -> None:
        self._desk = desk
        self._history = history
        self._gate = gate
        self._post = post
        # One at a time: each holds a second state in memory, and there is one staging place.
        self.busy = False
        self.admission: Admission | None = None

    async def install(self, stream: Stream[v1.SnapshotChunk, v1.SnapshotReceipt]) -> None:
        """The handler of ``Peer/InstallSnapshot``."""
        if self.busy or self._desk.pending:
            reason = "another snapshot is arriving"
            await stream.send_message(v1.SnapshotReceipt(ok=False, reason=reason))
            return
        self.busy = True
        pool = ThreadPoolExecutor(1, thread_name_prefix="kvorum-arrival")
        begun: list[_Arrival] = []
        reason = ""
        try:
            async with asyncio.timeout(SNAPSHOT_TRANSFER_TIMEOUT_S):
                await self._receive(stream, pool, begun)
        except (TransferError, SnapshotBroken, ValueError, OSError, duckdb.Error) as error:
            # The disk, too, may refuse it: nothing of it is in force, the leader tries again.
            reason = str(error) or type(error).__name__
            log.warning("refused a snapshot", extra={"error": reason})
        finally:
            # On the same thread, behind what may still be going on there: the next one builds at
            # the same place.
            cleared = asyncio.get_running_loop().run_in_executor(pool, _abort, begun)
            cleared.add_done_callback(self._cleared)
            pool.shutdown(wait=False)
        await stream.send_message(v1.SnapshotReceipt(ok=not reason, reason=reason))

    def _cleared(self, cleared: asyncio.Future[None]) -> None:
        self.busy = False
        error = None if cleared.cancelled() else cleared.exception()
        if error is not None:
            # The next one begins by removing what lies in its place.
            log.error("cannot clear away a snapshot", extra={"error": str(error)})

    async def _receive(
        self,
        stream: Stream[v1.SnapshotChunk, v1.SnapshotReceipt],
        pool: ThreadPoolExecutor,
        begun: list[_Arrival],
    ) -> None:
        first = await stream.recv_message()
        head = first.head if first is not None else None
        if head is None:
            raise TransferError("a snapshot begins with its head")
        assert self.admission is not None, "set before the listener starts"
        self.admission.check(head.cluster_id, head.sender, head.to, (head.term,))

        def begin() -> _Arrival:
            # Known even when nobody waits for it any more.
            begun.append(_Arrival(self._desk, self._history, head))
            return begun[0]

        arrival = await _in(pool, begin)
        complete = False
        while not complete:
            chunk = await stream.recv_message()
            if chunk is None:
                raise TransferError("the snapshot ended before its tail")
            rule = self._gate.link(head.sender, Direction.INBOUND)
            if rule is not None and rule.loss >= 1.0:
                raise TransferError("the link is cut")
            complete = await _in(pool, functools.partial(arrival.take, chunk))
        staged, machine = await _in(pool, arrival.finish)
        begun.clear()
        token = self._desk.stage(staged)
        self._post(
            SnapshotReceived(
                head.sender, head.term, arrival.meta, machine, token, head.history_floor
            )
        )


def _abort(begun: list[_Arrival]) -> None:
    for arrival in begun:
        arrival.abort()


async def _in(pool: ThreadPoolExecutor, job: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(pool, job)

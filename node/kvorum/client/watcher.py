"""One watcher's state: what has been delivered, what comes next, what waits to be read.

No tasks and no calls in here: :mod:`kvorum.client.watch_stream` feeds it replies,
:mod:`kvorum.client.watch` takes batches out. The rules for the revision to go on from are the
contract's (page "clients", section 1; page "semantics", section 6):

- after events: the last event's revision + 1 (the header's is no safe point while a watcher
  catches up);
- after an answer without events for this watcher alone: the header's revision + 1;
- created without a start revision: the header's revision + 1, since it watches from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise

from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb

from kvorum.client.errors import (
    ClientError,
    CompactedError,
    FutureRevisionError,
    ProtocolViolation,
    error_for,
)
from kvorum.client.types import Event, Header, header_of, kv_of, maybe_kv
from kvorum.errors import Code, Condition
from kvorum.limits import CLIENT_WATCH_BUFFER_BYTES, CLIENT_WATCH_BUFFER_EVENTS

_STATUS = "rpc error: code = "  # How etcd words a refusal that it puts into a cancel reason.
_CODES = {"".join(part.title() for part in code.name.split("_")): code for code in Code}


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """What came together: whole revisions, or a notice of progress (no events).

    Every event up to ``revision`` that concerns the watch has been delivered with this batch at
    the latest.
    """

    header: Header
    events: tuple[Event, ...]
    revision: int


class Watcher:
    """One watcher between the stream and its reader."""

    def __init__(self, request: pb.WatchCreateRequest, *, progress: bool) -> None:
        self._request = request
        self._progress = progress
        self._buffer: deque[WatchBatch] = deque()
        self._fragments: list[Event] = []
        self._readable = asyncio.Event()
        self._buffered_bytes = 0
        self.buffered_events = 0
        self.delivered_events = 0
        self.dropped_duplicates = 0
        self.resumes = 0
        self.catch_ups = 0
        self.next_revision = max(0, request.start_revision)
        self.first_revision = self.next_revision
        self.started = asyncio.Event()
        self.error: ClientError | None = None
        self.closed = False
        self.added = False
        # The id on the present stream; None while the server does not have this watcher.
        self.watch_id: int | None = None
        # Left the stream because the reader is slow.
        self.parked = False

    # For the stream.

    def request(self) -> pb.WatchRequest:
        """What asks for the watcher, from where it is to go on."""
        start = self.next_revision or self._request.start_revision
        create = replace(self._request, start_revision=start)
        return pb.WatchRequest(create_request=create)

    @property
    def live(self) -> bool:
        """The server has this watcher on the present stream."""
        return self.watch_id is not None

    def created(self, watch_id: int, header: Header) -> None:
        """The server has it now."""
        self.watch_id = watch_id
        if self.next_revision == 0 and self._request.start_revision == 0:
            self.next_revision = header.revision + 1
        if not self.started.is_set():
            self.first_revision = self.next_revision
            self.started.set()

    def detached(self) -> None:
        """The server does not have it any more; what is half received will come again."""
        self.watch_id = None
        self._fragments.clear()

    def deliver(self, reply: pb.WatchResponse) -> None:
        """Take a reply with events, or one without for this watcher alone."""
        header = header_of(reply.header)
        if not reply.events and not reply.fragment and not self._fragments:
            self.progressed(header)
            return
        events = self._fragments + [_event(event) for event in reply.events]
        self._fragments = []
        if reply.fragment and events:
            # The last revision may go on in the next fragment; those before it are whole.
            last = events[-1].kv.mod_revision
            whole = len(events)
            while whole and events[whole - 1].kv.mod_revision == last:
                whole -= 1
            events, self._fragments = events[:whole], events[whole:]
        fresh = [event for event in events if event.kv.mod_revision >= self.next_revision]
        self.dropped_duplicates += len(events) - len(fresh)
        if not fresh:
            return
        revisions = [event.kv.mod_revision for event in fresh]
        if any(one > other for one, other in pairwise(revisions)):
            text = f"events of a watch out of order: {revisions[:8]}"
            raise ProtocolViolation(text, code=Code.INTERNAL)
        self.next_revision = revisions[-1] + 1
        self._put(WatchBatch(header, tuple(fresh), revisions[-1]))

    def progressed(self, header: Header, *, safe: bool = True) -> None:
        """Everything up to the header's revision has been sent; with ``safe`` false it only says
        so.
        """
        if header.revision < self.next_revision - 1:
            return  # A member that lags behind the one before it: nothing new.
        if safe:
            self.next_revision = header.revision + 1
        if self._progress:
            self._put(WatchBatch(header, (), header.revision))

    def fail(self, error: ClientError) -> None:
        """Nothing more will come; the reader gets what is buffered and then this."""
        if self.error is None and not self.closed:
            self.error = error
        self.watch_id = None
        self.started.set()
        self._readable.set()

    def close(self) -> None:
        """The reader has left."""
        self.closed = True
        self.watch_id = None
        self._fragments.clear()
        self.started.set()
        self._readable.set()

    @property
    def full(self) -> bool:
        """More waits for the reader than is good."""
        return (
            self.buffered_events > CLIENT_WATCH_BUFFER_EVENTS
            or self._buffered_bytes > CLIENT_WATCH_BUFFER_BYTES
        )

    @property
    def roomy(self) -> bool:
        """The reader has made enough room to catch up."""
        return (
            self.buffered_events <= CLIENT_WATCH_BUFFER_EVENTS // 2
            and self._buffered_bytes <= CLIENT_WATCH_BUFFER_BYTES // 2
        )

    # For the reader.

    @property
    def empty(self) -> bool:
        """Nothing waits to be read."""
        return not self._buffer

    async def wait(self) -> None:
        """Wait until something can be read, or never will be."""
        self._readable.clear()
        if not self._buffer and self.error is None and not self.closed:
            await self._readable.wait()

    def take(self) -> WatchBatch:
        """The oldest batch."""
        batch = self._buffer.popleft()
        self.buffered_events -= len(batch.events)
        self._buffered_bytes -= _weight(batch)
        self.delivered_events += len(batch.events)
        return batch

    def _put(self, batch: WatchBatch) -> None:
        if not batch.events and self._buffer and not self._buffer[-1].events:
            self._buffer.pop()  # Of several notices of progress only the newest says anything.
        self._buffer.append(batch)
        self.buffered_events += len(batch.events)
        self._buffered_bytes += _weight(batch)
        self._readable.set()


def refusal(reply: pb.WatchResponse) -> ClientError:
    """Why the server cancelled or refused a watcher.

    A compact revision means compacted; a reason may hold a whole status; neither means a
    revision that does not exist (contract page "clients", section 1).
    """
    rpc = "/etcdserverpb.Watch/Watch"
    if reply.compact_revision:
        return CompactedError(
            Condition.COMPACTED.message,
            code=Code.OUT_OF_RANGE,
            rpc=rpc,
            revision=reply.compact_revision,
        )
    reason = reply.cancel_reason
    if not reason:
        condition = Condition.FUTURE_REVISION
        return FutureRevisionError(condition.message, code=condition.code, rpc=rpc)
    if reason.startswith(_STATUS):
        name, _, text = reason.removeprefix(_STATUS).partition(" desc = ")
        return error_for(_CODES.get(name, Code.UNKNOWN), text, rpc=rpc)
    if reason == Condition.COMPACTED.message:
        return error_for(Code.OUT_OF_RANGE, reason, rpc=rpc)
    return error_for(Code.INVALID_ARGUMENT, reason, rpc=rpc)


def _event(event: mvccpb.Event) -> Event:
    assert event.kv is not None
    kind = "DELETE" if event.type == mvccpb.EventType.DELETE else "PUT"
    return Event("DELETE" if kind == "DELETE" else "PUT", kv_of(event.kv), maybe_kv(event.prev_kv))


def _weight(batch: WatchBatch) -> int:
    total = 0
    for event in batch.events:
        total += len(event.kv.key) + len(event.kv.value)
        if event.prev_kv is not None:
            total += len(event.prev_kv.key) + len(event.prev_kv.value)
    return total

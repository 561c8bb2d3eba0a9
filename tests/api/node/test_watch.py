"""Watch over a real connection (contract page "semantics", section 6; "wire", section 1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api.node.hands import CLUSTER_ID, MEMBER_IDS, LocalCluster, cluster
from grpclib.exceptions import GRPCError
from kvorum.api.watch import _HELD_BYTES_MAX, _Outbox
from kvorum.limits import WATCH_FRAGMENT_BYTES
from kvorum.replica.effects import Deliver
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import encode

PUT, WATCH = "/etcdserverpb.KV/Put", "/etcdserverpb.Watch/Watch"


class Watching:
    """One stream, as a client sees it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def create(self, key: bytes, **more: Any) -> None:
        """Ask for a watcher."""
        create = pb.WatchCreateRequest(key=key, **more)
        await self._stream.send_message(pb.WatchRequest(create_request=create))

    async def cancel(self, watch_id: int) -> None:
        """Ask for its end."""
        cancel = pb.WatchCancelRequest(watch_id=watch_id)
        await self._stream.send_message(pb.WatchRequest(cancel_request=cancel))

    async def ask_progress(self) -> None:
        """Ask how far the stream is."""
        progress = pb.WatchProgressRequest()
        await self._stream.send_message(pb.WatchRequest(progress_request=progress))

    async def send(self, request: pb.WatchRequest) -> None:
        """Any request."""
        await self._stream.send_message(request)

    async def end(self) -> None:
        """Say no more."""
        await self._stream.end()

    async def next(self) -> pb.WatchResponse:
        """The next answer; its header is always there."""
        answer: pb.WatchResponse = await self._stream.recv_message()
        assert answer is not None, "the stream ended"
        assert answer.header is not None and answer.header.cluster_id == CLUSTER_ID
        return answer


@asynccontextmanager
async def watching(local: LocalCluster, **options: Any) -> AsyncIterator[Watching]:
    """A watch stream to the first member."""
    async with local.stream(WATCH, **options) as stream:
        await stream.send_request()
        try:
            yield Watching(stream)
        finally:
            await stream.cancel()


async def put(local: LocalCluster, key: bytes, value: bytes = b"1") -> None:
    """Write a key."""
    await local.call(PUT, pb.PutRequest(key=key, value=value))


def revisions(answer: pb.WatchResponse) -> list[int]:
    """The revisions of its events."""
    return [event.kv.mod_revision for event in answer.events if event.kv is not None]


def test_a_put_and_a_deletion() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a", prev_kv=True)
            created = await watch.next()
            assert (created.created, created.canceled, created.watch_id) == (True, False, 0)
            assert created.header is not None and created.header.revision == 1
            await put(local, b"a")
            first = await watch.next()
            assert first.header == created.header.__class__(
                cluster_id=CLUSTER_ID,
                member_id=MEMBER_IDS[0],
                revision=2,
                raft_term=created.header.raft_term,
            )
            event = first.events[0]
            assert (int(event.type), event.prev_kv) == (0, None)
            assert event.kv is not None and event.kv.value == b"1"
            delete = pb.DeleteRangeRequest(key=b"a")
            await local.call("/etcdserverpb.KV/DeleteRange", delete)
            gone = (await watch.next()).events[0]
            assert int(gone.type) == 1
            assert gone.kv == event.kv.__class__(key=b"a", mod_revision=3)
            assert gone.prev_kv == event.kv

    asyncio.run(main())


def test_a_thousand_revisions_a_message() -> None:
    async def main() -> None:
        async with cluster() as local:
            for first in range(0, 1005, 67):
                await asyncio.gather(
                    *(put(local, b"k", b"%d" % n) for n in range(first, min(first + 67, 1005)))
                )
            async with watching(local) as watch:
                await watch.create(b"k", start_revision=2)
                assert (await watch.next()).created
                batch, rest = await watch.next(), await watch.next()
                assert revisions(batch) == list(range(2, 1002))
                assert revisions(rest) == list(range(1002, 1007))
                for answer in (batch, rest):
                    assert answer.header is not None and answer.header.revision == 1006

    asyncio.run(main())


def test_fragments() -> None:
    """A response of 2 MiB and more comes in parts; all but the last say so."""

    async def main() -> None:
        async with cluster() as local:
            for number in range(5):
                await put(local, b"k%d" % number, bytes(800_000))
            async with watching(local) as watch:
                await watch.create(b"k", range_end=b"l", start_revision=2, fragment=True)
                assert (await watch.next()).created
                parts = [await watch.next() for _ in range(3)]
                assert [part.fragment for part in parts] == [True, True, False]
                assert [revisions(part) for part in parts] == [[2, 3], [4, 5], [6]]
                for part in parts:
                    assert len(encode(part)) < WATCH_FRAGMENT_BYTES
                    assert (part.watch_id, part.header) == (0, parts[0].header)
                await watch.create(b"k", range_end=b"l", start_revision=2)
                assert (await watch.next()).created
                whole = await watch.next()
                assert (whole.fragment, revisions(whole)) == (False, [2, 3, 4, 5, 6])

    asyncio.run(main())


def test_half_closing_does_not_end_a_watch() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a")
            assert (await watch.next()).created
            await watch.end()
            await local.turns()
            await put(local, b"a")
            assert revisions(await watch.next()) == [2]
            await put(local, b"a")
            assert revisions(await watch.next()) == [3]

    asyncio.run(main())


def test_a_request_with_nothing_in_it_is_passed_over() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.send(pb.WatchRequest())
            await watch.create(b"a")
            assert (await watch.next()).created

    asyncio.run(main())


REFUSALS = [
    ({"key": b"b", "range_end": b"a"}, "mvcc: watcher range is empty"),
    ({"key": b"b", "range_end": b"b"}, "mvcc: watcher range is empty"),
    (
        {"key": b"a", "watch_id": 7},
        "mvcc: duplicate watch ID provided on the WatchStream",
    ),
    (
        {"key": b"a", "start_revision": -1},
        "etcdserver: mvcc: required revision has been compacted",
    ),
]


@pytest.mark.parametrize(("asked", "reason"), REFUSALS)
def test_refusals_leave_the_stream_open(asked: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a", watch_id=7)
            assert (await watch.next()).watch_id == 7
            await watch.create(**asked)
            refused = await watch.next()
            assert (refused.created, refused.canceled, refused.watch_id) == (True, True, -1)
            assert (refused.cancel_reason, refused.compact_revision) == (reason, 0)
            assert refused.header is not None and refused.header.revision == 1
            await put(local, b"a")
            assert revisions(await watch.next()) == [2]

    asyncio.run(main())


def test_cancelling() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a")
            await watch.create(b"b")
            await watch.next()
            await watch.next()
            await put(local, b"c")
            await watch.cancel(5)
            await watch.cancel(0)
            answer = await watch.next()
            assert (answer.canceled, answer.watch_id, answer.cancel_reason) == (True, 0, "")
            assert answer.header is not None and answer.header.revision == 2
            await put(local, b"a")
            await put(local, b"b")
            assert (await watch.next()).watch_id == 1

    asyncio.run(main())


def test_compacted_before_it_began() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            for _ in range(4):
                await put(local, b"a")
            compact = pb.CompactionRequest(revision=4)
            await local.call("/etcdserverpb.KV/Compact", compact)
            await watch.create(b"a", start_revision=2)
            assert (await watch.next()).created
            answer = await watch.next()
            assert (answer.canceled, answer.watch_id, answer.compact_revision) == (True, 0, 4)
            assert answer.header is not None and answer.header.revision == 0
            assert (answer.created, answer.cancel_reason) == (False, "")
            await watch.cancel(0)
            answer = await watch.next()
            assert (answer.canceled, answer.compact_revision) == (True, 0)

    asyncio.run(main())


def test_progress_on_demand() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a")
            await watch.next()
            await put(local, b"b")
            await watch.ask_progress()
            mark = await watch.next()
            assert (mark.watch_id, mark.events) == (-1, [])
            assert mark.header is not None and mark.header.revision == 2

    asyncio.run(main())


def test_progress_now_and_then() -> None:
    async def main() -> None:
        settings = {"watch_progress_notify_interval_s": 0.01}
        async with cluster(1, **settings) as local, watching(local) as watch:
            await watch.create(b"x")
            await watch.next()
            await watch.create(b"a", progress_notify=True, watch_id=9)
            await watch.next()
            await watch.end()
            await put(local, b"b")
            for _ in range(3):
                mark = await watch.next()
                assert (mark.watch_id, mark.events) == (9, [])
            assert mark.header is not None and mark.header.revision == 2

    asyncio.run(main())


def test_filters_and_numbers_nobody_knows() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a", filters=[pb.FilterType.NOPUT, 77])
            await watch.next()
            await put(local, b"a")
            delete = pb.DeleteRangeRequest(key=b"a")
            await local.call("/etcdserverpb.KV/DeleteRange", delete)
            assert revisions(await watch.next()) == [3]

    asyncio.run(main())


def test_three_hundred_streams_on_one_connection() -> None:
    async def main() -> None:
        async with cluster() as local:
            streams = [local.stream(WATCH) for _ in range(300)]
            for stream in streams:
                await stream.__aenter__()
                await stream.send_request()
                await Watching(stream).create(b"a")
            for stream in streams:
                assert (await Watching(stream).next()).created
            await put(local, b"a")
            for stream in streams:
                assert revisions(await Watching(stream).next()) == [2]
            node = local.nodes[MEMBER_IDS[0]]
            assert node.status().watch_streams == 300
            for stream in streams:
                await stream.cancel()
                await stream.__aexit__(None, None, None)
            await local.until(lambda: node.status().watch_streams == 0)
            assert node.status().watchers == 0

    asyncio.run(main())


def test_a_client_that_stops_reading_gets_everything_when_it_reads_on() -> None:
    async def main() -> None:
        async with cluster() as local, watching(local) as watch:
            await watch.create(b"a")
            node = local.nodes[MEMBER_IDS[0]]
            await local.until(lambda: node.status().watchers == 1)
            for number in range(40):
                await put(local, b"a", b"%d" % number + bytes(1_000_000))
            assert node.status().slow_watchers == 1
            assert (await watch.next()).created
            seen: list[int] = []
            while len(seen) < 40:
                seen += revisions(await watch.next())
            assert seen == list(range(2, 42))

    asyncio.run(main())


def test_answers_to_requests_are_held_up_to_a_bound() -> None:
    """Beyond it the client's requests are not taken until it has read."""
    out = _Outbox()

    async def main() -> None:
        await asyncio.wait_for(out.has_room(), 1)
        out.put(Deliver(1, (), _HELD_BYTES_MAX, 1))
        waiting = asyncio.ensure_future(out.has_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert len(await out.take()) == 1
        out.sent(_HELD_BYTES_MAX)
        await waiting

    asyncio.run(main())


def test_a_stream_that_wants_a_leader() -> None:
    """It ends when there has been none for three election timeouts; another does not notice."""

    async def main() -> None:
        settings = {"heartbeat_interval_ms": 1, "election_timeout_ms": 10}
        asked = {"metadata": {"hasleader": "true"}}
        async with cluster(3, **settings) as local, watching(local) as patient:
            await patient.create(b"a")
            assert (await patient.next()).created
            with pytest.raises(GRPCError) as caught:
                async with local.stream(WATCH, **asked) as stream:
                    await stream.send_request()
                    await Watching(stream).create(b"a")
                    assert (await Watching(stream).next()).created
                    local.cut_off.update(MEMBER_IDS)
                    await local.until(lambda: not local.nodes[MEMBER_IDS[0]].leader, ticks=1)
                    await stream.recv_message()
            assert (caught.value.status.value, caught.value.message) == (
                14,
                "etcdserver: no leader",
            )
            with pytest.raises(GRPCError) as refused:
                await local.call(PUT, pb.PutRequest(key=b"a"), **asked)
            assert refused.value.message == "etcdserver: no leader"
            local.cut_off.clear()
            await local.until(lambda: local.nodes[MEMBER_IDS[0]].leader != 0, ticks=1)
            writing = asyncio.ensure_future(put(local, b"a"))
            await local.until(writing.done, ticks=1)
            assert revisions(await patient.next()) == [2]

    asyncio.run(main())

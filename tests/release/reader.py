"""A watcher in a process of its own, that stops reading when it is told to.

``python -m release.reader ENDPOINT PREFIX START END`` (in ``tests``) watches a prefix from a
revision on, by one stream of gRPC and nothing between it and the wire. It prints ``ready``, obeys
``hold`` and ``go`` lines on its standard input, and ends with one line of JSON when it has been
told the key END: how many events it was told, whether each came once and in order, or at which
revision it was cancelled as compacted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from grpclib.client import StreamStreamMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum.http2.server import KvorumChannel
from kvorum_proto.codec import Codec
from kvorum_proto.etcdserverpb import (
    WatchCreateRequest,
    WatchRequest,
    WatchResponse,
)

_OPENED_MAX = 20  # Streams, one after the other: a watcher that is thrown out each time is told.


class Reader:
    """What came, and whether it was right."""

    def __init__(self, prefix: bytes, start: int, end: bytes) -> None:
        self._prefix = prefix
        self._end = end
        self.next = start
        self.reading = asyncio.Event()
        self.reading.set()
        self.said: dict[str, Any] = {"events": 0, "revisions": 0, "opened": 0, "wrong": ""}
        self.done = False

    async def read(self, channel: KvorumChannel) -> None:
        """One stream, until the end key, a cancel or the stream's end."""
        method: Any = StreamStreamMethod(
            channel, "/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse
        )
        range_end = self._prefix[:-1] + bytes([self._prefix[-1] + 1])
        create = WatchCreateRequest(key=self._prefix, range_end=range_end, start_revision=self.next)
        async with method.open() as stream:
            await stream.send_message(WatchRequest(create_request=create))
            while not self.done:
                await self.reading.wait()
                reply = await stream.recv_message()
                if reply is None:
                    return
                self._take(reply)
            await stream.cancel()

    def _take(self, reply: WatchResponse) -> None:
        if reply.created and not self.said["opened"]:
            print("ready", flush=True)
        self.said["opened"] += reply.created
        if reply.canceled:
            self.said["compacted"] = reply.compact_revision
            self.said["cancel_reason"] = reply.cancel_reason
            self.done = True
        for event in reply.events:
            assert event.kv is not None
            self._event(event.kv.key, event.kv.mod_revision)
        if reply.events:
            last = reply.events[-1].kv
            assert last is not None
            self.next = last.mod_revision + 1

    def _event(self, key: bytes, revision: int) -> None:
        self.said["events"] += 1
        if revision < self.next and not self.said["wrong"]:
            self.said["wrong"] = f"revision {revision} came when {self.next} was due"
        if revision != self.said.get("last"):
            self.said["revisions"] += 1
            if revision < self.said.get("last", 0):
                self.said["wrong"] = f"revision {revision} after {self.said['last']}"
        self.said["last"] = revision
        self.done = self.done or key == self._end


async def _obey(reader: Reader) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while word := (await lines.readline()).strip():
        (reader.reading.clear if word == b"hold" else reader.reading.set)()
        print(word.decode(), flush=True)


async def main(endpoint: str, prefix: str, start: str, end: str) -> None:
    """Read until the end."""
    host, _, port = endpoint.rpartition("//")[2].rpartition(":")
    reader = Reader(prefix.encode(), int(start), end.encode())
    obeying = asyncio.create_task(_obey(reader))
    while not reader.done and reader.said["opened"] < _OPENED_MAX:
        channel = KvorumChannel(host, int(port), codec=Codec())
        try:
            await reader.read(channel)
        except (GRPCError, StreamTerminatedError, OSError) as error:
            reader.said["thrown_out"] = repr(error)
            await asyncio.sleep(0.2)
        finally:
            channel.close()
    print(json.dumps(reader.said), flush=True)
    obeying.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

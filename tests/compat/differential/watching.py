"""Watch streams of one side, and what they have brought, a watcher at a time.

How responses are cut is a matter of timing: a watcher that catches up gets many revisions at once,
and the header then tells the newest. So what two sides must agree on is the sequence of each
watcher: that it was created, its events, that it was canceled and why, marks of progress. What each
response must keep by itself (a revision in one piece, revisions rising, no header behind its
events) is checked on each side alone.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from compat.differential import wire
from compat.differential.side import PATIENCE_S, Side

WATCH = "Watch/Watch"
PAST = "Watch/past"
"""A watch through the gateway, from a past revision to the present, and no further."""
APART = 8
"""A stream of which only the answers to creations are compared: for watchers that one side has and
the other, on purpose, has not.
"""
Sequences = dict[str, list[Any]]


class Arrivals:
    """Wakes who waits for something to arrive on any stream."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def notify(self) -> None:
        """Something has arrived."""
        with self._changed:
            self._changed.notify_all()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until the condition holds; whether it does."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return False
                self._changed.wait(min(left_s, 0.2))
        return True


class WatchStream:
    """One watch stream: requests go out as they come, responses are collected by a thread."""

    def __init__(self, side: Side, metadata: list[tuple[str, str]], arrivals: Arrivals) -> None:
        self._side = side
        self._arrivals = arrivals
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._last: dict[str, tuple[int, bool]] = {}
        self.sequences: Sequences = {}
        self.creations: list[Any] = []
        self.faults: list[str] = []
        self.end = ""
        self._call = side.channel.stream_stream(wire.path_of(WATCH))(
            self._outgoing(), metadata=metadata
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _outgoing(self) -> Iterator[bytes]:
        while (request := self._requests.get()) is not None:
            yield request

    def send(self, request: dict[str, Any]) -> None:
        """Send a WatchRequest."""
        message = wire.request_of(WATCH, self._side.own(request))
        self._requests.put(message.SerializeToString())

    def waiting(self) -> Sequences:
        """What has come and was not forgotten yet."""
        return {name: list(items) for name, items in list(self.sequences.items()) if items}

    def forget(self, seen: Sequences) -> None:
        """Drop what was seen; more may have come since."""
        for name, items in seen.items():
            del self.sequences[name][: len(items)]

    def close(self) -> None:
        """End the call."""
        self._call.cancel()
        self._requests.put(None)
        self._reader.join(PATIENCE_S)

    def _read(self) -> None:
        try:
            for data in self._call:
                self._take(self._side.normal(wire.plain_response(WATCH, data)))
                self._arrivals.notify()
            self.end = "OK"
        except grpc.RpcError as error:
            self.end = f"{error.code().value[0]} {error.details()}"
        self._arrivals.notify()

    def _take(self, response: dict[str, Any]) -> None:
        watcher = response.get("watch_id", "0")
        sequence = self.sequences.setdefault(watcher, [])
        events = response.get("events", [])
        header = response.pop("header", {})
        if not events:
            said = {"revision": header.get("revision", "0"), **response}
            sequence.append(said)
            if response.get("created"):
                self._last.pop(watcher, None)
                self.creations.append(said)
            return
        self._check(watcher, int(header.get("revision", 0)), response)
        sequence += [{"event": event} for event in events]

    def _check(self, watcher: str, header: int, response: dict[str, Any]) -> None:
        """What every response with events keeps."""
        revisions = [int(event["kv"]["mod_revision"]) for event in response["events"]]
        last, open_end = self._last.get(watcher, (0, False))
        begins = revisions[0] >= last if open_end else revisions[0] > last
        rises = all(a <= b for a, b in itertools.pairwise(revisions))
        if not begins or not rises or header < revisions[-1]:
            self.faults.append(f"watcher {watcher}: {last} then {revisions}, header {header}")
        self._last[watcher] = (revisions[-1], bool(response.get("fragment")))

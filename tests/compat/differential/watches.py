"""Requests on watch streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compat.differential.draw import INT64_MAX, Draw
from compat.differential.step import JSON, Step
from compat.differential.watching import APART, PAST, WATCH

_STREAMS, _LARGE_STREAM = 3, 5
_IDS = (1, 2, 3, 4, 5, 77, INT64_MAX, -1, -9)


class Watches:
    """Draws creations, cancellations, questions for progress, ends of streams."""

    def __init__(self, draw: Draw, release: str) -> None:
        self._draw = draw
        # A refused creation makes 3.5.1 forget that it has a watcher -1: its events never leave.
        self._ids = _IDS if release == "3.4" else tuple(each for each in _IDS if each != -1)

    def steps(self) -> Iterator[Step]:
        """One request on one of a few streams, or a refused one on a stream of its own."""
        if self._draw.chance(0.01):
            yield from self.large()
        elif self._draw.chance(0.03):
            yield from self._edge()
        elif self._draw.chance(0.1):
            yield self._past()
        else:
            yield from self.apart(self._step())

    def _edge(self) -> Iterator[Step]:
        """Watches from a compact revision that is a deletion, and its hash."""
        world, span = self._draw.world, {"key": b"a/b"}
        yield Step("KV/Put", span)
        yield Step("KV/DeleteRange", span)
        yield Step("KV/Compact", {"revision": world.revision})
        create = {"key": b"\0", "range_end": b"\0", "start_revision": world.compacted}
        yield self.sent(0, {"create_request": create})
        yield Step(PAST, create, via=JSON)
        yield Step("Maintenance/HashKV", {"revision": world.compacted})

    def _past(self) -> Step:
        """What has happened from a key on, through the gateway; not from behind the last one that
        is written.
        """
        start = self._start()
        if not 0 < start <= self._draw.world.revision:
            start = 1
        create: dict[str, Any] = {"key": min(self._draw.key(), b"\xff"), "range_end": b"\0"}
        create["start_revision"] = start
        return Step(PAST, create | self._draw.flags(0.3, "prev_kv"), via=JSON)

    @staticmethod
    def apart(step: Step) -> Iterator[Step]:
        """The step, on a stream of its own if 3.4 would create a watcher that kvorum refuses."""
        create = step.request.get("send", {}).get("create_request", {})
        if create.get("start_revision", 0) < 0:
            yield step._replace(request={**step.request, "stream": APART})
            yield Step("Watch/close", {"stream": APART})
        else:
            yield step

    def _step(self) -> Step:
        draw = self._draw
        stream = draw.random.randrange(_STREAMS)
        pick = draw.random.random()
        if pick < 0.3:
            return Step("sync", {})
        if pick < 0.33:
            return Step("Watch/close", {"stream": stream})
        if pick < 0.7:
            return self.sent(stream, {"create_request": self.create()})
        if pick < 0.9:
            return self.sent(
                stream, {"cancel_request": {"watch_id": draw.one(0, 1, 2, 3, *self._ids)}}
            )
        if pick < 0.97:
            return self.sent(stream, {"progress_request": {}})
        return self.sent(stream, {})

    @staticmethod
    def sent(stream: int, request: dict[str, Any]) -> Step:
        """A request on a stream, which is opened by its first one."""
        return Step(WATCH, {"stream": stream, "send": request})

    def large(self) -> Iterator[Step]:
        """Revisions too large for one message, to a watcher that takes parts and to one that does
        not.
        """
        span = {"key": b"large/", "range_end": b"large0", "prev_kv": True}
        for more in ({"fragment": True}, {}):
            yield self.sent(_LARGE_STREAM, {"create_request": {**span, **more}})
        for letter in b"xyz":
            puts = [{"key": b"large/%d" % n, "value": bytes([letter]) * 480_000} for n in range(3)]
            yield Step("KV/Txn", {"success": [{"request_put": put} for put in puts]})
        yield Step("KV/DeleteRange", span)
        yield Step("Watch/close", {"stream": _LARGE_STREAM})

    def create(self) -> dict[str, Any]:
        """Any creation."""
        draw = self._draw
        fields = draw.span() | draw.maybe("watch_id", draw.one(0, 0, *self._ids))
        if draw.chance(0.4):
            fields |= draw.maybe("start_revision", self._start())
        if draw.chance(0.2):
            fields["filters"] = draw.one([0], [1], [0, 1], [5], [5, 1], [0, 0])
        return fields | draw.flags(0.3, "prev_kv", "fragment", "progress_notify")

    def _start(self) -> int:
        """The past, the compacted past and its edge, the future, what is no revision."""
        draw, world = self._draw, self._draw.world
        near = max(1, world.revision - draw.random.randint(0, 30))
        return draw.one(
            near, near, near,
            max(1, world.compacted + draw.random.randint(-2, 2)),
            world.revision + draw.random.randint(0, 3), INT64_MAX, -1,
        )  # fmt: skip

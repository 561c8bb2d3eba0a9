"""Watchers of a simulated cluster: they follow everything, and move on when their member ends or a
compaction overtakes them. Each watch they open is recorded for the judge, message by message.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvorum.check import records as r
from kvorum.machine.events import DELETE, Event
from kvorum.machine.record import parse
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import WatchSpec
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

_LOOK_US = 300_000
_NS = 1_000
_FIRST_REVISION = 2


class Follower:
    """One watcher at a time, on one member after another.

    ``watches`` and ``seen`` are its recording. ``next_revision``: the first that it has yet to see.
    """

    def __init__(
        self,
        world: World,
        nodes: Sequence[SimNode],
        stream: int,
        prev_kv: bool,
        forgetful: bool = False,
    ) -> None:
        """``forgetful``: whenever it moves on it reads what it knows already anew, all of it or the
        later half by turns."""
        self._forgetful = forgetful
        self._world = world
        self._nodes = nodes
        self._rng = world.dice(f"watcher {stream}")
        self._stream = stream
        self._stalled_until_us = 0
        self._hurries = False
        self._overtaken = False
        self._prev_kv = prev_kv
        self._node: SimNode | None = None
        self._boot = -1
        self._watch = 0
        self._kvs: dict[bytes, r.Kv] = {}
        self.next_revision = _FIRST_REVISION
        self.watches: list[r.Watch] = []
        self.seen: list[r.Seen] = []

    def start(self) -> None:
        """Look after the watch now and then."""
        self._world.after(self._rng.randrange(1, 300_000), self._look)

    def stall(self, for_us: int) -> None:
        """Take nothing from the stream for a while; 0: go on."""
        self._stalled_until_us = self._world.now_us + for_us

    def hurry(self) -> None:
        """Read whatever comes, at once, and stay where it is."""
        self._hurries = True
        self._stalled_until_us = 0

    def _look(self) -> None:
        self._world.after(_LOOK_US, self._look)
        node = self._node
        if node is not None and node.alive and node.boots == self._boot:
            if self._rng.random() < 0.3:
                node.handle(i.WatchProgress(self._stream))
            if not self._hurries and self._rng.random() < 0.03:
                node.handle(i.WatchClose(self._stream))
                self._end(0, 0)
            return
        if node is not None:
            self._end(0, 0)
        serving = [n for n in self._nodes if n.joined and not n.paused]
        if serving:
            self._open(self._rng.choice(serving))

    def _open(self, node: SimNode) -> None:
        self._node, self._boot = node, node.boots
        if self._forgetful and not self._overtaken:
            half = self.next_revision // 2 if len(self.watches) % 2 else 0
            self.next_revision = max(_FIRST_REVISION, half)
        self._overtaken = False
        self._watch = self._stream << 32 | len(self.watches)
        self.watches.append(
            r.Watch(
                self._watch,
                self._stream,
                self._world.now_us * _NS,
                b"\0",
                b"\0",
                self.next_revision,
                f"n{node.id}",
                prev_kv=self._prev_kv,
            )
        )
        node.sinks[self._stream] = self._taken
        spec = WatchSpec(b"\0", b"\0", self.next_revision, prev_kv=self._prev_kv)
        node.handle(i.WatchClose(self._stream), i.WatchCreate(self._stream, spec))

    def _taken(self, node: SimNode, deliver: e.Deliver) -> None:
        if node is not self._node or node.boots != self._boot:
            return
        for item in deliver.items:
            self._item(item)
        size_bytes = deliver.size_bytes
        delay_us = 0 if self._hurries else self._rng.choice((0, 1_000, 500_000))
        self._world.after(delay_us, lambda: self._take(node, size_bytes))

    def _take(self, node: SimNode, size_bytes: int) -> None:
        """Tell the node that the stream has room again."""
        left_us = self._stalled_until_us - self._world.now_us
        if left_us > 0:
            self._world.after(min(left_us, 500_000), lambda: self._take(node, size_bytes))
        else:
            node.handle(i.WatchTaken(self._stream, size_bytes))

    # --- recording --------------------------------------------------------------------------------

    def _item(self, item: e.Delivery) -> None:
        now = self._world.now_us * _NS
        if isinstance(item, e.Events):
            if item.events[0].revision < self.next_revision:
                self._world.fail(f"a watcher was given revision {item.events[0].revision} twice")
            told = tuple([self._event(event, item.prev_kv) for event in item.events])
            self.seen.append(r.Seen(self._watch, now, item.revision, told))
            self.next_revision = item.events[-1].revision + 1
        elif isinstance(item, e.Progress):
            self.seen.append(r.Seen(self._watch, now, item.revision, progress=True))
            self.next_revision = max(self.next_revision, item.revision + 1)
        elif isinstance(item, e.Created):
            self.seen.append(r.Seen(self._watch, now, item.revision, created=True))
        else:
            self._overtaken = bool(item.compact_revision)
            self.next_revision = max(self.next_revision, item.compact_revision)
            self._end(item.revision, item.compact_revision)

    def _end(self, revision: int, compact_revision: int) -> None:
        """The watch is over, by its member's word or by its member's end."""
        self._node = None
        now = self._world.now_us * _NS
        self.seen.append(
            r.Seen(self._watch, now, revision, canceled=True, compact_revision=compact_revision)
        )

    def _event(self, event: Event, prev_kv: bool) -> r.Event:
        prev = event.prev_frame if prev_kv else None
        return r.Event(
            r.DELETE if event.kind == DELETE else r.PUT,
            self._kv(event.frame),
            None if prev is None else self._kv(prev),
        )

    def _kv(self, frame: bytes) -> r.Kv:
        known = self._kvs.get(frame)
        if known is None:
            known = self._kvs[frame] = r.Kv(*parse(frame))
        return known

"""Watchers that are behind, brought to the present a bounded stretch a turn.

What the window of recent revisions holds is read once for many watchers: a stretch of revisions
goes past up to some hundreds of them, as in etcd. What is older is asked of the history, one
question a stream and few at a time, because an answer may be large. Streams take turns, and so do
the watchers of a stream: one that always has more to get must not starve the others (etcd#17529).
A stream whose buffer is full is passed over until its client has read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from kvorum.limits import (
    WATCH_CATCHUP_BYTES,
    WATCH_CATCHUP_REVISIONS,
    WATCH_CATCHUP_STRETCHES,
    WATCH_CATCHUP_WATCHERS,
    WATCH_HISTORY_FAILURES,
    WATCH_HISTORY_READS,
    WATCH_HISTORY_RETRY_MS,
)
from kvorum.machine.events import Event
from kvorum.replica.effects import Fatal, ReadHistoryEvents
from kvorum.replica.inputs import HistoryEvents
from kvorum.replica.state import NodeState
from kvorum.replica.watchers import Stream, Watcher
from kvorum.replica.watches import WatchHub
from kvorum.replica.watchindex import WatchIndex


class CatchUp:
    """Serves the watchers of a hub that are behind."""

    def __init__(self, state: NodeState, hub: WatchHub) -> None:
        self._state = state
        self._hub = hub
        self._asked: dict[int, Watcher] = {}  # questions to the history under way, by token
        self._failures = 0  # in a row
        self._ask_again_tick = 0

    def turn(self) -> None:
        """Give watchers behind what a turn can give."""
        for _ in range(WATCH_CATCHUP_STRETCHES):
            group = self._group()
            if not group:
                break
            self._stretch(group)
        self._ask_history()

    def replaced(self) -> None:
        """A snapshot took the place of state and history: answers on their way are of the old."""
        self._asked.clear()

    # --- the window -------------------------------------------------------------------------------

    def _group(self) -> list[Watcher]:
        """The watcher whose turn it is, and others that need the same stretch of revisions."""
        hub, floor = self._hub, self._state.machine.window.floor
        group: list[Watcher] = []
        low = high = 0
        for stream in hub.lagging():
            for watcher in list(islice(stream.recent, WATCH_CATCHUP_WATCHERS)):
                if hub.overtaken(watcher):
                    continue
                if watcher.next_revision <= floor:
                    hub.needs_history(watcher)
                    continue
                if not group:
                    low = watcher.next_revision
                    high = low + WATCH_CATCHUP_REVISIONS
                if low <= watcher.next_revision < high:
                    group.append(watcher)
                    if len(group) == WATCH_CATCHUP_WATCHERS:
                        return group
        return group

    def _stretch(self, group: Sequence[Watcher]) -> None:
        """Let revisions from the first watcher's next one on go past the group."""
        low = group[0].next_revision
        index = WatchIndex()
        for watcher in group:
            index.add(watcher)
        matched: dict[Watcher, list[Event]] = {}
        through = self._state.machine.revision
        for event in self._state.machine.window.since(low - 1):
            if event.revision >= low + WATCH_CATCHUP_REVISIONS:
                through = event.revision - 1
                break
            for watchers in index.matching(event.key):
                for watcher in watchers:
                    matched.setdefault(watcher, []).append(event)
        hub = self._hub
        for watcher in group:
            if not watcher.stream.full:
                events, last = fitting(watcher, matched.get(watcher, ()), through)
                hub.caught_up(watcher, events, last)
                hub.served(watcher.stream)

    # --- the history ------------------------------------------------------------------------------

    def _ask_history(self) -> None:
        if self._state.now < self._ask_again_tick:
            return
        for stream in self._hub.lagging():
            if len(self._asked) >= WATCH_HISTORY_READS:
                return
            if stream.old and not stream.reading:
                self._ask(stream)

    def _ask(self, stream: Stream) -> None:
        state, hub = self._state, self._hub
        watcher = next(iter(stream.old))
        while hub.overtaken(watcher):
            if not stream.old:
                return
            watcher = next(iter(stream.old))
        stream.reading = token = state.token()
        self._asked[token] = watcher
        hub.served(stream)
        state.out.append(
            ReadHistoryEvents(
                token,
                watcher.key,
                watcher.range_end,
                watcher.next_revision,
                state.machine.window.floor,
                WATCH_CATCHUP_REVISIONS,
                watcher.prev_kv,
            )
        )

    def answered(self, answer: HistoryEvents) -> None:
        """The history's answer; one that nobody waits for any more is let go."""
        watcher = self._asked.pop(answer.token, None)
        if watcher is None:
            return
        stream = watcher.stream
        stream.reading = 0
        if watcher not in stream.old or self._hub.overtaken(watcher):
            # Cancelled meanwhile, by its client or by a compaction, which makes the history refuse.
            return
        if answer.failure:
            self._failed(answer.failure)
        else:
            self._failures = 0
            self._hub.caught_up(watcher, answer.events, answer.through)

    def _failed(self, failure: str) -> None:
        """A read that took too long is tried again; a history that never answers ends the node."""
        self._failures += 1
        self._ask_again_tick = self._state.now + self._state.config.ticks(WATCH_HISTORY_RETRY_MS)
        if self._failures >= WATCH_HISTORY_FAILURES:
            self._state.out.append(Fatal(f"the history cannot be read: {failure}"))


def fitting(watcher: Watcher, events: Sequence[Event], through: int) -> tuple[Sequence[Event], int]:
    """As many whole revisions of a watcher's events as one message may hold, with what they
    replaced if it wants that, at least one; and the last revision they stand for, ``through`` when
    that is all.
    """
    size = 0
    revision = 0
    for position, event in enumerate(events):
        if event.revision < watcher.next_revision:
            continue
        if event.revision != revision:
            if size >= WATCH_CATCHUP_BYTES:
                return events[:position], event.revision - 1
            revision = event.revision
        size += len(event.frame)
        if watcher.prev_kv and event.prev_frame is not None:
            size += len(event.prev_frame)
    return events, through

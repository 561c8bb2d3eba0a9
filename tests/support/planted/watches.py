"""Mistakes with watches and compaction: events that are lost, doubled, or promised too early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kvorum.machine.apply import Machine
from kvorum.machine.events import DELETE, Event
from kvorum.replica.applying import Applier
from kvorum.replica.requests import WatchSpec
from kvorum.replica.watches import Watcher, WatchHub
from kvorum.sim import boot as sim_boot
from kvorum.sim import history as sim_history
from kvorum.sim.history import SimHistory

Patch = pytest.MonkeyPatch


def watch_resumes_one_late(patch: Patch) -> None:
    """Catching up skips the revision after the last batch."""
    original = WatchHub.caught_up

    def caught_up(hub: WatchHub, watcher: Watcher, events: Any, through: int) -> None:
        original(hub, watcher, events, through)
        if events:
            watcher.next_revision += 1

    patch.setattr(WatchHub, "caught_up", caught_up)


def events_dropped_when_full(patch: Patch) -> None:
    """A batch is lost when its stream is behind."""
    original = WatchHub._behind

    def behind(hub: WatchHub, watcher: Watcher) -> None:
        if watcher.synced:
            watcher.next_revision += 1
        original(hub, watcher)

    patch.setattr(WatchHub, "_behind", behind)


def progress_ahead_of_events(patch: Patch) -> None:
    """A progress mark claims what a watcher that is behind has not been given."""
    patch.setattr(WatchHub, "_may_mark", lambda hub, watcher: True)


def watchers_forgotten_at_a_snapshot(patch: Patch) -> None:
    """A leader's snapshot moves the state on, and watchers with it (etcd#15271)."""

    def reset(hub: WatchHub, revision: int, compact_revision: int) -> None:
        hub.revision = revision
        hub.compact_revision = max(compact_revision, hub.compact_revision)

    patch.setattr(WatchHub, "reset", reset)


def compaction_takes_tombstones(patch: Patch) -> None:
    """A compaction removes deletions that came after it (etcd#18089's kin)."""
    original = sim_history.survives

    def survives(revision: int, later: int | None, tombstone: bool, compact: int) -> bool:
        return not tombstone and original(revision, later, tombstone, compact)

    patch.setattr(sim_history, "survives", survives)


def compaction_is_not_told_to_watchers(patch: Patch) -> None:
    """A watcher that a compaction has overtaken goes on as if nothing were missing."""

    def overtaken(hub: WatchHub, watcher: Watcher) -> bool:
        watcher.next_revision = max(watcher.next_revision, hub.compact_revision)
        return False

    patch.setattr(WatchHub, "overtaken", overtaken)


def rebuilt_history_claims_its_first_revision(patch: Patch) -> None:
    """A history built anew from a snapshot lets watchers begin at the snapshot's own revision."""
    original = sim_boot._rebuilt

    def rebuilt(machine: Machine, index: int) -> SimHistory:
        history = original(machine, index)
        history.compact_revision -= index > 0
        return history

    patch.setattr(sim_boot, "_rebuilt", rebuilt)


def deletion_at_the_compact_revision_skipped(patch: Patch) -> None:
    """A watch that begins where the store was compacted is not told of deletions there."""
    original = WatchHub._deliver

    def deliver(hub: WatchHub, watcher: Watcher, events: tuple[Event, ...], revision: int) -> None:
        left = [e for e in events if e.kind != DELETE or e.revision != hub.compact_revision]
        original(hub, watcher, tuple(left), revision)

    patch.setattr(WatchHub, "_deliver", deliver)


def marks_for_the_future(patch: Patch) -> None:
    """A watch that begins at a revision still to come is sent progress marks before it."""
    patch.setattr(WatchHub, "_may_mark", lambda hub, watcher: watcher.synced)


def future_watch_begins_now(patch: Patch) -> None:
    """A watch that begins at a revision still to come is sent what happens before it."""
    original = WatchHub.create

    def create(hub: WatchHub, number: int, spec: WatchSpec) -> None:
        start = spec.start_revision
        original(hub, number, spec._replace(start_revision=min(start, hub.revision + 1)))

    patch.setattr(WatchHub, "create", create)


def one_watcher_always_first(patch: Patch) -> None:
    """The watcher that was served stands first in line again, and the others starve."""

    def served(hub: WatchHub, stream: Any) -> None:
        """Nobody moves back."""

    def behind(hub: WatchHub, watcher: Watcher) -> None:
        stream = watcher.stream
        if watcher.synced:
            watcher.synced = False
            hub._live.remove(watcher)
        stream.old.pop(watcher, None)
        stream.recent.setdefault(watcher, None)
        hub._lagging.setdefault(stream, None)

    patch.setattr(WatchHub, "served", served)
    patch.setattr(WatchHub, "_behind", behind)


def events_of_a_transaction_twice(patch: Patch) -> None:
    """The events of a transaction are told once more with the next one."""
    original = Machine.apply
    told: dict[int, Sequence[Event]] = {}

    def again(machine: Machine, index: int, term: int, envelope: Any) -> Any:
        applied = original(machine, index, term, envelope)
        if len(applied.events) > 1:
            last, told[id(machine)] = told.get(id(machine), ()), applied.events
            return applied._replace(events=(*last, *applied.events))
        return applied

    patch.setattr(Machine, "apply", again)


def agreed_compaction_forgotten(patch: Patch) -> None:
    """A compaction that a crash has overtaken is not done again after the start."""
    patch.setattr(Applier, "_sweep", lambda applier: setattr(applier, "_sweep_due", False))

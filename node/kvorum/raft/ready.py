"""What raft hands its driver, and the driver's duties in order.

1. If there is a `snapshot`, install its body; make it, `entries` and `hard_state` durable, in this
   order. `entries` replace whatever was stored from the first one's index on. With `must_sync` an
   fsync is owed before `persisted(ticket)`; without it a write in order is enough.
2. `messages` may leave at once, beside the fsync: a leader's appends go to the others' disks while
   its own still turns (thesis 10.2.1).
3. Once this Ready and all before it are durable: call `persisted(ticket)` and only now let
   `messages_after_persist` leave. They speak of a term, vote or entry that must survive (3.8); the
   module `messages` says what each kind waits for.
4. Apply `committed` in order, calling `apply_conf_change` for every CONF_CHANGE entry (with None
   for one the application refuses) and `applied_to` behind it, before the next `ready()`.
5. Serve each of `read_states` once applied >= its index; fail or retry `reads_dropped`.
6. Tell whoever waits for a change named in `refused` that it has not happened, or propose it again.

The next Ready may be taken before this one is durable; tickets are reported in order.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.raft.messages import Message, ProposalRefused
from kvorum.raft.types import Entry, HardState, ReadState, SnapshotMeta, SoftState


class Ready(NamedTuple):
    """One bundle of work for the driver; the module says what to do with each field."""

    ticket: int
    soft_state: SoftState | None
    hard_state: HardState | None
    entries: tuple[Entry, ...]
    snapshot: SnapshotMeta | None
    must_sync: bool
    messages: tuple[Message, ...]
    messages_after_persist: tuple[Message, ...]
    committed: tuple[Entry, ...]
    read_states: tuple[ReadState, ...]
    reads_dropped: tuple[int, ...]
    refused: tuple[ProposalRefused, ...]


class Outbox:
    """What has gathered for the next Ready besides log and states."""

    __slots__ = ("after_persist", "at_once", "read_states", "reads_dropped", "refused")

    def __init__(self) -> None:
        self.at_once: list[Message] = []
        self.after_persist: list[Message] = []
        self.read_states: list[ReadState] = []
        self.reads_dropped: list[int] = []
        self.refused: list[ProposalRefused] = []

    def __bool__(self) -> bool:
        return bool(
            self.at_once
            or self.after_persist
            or self.read_states
            or self.reads_dropped
            or self.refused
        )

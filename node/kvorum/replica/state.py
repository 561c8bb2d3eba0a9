"""What the parts of a replica share: configuration, raft, the machine, the tick, and the effects of
the batch under way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvorum.errors import Condition
from kvorum.limits import (
    MAX_REQUEST_BYTES,
    MAX_TXN_OPS,
    MAX_UNCOMMITTED_BYTES,
    SNAPSHOT_CATCHUP_ENTRIES,
    SNAPSHOT_COUNT,
    WATCH_STREAM_BUFFER_BYTES,
)
from kvorum.machine.apply import Machine
from kvorum.raft.core import Raft
from kvorum.raft.types import Entry, HardState, Role, SnapshotMeta
from kvorum.replica.effects import Effect, Reply
from kvorum.replica.requests import Done, Failed, Stamp
from kvorum.replica.tally import Tally


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """What does not change while a replica lives.

    Attributes:
        member_id, cluster_id: identity.
        id_base: first of the numbers this boot of the node may use for read rounds and its own
        proposals; no two boots of
            any members share numbers (16 bits of the member id, then boot time in ms, then 12 free
            bits).
        tick_ms: one heartbeat interval.
        election_ticks: ticks without a leader before a campaign (randomized upwards).
        snapshot_count: applied entries between two snapshots; catchup_entries of them stay in the
        log behind one.
        lease_checkpoint_ticks: between two records of what is left of a lease; 0: none are made.
        lease_checkpoint_persist: whether those found in a snapshot count.
        watch_buffer_bytes: what a watch stream may hold that its client has not read.
    """

    member_id: int
    cluster_id: int
    id_base: int
    tick_ms: int = 100
    election_ticks: int = 10
    snapshot_count: int = SNAPSHOT_COUNT
    catchup_entries: int = SNAPSHOT_CATCHUP_ENTRIES
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_txn_ops: int = MAX_TXN_OPS
    max_uncommitted_bytes: int = MAX_UNCOMMITTED_BYTES
    pre_vote: bool = True
    check_quorum: bool = True
    lease_checkpoint_ticks: int = 0
    lease_checkpoint_persist: bool = False
    watch_buffer_bytes: int = WATCH_STREAM_BUFFER_BYTES

    @property
    def min_lease_ttl_s(self) -> int:
        """The shortest TTL a lease gets: one and a half election timeouts, in whole seconds
        upwards."""
        ticks = 3 * self.election_ticks // 2
        return -(-ticks * self.tick_ms // 1000)

    def ticks(self, ms: int) -> int:
        """Ticks that cover ``ms``, at least one."""
        return max(1, -(-ms // self.tick_ms))


class Boot(NamedTuple):
    """What a node brings from its disk.

    ``machine`` is the state at ``snapshot.index``; for a new cluster that is index 0 with the first
    members in it, and the
    snapshot's configuration names them as voters. ``entries`` follow the snapshot. Rows of entries
    up to
    ``history_applied`` are in the history already and are not appended again.

    ``history_floor`` is the oldest revision that this member's history knows completely; above the
    compact revision only where the history was lost once and built anew from a snapshot.
    """

    hard_state: HardState
    snapshot: SnapshotMeta
    entries: Sequence[Entry]
    machine: Machine
    history_applied: int
    history_floor: int = 0


class NodeState:
    """The shared state; one a replica."""

    def __init__(
        self, config: ReplicaConfig, raft: Raft, machine: Machine, rng: random.Random
    ) -> None:
        self.config = config
        self.raft = raft
        self.machine = machine
        self.rng = rng
        self.now = 0
        self.out: list[Effect] = []
        self.role = Role.FOLLOWER
        self.leader = 0
        self.term = 0
        self.elected_tick = -1_000_000  # when this node last saw a leader arise
        self.history_floor = 0  # see Boot
        self.unreachable_tick: dict[int, int] = {}  # peer -> when its transport last failed
        self.applied_bytes = 0  # of entries, since the start
        self.tally = Tally()
        self._tokens = 0

    def token(self) -> int:
        """A fresh number for a question to the world."""
        self._tokens += 1
        return self._tokens

    @property
    def oldest_revision(self) -> int:
        """Below this nothing old can be told here: compacted, or lost with the history."""
        return max(self.machine.compact_revision, self.history_floor)

    @property
    def leading(self) -> bool:
        """This node leads, as far as it knows."""
        return self.role is Role.LEADER

    def done(self, request_id: int, value: object) -> None:
        """Answer a request with success."""
        stamp = Stamp(self.machine.revision, self.term)
        self.out.append(Reply(request_id, Done(value, stamp)))

    def failed(self, request_id: int, condition: Condition, detail: str = "") -> None:
        """Answer a request with a failure."""
        self.out.append(Reply(request_id, Failed(condition, detail)))

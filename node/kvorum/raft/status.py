"""A member's state as one value, for the terminal, metrics and tests."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.raft.progress import ProgressStatus
from kvorum.raft.types import ConfState, Role


@dataclass(frozen=True, slots=True)
class Status:
    """What one member knows and holds. The last five fields are a leader's; elsewhere they are
    empty, except `pending_reads`, which also counts a follower's forwarded reads."""

    id: int
    role: Role
    leader: int
    term: int
    vote: int
    commit: int
    applied: int
    stable: int
    first_index: int
    last_index: int
    conf: ConfState
    election_elapsed: int
    pending_reads: int
    uncommitted_bytes: int
    transferee: int
    pending_conf_index: int
    progress: tuple[ProgressStatus, ...]

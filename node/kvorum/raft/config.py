"""The settings of one raft member, each with the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.raft.types import ENTRY_OVERHEAD_BYTES, NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of one member; ValueError at construction when they contradict one another."""

    id: int
    """This member's id, never reused by another member (rule M7)."""

    election_ticks: int = 10
    """E: silence of E to 2E-1 ticks, drawn anew each time, starts an election (thesis 3.4). etcd's
    ratio of ten heartbeats leaves room for several lost ones before a live leader is doubted."""

    heartbeat_ticks: int = 1
    """How many ticks lie between a leader's heartbeats."""

    pre_vote: bool = True
    """Ask before raising the term (thesis 9.6), so that a member that was cut off disturbs nobody
    when it comes back. etcd has it on since 3.5."""

    check_quorum: bool = True
    """A leader that has heard from no quorum for E ticks steps down, and members that hear a leader
    refuse to elect another (thesis 4.2.3, 6.2). Together with pre-vote it also keeps a leader in
    place when only some links are broken."""

    max_message_bytes: int = 1 << 20
    """Entries in one append message, about: etcd's 1 MiB. One entry always fits."""

    max_inflight_messages: int = 512
    """Unanswered append messages to one member: etcd's 512. Times the size of a message this bounds
    what a member that stops answering can have on the road."""

    max_uncommitted_bytes: int = 64 << 20
    """Payload a leader takes in beyond what it has applied. A leader cut off from its quorum would
    otherwise fill its memory until check-quorum ends it; 64 MiB is some 40 of the greatest
    requests etcd accepts."""

    max_committed_bytes: int = 1 << 20
    """Committed entries in one Ready, about: one page must be applied without missing a tick."""

    max_pending_reads: int = 4096
    """Reads waiting for their read point at one member. They share rounds, so a full queue means
    that no quorum answers; refusing is better than waiting then."""

    promote_percent: int = 90
    """How much of the leader's own durable log a learner must hold before it may become a voter:
    etcd's 90 %. One that is far behind would count in the quorum and hold up every write (4.2.1).
    """

    def __post_init__(self) -> None:
        if self.id <= NOBODY:
            raise ValueError(f"id must be a member id above 0, not {self.id}")
        if self.heartbeat_ticks < 1:
            raise ValueError(f"heartbeat_ticks must be at least 1, not {self.heartbeat_ticks}")
        if self.election_ticks <= self.heartbeat_ticks:
            raise ValueError(
                f"election_ticks ({self.election_ticks}) must be greater than heartbeat_ticks "
                f"({self.heartbeat_ticks})"
            )
        for name in (
            "max_message_bytes",
            "max_inflight_messages",
            "max_uncommitted_bytes",
            "max_committed_bytes",
            "max_pending_reads",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.promote_percent <= 100:
            raise ValueError(f"promote_percent must be from 0 to 100, not {self.promote_percent}")
        if self.max_message_bytes < ENTRY_OVERHEAD_BYTES:
            raise ValueError(f"max_message_bytes must be at least {ENTRY_OVERHEAD_BYTES}")

"""Mistakes in replication: entries that are committed and then are not, or come twice."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from kvorum.raft.core import Raft
from kvorum.raft.follower import Follower
from kvorum.raft.leader import Leader
from kvorum.raft.log import Log
from kvorum.raft.messages import AppendRequest, AppendResponse, Heartbeat, SnapshotOffer
from kvorum.raft.quorum import quorum_value
from kvorum.raft.types import Entry, ProposalDropped
from kvorum.replica.inputs import SnapshotReceived
from kvorum.replica.proposals import Proposals
from kvorum.replica.snapshots import Snapshots

Patch = pytest.MonkeyPatch


def leader_counts_what_it_has_not_written(patch: Patch) -> None:
    """The leader counts itself before its own disk is done."""
    original = Leader._match_of

    def match_of(leader: Leader, member: int) -> int:
        raft = leader.raft
        return raft.log.last_index if member == raft.id else original(leader, member)

    patch.setattr(Leader, "_match_of", match_of)
    persisted = Raft.ready

    def ready(raft: Raft) -> Any:
        if isinstance(raft.state, Leader):
            raft.state._advance_commit()
        return persisted(raft)

    patch.setattr(Raft, "ready", ready)


def acknowledged_before_it_is_written(patch: Patch) -> None:
    """A follower acknowledges entries on their arrival."""

    def acknowledge(raft: Raft, leader: int, index: int) -> None:
        raft.out.at_once.append(AppendResponse(leader, raft.id, raft.term, index))

    patch.setattr(Raft, "acknowledge", acknowledge)


def conflicting_tail_kept(patch: Patch) -> None:
    """Entries that contradict the leader's stay where they are."""

    def merge(log: Log, prev_index: int, entries: tuple[Entry, ...]) -> int:
        new = tuple(entry for entry in entries if entry.index > log.last_index)
        if new:
            log._entries.extend(new)
            log.last_index, log.last_term = new[-1][:2]
        return 0

    patch.setattr(Log, "merge", merge)


def previous_entry_not_compared(patch: Patch) -> None:
    """Entries are taken wherever the log is long enough."""
    original = Follower.on_append

    def on_append(follower: Follower, request: AppendRequest) -> None:
        term = follower.raft.log.term_at(request.prev_index)
        original(follower, request if term is None else request._replace(prev_term=term))

    patch.setitem(Follower.handlers, AppendRequest, on_append)  # type: ignore[arg-type]  # a dict


def heartbeats_tell_the_whole_commit(patch: Patch) -> None:
    """Heartbeats do not hold the commit index back to what the member is known to have."""

    def on_heartbeat(follower: Follower, beat: Heartbeat) -> None:
        leader = NODES_BY_TERM.get(beat.term)
        commit = beat.commit if leader is None else leader.log.commit
        commit = min(commit, follower.raft.log.last_index)
        original(follower, beat._replace(commit=max(beat.commit, commit)))

    NODES_BY_TERM: dict[int, Raft] = {}
    original = Follower.on_heartbeat
    broadcast = Leader._broadcast_heartbeat

    def remember(leader: Leader) -> None:
        NODES_BY_TERM[leader.raft.term] = leader.raft
        broadcast(leader)

    patch.setattr(Leader, "_broadcast_heartbeat", remember)
    patch.setitem(Follower.handlers, Heartbeat, on_heartbeat)  # type: ignore[arg-type]  # a dict


def retry_of_forwarded_writes(patch: Patch) -> None:
    """What entered raft is proposed again at every change of leader."""
    original = Proposals.retry_parked

    def retry(proposals: Proposals) -> None:
        for data in list(proposals._own):
            with contextlib.suppress(ProposalDropped):
                proposals._state.raft.propose(data)
        original(proposals)

    patch.setattr(Proposals, "retry_parked", retry)


def older_term_committed_by_count(patch: Patch) -> None:
    """An entry of an earlier term counts as committed once a majority has it."""

    def advance(leader: Leader) -> None:
        raft = leader.raft
        raft.commit_to(min(quorum_value(raft.conf, leader._match_of), raft.log.last_index))
        leader._dirty = True

    patch.setattr(Leader, "_advance_commit", advance)


def commit_past_the_message(patch: Patch) -> None:
    """A follower takes the leader's commit index for entries that the message did not check."""
    original = Follower.on_append

    def on_append(follower: Follower, request: AppendRequest) -> None:
        original(follower, request)
        log = follower.raft.log
        if log.term_at(request.prev_index) == request.prev_term:
            follower.raft.commit_to(min(request.commit, log.last_index))

    patch.setitem(Follower.handlers, AppendRequest, on_append)  # type: ignore[arg-type]  # a dict


def commit_beyond_match(patch: Patch) -> None:
    """Heartbeats tell every member the leader's commit index, whatever it is known to have."""
    original = Leader._broadcast_heartbeat

    def broadcast(leader: Leader) -> None:
        sent = len(leader.raft.out.at_once)
        original(leader)
        out = leader.raft.out.at_once
        out[sent:] = [
            m._replace(commit=leader.raft.log.commit) if isinstance(m, Heartbeat) else m
            for m in out[sent:]
        ]

    patch.setattr(Leader, "_broadcast_heartbeat", broadcast)


def any_snapshot_taken(patch: Patch) -> None:
    """A snapshot takes the log's place even where the log is further on."""

    def on_snapshot(follower: Follower, offer: SnapshotOffer) -> None:
        follower._heard_from(offer.sender)
        follower.raft.restore(offer.meta)
        follower.raft.acknowledge(offer.sender, follower.raft.log.commit)

    patch.setitem(Follower.handlers, SnapshotOffer, on_snapshot)  # type: ignore[arg-type]  # a dict


def second_snapshot_takes_the_firsts_files(patch: Patch) -> None:
    """Of snapshots that arrive close together only the last is kept, whichever is installed."""
    original = Snapshots.received

    def received(snapshots: Snapshots, arrival: SnapshotReceived) -> None:
        snapshots._staged.clear()
        original(snapshots, arrival)

    patch.setattr(Snapshots, "received", received)


def report_of_overwritten_entries_counts(patch: Patch) -> None:
    """That old entries are on the disk counts for the new ones in their places."""

    def truncate(log: Log, index: int) -> None:
        del log._entries[index - log.base_index - 1 :]
        log.last_index = index - 1
        log.stable = min(log.stable, log.last_index)
        log.handed = min(log.handed, log.last_index)

    patch.setattr(Log, "_truncate", truncate)

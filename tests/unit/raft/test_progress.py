"""A leader's view of one member, state by state."""

from __future__ import annotations

import random

import pytest
from kvorum.raft.progress import Progress, ProgressState

PROBE, REPLICATE, SNAPSHOT = ProgressState


def streaming(match: int = 5, window: int = 2) -> Progress:
    progress = Progress(match + 1, window)
    progress.accepted(match, 1)
    assert progress.state is REPLICATE
    return progress


def test_L10_a_probe_is_one_message_until_an_answer_or_a_heartbeat_reply() -> None:
    progress = Progress(4, 8)
    assert progress.wants_append(9, 0)
    progress.sent(3, 1, 0)
    assert not progress.wants_append(9, 0)
    assert progress.is_paused()
    progress.heartbeat_answered(9)
    assert progress.wants_append(9, 0)


def test_L10_streaming_sends_ahead_up_to_the_window() -> None:
    progress = streaming()
    progress.sent(5, 2, 0)
    progress.sent(7, 1, 0)
    assert (progress.next, progress.is_paused()) == (9, True)
    assert not progress.wants_append(99, 99)
    progress.accepted(6, 1)
    assert progress.is_paused()
    progress.accepted(7, 1)
    assert progress.wants_append(9, 0)
    progress.accepted(8, 1)
    assert (progress.match, len(progress.inflight)) == (8, 0)


def test_L7_match_never_falls_and_next_stays_above_it() -> None:
    rng = random.Random(5)
    for _ in range(300):
        progress = Progress(rng.randrange(1, 20), rng.randrange(1, 4))
        for _ in range(60):
            match = progress.match
            act = rng.randrange(7)
            if act == 0:
                progress.accepted(rng.randrange(1, 25), rng.randrange(1, 25))
            elif act == 1:
                progress.rejected(rng.randrange(1, 25), rng.randrange(25))
            elif act == 2 and progress.wants_append(25, 10):
                progress.sent(progress.next - 1, rng.randrange(0, 3), 10)
            elif act == 3:
                progress.heartbeat_answered(25)
            elif act == 4:
                progress.unreachable()
            elif act == 5:
                progress.become_snapshot(rng.randrange(1, 25))
            else:
                progress.snapshot_reported(rng.random() < 0.5)
            assert progress.match >= match
            assert progress.next > progress.match
            assert len(progress.inflight) <= progress.window
            assert progress.state is REPLICATE or not progress.inflight


def test_L7_only_the_outstanding_probe_can_be_refused() -> None:
    progress = Progress(8, 8)
    assert not progress.rejected(5, 3)
    assert progress.rejected(7, 3)
    assert progress.next == 4
    assert not progress.rejected(7, 1)
    assert progress.rejected(3, 9)
    assert progress.next == 3


def test_L7_a_refusal_at_or_below_match_is_stale_while_streaming() -> None:
    progress = streaming(match=5)
    assert not progress.rejected(5, 0)
    assert progress.state is REPLICATE
    assert progress.rejected(6, 0)
    assert (progress.state, progress.next) == (PROBE, 6)


def test_L11_an_answer_at_match_ends_the_probing() -> None:
    progress = streaming(match=5)
    progress.unreachable()
    assert progress.state is PROBE
    assert not progress.accepted(5, 1)
    assert progress.state is REPLICATE
    progress.unreachable()
    assert not progress.accepted(4, 1)
    assert progress.state is PROBE


def test_L12_commit_is_carried_once_and_only_as_far_as_the_member_can_follow() -> None:
    progress = streaming(match=5)
    assert progress.wants_append(5, 5)
    progress.sent(5, 0, 5)
    assert not progress.wants_append(5, 5)
    assert not progress.wants_append(5, 9)


def test_L12_a_member_that_lacks_something_gets_one_append_a_heartbeat_reply() -> None:
    progress = streaming(match=5)
    progress.sent(5, 1, 0)
    progress.heartbeat_answered(6)
    assert progress.wants_append(6, 0)
    progress.sent(6, 0, 0)
    assert not progress.wants_append(6, 0)
    progress.accepted(6, 1)
    progress.heartbeat_answered(6)
    assert not progress.wants_append(6, 0)


def test_L10_a_full_window_loses_its_oldest_to_a_heartbeat_reply() -> None:
    progress = streaming(match=5)
    progress.sent(5, 1, 0)
    progress.sent(6, 1, 0)
    progress.heartbeat_answered(9)
    assert list(progress.inflight) == [7]


@pytest.mark.parametrize(("ok", "next_index"), [(True, 10), (False, 4)])
def test_S4_a_reported_snapshot_is_probed_after_the_next_heartbeat_reply(
    ok: bool, next_index: int
) -> None:
    progress = streaming(match=3)
    progress.become_snapshot(9)
    assert progress.is_paused() and not progress.wants_append(99, 99)
    progress.heartbeat_answered(99)
    assert not progress.wants_append(99, 99)
    progress.snapshot_reported(ok)
    assert (progress.state, progress.next) == (PROBE, next_index)
    assert not progress.wants_append(99, 99)
    progress.heartbeat_answered(99)
    assert progress.wants_append(99, 99)


def test_S4_an_answer_from_where_the_log_reaches_resumes_streaming() -> None:
    progress = streaming(match=3)
    progress.become_snapshot(9)
    progress.accepted(5, 8)
    assert progress.state is SNAPSHOT
    progress.accepted(7, 8)
    assert (progress.state, progress.next) == (REPLICATE, 8)


def test_reports_in_other_states_change_nothing() -> None:
    progress = streaming(match=3)
    progress.snapshot_reported(ok=False)
    assert progress.state is REPLICATE
    progress.become_snapshot(9)
    progress.unreachable()
    assert progress.state is SNAPSHOT


def test_a_member_that_cannot_start_from_entries_needs_a_snapshot() -> None:
    progress = Progress(4, 8)
    assert progress.cannot_start()
    assert progress.needs_snapshot and progress.wants_append(9, 0)
    progress.become_snapshot(9)
    assert not progress.needs_snapshot
    assert not progress.cannot_start()
    progress.accepted(9, 5)
    assert not progress.cannot_start()

"""Mistakes of disks and of raft: where each comes from, and who must find it."""

from __future__ import annotations

from kvorum.sim.plan import Mix
from sim.schedules import elections as elections_by_hand

from support.planted import disks, elections, replication
from support.planted.finders import Focused, Kept, Named, Schedule, Text, Watched
from support.planted.mistakes import DELETES, DIFFER, GONE, MISSED, READS, UNBOOTABLE, mistake

DISKS = (
    mistake(
        disks.reply_before_fsync,
        "etcd#14370; thesis 3.8",
        Focused(3, "all_down crash", READS, GONE),
        by_chance=True,
    ),
    mistake(
        disks.vote_not_persisted,
        "thesis 3.8",
        Schedule(elections_by_hand.contest, "election safety: 2 and 3 both lead"),
    ),
    mistake(
        disks.term_and_vote_not_persisted,
        "thesis 3.8",
        Schedule(elections_by_hand.contest, "election safety: 2 and 3 both lead"),
    ),
    mistake(
        disks.fsync_error_swallowed,
        "ATC'20, fsync failures",
        Named("unit.storage.test_wal", "test_a_failed_sync_is_the_end_of_the_log", "DID NOT RAISE"),
        Focused(0, "sync_error all_down", READS, f"{GONE}|{UNBOOTABLE}"),
        by_chance=True,
    ),
    mistake(
        disks.failed_sync_tried_again,
        "fsyncgate; ATC'20",
        Named(
            "unit.storage.test_wal",
            "test_a_failed_sync_is_the_end_of_the_log",
            "OSError.*simulated sync error",
        ),
    ),
    mistake(
        disks.segment_name_not_synced,
        "etcd#14098, #14143 under LazyFS",
        Named(
            "unit.storage.test_wal",
            "test_every_failing_disk_call_kills_or_leaves_a_readable_log",
            "segment 2 is missing",
        ),
        Focused(1, "crash all_down", Mix(), UNBOOTABLE),
        by_chance=True,
    ),
    mistake(
        disks.corrupt_tail_cut,
        "FAST'18, protocol-aware recovery",
        Named(
            "unit.storage.test_wal",
            "test_a_corrupt_log_can_be_set_aside_and_a_new_one_started",
            "DID NOT RAISE WalCorrupt",
        ),
        Focused(0, "flip_log crash", READS, "started from a log with a flipped bit"),
        by_chance=True,
    ),
    mistake(
        disks.log_begun_anew_when_it_is_lost,
        "FAST'18; the verdict 'lost'",
        Named(
            "unit.storage.test_wal",
            "test_strangers_and_empty_directories_are_refused",
            "DID NOT RAISE WalLost",
        ),
    ),
    mistake(
        disks.snapshot_file_not_synced,
        "etcd#14143 under LazyFS",
        Named(
            "unit.storage.test_snapshot_file",
            "test_a_snapshot_comes_back_in_pieces",
            "found == saved",
        ),
        Focused(0, "crash", Mix(), "sets a snapshot aside.*, although", snapshot_count=20),
        by_chance=True,
    ),
    mistake(
        disks.rows_and_applied_index_apart,
        "etcd#13766",
        Focused(1, "crash", DELETES, MISSED, nodes=1, snapshot_count=20),
    ),
    mistake(
        disks.index_in_a_transaction_of_its_own,
        "etcd#13766",
        Named(
            "unit.history.test_writer",
            "test_stopping_at_any_point_leaves_index_and_rows_agreed",
            "found.applied_index == applied",
        ),
    ),
    mistake(
        disks.rows_again_after_a_restart,
        "etcd#13766's kin",
        Focused(0, "crash", Mix(), "must not be appended twice"),
        by_chance=True,
    ),
)

ELECTIONS = (
    mistake(
        elections.old_log_wins,
        "thesis 3.6.1",
        Text("raft/E4_election_restriction", r"\+ n1: leader term=4"),
        Focused(3, "contest crash cut", READS, DIFFER),
        by_chance=True,
    ),
    mistake(
        elections.shorter_log_wins,
        "thesis 3.6.1",
        Text("raft/figure7_follower_logs_diverge", r"\+ n4: vote to=1 granted=yes"),
        Focused(3, "contest crash cut", READS, DIFFER),
        by_chance=True,
    ),
    mistake(
        elections.votes_for_everybody,
        "thesis 3.4",
        Text("raft/E4_one_vote_a_term", r"\+ n3: vote to=2 granted=yes"),
        Focused(0, "contest", READS, "election safety", nodes=5),
        by_chance=True,
    ),
    mistake(
        elections.minority_is_enough,
        "thesis 3.6.2",
        Text("raft/minority_leader_cannot_commit", r"\+ n\d: commit to="),
        Focused(0, "cut crash pause", READS, DIFFER),
        by_chance=True,
    ),
    mistake(
        elections.learners_count,
        "thesis 4.2.1",
        Text("raft/M8_learner_receives_and_does_not_count", r"\+ n1: commit to=2"),
    ),
    mistake(
        elections.answered_in_a_term_that_is_not_durable,
        "thesis 3.8",
        Named(
            "unit.raft.test_core",
            "test_E1_nothing_is_said_in_a_term_that_is_not_durable",
            "not ready.messages",
        ),
    ),
    mistake(
        elections.no_pre_vote,
        "thesis 9.6; Cloudflare 2020",
        Schedule(elections_by_hand.return_of_a_lonely_member, "its return ended a leadership"),
    ),
    mistake(
        elections.leader_stays_without_a_quorum,
        "thesis 6.2; Cloudflare 2020",
        Text("raft/E13_leader_without_quorum_steps_down", r"- .*quorum-lost"),
    ),
    mistake(
        elections.live_leader_not_protected,
        "thesis 4.2.3; Cloudflare 2020; Howard and Abraham",
        Text("raft/leader_cut_from_one_of_three_keeps_leading", r"\+ n1: refused, no_leader"),
        Text("raft/E7_live_leader_is_protected", r"\+ n2: vote to=3 granted=yes"),
    ),
    mistake(
        elections.two_changes_in_flight,
        "thesis 4.1",
        Text("raft/M1_one_change_at_a_time", r"\+ n1: append last=4"),
    ),
    mistake(
        elections.change_before_an_own_commit,
        "Ongaro 2015, single-server changes",
        Text("raft/M3_no_change_before_an_own_entry_is_committed", r"- n2: refused, own_term"),
    ),
    mistake(
        elections.campaign_over_an_unapplied_change,
        "etcd-io/raft, hup",
        Text("raft/E8_unapplied_change_holds_a_campaign_back", r"- n2: election result=held-back"),
    ),
    mistake(
        elections.candidates_tell_no_commit,
        "raft-rs, maybe_commit_by_vote",
        Text(
            "raft/M5_candidate_tells_who_refuses_it_what_is_committed",
            r"- n2: role was=candidate now=leader term=2",
        ),
    ),
    mistake(
        elections.learner_promoted_far_behind,
        "thesis 4.2.1",
        Text("raft/M8_learner_behind_is_not_promoted", r"- n1: refused, learner_not_ready"),
    ),
    mistake(
        elections.removed_members_note_it_at_once,
        "thesis 4.1, 4.2.2",
        Kept("removed-and-noted-too-early.json", r"no convergence"),
    ),
    mistake(
        elections.removed_leader_leaves_at_once,
        "thesis 4.2.2",
        Text("raft/M5_removed_leader_does_not_strand_the_last_voter", r"\+ n1: follower"),
    ),
)

REPLICATION = (
    mistake(
        replication.leader_counts_what_it_has_not_written,
        "etcd#14370; thesis 10.2.1",
        Text("raft/E14_single_voter_waits_for_its_disk", r"\+ n1 log: .* \(commit 2, stable 1\)"),
        Focused(12, "all_down crash slow_disk cut", READS, GONE),
    ),
    mistake(
        replication.acknowledged_before_it_is_written,
        "thesis 3.8",
        Text("raft/S2_entries_behind_a_snapshot_wait_for_it", r"\+ n2 -> n1 AppendResponse"),
        Focused(1, "crash all_down slow_disk", READS, GONE),
        by_chance=True,
    ),
    mistake(
        replication.conflicting_tail_kept,
        "thesis 3.5",
        Text("raft/L2_longer_divergent_tail_goes", r"- n2: truncate at=3"),
        Focused(0, "cut pause contest", READS, DIFFER),
        by_chance=True,
    ),
    mistake(
        replication.previous_entry_not_compared,
        "thesis 3.5",
        Text("raft/figure7_follower_logs_diverge", r"- .*n7.* reject hint"),
        Focused(3, "cut pause contest", READS, DIFFER),
    ),
    mistake(
        replication.older_term_committed_by_count,
        "thesis 3.6.2, figure 8 of the paper",
        Text(
            "raft/L5_figure8_older_term_is_not_committed_by_counting",
            r"\+ n1: commit to=2",
        ),
        Watched("raft/L5_figure8_from_empty_disks", "leads term 4 without committed"),
    ),
    mistake(
        replication.heartbeats_tell_the_whole_commit,
        "thesis 3.5",
        Text("raft/old_leader_returns_and_its_tail_is_replaced", r"\+ n1: apply 2/1:lost-1"),
        Focused(4, "cut pause contest", READS, DIFFER),
        by_chance=True,
    ),
    mistake(
        replication.commit_beyond_match,
        "thesis 3.5; etcd raft, bcastHeartbeat",
        Text("raft/L4_heartbeat_commit_is_held_back", r"\+ n1 -> n3 Heartbeat t1 commit=3"),
        Focused(0, "cut pause", READS, GONE),
        by_chance=True,
    ),
    mistake(
        replication.commit_past_the_message,
        "thesis 3.5, AppendEntries step 5",
        Text("raft/L3_commit_stops_at_the_end_of_the_message", r"\+ n2: commit to=4"),
    ),
    mistake(
        replication.any_snapshot_taken,
        "thesis 5",
        Text("raft/S1_old_snapshot_is_ignored", r"\+ n2: snapshot accepted=2"),
    ),
    mistake(
        replication.second_snapshot_takes_the_firsts_files,
        "etcd#18055",
        Named(
            "unit.replica.test_replica",
            "test_snapshots_that_arrive_in_one_turn",
            "StopIteration",
            case=2,
        ),
    ),
    mistake(
        replication.report_of_overwritten_entries_counts,
        "etcd-io/raft, asynchronous storage writes",
        Text(
            "raft/L9_report_for_overwritten_entries_counts_for_nothing",
            r"\+ n2 log: .* \(commit 3, stable 3\)",
        ),
    ),
    mistake(
        replication.retry_of_forwarded_writes,
        "jetcd 0.8.2 (Jepsen)",
        Focused(0, "transfer pause", DELETES, "unexplained|lost_write|double"),
        by_chance=True,
    ),
)

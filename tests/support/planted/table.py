"""Where each planted mistake comes from, and who must find it.

``rows`` is this as a table of words. A mistake with several finders must be found by each of them:
usually by something small that names the rule, and by the simulation, which knows no rule by name.

Long because it is a table, and reads as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvorum.sim.plan import Mix
from sim.schedules import elections as elections_by_hand
from sim.schedules import reads as reads_by_hand
from sim.schedules import twins

from support.planted import (
    clients,
    disks,
    elections,
    leases,
    reads,
    replication,
    state,
    watches,
)
from support.planted.finders import (
    Finder,
    Focused,
    Kept,
    Named,
    Plant,
    Schedule,
    Seeds,
    Text,
    Watched,
)

_READS = Mix(put=50, delete=0, txn=0, read=50, lease=0, transfer=0, compact=0)
_DELETES = Mix(put=40, delete=40, txn=0, read=5, lease=0, transfer=0, compact=0)
_LEASES = Mix(put=20, delete=0, txn=0, read=5, lease=40, transfer=0, compact=0)
_COMPACTS = replace(_DELETES, compact=10, kept_revisions=60)

_GONE = r"entries that were acknowledged are gone|leader completeness|lost_write"
_DIFFER = r"digests differ|differ at|leader completeness|log matching|is committed|a watcher saw"
_UNBOOTABLE = r"cannot start although nothing harmed its disks"
_MISSED = r"a watcher saw|a watcher is behind|twice"
_STALE = r"stale_read"


@dataclass(frozen=True)
class Mistake:
    """One of them: the patch that makes it, whose it was first, and what finds it."""

    plant: Plant
    source: str
    found_by: tuple[Finder, ...]

    @property
    def name(self) -> str:
        """Of the patch."""
        return self.plant.__name__

    @property
    def words(self) -> str:
        """What is wrong with it on."""
        return " ".join((self.plant.__doc__ or "").split("\n\n", 1)[0].split())


def _mistake(plant: Plant, source: str, *found_by: Finder) -> Mistake:
    return Mistake(plant, source, found_by)


_DISKS = (
    _mistake(disks.reply_before_fsync, "etcd#14370; thesis 3.8", Seeds(0, _GONE)),
    _mistake(
        disks.vote_not_persisted,
        "thesis 3.8",
        Schedule(elections_by_hand.contest, "election safety: 2 and 3 both lead"),
    ),
    _mistake(
        disks.term_and_vote_not_persisted,
        "thesis 3.8",
        Schedule(elections_by_hand.contest, "election safety: 2 and 3 both lead"),
    ),
    _mistake(
        disks.fsync_error_swallowed,
        "ATC'20, fsync failures",
        Named("unit.storage.test_wal", "test_a_failed_sync_is_the_end_of_the_log", "DID NOT RAISE"),
        Seeds(1, _GONE),
    ),
    _mistake(
        disks.failed_sync_tried_again,
        "fsyncgate; ATC'20",
        Named(
            "unit.storage.test_wal",
            "test_a_failed_sync_is_the_end_of_the_log",
            "OSError.*simulated sync error",
        ),
    ),
    _mistake(
        disks.segment_name_not_synced,
        "etcd#14098, #14143 under LazyFS",
        Named(
            "unit.storage.test_wal",
            "test_every_failing_disk_call_kills_or_leaves_a_readable_log",
            "segment 2 is missing",
        ),
        Seeds(0, _UNBOOTABLE),
    ),
    _mistake(
        disks.corrupt_tail_cut,
        "FAST'18, protocol-aware recovery",
        Named(
            "unit.storage.test_wal",
            "test_a_corrupt_log_can_be_set_aside_and_a_new_one_started",
            "DID NOT RAISE WalCorrupt",
        ),
        Seeds(7, "started from a log with a flipped bit"),
    ),
    _mistake(
        disks.log_begun_anew_when_it_is_lost,
        "FAST'18; the verdict 'lost'",
        Named(
            "unit.storage.test_wal",
            "test_strangers_and_empty_directories_are_refused",
            "DID NOT RAISE WalLost",
        ),
    ),
    _mistake(
        disks.snapshot_file_not_synced,
        "etcd#14143; etcd#20271's kin",
        Named(
            "unit.storage.test_snapshot_file",
            "test_a_snapshot_comes_back_in_pieces",
            "found == saved",
        ),
        Seeds(0, _UNBOOTABLE),
    ),
    _mistake(
        disks.rows_and_applied_index_apart,
        "etcd#13766",
        Focused(1, "crash", _DELETES, _MISSED, nodes=1, snapshot_count=20),
    ),
    _mistake(
        disks.index_in_a_transaction_of_its_own,
        "etcd#13766",
        Named(
            "unit.history.test_writer",
            "test_stopping_at_any_point_leaves_index_and_rows_agreed",
            "found.applied_index == applied",
        ),
    ),
    _mistake(
        disks.rows_again_after_a_restart,
        "etcd#13766's kin",
        Seeds(0, "must not be appended twice"),
    ),
)

_ELECTIONS = (
    _mistake(
        elections.old_log_wins,
        "thesis 3.6.1",
        Text("raft/E4_election_restriction", r"\+ n1: leader term=4"),
        Seeds(3, "leader completeness|is committed"),
    ),
    _mistake(
        elections.shorter_log_wins,
        "thesis 3.6.1",
        Text("raft/figure7_follower_logs_diverge", r"\+ n4: vote to=1 granted=yes"),
        Seeds(3, "leader completeness|is committed"),
    ),
    _mistake(
        elections.votes_for_everybody,
        "thesis 3.4",
        Text("raft/E4_one_vote_a_term", r"\+ n3: vote to=2 granted=yes"),
        Seeds(4, "election safety"),
    ),
    _mistake(
        elections.minority_is_enough,
        "thesis 3.6.2",
        Text("raft/minority_leader_cannot_commit", r"\+ n\d: commit to="),
        Seeds(3, _DIFFER),
    ),
    _mistake(
        elections.learners_count,
        "thesis 4.2.1",
        Text("raft/M8_learner_receives_and_does_not_count", r"\+ n1: commit to=2"),
    ),
    _mistake(
        elections.answered_in_a_term_that_is_not_durable,
        "thesis 3.8",
        Named(
            "unit.raft.test_core",
            "test_E1_nothing_is_said_in_a_term_that_is_not_durable",
            "not ready.messages",
        ),
    ),
    _mistake(
        elections.no_pre_vote,
        "thesis 9.6; Cloudflare 2020",
        Schedule(elections_by_hand.return_of_a_lonely_member, "its return ended a leadership"),
    ),
    _mistake(
        elections.leader_stays_without_a_quorum,
        "thesis 6.2; Cloudflare 2020",
        Text("raft/E13_leader_without_quorum_steps_down", r"- .*quorum-lost"),
    ),
    _mistake(
        elections.two_changes_in_flight,
        "thesis 4.1",
        Text("raft/M1_one_change_at_a_time", r"\+ n1: append last=4"),
    ),
    _mistake(
        elections.change_before_an_own_commit,
        "Ongaro 2015, single-server changes",
        Text("raft/M3_no_change_before_an_own_entry_is_committed", r"- n2: refused, own_term"),
    ),
    _mistake(
        elections.learner_promoted_far_behind,
        "thesis 4.2.1",
        Text("raft/M8_learner_behind_is_not_promoted", r"- n1: refused, learner_not_ready"),
    ),
    _mistake(
        elections.removed_leader_leaves_at_once,
        "thesis 4.2.2",
        Text("raft/M5_removed_leader_does_not_strand_the_last_voter", r"\+ n1: follower"),
    ),
)

_REPLICATION = (
    _mistake(
        replication.leader_counts_what_it_has_not_written,
        "etcd#14370; thesis 10.2.1",
        Text("raft/E14_single_voter_waits_for_its_disk", r"\+ n1 log: .* \(commit 2, stable 1\)"),
        Focused(12, "all_down crash slow_disk cut", _READS, _GONE),
    ),
    _mistake(
        replication.acknowledged_before_it_is_written,
        "thesis 3.8",
        Text("raft/S2_entries_behind_a_snapshot_wait_for_it", r"\+ n2 -> n1 AppendResponse"),
        Seeds(0, _GONE),
    ),
    _mistake(
        replication.conflicting_tail_kept,
        "thesis 3.5",
        Text("raft/L2_longer_divergent_tail_goes", r"- n2: truncate at=3"),
        Seeds(0, _DIFFER),
    ),
    _mistake(
        replication.previous_entry_not_compared,
        "thesis 3.5",
        Text("raft/figure7_follower_logs_diverge", r"- .*n7.* reject hint"),
        Seeds(2, _DIFFER),
    ),
    _mistake(
        replication.older_term_committed_by_count,
        "thesis 3.6.2, figure 8 of the paper",
        Text(
            "raft/L5_figure8_older_term_is_not_committed_by_counting",
            r"\+ n1: commit to=2",
        ),
        Watched("raft/L5_figure8_from_empty_disks", "leads term 4 without committed"),
    ),
    _mistake(
        replication.heartbeats_tell_the_whole_commit,
        "thesis 3.5",
        Text("raft/old_leader_returns_and_its_tail_is_replaced", r"\+ n1: apply 2/1:lost-1"),
        Seeds(3, _DIFFER),
    ),
    _mistake(
        replication.commit_beyond_match,
        "thesis 3.5; etcd raft, bcastHeartbeat",
        Text("raft/L4_heartbeat_commit_is_held_back", r"\+ n1 -> n3 Heartbeat t1 commit=3"),
        Seeds(0, "entries that were acknowledged are gone"),
    ),
    _mistake(
        replication.commit_past_the_message,
        "thesis 3.5, AppendEntries step 5",
        Text("raft/L3_commit_stops_at_the_end_of_the_message", r"\+ n2: commit to=4"),
    ),
    _mistake(
        replication.any_snapshot_taken,
        "thesis 5",
        Text("raft/S1_old_snapshot_is_ignored", r"\+ n2: snapshot accepted=2"),
    ),
    _mistake(
        replication.second_snapshot_takes_the_firsts_files,
        "etcd#18055",
        Named(
            "unit.replica.test_replica",
            "test_snapshots_that_arrive_in_one_turn",
            "StopIteration",
            case=2,
        ),
    ),
    _mistake(
        replication.report_of_overwritten_entries_counts,
        "etcd-io/raft, asynchronous storage writes",
        Text(
            "raft/L9_report_for_overwritten_entries_counts_for_nothing",
            r"\+ n2 log: .* \(commit 3, stable 3\)",
        ),
    ),
    _mistake(
        replication.retry_of_forwarded_writes,
        "jetcd 0.8.2 (Jepsen)",
        Seeds(0, "unexplained|lost_write|double"),
    ),
)

_READ = (
    _mistake(
        reads.reads_without_a_round,
        "thesis 6.4",
        Text("read/leader_without_a_quorum_answers_nothing", r"\+ n1 #2: \[a=1"),
        Seeds(0, _STALE),
    ),
    _mistake(
        reads.reads_before_the_first_commit,
        "etcd#7331; thesis 6.4",
        Text("raft/R1_no_read_before_an_own_entry_is_committed", r"\+ n1: read round=1 index=0"),
        Focused(14, "transfer crash", _READS, _STALE, nodes=5),
    ),
    _mistake(
        reads.reads_do_not_wait_to_apply,
        "thesis 6.4",
        Text("read/read_waits_for_the_state", r"\+ n3 #3: \[a=1"),
        Seeds(0, _STALE),
    ),
    _mistake(
        reads.reads_confirmed_by_the_leader_alone,
        "etcd#20418; thesis 6.4",
        Text("raft/R3_paused_leader_grants_no_read", r"\+ n1: read 7 at 1"),
        Focused(0, "slow cut", _READS, _STALE),
    ),
    _mistake(
        reads.rounds_outlive_their_leader,
        "etcd#20418",
        Text(
            "raft/R3_answers_to_an_older_leadership_confirm_nothing",
            r"\+ n1: read 9 at 3",
        ),
    ),
    _mistake(
        reads.read_numbers_used_again,
        "etcd#20418, #7331: an id of its own for each round",
        Schedule(reads_by_hand.late_answer_to_a_former_life, "stale read"),
    ),
    _mistake(
        reads.leases_renewed_without_a_round,
        "etcd#15247, #12528",
        Text("read/isolated_leader_renews_no_lease", r"\+ n1 #2: lease 7 has 3 of 3 s"),
    ),
)

_LEASE = (
    _mistake(
        leases.leases_start_empty,
        "etcd's lessor, Promote",
        Text("lease/five_changes_of_leader", r"\+ n1 #7: lease 7 is gone"),
        Seeds(0, "lease_early|lease .* ended at"),
    ),
    _mistake(
        leases.leases_forgotten_at_promotion,
        "etcd's lessor, Promote",
        Text("lease/five_changes_of_leader", r"- n1 #9: lease 7 is gone"),
        Seeds(0, "leases outlive their time"),
    ),
    _mistake(
        leases.leases_lose_part_of_a_tick,
        "seed 144 of our own simulation",
        Text("lease/keys_of_a_lagging_follower", r"\+ .*lease 7 has 9 of 10 s"),
        Kept("lease-lost-part-of-a-tick.json", "lease_early|lease .* ended at"),
    ),
    _mistake(
        leases.nothing_recorded_after_a_promotion,
        "etcd#13491, #17132",
        Text("lease/checkpoints_go_on_under_the_next_leader", r"\+ n1 #8: lease 7 has 18 of 20 s"),
    ),
    _mistake(
        leases.record_outlives_a_renewal,
        "etcd#13491's kin",
        Text("lease/renewal_takes_a_checkpoint_back", r"\+ n2 #5: lease 7 is gone"),
    ),
    _mistake(
        leases.expiry_of_an_older_term,
        "etcd#15247",
        Text("lease/stalled_ex_leader_ends_nothing", r"\+ stream 1: events .* DELETE a"),
        Focused(0, "pause transfer cut", _LEASES, "lease_early|lease .* ended at|lost_write"),
    ),
    _mistake(
        leases.leased_keys_die_one_by_one,
        "etcd's lease guarantees",
        Text("lease/expiry_deletes_in_one_revision", r"\+ stream 1: .* 6 DELETE c"),
        Seeds(0, r"a watcher saw|lost_write|unexplained"),
    ),
    _mistake(
        leases.snapshot_without_leases,
        "reliability goals, section 7",
        Text("machine/machine/image_round_trip", r"hangs on lease 1, which does not exist"),
        Seeds(0, _UNBOOTABLE),
    ),
)

_WATCH = (
    _mistake(
        watches.watch_resumes_one_late,
        "etcd's watch guarantees, resumable",
        Text("watch/from_an_old_revision", r"- stream 1: events .* 6 PUT a=5"),
        Seeds(0, _MISSED),
    ),
    _mistake(
        watches.events_dropped_when_full,
        "etcd#17529",
        Text("watch/slow_reader", r"- stream 1: events .* 6 PUT a=5"),
        Seeds(4, _MISSED),
    ),
    _mistake(
        watches.one_watcher_always_first,
        "etcd#17529",
        Text("watch/etcd17529_no_starving", r"too early: stream 1: events id=0 .* 4 PUT a=3"),
    ),
    _mistake(
        watches.progress_ahead_of_events,
        "etcd#15220",
        Text("watch/etcd15220_mark_never_ahead_of_events", r"\+ stream 1: mark id=-1 revision=8"),
        Seeds(3, _MISSED),
    ),
    _mistake(
        watches.watchers_forgotten_at_a_snapshot,
        "etcd#15271",
        Text("watch/etcd15271_no_replay_after_a_snapshot", r"- stream 1: events .* revision=13"),
        Focused(4, "pause cut", _DELETES, _MISSED, snapshot_count=20),
    ),
    _mistake(
        watches.events_of_a_transaction_twice,
        "etcd#17247",
        Text("watch/ranges", r"\+ stream 1: events .* revision=2: 2 PUT"),
        Seeds(0, "twice"),
    ),
    _mistake(
        watches.compaction_takes_tombstones,
        "etcd#18089",
        Text("watch/etcd18089_tombstone_at_the_compact_revision", r"- stream 2: .* 3 DELETE a"),
        Focused(0, "crash", _COMPACTS, _MISSED, nodes=1, snapshot_count=20),
    ),
    _mistake(
        watches.deletion_at_the_compact_revision_skipped,
        "etcd#19179",
        Text("watch/etcd19179_deletes_around_the_compact_revision", r"- stream 1: .* 5 DELETE b"),
    ),
    _mistake(
        watches.compaction_is_not_told_to_watchers,
        "etcd's watch guarantees, reliable",
        Text("watch/compacted_while_behind", r"- stream 1: canceled id=0"),
        Seeds(0, _MISSED),
    ),
    _mistake(
        watches.agreed_compaction_forgotten,
        "etcd#17780's kin: a crash amid a compaction",
        Text("read/compaction_is_done_again_after_a_start", r"- n1 lets its history compact to 4"),
    ),
    _mistake(
        watches.marks_for_the_future,
        "etcd#20221, notifications",
        Text("watch/etcd20221_future_revision", r"\+ stream 1: mark id=-1 revision=3"),
    ),
    _mistake(
        watches.future_watch_begins_now,
        "etcd#20221, old events",
        Text("watch/etcd20221_future_revision", r"\+ stream 1: events .* 3 PUT a=2"),
    ),
    _mistake(
        watches.rebuilt_history_claims_its_first_revision,
        "seed 3539 of our own simulation",
        Kept("rebuilt-history.json", _MISSED),
    ),
)

_STATE = (
    _mistake(
        state.txn_over_several_revisions,
        "etcd's KV guarantees, atomic",
        Text("machine/txn/sees_own_writes", r"\+ event 5\.0 PUT c=3"),
    ),
    _mistake(
        state.old_reads_judged_by_ones_own_memory,
        "etcd#18667",
        Schedule(twins.restarted_twin, "'refused: COMPACTED'"),
        Text("machine/range/older_than_window", r"\+ refused: COMPACTED"),
    ),
    _mistake(
        state.revision_of_the_newest_key,
        "etcd#17780",
        Schedule(twins.restarted_twin, "'event 6.0 PUT d=1 .*' and 'event 4.0 PUT d=1"),
    ),
    _mistake(
        state.defragmentation_loses_what_came_meanwhile,
        "etcd#14685",
        Named(
            "unit.history.test_defragment",
            "test_a_random_history_with_a_compaction_in_the_middle",
            "AssertionError",
        ),
    ),
    _mistake(
        state.auth_revision_of_the_process,
        "etcd#14571, #11651",
        Schedule(twins.restarted_twin, "'on, auth revision 4' and 'on, auth revision 2'"),
        Text("machine/auth/image_with_auth", r"\+ on, auth revision 1"),
    ),
    _mistake(
        state.rights_judged_when_proposed,
        "etcd's apply-time checks",
        Text("machine/auth/in_flight", r"- refused: AUTH_OLD_REVISION"),
    ),
    _mistake(
        state.rights_judged_when_a_stream_opens,
        "reliability goals, section 7",
        Named(
            "api.auth.test_watches",
            "test_an_open_watch_outlives_its_permission",
            "cancel_reason == DENIED",
        ),
    ),
    _mistake(
        clients.writes_of_unknown_fate_sent_again,
        "jetcd 0.8.2 (Jepsen)",
        Named(
            "unit.client.test_calls",
            "test_a_write_of_unknown_fate_is_said_and_sent_once",
            "DID NOT RAISE UnknownOutcome",
        ),
    ),
)

MISTAKES = (*_DISKS, *_ELECTIONS, *_REPLICATION, *_READ, *_LEASE, *_WATCH, *_STATE)

ETCDS_SEVENTEEN = {
    "#13766": "revision inconsistent after a crash under load",
    "#14370": "a single node loses a write",
    "#14571": "enabling auth makes members differ",
    "#14685": "revision inconsistent after a crash amid a defragmentation",
    "#15220": "progress marks ahead of events",
    "#15271": "a watch goes back in time",
    "#17247": "an event twice, after a transaction",
    "#17529": "events lost when a stream starves",
    "#17780": "the revision falls after a crash amid a compaction",
    "#18089": "an event lost by a compaction at a deletion",
    "#18055": "two snapshots in a short time",
    "#18667": "members differ over a compacted read in a transaction",
    "#19179": "a deletion missed by a watch from the compact revision",
    "#20221, notifications": "marks before the revision that a watch begins at",
    "#20221, old events": "events before the revision that a watch begins at",
    "#20271": "a page of the database is not what it should be",
    "#20418": "stale reads after a pause",
}
"""The correctness bugs that etcd's robustness tests list: the report, and what it was about."""


def siblings() -> dict[str, list[str]]:
    """For each of etcd's seventeen, the planted mistakes that are of its kind."""
    return {
        report: [mistake.name for mistake in MISTAKES if f"etcd{report}" in mistake.source]
        for report in ETCDS_SEVENTEEN
    }


def rows() -> list[tuple[str, str, str, str]]:
    """Name, mistake, source and finders of each, in words."""
    return [
        (
            mistake.name.replace("_", " "),
            mistake.words,
            mistake.source,
            "; ".join(finder.words for finder in mistake.found_by),
        )
        for mistake in MISTAKES
    ]

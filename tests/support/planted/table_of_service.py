"""Mistakes of reads, leases, watches, the state, clients: whence each is, and who must find it."""

from __future__ import annotations

from sim.schedules import reads as reads_by_hand
from sim.schedules import twins

from support.planted import clients, leases, reads, state, watches
from support.planted.finders import Focused, Kept, Named, Schedule, Text
from support.planted.mistakes import (
    COMPACTS,
    DELETES,
    EARLY,
    HOT,
    LEASES,
    MISSED,
    READS,
    STALE,
    UNBOOTABLE,
    mistake,
)

OF_READS = (
    mistake(
        reads.reads_without_a_round,
        "thesis 6.4",
        Text("read/leader_without_a_quorum_answers_nothing", r"\+ n1 #2: \[a=1"),
        Focused(0, "slow cut", READS, STALE),
        by_chance=True,
    ),
    mistake(
        reads.reads_before_the_first_commit,
        "etcd#7331; thesis 6.4",
        Text("raft/R1_no_read_before_an_own_entry_is_committed", r"\+ n1: read round=1 index=0"),
        Focused(14, "transfer crash", READS, STALE, nodes=5),
    ),
    mistake(
        reads.reads_do_not_wait_to_apply,
        "thesis 6.4",
        Text("read/read_waits_for_the_state", r"\+ n3 #3: \[a=1"),
        Focused(0, "slow cut pause", READS, STALE),
        by_chance=True,
    ),
    mistake(
        reads.reads_confirmed_by_the_leader_alone,
        "etcd#20418; thesis 6.4",
        Text("raft/R3_paused_leader_grants_no_read", r"\+ n1: read 7 at 1"),
        Focused(0, "slow cut", READS, STALE),
    ),
    mistake(
        reads.rounds_outlive_their_leader,
        "etcd#20418",
        Text(
            "raft/R3_answers_to_an_older_leadership_confirm_nothing",
            r"\+ n1: read 9 at 3",
        ),
    ),
    mistake(
        reads.read_numbers_used_again,
        "etcd#20418, #7331: an id of its own for each round",
        Schedule(reads_by_hand.late_answer_to_a_former_life, "stale read"),
    ),
    mistake(
        reads.leases_renewed_without_a_round,
        "etcd#15247, #12528",
        Text("read/isolated_leader_renews_no_lease", r"\+ n1 #2: lease 7 has 3 of 3 s"),
    ),
)

OF_LEASES = (
    mistake(
        leases.leases_start_empty,
        "etcd's lessor, Promote",
        Text("lease/five_changes_of_leader", r"\+ n1 #7: lease 7 is gone"),
        Focused(0, "transfer crash", LEASES, EARLY),
        by_chance=True,
    ),
    mistake(
        leases.leases_forgotten_at_promotion,
        "etcd's lessor, Promote",
        Text("lease/five_changes_of_leader", r"- n1 #9: lease 7 is gone"),
        Focused(0, "transfer crash", LEASES, "leases outlive their time"),
        by_chance=True,
    ),
    mistake(
        leases.leases_lose_part_of_a_tick,
        "seed 144 of our own simulation",
        Text("lease/keys_of_a_lagging_follower", r"\+ .*lease 7 has 9 of 10 s"),
        Kept("lease-lost-part-of-a-tick.json", EARLY),
    ),
    mistake(
        leases.nothing_recorded_after_a_promotion,
        "etcd#13491, #17132",
        Text("lease/checkpoints_go_on_under_the_next_leader", r"\+ n1 #8: lease 7 has 18 of 20 s"),
    ),
    mistake(
        leases.record_outlives_a_renewal,
        "etcd#13491's kin",
        Text("lease/renewal_takes_a_checkpoint_back", r"\+ n2 #5: lease 7 is gone"),
    ),
    mistake(
        leases.expiry_of_an_older_term,
        "etcd#15247",
        Text("lease/stalled_ex_leader_ends_nothing", r"\+ stream 1: events .* DELETE a"),
        Focused(0, "pause transfer cut", LEASES, f"{EARLY}|lost_write"),
    ),
    mistake(
        leases.leased_keys_die_one_by_one,
        "etcd's lease guarantees",
        Text("lease/expiry_deletes_in_one_revision", r"\+ stream 1: .* 6 DELETE c"),
        Focused(0, "crash", LEASES, "watch_|a watcher|lost_write|unexplained"),
        by_chance=True,
    ),
    mistake(
        leases.snapshot_without_leases,
        "reliability goals, section 7",
        Text("machine/machine/image_round_trip", r"hangs on lease 1, which does not exist"),
        Focused(0, "crash", LEASES, UNBOOTABLE, snapshot_count=20),
        by_chance=True,
    ),
)

OF_WATCHES = (
    mistake(
        watches.watch_resumes_one_late,
        "etcd's watch guarantees, resumable",
        Text("watch/from_an_old_revision", r"- stream 1: events .* 6 PUT a=5"),
        Focused(0, "stall_watcher crash", DELETES, MISSED, watch_buffer_bytes=1_000),
        by_chance=True,
    ),
    mistake(
        watches.events_dropped_when_full,
        "etcd#17529",
        Text("watch/slow_reader", r"- stream 1: events .* 6 PUT a=5"),
        Focused(0, "stall_watcher", DELETES, MISSED, watch_buffer_bytes=1_000),
        by_chance=True,
    ),
    mistake(
        watches.one_watcher_always_first,
        "etcd#17529",
        Text("watch/etcd17529_no_starving", r"too early: stream 1: events id=0 .* 4 PUT a=3"),
    ),
    mistake(
        watches.progress_ahead_of_events,
        "etcd#15220",
        Text("watch/etcd15220_mark_never_ahead_of_events", r"\+ stream 1: mark id=-1 revision=8"),
        Focused(0, "stall_watcher", DELETES, MISSED, watch_buffer_bytes=1_000),
        by_chance=True,
    ),
    mistake(
        watches.watchers_forgotten_at_a_snapshot,
        "etcd#15271",
        Text("watch/etcd15271_no_replay_after_a_snapshot", r"- stream 1: events .* revision=13"),
        Focused(0, "cut pause", DELETES, MISSED, snapshot_count=2),
    ),
    mistake(
        watches.events_of_a_transaction_twice,
        "etcd#17247",
        Text("watch/ranges", r"\+ stream 1: events .* revision=2: 2 PUT"),
        Focused(0, "crash", LEASES, "twice|watch_unique"),
        by_chance=True,
    ),
    mistake(
        watches.compaction_takes_tombstones,
        "etcd#18089",
        Text("watch/etcd18089_tombstone_at_the_compact_revision", r"- stream 2: .* 3 DELETE a"),
        Focused(0, "crash", COMPACTS, MISSED, nodes=1, snapshot_count=20),
    ),
    mistake(
        watches.deletion_at_the_compact_revision_skipped,
        "etcd#19179",
        Text("watch/etcd19179_deletes_around_the_compact_revision", r"- stream 1: .* 5 DELETE b"),
    ),
    mistake(
        watches.compaction_is_not_told_to_watchers,
        "etcd's watch guarantees, reliable",
        Text("watch/compacted_while_behind", r"- stream 1: canceled id=0"),
        Focused(0, "stall_watcher compact", HOT, MISSED, watch_buffer_bytes=1_000),
        by_chance=True,
    ),
    mistake(
        watches.agreed_compaction_forgotten,
        "etcd#17780's kin: a crash amid a compaction",
        Text("read/compaction_is_done_again_after_a_start", r"- n1 lets its history compact to 4"),
    ),
    mistake(
        watches.marks_for_the_future,
        "etcd#20221, notifications",
        Text("watch/etcd20221_future_revision", r"\+ stream 1: mark id=-1 revision=3"),
    ),
    mistake(
        watches.future_watch_begins_now,
        "etcd#20221, old events",
        Text("watch/etcd20221_future_revision", r"\+ stream 1: events .* 3 PUT a=2"),
    ),
    mistake(
        watches.rebuilt_history_claims_its_first_revision,
        "seed 3539 of our own simulation",
        Kept("rebuilt-history.json", MISSED),
    ),
)

OF_STATE = (
    mistake(
        state.txn_over_several_revisions,
        "etcd's KV guarantees, atomic",
        Text("machine/txn/sees_own_writes", r"\+ event 5\.0 PUT c=3"),
    ),
    mistake(
        state.old_reads_judged_by_ones_own_memory,
        "etcd#18667",
        Schedule(twins.restarted_twin, "'refused: COMPACTED'"),
        Text("machine/range/older_than_window", r"\+ refused: COMPACTED"),
    ),
    mistake(
        state.revision_of_the_newest_key,
        "etcd#17780",
        Schedule(twins.restarted_twin, "'event 6.0 PUT d=1 .*' and 'event 4.0 PUT d=1"),
    ),
    mistake(
        state.defragmentation_loses_what_came_meanwhile,
        "etcd#14685",
        Named(
            "unit.history.test_defragment",
            "test_a_random_history_with_a_compaction_in_the_middle",
            "AssertionError",
        ),
    ),
    mistake(
        state.auth_revision_of_the_process,
        "etcd#14571, #11651",
        Schedule(twins.restarted_twin, "'on, auth revision 4' and 'on, auth revision 2'"),
        Text("machine/auth/image_with_auth", r"\+ on, auth revision 1"),
    ),
    mistake(
        state.digests_not_compared,
        "etcd#13766; etcd's corruption check",
        Named(
            "unit.replica.test_digests",
            "test_a_damaged_state_is_found_without_a_write",
            "corrupt",
        ),
    ),
    mistake(
        state.removed_id_comes_back,
        "thesis 4.4; reliability goals, membership",
        Text("machine/members/add_remove", r"\+ member 2 name=- peers=http://d:2380"),
        Focused(0, "remove add_voter", READS, "id reused"),
    ),
    mistake(
        state.rights_judged_when_proposed,
        "etcd's apply-time checks",
        Text("machine/auth/in_flight", r"- refused: AUTH_OLD_REVISION"),
    ),
    mistake(
        state.rights_judged_when_a_stream_opens,
        "reliability goals, section 7",
        Named(
            "api.auth.test_watches",
            "test_an_open_watch_outlives_its_permission",
            "cancel_reason == DENIED",
        ),
    ),
    mistake(
        clients.writes_of_unknown_fate_sent_again,
        "jetcd 0.8.2 (Jepsen)",
        Named(
            "unit.client.test_calls",
            "test_a_write_of_unknown_fate_is_said_and_sent_once",
            "DID NOT RAISE UnknownOutcome",
        ),
    ),
)

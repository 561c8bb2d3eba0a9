"""The cluster model: who leads, who trails, losses and elections with times, links, quorum."""

from __future__ import annotations

from dataclasses import replace

from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.log_strip import newest_index, strips, term_ink, term_letter
from kvorum_tui.model.records import (
    FaultView,
    LogEntryView,
    MemberIdentity,
    MemberReport,
    PeerView,
)


def report(member: int, role: str = "follower", term: int = 1, **more: object) -> MemberReport:
    base = MemberReport(
        f"http://n{member}", "kvorum", member, name=f"n{member}", role=role, term=term
    )
    return replace(base, **more)  # type: ignore[arg-type]  # fields by name, as the caller says


def three(now: float = 0.0, leader: int = 1, term: int = 1) -> ClusterModel:
    model = ClusterModel()
    hear(model, now, leader, term)
    return model


def hear(
    model: ClusterModel, now: float, leader: int, term: int, members: tuple[int, ...] = (1, 2, 3)
) -> None:
    """Every one of these members reports, with this leader."""
    for member in members:
        role = "leader" if member == leader else "follower"
        model.report(report(member, role, term, leader=leader, commit=10, applied=10), now)


def told(model: ClusterModel) -> list[str]:
    return [event.text for event in model.ribbon.events]


def test_the_leader_and_the_quorum() -> None:
    model = three()
    leader = model.leader(0.5)
    assert leader is not None
    assert leader.name == "n1"
    assert model.quorum == 2
    assert len(model.up(0.5)) == 3
    assert told(model) == ["n1 leads term 1"]


def test_a_killed_leader_and_the_time_to_a_new_one() -> None:
    model = three()
    hear(model, 1.0, 1, 1)
    model.failed("http://n1", "connection refused", 1.2)
    assert model.leader(1.2) is None
    assert model.leaderless_s(2.0) == 2.0 - 1.2
    model.report(report(2, "candidate", 2), 2.0)
    hear(model, 2.5, 2, 2, (2, 3))
    assert model.last_election_ms is not None
    assert round(model.last_election_ms) == 1_300
    assert told(model)[1:] == [
        "n1 does not answer",
        "leader n1 lost in term 1",
        "n2 stands for leader in term 2",
        "n2 leads term 2, 1,300 ms after n1 was lost",
    ]
    assert model.leaderless_s(3.0) is None


def test_a_drill_that_hits_the_leader_starts_the_clock() -> None:
    model = three()
    hear(model, 1.0, 1, 1)
    model.expect_loss(1, 1.0)
    # The old leader still says that it leads: it cannot know yet.
    hear(model, 1.5, 1, 1, (1,))
    hear(model, 2.0, 3, 2, (2, 3))
    assert model.last_election_ms == 1_000.0
    # A drill on a follower starts no clock.
    model.expect_loss(2, 3.0)
    assert model.leaderless_s(3.2) is None


def test_an_old_leader_is_no_second_leader() -> None:
    model = three()
    hear(model, 1.0, 2, 5, (2, 3))
    model.report(report(1, "leader", 1), 1.0)
    leader = model.leader(1.0)
    assert leader is not None
    assert leader.name == "n2"
    assert [member.name for member in model.leading(1.0)] == ["n1", "n2"]


def test_a_leader_of_an_old_term_does_not_lead_when_a_higher_term_is_known() -> None:
    model = three()
    model.report(report(2, "candidate", 7), 1.0)
    assert model.leader(1.0) is None


def test_a_silent_member_keeps_its_last_values() -> None:
    model = three()
    hear(model, 1.0, 1, 1, (1, 2))
    hear(model, 2.0, 1, 1, (1, 2))
    model.judge(2.0)
    silent = model.members["http://n3"]
    assert not silent.fresh(2.0)
    assert silent.report is not None
    assert silent.report.commit == 10
    assert silent.age(2.0) == 2.0
    assert "n3 went silent" in told(model)
    hear(model, 2.5, 1, 1, (3,))
    assert told(model)[-1] == "n3 is back"


def test_trailing_counts_from_the_highest_commit() -> None:
    model = three()
    model.report(report(1, "leader", commit=100, applied=99), 0.1)
    assert model.trails_by(model.members["http://n2"], 0.1) == 90
    assert model.trails_by(model.members["http://n1"], 0.1) == 1


def test_links_are_cut_in_their_direction() -> None:
    model = three()
    fault = FaultView(1, "cut", 20_000, peer=2, direction="outbound")
    model.report(report(1, "leader", faults=(fault,)), 0.0)
    assert model.cut(1, 2, 5.0) == 15_000.0
    assert model.cut(2, 1, 5.0) is None
    isolated = FaultView(2, "cut", 10_000, peer=0, direction="both")
    model.report(report(3, faults=(isolated,)), 0.0)
    assert model.cut(3, 1, 0.0) == 10_000.0
    assert model.cut(2, 3, 0.0) == 10_000.0
    assert told(model)[-1] == "n3: cut to and from all peers"
    model.report(report(3, faults=()), 1.0)
    assert told(model)[-1] == "n3: cut to and from all peers is over"


def test_the_quorum_after_a_drill_in_words() -> None:
    model = three()
    kept, text = model.quorum_without({3}, 0.0)
    assert kept
    assert text == "2 of 3 voters stay connected, 2 are needed; writes go on"
    kept, text = model.quorum_without({1}, 0.0)
    assert kept
    assert "election" in text
    kept, text = model.quorum_without({1, 2}, 0.0)
    assert not kept
    assert "NO QUORUM" in text


def test_learners_do_not_count() -> None:
    model = three()
    model.add_endpoint("http://n4", 0.0)
    model.identify("http://n4", MemberIdentity(4, "n4", learner=True))
    model.report(report(4, "learner"), 0.0)
    assert len(model.voters()) == 3
    assert model.quorum == 2


def test_alarms_and_source() -> None:
    model = three()
    model.report(report(2, alarms=("NOSPACE",)), 0.0)
    assert model.alarms() == ["NOSPACE"]
    assert told(model)[-1] == "alarm NOSPACE"
    assert model.source() == "kvorum"
    model.report(MemberReport("http://e", "etcd", 9), 0.0)
    assert model.source() == "mixed"


def test_log_strips_are_aligned_and_marked() -> None:
    model = ClusterModel()
    log = tuple(LogEntryView(i, 1 if i < 4 else 3, f"put {i}") for i in range(1, 7))
    peers = (PeerView(2, match=4, next=5),)
    model.report(report(1, "leader", 3, commit=5, log=log, peers=peers), 0.0)
    model.report(report(2, "follower", 3, commit=4, log=log[2:4]), 0.0)
    model.report(MemberReport("http://e", "etcd", 9, term=3), 0.0)
    assert newest_index(model) == 6
    rows = strips(model, 8, 7, 0.0)
    assert "".join(cell.letter for cell in rows[0].cells) == " AAACCC "
    assert [cell.committed for cell in rows[0].cells if cell.entry] == [True] * 5 + [False]
    assert "".join(cell.letter for cell in rows[1].cells) == " ··AC·· "
    assert [(place, cell.mark) for place, cell in enumerate(rows[1].cells) if cell.mark] == [
        (4, "="),
        (5, ">"),
    ]
    assert "etcd" in rows[2].reason


def entries(*terms: int, first: int = 118) -> tuple[LogEntryView, ...]:
    """A log's end, by the terms of its entries."""
    return tuple(LogEntryView(first + place, term) for place, term in enumerate(terms))


def replaced(model: ClusterModel) -> list[str]:
    """What the ribbon says of overwritten entries."""
    return [event.text for event in model.ribbon.events if event.kind == "replaced"]


def test_an_overwritten_tail_is_told_with_its_indexes_and_term() -> None:
    model = three()
    model.report(report(1, "leader", 3, log=entries(3, 3, 3, 3, 3, 3, 3, 3, 3)), 1.0)
    model.report(report(1, "follower", 4, log=entries(3, 3, 4, 4)), 2.0)
    assert replaced(model)[-1] == "n1: entries 120-126 of term 3 replaced"
    # The same log once more, and one that only grew, replace nothing.
    model.report(report(1, "follower", 4, log=entries(3, 3, 4, 4)), 3.0)
    model.report(report(1, "follower", 4, log=entries(3, 4, 4, 4, first=119)), 4.0)
    assert len(replaced(model)) == 1


def test_one_entry_and_entries_of_two_terms_are_told_so() -> None:
    model = three()
    model.report(report(1, "leader", 2, log=entries(1, 2)), 1.0)
    model.report(report(1, "follower", 3, log=entries(1, 3, 3)), 2.0)
    assert replaced(model)[-1] == "n1: entry 119 of term 2 replaced"
    model.report(report(1, "follower", 4, log=entries(1, 3, 3, 4, 4)), 3.0)
    model.report(report(1, "follower", 5, log=entries(1, 3, 5)), 4.0)
    assert replaced(model)[-1] == "n1: entries 120-122 of terms 3 and 4 replaced"


def test_what_nobody_showed_is_not_told_as_replaced() -> None:
    model = three()
    model.report(report(1, "leader", 3, log=entries(3, 3)), 1.0)
    model.report(report(1, "follower", 4, log=entries(4, 4, first=500)), 2.0)
    model.report(report(1, "follower", 4, log=()), 3.0)
    model.report(report(1, "follower", 5, log=entries(5, 5)), 4.0)
    assert replaced(model) == []


def test_members_cut_off_from_each_other_make_no_quorum() -> None:
    model = three()
    fault = FaultView(1, "cut", 20_000, peer=0, direction="both")
    model.report(report(2, faults=(fault,)), 0.0)
    kept, text = model.quorum_without({3}, 0.0)
    assert not kept
    assert text.startswith("1 of 3 voters stay connected")
    assert model.quorum_without({2}, 0.0)[0]


def test_neighbouring_terms_look_different() -> None:
    for term in range(1, 60):
        assert term_letter(term) != term_letter(term + 1)
        assert term_ink(term) != term_ink(term + 1)


def test_a_log_that_is_withheld_says_so() -> None:
    model = ClusterModel()
    model.report(report(1, "leader", 3, commit=5, log=()), 0.0)
    model.report(MemberReport("http://e", "etcd", 9, term=3), 0.0)
    reasons = [row.reason for row in strips(model, 8, 7, 0.0)]
    assert "only root" in reasons[0] and "etcd keeps" in reasons[1]

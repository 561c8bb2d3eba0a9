"""Who is corrupt: the verdicts over what members report, and replicas that give them."""

from __future__ import annotations

import pytest
from kvorum.errors import Condition
from kvorum.machine import commands
from kvorum.replica import inputs as i
from kvorum.replica.digests import NOBODY, Digests, digest_of
from kvorum.replica.requests import Failed
from unit.replica.elected import MEMBERS, Elected

GOOD, BAD, WORSE = 7, 8, 9


def told(own: int, reports: dict[int, int], index: int = 64) -> Digests:
    """A leader, member 1, with its own digest and what peers said at one index."""
    digests = Digests(1)
    digests.record(index, own)
    for peer, digest in reports.items():
        digests.hear(peer, index, digest)
    return digests


@pytest.mark.parametrize(
    ("own", "reports", "members", "accused"),
    [
        (GOOD, {2: GOOD, 3: GOOD}, MEMBERS, []),
        (GOOD, {2: GOOD}, MEMBERS, []),
        (GOOD, {2: GOOD, 3: BAD}, MEMBERS, [3]),
        (BAD, {2: GOOD, 3: GOOD}, MEMBERS, [1]),
        (GOOD, {2: BAD, 3: WORSE}, MEMBERS, [NOBODY]),
        (GOOD, {2: BAD}, (1, 2), [NOBODY]),
        (GOOD, {2: BAD}, MEMBERS, []),
        (GOOD, {2: GOOD, 3: BAD}, (1, 2, 3, 4), []),
        (GOOD, {2: GOOD, 3: BAD, 4: BAD}, (1, 2, 3, 4), [NOBODY]),
        (GOOD, {2: GOOD, 3: GOOD, 4: BAD, 5: WORSE}, (1, 2, 3, 4, 5), [4, 5]),
        (GOOD, {2: GOOD, 3: GOOD, 4: BAD}, (1, 2, 3, 4, 5), [4]),
        (GOOD, {2: GOOD, 9: BAD}, MEMBERS, []),
    ],
)
def test_verdicts(
    own: int, reports: dict[int, int], members: tuple[int, ...], accused: list[int]
) -> None:
    found = told(own, reports).accusations(members)
    assert found == [(member, 64) for member in accused]


def test_only_equal_indexes_are_compared() -> None:
    digests = told(GOOD, {2: GOOD, 3: GOOD})
    digests.hear(2, 128, BAD)
    digests.hear(3, 128, BAD)
    assert digests.accusations(MEMBERS) == []
    digests.record(128, GOOD)
    assert digests.accusations(MEMBERS) == [(1, 128)]


def test_what_is_settled_is_not_told_again_until_a_newer_index_shows_it() -> None:
    digests = told(GOOD, {2: GOOD, 3: BAD})
    digests.settled(3, 64)
    assert digests.accusations(MEMBERS) == []
    digests.record(128, GOOD)
    digests.hear(2, 128, GOOD)
    digests.hear(3, 128, BAD)
    assert digests.accusations(MEMBERS) == [(3, 128)]


def test_the_silent_are_waited_for_but_not_for_ever() -> None:
    digests = Digests(1)
    verdicts = []
    for number in range(1, 15):
        index = 64 * number
        digests.record(index, GOOD)
        digests.hear(2, index, BAD)
        verdicts.append(digests.accusations(MEMBERS))
        digests.reports()
    assert verdicts[:10] == [[]] * 10
    assert verdicts[10] == [(NOBODY, 64 * 11)]
    # The third comes back, and decides.
    digests.hear(3, 64 * 14, BAD)
    assert digests.accusations(MEMBERS) == [(1, 64 * 14)]


def test_what_was_said_long_ago_is_forgotten() -> None:
    """A member that was repaired meanwhile is not accused by the next leader."""
    digests = told(GOOD, {2: GOOD, 3: BAD})
    for _ in range(21):
        digests.reports()
    assert digests.accusations(MEMBERS) == []


def test_a_replaced_state_begins_anew() -> None:
    digests = told(GOOD, {2: GOOD, 3: BAD})
    digests.forget()
    assert digests.reports() == []
    assert digests.accusations(MEMBERS) == []


def test_reports_have_indexes_in_common_with_members_that_are_not_as_far() -> None:
    digests = Digests(1)
    for index in range(64, 64 * 300, 64):
        digests.record(index, index)
    digests.record(64 * 300 + 5, 1)  # of an idle moment
    assert digests.reports() == [
        (64 * 300 + 5, 1),
        (64 * 299, 64 * 299),
        (64 * 16 * 18, 64 * 16 * 18),
        (64 * 256, 64 * 256),
    ]


def test_memory_is_bounded() -> None:
    digests = Digests(1)
    for index in range(64, 64 * 2_000, 64):
        digests.record(index, 1)
        digests.hear(2, index, 1)
    assert len(digests._mine) == 512
    assert len(digests._heard[2]) == 16


def test_a_digest_tells_both_parts() -> None:
    assert len({digest_of(1, 2), digest_of(2, 1), digest_of(1, 1), digest_of(0, 0)}) == 4
    assert 0 <= digest_of(2**64 - 1, 2**32 - 1) < 2**64


# --- replicas -------------------------------------------------------------------------------------

CORRUPT = 2


def writes(elected: Elected, count: int) -> None:
    """Puts, applied by all."""
    for number in range(count):
        elected.world.give(1, i.Propose(1000 + number, commands.Put(b"k", b"v"), 0))
    elected.world.settle()


def rounds(elected: Elected, count: int, members: tuple[int, ...] = MEMBERS) -> None:
    """Time for so many reports of digests."""
    for _ in range(10 * count):
        for member in members:
            elected.world.give(member, i.Tick())
        elected.world.settle()


def corrupt(elected: Elected) -> list[int]:
    """Whom the leader's state says to be corrupt."""
    table = elected.world.nodes[1].replica.machine.alarms
    return [alarm.member_id for alarm in table.all() if alarm.alarm == CORRUPT]


def test_a_differing_digest_raises_the_alarm_again_after_it_was_lowered() -> None:
    elected = Elected()
    writes(elected, 200)
    mine = elected.world.nodes[1].replica._applier._digests._mine
    elected.world.give(1, i.PeerDigest(2, 64, 12345))
    elected.world.settle()
    assert corrupt(elected) == [], "the third member decides whose is wrong"
    elected.world.give(1, i.PeerDigest(3, 64, mine[64]))
    elected.world.settle()
    assert corrupt(elected) == [2]
    elected.world.give(1, i.Propose(1, commands.AlarmSet(2, 2, CORRUPT), 0))
    elected.world.settle()
    elected.world.give(1, i.PeerDigest(2, 64, 12345))
    elected.world.settle()
    assert corrupt(elected) == [], "the same report is no news"
    elected.world.give(1, i.PeerDigest(2, 128, 12345))
    elected.world.give(1, i.PeerDigest(3, 128, mine[128]))
    elected.world.settle()
    assert corrupt(elected) == [2]


def test_strangers_and_equals_raise_no_alarm() -> None:
    elected = Elected()
    writes(elected, 100)
    elected.world.give(1, i.PeerDigest(99, 64, 12345))
    rounds(elected, 3)
    assert corrupt(elected) == []
    assert elected.world.nodes[1].replica._applier._digests._heard.keys() == {2, 3}


@pytest.mark.parametrize("damaged", [(1,), (2,), (1, 2)])
def test_a_damaged_state_is_found_without_a_write(damaged: tuple[int, ...]) -> None:
    """Nothing is applied after the damage, and fewer entries than digests are recorded at."""
    elected = Elected()
    writes(elected, 5)
    for member in damaged:
        keyspace = elected.world.nodes[member].replica.machine.keyspace
        keyspace.checksum += 17 * member  # as a record that is not the others'
    rounds(elected, 4)
    expected = {(1,): [1], (2,): [2], (1, 2): [0]}
    # Where no two of three agree, it is the cluster's alarm.
    assert corrupt(elected) == expected[damaged]
    number = 1
    elected.world.give(1, i.Propose(number, commands.Put(b"k", b"v"), 0))
    elected.world.settle()
    assert elected.replies[number] == Failed(Condition.CORRUPT)


def test_of_two_who_differ_nobody_is_accused_for_a_while() -> None:
    """The third is away: it may come back and decide, but writes must not go on for ever."""
    elected = Elected()
    writes(elected, 70)
    for member in (1, 2):
        elected.world.cuts[3, member] = elected.world.cuts[member, 3] = None
    writes(elected, 70)
    elected.world.nodes[2].replica.machine.keyspace.checksum += 1
    rounds(elected, 8, (1, 2))
    assert corrupt(elected) == []
    rounds(elected, 8, (1, 2))
    assert corrupt(elected) == [0]

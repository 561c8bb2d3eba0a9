"""Who is corrupt: the verdicts over what members report."""

from __future__ import annotations

import pytest
from kvorum.replica.digests import NOBODY, Digests, digest_of

GOOD, BAD, WORSE = 7, 8, 9
MEMBERS = (1, 2, 3)


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

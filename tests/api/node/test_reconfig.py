"""The rules of --strict-reconfig-check, case by case."""

from __future__ import annotations

import pytest
from kvorum.api.reconfig import refuse_add, refuse_promote, refuse_remove
from kvorum.errors import Condition
from kvorum.machine.members import Member

NOT_ENOUGH, UNHEALTHY = Condition.NOT_ENOUGH_STARTED, Condition.UNHEALTHY


def table(words: str) -> list[Member]:
    """Members 1, 2, ... from letters: s started, u unstarted, l learner."""
    return [
        Member(id_, "" if letter == "u" else f"n{id_}", is_learner=letter == "l")
        for id_, letter in enumerate(words, start=1)
    ]


def connected(*seconds: float) -> dict[int, float]:
    """Of members 2, 3, ...; member 1 is the one that was asked."""
    return dict(enumerate(seconds, start=2))


@pytest.mark.parametrize(
    ("members", "seconds", "voter", "learner"),
    [
        # One member may always grow, as may one of which the second never started.
        ("s", (), None, None),
        ("sl", (0,), None, None),
        ("su", (0,), NOT_ENOUGH, UNHEALTHY),
        # Two: the second must be connected, and for five seconds.
        ("ss", (0,), UNHEALTHY, UNHEALTHY),
        ("ss", (4.9,), UNHEALTHY, UNHEALTHY),
        ("ss", (5,), None, None),
        # Three become four: a quorum of three, the new one being down.
        ("sss", (9, 9), None, None),
        ("sss", (9, 0), UNHEALTHY, UNHEALTHY),
        ("ssu", (9, 0), NOT_ENOUGH, UNHEALTHY),
        # Four become five: one may be down.
        ("ssss", (9, 9, 0), None, None),
        ("ssss", (9, 0, 0), UNHEALTHY, UNHEALTHY),
        # Learners count nowhere.
        ("ssl", (0, 9), UNHEALTHY, UNHEALTHY),
        ("ssl", (9, 0), None, None),
    ],
)
def test_adding(
    members: str, seconds: tuple[float, ...], voter: Condition | None, learner: Condition | None
) -> None:
    known = connected(*seconds)
    for is_learner, expected in ((False, voter), (True, learner)):
        got = refuse_add(table(members), 1, lambda x: known.get(x, 0), learner=is_learner)
        assert got is expected


@pytest.mark.parametrize(
    ("members", "seconds", "id_", "expected"),
    [
        ("s", (), 1, NOT_ENOUGH),
        ("ss", (9,), 2, None),
        ("ss", (9,), 1, None),
        # What is down takes nothing away.
        ("ss", (0,), 2, None),
        ("su", (0,), 2, None),
        ("su", (0,), 1, NOT_ENOUGH),
        ("ss", (1,), 2, UNHEALTHY),
        ("ss", (0,), 1, UNHEALTHY),
        ("sss", (9, 9), 3, None),
        ("sss", (9, 0), 3, None),
        ("sss", (9, 0), 2, UNHEALTHY),
        ("sss", (9, 0), 1, UNHEALTHY),
        ("sssss", (9, 9, 9, 0), 2, None),
        ("sssss", (9, 9, 0, 0), 2, UNHEALTHY),
        ("sul", (0, 0), 3, None),
        # Whether there is such a member is another question.
        ("sss", (9, 9), 77, None),
    ],
)
def test_removing(
    members: str, seconds: tuple[float, ...], id_: int, expected: Condition | None
) -> None:
    known = connected(*seconds)
    assert refuse_remove(table(members), 1, lambda x: known.get(x, 0), id_) is expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [("sl", None), ("sul", None), ("suul", NOT_ENOUGH), ("ssul", None), ("suuul", NOT_ENOUGH)],
)
def test_promoting(members: str, expected: Condition | None) -> None:
    assert refuse_promote(table(members)) is expected

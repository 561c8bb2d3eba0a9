"""What a joiner makes of the answers it gets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from kvorum.errors import ConfigError
from kvorum.machine.members import Member
from kvorum.server.boot import FirstMembers
from kvorum.server.joining import Told, _joined
from kvorum.storage.interface import WalMetadata


def members(*ports: int, first_id: int = 0, learner: int = 0) -> tuple[Member, ...]:
    """Members by their ports; ids of the running ones begin at 0xA00."""
    return tuple(
        Member(first_id + port, "", (f"http://127.0.0.1:{port}",), (), port == learner)
        for port in ports
    )


def told(
    *running: Member,
    leads: bool = False,
    started: Iterable[int] = (),
    removed: Iterable[int] = (),
    version: str = "3.5.0",
) -> Told:
    return Told("http://x", 0xC1, leads, running, frozenset(started), frozenset(removed), version)


LISTED = FirstMembers(WalMetadata(0xF0, 2), members(1, 2, 3))
RUNNING = members(1, 2, 3, first_id=0xA00)


def why(*answers: Told) -> str:
    with pytest.raises(ConfigError) as refused:
        _joined(LISTED, answers)
    return str(refused.value)


def test_ids_and_members_are_those_of_the_running_cluster() -> None:
    joined = _joined(LISTED, [told(*RUNNING)])
    assert joined == FirstMembers(WalMetadata(0xC1, 0xA02), RUNNING, joins=True)
    learner = members(1, 2, 3, first_id=0xA00, learner=2)
    assert _joined(LISTED, [told(*learner)]).members[1].is_learner


def test_names_that_mean_the_same_address_are_the_same() -> None:
    urls = [member.peer_urls[0].replace("127.0.0.1", "localhost") for member in LISTED.members]
    named = [m._replace(peer_urls=(url,)) for m, url in zip(LISTED.members, urls, strict=True)]
    first = FirstMembers(LISTED.metadata, tuple(named))
    assert _joined(first, [told(*RUNNING)]).metadata.member_id == 0xA02


def test_one_that_lags_does_not_decide() -> None:
    behind = told(*RUNNING[:1])
    assert _joined(LISTED, [behind, told(*RUNNING, leads=True)]).members == RUNNING
    assert why(behind, behind).endswith("RemovedMemberIDs:[]}: member count is unequal")


def test_a_member_that_ran_before_does_not_join() -> None:
    assert why(told(*RUNNING, started=[0xA02])) == "member a02 has already been bootstrapped"
    # Whoever says so.
    assert "bootstrapped" in why(told(*RUNNING, leads=True), told(*RUNNING, started=[0xA02]))


def test_lists_that_do_not_fit() -> None:
    other = members(1, 2, 4, first_id=0xA00)
    assert why(told(*other, removed=[0xA09])) == (
        "error validating peerURLs {ClusterID:c1 Members:["
        + " ".join(
            f"&{{ID:{0xA00 + n:x} RaftAttributes:{{PeerURLs:[http://127.0.0.1:{n}] "
            "IsLearner:false} Attributes:{Name: ClientURLs:[]}}"
            for n in (1, 2, 4)
        )
        + "] RemovedMemberIDs:[a09]}: PeerURLs: no match found for existing member "
        "(a04, [http://127.0.0.1:4]), last resolver error "
        "(no address of the listed members is one of these)"
    )


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("", True),
        ("3.5.0", True),
        ("3.4.0", True),
        ("3.7.0", False),
        ("4.0.0", False),
        ("2.3.0", False),
    ],
)
def test_versions(version: str, fits: bool) -> None:
    answer = told(*RUNNING, version=version)
    if fits:
        assert _joined(LISTED, [answer]).joins
    else:
        assert why(answer) == "incompatible with current running cluster"

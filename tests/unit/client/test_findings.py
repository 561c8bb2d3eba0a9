"""What a look at a cluster makes of what it finds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner
from kvorum.cli import cli
from kvorum.cli.output import UNREACHABLE
from kvorum.client import Client
from kvorum.client.checkup import _flags, _read_metrics, checkup
from kvorum.client.cluster import Member, MemberRow
from kvorum.client.errors import ConnectError
from kvorum.client.findings import Patient, judged, limits
from kvorum.client.maintenance import MemberStatus
from kvorum.client.types import Header
from kvorum.client.web import _unchunked
from kvorum.errors import Code
from unit.client.fakes import unused_endpoint

MIB = 1 << 20


def patient(number: int, up: bool = True, learner: bool = False, **more: object) -> Patient:
    """A member that is well, but for what is said of it."""
    endpoint = f"http://127.0.0.1:{number}"
    member = Member(number, f"n{number}", (), (endpoint,), learner)
    error = None if up else ConnectError("cannot connect", code=Code.UNAVAILABLE)
    status = MemberStatus(
        Header(9, number, 100, 2), "3.5.30", 10 * MIB, 9 * MIB, 1, 2, 50, 50, learner, ()
    )
    fields = {name: more.pop(name) for name in list(more) if name in MemberStatus.__slots__}
    status = replace(status, **fields)  # type: ignore[arg-type]  # fields by name
    found = Patient(MemberRow(endpoint, member, status if up else None, error), kind="kvorum")
    for name, value in more.items():
        setattr(found, name, value)
    return found


def levels(patients: list[Patient], subject: str) -> list[tuple[str, str]]:
    """Level and text of the findings on a subject."""
    found = judged(patients, None, None)
    return [(each.level, each.text) for each in found if each.subject == subject]


def test_a_cluster_that_is_well() -> None:
    found = judged([patient(n, clock_s=0.1) for n in (1, 2, 3)], None, True)
    assert {each.level for each in found} == {"ok"}
    assert {each.subject for each in found} == {
        *("quorum", "reach", "leader", "alarms", "space", "versions", "clocks", "auth"),
        "transport",
    }


@pytest.mark.parametrize(
    ("up", "level", "words"),
    [
        ("111", "ok", "3 of 3 voters answer: 1 more may fail"),
        ("110", "warn", "2 of 3 voters answer: 0 more may fail"),
        ("100", "bad", "1 of 3 voters answer: no quorum"),
    ],
)
def test_quorum(up: str, level: str, words: str) -> None:
    patients = [patient(n + 1, flag == "1") for n, flag in enumerate(up)]
    assert levels(patients, "quorum") == [(level, words)]
    assert levels([*patients, patient(9, False, learner=True)], "quorum") == [(level, words)]


@pytest.mark.parametrize(
    ("fields", "subject", "level", "words"),
    [
        ({"leader_id": 0}, "leader", "bad", "knows no leader"),
        ({"leader_id": 2}, "leader", "bad", "different leaders"),
        ({"raft_applied_index": -2_000}, "lag", "warn", "2,050 entries behind"),
        ({"errors": ("memberID:3 alarm:NOSPACE ",)}, "alarms", "bad", "NOSPACE"),
        ({"db_quota_bytes": 12 * MIB}, "space", "warn", "83% full"),
        ({"db_quota_bytes": 9 * MIB}, "space", "bad", "111% full"),
        ({"db_size_bytes": 900 * MIB}, "space", "warn", "a defragmentation gives 891.0 MiB back"),
        ({"version": "3.6.0"}, "versions", "warn", "differ: 3.5.30, 3.6.0"),
        ({"downgrade_target": "3.4.0"}, "versions", "warn", "a downgrade to 3.4.0"),
        ({"clock_s": 90.0}, "clocks", "warn", "differ by 90 s"),
        ({"millis": 900.0}, "reach", "warn", "900.0 ms"),
        ({"http_error": "refused"}, "http", "warn", "no pages: refused"),
        ({"certificate_error": "expired"}, "certificate", "bad", "expired"),
        ({"certificate_until_s": time.time() + 86_400 * 9.5}, "certificate", "warn", "in 9 days"),
        ({"certificate_until_s": time.time() + 3_600}, "certificate", "bad", "in 0 days"),
    ],
)
def test_what_is_wrong_with_one_member(
    fields: dict[str, object], subject: str, level: str, words: str
) -> None:
    others = [patient(n, clock_s=0.0) for n in (1, 2)]
    found = levels([*others, patient(3, **{"clock_s": 0.0, **fields})], subject)
    assert any(one == level and words in text for one, text in found), found


def test_what_does_not_work_where() -> None:
    kvorum = [patient(1)]
    etcd = [patient(1, kind="etcd", http_error="refused")]
    here = {each.feature for each in limits(kvorum, auth_status=True, downgrade=True)}
    there = {each.feature for each in limits(etcd, auth_status=False, downgrade=False)}
    assert not any("raft logs" in feature for feature in here)
    for words in ("raft logs", "SQL", "Drills", "auth is on", "downgrades", "auto-compaction"):
        assert any(words in feature for feature in there), words
    assert not any(
        "Drills on this" in each.feature for each in limits([patient(1, faults=True)], True, True)
    )


def test_pages_beside_the_api() -> None:
    words = ["/usr/bin/etcd", "--name", "a", "--auto-compaction-retention=1h", "--debug", "-q", "3"]
    assert _flags(words) == {
        "name": "a",
        "auto-compaction-retention": "1h",
        "debug": "true",
        "q": "3",
    }
    found = patient(1)
    _read_metrics(
        found,
        "etcd_server_quota_backend_bytes 2.147483648e+09\n"
        'etcd_server_feature_enabled{name="InitialCorruptCheck",stage="BETA"} 1\n'
        'etcd_server_feature_enabled{name="LeaseCheckpoint",stage="ALPHA"} 0\n',
    )
    assert found.quota_bytes == 2 << 30
    assert found.gates == {"InitialCorruptCheck": True, "LeaseCheckpoint": False}
    assert _unchunked(b"4\r\nabcd\r\n2;x=y\r\nef\r\n0\r\n\r\n") == b"abcdef"


def test_a_cluster_that_does_not_answer_is_no_failure_of_the_look() -> None:
    async def scenario() -> None:
        async with Client(unused_endpoint(), timeout_s=0.5, dial_timeout_s=0.5) as client:
            found = await checkup(client, timeout_s=0.5)
        assert found.worst == "bad"
        assert found.kinds == ()

    asyncio.run(scenario())


def test_the_command_says_what_is_wrong_and_leaves_with_its_code() -> None:
    where = ["doctor", "--endpoints", unused_endpoint(), "--dial-timeout", "0.5"]
    done = CliRunner().invoke(cli, where)
    assert done.exit_code == UNREACHABLE
    assert "BAD  quorum" in done.output
    assert "What does not work, or not fully, on this cluster (unknown):" in done.output
    told = CliRunner().invoke(cli, [*where, "-w", "json"])
    assert '"worst": "bad"' in told.output or '"worst":"bad"' in told.output

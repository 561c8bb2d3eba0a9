"""The same etcdctl commands on kvorum and on real etcd, side by side: equal answers, to the letter.

Each release's own etcdctl talks to that release's etcd and to kvorum. Only identities (cluster,
member, term) are taken out. Lease ids come from the script where it can give them. The scripts run
in order on one pair of clusters, so revisions must agree all along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from compat.etcdctl import Etcdctl
from compat.real_etcd import RELEASES, RealEtcd, ReleaseCtl, find_release
from support.clusters import ClusterHandle, make_spec

# How an answer is compared: as it is printed, as JSON without identities, the error's sentence, as
# fields without identities, as the protobuf message without its header, or only that it is one.
TEXT, JSON, FAILS = "text", "json", "fails"
FIELDS, PROTOBUF = "fields", "protobuf"


HEADER_TAG = 0x0A


class Step(NamedTuple):
    """One command, how its answer is compared, and what is typed into it."""

    mode: str
    words: tuple[str, ...]
    stdin: str | None = None


def script(text: str) -> list[Step]:
    """Steps from lines of ``mode command ...``; ``_`` stands for a space inside a word."""
    steps = []
    for line in text.strip().splitlines():
        mode, *words = line.split()
        steps.append(Step(mode, tuple(word.replace("_", " ") for word in words)))
    return steps


def txn(mode: str, *lines: str) -> Step:
    """A transaction in etcdctl's form: compares, successes and failures, separated by ''."""
    return Step(mode, ("txn",), "\n".join(lines) + "\n\n")


SCRIPTS: dict[str, list[Step]] = {
    "put and get": script(
        """
        json put a 1
        json put b 2
        json put a 1 --prev-kv
        text put a 2 --prev-kv
        json put k/01 one
        json put k/02 two
        json put k/03 three
        json put k/10 ten
        json put é_ü ünïcode
        json get a
        text get a
        json get nothing
        text get nothing
        json get é --prefix
        """
    ),
    "ranges": script(
        """
        json get k/ --prefix
        text get k/ --prefix
        json get k/ --prefix --limit 2
        json get k/ --prefix --keys-only
        text get k/ --prefix --keys-only
        json get k/02 --from-key
        json get k/01 k/03
        json get k/03 k/01
        json get k/ --prefix --order DESCEND
        json get k/ --prefix --sort-by VALUE --order ASCEND
        json get k/ --prefix --sort-by MODIFY --order DESCEND --limit 1
        json get k/ --prefix --sort-by CREATE --order ASCEND
        json get k/ --prefix --sort-by KEY --order DESCEND --limit 2
        text get a --hex
        text get a --print-value-only
        json get a --consistency s
        """
    ),
    "old revisions": script(
        """
        json get a --rev 2
        json get a --rev 4
        json get k/ --prefix --rev 7
        json get k/ --prefix --rev 8 --limit 1
        json get b --rev 2
        fails get a --rev 100
        """
    ),
    "an empty value": [Step(JSON, ("put", "empty", "")), *script("json get empty")],
    "put options": script(
        """
        json put a --ignore-value
        json get a
        fails put nothing --ignore-value
        fails put nothing x --ignore-lease
        json put a x --ignore-lease
        json get a
        """
    ),
    "deletes": script(
        """
        json del k/01 --prev-kv
        json del k/01
        text del k/01
        json del k/02 k/03 --prev-kv
        json del k/ --prefix --prev-kv
        text del k/ --prefix
        json put z/1 1
        json put z/2 2
        json del z/1 --from-key --prev-kv
        json get a --from-key --keys-only
        """
    ),
    "transactions": [
        *script("json put a 1\njson put b 2"),
        txn(JSON, 'mod("a") > "0"', 'value("b") = "2"', "", "put a 1.1", "get a", "del b", "", ""),
        txn(JSON, 'value("b") = "2"', "", "put no no", "", "get a", "put b 3", "get b --rev 3"),
        txn(TEXT, 'create("nothing") > "0"', "", "put no no", "", "get a", "put else taken"),
        txn(JSON, 'create("nothing") = "0"', "", "put yes 1", "", ""),
        txn(JSON, 'ver("a") < "9"', "", "get --prefix a", "", "get b"),
        txn(JSON, "", "get a", "", ""),
        txn(JSON, 'value("missing") != "x"', "", "put no no", "", "get missing"),
        txn(FAILS, "", "put a 1", "put a 2", "", ""),
        txn(FAILS, "", "put a 1", "del a", "", ""),
        txn(JSON, "", "del a", "del a", "", ""),
        txn(FAILS, "", "put a 1 --lease=7", "", ""),
        txn(FAILS, "", "get a --rev 4000", "put q 1", "", ""),
        *script("json get a\njson get q\njson get b"),
    ],
    "leases that are not there": script(
        """
        fails put leased 1 --lease=dead
        fails lease revoke 1234
        text lease timetolive 1234
        text lease timetolive 1234 --keys
        text lease list
        """
    ),
    "output forms": [
        *script(
            """
            text put f/1 one -w simple
            fields put f/1 uno
            fields put f/1 eins --prev-kv
            protobuf put f/2 two
            protobuf put f/2 zwei --prev-kv
            text get f/1 -w simple
            fields get f/1
            fields get f/ --prefix
            fields get nothing
            protobuf get f/1
            protobuf get f/ --prefix --limit 1
            protobuf get nothing
            json get f/ --prefix --hex
            fields get f/1 --hex
            text get f/ --prefix --hex --keys-only
            fields del f/1 --prev-kv
            protobuf del f/2 --prev-kv
            protobuf del f/2
            fails get f/1 -w table
            fails get f/1 -w nonsense
            fails put f/1 1 -w table
            """
        ),
        txn(FIELDS, "", "put f/3 3", "get f/3", "", ""),
        txn(PROTOBUF, 'value("f/3") = "3"', "", "get f/3", "del f/3", "", ""),
    ],
    "what is refused before it is sent": script(
        """
        fails put
        fails put a
        fails get
        fails get a --prefix --from-key
        fails get a b --prefix
        fails get a --consistency x
        fails get a --sort-by NONSENSE
        fails get a --order NONSENSE
        fails del
        fails del a b --prefix
        fails del a --prefix --from-key
        fails put a 1 --lease nonsense
        fails lease grant
        fails lease grant x
        fails lease revoke
        fails lease revoke x
        fails lease timetolive
        fails lease keep-alive
        fails compaction
        fails compaction x
        fails member add
        fails member add x
        fails member remove
        fails member remove x
        fails member update 1
        fails member promote
        fails move-leader
        fails move-leader x
        fails snapshot save
        fails snapshot status
        fails watch
        fails nonsense
        """
    ),
    "what the cluster refuses": script(
        """
        fails lease grant 9000000001
        fails member remove 1234
        fails member promote 1234
        fails member update 1234 --peer-urls=http://127.0.0.1:1
        fails member add x --peer-urls=nonsense
        fails member add x --peer-urls=http://127.0.0.1:1/path
        fails move-leader 1234
        fails user get nobody
        fails role get nothing
        fails auth enable
        """
    ),
    "alarms and room": script(
        """
        text alarm list
        text alarm disarm
        text alarm list
        """
    ),
    "compaction": script(
        """
        json put c 1
        json put c 2
        json del c
        json put c 3
        text compaction 20
        fails compaction 20
        fails compaction 4000
        fails get a --rev 19
        json get --prefix --rev 20 a
        json get c
        text compaction 22 --physical
        fails get c --rev 21
        json get c --rev 22
        """
    ),
}


@pytest.fixture(scope="module", params=RELEASES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Etcdctl, Etcdctl]]:
    """A release's etcdctl on kvorum and on that release's etcd, one node each."""
    release = find_release(request.param)
    directory = tmp_path_factory.mktemp("kvorum")
    kvorum = ClusterHandle(make_spec(directory, 1), directory)
    etcd = RealEtcd(release, tmp_path_factory.mktemp("etcd"))
    try:
        etcd.start()
        kvorum.start()
        yield ReleaseCtl(release, kvorum.endpoints), etcd.ctl()
    finally:
        kvorum.end()
        etcd.stop()


def answer(ctl: Etcdctl, step: Step) -> object:
    """What a step says, in the form in which it is compared."""
    if step.mode == JSON:
        return ctl.json(*step.words, stdin=step.stdin)
    if step.mode in (FIELDS, PROTOBUF):
        result = ctl.raw(*step.words, "-w", step.mode, stdin=step.stdin)
        assert result.code == 0, result
        if step.mode == FIELDS:
            return re.sub(rb'"(ClusterID|MemberID|RaftTerm)" : \d+\n', b"", result.out)
        return without_header(result.out)
    result = ctl.run(*step.words, stdin=step.stdin)
    if step.mode == TEXT:
        return result.code, result.out
    assert result.code != 0, f"{step.words} was expected to fail: {result}"
    return result.code, result.out, told(result.err)


def told(err: str) -> list[str]:
    """What is said on stderr, without the client's own log, whose lines have times."""
    return [line for line in err.splitlines() if line and not re.match(r'\{"level"|\d{4}-', line)]


def without_header(message: bytes) -> bytes:
    """A response without its first field, the header; all of its identities are in there."""
    assert message[0] == HEADER_TAG and message[1] < 0x80, message[:2]
    return message[2 + message[1] :]


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_answers(pair: tuple[Etcdctl, Etcdctl], name: str) -> None:
    ours, theirs = pair
    for step in SCRIPTS[name]:
        expected = answer(theirs, step)
        assert answer(ours, step) == expected, f"etcdctl {' '.join(step.words)} {step.stdin or ''}"

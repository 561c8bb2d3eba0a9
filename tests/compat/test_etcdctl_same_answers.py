"""The same etcdctl commands on kvorum and on real etcd, side by side: equal answers, to the letter.

Only identities (cluster, member, term) are taken out. Lease ids come from the script where it can
give them. The scripts run in order on one pair of clusters, so revisions must agree all along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from compat.etcdctl import Etcdctl
from support.clusters import ClusterHandle, make_spec
from support.programs import need_program

TEXT, JSON, FAILS = "text", "json", "fails"


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


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Etcdctl, Etcdctl]]:
    """etcdctl on kvorum and on etcd, one node each."""
    need_program("etcd")
    handles = []
    try:
        for program in ("kvorum", "etcd"):
            directory = tmp_path_factory.mktemp(program)
            handles.append(ClusterHandle(make_spec(directory, 1, program=program), directory))
            handles[-1].start()
        ours, theirs = (Etcdctl(handle.endpoints) for handle in handles)
        yield ours, theirs
    finally:
        for handle in handles:
            handle.end()


def answer(ctl: Etcdctl, step: Step) -> object:
    """What a step says, in the form in which it is compared."""
    if step.mode == JSON:
        return ctl.json(*step.words, stdin=step.stdin)
    result = ctl.run(*step.words, stdin=step.stdin)
    if step.mode == TEXT:
        return result.code, result.out
    said = re.findall(r"^Error: .*$", result.err, re.MULTILINE)
    assert result.code != 0 and said, f"{step.words} was expected to fail: {result}"
    return result.code, said


@pytest.mark.parametrize("name", SCRIPTS)
def test_same_answers(pair: tuple[Etcdctl, Etcdctl], name: str) -> None:
    ours, theirs = pair
    for step in SCRIPTS[name]:
        expected = answer(theirs, step)
        assert answer(ours, step) == expected, f"etcdctl {' '.join(step.words)} {step.stdin or ''}"

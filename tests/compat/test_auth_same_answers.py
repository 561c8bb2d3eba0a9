"""Users, roles and permissions by etcdctl, on kvorum and on real etcd side by side: equal answers,
to the letter.

Each release's own etcdctl talks to that release's etcd and to three nodes of kvorum. Where the
contract follows a rule that is younger than both releases, the line is not here but in
``tests/api/auth``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from compat.etcdctl import plain
from compat.real_etcd import RELEASES, RealEtcd, Release, ReleaseCtl, find_release
from support.clusters import ClusterHandle, make_spec

TEXT, JSON, FAILS = "text", "json", "fails"


class Step(NamedTuple):
    """One command, by whom, how its answer is compared, and what is typed into it."""

    mode: str
    user: str
    words: tuple[str, ...]
    stdin: str | None = None


def script(text: str) -> list[Step]:
    """Steps from lines of ``mode user:password command ...``; ``-`` is nobody, ``_`` a space within
    a word, and ``<`` begins what is typed in, with ``;`` for line ends.
    """
    steps = []
    for line in text.strip().splitlines():
        line, _, typed = line.partition(" < ")
        mode, user, *words = line.split()
        stdin = typed.replace(";", "\n") + "\n\n" if typed else None
        words = [word.replace("_", " ") for word in words]
        steps.append(Step(mode, "" if user == "-" else user, tuple(words), stdin))
    return steps


SCRIPT = script(
    """
    text - put k/a 1
    text - put k/b 2
    text - put z/a secret
    fails - auth enable
    text - user list
    text - role list
    fails - user get nobody
    fails - user delete nobody
    fails - user passwd nobody --interactive=false < pw
    fails - role get nothing
    fails - role delete nothing
    fails - role grant-permission nothing read k
    fails - role revoke-permission nothing k
    fails - user grant-role nobody nothing
    fails - user revoke-role nobody nothing
    text - user add root:rootpw
    fails - user add root:other
    fails - user add :pw
    text - user add alice:alice1
    text - user add bob --new-user-password bob1
    text - user add carl --no-password
    text - user add empty: --interactive=false
    text - user list
    json - user list
    text - user get alice
    json - user get alice
    text - user get alice --detail
    fails - user grant-role alice nothing
    text - role add readers
    fails - role add readers
    text - role add writers
    text - role add joins
    text - role list
    json - role list
    text - role get readers
    text - role grant-permission readers read k/ --prefix
    text - role grant-permission readers read single
    text - role grant-permission readers write single
    text - role grant-permission readers readwrite single
    text - role grant-permission readers read m zz
    text - role grant-permission readers read n --from-key
    text - role get readers
    json - role get readers
    fails - role grant-permission readers execute k
    fails - role revoke-permission readers k
    fails - role revoke-permission readers k/
    text - role revoke-permission readers m zz
    text - role revoke-permission readers n --from-key
    fails - role revoke-permission readers n --from-key
    text - role get readers
    text - role grant-permission writers readwrite w/ --prefix
    text - role grant-permission joins read j/a j/c
    text - role grant-permission joins read j/c j/e
    text - role grant-permission joins write j/b j/d
    text - user grant-role alice readers
    text - user grant-role alice readers
    text - user grant-role bob writers
    text - user grant-role bob joins
    text - user get alice
    text - user get alice --detail
    text - user get bob --detail
    fails - user revoke-role alice writers
    text - user grant-role alice writers
    text - user revoke-role alice writers
    text alice:alice1 user list
    text - user grant-role root root
    text - auth enable
    fails - get k/a
    fails - put k/a 1
    fails - del k/a
    fails - user list
    fails - role list
    fails - user add x:y
    fails - auth disable
    fails - auth enable
    fails nobody:pw get k/a
    fails alice:wrong get k/a
    fails root: get k/a
    fails carl:x get k/a
    fails carl: get k/a
    text root:rootpw get --prefix k/
    text root:rootpw get --prefix z/
    text root:rootpw user list
    text root:rootpw auth enable
    text alice:alice1 get k/a
    json alice:alice1 get --prefix k/
    text alice:alice1 get k/a k/b
    text alice:alice1 get k/a --consistency=s
    fails alice:alice1 get k
    fails alice:alice1 get z/a
    fails alice:alice1 get z/a --consistency=s
    fails alice:alice1 get k/ --from-key
    fails alice:alice1 get k/a z
    fails alice:alice1 get --prefix k
    fails alice:alice1 put k/a 2
    fails alice:alice1 put k/a 2 --prev-kv
    fails alice:alice1 del k/a
    fails alice:alice1 get k/a --rev=1000
    fails alice:alice1 get z/a --rev=1000
    text alice:alice1 put single 1
    text alice:alice1 put single 2 --prev-kv
    text alice:alice1 del single --prev-kv
    text bob:bob1 put w/1 1
    text bob:bob1 get --prefix w/
    fails bob:bob1 get k/a
    text bob:bob1 get j/a j/e
    fails bob:bob1 get j/a j/f
    text bob:bob1 put j/b 1
    fails bob:bob1 put j/b 1 --prev-kv --lease=dead
    fails bob:bob1 put j/a 1
    text bob:bob1 del j/b j/d
    fails bob:bob1 del j/b j/d0
    fails bob:bob1 del j/a
    text alice:alice1 txn < mod("k/a") > "0";;get k/a;;get k/b
    fails alice:alice1 txn < mod("z/a") > "0";;get k/a;;
    fails alice:alice1 txn < mod("k/a") > "0";;get z/a;;
    fails alice:alice1 txn < mod("k/a") > "0";;get k/a;;get z/a
    fails alice:alice1 txn < mod("k/a") > "0";;put k/a 1;;
    fails alice:alice1 txn < mod("k/a") > "0";;get k/a;;put k/a 1
    fails alice:alice1 txn < mod("k/a") > "0";;get k/a;;del z/a
    text alice:alice1 txn < mod("k/a") > "0";;put single 1;;
    fails bob:bob1 txn < mod("w/1") > "0";;put w/1 2;;del k/a
    text bob:bob1 txn < mod("w/1") > "0";;put w/1 2;get w/1;;del w/1
    text alice:alice1 user get alice
    fails alice:alice1 user get bob
    fails alice:alice1 user get nobody
    text alice:alice1 role get readers
    fails alice:alice1 role get writers
    fails alice:alice1 role get nothing
    fails alice:alice1 user list
    fails alice:alice1 role list
    fails alice:alice1 user add x:y
    fails alice:alice1 user delete bob
    fails alice:alice1 user delete alice
    fails alice:alice1 user passwd alice --interactive=false < other
    fails alice:alice1 user grant-role alice root
    fails alice:alice1 user revoke-role alice readers
    fails alice:alice1 role add x
    fails alice:alice1 role delete readers
    fails alice:alice1 role grant-permission readers read z
    fails alice:alice1 role revoke-permission readers single
    fails alice:alice1 auth disable
    fails alice:alice1 auth enable
    fails alice:alice1 member add x --peer-urls=http://127.0.0.1:1
    fails alice:alice1 member remove 1
    fails alice:alice1 member update 1 --peer-urls=http://127.0.0.1:1
    fails root:rootpw user delete root
    fails root:rootpw role delete root
    fails root:rootpw user revoke-role root root
    fails root:rootpw user delete nobody
    fails root:rootpw role get nothing
    text root:rootpw lease list
    text root:rootpw user passwd alice --interactive=false < alice2
    fails alice:alice1 get k/a
    text alice:alice2 get k/a
    text root:rootpw role revoke-permission readers k/ k0
    fails alice:alice2 get k/a
    text root:rootpw role grant-permission readers read k/a
    text alice:alice2 get k/a
    text root:rootpw role delete readers
    text root:rootpw user get alice
    fails alice:alice2 get k/a
    text root:rootpw user grant-role alice root
    text alice:alice2 get z/a
    text alice:alice2 user list
    text root:rootpw user revoke-role alice root
    fails alice:alice2 get z/a
    text root:rootpw user delete alice
    fails alice:alice2 get k/a
    text root:rootpw user add alice:alice3
    fails alice:alice3 get k/a
    text root:rootpw auth disable
    text - auth disable
    text - get --prefix k/
    text nobody:pw get k/a
    text - user list
    text - role list
    text - user revoke-role root root
    text - auth enable
    text root:rootpw user get root
    text root:rootpw auth disable
    """
)
# Younger releases than 3.4.23 have these, or see them so.
YOUNGER = script(
    """
    text - auth status
    json - auth status
    text - auth enable
    fails - auth status
    fails bob:bob1 auth status
    text root:rootpw auth status
    json root:rootpw auth status
    text root:rootpw auth disable
    """
)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """A release of etcd."""
    return find_release(request.param)


@pytest.fixture
def real(release: Release, tmp_path: Path) -> Iterator[RealEtcd]:
    """One member of the release."""
    etcd = RealEtcd(release, tmp_path)
    try:
        yield etcd.start()
    finally:
        etcd.stop()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ClusterHandle]:
    """Three nodes of kvorum."""
    cluster = ClusterHandle(make_spec(tmp_path, 3, flags=["--bcrypt-cost=4"]), tmp_path)
    try:
        yield cluster.start()
    finally:
        cluster.end()


def test_etcdctl_gets_the_same_answers(
    release: Release, real: RealEtcd, ours: ClusterHandle
) -> None:
    younger = release != find_release("path")
    differ = []
    for number, step in enumerate([*SCRIPT, *YOUNGER] if younger else SCRIPT):
        theirs = answer(real.ctl(step.user), step)
        # Whichever member is asked: what one has agreed on counts on all.
        endpoint = ours.endpoints[number % 3]
        kvorums = answer(ReleaseCtl(release, [endpoint], step.user), step)
        if theirs != kvorums or (step.mode != JSON and theirs[0] != step.mode):
            differ.append(f"{step}\n  etcd:   {theirs}\n  kvorum: {kvorums}")
    assert not differ, "\n".join(differ)


def answer(ctl: ReleaseCtl, step: Step) -> object:
    """What a command says, without what differs between clusters."""
    if step.mode == JSON:
        return plain(ctl.json(*step.words))
    said = ctl.run(*step.words, stdin=step.stdin)
    kind = FAILS if said.code else TEXT
    return kind, said.code, said.out, refusal(said.err) if said.code else ""


def refusal(err: str) -> str:
    """The error itself: etcdctl puts log lines of its own around it."""
    lines = [line for line in err.splitlines() if line.startswith("Error:")]
    return re.sub(r"0x[0-9a-f]+", "", lines[-1]) if lines else err

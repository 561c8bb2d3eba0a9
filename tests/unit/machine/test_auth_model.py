"""Users, roles and permissions against a naive judge, on random commands of random callers."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from kvorum.errors import Condition
from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.auth import CHANGES, Caller
from kvorum.machine.auth_ops import AuthEnable, RoleAdd, UserAdd, UserGrantRole
from kvorum.machine.commands import Envelope, decode, encode, validate
from kvorum.machine.results import Refused
from unit.machine.auth_model import USERS, AuthWorkload, Naive
from unit.machine.workload import Workload

SEEDS = range(10)
COMMANDS = 300
OPENING = (
    UserAdd("root", b"hash"),
    UserGrantRole("root", "root"),
    *[UserAdd(user, b"hash") for user in USERS[1:]],
    *[RoleAdd(role) for role in "pqr"],
    *[UserGrantRole(user, role) for user, role in zip(USERS[1:], "pqr", strict=True)],
    AuthEnable(),
)
_JUDGEMENTS = {"USER_EMPTY", "PERMISSION_DENIED", "AUTH_OLD_REVISION"}


def name_of(condition: Condition | None) -> str | None:
    return None if condition is None else condition.name


def draw_caller(random: Random, machine: Machine) -> Caller:
    """Mostly a user as of now, else a stale one, nobody, or one who does not exist."""
    draw = random.random()
    if draw < 0.05:
        return Caller()
    if draw < 0.08:
        return Caller("stranger", machine.auth.revision)
    stale = random.random() < 0.05
    return Caller(random.choice(USERS), max(0, machine.auth.revision - stale))


class Story:
    """A random history: commands, their callers, and what the naive judge says."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._keys = Workload(self._random)
        self._changes = AuthWorkload(self._random)
        self.naive = Naive()
        self.machine = Machine()
        self.entries: list[bytes] = []
        self.judged: Counter[str] = Counter()

    def run(self, commands: int = COMMANDS) -> None:
        """An opening that everybody makes, then anything."""
        for command in OPENING:
            self.step(Caller(), command)
        for _ in range(commands):
            self._keys.revision = self.machine.revision
            if self._random.random() < 0.35:
                root = Caller("root", self.machine.auth.revision)
                caller = root if self._random.random() < 0.7 else self.caller()
                self.step(caller, self._changes.change())
            else:
                self.step(self.caller(), self._keys.command())
                self.read()

    def caller(self) -> Caller:
        return draw_caller(self._random, self.machine)

    def step(self, caller: Caller, command: Any) -> None:
        """One entry."""
        if validate(command) is not None:
            return
        machine, naive = self.machine, self.naive
        if type(command) in CHANGES:
            expected = naive.root_only(*caller) or naive.do(command)
        else:
            expected = naive.judge(*caller, command, machine.leases)
        self.entries.append(encode(Envelope(1, 2, 3, *caller, command)))
        entry = decode(self.entries[-1])
        result = machine.apply(machine.applied_index + 1, 1, entry).result
        found = result.condition.name if isinstance(result, Refused) else None
        if expected is None and type(command) not in CHANGES:
            assert found not in _JUDGEMENTS, (caller, command)
        else:
            assert found == expected, (caller, command)
        assert (machine.auth.enabled, machine.auth.revision) == (naive.on, naive.revision)
        self.judged[str(expected)] += 1

    def read(self) -> None:
        """A read of either kind is judged as the naive judge does it."""
        caller, auth = self.caller(), self.machine.auth
        query, txn = self._keys.range(), self._keys.reading_txn()
        found = auth.check_read(caller, query.key, query.range_end)
        assert name_of(found) == self.naive.judge(*caller, query, self.machine.leases), query
        found = auth.check_txn(caller, txn, self.machine.leases)
        assert name_of(found) == self.naive.judge(*caller, txn, self.machine.leases), txn


@pytest.mark.parametrize("seed", SEEDS)
def test_the_machine_judges_as_the_naive_judge(seed: int) -> None:
    story = Story(seed)
    story.run()
    accounts = story.machine.auth.accounts
    assert {user.name: set(user.roles) for user in accounts.users()} == story.naive.users
    held = {
        role.name: {(p.key, p.range_end): p.type for p in role.permissions}
        for role in accounts.roles()
    }
    assert held == story.naive.roles
    for role in accounts.roles():
        keys = [permission.key for permission in role.permissions]
        assert keys == sorted(keys)


def test_random_histories_meet_every_judgement() -> None:
    judged: Counter[str] = Counter()
    for seed in SEEDS:
        story = Story(seed)
        story.run()
        judged += story.judged
    assert min(judged[name] for name in ("None", *_JUDGEMENTS)) > 20
    wanted = ("USER_EXIST", "USER_NOT_FOUND", "ROLE_EXIST", "ROLE_NOT_FOUND")
    assert min(judged[name] for name in wanted) > 5
    rare = ("ROLE_NOT_GRANTED", "PERMISSION_NOT_GRANTED", "INVALID_AUTH_MANAGEMENT")
    assert min(judged[name] for name in rare) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_replay_and_images_lead_to_one_state(seed: int) -> None:
    """A member that was restored from images on the way, and one that was not, are equal."""
    story = Story(seed)
    story.run()
    copy, random = Machine(), Random(seed)
    for index, entry in enumerate(story.entries, 1):
        copy.apply(index, 1, decode(entry))
        if random.random() < 0.05:
            digest, state = copy.digest, copy.auth.accounts.state()
            copy = decode_image(encode_image(copy.image()))
            assert (copy.digest, copy.auth.accounts.state()) == (digest, state)
    assert copy.digest == story.machine.digest
    whole = b"".join(encode_image(story.machine.image()))
    assert b"".join(encode_image(copy.image())) == whole
    assert b"".join(encode_image(decode_image([whole]).image())) == whole


def test_a_difference_between_members_shows_in_the_digest() -> None:
    """Entries of equal bytes that did another thing leave another digest, even if not refused."""
    one, other = Machine(), Machine()
    for index, command in enumerate(OPENING, 1):
        for machine in (one, other):
            machine.apply(index, 1, Envelope(0, 0, 0, "", 0, command))
    assert one.digest == other.digest
    other.auth.accounts.revision += 1
    entry = Envelope(0, 0, 0, "root", 100, RoleAdd("new"))
    for machine in (one, other):
        machine.apply(machine.applied_index + 1, 1, entry)
    assert one.digest != other.digest

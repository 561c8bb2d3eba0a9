"""Which members hear of tokens: all, when an entry is applied, and none when it is replayed."""

from __future__ import annotations

from kvorum.machine import auth_ops as ops
from kvorum.machine.auth import TokenGiven, TokensEnded
from kvorum.machine.commands import Command
from kvorum.machine.results import AuthenticateResult
from kvorum.raft.types import Role
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done
from unit.replica.world import Node, World


class Told:
    """A world whose tokens are noted by member."""

    def __init__(self, members: int = 3, **settings: int) -> None:
        self.heard: dict[int, list[TokenGiven | TokensEnded]] = {}
        self.order: list[str] = []
        self.outcomes: dict[int, object] = {}
        self._requests = 0
        self.world = World(members, self._observe, **settings)
        self._elect()

    def _observe(self, node: Node, effect: e.Effect) -> None:
        if isinstance(effect, e.TokensChanged):
            self.heard.setdefault(node.id, []).append(effect.change)
            self.order.append("tokens")
        elif isinstance(effect, e.Reply):
            self.outcomes[effect.request_id] = effect.outcome
            self.order.append("reply")

    def _elect(self) -> None:
        for _ in range(200):
            if any(node.replica.role is Role.LEADER for node in self.alive()):
                return
            for node in self.alive():
                self.world.give(node.id, i.Tick())
                self.world.settle()
        raise AssertionError("nobody leads")

    def alive(self) -> list[Node]:
        return [node for node in self.world.nodes.values() if node.alive]

    def leader(self) -> Node:
        return next(node for node in self.alive() if node.replica.role is Role.LEADER)

    def tick(self, count: int) -> None:
        for _ in range(count):
            for node in self.alive():
                self.world.give(node.id, i.Tick())
            self.world.settle()

    def propose(self, command: Command, on: int = 0, user: str = "", revision: int = 0) -> object:
        """Agree on a command; what its caller is answered."""
        self._requests += 1
        asked = i.Propose(self._requests, command, 0, user, revision)
        self.world.give(on or self.leader().id, asked)
        self.world.settle()
        return self.outcomes.get(self._requests)

    def users(self) -> None:
        """root and alice, and auth on."""
        for command in (
            ops.UserAdd("root", b"x"),
            ops.UserAdd("alice", b"x"),
            ops.UserGrantRole("root", "root"),
            ops.AuthEnable(),
        ):
            assert isinstance(self.propose(command), Done)

    def login(self, name: str, prefix: str) -> str:
        """The token that is given."""
        revision = self.leader().replica.machine.auth.revision
        outcome = self.propose(ops.Authenticate(name, prefix), 0, name, revision)
        assert isinstance(outcome, Done) and isinstance(outcome.value, AuthenticateResult)
        return outcome.value.token


def test_every_member_hears_of_a_token_and_of_its_end() -> None:
    told = Told()
    told.users()
    token = told.login("alice", "secret")
    revision = told.leader().replica.machine.auth.revision
    told.propose(ops.UserChangePassword("alice", b"y"), 0, "root", revision)
    told.propose(ops.UserDelete("alice"), 0, "root", revision)
    told.propose(ops.AuthDisable(), 0, "root", revision)
    expected = [
        TokenGiven("alice", token),
        TokensEnded("alice"),
        TokensEnded("alice"),
        TokensEnded(None),
    ]
    told.tick(2)
    assert told.heard == {1: expected, 2: expected, 3: expected}


def test_a_token_is_known_before_its_owner_is_answered() -> None:
    told = Told(1)
    told.users()
    told.order.clear()
    told.login("alice", "secret")
    assert told.order == ["tokens", "reply"]


def test_what_is_refused_changes_no_tokens() -> None:
    told = Told(1)
    told.users()
    told.propose(ops.Authenticate("alice", "p"), 0, "alice", 1)  # An old revision.
    told.propose(ops.Authenticate("nobody", "p"), 0, "nobody", 99)
    told.propose(ops.UserDelete("alice"), 0, "alice", 99)
    told.propose(ops.AuthDisable())
    assert told.heard == {}


def test_entries_that_are_replayed_bring_no_token_back() -> None:
    told = Told()
    told.users()
    told.login("alice", "first")
    told.tick(2)
    node = told.world.nodes[2]
    node.crash()
    told.heard.clear()
    node.start()
    told._elect()
    told.tick(5)
    assert node.replica.machine.auth.enabled, "it has replayed them"
    assert told.heard == {}
    token = told.login("alice", "second")
    told.tick(2)
    assert told.heard[2] == [TokenGiven("alice", token)]


def test_an_entry_in_the_place_of_one_that_was_found_is_new() -> None:
    told = Told()
    told.users()
    old = told.leader()
    others = [node for node in told.alive() if node is not old]
    # The leader writes entries that nobody else gets, and ends.
    for node in others:
        told.world.cuts[old.id, node.id] = told.world.cuts[node.id, old.id] = None
    for _ in range(6):
        told.propose(ops.RoleAdd("lost"), old.id)
    last = old.replica.raft.log.last_index
    old.crash()
    told._elect()
    revision = told.leader().replica.machine.auth.revision
    told.heard.clear()
    token = told.login("alice", "new")
    assert int(token.partition(".")[2]) <= last
    # It comes back with its tail, which the log of the others replaces.
    told.world.cuts.clear()
    old.start()
    told.tick(15)
    assert old.replica.machine.auth.revision == revision
    assert told.heard[old.id] == [TokenGiven("alice", token)]


def test_a_snapshot_ends_all_tokens_of_the_member_that_takes_it() -> None:
    told = Told(3, snapshot_count=10, catchup_entries=1)
    told.users()
    token = told.login("alice", "kept")
    told.tick(2)
    behind = next(node for node in told.alive() if node is not told.leader())
    for node in told.alive():
        told.world.cuts[behind.id, node.id] = told.world.cuts[node.id, behind.id] = None
    revision = told.leader().replica.machine.auth.revision
    told.propose(ops.UserChangePassword("alice", b"y"), 0, "root", revision)
    for number in range(40):
        told.propose(ops.RoleAdd(f"r{number}"), 0, "root", revision)
    told.world.cuts.clear()
    told.tick(30)
    assert behind.replica.machine.applied_index == told.leader().replica.machine.applied_index
    # Which tokens ended meanwhile it has not seen.
    assert told.heard[behind.id] == [TokenGiven("alice", token), TokensEnded(None)]

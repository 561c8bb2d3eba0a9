"""Whoever runs a simulated cluster: changes its members, starts those that join, replaces those
that cannot come back.

It knows the members as an operator does, by what the furthest of the running ones have applied. Its
strikes are faults like others, so that changes meet crashes, cuts and each other; but no more is
taken away than the members that are left can bear, judged against the newest configuration, against
every older one that somebody may still count by (they are in force once applied, so that a removed
member can be needed until the others know), and against every removal that may still come of an
unanswered request.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kvorum.errors import UNKNOWN_OUTCOME
from kvorum.machine import commands
from kvorum.raft.types import ConfState
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done, Outcome
from kvorum.sim.boot import peer_url
from kvorum.sim.node import SimNode
from kvorum.sim.world import World

MEMBERS_MAX = 7  # As large as clusters get; more only makes runs slow.
_MAX_LEARNERS = 2
_LOOK_US = 500_000
_SETTLED_US = 2_000_000  # By then a commit index that merely moved is on the disk.
_OWN_REQUESTS = 0xFFFB << 32
_REPLACEMENT_TRIES = 5

Struck = Callable[[random.Random], bool]


@dataclass
class _Older:
    """A configuration that is past at ``past_index``. ``known_us``: since when all know, or 0."""

    conf: ConfState
    past_index: int
    known_us: int = 0


class Steward:
    """The operator. ``nodes`` is shared with everybody else in the world and grows; ``make`` brings
    up the machine of a member that joins."""

    def __init__(self, world: World, nodes: list[SimNode], make: Callable[[int], SimNode]) -> None:
        self._world = world
        self._nodes = nodes
        self._make = make
        self._rng = world.dice("steward")
        self._conf = ConfState(tuple(node.id for node in nodes))
        self._older: list[_Older] = []
        self._removed: dict[int, None] = {}
        self._known_index = -1
        self._newest = max(node.id for node in nodes)
        # Removals that were asked for and may still come, though their caller was never told.
        self._removing: dict[int, None] = {}
        self._requests = 0
        self._active = True
        self.kinds: dict[str, Struck] = {
            "add_learner": lambda rng: self._add(rng, learner=True),
            "add_voter": lambda rng: self._add(rng, learner=False),
            "promote": self._promote,
            "remove": lambda rng: self._remove(rng, leader=False),
            "remove_leader": lambda rng: self._remove(rng, leader=True),
            "update_urls": self._update,
            "replace": self._replace,
        }

    def start(self) -> None:
        """Look after the cluster now and then, to the end of the run."""
        self._world.after(_LOOK_US, self._look)

    def stop(self) -> None:
        """Change nothing any more; whoever has joined is still brought up."""
        self._active = False

    # --- what it knows ----------------------------------------------------------------------------

    def conf(self) -> ConfState:
        """The newest configuration that anybody has applied."""
        for node in self._nodes:
            if not node.alive:
                continue
            machine = node.replica.machine
            if machine.applied_index > self._known_index and node.joined:
                self._known_index = machine.applied_index
                if node.replica.raft.conf != self._conf:
                    self._older.append(_Older(self._conf, self._known_index))
                self._conf = node.replica.raft.conf
                self._removed = machine.members.removed
        return self._conf

    def node(self, member: int) -> SimNode | None:
        """The machine of a member; None: nobody has started one."""
        return next((node for node in self._nodes if node.id == member), None)

    def lost(self, member: int) -> bool:
        """It cannot come back, or may not be able to."""
        node = self.node(member)
        return node is not None and bool(node.out or node.damaged)

    def _ended(self, member: int) -> bool:
        """It was removed and has ended for good."""
        node = self.node(member)
        return node is not None and node.gone

    def spare(self, leaving: int = 0) -> int:
        """How many more members may be lost so that the others can always go on, whoever knows of
        which change, whichever of the removals under way take effect; ``leaving`` is one that is
        thought of.

        Who is removed stays until enough of the others know it: it is there for all that count by
        an older configuration, for as long as it has not ended for good.
        """
        conf = self.conf()
        going = {*self._removing, leaving}
        fewest = [v for v in conf.voters if v not in going or self.lost(v)]
        spare = (len(fewest) - 1) // 2 - sum(self.lost(member) for member in conf.members())
        for voters in (conf.voters, *[older.conf.voters for older in self._older]):
            missing = sum(self.lost(v) or self._ended(v) for v in voters)
            spare = min(spare, (len(voters) - 1) // 2 - missing)
        return spare

    def may_harm(self, node: SimNode) -> bool:
        """Not so many that no majority could ever be whole again."""
        conf = self.conf()
        if node.damaged:
            return False
        known_as_voter = any(node.id in c.voters for c in (conf, *[o.conf for o in self._older]))
        return self.spare() > 0 or (node.id in self._removed and not known_as_voter)

    # --- joining ----------------------------------------------------------------------------------

    def _look(self) -> None:
        self._world.after(_LOOK_US, self._look)
        conf = self.conf()
        self._older = [older for older in self._older if not self._settled(older)]
        for member in [m for m in self._removing if m in self._removed]:
            del self._removing[member]
        for member in conf.members():
            node = self.node(member)
            if node is None:
                node = self._make(member)
                self._begin_later(node)
            elif not node.boots and not node.alive and self._rng.random() < 0.5:
                self._begin(node)

    def _settled(self, older: _Older) -> bool:
        """Every member that is well has known for a while that this configuration is past."""
        well = [self.node(m) for m in self._conf.members() if not self.lost(m)]
        know = all(
            node is not None
            and node.joined
            and node.replica.machine.applied_index >= older.past_index
            for node in well
        )
        now_us = self._world.now_us
        older.known_us = (older.known_us or now_us) if know else 0
        return know and now_us - older.known_us >= _SETTLED_US

    def _begin_later(self, node: SimNode) -> None:
        delay_us = self._rng.choice((1_000, 300_000, 3_000_000))
        self._world.after(self._rng.randint(500, delay_us), lambda: self._begin(node))

    @staticmethod
    def _begin(node: SimNode) -> None:
        if not node.alive:
            node.start()

    # --- strikes ----------------------------------------------------------------------------------

    def _ask(
        self,
        kind: str,
        change: commands.MemberChange,
        rng: random.Random,
        then: Callable[[bool], None] = lambda done: None,
    ) -> bool:
        """Ask any member that serves; ``then`` hears whether it was done."""
        serving = [node for node in self._nodes if node.joined and not node.paused]
        if not serving or not self._active:
            return False
        via = rng.choice(serving)
        self._requests += 1
        removed = change.id if isinstance(change, commands.MemberRemove) else 0
        before = removed in self._removing
        if removed:
            self._removing[removed] = None

        def answered(outcome: Outcome) -> None:
            done = isinstance(outcome, Done)
            how = "done" if isinstance(outcome, Done) else outcome.condition.name
            self._world.note(f"{kind} {change.id} via n{via.id}: {how}")
            self._world.coverage[f"member.{kind} done"] += done
            refused = not isinstance(outcome, Done) and outcome.condition not in UNKNOWN_OUTCOME
            if refused:
                self._world.coverage[f"member.{kind} refused"] += 1
                if not before:
                    self._removing.pop(removed, None)
            then(done)

        number = _OWN_REQUESTS | self._requests
        now_ms = self._world.now_us // 1000
        via.ask(i.ChangeMembers(number, change, now_ms, rng.choice((30, 70))), answered)
        return True

    def _add(self, rng: random.Random, *, learner: bool) -> bool:
        kind = "add_learner" if learner else "add_voter"
        conf = self.conf()
        if self._removed and rng.random() < 0.1:
            # An id that was used before must be refused for ever.
            again = rng.choice(sorted(self._removed))
            url = peer_url(again, 2379)
            self._ask("reuse_id", commands.MemberAdd(again, (url,), learner, _MAX_LEARNERS), rng)
            return False
        if len(conf.members()) >= MEMBERS_MAX:
            return False
        return self._ask(kind, self._new(learner), rng)

    def _new(self, learner: bool) -> commands.MemberAdd:
        self._newest += 1
        return commands.MemberAdd(self._newest, (peer_url(self._newest),), learner, _MAX_LEARNERS)

    def _promote(self, rng: random.Random) -> bool:
        able = [member for member in self.conf().learners if not self.lost(member)]
        if not able:
            return False
        return self._ask("promote", commands.MemberPromote(rng.choice(able)), rng)

    def _remove(self, rng: random.Random, *, leader: bool) -> bool:
        conf = self.conf()
        leaders = [n.id for n in self._nodes if n.alive and n.replica.leader == n.id]
        able = [m for m in conf.members() if (m in leaders) is leader and self._may_remove(m)]
        if not able:
            return False
        kind = "remove_leader" if leader else "remove"
        return self._ask(kind, commands.MemberRemove(rng.choice(able)), rng)

    def _may_remove(self, member: int) -> bool:
        conf = self.conf()
        if not conf.is_voter(member):
            return True
        left = [v for v in conf.voters if v != member and v not in self._removing]
        return bool(left) and (self.lost(member) or self.spare(leaving=member) >= 0)

    def _update(self, rng: random.Random) -> bool:
        member = rng.choice(self.conf().members())
        # Sometimes another's address, which is refused.
        other = rng.choice(self.conf().members()) if rng.random() < 0.1 else member
        port = 2380 if other != member else rng.randrange(3000, 3100)
        change = commands.MemberUpdate(member, (peer_url(other, port),))
        return self._ask("update_urls", change, rng)

    def _replace(self, rng: random.Random) -> bool:
        """A member that cannot start any more comes back under a new id; if there is none, one
        loses its disks."""
        conf = self.conf()
        lost = [m for m in conf.members() if (node := self.node(m)) is not None and node.out]
        if not lost and self.spare() > 0:
            victim = self.node(rng.choice(conf.members()))
            if victim is not None and not self.lost(victim.id):
                victim.crash(power=True)
                victim.lose_disks()
                self._world.coverage["member.disks lost"] += 1
                lost = [victim.id]
        if not lost or not self._may_remove(lost[0]):
            return False
        self._replace_one(lost[0], rng.random() < 0.5, rng, _REPLACEMENT_TRIES)
        return True

    def _replace_one(self, member: int, learner: bool, rng: random.Random, tries: int) -> None:
        """Remove it until it is gone, then add another in its place."""

        def again() -> None:
            if tries and self._active and member not in self._removed:
                self._replace_one(member, learner, rng, tries - 1)

        def removed(done: bool) -> None:
            if done:
                self._ask("replace", self._new(learner), rng)
            else:
                self._world.after(2_000_000, again)

        if not self._ask("remove_lost", commands.MemberRemove(member), rng, removed):
            self._world.after(2_000_000, again)

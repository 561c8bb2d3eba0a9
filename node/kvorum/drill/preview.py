"""What a drill will do before it does it: the blast radius of each step, and the quorum after it.

Pure: a scenario and a number of members in, lines out. Who a role will mean is not known yet, so
the worst is assumed: of all members who may be meant, those whose loss leaves the fewest voters
together. Steps that wait for a condition are taken to come as early as they can, while everything
that was broken before is still broken.

A leader needs a majority that it reaches both ways, itself counted. So a step's measure is the
largest such group: it has a leader in it or can elect one, or the cluster stands still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from kvorum.drill.scenario import Scenario, Step
from kvorum.drill.stage import Link
from kvorum.drill.targets import between, ring_cuts
from kvorum.drill.words import CLIENT_WORDS, CONDITIONS, DEADLY, LINK_WORDS

_CUTS = ("sever", "isolate", "one_way", "ring", "majority", "minority")
_FOR_EVER_S = float("inf")
_BOOTING_S = -1.0  # Until the next step.
_LASTING = {
    "remove_member": "It removes a member, and nobody brings it back.",
    "compact": "It compacts history: older revisions are gone.",
}


@dataclass(frozen=True)
class PreviewLine:
    """One step ahead of time.

    Attributes:
        step: the step. when: its time or condition, in words. does: what it does, in words. hits:
        whom, in words; "" for steps that hit nobody. lasts: for how long, in words. left: voters
        in the largest group that one of them reaches both ways, at worst. voters: all of them.
        quorum: whether that group is a majority.
    """

    step: Step
    when: str
    does: str
    hits: str
    lasts: str
    left: int
    voters: int

    @property
    def quorum(self) -> bool:
        """Whether writes can go on, at worst."""
        return self.left > self.voters // 2

    @property
    def text(self) -> str:
        """All of it, for people."""
        parts = [f"{self.when}: {self.does}"]
        parts += [f"hits {self.hits}"] * bool(self.hits)
        parts += [self.lasts] * bool(self.lasts)
        group = f"at worst {self.left} of {self.voters} voters together"
        parts.append(f"{group}: {'quorum' if self.quorum else 'NO quorum'}")
        return "; ".join(parts)


@dataclass(frozen=True)
class _Broken:
    """Something in force: members out of the game, or links cut, until a time. ``damaged``: a start
    does not mend it.
    """

    until_s: float
    names: frozenset[str] = frozenset()
    links: frozenset[Link] = frozenset()
    damaged: bool = False


@dataclass(frozen=True)
class _Plight:
    """The cluster between two steps. ``leader`` is None when nobody can lead."""

    members: tuple[str, ...]
    leader: str | None
    broken: tuple[_Broken, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def down(self) -> frozenset[str]:
        """Members that do not answer."""
        return frozenset(name for one in self.broken for name in one.names)

    def reach(self, name: str) -> int:
        """Voters that a member reaches both ways, itself counted; 0 when it is down."""
        down = self.down
        if name in down:
            return 0
        cut = {link for one in self.broken for link in one.links}
        others = (n for n in self.members if n != name and n not in down)
        return 1 + sum((name, n) not in cut and (n, name) not in cut for n in others)

    @property
    def left(self) -> int:
        """The largest group."""
        return max((self.reach(name) for name in self.members), default=0)

    def led(self) -> _Plight:
        """The same once elections are over."""
        need = len(self.members) // 2 + 1
        if self.leader in self.members and self.reach(self.leader) >= need:
            return self
        able = [name for name in self.members if self.reach(name) >= need]
        return replace(self, leader=able[0] if able else None)


@dataclass
class _Course:
    plight: _Plight
    now_s: float = 0.0
    lines: list[PreviewLine] = field(default_factory=list)


def lasting(scenario: Scenario) -> list[str]:
    """What a drill does to a cluster for good, in sentences: no healing brings it back."""
    done = {step.do for step in scenario.steps}
    return [text for do, text in _LASTING.items() if do in done]


def preview(scenario: Scenario, nodes: int = 0) -> list[PreviewLine]:
    """A line for each step, in their order. ``nodes``: how many members the cluster has; 0 takes
    the scenario's own number.
    """
    names = tuple(f"n{n + 1}" for n in range(nodes or scenario.shape.nodes))
    course = _Course(_Plight(names, names[0]))
    for step in scenario.steps:
        _advance(course, step)
        worst, hits = _worst(course.plight, step, course.now_s)
        course.plight = _settled(worst).led()
        course.lines.append(
            PreviewLine(
                step=step,
                when=_when(step),
                does=step.words,
                hits=hits,
                lasts=_lasts(step),
                left=worst.left,
                voters=len(worst.members),
            )
        )
    return course.lines


def _advance(course: _Course, step: Step) -> None:
    """To the step's time, or the earliest that its condition allows; what is over by then ends."""
    if step.at_s is not None:
        course.now_s = max(course.now_s, step.at_s)
    elif step.when == "healed":
        ends = [one.until_s for one in course.plight.broken if one.until_s != _FOR_EVER_S]
        course.now_s = max([course.now_s, *ends]) + step.after_s
    else:
        course.now_s += step.after_s
    left = tuple(one for one in course.plight.broken if one.until_s > course.now_s)
    course.plight = replace(course.plight, broken=left).led()


def _worst(plight: _Plight, step: Step, now_s: float) -> tuple[_Plight, str]:
    """The state right after a step, for the worst choice of who is meant, and whom it hits."""
    found = [
        (_after(plight, step, names, to, now_s), names)
        for names in _choices(step.targets, plight)
        for to in _choices(step.to, plight)
    ]
    worst, names = min(found, key=lambda pair: pair[0].left)
    worst = replace(worst, before=names or plight.before)
    if step.do in ("heal", "converge", "compact", "add_member"):
        return worst, ""
    if step.do in LINK_WORDS:
        bent = _links(plight, step, names, _first(_choices(step.to, plight)))
        every = len(plight.members) * (len(plight.members) - 1)
        who = " and ".join(step.targets) or "links"
        return worst, f"{who}, {len(bent)} of {every} one-way links"
    if step.do in CLIENT_WORDS:
        return worst, f"clients of {' and '.join(step.targets)}"
    count = len(names)
    return worst, f"{' and '.join(step.targets)}, {count} member{'s' * (count != 1)}"


def _first(choices: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return choices[0]


def _choices(roles: Sequence[str], plight: _Plight) -> list[tuple[str, ...]]:
    """All who may be meant by some roles together; where nobody is, one empty choice."""
    found: list[tuple[str, ...]] = [()]
    for role in roles:
        found = [(*one, *more) for one in found for more in _meant(role, plight)]
    return [tuple(sorted(set(one))) for one in found]


def _meant(role: str, plight: _Plight) -> Iterator[tuple[str, ...]]:
    members, leader = plight.members, plight.leader
    followers = tuple(name for name in members if name != leader)
    few = (len(members) - 1) // 2
    if role == "all":
        yield members
    elif role == "leader":
        yield (leader or members[0],)
    elif role == "followers":
        yield followers
    elif role == "follower":
        alive = [name for name in followers if name not in plight.down]
        yield from ((name,) for name in alive or followers)
    elif role == "other":
        fresh = [name for name in followers if name not in plight.before]
        yield from ((name,) for name in fresh or followers)
    elif role == "minority":
        yield from combinations(followers, few)
    elif role == "majority":
        for left in combinations(followers, few):
            yield tuple(name for name in members if name not in left)
    else:
        yield (role,)


def _after(
    plight: _Plight, step: Step, names: tuple[str, ...], to: tuple[str, ...], now_s: float
) -> _Plight:
    """The state while a step that hits ``names`` bites. Members that boot are out meanwhile."""
    until_s = now_s + step.for_s if step.for_s else _FOR_EVER_S
    match step.do:
        case "kill" | "fail_fsync" | "pause" | "corrupt_wal" | "disk_full":
            out = _Broken(until_s, frozenset(names), damaged=step.do == "corrupt_wal")
            return replace(plight, broken=(*plight.broken, out))
        case "restart":
            return _booting(_without(plight, names), names)
        case "rejoin_member":
            return _booting(_without(plight, names, damaged=True), names)
        case "heal":
            return replace(plight, broken=tuple(one for one in plight.broken if one.damaged))
        case "add_member":
            new = _new(plight)
            return _booting(replace(plight, members=(*plight.members, new)), (new,))
        case "remove_member" | "replace_member":
            left = tuple(name for name in plight.members if name not in names)
            gone = replace(_without(plight, names, damaged=True), members=left)
            if step.do == "remove_member":
                return gone
            new = _new(plight)
            return _booting(replace(gone, members=(*left, new)), (new,))
        case "transfer_leader":
            return replace(plight, leader=names[0] if names else plight.leader)
    if step.do in _CUTS:
        links = _Broken(until_s, links=frozenset(_links(plight, step, names, to)))
        return replace(plight, broken=(*plight.broken, links))
    return plight


def _new(plight: _Plight) -> str:
    used = [int(name[1:]) for name in plight.members if name[1:].isdigit()]
    return f"n{max(used, default=0) + 1}"


def _without(plight: _Plight, names: Sequence[str], damaged: bool = False) -> _Plight:
    """The state without what these members suffer; ``damaged``: damage to their files as well."""
    left = (
        one if one.damaged and not damaged else replace(one, names=one.names - frozenset(names))
        for one in plight.broken
    )
    return replace(plight, broken=tuple(one for one in left if one.names or one.links))


def _booting(plight: _Plight, names: Sequence[str]) -> _Plight:
    """The state while members boot: out for now, and back before the next step."""
    return replace(plight, broken=(*plight.broken, _Broken(_BOOTING_S, frozenset(names))))


def _settled(plight: _Plight) -> _Plight:
    """The state once whoever boots is there."""
    return replace(plight, broken=tuple(o for o in plight.broken if o.until_s != _BOOTING_S))


def _links(
    plight: _Plight, step: Step, names: tuple[str, ...], to: tuple[str, ...]
) -> tuple[Link, ...]:
    """The directed links that a step bends."""
    members, leader = plight.members, plight.leader or plight.members[0]
    few = (len(members) - 1) // 2
    if step.do == "ring":
        return ring_cuts(list(members))
    if step.do in ("majority", "minority"):
        followers = [name for name in members if name != leader]
        side = followers[:few] if step.do == "majority" else [leader, *followers[: few - 1]]
        return between(side, [name for name in members if name not in side])
    rest = [n for n in to if n not in names] or [n for n in members if n not in names]
    if step.do == "one_way":
        return tuple((a, b) for a in names for b in rest)
    if step.do == "sever":
        return between(names, rest)
    return tuple((a, b) for a in members for b in members if a != b and {a, b} & {*names})


def _when(step: Step) -> str:
    if step.at_s is not None:
        return f"at {step.at_s:g} s"
    later = f", and {step.after_s:g} s later" if step.after_s else ""
    return f"once {CONDITIONS[step.when]}{later}"


def _lasts(step: Step) -> str:
    if step.for_s:
        return f"for {step.for_s:g} s"
    if step.do in DEADLY:
        return "until it is started again"
    if step.do in ("restart", "rejoin_member", "replace_member", "add_member"):
        return "while it boots"
    return ""

"""What changes to the members, and work on them one at a time, mean for the quorum."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kvorum_tui.model import words
from kvorum_tui.model.admin_records import AlarmView, MemberFigures

CAUGHT_UP = 100  # A member this few entries behind has caught up; more come while one looks.
READY_SHARE = 0.9  # etcd and kvorum promote a learner that has this share of the leader's log.
_ALARM = re.compile(r"memberID:(\d+) alarm:(\w+)")


def quorum_of(voters: int) -> int:
    """How many of so many voters are needed."""
    return voters // 2 + 1


def voters(figures: Sequence[MemberFigures]) -> list[MemberFigures]:
    """Members with a vote."""
    return [each for each in figures if not each.learner]


def leader(figures: Sequence[MemberFigures]) -> MemberFigures | None:
    """The member that leads in the highest term."""
    leading = [each for each in figures if each.leads]
    return max(leading, key=lambda each: each.term) if leading else None


def newest_index(figures: Sequence[MemberFigures]) -> int:
    """The highest index that anybody knows to be committed."""
    return max((each.index for each in figures if each.up), default=0)


def trail(member: MemberFigures, figures: Sequence[MemberFigures]) -> int:
    """How many committed entries a member has not applied."""
    return max(0, newest_index(figures) - member.applied)


def alarms_in(figures: Sequence[MemberFigures]) -> list[AlarmView]:
    """The alarms that the members' statuses tell of."""
    found = {
        AlarmView(int(match[1]), match[2])
        for each in figures
        for text in each.errors
        for match in _ALARM.finditer(text)
    }
    return sorted(found, key=lambda each: (each.kind, each.member))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change of the members means. ``kept``: a quorum is left of those that answer."""

    lines: tuple[str, ...]
    kept: bool = True


def _votes(count: int, up: int) -> str:
    need = quorum_of(count)
    spare = up - need
    if spare > 0:
        left = f"survives the loss of {spare}"
    elif spare == 0:
        left = "survives no further loss"
    else:
        left = f"NO QUORUM, {-spare} too few"
    return f"{words.plural(count, 'voter')}, {up} up, {need} needed: {left}"


def _counts(figures: Sequence[MemberFigures]) -> tuple[int, int]:
    voting = voters(figures)
    return len(voting), sum(each.up for each in voting)


def removal(figures: Sequence[MemberFigures], member: MemberFigures) -> Effect:
    """Without this member."""
    count, up = _counts(figures)
    lines = [f"now: {_votes(count, up)}"]
    if member.learner:
        return Effect((*lines, "afterwards the same: a learner has no vote"))
    if count == 1:
        return Effect((*lines, "this is the only voter: the cluster would end"), kept=False)
    after, after_up = count - 1, up - member.up
    lines.append(f"afterwards: {_votes(after, after_up)}")
    if member.leads:
        lines.append("it leads now: an election follows, writes wait for it")
    if not member.up:
        lines.append("it does not answer: removing it makes the cluster safer than leaving it in")
    lines.append("its id never comes back; its node stops by itself, its data are of no use")
    return Effect(tuple(lines), after_up >= quorum_of(after))


def addition(figures: Sequence[MemberFigures], learner: bool) -> Effect:
    """With one more, which is not up at first."""
    count, up = _counts(figures)
    lines = [f"now: {_votes(count, up)}"]
    if learner:
        lines.append("a learner has no vote: the quorum stays as it is, promote it once it has")
        lines.append("caught up. This is the safe way to grow.")
        return Effect(tuple(lines))
    lines.append(f"until it is started: {_votes(count + 1, up)}")
    lines.append("start it soon; a wrong peer URL leaves a voter that never answers")
    return Effect(tuple(lines), up >= quorum_of(count + 1))


def promotion(figures: Sequence[MemberFigures], member: MemberFigures) -> Effect:
    """With a vote for this learner."""
    count, up = _counts(figures)
    return Effect(
        (f"now: {_votes(count, up)}", f"afterwards: {_votes(count + 1, up + member.up)}"),
        up + member.up >= quorum_of(count + 1),
    )


def progress(member: MemberFigures, figures: Sequence[MemberFigures]) -> tuple[float, str]:
    """How much of the leader's log a learner has applied: share, and in words."""
    newest = newest_index(figures)
    share = min(1.0, member.applied / newest) if newest else 0.0
    behind = trail(member, figures)
    ready = share >= READY_SHARE
    word = "can be promoted" if ready and member.up else "not ready to be promoted"
    return share, f"{share:.0%} of the log, {behind:,} entries behind: {word}"


# --- one at a time --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DefragStep:
    """One member's turn. ``hand_to``: leadership goes there first (0: it does not)."""

    id: int
    name: str
    endpoint: str
    free_bytes: int
    db_bytes: int
    leads: bool = False
    hand_to: int = 0


@dataclass(frozen=True, slots=True)
class DefragPlan:
    """Steps in order, leader last; ``refusal`` says why there is no plan."""

    steps: tuple[DefragStep, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def free_bytes(self) -> int:
        """What all steps together should give back."""
        return sum(step.free_bytes for step in self.steps)


def defrag_plan(
    figures: Sequence[MemberFigures],
    hand_over: bool,
    only: Sequence[int] = (),
    serves: bool = False,
) -> DefragPlan:
    """Learners, then followers, most to gain first, the leader last. ``only``: these members.
    ``serves``: members go on answering meanwhile, as those of kvorum do.
    """
    first = leader(figures)
    count, up = _counts(figures)
    if first is None:
        return DefragPlan(refusal="there is no leader; nothing is taken out of service now")
    wanted = [each for each in figures if each.up and (not only or each.id in only)]
    notes = [f"{each.title} is left out: {each.error}" for each in figures if not each.up]
    refusal = _no_quorum(count, up)
    if refusal and any(not each.learner for each in wanted):
        return DefragPlan(refusal=refusal, notes=tuple(notes))
    if count == 1 and not serves:
        notes.append("there is one voter: the cluster answers nothing while it is defragmented")
    others = [each for each in voters(figures) if each.up and not each.leads]
    target = min(others, key=lambda each: (trail(each, figures), each.title), default=None)
    ordered = sorted(
        wanted, key=lambda each: (each.leads, not each.learner, -each.free_bytes, each.title)
    )
    steps = tuple(
        DefragStep(
            each.id,
            each.title,
            each.endpoint,
            each.free_bytes,
            each.db_bytes,
            each.leads,
            target.id if each.leads and hand_over and target is not None else 0,
        )
        for each in ordered
    )
    return DefragPlan(steps, notes=tuple(notes))


def _no_quorum(count: int, up: int) -> str:
    """Why no voter may stand still; empty when one may."""
    if count == 1 or up - 1 >= quorum_of(count):
        return ""
    return (
        f"{up} of {count} voters are up; with one more standing still {quorum_of(count)} would not "
        "be left, and nothing could be written"
    )


def why_not_step(figures: Sequence[MemberFigures], step: DefragStep) -> str:
    """Why this member may not have its turn now, as things have become; empty when it may."""
    member = next((each for each in figures if each.id == step.id), None)
    if member is None:
        return f"{step.name} is no member any more"
    if not member.up:
        return f"{step.name} does not answer: {member.error}"
    count, up = _counts(figures)
    return "" if member.learner else _no_quorum(count, up)


def waits_for(figures: Sequence[MemberFigures], step: DefragStep) -> str:
    """What is still missing until a member that had its turn is well again; empty when nothing."""
    member = next((each for each in figures if each.id == step.id), None)
    if member is None or not member.up:
        return f"{step.name} does not answer yet"
    if not member.leader:
        return f"{step.name} knows no leader yet"
    behind = trail(member, figures)
    return f"{step.name} is {behind:,} entries behind" if behind > CAUGHT_UP else ""

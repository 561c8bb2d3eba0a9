"""Who led when, and how long it took until somebody led again after a step that took the leader.

Pure: fed with views of the cluster and the time, in seconds of the stage's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.drill.facts import Facts
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, View
from kvorum.drill.words import DEADLY

_REMOVALS = ("remove_member", "replace_member")


@dataclass
class _Loss:
    """A step that took the leader of a term away. ``lingers``: until the order is carried out he
    goes on leading, and what counts is when he was last seen to.
    """

    leader: str | None
    term: int
    since_s: float
    lingers: bool
    took_s: float | None = None


class Reigns:
    """Writes the leaders and the times between them into ``facts``."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._losses: list[_Loss] = []

    def see(self, view: View, now_s: float) -> str | None:
        """The cluster as it is now; returns who leads if that is news."""
        if view.leader is None:
            return None
        for loss in self._losses:
            if loss.lingers and (loss.leader, loss.term) == (view.leader, view.term):
                loss.since_s = now_s
        leaders = self._facts.leaders
        last = leaders[-1][1:] if leaders else None
        term = view.node(view.leader).term
        if last == (view.leader, term) or (last is not None and term < last[1]):
            return None
        leaders.append((now_s, view.leader, term))
        for loss in self._losses:
            if term > loss.term and loss.took_s is None:
                loss.took_s = now_s - loss.since_s
        self._count()
        return f"{view.leader} leads term {term}"

    def hit(self, fault: Fault, view: View, now_s: float) -> None:
        """A fault began; ``view`` is the cluster right before it."""
        if takes_leader(fault, view):
            self._lose(view, now_s)

    def ordered(self, step: Step, names: tuple[str, ...], view: View, now_s: float) -> None:
        """An order is about to be carried out."""
        if step.do == "transfer_leader" and names != (view.leader,):
            self._lose(view, now_s)
        elif step.do in ("restart", *_REMOVALS) and view.leader in names:
            self._lose(view, now_s, lingers=step.do in _REMOVALS)

    def agreed(self, view: View) -> None:
        """All agree. Where the leader still leads his term, what should have taken him away was
        over too soon for anybody to notice.
        """
        self._losses = [
            loss
            for loss in self._losses
            if loss.took_s is not None or (loss.leader, loss.term) != (view.leader, view.term)
        ]
        self._count()

    def _lose(self, view: View, now_s: float, lingers: bool = False) -> None:
        self._losses.append(_Loss(view.leader, view.term, now_s, lingers))
        self._count()

    def _count(self) -> None:
        self._facts.new_leader_s = [loss.took_s for loss in self._losses]


def takes_leader(fault: Fault, view: View) -> bool:
    """Whether the leader cannot go on leading: it is stopped, or hears no majority."""
    if view.leader is None:
        return False
    if fault.step.do in (*DEADLY, "pause"):
        return view.leader in fault.names
    if not fault.links or fault.step.do in ("loss", "delay"):
        return False
    cut = set(fault.links)
    others = [name for name in view.names if name != view.leader]
    heard = [n for n in others if not {(n, view.leader), (view.leader, n)} & cut]
    return len(heard) + 1 <= len(view.names) // 2

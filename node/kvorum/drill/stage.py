"""What the runner asks of a stage, whatever stands behind it: processes, simulation, real etcd.

A stage owns a cluster and the clients on it. Its clock begins at 0 when it is open; in simulation
it only moves inside :meth:`Stage.wait`. Everything that takes time is a coroutine; on the
simulated stage these never suspend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Step

Link = tuple[str, str]


class StageError(Exception):
    """A stage cannot do what is asked, or a fault did not bite; a sentence for people."""


class NodeView(NamedTuple):
    """One member as last seen. ``term`` 0 and ``applied`` 0: it gave no answer."""

    name: str
    alive: bool = True
    paused: bool = False
    term: int = 0
    applied: int = 0
    leader: bool = False


@dataclass(frozen=True)
class View:
    """The members as last seen. ``leader`` is the one of the highest term that anybody names and
    that is alive itself; None when there is none.
    """

    nodes: tuple[NodeView, ...] = ()
    leader: str | None = None
    term: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """All members, in the cluster's order."""
        return tuple(node.name for node in self.nodes)

    def node(self, name: str) -> NodeView:
        """One member; KeyError when it is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


@dataclass(frozen=True, eq=False)
class Fault:
    """A step that lasts, with everything resolved: whom it hits and which links it bends."""

    step: Step
    names: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def words(self) -> str:
        """For people."""
        if self.links:
            ways = sorted({f"{a}->{b}" for a, b in self.links})
            both = [w for w in ways if "->".join(reversed(w.split("->"))) in ways]
            shown = [w.replace("->", "-") for w in both if w.split("->") == sorted(w.split("->"))]
            shown += [w for w in ways if w not in both]
            return f"{self.step.words}: {', '.join(shown)}"
        return f"{self.step.words}: {', '.join(self.names)}"


class Digest(NamedTuple):
    """What one member holds: equal positions must have equal digests."""

    position: int
    digest: int


class Stage(Protocol):
    """A cluster with clients, that can be broken."""

    kind: str
    recorder: Recorder

    @property
    def own(self) -> bool:
        """Nobody but the drill writes to the cluster."""

    async def open(self) -> None:
        """Bring the cluster up until it has a leader. Raises StageError."""

    async def close(self) -> None:
        """Lift everything and stop what the stage started. Safe to call twice, never raises for
        what is already gone.
        """

    def now_s(self) -> float:
        """The stage's clock."""

    async def wait(self, seconds: float) -> None:
        """Let time pass."""

    def view(self) -> View:
        """The cluster as last seen."""

    async def begin(self) -> None:
        """Start the clients."""

    async def finish(self) -> None:
        """Let the clients end what they are at, and complete the recording."""

    async def inject(self, fault: Fault) -> str:
        """Begin a fault; returns the proof that it bites. Raises StageError."""

    async def lift(self, fault: Fault) -> str | None:
        """End one fault; nothing when it has ended. Returns what it did meanwhile, where the stage
        can tell.
        """

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """Do what does not last; returns what came of it. Raises StageError."""

    async def heal(self) -> None:
        """End all faults and start every member that is dead."""

    async def digests(self) -> dict[str, Digest]:
        """What every member holds; a member that gives no answer is left out."""

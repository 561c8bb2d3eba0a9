"""What a runner sees and tells: moments for the timeline, facts for the verdict, progress for
whoever waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kvorum.drill.stage import Digest


class Stopped(Exception):
    """The drill was interrupted."""


@dataclass(frozen=True)
class Moment:
    """Something that happened, for the timeline. ``kind``: step, proof, lift, leader, failed,
    note.
    """

    at_s: float
    kind: str
    text: str


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever waits for it. ``phase``: starting, steps, healing, converging,
    reading, comparing. ``faults``: what is in force, in words.
    """

    at_s: float
    length_s: float
    phase: str
    acknowledged: int
    failed: int
    unknown: int
    leader: str | None
    term: int
    faults: tuple[str, ...]


def unheard(progress: Progress) -> None:
    """Progress that nobody looks at."""


@dataclass
class Facts:
    """What the runner saw; the verdict is made of it and of the recording.

    ``new_leader_s``: for each step that took the leader away, seconds until another led (None:
    nobody did). ``ended_s``: the end of the steps; ``finished_s``: that of the clients' writes.
    ``converged_s``: after the end of all faults, None when it never came to that.
    ``silent``: members whose digests nobody could get at the end.
    ``failed_steps``: those that could not be done or did not bite.
    """

    moments: list[Moment] = field(default_factory=list)
    leaders: list[tuple[float, str, int]] = field(default_factory=list)
    new_leader_s: list[float | None] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)
    injected: int = 0
    bitten: int = 0
    first_term: int = 0
    last_term: int = 0
    ended_s: float = 0.0
    finished_s: float = 0.0
    healed_s: float = 0.0
    converged_s: float | None = None
    digests: dict[str, Digest] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    broken: str = ""

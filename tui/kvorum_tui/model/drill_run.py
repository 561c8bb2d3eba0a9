"""A drill as it runs: what its process tells becomes bars, leaders, rates and a scorecard.

Times are seconds on the drill's own clock. What is measured meanwhile is as fine as the samples (a
quarter of a second); the verdict's figures take its place once they are there. How much is kept is
bounded by what a scenario may be: its length and the number of its steps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvorum.drill.scenario import Scenario

OVER = ("passed", "failed", "stopped", "broken")
# What stops a member or a link; the rest only slows or bends.
HARD = (
    *("sever", "isolate", "one_way", "ring", "majority", "minority"),
    *("kill", "pause", "fail_fsync", "disk_full", "cut_clients"),
)
# One letter a fault, so that a bar says the same without its colour.
LETTERS: Mapping[str, str] = {
    "sever": "/",
    "isolate": "i",
    "one_way": ">",
    "ring": "o",
    "majority": "M",
    "minority": "m",
    "loss": "%",
    "delay": "d",
    "pause": "p",
    "kill": "k",
    "skew": "c",
    "slow_fsync": "s",
    "disk_full": "f",
    "stall": "z",
    "slow_history": "h",
    "fail_fsync": "F",
    "cut_clients": "C",
}


@dataclass(slots=True)
class Bar:
    """A fault in force at some members. ``end_s``: None while it lasts; ``due_s``: when it is due
    to end, None when only somebody else's step ends it.
    """

    id: int
    do: str
    members: tuple[str, ...]
    begin_s: float
    due_s: float | None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reign:
    """From when on a member led."""

    at_s: float
    leader: str | None
    term: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts so far, at a moment."""

    at_s: float
    writes: int
    acknowledged: int
    failed: int
    unknown: int
    down: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A moment of the timeline; kinds are those of :class:`kvorum.drill.runner.Moment`."""

    at_s: float
    kind: str
    text: str


@dataclass
class DrillRun:
    """One run. ``where``: the stage in people's words."""

    scenario: Scenario
    stage: str
    seed: int
    where: str
    connected: bool = False
    state: str = "starting"
    members: tuple[str, ...] = ()
    folder: str = ""
    moments: list[Told] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    reigns: list[Reign] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    now_s: float = 0.0
    changes: int = 0  # Grows with every line told; a painter need not compare more.
    new_leader_s: list[float] = field(default_factory=list)
    _step_s: float = 0.0
    _led: bool = False
    _times: list[float] = field(default_factory=list)  # of the samples, to find them by

    @property
    def over(self) -> bool:
        """It has ended, whichever way."""
        return self.state in OVER

    @property
    def length_s(self) -> float:
        """What the time axis must hold."""
        return max(self.scenario.length_s, self.now_s, 1.0)

    def take(self, told: Mapping[str, Any]) -> None:
        """One line of the drill's process; raises KeyError for one that it cannot tell."""
        self.changes += 1
        {
            "opening": self._opening,
            "ready": self._ready,
            "moment": self._moment,
            "fault": self._fault,
            "lifted": self._lifted,
            "sample": self._sample,
            "checking": self._checking,
            "verdict": self._verdict,
            "stopped": self._stopped,
            "error": self._error,
        }[told["t"]](told)

    def _opening(self, told: Mapping[str, Any]) -> None:
        self.folder = told["folder"]

    def _ready(self, told: Mapping[str, Any]) -> None:
        self.members, self.state = tuple(sorted(told["members"])), "running"

    def _moment(self, told: Mapping[str, Any]) -> None:
        moment = Told(told["at_s"], told["kind"], told["text"])
        self.moments.append(moment)
        self.now_s = max(self.now_s, moment.at_s)
        if moment.kind == "step":
            self._step_s = moment.at_s
        elif moment.kind == "leader":
            if self._led:
                self.new_leader_s.append(round(moment.at_s - self._step_s, 3))
            self._led = True

    def _fault(self, told: Mapping[str, Any]) -> None:
        due = told["at_s"] + told["for_s"] if told["for_s"] else None
        self.bars.append(Bar(told["id"], told["do"], tuple(told["members"]), told["at_s"], due))

    def _lifted(self, told: Mapping[str, Any]) -> None:
        for bar in self.bars:
            if bar.id == told["id"] and bar.end_s is None:
                bar.end_s = told["at_s"]

    def _sample(self, told: Mapping[str, Any]) -> None:
        at_s, down = told["at_s"], tuple(told["down"])
        self.now_s = max(self.now_s, at_s)
        self._times.append(at_s)
        self.samples.append(
            Sample(
                at_s, told["writes"], told["acknowledged"], told["failed"], told["unknown"], down
            )
        )
        new = [name for name in (told["leader"], *down) if name and name not in self.members]
        self.members += tuple(new)
        for bar in self.bars:
            # Killed for as long as nobody starts it: over when it is seen to run.
            if bar.end_s is None and bar.due_s is None and not set(bar.members) & set(down):
                bar.end_s = at_s
        led = (told["leader"], told["term"])
        if not self.reigns or (self.reigns[-1].leader, self.reigns[-1].term) != led:
            self.reigns.append(Reign(at_s, *led))

    def _checking(self, told: Mapping[str, Any]) -> None:
        self.state = "checking"

    def _verdict(self, told: Mapping[str, Any]) -> None:
        self.verdict, self.folder = told, told["folder"]
        self.state = "passed" if told["passed"] else "failed"

    def _stopped(self, told: Mapping[str, Any]) -> None:
        self.state = "stopped"
        self._close_bars()

    def _error(self, told: Mapping[str, Any]) -> None:
        self.state, self.error = "broken", told["text"]
        self._close_bars()

    def _close_bars(self) -> None:
        for bar in self.bars:
            if bar.end_s is None:
                bar.end_s = self.now_s

    # --- reading ----------------------------------------------------------------------------------

    @property
    def active(self) -> list[Bar]:
        """Faults in force."""
        return [bar for bar in self.bars if bar.end_s is None]

    def down_at(self, member: str, at_s: float) -> bool:
        """Whether its process was dead."""
        place = bisect_right(self._times, at_s)
        return place > 0 and member in self.samples[place - 1].down

    def reign_at(self, at_s: float) -> Reign | None:
        """Who led at a moment."""
        place = bisect_right(self.reigns, at_s, key=lambda reign: reign.at_s)
        return self.reigns[place - 1] if place else None

    def rate_at(self, begin_s: float, end_s: float) -> float | None:
        """Acknowledged writes a second between two moments; None where nothing is known."""
        first = max(0, bisect_right(self._times, begin_s) - 1)
        last = bisect_left(self._times, end_s)
        if not self.samples or last <= first or last >= len(self.samples):
            last = len(self.samples) - 1
            if last <= first or self._times[last] <= begin_s:
                return None
        one, other = self.samples[first], self.samples[last]
        return (other.writes - one.writes) / max(1e-9, other.at_s - one.at_s)

    @property
    def rate_max(self) -> float:
        """The highest rate between two samples."""
        spans = zip(self.samples, self.samples[1:], strict=False)
        rates = [(b.writes - a.writes) / max(1e-9, b.at_s - a.at_s) for a, b in spans]
        return max(rates, default=0.0)

    def stalls(self) -> tuple[float, float]:
        """The longest time without an acknowledged write so far, and the present one."""
        longest, since, count = 0.0, 0.0, 0
        for sample in self.samples:
            if sample.writes > count:
                longest, since, count = (
                    max(longest, sample.at_s - since),
                    sample.at_s,
                    sample.writes,
                )
        now = max(0.0, (self.samples[-1].at_s if self.samples else 0.0) - since)
        return max(longest, now), now

"""The fault gate: faults a node inflicts on itself, each with an end of its own.

The gate only knows which faults are in force. Where they bite: the peers ask it for the rule of a
link, the disk thread for a delay, and the runtime is told of pauses and clocks. Every fault is
lifted by a timer of this node's monotonic clock, whatever became of whoever asked for it. When one
ends the log says how often it bit: messages lost or held back, fsyncs that waited. A node without
``--enable-faults`` has no gate.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from kvorum.failpoints import Failpoints, Term
from kvorum.limits import FAULT_DURATION_MS_MAX, FAULTS_MAX, PAUSE_BEGINS_S

log = logging.getLogger(__name__)

_PPM = 1_000_000


class Direction(Enum):
    """Which way of a link a fault is about, seen from this node."""

    BOTH = "both"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True)
class LinkFault:
    """The link to one peer (0: every peer). Without any figure it is cut."""

    peer: int
    direction: Direction = Direction.BOTH
    delay_ms: int = 0
    jitter_ms: int = 0
    loss_ppm: int = 0

    @property
    def loss(self) -> float:
        """Share of messages lost."""
        nothing = not (self.delay_ms or self.jitter_ms or self.loss_ppm)
        return 1.0 if nothing else min(self.loss_ppm, _PPM) / _PPM

    @property
    def words(self) -> str:
        """For people."""
        if self.loss >= 1.0:
            return "link cut"
        parts = []
        if self.delay_ms or self.jitter_ms:
            parts.append(
                f"delay {self.delay_ms} ms" + (f" + {self.jitter_ms}" * bool(self.jitter_ms))
            )
        if self.loss_ppm:
            parts.append(f"loss {self.loss:.4%}")
        return "link " + ", ".join(parts)


@dataclass(frozen=True)
class PauseFault:
    """The node neither ticks nor answers."""

    @property
    def words(self) -> str:
        """For people."""
        return "pause"


@dataclass(frozen=True)
class SlowFsyncFault:
    """Each fsync of the log takes longer."""

    delay_ms: int

    @property
    def words(self) -> str:
        """For people."""
        return f"fsync +{self.delay_ms} ms"


@dataclass(frozen=True)
class ClockFault:
    """Ticks run at another rate; the wall clock shows another time."""

    rate_ppm: int = 0
    jump_ms: int = 0

    @property
    def words(self) -> str:
        """For people."""
        return f"clock {self.rate_ppm:+d} ppm, jump {self.jump_ms:+d} ms"


@dataclass(frozen=True)
class FailpointFault:
    """Armed failpoints."""

    terms: tuple[Term, ...]

    @property
    def text(self) -> str:
        """As they are written."""
        return ",".join(str(term) for term in self.terms)

    @property
    def words(self) -> str:
        """For people."""
        return f"failpoint {self.text}"


Fault = LinkFault | PauseFault | SlowFsyncFault | ClockFault | FailpointFault


class ActiveFault(NamedTuple):
    """A fault in force."""

    id: int
    fault: Fault
    remaining_ms: int


@dataclass(frozen=True)
class LinkRule:
    """What all faults on one way of one link come to. ``losing``, ``delaying``: the faults that it
    is made of.
    """

    loss: float
    delay_s: float
    jitter_s: float
    losing: tuple[int, ...] = field(default=(), compare=False)
    delaying: tuple[int, ...] = field(default=(), compare=False)


class _Timed(NamedTuple):
    fault: Fault
    ends_at: float
    timer: asyncio.TimerHandle


class FaultGate:
    """The faults in force.

    Args:
        loop: its clock times the faults.
        rng: decides which messages are lost and how long they are delayed.
        failpoints: those of this node.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._loop = loop
        self._failpoints = failpoints
        self._rng = rng
        self._faults: dict[int, _Timed] = {}
        self._next_id = 1
        self._listeners: list[Callable[[], None]] = []
        # What the faults come to; plain values, because the disk thread reads one of them.
        self.paused = False
        self.fsync_delay_s = 0.0
        self.rate_ppm = 0
        self.jump_ms = 0
        self._links: dict[tuple[int, Direction], LinkRule | None] = {}
        self._slow: tuple[int, ...] = ()  # The faults that make fsyncs slow.
        # How often each fault in force has bitten; the disk thread counts, too.
        self._bites: dict[int, int] = {}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` on the loop whenever the faults in force change."""
        self._listeners.append(listener)

    def inject(self, fault: Fault, duration_ms: int) -> int:
        """Put a fault into force for so long; returns its id. ValueError for what cannot be."""
        if not 1 <= duration_ms <= FAULT_DURATION_MS_MAX:
            raise ValueError(f"duration_ms must be from 1 to {FAULT_DURATION_MS_MAX}")
        if len(self._faults) >= FAULTS_MAX:
            raise ValueError(f"more than {FAULTS_MAX} faults at once")
        if isinstance(fault, ClockFault) and not -_PPM < fault.rate_ppm <= _PPM:
            raise ValueError("rate_ppm must be above -1,000,000 and at most 1,000,000")
        if isinstance(fault, FailpointFault) and self._failpoints is None:
            raise ValueError("this node has no failpoints")
        id_, self._next_id = self._next_id, self._next_id + 1
        seconds = duration_ms / 1000
        timer = self._loop.call_later(seconds, self._end, id_)
        self._faults[id_] = _Timed(fault, self._loop.time() + seconds, timer)
        self._bites[id_] = 0
        log.warning(
            "fault injected",
            extra={"fault": fault.words, "fault-id": id_, "duration-ms": duration_ms},
        )
        if isinstance(fault, FailpointFault) and self._failpoints is not None:
            self._failpoints.arm(id_, fault.terms)
        if isinstance(fault, PauseFault):
            # The answer to whoever asked must leave before nothing leaves any more.
            self._loop.call_later(PAUSE_BEGINS_S, self._changed)
        else:
            self._changed()
        return id_

    def lift(self, id_: int = 0) -> int:
        """End one fault, or all for 0; returns how many ended."""
        ids = [id_] if id_ else sorted(self._faults)
        return sum(self._end(each) for each in ids)

    def list(self) -> tuple[ActiveFault, ...]:
        """The faults in force, oldest first."""
        now = self._loop.time()
        return tuple(
            ActiveFault(id_, timed.fault, max(0, int((timed.ends_at - now) * 1000)))
            for id_, timed in self._faults.items()
        )

    def close(self) -> None:
        """The node stops: no timer stays behind."""
        for timed in self._faults.values():
            timed.timer.cancel()
        self._faults.clear()
        self._bites.clear()
        self._changed()

    def link(self, peer: int, direction: Direction) -> LinkRule | None:
        """The rule of one way of a link; None when nothing is wrong with it."""
        if not self._faults:
            return None
        key = (peer, direction)
        if key not in self._links:
            self._links[key] = self._combine(peer, direction)
        return self._links[key]

    def passes(self, rule: LinkRule) -> bool:
        """Draw whether a message gets through."""
        through = rule.loss <= 0.0 or self._rng.random() >= rule.loss
        if not through:
            self._bit(rule.losing)
        return through

    def delay_s(self, rule: LinkRule) -> float:
        """Draw how long a message is held back."""
        self._bit(rule.delaying)
        return rule.delay_s + (self._rng.uniform(0.0, rule.jitter_s) if rule.jitter_s else 0.0)

    def fsync_waits_s(self) -> float:
        """How long the fsync that comes now has to wait. From the disk thread."""
        if self.fsync_delay_s:
            self._bit(self._slow)
        return self.fsync_delay_s

    def _bit(self, ids: Iterable[int]) -> None:
        for id_ in ids:
            if id_ in self._bites:
                self._bites[id_] += 1

    def _combine(self, peer: int, direction: Direction) -> LinkRule | None:
        passing, delay, jitter, found = 1.0, 0, 0, False
        losing, delaying = [], []
        for id_, timed in self._faults.items():
            fault = timed.fault
            if not isinstance(fault, LinkFault) or fault.peer not in (0, peer):
                continue
            if fault.direction in (Direction.BOTH, direction):
                found = True
                passing *= 1.0 - fault.loss
                delay += fault.delay_ms
                jitter += fault.jitter_ms
                losing += [id_] * bool(fault.loss)
                delaying += [id_] * bool(fault.delay_ms or fault.jitter_ms)
        if not found:
            return None
        loss, parts = 1.0 - passing, (tuple(losing), tuple(delaying))
        return LinkRule(loss, delay / 1000, jitter / 1000, *parts)

    def _end(self, id_: int) -> int:
        timed = self._faults.pop(id_, None)
        if timed is None:
            return 0
        timed.timer.cancel()
        if self._failpoints is not None:
            self._failpoints.disarm(id_)
        said = {"fault": timed.fault.words, "fault-id": id_}
        bites = self._bites.pop(id_)
        if isinstance(timed.fault, LinkFault | SlowFsyncFault):
            said["bites"] = bites
        log.warning("fault lifted", extra=said)
        self._changed()
        return 1

    def _changed(self) -> None:
        faults = [timed.fault for timed in self._faults.values()]
        slow = [i for i, timed in self._faults.items() if isinstance(timed.fault, SlowFsyncFault)]
        self._slow = tuple(slow)
        self._links.clear()
        self.paused = any(isinstance(fault, PauseFault) for fault in faults)
        self.fsync_delay_s = sum(f.delay_ms for f in faults if isinstance(f, SlowFsyncFault)) / 1000
        self.rate_ppm = sum(f.rate_ppm for f in faults if isinstance(f, ClockFault))
        self.jump_ms = sum(f.jump_ms for f in faults if isinstance(f, ClockFault))
        for listener in self._listeners:
            listener()

"""Proof that a fault bit, from the log of whom it hit.

A stage that remembers, of every fault, when it was injected and into whom; afterwards the members'
logs are read: what a fault gate says it lost or held back, a failpoint's bites, a shutdown, a log
found damaged, a new leader. What nobody's log (nor, of signals, the state of the process) tells of
did not happen.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from kvorum.drill.processes import ProcessStage
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, StageError
from kvorum.drill.words import LINK_WORDS

_NEAR_S = 0.5  # A log's stamps and ours are of one clock, but lines are written a little later.
_REFUSED_S = 30.0
_AFTER_S = 8.0  # Within this a member that was started has said what it found.
# What a member's own gate tells of, beside links.
_OF_GATES = ("slow_fsync", "skew", "disk_full", "slow_history", "stall")


class Note(NamedTuple):
    """A fault or an order that the stage has carried out, in seconds since 1970."""

    kind: str
    began_s: float
    done_s: float
    names: tuple[str, ...]
    proof: str


class Said(NamedTuple):
    """One line of a member's log."""

    at_s: float
    message: str
    fields: dict[str, Any]


class NotingStage(ProcessStage):
    """A stage of processes that notes what it does to them."""

    notes: list[Note]
    _cuts: dict[Fault, int]
    _damaged: set[str]

    def note(self) -> None:
        """Begin to take notes."""
        self.notes, self._cuts, self._damaged = [], {}, set()

    async def inject(self, fault: Fault) -> str:
        """Begin a fault."""
        everybody = len(fault.names) == len(self.view().names) > 1
        kind = "kill_all" if fault.step.do == "kill" and everybody else fault.step.do
        touched = fault.names or tuple(sorted({name for link in fault.links for name in link}))
        if fault.links:
            touched = self.view().names
        began_s = time.time()
        proof = await super().inject(fault)
        if kind == "cut_clients":
            # How much was held back is known when it is over.
            self._cuts[fault] = len(self.notes)
        self.notes.append(Note(kind, began_s, time.time(), touched, proof))
        return proof

    async def lift(self, fault: Fault) -> str | None:
        """End a fault."""
        told = await super().lift(fault)
        place = self._cuts.pop(fault, None)
        if place is not None:
            self.notes[place] = self.notes[place]._replace(proof=told or "")
        return told

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """Do what does not last. Only a healthy cluster's member is damaged, and what follows waits
        until it has refused to run: a loss of two members' logs would be no fault of the cluster's.
        """
        others = [node for node in self.view().nodes if node.name not in names]
        if step.do == "corrupt_wal" and not all(node.alive and node.term for node in others):
            raise StageError("another member is away")
        if step.do == "corrupt_wal":
            self._damaged.update(names)
        elif step.do in ("rejoin_member", "replace_member") and self._damaged & set(names):
            await self._refused(names)
        fresh = step.do == "restart" and all(not self.view().node(name).alive for name in names)
        began_s = time.time()
        proof = await super().order(step, names)
        kind = "start" if fresh else step.do
        self.notes.append(Note(kind, began_s, time.time(), names, proof))
        return proof

    async def _refused(self, names: Sequence[str]) -> None:
        end_s = time.monotonic() + _REFUSED_S
        while any(self.view().node(name).alive for name in names):
            if time.monotonic() > end_s:
                raise StageError(f"{' and '.join(names)} runs on a damaged log")
            await asyncio.sleep(0.05)
        self._damaged.difference_update(names)


@dataclass(frozen=True)
class Logs:
    """What all members of a run said, by name."""

    lines: dict[str, tuple[Said, ...]]

    @classmethod
    def of(cls, cluster: Path) -> Logs:
        """Read the logs below the directory of a run's cluster."""
        return cls({path.parent.name: tuple(_read(path)) for path in cluster.glob("*/node.log")})

    def between(self, name: str, from_s: float, to_s: float) -> Iterator[Said]:
        """What a member said in a stretch of time."""
        for said in self.lines.get(name, ()):
            if from_s - _NEAR_S <= said.at_s <= to_s + _NEAR_S:
                yield said

    def bit(self, note: Note) -> bool:
        """Whether there is proof that a fault bit."""
        if note.kind in ("kill", "kill_all", "pause"):
            # The supervisor has seen the process gone, or standing still.
            return note.proof.endswith(("dead", "stopped"))
        if note.kind == "cut_clients":
            return bool(re.match(r"[1-9]\d* bytes held back", note.proof))
        if note.kind == "reset_clients":
            return bool(re.match(r"[1-9]\d* connections", note.proof))
        if note.kind == "rejoin_member":
            return note.proof.endswith("and voting")
        return any(self._bit(name, note) for name in self._whose(note))

    def _whose(self, note: Note) -> Sequence[str]:
        # A new leader or member says so itself, whoever was named.
        anybody = note.kind in ("transfer_leader", "replace_member")
        return tuple(self.lines) if anybody else note.names

    def _bit(self, name: str, note: Note) -> bool:
        begin, done = note.began_s, note.done_s
        later = list(self.between(name, begin, done + _AFTER_S))
        if note.kind in (*LINK_WORDS, *_OF_GATES):
            return any(self._gate_bit(name, s) for s in self.between(name, begin, done) if _gate(s))
        if note.kind == "restart":
            return any(said.message.startswith("received signal") for said in later)
        if note.kind == "fail_fsync":
            return any("raise(EIO)" in s.fields.get("failpoint", "") for s in later)
        if note.kind == "corrupt_wal":
            return any(said.message.startswith("the log is damaged") for said in later)
        if note.kind == "transfer_leader":
            led = [s for s in self.between(name, begin, done) if s.fields.get("role") == "leader"]
            return bool(led) and "leads after" in note.proof
        if note.kind == "replace_member":
            new = note.proof.rpartition(", ")[2].partition(" ")[0]
            return name == new and any(s.message.startswith("ready to serve") for s in later)
        return False

    def _gate_bit(self, name: str, injected: Said) -> bool:
        """Whether a fault of a member's own gate did anything until it was lifted."""
        for said in self.lines[name]:
            if said.at_s < injected.at_s:
                continue
            if said.message == "failpoint" and said.fields["failpoint"] in injected.fields["fault"]:
                return True
            if said.message == "recovered":
                return False  # It was killed before it could say.
            same = said.fields.get("fault-id") == injected.fields["fault-id"]
            if said.message == "fault lifted" and same:
                clock = injected.fields["fault"].startswith("clock")
                return clock or int(said.fields.get("bites", 0)) > 0
        return False

    def deaths(self, notes: Sequence[Note]) -> list[str]:
        """Members that ended by themselves, but for those that had to."""
        deadly = ("corrupt_wal", "fail_fsync")
        damaged = {name for note in notes if note.kind in deadly for name in note.names}
        return [
            f"{name} ended by itself: {said.message}"
            for name, lines in sorted(self.lines.items())
            for said in lines
            if said.fields.get("level") == "fatal" and name not in damaged
        ]


def _gate(said: Said) -> bool:
    return said.message == "fault injected"


def _read(path: Path) -> Iterator[Said]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                fields = json.loads(line)
                at_s = datetime.fromisoformat(fields["ts"]).timestamp()
            except (ValueError, KeyError, TypeError):
                continue  # A line that was cut by a kill, or a traceback.
            yield Said(at_s, str(fields.get("msg", "")), fields)

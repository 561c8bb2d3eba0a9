"""Performs steps on both sides, compares what comes back, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from compat.differential.allowed import ABSENT, ALLOWED, Case
from compat.differential.servers import Pair
from compat.differential.side import Answer, Side
from compat.differential.step import Step
from compat.differential.watching import APART, PAST, WATCH, Arrivals, Sequences, WatchStream
from compat.differential.world import World

_SENTINEL = b"\xff~sync"
_REFUSED = {"create_request": {"key": b"b", "range_end": b"a"}}
_ARRIVE_S = 10.0  # For what must come; many times what a loaded machine needs.
_GRACE_S = 0.5  # Before an allowed difference in a stream counts as one.
_BEFORE = frozenset({"KV/Compact", "Watch/close", "sync"})
_MEMBER_CHANGES = frozenset(
    f"Cluster/Member{change}" for change in ("Add", "Remove", "Update", "Promote")
)
_CODES = dict(
    enumerate(
        [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
    )
)


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ: path, their part, our part. Lists of different length differ as a
    whole.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            here = f"{path}.{name}" if path else name
            yield from differences(theirs.get(name, ABSENT), ours.get(name, ABSENT), here)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for at, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(their, our, f"{path}[{at}]")
    elif theirs != ours:
        yield path, theirs, ours


class Runner:
    """One pair of servers and everything that has been said to it."""

    def __init__(self, pair: Pair, release: str) -> None:
        self.pair = pair
        self.release = release
        self.world = World()
        self.tally: Counter[tuple[str, str]] = Counter()
        self.matched: Counter[int] = Counter()
        self._arrivals = Arrivals()
        self._streams: dict[int, tuple[WatchStream, WatchStream]] = {}
        self._catching_up = False

    def close(self) -> None:
        """End the streams."""
        for number in list(self._streams):
            self._close_stream(number)

    def perform(self, step: Step) -> list[Case]:
        """Do a step on both sides. Returns the differences that nothing allows."""
        if step.kind in _BEFORE:
            self._settle()
        match step.kind:
            case "sync":
                return self._compare_streams(step)
            case "Watch/close":
                found = self._compare_streams(step)
                self._close_stream(step.request["stream"])
                return found
            case "Watch/Watch":
                return self._watch(step)
        theirs, ours = self._past(step) if step.kind == PAST else self._exchange(step)
        self.tally[f"{step.kind} {step.via}", _CODES.get(theirs.code, str(theirs.code))] += 1
        return self._compare_answers(step, theirs, ours)

    # --- calls ------------------------------------------------------------------------------------

    def _exchange(self, step: Step) -> tuple[Answer, Answer]:
        waiting = [(side, side.begin(step)) for side in self.pair]
        theirs, ours = (self._finished(step, side, finish()) for side, finish in waiting)
        self.world.saw(step, theirs)
        if step.kind in _MEMBER_CHANGES:
            # Etcd loses a change that comes before its raft has taken note of the last one; a write
            # comes after that.
            self._put_sentinel()
        return theirs, ours

    def _put_sentinel(self) -> tuple[Answer, Answer]:
        token = "@root" if self.world.auth_on else ""
        return self._exchange(Step("KV/Put", {"key": _SENTINEL}, token=token))

    def _finished(self, step: Step, side: Side, answer: Answer) -> Answer:
        """The answer without what is the side's alone, which is remembered."""
        if answer.code == 0 and step.alias:
            named = answer.body.get("member", answer.body)
            side.learn(step.alias, int(named["ID"]))
        if answer.code == 0 and step.label:
            side.tokens[step.label] = answer.body["token"]
        return answer._replace(body=side.normal(answer.body))

    def _compare_answers(self, step: Step, theirs: Answer, ours: Answer) -> list[Case]:
        found: list[tuple[str, Any, Any]] = []
        if (theirs.code, theirs.message) != (ours.code, ours.message):
            found.append(("refusal", (theirs.code, theirs.message), (ours.code, ours.message)))
        else:
            found += differences(theirs.body, ours.body)
            if theirs.status != ours.status:
                found.append(("status", theirs.status, ours.status))
        cases = [Case(step, *each, theirs.body, ours.body, self.world) for each in found]
        return [case for case in cases if not self.allows(case)]

    def allows(self, case: Case) -> bool:
        """Whether a line of the list covers the difference; it is counted."""
        for number, rule in enumerate(ALLOWED):
            if self.release in rule.releases.split() and rule.covers(case):
                self.matched[number] += 1
                return True
        return False

    # --- watches ----------------------------------------------------------------------------------

    def _watch(self, step: Step) -> list[Case]:
        number, request = step.request["stream"], step.request["send"]
        create = request.get("create_request")
        if create is None or self._catching_up:
            self._settle()
        if number not in self._streams:
            theirs, ours = (
                WatchStream(side, side.metadata(step), self._arrivals) for side in self.pair
            )
            self._streams[number] = theirs, ours
        streams = self._streams[number]
        before = len(streams[0].creations)
        for stream in streams:
            stream.send(request)
            if create is None:
                # It has no answer, or not always; the answer to this one comes after it was heard.
                stream.send(_REFUSED)
        if create is None:
            self.tally[f"{WATCH} {' '.join(request) or 'nothing'}", "sent"] += 1
            found = self._compare_creations(step, before)
            return found + (self._compare_streams(step) if "progress_request" in request else [])
        if 0 < create.get("start_revision", 0) <= self.world.revision:
            self._catching_up = True
        return self._compare_creations(step, before)

    def _compare_creations(self, step: Step, before: int) -> list[Case]:
        streams = self._streams[step.request["stream"]]
        self._arrivals.wait_until(
            lambda: all(each.end or len(each.creations) > before for each in streams), _ARRIVE_S
        )
        theirs, ours = (each.creations[before:] or each.end for each in streams)
        refused = isinstance(theirs, str) or theirs[0].get("canceled")
        if "create_request" in step.request["send"]:
            self.tally[f"{WATCH} create", "refused" if refused else "created"] += 1
        cases = [
            Case(step, f"creation{path}", a, b, theirs, ours, self.world)
            for path, a, b in differences(theirs, ours)
        ]
        return [case for case in cases if not self.allows(case)]

    def _past(self, step: Step) -> tuple[Answer, Answer]:
        """Both sides' events from a past revision to one that is made for this."""
        theirs, ours = self._put_sentinel()
        if theirs.code or ours.code:
            return theirs, ours
        until = int(theirs.body["header"]["revision"])
        answers = [(side, side.watch_past(step, until)) for side in self.pair]
        theirs, ours = (each._replace(body=side.normal(each.body)) for side, each in answers)
        return theirs, ours

    def _settle(self) -> None:
        """Let every watcher that reads the past come to the present.

        A watcher that is created behind all others, at a revision of its own making, is served in
        the same round as they are: when it has its event they have theirs.
        """
        if not self._catching_up:
            return
        theirs, ours = self._put_sentinel()
        if theirs.code or ours.code:
            return
        self._catching_up = False
        start = int(theirs.body["header"]["revision"])
        request = {"create_request": {"key": _SENTINEL, "start_revision": start}}
        root = Step(WATCH, {}, token="@root" if self.world.auth_on else "")
        probes = [WatchStream(side, side.metadata(root), self._arrivals) for side in self.pair]
        for probe in probes:
            probe.send(request)
        self._arrivals.wait_until(
            lambda: all(len(probe.sequences.get("0", [])) > 1 or probe.end for probe in probes),
            _ARRIVE_S,
        )
        for probe in probes:
            probe.close()

    def _compare_streams(self, step: Step) -> list[Case]:
        found: list[Case] = []
        for number, (theirs, ours) in self._streams.items():
            if number == APART:
                continue
            differing = _Differing(self, step, number, theirs, ours)
            if not self._arrivals.wait_until(differing.equal, _GRACE_S):
                self._arrivals.wait_until(differing.allowed, _ARRIVE_S)
                found += differing.cases
            for side, stream in zip(self.pair, (theirs, ours), strict=True):
                faults, stream.faults = stream.faults, []
                found += [
                    Case(step, f"{side.name} alone", fault, "", fault, "", self.world)
                    for fault in faults
                ]
        return found

    def _close_stream(self, number: int) -> None:
        for stream in self._streams.pop(number, ()):
            stream.close()


class _Differing:
    """Compares what two streams have brought, again and again while more arrives. What was found
    equal, or different in an allowed way, is forgotten.
    """

    def __init__(
        self, runner: Runner, step: Step, number: int, theirs: WatchStream, ours: WatchStream
    ) -> None:
        self._runner = runner
        self._step = step
        self._number = number
        self._theirs = theirs
        self._ours = ours
        self.cases: list[Case] = []

    def equal(self) -> bool:
        """Whether both have brought the same."""
        theirs, ours = self._theirs.waiting(), self._ours.waiting()
        if theirs != ours or self._theirs.end != self._ours.end:
            return False
        self._forget(theirs, ours)
        return True

    def allowed(self) -> bool:
        """Whether all that differs may; ``cases`` has what may not."""
        theirs, ours = self._theirs.waiting(), self._ours.waiting()
        where = f"stream {self._number}"
        parts: list[tuple[str, Any, Any]] = [
            (f"{where} watcher {name}", *rest)
            for name in sorted(theirs.keys() | ours.keys())
            if any(rest := _beyond_common(theirs.get(name, []), ours.get(name, [])))
        ]
        if self._theirs.end != self._ours.end:
            parts.append((where, self._theirs.end, self._ours.end))
        cases = [Case(self._step, *part, theirs, ours, self._runner.world) for part in parts]
        self.cases = [case for case in cases if not self._runner.allows(case)]
        if not self.cases:
            self._forget(theirs, ours)
        return not self.cases

    def _forget(self, theirs: Sequences, ours: Sequences) -> None:
        self._theirs.forget(theirs)
        self._ours.forget(ours)


def _beyond_common(a: list[Any], b: list[Any]) -> tuple[list[Any], list[Any]]:
    """What follows where two sequences part."""
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return a[same:], b[same:]

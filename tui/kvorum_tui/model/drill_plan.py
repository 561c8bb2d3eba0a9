"""A drill before it runs, as lines to read: steps on a time axis, whom each hits, what is left."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from kvorum.drill.preview import PreviewLine, preview
from kvorum.drill.scenario import Scenario, Step

from kvorum_tui.model import words
from kvorum_tui.model.drill_choice import ABOUT, SHORT, WORDS, Place
from kvorum_tui.model.drill_run import HARD

Rich = list[list[tuple[str, str]]]

MARGIN = 2
NARROW = 62  # Below it, words are left out.


@dataclass(frozen=True, slots=True)
class Planned:
    """When a step is due. ``sure``: at a time that the file gives, not on a condition."""

    step: Step
    begin_s: float
    end_s: float
    sure: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What to show beside the scenario. ``leader``: of the cluster it would run on, where that is
    known; ``nodes``: its members, 0 for as many as the file says.
    """

    places: Sequence[Place]
    chosen: str
    title: str = ""
    leader: str = ""
    nodes: int = 0


def planned(scenario: Scenario) -> list[Planned]:
    """The steps in time: those on a condition as early as it can hold."""
    found: list[Planned] = []
    now_s, ends_s = 0.0, 0.0
    for step in scenario.steps:
        if step.at_s is not None:
            now_s = max(now_s, step.at_s)
        else:
            since_s = ends_s if step.when == "healed" else now_s
            now_s = max(now_s, since_s) + step.after_s
        end_s = now_s + step.for_s
        ends_s = max(ends_s, end_s)
        found.append(Planned(step, now_s, end_s, step.at_s is not None))
    return found


def worst(lines: Sequence[PreviewLine]) -> tuple[PreviewLine | None, bool]:
    """The step after which the fewest voters are together, and whether a quorum always is."""
    line = min(lines, key=lambda one: one.left / max(1, one.voters), default=None)
    return line, all(one.quorum for one in lines)


def plan_lines(scenario: Scenario, picture: Picture, width: int) -> Rich:
    """All of it, for a box of ``width`` cells."""
    width = max(30, width)
    lines: Rich = [[(part, "bold")] for part in textwrap.wrap(scenario.title, width)]
    lines += _place_lines(picture, width)
    lines += [[], *_step_lines(scenario, picture, width), []]
    lines += _worst_lines(scenario, picture, width)
    lines += [[], [("What it demands", "head")]]
    lines += _wrapped(demands(scenario), width, "text")
    lines += _wrapped(load_words(scenario, picture.chosen != "connected"), width, "dim")
    lines += [[], [("What it teaches", "head")]]
    return lines + _wrapped(scenario.learn, width, "text")


def _wrapped(text: str, width: int, ink: str) -> Rich:
    parts = textwrap.wrap(text, width - MARGIN, break_on_hyphens=False)
    return [[(" " * MARGIN + part, ink)] for part in parts]


def _place_lines(picture: Picture, width: int) -> Rich:
    """Where it would run, and why not elsewhere."""
    row: list[tuple[str, str]] = [("on ", "dim")]
    for place in picture.places:
        sign, ink = ("✗", "faint") if place.why_not else ("○", "text")
        if place.name == picture.chosen:
            sign, ink = ("●", "bad" if place.why_not else "accent")
        word = (SHORT if width < NARROW else WORDS)[place.name]
        row.append((f" {sign} {word} ", ink))
    chosen = next(place for place in picture.places if place.name == picture.chosen)
    about = ABOUT.get(chosen.name, f"{picture.title}: the cluster that you look at, as it is now")
    rows: Rich = [row]
    if chosen.why_not:
        return rows + [
            [(part, "bad")] for part in textwrap.wrap(f"cannot run there: {chosen.why_not}", width)
        ]
    return rows + [[(part, "dim")] for part in textwrap.wrap(about, width)]


def _step_lines(scenario: Scenario, picture: Picture, width: int) -> Rich:
    """The axis, then two lines a step: what, and when with what is left. A step that the file
    repeats is one.
    """
    lines = preview(scenario, picture.nodes)
    times = planned(scenario)
    narrow = width < NARROW
    bar = max(12, min(60, width - (13 if narrow else 28)))
    axis_s = max([scenario.length_s, *(one.end_s for one in times)])
    shown: Rich = [_axis(axis_s, bar)]
    groups: dict[int, list[int]] = {}
    for number, step in enumerate(scenario.steps):
        groups.setdefault(step.line, []).append(number)
    for numbers in groups.values():
        some = [lines[number] for number in numbers]
        low = min(some, key=lambda one: one.left)
        step = scenario.steps[numbers[0]]
        times_word = f", {len(numbers)} times" if len(numbers) > 1 else ""
        text = f"{low.when}: {resolved(step, picture.leader)}{times_word}"
        shown += [[(part, "text")] for part in textwrap.wrap(text, width)]
        row = _bar([times[number] for number in numbers], axis_s, bar)
        left = f" {low.left} of {low.voters} " + "voters " * (not narrow)
        word = "" if narrow else " quorum" if low.quorum else " NO quorum"
        row += [(left, "text"), (f"✓{word}", "good") if low.quorum else (f"✗{word}", "bad")]
        shown.append(row)
    return shown


def resolved(step: Step, leader: str) -> str:
    """A step's words, the leader by name where it is known who that is."""
    return (
        step.words.replace("leader", f"leader ({leader} now)", 1)
        if (leader and "leader" in step.targets)
        else step.words
    )


def _axis(axis_s: float, width: int) -> list[tuple[str, str]]:
    end = f"{axis_s:g} s"
    middle = f"{axis_s / 2:g}"
    text = "0 s".ljust(width // 2) + middle
    return [(text[: width - len(end)].ljust(width - len(end)) + end, "dim")]


def _bar(times: Sequence[Planned], axis_s: float, width: int) -> list[tuple[str, str]]:
    """Cells of one row: solid where a fault is in force, a mark where something is done; hollow
    where the time depends on a condition.
    """
    cells = ["·"] * width
    for one in times:
        first = min(width - 1, int(one.begin_s / axis_s * width))
        last = min(width - 1, max(first, int(one.end_s / axis_s * width) - 1))
        sign = ("█" if one.sure else "▒") if one.end_s > one.begin_s else ("▲" if one.sure else "△")
        for cell in range(first, last + 1):
            cells[cell] = sign
    ink = "bad" if times[0].step.do in HARD else "warn"
    return [(sign, "faint" if sign == "·" else ink) for sign in cells]


def _worst_lines(scenario: Scenario, picture: Picture, width: int) -> Rich:
    lines = preview(scenario, picture.nodes)
    line, kept = worst(lines)
    if line is None:
        return []
    count = picture.nodes or scenario.shape.nodes
    if all(one.left >= count for one in lines):
        text = f"All {words.plural(count, 'voter')} work together all the time."
        return [[(part, "good")] for part in textwrap.wrap(text, width)]
    if kept:
        text = (
            f"At worst {line.left} of {words.plural(line.voters, 'voter')} work together: the"
            " quorum is kept. Writes wait for an election whenever the leader goes."
        )
        return [[(part, "good")] for part in textwrap.wrap(text, width)]
    text = (
        f"At worst {line.left} of {words.plural(line.voters, 'voter')} work together: NO QUORUM."
        " Writes and linearizable reads stop until it is back."
    )
    return [[(part, "bad")] for part in textwrap.wrap(text, width)]


def demands(scenario: Scenario) -> str:
    """What the verdict wants beyond safety."""
    expect = scenario.expect
    parts = ["no lost acknowledgement, no stale read, no gap in a watch, equal digests"]
    if expect.new_leader_within_s is not None:
        parts.append(f"a new leader within {expect.new_leader_within_s:g} s")
    if expect.leader_stays:
        parts.append("the leader stays")
    if expect.write_stall_s_max is not None:
        parts.append(f"writes never stall longer than {expect.write_stall_s_max:g} s")
    parts.append(f"all agree {expect.converge_within_s:g} s after the last fault")
    for value, word in ((expect.failed_max, "failed"), (expect.unknown_max, "unknown")):
        if value is not None:
            parts.append(f"at most {words.plural(value, word + ' operation')}")
    if expect.terms_max is not None:
        parts.append(f"at most {words.plural(expect.terms_max, 'new term')}")
    return "; ".join(parts) + "."


def load_words(scenario: Scenario, shaped: bool = True) -> str:
    """The clients, and the cluster where the drill makes its own."""
    load, shape = scenario.load, scenario.shape
    parts = [
        words.plural(load.clients, "client"),
        f"{load.rate:g} operations a second",
        words.plural(load.watchers, "watcher"),
    ]
    parts += [words.plural(load.leases, "lease")] * bool(load.leases)
    parts += [words.plural(load.locks, "lock")] * bool(load.locks)
    cluster = f"{words.plural(shape.nodes, 'member')}, election timeout {shape.election_ms} ms; "
    return cluster * shaped + ", ".join(parts) + "."

"""The release gate's figures as tables of ``tests/README.md``: none is typed by hand."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from release.gate import TOP, State, spoken

README = TOP / "tests" / "README.md"
_MARKS = re.compile(r"(<!-- release: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
_UNITS = {"_s": "s", "_ms": "ms", "_mib": "MiB", "_percent": "%"}


def write(states: Sequence[State]) -> None:
    """Put the tables between the marks of the README."""
    README.write_text(filled(README.read_text(encoding="utf-8"), states), encoding="utf-8")


def filled(text: str, states: Sequence[State]) -> str:
    """The text with new tables between its marks. ValueError where it has none."""
    body = rendered(states)
    text, count = _MARKS.subn(lambda match: f"{match[1]}{body}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"{count} places for the release gate's figures, not 1")
    return text


def rendered(states: Sequence[State]) -> str:
    """Everything: the machine, goals beside figures, groups, distributions, mended violations."""
    parts = [f"On {machine()}.", goals(states)]
    parts += [told for state in states if (told := groups(state))]
    parts += [told for told in (distributions(states), plots(states), mended(states)) if told]
    return "\n\n".join(parts)


def goals(states: Sequence[State]) -> str:
    """One row for each slice."""
    rows = ["| Item | Slice | Goal | Reached | Verdict |", "|---|---|---|---|---|"]
    for state in states:
        items = ", ".join(map(str, state.part.items))
        part = state.part
        rows.append(f"| {items} | `{part.name}` | {part.goal} | {reached(state)} | {word(state)} |")
    return "\n".join(rows)


def word(state: State) -> str:
    """The verdict, with minutes and what is wrong."""
    verdict = state.verdict()
    if verdict == "not run":
        return verdict
    minutes = sum(run["minutes"] for run in state.runs)
    wrong = {"missed": "; ".join(state.missed()), "open": "not reached yet"}.get(verdict, "")
    if verdict == "violated":
        wrong = "; ".join(found["what"] for found in state.violations)
    return cell(f"**{verdict}**{f' ({wrong})' if wrong else ''}, {minutes:.0f} min")


def reached(state: State) -> str:
    """Counters outside groups, sums of groups, distributions and facts, in one cell."""
    if not state.runs:
        return "not run"
    said = [f"{number:,} {spoken(name)}" for name, number in state.plain().items()]
    for group in grouped(state):
        counts = state.group(group)
        total, least = sum(counts.values()), min(counts.values())
        kinds = f" ({len(counts)} kinds, at least {least:,} of each)" if len(counts) > 1 else ""
        said.append(f"{spoken(group)} {total:,}{kinds}")
    for name in sorted(state.samples):
        p50, p99 = state.quantile(name, 0.5), state.quantile(name, 0.99)
        stem, unit = measured(name)
        if p50 is not None and p99 is not None:
            figures = f"p50 {p50:.3g}, p99 {p99:.3g}, largest {state.largest[name]:.3g} {unit}"
            said.append(f"{stem} {figures}")
    said += [text for name, text in sorted(state.facts.items()) if is_short(name, text)]
    return cell("; ".join(said)) or "nothing yet"


def groups(state: State) -> str:
    """A table for each group of counters."""
    told = []
    for group in grouped(state):
        counts = state.group(group)
        said = ", ".join(f"{spoken(name)} {number:,}" for name, number in counts.items())
        if len(set(counts.values())) == 1:
            said = f"{next(iter(counts.values())):,} of each: {', '.join(map(spoken, counts))}"
        told.append(f"- `{state.part.name}`, {spoken(group)}: {cell(said)}.")
    return "\n".join(told)


def distributions(states: Sequence[State]) -> str:
    """Every kind of samples: how many, median, 99th of a hundred, largest."""
    rows = ["| Slice | Measured | Samples | p50 | p99 | Largest |", "|---|---|---|---|---|---|"]
    for state in states:
        for name in sorted(state.samples):
            stem, unit = measured(name)
            p50, p99 = state.quantile(name, 0.5), state.quantile(name, 0.99)
            what = f"{stem}, {unit}" if unit else stem
            rows.append(
                f"| `{state.part.name}` | {what} | {state.sampled[name]:,} | {p50:.3g} | "
                f"{p99:.3g} | {state.largest[name]:.3g} |"
            )
    return "\n".join(rows) if len(rows) > 2 else ""


def plots(states: Sequence[State]) -> str:
    """Facts of many lines, as they are."""
    told = []
    for state in states:
        for name, text in sorted(state.facts.items()):
            if "\n" in text and not name.startswith("_"):
                told.append(f"`{state.part.name}`, {spoken(name)}:\n\n```\n{text.rstrip()}\n```")
    return "\n\n".join(told)


def mended(states: Sequence[State]) -> str:
    """What the gate itself found."""
    rows = [
        f"- `{state.part.name}`: {cell(found['what'])}. Mended: {cell(found['mended'])}."
        for state in states
        for found in state.mended
    ]
    heading = "Violations that the gate found, and what became of them:"
    return "\n".join([heading, "", *rows]) if rows else ""


def grouped(state: State) -> list[str]:
    """The names of the groups of counters."""
    return sorted({name.partition("/")[0] for name in state.counters if "/" in name})


def is_short(name: str, text: str) -> bool:
    """Whether a fact is one line, and not a slice's own affair."""
    return "\n" not in text and not name.startswith("_")


def measured(name: str) -> tuple[str, str]:
    """The name of samples without its unit, and the unit."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return spoken(name.removesuffix(ending)), unit
    return spoken(name), ""


def cell(text: str) -> str:
    """Text that breaks no table."""
    return text.replace("\n", " ").replace("|", "\\|")


def machine() -> str:
    """What the figures were measured on, without names or dates."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = platform.system()
    beside = "no etcd"
    if shutil.which("etcd"):
        said = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
        beside = said.stdout.splitlines()[0].replace(" Version:", "")
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), {memory_gib:.0f} GiB of memory, {system} "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}, "
        f"{cell(beside)}"
    )

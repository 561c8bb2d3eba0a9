"""The scenario file: TOML in, frozen values out, and errors that name file, line and remedy.

::

    name = "leader-partitioned"
    title = "The leader is cut off from everybody"
    learn = "One paragraph: what an operator learns from it."
    stages = ["live", "sim", "etcd"]  # where it makes sense; the first is the default
    length_s = 12                     # of the part with the workload and the steps
    ends_with_steps = true            # sooner, once all steps are done and all faults over

    [cluster]                         # nodes, election_ms, heartbeat_ms, snapshot_count
    [workload]                        # clients, rate, keys, watchers, leases, locks
    [[step]]                          # at_s = 2  or  when = "new_leader", after_s = 1
    do = "isolate"
    target = "leader"                 # a role, a name (n1, n2, ...), or a list of them
    for_s = 5
    [expect]                          # what the verdict demands beyond safety

Safety is never optional: no scenario can allow a lost acknowledgement, a stale read, a gap in a
watch or unequal digests.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from kvorum.drill.reading import Table
from kvorum.drill.words import CONDITIONS, ROLES, STAGES, WORDS, Word
from kvorum.errors import ConfigError
from kvorum.limits import (
    DRILL_CLIENTS_MAX,
    DRILL_LENGTH_S_MAX,
    DRILL_NODES_MAX,
    DRILL_RATE_MAX,
    DRILL_STEPS_MAX,
    FAULT_DURATION_MS_MAX,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_TOP = (
    *("name", "title", "learn", "stages", "length_s", "ends_with_steps"),
    *("cluster", "workload", "step", "expect"),
)
_TIMING = ("do", "at_s", "when", "after_s", "repeat", "every_s")


@dataclass(frozen=True)
class Shape:
    """The cluster that a drill wants. ``snapshot_count``: entries between snapshots; 0 leaves it
    to the stage.
    """

    nodes: int = 3
    election_ms: int = 1000
    heartbeat_ms: int = 100
    snapshot_count: int = 0


@dataclass(frozen=True)
class Load:
    """What clients do meanwhile. ``rate``: operations a second, all clients together."""

    clients: int = 4
    rate: float = 40.0
    keys: int = 5
    watchers: int = 2
    leases: int = 0
    lease_ttl_s: int = 3
    locks: int = 0


@dataclass(frozen=True)
class Step:
    """One thing to do, at a time or once a condition holds ``after_s`` seconds long ago.

    ``targets`` and ``to`` are roles or names. Fields that a word does not use are zero.
    """

    line: int
    do: str
    at_s: float | None = None
    when: str = ""
    after_s: float = 0.0
    targets: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    for_s: float = 0.0
    percent: float = 0.0
    ms: int = 0
    jitter_ms: int = 0
    keep: int = 0
    within_s: float = 30.0
    learner: bool = False

    @property
    def words(self) -> str:
        """For people."""
        parts = [self.do.replace("_", " "), " and ".join(self.targets)]
        if self.to:
            parts.append(f"{'to' if self.do == 'one_way' else 'from'} {' and '.join(self.to)}")
        parts += ["as a learner"] * self.learner
        sign = "+" if self.do == "skew" else ""
        parts += [f"{self.percent:{sign}g}%"] * bool(self.percent)
        parts += [f"{self.ms} ms"] * bool(self.ms)
        parts += [f"for {self.for_s:g} s"] * bool(self.for_s)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Expect:
    """What must hold beyond safety; None: not asked.

    ``new_leader_within_s``: after each step that takes the leader away. ``write_stall_s_max``:
    longest time without an acknowledged write. ``converge_within_s``: after the end of all faults.
    ``leader_stays``: no change of leader. ``unknown_max``, ``failed_max``: operations.
    ``writes_min``: acknowledged. ``terms_max``: terms begun meanwhile.
    """

    new_leader_within_s: float | None = None
    write_stall_s_max: float | None = None
    converge_within_s: float = 30.0
    leader_stays: bool = False
    unknown_max: int | None = None
    failed_max: int | None = None
    writes_min: int = 1
    terms_max: int | None = None


@dataclass(frozen=True)
class Scenario:
    """A drill, checked. ``text`` is the file as it was read, kept with every run."""

    path: Path
    text: str
    name: str
    title: str
    learn: str
    stages: tuple[str, ...]
    length_s: float
    shape: Shape
    load: Load
    steps: tuple[Step, ...]
    expect: Expect
    ends_with_steps: bool = False

    def count(self, *words: str) -> int:
        """How many steps do one of these."""
        return sum(step.do in words for step in self.steps)

    def refusal(self, stage: str) -> str:
        """Why ``stage`` cannot run this drill, in a sentence; empty when it can."""
        for step in self.steps:
            why = WORDS[step.do].refused.get(stage)
            if why:
                return f"{self.path}:{step.line}: {step.do} is refused on stage {stage}: {why}"
        if stage not in self.stages:
            return f"{self.path}: meant for {', '.join(self.stages)}, not for stage {stage}"
        return ""


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises ConfigError with file, line, key and remedy."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_scenario(text, path)


def parse_scenario(text: str, path: Path) -> Scenario:
    """The scenario in ``text``; ``path`` is for its errors. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    top = Table.top(table, text, path)
    top.known(_TOP)
    name = top.string("name")
    if not _NAME.match(name):
        raise top.wrong("name", f"{name!r} is no name; use small letters, digits and '-'")
    title, learn = top.string("title"), " ".join(top.string("learn").split())
    length_s = top.number("length_s", 10.0, 0.5, DRILL_LENGTH_S_MAX)
    shape = _shape(top.table("cluster"))
    steps = _steps(top, shape, length_s)
    return Scenario(
        path=path,
        text=text,
        name=name,
        title=title,
        learn=learn,
        stages=_stages(top, steps),
        length_s=length_s,
        shape=shape,
        load=_load(top.table("workload")),
        steps=steps,
        expect=_expect(top.table("expect")),
        ends_with_steps=top.boolean("ends_with_steps"),
    )


def _stages(top: Table, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Those that the file names, or else those that can do every step."""
    problems = {
        stage: f"{stage} cannot {step.do} (line {step.line}): {WORDS[step.do].refused[stage]}"
        for stage in STAGES
        for step in reversed(steps)
        if stage in WORDS[step.do].refused
    }
    if "stages" not in top.values:
        able = tuple(stage for stage in STAGES if stage not in problems)
        if not able:
            raise top.wrong("step", "; ".join(problems.values()))
        return able
    stages = top.words("stages", STAGES)
    for stage in stages:
        if stage in problems:
            raise top.wrong("stages", problems[stage])
    return stages


def _shape(table: Table) -> Shape:
    table.known(["nodes", "election_ms", "heartbeat_ms", "snapshot_count"])
    heartbeat_ms = table.integer("heartbeat_ms", 100, 10, 10_000)
    election_ms = table.integer("election_ms", 1000, 50, 50_000)
    if election_ms < 5 * heartbeat_ms:
        raise table.wrong("election_ms", f"must be five heartbeats ({5 * heartbeat_ms}) or more")
    nodes = table.integer("nodes", 3, 1, DRILL_NODES_MAX)
    return Shape(nodes, election_ms, heartbeat_ms, table.integer("snapshot_count", 0, 0, 1_000_000))


def _load(table: Table) -> Load:
    table.known(["clients", "rate", "keys", "watchers", "leases", "lease_ttl_s", "locks"])
    return Load(
        clients=table.integer("clients", 4, 1, DRILL_CLIENTS_MAX),
        rate=table.number("rate", 40.0, 0.1, DRILL_RATE_MAX),
        keys=table.integer("keys", 5, 1, 1_000),
        watchers=table.integer("watchers", 2, 0, 200),
        leases=table.integer("leases", 0, 0, 1_000),
        lease_ttl_s=table.integer("lease_ttl_s", 3, 2, 60),
        locks=table.integer("locks", 0, 0, 20),
    )


def _expect(table: Table) -> Expect:
    table.known(list(Expect.__dataclass_fields__))
    return Expect(
        new_leader_within_s=table.optional("new_leader_within_s", 0.01, 600),
        write_stall_s_max=table.optional("write_stall_s_max", 0.01, 600),
        converge_within_s=table.number("converge_within_s", 30.0, 0.1, 600),
        leader_stays=table.boolean("leader_stays"),
        unknown_max=table.count("unknown_max"),
        failed_max=table.count("failed_max"),
        writes_min=table.integer("writes_min", 1, 0, 1_000_000),
        terms_max=table.count("terms_max"),
    )


def _steps(top: Table, shape: Shape, length_s: float) -> tuple[Step, ...]:
    steps: list[Step] = []
    tables = top.tables("step")
    joins = sum(t.values.get("do") in ("add_member", "replace_member") for t in tables)
    names = tuple(f"n{n + 1}" for n in range(shape.nodes + joins))
    for table in tables:
        steps += _repeated(table, _step(table, names, length_s), length_s)
    if not steps:
        raise top.wrong("step", "no steps; write at least one [[step]] table")
    if len(steps) > DRILL_STEPS_MAX:
        raise top.wrong("step", f"{len(steps)} steps; at most {DRILL_STEPS_MAX} are run")
    before = 0.0
    for step in steps:
        if step.at_s is not None and step.at_s < before:
            raise ConfigError(
                f"{top.path}:{step.line}: at_s: {step.at_s:g} is before the step above"
                f" ({before:g}); write steps in the order of time"
            )
        before = step.at_s if step.at_s is not None else before
    return tuple(steps)


def _repeated(table: Table, step: Step, length_s: float) -> list[Step]:
    times = table.integer("repeat", 1, 1, DRILL_STEPS_MAX)
    if times == 1:
        return [step]
    if step.at_s is None:
        raise table.wrong("repeat", "only steps with at_s can be repeated")
    every_s = table.number("every_s", 0.0, 0.05, length_s)
    last_s = step.at_s + (times - 1) * every_s
    if last_s > length_s:
        raise table.wrong("repeat", f"the last time is {last_s:g} s, after length_s")
    values = {**step.__dict__}
    return [Step(**{**values, "at_s": step.at_s + n * every_s}) for n in range(times)]


def _step(table: Table, names: tuple[str, ...], length_s: float) -> Step:
    word = WORDS[table.choice("do", tuple(WORDS))]
    keys = [*_TIMING, *word.needs, *word.may]
    keys += ["target"] * word.target + ["for_s"] * word.fault
    table.known(keys, f"with do = {word.name!r}")
    needed = ["target"] * word.target + ["for_s"] * word.fault + list(word.needs)
    for key in needed:
        if key not in table.values:
            raise table.wrong(key, f"{word.name} needs it")
    at_s, when = _time(table, length_s)
    return Step(
        line=table.line("do"),
        do=word.name,
        at_s=at_s,
        when=when,
        after_s=table.number("after_s", 0.0, 0.0, length_s),
        targets=_targets(table, "target", names),
        to=_targets(table, "to", names),
        for_s=_duration(table, word),
        percent=_percent(table, word),
        ms=table.integer("ms", 0, 1, 60_000) if "ms" in table.values else 0,
        jitter_ms=table.integer("jitter_ms", 0, 0, 60_000),
        keep=table.integer("keep", 0, 0, 1_000_000),
        within_s=table.number("within_s", 30.0, 0.1, 600),
        learner=table.boolean("learner"),
    )


def _time(table: Table, length_s: float) -> tuple[float | None, str]:
    if ("at_s" in table.values) == ("when" in table.values):
        raise table.wrong("at_s", "give either at_s or when")
    if "when" in table.values:
        return None, table.choice("when", tuple(CONDITIONS))
    if "after_s" in table.values:
        raise table.wrong("after_s", "goes with when; at_s is a time already")
    return table.number("at_s", 0.0, 0.0, length_s), ""


def _duration(table: Table, word: Word) -> float:
    if "for_s" not in table.values:
        return 0.0
    return table.number("for_s", 0.0, 0.05, FAULT_DURATION_MS_MAX / 1000)


def _percent(table: Table, word: Word) -> float:
    if "percent" not in table.values:
        return 0.0
    low, high = (-90.0, 900.0) if word.name == "skew" else (0.001, 100.0)
    return table.number("percent", 0.0, low, high)


def _targets(table: Table, key: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return table.words(key, (*ROLES, *names)) if key in table.values else ()

"""A plan as the terminal shows it: many writes that are looked at, confirmed, carried out and
reported as one thing.

What is written are the steps of :mod:`kvorum.client.plan`; this adds what a person wants to know
before and after. Anything that changes more than one key comes by here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kvorum.client.plan import CHANGED, HELD, LEASE_GONE, Conflict, Step, transactions
from kvorum.client.planning import (
    IS_THERE,
    TARGET_IS_THERE,
    Deed,
    Left,
    Planned,
    There,
)
from kvorum.client.types import KeyValue

from kvorum_tui.model import words
from kvorum_tui.model.decode import changed_part, one_line, printable
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session import SessionError

Rich = list[list[tuple[str, str]]]

TYPED_ABOVE = 20  # More steps than this ask for their number to be typed.
SAMPLES = 5
VALUE_CELLS = 30
REPORT_LINES = 500  # Conflicts that a report names; it says how many more there are.
MAX_KEYS = 50_000  # Keys of one plan: all of them, with their values, stand in memory and a file.
MAX_BYTES = 128 * 1024 * 1024

WHYS = {
    CHANGED: "somebody changed it since",
    LEASE_GONE: "its lease is gone",
    HELD: "left alone with another key of its group",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What one may still choose while looking at a plan. ``leases``: keys keep theirs."""

    there: There = "refuse"
    leases: bool = True


@dataclass(frozen=True)
class Plan:
    """What shall be done. ``title`` says it in words, ``verb`` stands on the button.

    ``there``: keys at the target that stand in the way or are overwritten; ``left``: what is not
    touched, and why. ``twin``: the command that does the same without the terminal. ``undo``: why
    it cannot be taken back (empty: it can). ``leased``: how many keys hang on leases.
    ``remake``: the same plan with other options, where it has any. ``typed``: a word that must be
    typed (empty: the number of steps, when they are many). ``kept``: the plan's name in the store
    of unfinished plans, when it is gone on with. ``undoes``: the entry of the log that it undoes.
    """

    title: str
    verb: str
    steps: tuple[Step, ...]
    twin: str = ""
    there: tuple[KeyValue, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()
    undo: str = ""
    leased: int = 0
    cluster: int = 0
    options: Options = Options()
    remake: Callable[[Options], Plan] | None = None
    typed: str = ""
    kept: str = ""
    undoes: int = 0

    @property
    def refused(self) -> bool:
        """Whether keys at the target keep it from being done."""
        return bool(self.there) and self.options.there == "refuse"

    @property
    def word(self) -> str:
        """What must be typed before it is done; empty when Enter is enough."""
        if self.typed:
            return self.typed
        return str(len(self.steps)) if len(self.steps) > TYPED_ABOVE else ""

    @property
    def destroys(self) -> bool:
        """Whether something that is there now will be gone."""
        return any(step.before is not None for step in self.steps)


@dataclass
class Report:
    """What came of a plan. ``deeds`` are what was written, for taking it back."""

    plan: Plan
    done: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    stopped: bool = False
    error: str = ""
    unknown: bool = False
    failure: SessionError | None = None
    kept: str = ""

    def wrote(self, steps: Sequence[Step], revision: int) -> None:
        """A transaction was done."""
        self.done += len(steps)
        self.revisions.append(revision)
        self.deeds += [deed_of(step, revision) for step in steps]

    @property
    def total(self) -> int:
        """Steps of the plan."""
        return len(self.plan.steps)

    @property
    def left(self) -> int:
        """Steps that were not tried."""
        return self.total - self.done - len(self.conflicts)

    @property
    def whole(self) -> bool:
        """Whether everything was done."""
        return self.done == self.total

    @property
    def headline(self) -> str:
        """What came of it, on one line."""
        at = f" at revision {self.revisions[-1]:,}" if self.revisions else ""
        text = f"{words.plural(self.done, 'key')} of {self.total:,} done{at}"
        if self.whole:
            text = f"{words.plural(self.done, 'key')} done{at}"
        if self.conflicts:
            text += f", {len(self.conflicts):,} left alone"
        if self.error:
            return f"broke off: {text}"
        return f"stopped: {text}" if self.stopped else text


def planned(
    title: str, verb: str, made: Planned, options: Options = Options(), **more: object
) -> Plan:
    """A plan of what a planner made."""
    plan = Plan(title, verb, made.steps, there=made.there, left=made.left, options=options)
    return replace(plan, **more)  # type: ignore[arg-type]  # replace() knows the fields


def kv_of(record: KeyRecord | None) -> KeyValue | None:
    """A record as a step takes it."""
    if record is None:
        return None
    return KeyValue(
        record.key,
        record.value,
        record.create_revision,
        record.mod_revision,
        record.version,
        record.lease,
    )


def change(
    key: bytes, before: KeyRecord | None, value: bytes | None, lease: int = 0, group: int = 0
) -> Step:
    """One change of a plan: the key as it was read, and the value that it shall have (None: it
    goes).
    """
    return Step(key, kv_of(before), value, lease, group)


def deed_of(step: Step, revision: int) -> Deed:
    """What a step has done."""
    after = None
    if step.value is not None:
        before = step.before
        created = before.create_revision if before is not None else revision
        version = before.version + 1 if before is not None else 1
        after = KeyValue(step.key, step.value, created, revision, version, step.lease)
    return Deed(revision, step.key, step.before, after)


# --- the preview ----------------------------------------------------------------------------------


def preview_lines(plan: Plan) -> Rich:
    """What, where, how many, five samples, what stands in the way, undo, the headless twin."""
    lines: Rich = [_counts(plan.steps), *samples(plan.steps)]
    if len(plan.steps) > SAMPLES:
        lines.append([(f"  … and {len(plan.steps) - SAMPLES:,} more", "dim")])
    lines += _in_the_way(plan)
    if plan.leased:
        kept = "keep them" if plan.options.leases else "come without"
        text = f"{words.plural(plan.leased, 'key')} on leases"
        lines.append([("leases ", "head"), (f"{text}: they {kept}", "text")])
    lines += _left(plan)
    lines += [[("note   ", "head"), (note, "text")] for note in plan.notes]
    if plan.undo:
        lines.append([("undo   ", "head"), (f"not possible: {plan.undo}", "warn")])
    else:
        lines.append([("undo   ", "head"), ("u takes it back while nobody changed it", "dim")])
    if plan.twin:
        lines.append([("twin   ", "head"), (plan.twin, "accent")])
    return lines


def _counts(steps: Sequence[Step]) -> list[tuple[str, str]]:
    if not steps:
        return [("nothing would change", "warn")]
    kinds = Counter(kind_of(step) for step in steps)
    names = {"+": "new", "~": "changed", "-": "deleted"}
    parts = [f"{kinds[sign]:,} {name}" for sign, name in names.items() if kinds[sign]]
    count = len(transactions(steps))
    how = "in one transaction" if count == 1 else f"in {count:,} transactions"
    return [
        (words.plural(len(steps), "key"), "bold"),
        (f": {', '.join(parts)}; {how}, each only if nobody changed it", "text"),
    ]


def kind_of(step: Step) -> str:
    """``+`` new, ``~`` changed, ``-`` deleted."""
    if step.value is None:
        return "-"
    return "+" if step.before is None else "~"


def samples(steps: Sequence[Step], limit: int = SAMPLES) -> Rich:
    """The first steps, a line each."""
    inks = {"+": "plus", "-": "minus", "~": "accent"}
    lines: Rich = []
    for step in steps[:limit]:
        kind = kind_of(step)
        text = one_line(step.value, VALUE_CELLS) if step.value is not None else ""
        if kind == "~" and step.before is not None and step.value is not None:
            old, new = changed_part(step.before.value, step.value, VALUE_CELLS)
            text = f"{old} → {new}" if old != new else _other_lease(step)
        sign = "−" if kind == "-" else kind
        lines.append([(f"  {sign} ", inks[kind]), (printable(step.key), "text"), ("  ", "dim")])
        lines[-1].append((text, "dim"))
    return lines


def _other_lease(step: Step) -> str:
    """A step that leaves the value as it is."""
    before = step.before.lease if step.before is not None else 0
    if before == step.lease:
        return "written again as it is"
    return f"lease {before:x} → {step.lease:x}" if step.lease else f"off lease {before:x}"


def _in_the_way(plan: Plan) -> Rich:
    if not plan.there:
        return []
    names = ", ".join(printable(kv.key) for kv in plan.there[:3])
    more = f" and {len(plan.there) - 3:,} more" if len(plan.there) > 3 else ""
    what = {
        "refuse": "nothing is done while they are there; ^o leaves or overwrites them",
        "skip": "they stay, what would go there stays too",
        "overwrite": "they are overwritten, if nobody changes them meanwhile",
    }[plan.options.there]
    ink = "text" if plan.options.there == "skip" else "warn"
    there = f"{words.plural(len(plan.there), 'key')} at the target already ({names}{more})"
    return [[("there  ", "head"), (f"{there}: {what}", ink)]]


_COLLIDING = frozenset({IS_THERE, TARGET_IS_THERE})  # Said above already.


def _left(plan: Plan) -> Rich:
    told = _COLLIDING if plan.refused else frozenset()
    whys = Counter(left.why for left in plan.left if left.why not in told)
    lines: Rich = []
    for why, count in whys.most_common(SAMPLES):
        first = next(left.key for left in plan.left if left.why == why)
        more = f" and {count - 1:,} more" if count > 1 else ""
        lines.append([("left   ", "head"), (f"{printable(first)}{more}: {why}", "text")])
    return lines


# --- the report -----------------------------------------------------------------------------------


def report_lines(report: Report) -> Rich:
    """What was done, and key by key what was not."""
    lines: Rich = [[(report.headline, "bold" if report.whole else "warn")]]
    if report.error:
        lines.append([(report.error, "bad")])
    if report.unknown:
        text = "the transaction under way may or may not have taken effect; going on finds out"
        lines.append([(text, "warn")])
    if len(report.revisions) > 1:
        first, last = report.revisions[0], report.revisions[-1]
        count = words.plural(len(report.revisions), "transaction")
        lines.append([(f"{count}, revisions {first:,} to {last:,}", "dim")])
    if report.left > 0 and report.kept:
        text = f"{words.plural(report.left, 'key')} not tried yet: P lists the plan and goes on"
        lines.append([(text, "accent")])
    if report.conflicts:
        lines += [[], [("left alone:", "head")]]
    for conflict in report.conflicts[:REPORT_LINES]:
        why = WHYS[conflict.why]
        if conflict.why == CHANGED:
            now = conflict.now
            why += f", at revision {now.mod_revision:,}" if now is not None else " by deleting it"
        lines.append([(f"  {printable(conflict.step.key)}  ", "text"), (why, "warn")])
    if len(report.conflicts) > REPORT_LINES:
        lines.append([(f"  … and {len(report.conflicts) - REPORT_LINES:,} more", "dim")])
    if report.done:
        lines += [[], [("u takes back what was done", "dim")]]
    return lines

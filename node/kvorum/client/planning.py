"""From what is wanted to the steps of a plan: copy, move, delete, write many, take back.

Pure functions over keys as they were read; :mod:`kvorum.client.plan` carries out what they make.
Each says beside the steps what is left out and why, so that a preview can show it before anything
is done.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from kvorum.client.plan import Step, restored
from kvorum.client.types import KeyValue
from kvorum.limits import LOAD_CHUNK_OPS

There = Literal["refuse", "skip", "overwrite"]
"""What becomes of keys that are at the target already: the whole plan is refused, they stay as they
are, or they are overwritten (if nobody changes them meanwhile)."""


IS_THERE = "is there already"
TARGET_IS_THERE = "its target is there already"


class PlanError(ValueError):
    """What is wanted makes no plan; the text says why."""


class Left(NamedTuple):
    """A key that the plan leaves alone, and why."""

    key: bytes
    why: str


class Planned(NamedTuple):
    """Steps in key order of what they come from; ``there``: keys at the target that would be
    overwritten, or stand in the way; ``left``: what is left out.
    """

    steps: tuple[Step, ...]
    there: tuple[KeyValue, ...] = ()
    left: tuple[Left, ...] = ()


class Entry(NamedTuple):
    """A key to be written."""

    key: bytes
    value: bytes
    lease: int = 0


class Deed(NamedTuple):
    """What was done to a key at ``revision``: before and after it (None: it was missing). ``lost``:
    what was before is compacted away.
    """

    revision: int
    key: bytes
    before: KeyValue | None
    after: KeyValue | None
    lost: bool = False


def deleting(sources: Iterable[KeyValue]) -> Planned:
    """All of them go."""
    return Planned(tuple(Step(kv.key, kv, None) for kv in sources))


def writing(
    entries: Iterable[Entry], present: Mapping[bytes, KeyValue], there: There = "refuse"
) -> Planned:
    """Write keys. Those that are as they shall be need nothing. Of entries for one key the last
    counts.
    """
    steps: list[Step] = []
    met: list[KeyValue] = []
    left: list[Left] = []
    for entry in {entry.key: entry for entry in entries}.values():
        now = present.get(entry.key)
        if now is not None and (now.value, now.lease) == (entry.value, entry.lease):
            left.append(Left(entry.key, "is so already"))
            continue
        if now is not None:
            met.append(now)
            if there != "overwrite":
                left.append(Left(entry.key, IS_THERE))
                continue
        steps.append(Step(entry.key, now, entry.value, entry.lease))
    return Planned(_unless_refused(steps, met, there), tuple(met), tuple(left))


def restoring_to(then: Iterable[KeyValue], now: Iterable[KeyValue]) -> Planned:
    """What makes keys as they were; see :func:`kvorum.client.plan.restoring`."""
    were, are = {kv.key: kv for kv in then}, {kv.key: kv for kv in now}
    steps = (restored(were.get(key), are.get(key)) for key in sorted({*were, *are}))
    return Planned(tuple(step for step in steps if step is not None))


def relocating(
    sources: Sequence[KeyValue],
    renamed: Callable[[bytes], bytes],
    present: Mapping[bytes, KeyValue],
    *,
    move: bool,
    there: There = "refuse",
    leases: Collection[int] = frozenset(),
) -> Planned:
    """Copy or move keys to where ``renamed`` says; they keep a lease that is in ``leases``, others
    are dropped.

    The halves of a moved key are one group: it is never in both places, and never in none. Raises
    PlanError when two keys would become one, a key would have no name, or keys move over one
    another in a chain that no transaction holds.
    """
    targets: dict[bytes, KeyValue] = {}
    left: list[Left] = []
    for kv in sources:
        target = renamed(kv.key)
        if not target:
            raise PlanError("a key would be left without a name")
        if target == kv.key:
            left.append(Left(kv.key, "would stay where it is"))
        elif target in targets:
            raise PlanError(f"two keys would become one: {target!r}")
        else:
            targets[target] = kv
    leaving = {kv.key for kv in targets.values()} if move else set()
    met: list[KeyValue] = []
    staying: set[bytes] = set()
    for target, kv in targets.items():
        now = present.get(target)
        if now is None or target in leaving:
            continue
        lease = kv.lease if kv.lease in leases else 0
        if (now.value, now.lease) == (kv.value, lease) and not move:
            left.append(Left(kv.key, "is there already, and the same"))
            staying.add(target)
            continue
        met.append(now)
        if there != "overwrite":
            left.append(Left(kv.key, TARGET_IS_THERE))
            staying.add(target)
    going = {target: kv for target, kv in targets.items() if target not in staying}
    if move and staying:
        going = _whole_chains(going, leaving, left)
    steps = _moves(going, leases, present) if move else _copies(going, leases, present)
    return Planned(_unless_refused(steps, met, there), tuple(met), tuple(left))


def _whole_chains(
    going: dict[bytes, KeyValue], leaving: Collection[bytes], left: list[Left]
) -> dict[bytes, KeyValue]:
    """Without the moves onto a key that should have left its place and stays."""
    while True:
        sources = {kv.key for kv in going.values()}
        stuck = [target for target in going if target in leaving and target not in sources]
        if not stuck:
            return going
        left += [Left(going.pop(target).key, "its target stays") for target in stuck]


def _copies(
    going: Mapping[bytes, KeyValue], leases: Collection[int], present: Mapping[bytes, KeyValue]
) -> list[Step]:
    return [
        Step(target, present.get(target), kv.value, kv.lease if kv.lease in leases else 0)
        for target, kv in going.items()
    ]


def _moves(
    going: Mapping[bytes, KeyValue], leases: Collection[int], present: Mapping[bytes, KeyValue]
) -> list[Step]:
    """Each key's two halves in one group; where the target of one is the next one's source, the
    whole chain is.
    """
    target_of = {kv.key: target for target, kv in going.items()}
    steps: list[Step] = []
    group = 0
    begun: set[bytes] = set()
    heads = [key for key in target_of if key not in going]
    for first in (*heads, *target_of):
        if first in begun:
            continue
        group += 1
        chain: list[bytes] = []
        at = first
        while at in target_of and at not in begun:
            begun.add(at)
            chain.append(at)
            at = target_of[at]
        if len(chain) >= LOAD_CHUNK_OPS:
            raise PlanError(f"{len(chain)} keys would move over one another; copy, then delete")
        for key in chain:
            kv, target = going[target_of[key]], target_of[key]
            before = _moving(going, target_of, target) or present.get(target)
            lease = kv.lease if kv.lease in leases else 0
            steps.append(Step(target, before, kv.value, lease, group))
        if first not in going:
            steps.append(Step(first, going[target_of[first]], None, 0, group))
    return steps


def _moving(
    going: Mapping[bytes, KeyValue], target_of: Mapping[bytes, bytes], key: bytes
) -> KeyValue | None:
    """The key as it is, when it moves itself."""
    target = target_of.get(key)
    return None if target is None else going[target]


def _unless_refused(steps: list[Step], met: list[KeyValue], there: There) -> tuple[Step, ...]:
    return () if met and there == "refuse" else tuple(steps)


def taking_back(
    deeds: Iterable[Deed],
    now: Mapping[bytes, KeyValue],
    leases: Collection[int],
    *,
    without_lease: bool = False,
) -> Planned:
    """What makes keys as they were before the deeds, the newest deed first; those of one revision
    are a group, so that a transaction is taken back as a whole.

    A key that somebody changed since is left alone, and so is one whose lease (any that is not in
    ``leases``) is gone, unless it may come back ``without_lease``.
    """
    steps: list[Step] = []
    left: list[Left] = []
    newest: dict[bytes, Deed] = {}
    oldest: dict[bytes, Deed] = {}
    for deed in sorted(deeds, key=lambda each: -each.revision):
        newest.setdefault(deed.key, deed)
        oldest[deed.key] = deed
    for key, deed in newest.items():
        found = now.get(key)
        if _mod(found) != _mod(deed.after):
            at = f"at revision {found.mod_revision:,}" if found is not None else "by deleting it"
            left.append(Left(key, f"changed since, {at}"))
            continue
        why = _lost(oldest[key], leases, without_lease)
        if why:
            left.append(Left(key, why))
            continue
        before = oldest[key].before
        if before is not None:
            lease = before.lease if before.lease in leases else 0
            steps.append(Step(key, found, before.value, lease, deed.revision))
        elif found is not None:
            steps.append(Step(key, found, None, 0, deed.revision))
    return Planned(tuple(steps), (), tuple(left))


def _lost(deed: Deed, leases: Collection[int], without_lease: bool) -> str:
    """Why what was before a deed cannot come back; empty when it can."""
    if deed.lost:
        return f"what it was before revision {deed.revision:,} is compacted away"
    before = deed.before
    if before is not None and before.lease and before.lease not in leases and not without_lease:
        return f"its lease {before.lease:x} is gone"
    return ""


def _mod(kv: KeyValue | None) -> int:
    return 0 if kv is None else kv.mod_revision

"""Would a transaction's conditions hold now? Judged by etcd's rules (contract page "semantics",
section 4): a missing key counts as 0, except that a comparison of its value always fails; a
condition on a range must hold for every key in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvorum.client.ops import Compare

from kvorum_tui.model.decode import one_line
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session.txns import Looked

SHOWN = 40


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition: whether it holds, and what stands there. ``sure`` is False when a range has
    more keys than were looked at, and all of those fulfil it.
    """

    compare: Compare
    holds: bool
    actual: str
    sure: bool = True


def ranges_of(compares: Sequence[Compare]) -> list[tuple[bytes, bytes]]:
    """What to look at, each once."""
    return list(dict.fromkeys((compare.key, compare.range_end) for compare in compares))


def judge(compares: Sequence[Compare], looked: Looked) -> list[Verdict]:
    """A verdict for each condition. ``looked``: what :func:`ranges_of` names, in that order (or
    that of the conditions themselves, one each).
    """
    ranges = ranges_of(compares)
    if len(ranges) != len(looked.spots):
        ranges = [(compare.key, compare.range_end) for compare in compares]
    spots = dict(zip(ranges, looked.spots, strict=True))
    verdicts = []
    for compare in compares:
        spot = spots[compare.key, compare.range_end]
        wrong = next((r for r in spot.records if not _holds(compare, r)), None)
        if not spot.records:
            holds = compare.target != "value" and _related(0, compare)
            verdicts.append(Verdict(compare, holds, "there is no such key"))
        elif wrong is not None:
            verdicts.append(Verdict(compare, False, _actual(compare, wrong)))
        else:
            actual = _actual(compare, spot.records[0])
            if compare.range_end:
                actual = f"{spot.count:,} keys"
            verdicts.append(Verdict(compare, True, actual, spot.count <= len(spot.records)))
    return verdicts


def _holds(compare: Compare, record: KeyRecord) -> bool:
    return _related(_target(compare, record), compare)


def _related(actual: int | bytes, compare: Compare) -> bool:
    operand = compare.operand
    if isinstance(actual, bytes) != isinstance(operand, bytes):
        return False
    below = actual < operand  # type: ignore[operator]  # both are of one type, as just seen
    return {
        "=": actual == operand,
        "!=": actual != operand,
        "<": below,
        ">": actual != operand and not below,
    }[compare.relation]


def _target(compare: Compare, record: KeyRecord) -> int | bytes:
    match compare.target:
        case "value":
            return record.value
        case "version":
            return record.version
        case "create":
            return record.create_revision
        case "mod":
            return record.mod_revision
        case _:
            return record.lease


def _actual(compare: Compare, record: KeyRecord) -> str:
    value = _target(compare, record)
    name = f"{one_line(record.key, SHOWN)}: " if compare.range_end else ""
    if isinstance(value, bytes):
        return f'{name}"{one_line(value, SHOWN)}"'
    return name + (f"{value:x}" if compare.target == "lease" else str(value))

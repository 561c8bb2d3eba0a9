"""Is this node well? The checks behind /health, /livez and /readyz (contract page "wire",
section 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvorum.errors import KvorumError
from kvorum.machine.commands import Range
from kvorum.machine.operations import ALARM_CORRUPT, ALARM_NAMES

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

# Alarms and no leader are told at once; a read takes as long as a request may.
_PROBE = Range(b"health", limit=1)

Check = Callable[["Node"], Awaitable[str]]


@dataclass
class HealthCounts:
    """How checks went since the node's start."""

    succeeded: int = 0
    failed: int = 0
    # (livez or readyz, check, success or error) -> times.
    checks: dict[tuple[str, str, str], int] = field(default_factory=dict)
    # (livez or readyz, check) -> how it went last.
    last: dict[tuple[str, str], bool] = field(default_factory=dict)

    def checked(self, kind: str, name: str, well: bool) -> None:
        """One check more."""
        key = (kind, name, "success" if well else "error")
        self.checks[key] = self.checks.get(key, 0) + 1
        self.last[kind, name] = well


async def ailment(node: Node, excluded: frozenset[str], serializable: bool) -> str:
    """What is wrong with the node, empty when nothing is; in etcd's order and words. ``excluded``
    are names of alarms to pass over.
    """
    for alarm in node.machine.alarms.all():
        name = ALARM_NAMES.get(alarm.alarm, "UNKNOWN")
        if name not in excluded:
            return f"ALARM {name}"
    if not serializable and not node.leader:
        return "RAFT NO LEADER"
    refused = await _read(node, not serializable)
    return f"RANGE ERROR:{refused}" if refused else ""


async def _read(node: Node, linearizable: bool) -> str:
    try:
        await node.read(_PROBE, linearizable=linearizable)
    except KvorumError as error:
        return error.condition.message
    return ""


async def _data_corruption(node: Node) -> str:
    corrupt = any(alarm.alarm == ALARM_CORRUPT for alarm in node.machine.alarms.all())
    return "alarm activated: CORRUPT" if corrupt else ""


async def _serializable_read(node: Node) -> str:
    return await _read(node, False)


async def _linearizable_read(node: Node) -> str:
    return await _read(node, True)


async def _non_learner(node: Node) -> str:
    return "not supported for learner" if node.is_learner else ""


LIVEZ: dict[str, Check] = {"serializable_read": _serializable_read}
READYZ: dict[str, Check] = {
    "data_corruption": _data_corruption,
    "serializable_read": _serializable_read,
    "linearizable_read": _linearizable_read,
    "non_learner": _non_learner,
}


async def examine(
    node: Node, kind: str, checks: dict[str, Check], counts: HealthCounts
) -> tuple[bool, str]:
    """Run the checks in their order: whether all went well, and a line about each."""
    lines = []
    for name, check in checks.items():
        wrong = await check(node)
        counts.checked(kind, name, not wrong)
        lines.append(f"[-]{name} failed: {wrong}\n" if wrong else f"[+]{name} ok\n")
    return all(line.startswith("[+]") for line in lines), "".join(lines)

"""Every word of drills once, on processes, as scenarios; and what shows that it bit."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

_HEAD = """
name = "every-word"
title = "Every word once"
learn = "Nothing that is not in the drills that ship."
length_s = 90
ends_with_steps = true
[cluster]
election_ms = 500
heartbeat_ms = 50
[workload]
leases = 2
rate = 60
"""
# Words that last, with whom they hit and what they want; each begins when the one before is over.
_LINKS = (
    ("sever", "leader", 'to = "follower"'),
    ("one_way", "leader", 'to = "follower"'),
    ("isolate", "follower", ""),
    ("ring", "", ""),
    ("majority", "", ""),
    ("minority", "", ""),
    ("delay", "all", "ms = 5"),
)
_GATES = (
    ("loss", "all", "percent = 20"),
    ("skew", "n1", "percent = 20"),
    ("slow_fsync", "all", "ms = 10"),
    ("stall", "all", "ms = 10"),
    ("slow_history", "all", "ms = 10"),
)
_PROCESSES = (("pause", "follower", ""), ("kill", "follower", ""))
_CLIENTS = (("cut_clients", "all", ""),)


def _lasting(words: tuple[tuple[str, str, str], ...], for_s: float) -> str:
    steps = []
    for word, target, more in words:
        who = f'target = "{target}"\n' if target else ""
        steps.append(f'when = "healed"\ndo = "{word}"\n{who}for_s = {for_s}\n{more}\n')
    return "".join(f"[[step]]\n{step}" for step in steps)


def _orders(*steps: str) -> str:
    """``word target`` each, when everybody agrees again: members change one at a time."""
    tables = []
    for step in steps:
        word, _, target = step.partition(" ")
        who = f'target = "{target}"\n' if target else ""
        tables.append('[[step]]\nwhen = "write"\ndo = "converge"\n')
        tables.append(f'[[step]]\nwhen = "leader"\ndo = "{word}"\n{who}')
    return "".join(tables)


_DAMAGED = """
[[step]]
when = "write"
do = "kill"
target = "n3"
[[step]]
when = "dead"
do = "corrupt_wal"
target = "n3"
[[step]]
when = "dead"
do = "rejoin_member"
target = "n3"
[[step]]
when = "write"
do = "converge"
[[step]]
when = "healed"
do = "disk_full"
target = "follower"
for_s = 0.5
[[step]]
when = "healed"
do = "heal"
[[step]]
when = "write"
do = "converge"
[[step]]
when = "leader"
do = "fail_fsync"
target = "follower"
for_s = 0.5
"""
LIVE = (
    _HEAD
    + _lasting((*_LINKS, *_GATES, *_PROCESSES, *_CLIENTS), 0.5)
    + _orders("reset_clients all", "transfer_leader follower", "restart n1", "compact")
    + _orders("defrag follower", "add_member", "replace_member n4", "remove_member n5")
    + _DAMAGED
)
SIM = (
    _HEAD
    + _lasting((*_LINKS, *(g for g in _GATES if g[0] != "stall"), *_PROCESSES), 0.5)
    + _orders("transfer_leader follower", "restart n1", "compact")
    + _orders("add_member", "replace_member n4", "remove_member n5")
    + _DAMAGED
)
ETCD = (
    _HEAD
    + _lasting((*_LINKS, *_PROCESSES, *_CLIENTS), 0.5)
    + _orders("reset_clients all", "transfer_leader follower", "restart n1", "compact")
    + _orders("defrag follower", "add_member", "remove_member n4")
    + """
[[step]]
when = "write"
do = "kill"
target = "n3"
[[step]]
when = "dead"
do = "corrupt_wal"
target = "n3"
[[step]]
when = "dead"
do = "replace_member"
target = "n3"
[[step]]
when = "write"
do = "heal"
"""
)


def moments(folder: Path, kind: str) -> list[str]:
    """What was told of a run, of one kind."""
    table: list[dict[str, Any]] = json.loads((folder / "timeline.json").read_text())
    return [entry["text"] for entry in table if entry["kind"] == kind]


def bites(folder: Path) -> Counter[str]:
    """How often faults bit, by the words of the members' own logs: messages lost and held back,
    fsyncs that waited, failpoints that somebody came by; clocks that were turned.
    """
    found: Counter[str] = Counter()
    for log in folder.glob("cluster/*/node.log"):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            said = json.loads(line)
            if said["msg"] == "fault lifted":
                words = re.sub(r"[ +]*-?\d.*", "", said["fault"])
                found[words] += said.get("bites", 1)
            elif "failpoint" in said["msg"] and "failpoint" in said:
                found[said["failpoint"]] += 1
    return found


def held_back(folder: Path) -> dict[str, int]:
    """Bytes that proxies and doors held back, by the words of the fault."""
    found = {}
    for text in moments(folder, "lift"):
        if match := re.match(r"over: ([a-z ]+?)(?: for| \d|:).*\((\d+) bytes held back\)", text):
            found[match[1]] = int(match[2])
    return found

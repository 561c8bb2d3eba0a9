"""Every word of drills once, on processes, as scenarios; and what shows that it bit."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from kvorum.drill.scenario import Scenario, parse_scenario
from kvorum.drill.words import WORDS

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


_ORDERS = (
    *("reset_clients all", "transfer_leader follower", "restart n1", "compact"),
    *("defrag follower", "add_member", "replace_member n4", "remove_member n5"),
)
_FOR_S = 0.4
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
"""
_BACK = {
    "etcd": """
do = "replace_member"
target = "n3"
[[step]]
when = "write"
do = "heal"
""",
    "": """
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
""",
}


def able(stage: str) -> set[str]:
    """The words that a stage has."""
    return {word.name for word in WORDS.values() if stage not in word.refused}


def every_word(stage: str) -> Scenario:
    """A drill that does everything that a stage can do."""
    words = able(stage)
    text = _HEAD
    for word, target, more in (*_LINKS, *_GATES, *_PROCESSES, *_CLIENTS):
        if word in words:
            who = f'target = "{target}"\n' if target else ""
            text += f'[[step]]\nwhen = "healed"\ndo = "{word}"\n{who}for_s = {_FOR_S}\n{more}\n'
    for order in _ORDERS:
        word, _, target = order.partition(" ")
        if word in words:
            # When everybody agrees again: members change one at a time.
            who = f'target = "{target}"\n' if target else ""
            text += '[[step]]\nwhen = "write"\ndo = "converge"\n'
            text += f'[[step]]\nwhen = "leader"\ndo = "{word}"\n{who}'
    text += _DAMAGED + _BACK["etcd" if "rejoin_member" not in words else ""]
    return parse_scenario(text, Path("every-word.toml"))


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

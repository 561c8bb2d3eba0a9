"""Why a node ended, in one sentence of its own log.

A log is for files: JSON lines, usage texts of a screen's height, tracebacks. Whoever starts a
cluster needs the one reason and the path of the rest. Works on what our own node, etcd (JSON or its
older lines) and a Python or Go program that fell over leave behind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

# Of a log's end, at most so much is read; a longer life than that has told its reason at the end.
_READ_BYTES = 262_144
_REASON_CHARS = 600
_GRAVE = ("fatal", "panic", "dpanic", "error")
# etcd before its JSON: "2021-04-01 10:00:00.000000 C | etcdmain: cannot listen".
_OLD_ETCD = re.compile(r"^\d{4}-\d\d-\d\d \S+ [CE] \| (?:\w+: )?(?P<msg>.+)$")


def last_words(log: Path, since: int) -> str:
    """Why the node ended whose newest life begins at byte ``since`` of ``log``: the last grave
    line, else how a Python or Go program fell over, else the first line (a wrong flag is told
    before the usage), else the last message. Empty when it said nothing at all.
    """
    lines = _lines(log, since)
    parsed = [(line, _parsed(line)) for line in lines]
    grave = [said for _, (level, said) in parsed if level in _GRAVE and said]
    if grave:
        return _short(grave[-1])
    for number, line in enumerate(lines):
        if line.startswith("Traceback (most recent call last)"):
            ends = [later for later in lines[number + 1 :] if not later.startswith(" ")]
            return _short(ends[0] if ends else line)
        if line.startswith(("panic: ", "fatal error: ")):
            return _short(line)
    plain = [line for line, (level, _) in parsed if level is None]
    if plain:
        return _short(plain[0])
    return _short(next((said for _, (_, said) in reversed(parsed) if said), ""))


def _lines(log: Path, since: int) -> list[str]:
    try:
        size = log.stat().st_size
        with log.open("rb") as source:
            source.seek(max(since if since <= size else 0, size - _READ_BYTES))
            text = source.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def _parsed(line: str) -> tuple[str | None, str]:
    """Level and message of a log's line; no level where it is none."""
    old = _OLD_ETCD.match(line)
    if old is not None:
        return "error", old["msg"]
    try:
        row = json.loads(line)
    except ValueError:
        return None, ""
    if not isinstance(row, dict) or "level" not in row:
        return None, ""
    parts = [str(row[name]) for name in ("msg", "error") if row.get(name)]
    return str(row["level"]), ": ".join(parts)


def _short(text: str) -> str:
    """On one line, without a full stop, within bounds."""
    text = " ".join(text.split()).removesuffix(".")
    return text if len(text) <= _REASON_CHARS else text[: _REASON_CHARS - 1] + "…"

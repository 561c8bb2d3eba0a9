"""Choosing a revision to compact to, what goes with it, and the way out of NOSPACE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvorum_tui.model import words
from kvorum_tui.model.admin_records import MemberFigures

_AGO = re.compile(r"(\d+)\s*(s|sec|min|m|h|hours?|d|days?)\s*(ago)?$", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d)[ T])?(\d{1,2}):(\d\d)(?::(\d\d))?$")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Choice:
    """What was typed: a revision, or a time (seconds since 1970) that has to be looked up; or what
    is wrong with it.
    """

    revision: int = 0
    at_s: float = 0.0
    wrong: str = ""


def parse_choice(text: str, newest: int, compacted: int, now_s: float, today: str) -> Choice:
    """``now``, ``keep 1000`` (the last so many revisions), a revision, ``2 h ago``, ``14:30`` or
    ``2026-11-23 14:30``. ``today`` as YYYY-MM-DD, in local time.
    """
    text = text.strip().lower()
    if text == "now":
        return _checked(newest, newest, compacted)
    keep = re.fullmatch(r"(?:keep(?: last)?|-)\s*([\d,]+)", text)
    if keep:
        return _checked(newest - int(keep[1].replace(",", "")), newest, compacted)
    plain = text.replace(",", "").replace("_", "")
    if plain.isdigit():
        return _checked(int(plain), newest, compacted)
    ago = _AGO.fullmatch(text)
    if ago:
        return Choice(at_s=now_s - int(ago[1]) * _SECONDS[ago[2][0]])
    if _CLOCK.fullmatch(text):
        return Choice(at_s=_clock(text, today))
    return Choice(wrong="now · keep 1000 · a revision · 2 h ago · 14:30 · 2026-11-23 14:30")


def _clock(text: str, today: str) -> float:
    import time

    date, _, clock = text.replace("t", " ").rpartition(" ")
    seconds = "" if clock.count(":") == 2 else ":00"
    spelled = f"{date or today} {clock}{seconds}"
    return time.mktime(time.strptime(spelled, "%Y-%m-%d %H:%M:%S"))


def _checked(revision: int, newest: int, compacted: int) -> Choice:
    if revision > newest:
        return Choice(wrong=f"the newest revision is {newest:,}")
    if revision <= compacted:
        oldest = f"nothing before {compacted:,} is left" if compacted > 0 else "nothing to forget"
        return Choice(wrong=f"revision {revision:,}: {oldest}")
    if revision <= 0:
        return Choice(wrong="there are fewer revisions than that")
    return Choice(revision)


def compaction_lines(
    revision: int, newest: int, compacted: int, watches: Sequence[tuple[str, int]]
) -> list[tuple[str, str]]:
    """What a compaction means, as (text, ink). ``watches``: what is open here, and the revision
    that it stands at.
    """
    gone = revision - max(1, compacted)
    lines = [
        (f"Forgets what only the {gone:,} revisions before {revision:,} can show.", "text"),
        (
            f"Stays: every key as it is now, and all {newest - revision + 1:,} revisions from "
            f"{revision:,} to {newest:,}.",
            "text",
        ),
        ("Goes: older values and deletions; reads, watches, undo and history before it.", "warn"),
        ("The file gets no smaller by that: a defragmentation gives the space back.", "dim"),
    ]
    below = [(name, at) for name, at in watches if 0 < at < revision]
    for name, at in below:
        lines.append((f"open here and below it: {name} at revision {at:,} will have a gap", "bad"))
    if watches and not below:
        lines.append(
            (f"{words.plural(len(watches), 'watch', 'watches')} open here: none is below it", "dim")
        )
    lines.append(("Watches of other programs that stand below it are cancelled.", "dim"))
    lines.append(("It cannot be undone.", "warn"))
    return lines


def space_rows(figures: Sequence[MemberFigures]) -> list[tuple[str, str, str, str, str]]:
    """Name, size, in use, free share, quota share of every member that answered."""
    rows = []
    for each in figures:
        if not each.up:
            rows.append((each.title, "", "", "", each.error))
            continue
        free = f"{each.free_bytes / each.db_bytes:.0%}" if each.db_bytes else ""
        quota = ""
        if each.quota_bytes > 0:
            share = each.db_bytes / each.quota_bytes
            quota = f"{share:.0%} of {words.size(each.quota_bytes)}"
        rows.append(
            (each.title, words.size(each.db_bytes), words.size(each.in_use_bytes), free, quota)
        )
    return rows


ALARM_WORDS = {
    "NOSPACE": (
        "The store of this member reached its quota. Puts, transactions with puts and new leases "
        "are refused on every member; reads, deletions, compaction and revoking leases work.",
        "Way out: compact, defragment every member, then disarm. b leads through it.",
    ),
    "CORRUPT": (
        "This member holds something else than the others at the same revision. All writes are "
        "refused; reads work, but may differ from member to member.",
        "Do not disarm first. h in the Cluster tab compares the members' hashes and finds the "
        "differing keys. Save a snapshot of a member that agrees with the majority, remove the "
        "differing one, wipe its data, add it again as a new member, and only then disarm.",
    ),
}

"""Raft logs of all members side by side, aligned by index: one cell an entry, letter and colour by
term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.records import LogEntryView, MemberReport, PeerView

TERM_INKS = 8
# What stands under a strip: the leader's idea of a follower first, then the member's own indexes.
MARKS = {"=": "match", ">": "next", "c": "commit", "a": "applied"}

# Entries that were loaded beside those that members report, by endpoint and index.
Older = Mapping[str, Mapping[int, LogEntryView]]


ETCD_LOG = "etcd keeps its raft log to itself; kvorum nodes show it"
WITHHELD_LOG = "the raft logs name keys: with auth on only root sees them"


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of one member's log as painted; ``·`` stands where the member told of none."""

    letter: str = "·"
    ink: str = "faint"
    committed: bool = True
    mark: str = ""  # one of MARKS

    @property
    def entry(self) -> bool:
        """Whether an entry stands here."""
        return self.letter.isalpha()


@dataclass(frozen=True, slots=True)
class LogRow:
    """One member's strip. ``reason`` says why there is none."""

    member: MemberState
    cells: tuple[Cell, ...] = ()
    reason: str = ""


def term_letter(term: int) -> str:
    """A to Z and round again: neighbouring terms always differ."""
    return chr(ord("A") + (term - 1) % 26) if term > 0 else "-"


def term_ink(term: int) -> str:
    """The colour's name for a term; neighbouring terms always differ."""
    return f"term{(term - 1) % TERM_INKS}" if term > 0 else "dim"


def newest_index(model: ClusterModel) -> int:
    """The highest log index that any member told."""
    return max(
        (e.index for m in model.rows() if m.report and m.report.log for e in m.report.log[-1:]),
        default=0,
    )


def oldest_index(model: ClusterModel, older: Older) -> int:
    """The lowest log index that any member told; 0 without any."""
    told = [m.report.log[0].index for m in model.rows() if m.report and m.report.log]
    told += [min(entries) for entries in older.values() if entries]
    return min(told, default=0)


def strips(
    model: ClusterModel, width: int, end: int, now: float, older: Older | None = None
) -> list[LogRow]:
    """A row for each member, over the ``width`` indexes that end at ``end``."""
    first, newest = end - width + 1, newest_index(model)
    leader = model.leader(now)
    peers = {p.id: p for p in leader.report.peers or ()} if leader and leader.report else {}
    rows: list[LogRow] = []
    for member in model.rows():
        report = member.report
        if report is None:
            rows.append(LogRow(member, reason=member.error or "no answer yet"))
            continue
        entries = dict((older or {}).get(report.endpoint, {}))
        if report.log is None or (not report.log and not entries and report.commit):
            rows.append(LogRow(member, reason=ETCD_LOG if report.log is None else WITHHELD_LOG))
            continue
        entries.update((entry.index, entry) for entry in report.log)
        peer = peers.get(member.id)
        cells = []
        for index in range(first, end + 1):
            mark = _mark(index, peer, report)
            entry = entries.get(index)
            if entry is None:
                cells.append(Cell("·" if 0 < index <= newest else " ", "faint", mark=mark))
                continue
            committed = index <= report.commit
            cells.append(Cell(term_letter(entry.term), term_ink(entry.term), committed, mark))
        rows.append(LogRow(member, tuple(cells)))
    return rows


def _mark(index: int, peer: PeerView | None, report: MemberReport) -> str:
    """The sign under an index. Commit and applied stand there only where they say more than the
    letters: behind the leader's match index, or apart from one another.
    """
    if peer is not None and peer.match == index:
        return "="
    if peer is not None and peer.next == index:
        return ">"
    if index < 1:
        return ""
    return "c" if index == report.commit else "a" if index == report.applied else ""


def entry_at(member: MemberState, index: int, older: Older | None = None) -> LogEntryView | None:
    """The entry of one member's log at an index, as far as it was told."""
    if member.report is None or member.report.log is None:
        return None
    told = next((e for e in member.report.log if e.index == index), None)
    return told or (older or {}).get(member.endpoint, {}).get(index)

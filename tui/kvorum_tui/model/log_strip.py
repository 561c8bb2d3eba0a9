"""Raft logs of all members side by side, aligned by index: one cell an entry, letter and colour by
term.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.records import LogEntryView

TERM_INKS = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of one member's log as painted; ``·`` stands where the member told of none."""

    letter: str = "·"
    ink: str = "faint"
    committed: bool = True
    mark: str = ""  # "=" the leader's match index for this member, ">" its next index

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


def strips(model: ClusterModel, width: int, end: int, now: float) -> list[LogRow]:
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
        if report.log is None:
            rows.append(
                LogRow(member, reason="etcd keeps its raft log to itself; kvorum nodes show it")
            )
            continue
        entries = {entry.index: entry for entry in report.log}
        peer = peers.get(member.id)
        cells = []
        for index in range(first, end + 1):
            mark = (
                "=" if peer and peer.match == index else ">" if peer and peer.next == index else ""
            )
            entry = entries.get(index)
            if entry is None:
                cells.append(Cell("·" if 0 < index <= newest else " ", "faint", mark=mark))
                continue
            committed = index <= report.commit
            cells.append(Cell(term_letter(entry.term), term_ink(entry.term), committed, mark))
        rows.append(LogRow(member, tuple(cells)))
    return rows


def entry_at(member: MemberState, index: int) -> LogEntryView | None:
    """The entry of one member's log at an index, as far as it was told."""
    if member.report is None or member.report.log is None:
        return None
    return next((e for e in member.report.log if e.index == index), None)

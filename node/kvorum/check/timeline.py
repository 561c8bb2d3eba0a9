"""A part of a history as a picture: SVG, made of strings.

One lane a client, one a watch, time from left to right. An operation is a bar from its call to its
return, open at the right end when it never returned; what a finding names is drawn in red, and the
rest, if asked for, in grey around it. Faults are bands behind everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import count

from kvorum.check.records import (
    NEVER,
    Delete,
    DeleteAnswer,
    History,
    LeaseAnswer,
    Operation,
    Put,
    Range,
    RangeAnswer,
    Request,
    Seen,
    Txn,
    TxnAnswer,
)
from kvorum.check.verdict import Finding

WIDTH = 1180
_LEFT, _RIGHT, _TOP, _LANE = 120, 30, 96, 46
_TEXT_PX = 6.6  # A character of the labels' font, nearly.
LANES_MAX = 40
BARS_MAX = 400
_STYLE = """
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2430}
.title{font-weight:600;font-size:14px}.soft{fill:#6b7280}.lane{stroke:#e5e7eb}
.tick{stroke:#d1d5db;stroke-dasharray:2 3}.fault{fill:#f59e0b;opacity:.16}
.ok{fill:#dbeafe;stroke:#3b82f6}.refused{fill:#f3f4f6;stroke:#9ca3af}
.unknown{fill:#fef3c7;stroke:#d97706;stroke-dasharray:4 3}
.bad{fill:#fee2e2;stroke:#dc2626;stroke-width:2}.event{fill:#3b82f6}.event.bad{fill:#dc2626}
"""


def render(part: History, finding: Finding, title: str = "") -> str:
    """The picture of a part, as a whole SVG document.

    Args:
        part: what to draw, at most :data:`BARS_MAX` operations of it. finding: what is red in it.
        title: the run's name.
    """
    return _Picture(part, finding, title).draw()


def describe(request: Request) -> str:
    """A request in a few characters."""
    if isinstance(request, Put):
        lease = f" @{request.lease:x}" if request.lease else ""
        return f"put {_text(request.key)}={_text(request.value)}{lease}"
    if isinstance(request, Range):
        at = f"@{request.revision}" if request.revision else ""
        return f"get{'~' if request.serializable else ''} {_span(request)}{at}"
    if isinstance(request, Delete):
        return f"del {_span(request)}"
    if isinstance(request, Txn):
        return f"txn {'; '.join(describe(op) for op in request.success)}"
    return " ".join([type(request).__name__.lower(), *(str(part) for part in request)])


def outcome(operation: Operation) -> str:
    """What came of an operation, in a few characters."""
    answer = operation.answer
    if answer is None:
        return "unknown" if operation.unknown else operation.error or "refused"
    words = ""
    if isinstance(answer, RangeAnswer):
        values = [f"{_text(kv.value)}@{kv.mod}" for kv in answer.kvs[:2]]
        words = ",".join(values) + ("…" if answer.total > len(values) else "") or "nothing"
    elif isinstance(answer, DeleteAnswer):
        words = str(answer.deleted)
    elif isinstance(answer, TxnAnswer):
        words = "then" if answer.succeeded else "else"
    elif isinstance(answer, LeaseAnswer):
        words = f"{answer.ttl_s} s"
    at = f" r{operation.revision}" if operation.revision else ""
    return f"{words}{at}".strip() or "done"


def _text(value: bytes) -> str:
    text = value.decode(errors="replace")
    return text if len(text) <= 16 else text[:15] + "…"


def _span(request: Range | Delete) -> str:
    return f"[{_text(request.key)},{_text(request.end)})" if request.end else _text(request.key)


class _Picture:
    def __init__(self, part: History, finding: Finding, title: str) -> None:
        self.finding = finding
        self.title = title
        named = set(finding.operations)
        # What is named is drawn in any case, its company as far as there is room.
        chosen = sorted(part.operations, key=lambda op: (op.id not in named, op.called))
        self.operations = sorted(chosen[:BARS_MAX], key=lambda op: (op.called, op.id))
        self.seen = [seen for seen in part.seen if seen.watch in finding.watches][:BARS_MAX]
        self.faults = part.faults
        clients = sorted({op.client for op in self.operations})
        watches = sorted({seen.watch for seen in self.seen} | set(finding.watches))
        lanes = [("client", client) for client in clients] + [("watch", w) for w in watches]
        self.lanes = {lane: place for place, lane in enumerate(lanes[:LANES_MAX])}
        times = [op.called for op in self.operations] + [seen.at for seen in self.seen]
        times += [op.returned for op in self.operations if op.returned != NEVER]
        times += [hold.since for hold in part.holds]
        low, high = min(times, default=0), max(times, default=1)
        margin = max((high - low) // 20, 1)
        self.low, self.high = low - margin, high + margin
        self.parts: list[str] = []

    def draw(self) -> str:
        """The whole document."""
        lines = _wrapped(self.finding.text, 150)[:4]
        top = _TOP + 15 * (len(lines) - 1)
        height = top + _LANE * max(len(self.lanes), 1) + 46
        self.top = top
        head = f"{self.finding.rule}" + (f" · {self.title}" if self.title else "")
        self._text(24, 28, head, "title")
        for place, line in enumerate(lines):
            self._text(24, 50 + 15 * place, line, "soft")
        self._faults(height)
        self._axis(height)
        for (kind, number), place in self.lanes.items():
            y = top + _LANE * place
            self.parts.append(
                f'<line class="lane" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y + 30}" '
                f'y2="{y + 30}"/>'
            )
            self._text(24, y + 26, f"{kind} {number}")
        for operation in self.operations:
            self._operation(operation)
        for seen in self.seen:
            self._message(seen)
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">\n<title>{escape(head)}</title>\n'
            f"<style>{_STYLE}</style>\n"
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

    def _x(self, at: int) -> float:
        inside = WIDTH - _LEFT - _RIGHT
        share = (min(max(at, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_LEFT + inside * share, 1)

    def _text(self, x: float, y: float, text: str, style: str = "") -> None:
        style = f' class="{style}"' if style else ""
        self.parts.append(f'<text{style} x="{x}" y="{y}">{escape(text)}</text>')

    def _axis(self, height: int) -> None:
        """Ticks with the time since the beginning of the picture."""
        step = _step(self.high - self.low)
        at = self.low
        while at <= self.high:
            x = self._x(at)
            self.parts.append(
                f'<line class="tick" x1="{x}" x2="{x}" y1="{self.top}" y2="{height - 34}"/>'
            )
            self._text(x, height - 16, f"{(at - self.low) / 1e6:g} ms", "soft")
            at += step

    def _faults(self, height: int) -> None:
        for fault in self.faults:
            end = self.high if fault.until == NEVER else fault.until
            if fault.at > self.high or end < self.low:
                continue
            x = self._x(fault.at)
            self.parts.append(
                f'<rect class="fault" x="{x}" y="{self.top - 6}" '
                f'width="{max(self._x(end) - x, 2):.1f}" height="{height - self.top - 28}">'
                f"<title>{escape(f'{fault.kind} {fault.target} {fault.detail}'.strip())}</title>"
                "</rect>"
            )
            self._text(x + 3, self.top + 4, f"{fault.kind} {fault.target}".strip(), "soft")

    def _operation(self, operation: Operation) -> None:
        lane = self.lanes.get(("client", operation.client))
        if lane is None:
            return
        y = self.top + _LANE * lane
        x = self._x(operation.called)
        end = self.high if operation.returned == NEVER else operation.returned
        width = max(self._x(end) - x, 3)
        style = "ok" if operation.acknowledged else "unknown" if operation.unknown else "refused"
        if operation.id in self.finding.operations:
            style = "bad"
        label = f"{describe(operation.request)} → {outcome(operation)}"
        where = f", {operation.member}" if operation.member else ""
        self.parts.append(
            f'<rect class="{style}" x="{x}" y="{y + 20}" width="{width:.1f}" height="20" rx="3">'
            f"<title>{escape(f'operation {operation.id}: {label}{where}')}</title></rect>"
        )
        room = WIDTH - 8 - len(label) * _TEXT_PX
        self._text(min(x, max(room, _LEFT)), y + 15, label)

    def _message(self, seen: Seen) -> None:
        lane = self.lanes.get(("watch", seen.watch))
        if lane is None:
            return
        y, x = self.top + _LANE * lane, self._x(seen.at)
        revisions = sorted({event.kv.mod for event in seen.events})
        bad = bool(set(revisions) & set(self.finding.revisions))
        if seen.canceled:
            words = f"canceled {seen.compact_revision or ''}".strip()
        elif seen.progress:
            words = f"mark {seen.revision}"
        elif seen.created:
            words = "created"
        else:
            words = ",".join(f"r{revision}" for revision in revisions[:3])
        self.parts.append(
            f'<circle class="event{" bad" if bad else ""}" cx="{x}" cy="{y + 30}" r="4.5">'
            f"<title>{escape(f'watch {seen.watch}: {words}')}</title></circle>"
        )
        self._text(x + 6, y + 22, words, "" if bad else "soft")


def _step(span: int) -> int:
    """A round distance between ticks, about eight in the picture."""
    steps: Iterator[int] = (10**power * factor for power in count() for factor in (1, 2, 5))
    return next(step for step in steps if span // step <= 8)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word[:width])
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()[:width]
    return lines

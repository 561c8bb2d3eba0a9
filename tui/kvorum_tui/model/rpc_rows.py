"""Which of the log's calls are shown: filter, polls, pause; and how a call is written out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from kvorum_tui.model.rpc_log import ENTRIES_MAX, RpcEntry, RpcFilter, RpcLog, RpcMoment
from kvorum_tui.model.rpc_text import answer_words, in_few_words, lines_of, message_of
from kvorum_tui.model.rpc_twin import twin


class RpcRows:
    """The shown part of a log, oldest first. While it is paused nothing of it moves; ``held``
    counts what came meanwhile, ``hidden`` the polls out of sight, ``filtered`` what the filter
    leaves out.
    """

    def __init__(self, log: RpcLog, name_of: Callable[[str], str]) -> None:
        self.log = log
        self.name_of = name_of
        self.rows: deque[RpcEntry] = deque(maxlen=ENTRIES_MAX)
        self.filter = RpcFilter()
        self.polls = False
        self.paused = False
        self.held = 0
        self.hidden = 0
        self.filtered = 0
        self.stale = False

    def take(self, moment: RpcMoment) -> None:
        """Something happened."""
        entry, new = self.log.add(moment)
        if self.paused:
            self.held += new
        elif new:
            self._show(entry)
            while self.rows and self.rows[0].evicted:
                self.rows.popleft()
        elif not entry.open and self.filter.text:
            self.stale = True  # A stream that ended may pass the filter now, or no longer.

    def _show(self, entry: RpcEntry) -> None:
        if not self.polls and entry.poll:
            self.hidden += 1
        elif self.filter.shows(entry, self.name_of(entry.endpoint), self.what(entry)):
            self.rows.append(entry)
        else:
            self.filtered += 1

    def what(self, entry: RpcEntry) -> str:
        """The request in a few words."""
        if entry.stream and entry.request is None and not entry.sent:
            return ""
        if entry.what is None:
            entry.what = in_few_words(entry.path, entry.request)
        return entry.what

    def refresh(self) -> None:
        """Choose the rows anew where they may have changed."""
        if self.stale and not self.paused:
            self.rebuild()

    def rebuild(self) -> None:
        """Choose the rows anew."""
        self.rows.clear()
        self.hidden = self.filtered = 0
        self.stale = False
        for entry in self.log.entries:
            self._show(entry)

    def set_filter(self, text: str) -> str:
        """Filter from now on and what is there; returns what is wrong with the filter."""
        self.filter = RpcFilter(text)
        self.rebuild()
        return self.filter.error

    def toggle(self, word: str) -> None:
        """Add a word to the filter, or take it away."""
        words = self.filter.text.split()
        words = [each for each in words if each != word] if word in words else [*words, word]
        self.set_filter(" ".join(words))

    def show_polls(self, shown: bool) -> None:
        """With or without the terminal's own polls."""
        self.polls = shown
        self.rebuild()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on with everything that came meanwhile."""
        self.paused = paused
        self.held = 0
        if not paused:
            self.rebuild()


def detail(
    entry: RpcEntry, member: str, connection: Sequence[str] = ()
) -> list[list[tuple[str, str]]]:
    """All that is known of a call, as lines to paint."""
    at = datetime.fromtimestamp(entry.at_s).strftime("%H:%M:%S.%f")[:-3]
    kind = "reads" if entry.reads else "writes"
    lines = [
        [
            (entry.method, "bold"),
            (f" at {member}, {at}, {entry.ms:,.1f} ms, {kind}", "dim"),
        ]
    ]
    if entry.failed:
        lines.append([(f"✗ {entry.code} ", "bad"), (entry.message, "text")])
    elif entry.code != "OK":
        lines.append([(f"{entry.code.lower()} ", "dim"), (entry.message, "text")])
    for program, line, why in command_lines(entry, connection):
        first, *more = (line or f"({why})").split("\n")
        lines.append([(f"{program:<8}", "head"), (first, "text" if line else "dim")])
        lines += [[(" " * 8, "text"), (each, "text")] for each in more]
    lines += _block("request", entry.path, entry.request, False)
    if entry.code == "OK" or entry.stream:
        lines += _block("answer" if not entry.stream else "newest", entry.path, entry.reply, True)
    return lines


def command_lines(entry: RpcEntry, connection: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Program, command line, and the reason where there is none; what the server is best asked
    with first.
    """
    found = twin(entry.path, entry.request, entry.endpoint, connection)
    rows = [
        ("kvorum", found.kvorum, found.why_not_kvorum),
        ("etcdctl", found.etcdctl, found.why_not_etcdctl),
    ]
    if not found.kvorum and not found.etcdctl and rows[0][2] == rows[1][2]:
        return [("command", "", rows[0][2])]
    return rows


def _block(
    title: str, path: str, payload: bytes | None, reply: bool
) -> list[list[tuple[str, str]]]:
    if payload is None:
        return [[(f"{title:<8}", "head"), ("too long to be kept", "dim")]]
    found = lines_of(message_of(path, payload, reply=reply))
    if not found:
        return [[(f"{title:<8}", "head"), ("empty", "dim")]]
    width = max(len(name) for name, _ in found)
    return [
        [
            (f"{title if number == 0 else '':<8}", "head"),
            (f"{name:<{width}} ", "dim"),
            (text, "text"),
        ]
        for number, (name, text) in enumerate(found)
    ]


def as_json(entry: RpcEntry, member: str, connection: Sequence[str] = ()) -> dict[str, Any]:
    """A call as one line of an export."""
    found = twin(entry.path, entry.request, entry.endpoint, connection)
    return {
        "at": datetime.fromtimestamp(entry.at_s, UTC).isoformat(),
        "member": member,
        "endpoint": entry.endpoint,
        "method": entry.path,
        "ms": round(entry.ms, 3),
        "stream": entry.stream,
        "open": entry.open,
        "reads": entry.reads,
        "messages_sent": entry.sent,
        "messages_received": entry.received,
        "bytes_sent": entry.sent_bytes,
        "bytes_received": entry.received_bytes,
        "code": entry.code,
        "message": entry.message,
        "request": dict(lines_of(message_of(entry.path, entry.request))),
        "answer": answer_words(entry.path, entry.reply, entry.received_bytes),
        "kvorum": found.kvorum,
        "etcdctl": found.etcdctl,
    }

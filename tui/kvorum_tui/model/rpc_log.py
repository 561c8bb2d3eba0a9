"""The terminal's own calls as a log: a ring with honest counters, what to show of it, and figures
by method.

Nothing here asks or paints. :class:`RpcMoment` is what the client tells of a call; streams become
one entry that grows. A poll is what the terminal asks again and again only to keep its own picture
current; it can be left out of sight, never out of the log, and a failed one always shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

ENTRIES_MAX = 5_000  # Calls kept.
BYTES_MAX = 16 * 1024 * 1024  # Requests and answers kept with them, together.
PAYLOAD_MAX = 8 * 1024  # A request or answer longer than this is not kept, only its size.
DURATIONS_MAX = 512  # Of each method, for the percentiles.
METHODS_MAX = 200
SLOW_MS = 100.0

POLLS = frozenset(
    {
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Maintenance/Alarm",
        "/etcdserverpb.Cluster/MemberList",
        "/etcdserverpb.Lease/LeaseLeases",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Auth/UserList",
        "/etcdserverpb.Auth/UserGet",
        "/etcdserverpb.Auth/RoleList",
        "/etcdserverpb.Auth/RoleGet",
        "/etcdserverpb.Auth/AuthStatus",
    }
)


class RpcMoment(NamedTuple):
    """One unary call (phase ``call``), or a moment of a stream: ``open``, ``sent``, ``received``,
    ``end``. Bytes are messages on the wire without passwords and tokens.
    """

    id: int
    phase: str
    at_s: float
    endpoint: str
    method: str
    duration_s: float
    request: bytes = b""
    reply: bytes = b""
    code: str = "OK"
    message: str = ""
    reads: bool = True


@dataclass(slots=True, eq=False)
class RpcEntry:
    """One call. Of a stream the first request and the newest answer are kept; sizes are sums."""

    id: int
    at_s: float
    endpoint: str
    path: str
    reads: bool
    stream: bool = False
    open: bool = False
    duration_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    sent: int = 0
    received: int = 0
    code: str = "OK"
    message: str = ""
    request: bytes | None = None  # None: too long to be kept
    reply: bytes | None = None
    what: str | None = None  # the request in a few words, once somebody looked
    evicted: bool = False  # the log has let go of it

    @property
    def method(self) -> str:
        """Service and method without the package: ``KV/Put``."""
        return self.path.rpartition(".")[2]

    @property
    def failed(self) -> bool:
        """Whether it ended with an error. What this side gave up did not, and neither did a
        question whether the server offers something.
        """
        return self.code not in ("OK", "CANCELLED", "UNIMPLEMENTED")

    @property
    def poll(self) -> bool:
        """Whether the terminal made it only to keep its picture current, or to learn what this
        kind of server does not offer.
        """
        return self.code == "UNIMPLEMENTED" or (
            self.path in POLLS and self.reads and not self.failed
        )

    @property
    def ms(self) -> float:
        """How long it took; of an open stream, how long until the newest message."""
        return self.duration_s * 1000

    @property
    def weight(self) -> int:
        """Bytes kept."""
        return len(self.request or b"") + len(self.reply or b"")


class RpcFilter:
    """Which calls to show: words that must all hold. ``errors``, ``writes``, ``reads``,
    ``streams``, ``slow`` (100 ms) or ``>250`` (ms), ``method:put``, ``member:n1``; any other word
    is looked for in member, method, request and message. ``!word`` means not.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text.strip()
        self.error = ""
        self._words: list[tuple[bool, str, str]] = []
        for word in self.text.lower().split():
            wanted = not word.startswith("!")
            word = word.removeprefix("!")
            kind, colon, rest = word.partition(":")
            if colon and kind in ("method", "member", "code"):
                self._words.append((wanted, kind, rest))
            elif word == "slow":
                self._words.append((wanted, ">", str(SLOW_MS)))
            elif word.startswith(">"):
                try:
                    float(word[1:])
                except ValueError:
                    self.error = f"{word}: a number of milliseconds stands behind >"
                    continue
                self._words.append((wanted, ">", word[1:]))
            elif word in ("errors", "writes", "reads", "streams"):
                self._words.append((wanted, word, ""))
            elif word:
                self._words.append((wanted, "text", word))

    def shows(self, entry: RpcEntry, member: str, what: str) -> bool:
        """Whether a call passes."""
        return all(
            self._holds(entry, kind, text, member, what) is wanted
            for wanted, kind, text in self._words
        )

    @staticmethod
    def _holds(entry: RpcEntry, kind: str, text: str, member: str, what: str) -> bool:
        match kind:
            case ">":
                return entry.ms > float(text) and not entry.open
            case "errors":
                return entry.failed
            case "writes":
                return not entry.reads
            case "reads":
                return entry.reads
            case "streams":
                return entry.stream
            case "method":
                return text in entry.method.lower()
            case "member":
                return text in member.lower() or text in entry.endpoint.lower()
            case "code":
                return text in entry.code.lower()
        fields = (member, entry.endpoint, entry.method, what, entry.code, entry.message)
        return any(text in each.lower() for each in fields)


@dataclass(slots=True)
class MethodFigures:
    """What was seen of one method. Durations are those of its newest unary calls, in ms."""

    method: str
    count: int = 0
    errors: int = 0
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=DURATIONS_MAX))

    def percentile(self, share: float) -> float | None:
        """The duration that this share of the calls did not exceed; None without any."""
        return percentile(self.durations, share)


def percentile(values: Iterable[float], share: float) -> float | None:
    """Nearest rank."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


class RpcLog:
    """The calls of one session, oldest first. ``total`` counts all, ``dropped`` those that the
    bounds took; a stream that is open stays whatever its age.
    """

    def __init__(self, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.entries_max = entries_max
        self.bytes_max = bytes_max
        self.entries: deque[RpcEntry] = deque()
        self.figures: dict[str, MethodFigures] = {}
        self.total = 0
        self.errors = 0
        self.dropped = 0
        self.bytes = 0
        self._streams: dict[int, RpcEntry] = {}

    def add(self, moment: RpcMoment) -> tuple[RpcEntry, bool]:
        """Take in a moment. Returns the entry it belongs to, and whether that is new."""
        entry = self._streams.get(moment.id)
        new = entry is None
        if entry is None:
            entry = RpcEntry(moment.id, moment.at_s, moment.endpoint, moment.method, moment.reads)
            entry.stream = moment.phase != "call"
        before = 0 if new else entry.weight
        self._grow(entry, moment)
        self.bytes += entry.weight - before
        if new:
            self.total += 1
            self.entries.append(entry)
        if new or not entry.open:
            self._count(entry, new)
        self._bound()
        return entry, new

    def _grow(self, entry: RpcEntry, moment: RpcMoment) -> None:
        entry.duration_s = moment.duration_s
        if moment.request or moment.phase in ("call", "sent"):
            entry.sent += 1
            entry.sent_bytes += len(moment.request)
            if entry.sent == 1 and len(moment.request) <= PAYLOAD_MAX:
                entry.request = moment.request
        if moment.reply or moment.phase in ("call", "received"):
            entry.received += 1
            entry.received_bytes += len(moment.reply)
            entry.reply = moment.reply if len(moment.reply) <= PAYLOAD_MAX else None
        if moment.phase == "open":
            entry.open = True
            self._streams[moment.id] = entry
        elif moment.phase in ("call", "end"):
            entry.open = False
            entry.code, entry.message = moment.code, moment.message
            self._streams.pop(moment.id, None)

    def _count(self, entry: RpcEntry, new: bool) -> None:
        figures = self.figures.get(entry.method)
        if figures is None:
            if len(self.figures) >= METHODS_MAX:
                return
            figures = self.figures[entry.method] = MethodFigures(entry.method)
        if new:
            figures.count += 1
        if not entry.open and entry.failed:
            figures.errors += 1
            self.errors += 1
        if not entry.stream:
            figures.durations.append(entry.ms)

    def _bound(self) -> None:
        kept: list[RpcEntry] = []
        while len(self.entries) + len(kept) > self.entries_max or self.bytes > self.bytes_max:
            if not self.entries:
                break
            oldest = self.entries.popleft()
            if oldest.open:
                kept.append(oldest)
                continue
            oldest.evicted = True
            self.bytes -= oldest.weight
            self.dropped += 1
        self.entries.extendleft(reversed(kept))

    def by_method(self) -> list[MethodFigures]:
        """Methods, most calls first."""
        return sorted(self.figures.values(), key=lambda f: (-f.count, f.method))

    def clear(self) -> None:
        """Forget the calls that are over, and the figures."""
        self.entries = deque(entry for entry in self.entries if entry.open)
        self.bytes = sum(entry.weight for entry in self.entries)
        self.figures.clear()
        self.total, self.errors, self.dropped = len(self.entries), 0, 0

"""The replicated log of one member: what it holds, and how far each stage of it has come.

Entries live in one list that starts behind a base (the last index a snapshot or compaction covers).
Five indexes walk along it, and these hold at all times:

- base <= applied <= applying <= commit <= last: applied by the driver; handed to it to be
  applied; known to be committed.
- applying <= stable <= handed <= last: durable here; handed out to be made durable.
- Only what is stable is handed out to be applied, so applying <= min(commit, stable).
- applying <= settled <= commit: of membership changes even the commitment must be durable first.
- Terms never fall from one entry to the next, indexes rise by one.
- Nothing at or below commit is ever replaced.

While a received snapshot waits to become durable, base = applying = commit = handed = its index and
applied and stable still lie below; `stable_to` ends that.

Durability is reported later than it is asked for, in order, by ticket. A truncation in between must
not let an old report vouch for new entries in the same slots (rule L9), so the log keeps the
outstanding reports itself and lowers them when it truncates.

That an entry is committed may be forgotten in a crash, with one exception. Whom a membership change
removes may leave for good as soon as anybody tells it, applies the change or answers for it; a
member that forgets it then would count with the vote of one that is gone, of two members for ever.
So such an entry is *settled* only once the commit index that covers it is durable here, and
`settled` is all that is told to others and applied.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import itemgetter

from kvorum.raft.types import ENTRY_OVERHEAD_BYTES, Entry, EntryKind, InvariantViolation

_term_of = itemgetter(1)


class Log:
    """The entries after (base_index, base_term) and the stages they have reached."""

    __slots__ = (
        "_commit_reports",
        "_entries",
        "_reports",
        "_unsettled",
        "applied",
        "applying",
        "base_index",
        "base_term",
        "commit",
        "handed",
        "last_index",
        "last_term",
        "stable",
    )

    def __init__(self, base_index: int, base_term: int, entries: Sequence[Entry]) -> None:
        """A log whose every entry is durable; ValueError when the entries leave a gap."""
        index, term = base_index, base_term
        for entry in entries:
            if entry.index != index + 1 or entry.term < term:
                raise ValueError(f"entry {entry.index}/{entry.term} cannot follow {index}/{term}")
            index, term = entry.index, entry.term
        self._entries = list(entries)
        self.base_index = base_index
        self.base_term = base_term
        self.last_index = self.stable = self.handed = index
        self.last_term = term
        self.commit = self.applying = self.applied = base_index
        self._reports: deque[tuple[int, int]] = deque()
        # Membership changes whose commitment a crash may still forget, and which tickets end that.
        self._unsettled: deque[int] = deque()
        self._commit_reports: deque[tuple[int, int]] = deque()

    # ---- reading -----------------------------------------------------------------------------

    @property
    def first_index(self) -> int:
        """The index of the first entry still held, or where the next one will go."""
        return self.base_index + 1

    def term_at(self, index: int) -> int | None:
        """The term of the entry at `index`; None when it is compacted away or not there yet."""
        offset = index - self.base_index
        if offset <= 0:
            return self.base_term if offset == 0 else None
        return self._entries[offset - 1][1] if index <= self.last_index else None

    def slice(self, low: int, high: int) -> tuple[Entry, ...]:
        """The entries with low <= index < high that are in memory."""
        base = self.base_index + 1
        return tuple(self._entries[max(low - base, 0) : max(high - base, 0)])

    def slice_bytes(self, low: int, high: int, max_bytes: int) -> tuple[Entry, ...]:
        """Like `slice`, ended before `max_bytes` is passed, but never empty for that (L13)."""
        start = low - self.base_index - 1
        stop = high - self.base_index - 1
        if stop - start == 1:
            return (self._entries[start],)
        entries = self._entries
        size = 0
        for at in range(start, stop):
            size += ENTRY_OVERHEAD_BYTES + len(entries[at][3])
            if size > max_bytes and at > start:
                stop = at
                break
        return tuple(entries[start:stop])

    def newest_at_or_below(self, index: int, term: int) -> tuple[int, int]:
        """The greatest (index, term) held with at most this index and at most this term (L8).

        (0, 0) when all that is left in memory is newer.
        """
        count = min(index, self.last_index) - self.base_index
        if count < 0:
            return 0, 0
        count = bisect_right(self._entries, term, 0, count, key=_term_of)
        if count:
            return self.base_index + count, self._entries[count - 1][1]
        return (self.base_index, self.base_term) if self.base_term <= term else (0, 0)

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Whether a log ending in (index, term) is at least as new as this one (thesis 3.6.1)."""
        return term > self.last_term or (term == self.last_term and index >= self.last_index)

    # ---- growing and shrinking ---------------------------------------------------------------

    def append(self, entry: Entry) -> None:
        """Add the leader's next entry."""
        self._entries.append(entry)
        self.last_index = entry[0]
        self.last_term = entry[1]

    def merge(self, prev_index: int, entries: tuple[Entry, ...]) -> int:
        """Take over entries that follow a matching prev_index (thesis 3.5, rule L2).

        Entries already here stay; from the first one that differs on, the old tail goes. Returns
        the index of that first replaced entry, or 0 when nothing had to go.
        """
        truncated = 0
        if prev_index != self.last_index:
            skip = 0
            for entry in entries:
                if self.term_at(entry[0]) != entry[1]:
                    break
                skip += 1
            entries = entries[skip:]
            if entries and entries[0][0] <= self.last_index:
                truncated = entries[0][0]
                self._truncate(truncated)
        if entries:
            self._entries.extend(entries)
            self.last_index, self.last_term = entries[-1][:2]
        return truncated

    def _truncate(self, index: int) -> None:
        """Drop the entry at `index` and all after it, and whatever was said about them."""
        if index <= self.commit:
            raise InvariantViolation(f"entry {index} is committed (to {self.commit}), yet replaced")
        del self._entries[index - self.base_index - 1 :]
        self.last_index = index - 1
        self.stable = min(self.stable, self.last_index)
        self.handed = min(self.handed, self.last_index)
        self._reports = deque((ticket, min(to, self.last_index)) for ticket, to in self._reports)

    def restore(self, index: int, term: int) -> None:
        """Forget everything: a snapshot that ends in (index, term) takes the log's place (S2)."""
        self._entries.clear()
        self.base_index = self.last_index = index
        self.base_term = self.last_term = term
        self.commit = self.applying = self.handed = index
        self.stable = 0
        self._reports = deque((ticket, 0) for ticket, _ in self._reports)
        self._unsettled.clear()  # the snapshot becomes durable with all that it covers

    def compact(self, index: int) -> None:
        """Release the entries up to `index` (<= applied), keeping the term at it.

        Costs one move of the pointers that stay, so cut in strides of many entries.
        """
        count = index - self.base_index
        if count <= 0:
            return
        self.base_term = self._entries[count - 1][1]
        self.base_index = index
        del self._entries[:count]

    # ---- durability --------------------------------------------------------------------------

    def take_unhanded(self, ticket: int) -> tuple[Entry, ...]:
        """The entries to make durable now; `stable_to(ticket)` will report them."""
        entries = tuple(self._entries[self.handed - self.base_index :])
        self.handed = self.last_index
        self._reports.append((ticket, self.last_index))
        return entries

    def hand_commit(self, ticket: int) -> None:
        """The commit index becomes durable with this ticket."""
        if self._unsettled:
            self._commit_reports.append((ticket, self.commit))

    def stable_to(self, ticket: int) -> None:
        """Everything handed out up to `ticket` is durable, as far as it is still in the log."""
        reports = self._reports
        while reports and reports[0][0] <= ticket:
            self.stable = max(self.stable, reports.popleft()[1])
        reports = self._commit_reports
        while reports and reports[0][0] <= ticket:
            durable_commit = reports.popleft()[1]
            while self._unsettled and self._unsettled[0] <= durable_commit:
                self._unsettled.popleft()

    # ---- commitment --------------------------------------------------------------------------

    def commit_to(self, index: int) -> bool:
        """Raise the commit index; True when it moved. Beyond the log: durable data was lost."""
        if index <= self.commit:
            return False
        if index > self.last_index:
            raise InvariantViolation(
                f"told that {index} is committed, but the log ends at {self.last_index}: "
                "entries that were acknowledged are gone"
            )
        for entry in self._entries[self.commit - self.base_index : index - self.base_index]:
            if entry[2] is EntryKind.CONF_CHANGE:
                self._unsettled.append(entry[0])
        self.commit = index
        return True

    @property
    def settled(self) -> int:
        """How far others may be told that the log is committed; the module says why."""
        return self._unsettled[0] - 1 if self._unsettled else self.commit

    def must_sync_commit(self, handed: int) -> bool:
        """Whether the commit index, handed out as `handed` before, has to be made durable now."""
        return bool(self._unsettled) and self._unsettled[-1] > handed

    def has_committed(self) -> bool:
        """Whether something can be handed out to be applied."""
        return self.applying < self.settled and self.applying < self.stable

    def take_committed(self, max_bytes: int) -> tuple[Entry, ...]:
        """The next durable, settled entries in order, a page of about `max_bytes` (L13)."""
        high = min(self.settled, self.stable)
        if high <= self.applying:
            return ()
        entries = self.slice_bytes(self.applying + 1, high + 1, max_bytes)
        self.applying = entries[-1][0]
        return entries

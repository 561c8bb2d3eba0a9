"""The time line: how much was written when, what happened, and where one stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.ribbon import RibbonEvent
from kvorum_tui.session.past import Bounds, Bucket

LEVELS = 8
BIG_DELETION = 20  # Deletions in one stretch that are worth a mark, ...
BIG_SHARE = 0.5  # ... when at least so much of it was deleting.

# kind -> (letter, ink, words)
KINDS: dict[str, tuple[str, str, str]] = {
    "leader": ("L", "good", "leader change"),
    "lost": ("!", "bad", "no leader"),
    "alarm": ("!", "bad", "alarm"),
    "compacted": ("|", "warn", "compacted here"),
    "compact": ("c", "accent", "compaction"),
    "gap": ("~", "warn", "not known"),
    "deletion": ("x", "bad", "many deletions"),
}
MARKED = ("leader", "lost", "alarm", "compact")  # Of what the cluster's ribbon tells.


@dataclass(frozen=True, slots=True)
class TimeMark:
    """Something that happened at a revision."""

    revision: int
    kind: str
    text: str


@dataclass
class TimeLine:
    """A stretch of revisions. ``place`` is where one stands, 0 for now; ``marks``: the revisions
    called A and B.
    """

    bounds: Bounds = field(default_factory=lambda: Bounds(1, 1))
    buckets: tuple[Bucket, ...] = ()
    place: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    happened: tuple[TimeMark, ...] = ()
    zoom: int = 0  # Each halves the stretch.
    anchor: int = 0  # What the zoomed stretch was centred on.

    # --- where one stands -------------------------------------------------------------------------

    @property
    def here(self) -> int:
        """The revision looked at."""
        return self.place or self.bounds.newest

    @property
    def behind(self) -> int:
        """How many revisions came since."""
        return self.bounds.newest - self.here

    def clamped(self, revision: int) -> int:
        """The nearest revision that can be looked at; 0 for now."""
        if revision >= self.bounds.newest:
            return 0
        revision = max(self.bounds.oldest, revision)
        for first, last in self.bounds.gaps:
            if first <= revision <= last:
                # Into a gap one cannot look: on to the side towards which one goes.
                back = revision < self.here and first - 1 >= self.bounds.oldest
                revision = first - 1 if back else last + 1
        return 0 if revision >= self.bounds.newest else revision

    def stepped(self, by: int) -> int:
        """The place so many revisions on."""
        return self.clamped(self.here + by)

    # --- the stretch that is shown ----------------------------------------------------------------

    @property
    def first(self) -> int:
        """Where the strip begins."""
        return self._stretch()[0]

    @property
    def last(self) -> int:
        """Where it ends."""
        return self._stretch()[1]

    def _stretch(self) -> tuple[int, int]:
        oldest, newest = self.bounds.oldest, max(self.bounds.oldest, self.bounds.newest)
        span = max(1, (newest - oldest + 1) >> self.zoom)
        first = max(oldest, min(newest - span + 1, self.anchor - span // 2))
        return (first, first + span - 1) if self.zoom else (oldest, newest)

    def zoomed(self, by: int) -> bool:
        """In or out, around where one stands; False when that is not possible."""
        zoom = self.zoom + by
        if zoom < 0 or (by > 0 and (self.bounds.newest - self.bounds.oldest + 1) >> zoom < 16):
            return False
        self.zoom, self.anchor = zoom, self.here
        return True

    def follow(self) -> bool:
        """Move the stretch after the place; True when it had to."""
        if self.zoom and not self.first <= self.here <= self.last:
            self.anchor = self.here
            return True
        return False

    def column(self, revision: int, width: int) -> int:
        """Where a revision stands on a strip of ``width`` cells; may lie outside."""
        first, last = self._stretch()
        return (revision - first) * width // (last - first + 1)

    def revision_at(self, column: int, width: int) -> int:
        """The newest revision of a cell."""
        first, last = self._stretch()
        span = last - first + 1
        return max(first, min(last, first - 1 + max(1, (column + 1) * span // max(1, width))))

    # --- what is painted --------------------------------------------------------------------------

    def weights(self, width: int) -> list[int]:
        """Writes in each cell; those of a stretch that is wider than a cell, in all its cells."""
        out = [0] * width
        for bucket in self.buckets:
            writes = bucket.puts + bucket.deletes
            if not writes:
                continue
            left = self.column(bucket.first, width)
            right = max(left, self.column(bucket.last + 1, width) - 1)
            for cell in range(max(0, left), min(width, right + 1)):
                out[cell] += writes
        return out

    def levels(self, width: int) -> list[int]:
        """How high each cell stands, 0 to :data:`LEVELS`; any write is at least 1."""
        return scaled(self.weights(width), LEVELS)

    def signs(self, width: int) -> dict[int, TimeMark]:
        """What happened, by cell; of several the gravest."""
        order = list(KINDS)
        out: dict[int, TimeMark] = {}
        for mark in self.happened:
            cell = self.column(mark.revision, width)
            if 0 <= cell < width and (
                cell not in out or order.index(mark.kind) < order.index(out[cell].kind)
            ):
                out[cell] = mark
        return out

    def event(self, direction: int) -> TimeMark | None:
        """The next thing that happened before (-1) or after (1) where one stands."""
        marks = sorted(self.happened, key=lambda mark: mark.revision)
        if direction < 0:
            return next((m for m in reversed(marks) if m.revision < self.here), None)
        return next((m for m in marks if m.revision > self.here), None)


def scaled(weights: Sequence[int], top: int) -> list[int]:
    """Numbers as heights from 0 to ``top`` on a square-root scale, so that little is still seen."""
    most = max(weights, default=0)
    if not most:
        return [0] * len(weights)
    return [0 if not w else max(1, round(top * (w / most) ** 0.5)) for w in weights]


def revision_of(buckets: Sequence[Bucket], at_ms: int) -> int:
    """The revision of a moment, as far as the stretches' clocks tell; 0 when they do not."""
    dated = [bucket for bucket in buckets if bucket.at_ms]
    if not dated or at_ms < dated[0].at_ms - 1:
        return 0
    return next((b.last for b in dated if b.at_ms >= at_ms), dated[-1].last)


def happenings(
    bounds: Bounds, buckets: Sequence[Bucket], ribbon: Iterable[RibbonEvent]
) -> tuple[TimeMark, ...]:
    """Everything that is worth a mark on the line."""
    marks: list[TimeMark] = []
    if bounds.oldest > 1:
        marks.append(TimeMark(bounds.oldest, "compacted", "nothing is kept before this"))
    elif bounds.compacted > bounds.oldest:
        marks.append(TimeMark(bounds.compacted, "compacted", "the cluster forgot what is before"))
    for first, last in bounds.gaps:
        marks.append(TimeMark(last, "gap", f"{first:,} to {last:,} are not known"))
    for bucket in buckets:
        writes = bucket.puts + bucket.deletes
        if bucket.deletes >= BIG_DELETION and bucket.deletes >= BIG_SHARE * writes:
            marks.append(TimeMark(bucket.last, "deletion", f"{bucket.deletes:,} keys deleted"))
    for event in ribbon:
        if event.kind in MARKED:
            revision = event.revision or revision_of(buckets, int(event.at * 1000))
            if revision:
                marks.append(TimeMark(revision, event.kind, event.text))
    return tuple(marks)

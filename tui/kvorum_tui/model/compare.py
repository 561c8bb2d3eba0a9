"""Comparing two states key by key: two sorted streams go in page by page, out comes a tree of
counts and the keys that differ. Equal keys are counted and forgotten, so that what is kept grows
with the differences only, and that is bounded too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.decode import key_from_text
from kvorum_tui.model.records import KeyRecord

DIFFERENCES_MAX = 100_000  # Keys that are kept; more are counted only.
LEAVES_SHOWN = 2_000  # Keys of one branch that have a line; marking the branch takes them all.
BRANCHES_MAX = 20_000  # Branches that have counts of their own; deeper ones count for their parent.
KINDS = ("added", "removed", "changed", "same")
SIGNS = {"added": "+", "removed": "−", "changed": "~", "same": "="}


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that is not the same: ``key`` without the sides' prefixes; revisions 0 where the key
    is missing.
    """

    key: bytes
    a_mod: int
    b_mod: int

    @property
    def kind(self) -> str:
        """From A to B it was added, removed or changed."""
        return "added" if not self.a_mod else "removed" if not self.b_mod else "changed"


class Pairing:
    """Two sorted streams of records as pairs with the same key; either side is fed as it comes."""

    def __init__(self, a_prefix: bytes = b"", b_prefix: bytes = b"") -> None:
        self._prefixes = (len(a_prefix), len(b_prefix))
        self._queues: tuple[deque[KeyRecord], deque[KeyRecord]] = (deque(), deque())
        self._ended = [False, False]

    def feed(self, side: int, records: Iterable[KeyRecord], end: bool) -> None:
        """More of side 0 (A) or 1 (B); ``end``: no more will come."""
        self._queues[side].extend(records)
        self._ended[side] = self._ended[side] or end

    @property
    def hungry(self) -> int | None:
        """The side that must be fed before it can go on; None when both have ended."""
        for side in (0, 1):
            if not self._queues[side] and not self._ended[side]:
                return side
        return None

    def pairs(self) -> Iterator[tuple[bytes, KeyRecord | None, KeyRecord | None]]:
        """(key without prefix, A's, B's), as far as both sides are known."""
        a, b = self._queues
        while self.hungry is None and (a or b):
            a_key = a[0].key[self._prefixes[0] :] if a else None
            b_key = b[0].key[self._prefixes[1] :] if b else None
            if b_key is None or (a_key is not None and a_key < b_key):
                assert a_key is not None, "one side has a key"
                yield a_key, a.popleft(), None
            elif a_key is None or b_key < a_key:
                yield b_key, None, b.popleft()
            else:
                yield a_key, a.popleft(), b.popleft()


@dataclass
class Branch:
    """A part of the tree. ``counts``: added, removed, changed, same, of everything below."""

    name: bytes
    path: bytes
    children: dict[bytes, Branch] = field(default_factory=dict)
    leaves: list[Difference] = field(default_factory=list)
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    @property
    def differing(self) -> int:
        """How many keys below are not the same."""
        return sum(self.counts[:3])


@dataclass(frozen=True, slots=True)
class TreeRow:
    """A line of the tree: a branch, a key that differs, or how many ``more`` keys of a branch are
    not shown.
    """

    depth: int
    branch: Branch | None = None
    leaf: Difference | None = None
    more: int = 0

    @property
    def path(self) -> bytes:
        """Whose line it is, without the sides' prefixes."""
        if self.branch is not None:
            return self.branch.path
        return self.leaf.key if self.leaf is not None else b""


class Comparison:
    """What has been found so far."""

    def __init__(self, separator: bytes = b"/") -> None:
        self.separator = separator
        self.root = Branch(b"", b"")
        self.kept = 0
        self.left_out = 0
        self.compared = 0
        self._branches = 0
        self.open: set[bytes] = {b""}
        self.rows: list[TreeRow] = []

    def add(self, key: bytes, a: KeyRecord | None, b: KeyRecord | None, same: bool) -> None:
        """One key; ``same``: there on both sides, with the same value."""
        self.compared += 1
        difference = Difference(key, a.mod_revision if a else 0, b.mod_revision if b else 0)
        kind = 3 if same else KINDS.index(difference.kind)
        branch = self.root
        branch.counts[kind] += 1
        for name in self._parents(key):
            child = branch.children.get(name)
            if child is None:
                if self._branches >= BRANCHES_MAX:
                    break
                self._branches += 1
                child = branch.children[name] = Branch(name, branch.path + name)
            child.counts[kind] += 1
            branch = child
        if same:
            return
        if self.kept >= DIFFERENCES_MAX:
            self.left_out += 1
            return
        self.kept += 1
        branch.leaves.append(difference)

    def _parents(self, key: bytes) -> Iterator[bytes]:
        start = 0
        while (at := key.find(self.separator, start)) >= 0:
            end = at + len(self.separator)
            if end == len(key):
                return  # A key that ends in the separator stands in its parent.
            yield key[start:end]
            start = end

    # --- the tree as it is shown ------------------------------------------------------------------

    def rebuild(self, everything: bool = False) -> None:
        """Make the rows anew. Branches without a difference show only with ``everything``."""
        self.rows = list(self._under(self.root, 0, everything))

    def _under(self, branch: Branch, depth: int, everything: bool) -> Iterator[TreeRow]:
        parts: list[tuple[bytes, TreeRow]] = [
            (child.name, TreeRow(depth, child))
            for child in branch.children.values()
            if everything or child.differing
        ]
        at = len(branch.path)
        # They came in order, so that these are the first ones.
        shown = branch.leaves[:LEAVES_SHOWN]
        parts += [(leaf.key[at:], TreeRow(depth, leaf=leaf)) for leaf in shown]
        for _, row in sorted(parts, key=lambda part: part[0]):
            yield row
            if row.branch is not None and row.branch.path in self.open:
                yield from self._under(row.branch, depth + 1, everything)
        if len(branch.leaves) > LEAVES_SHOWN:
            yield TreeRow(depth, more=len(branch.leaves) - LEAVES_SHOWN)

    def open_first(self, most: int = 40) -> None:
        """Open branches from the top as long as the tree stays within ``most`` rows."""
        queue = deque([self.root])
        shown = 0
        while queue:
            branch = queue.popleft()
            here = sum(1 for c in branch.children.values() if c.differing) + len(branch.leaves)
            if shown + here > most and branch is not self.root:
                continue
            shown += here
            self.open.add(branch.path)
            queue.extend(child for child in branch.children.values() if child.differing)

    def under(self, path: bytes) -> list[Difference]:
        """Every kept difference below a branch, or the one that a leaf is, in key order."""
        branch = self.root
        while branch.path != path:
            rest = path[len(branch.path) :]
            child = next((c for name, c in branch.children.items() if rest.startswith(name)), None)
            if child is None:
                return [leaf for leaf in branch.leaves if leaf.key == path]
            branch = child
        return sorted(_leaves(branch), key=lambda difference: difference.key)

    @property
    def counts(self) -> list[int]:
        """Added, removed, changed, same."""
        return self.root.counts


def _leaves(branch: Branch) -> Iterator[Difference]:
    yield from branch.leaves
    for child in branch.children.values():
        yield from _leaves(child)


def counts_text(counts: list[int]) -> list[tuple[str, str]]:
    """Counts with their signs, to paint; what is 0 is left out."""
    inks = ("good", "bad", "warn", "dim")
    return [
        (f"{SIGNS[kind]}{count:,} ", ink)
        for kind, count, ink in zip(KINDS, counts, inks, strict=True)
        if count
    ] or [("empty ", "dim")]


def parse_side(
    text: str, clusters: Sequence[str], marks: Mapping[str, int]
) -> tuple[str, bytes, int] | str:
    """``[CLUSTER#]PREFIX[@REVISION]`` as (cluster or "", prefix, revision or 0 for now), or what is
    wrong with it.
    """
    cluster, sharp, rest = text.strip().partition("#")
    if not sharp or cluster not in clusters:
        if sharp and "/" not in cluster:
            return f"no cluster {cluster!r} is open; there is {', '.join(clusters)}"
        cluster, rest = "", text.strip()
    found = re.fullmatch(r"(.*)@([\d,]+|[AB]|now)", rest, re.DOTALL)
    if found is None:
        return cluster, key_from_text(rest), 0
    prefix, at = found[1], found[2].replace(",", "")
    if at in ("A", "B"):
        if at not in marks:
            return f"{at} is not marked"
        return cluster, key_from_text(prefix), marks[at]
    return cluster, key_from_text(prefix), 0 if at == "now" else int(at)

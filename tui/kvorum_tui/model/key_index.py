"""The key browser's index: every key in order, the branches above them, and which branches are
open.

Long because rows, counts and both orders are arithmetic on the same few structures.

A row is asked for by its number and a key's row by the key; both, and every insert and delete, cost
what the depth of the key and the number of *open* branches cost, and nothing that grows with the
number of keys. Three structures do it:

- ``keys``: all keys in one sorted array (order statistics in about log n);
- a branch per prefix that ends in the separator, with its children sorted: plain keys and sub-
  branches alike;
- per branch, how many rows it shows when it is open, and which of its children are open.

Branches stand among keys in the order of their bytes, or by a measure (:attr:`KeyIndex.rank`), the
greatest first; see ``key_order``.

Keys are bytes and stay bytes. Separators may be any non-empty byte strings, several at once; where
two begin at the same place the longer one counts. A key that starts with one has a first branch of
just the separator; a key without any separator stands at the top.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sortedcontainers import SortedList

from kvorum_tui.model.key_order import Order, ordered

PLAIN_LIST_MAX = (
    1_024  # Children up to here live in a plain list, which takes a tenth of the memory.
)


@dataclass(frozen=True, slots=True)
class Row:
    """One visible row: a branch (``path`` ends in the separator) or a key."""

    path: bytes
    depth: int
    branch: bool
    open: bool = False
    keys: int = 1  # keys below, for a branch
    label_from: int = 0  # where in ``path`` the row's own name starts

    @property
    def label(self) -> bytes:
        """The row's own part of the path."""
        return self.path[self.label_from :]


class _Branch:
    """A prefix with its children. ``rows`` counts what shows below it when it is open."""

    __slots__ = (
        "children",
        "count",
        "is_open",
        "key_bytes",
        "open_children",
        "order",
        "path",
        "rows",
        "subs",
    )

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.children: list[bytes] | SortedList = []
        self.open_children: list[bytes] = []
        self.subs: list[bytes] = []  # Those of the children that are branches.
        self.is_open = False
        self.count = 0
        self.key_bytes = 0
        self.rows = 0
        self.order: Order | None = None

    def find(self, path: bytes) -> int:
        """The place of a child, present or not."""
        children = self.children
        if isinstance(children, list):
            return bisect_left(children, path)
        return int(children.bisect_left(path))

    def place(self, path: bytes, branch: bool) -> int:
        """Where a child stands, in the order of keys."""
        return self.find(path)

    def item(self, place: int) -> bytes:
        """The child at a place."""
        return self.children[place]

    def open_paths(self) -> list[bytes]:
        """The open children, in order."""
        return self.open_children

    def add(self, path: bytes, branch: bool) -> None:
        """Add a child that is not there yet."""
        self.order = None
        if branch:
            insort(self.subs, path)
        children = self.children
        if isinstance(children, list):
            if not children or path > children[-1]:
                children.append(path)
            else:
                insort(children, path)
            if len(children) > PLAIN_LIST_MAX:
                self.children = SortedList(children)
        else:
            children.add(path)

    def discard(self, path: bytes, branch: bool) -> None:
        """Take a child out."""
        self.order = None
        if branch:
            del self.subs[bisect_left(self.subs, path)]
        del self.children[self.find(path)]


class KeyIndex:
    """All keys of a store as rows of a tree, or of a flat list.

    Without ``branches`` it is only ever a flat list, at a tenth of the memory; ``order`` then puts
    keys in an order of their own, the least first, and those alike in the order of keys. ``rank``
    gives a branch's measure; None is the order of keys.
    """

    def __init__(
        self,
        separators: bytes | Iterable[bytes] = b"/",
        branches: bool = True,
        order: Callable[[bytes], int] | None = None,
    ) -> None:
        given = (separators,) if isinstance(separators, bytes) else tuple(separators)
        if not given or not all(given):
            raise ValueError("the separator must not be empty")
        self.separators = given
        self.flat = not branches
        self.branches = branches
        self.ordered = order is not None
        self.rank: Callable[[bytes], int] | None = None
        self.keys = SortedList(key=(lambda key: (order(key), key)) if order is not None else None)
        self._cut = re.compile(
            b"|".join(re.escape(each) for each in sorted(given, key=len, reverse=True))
        )
        # Whether what follows a separator never decides which separator it is.
        self._plain = not any(a != b and b.startswith(a) for a in given for b in given)
        self._branches: dict[bytes, _Branch] = {}
        self._root = _Branch(b"")
        self._root.is_open = True
        self._auto_opened = False

    @property
    def separator(self) -> bytes:
        """The first of the separators."""
        return self.separators[0]

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self.keys

    @property
    def row_count(self) -> int:
        """How many rows there are to show."""
        return len(self.keys) if self.flat else self._root.rows

    # --- changing ---------------------------------------------------------------------------------

    def insert(self, key: bytes) -> bool:
        """Add a key; False when it was there."""
        if key in self.keys:
            return False
        self.keys.add(key)
        if self.branches:
            self._attach(key)
        return True

    def extend(self, keys: Iterable[bytes]) -> int:
        """Add a page of keys; returns how many were new."""
        fresh = (
            [key for key in keys if key not in self.keys]
            if self.keys
            else list(dict.fromkeys(keys))
        )
        self.keys.update(fresh)
        if self.branches:
            self._attach_all(fresh)
            self._open_root()
        return len(fresh)

    def delete(self, key: bytes) -> bool:
        """Take a key out, with the branches that lose their last key; False when it was
        not there.
        """
        try:
            self.keys.remove(key)
        except ValueError:
            return False
        if not self.branches:
            return True
        chain = self._chain(key)
        gone = key
        taking = True
        for branch in reversed(chain):
            branch.count -= 1
            branch.key_bytes -= len(key)
            if taking:
                branch.discard(gone, gone is not key)
                self._resize(branch, -1)
            taking = taking and branch.count == 0 and branch is not self._root
            if taking:
                self._drop_branch(branch)
                gone = branch.path
        return True

    def clear(self) -> None:
        """Forget every key; open branches are remembered by nobody."""
        self.keys.clear()
        self._branches.clear()
        self._root = _Branch(b"")
        self._root.is_open = True
        self._auto_opened = False

    def _attach_all(self, keys: list[bytes]) -> None:
        """Many keys; those that follow one another in the same branch cost little."""
        at = 0
        while at < len(keys):
            parent = self._attach(keys[at])
            at += 1
            path, run, size = parent.path, 0, 0
            while self._plain and at < len(keys):
                key = keys[at]
                if not key.startswith(path) or self._cut.search(key, len(path)):
                    break
                parent.add(key, False)
                run, size, at = run + 1, size + len(key), at + 1
            if run:
                self._resize(parent, run)
                for branch in self._chain(path) if path else [self._root]:
                    branch.count += run
                    branch.key_bytes += size

    def _attach(self, key: bytes) -> _Branch:
        """Put a key into the tree of branches, making those that are missing; returns its own."""
        chain = [self._root]
        parent = self._root
        for path in self._prefixes(key):
            branch = self._branches.get(path)
            if branch is None:
                branch = self._branches[path] = _Branch(path)
                parent.add(path, True)
                self._resize(parent, 1)
            parent = branch
            chain.append(branch)
        parent.add(key, False)
        self._resize(parent, 1)
        for branch in chain:
            branch.count += 1
            branch.key_bytes += len(key)
        return parent

    def _drop_branch(self, branch: _Branch) -> None:
        if branch.is_open:
            self._set_open(branch, False)
        del self._branches[branch.path]

    def _prefixes(self, key: bytes) -> Iterator[bytes]:
        """The branches above a key, from the top."""
        for match in self._cut.finditer(key):
            yield key[: match.end()]

    def branches_of(self, key: bytes) -> list[bytes]:
        """The branches above a key, from the top."""
        return list(self._prefixes(key))

    def _chain(self, key: bytes) -> list[_Branch]:
        return [self._root, *(self._branches[path] for path in self._prefixes(key))]

    def _parent(self, path: bytes, branch: bool) -> _Branch:
        """The branch that holds a key or (``branch``) a branch as its child."""
        above = list(self._prefixes(path))
        if branch:
            above.pop()
        return self._branches[above[-1]] if above else self._root

    def _resize(self, branch: _Branch, by: int) -> None:
        """Tell a branch, and everything open above it, that it shows more or fewer rows."""
        while True:
            branch.rows += by
            if branch is self._root or not branch.is_open:
                return
            branch = self._parent(branch.path, True)

    # --- opening ----------------------------------------------------------------------------------

    def is_branch(self, path: bytes) -> bool:
        """Whether ``path`` is a branch of the tree (not a key that ends in the separator)."""
        return path in self._branches

    def parent_of(self, path: bytes, branch: bool) -> bytes:
        """The branch above a key or branch; empty at the top."""
        return self._parent(path, branch).path

    def is_open(self, path: bytes) -> bool:
        """Whether a branch shows its children."""
        branch = self._branches.get(path)
        return branch is not None and branch.is_open

    def set_open(self, path: bytes, is_open: bool) -> bool:
        """Open or close one branch; False when nothing changed."""
        branch = self._branches.get(path)
        if branch is None or branch.is_open == is_open:
            return False
        self._set_open(branch, is_open)
        return True

    def _set_open(self, branch: _Branch, is_open: bool) -> None:
        parent = self._parent(branch.path, True)
        branch.is_open = is_open
        at = bisect_left(parent.open_children, branch.path)
        parent.order = None
        if is_open:
            parent.open_children.insert(at, branch.path)
            self._resize(parent, branch.rows)
        else:
            del parent.open_children[at]
            self._resize(parent, -branch.rows)

    def reveal(self, path: bytes, branch: bool = False) -> None:
        """Open every branch above a key or branch."""
        above = list(self._prefixes(path))
        for prefix in above[:-1] if branch else above:
            self.set_open(prefix, True)

    def _open_root(self) -> None:
        """Open by itself, once, the top branch that says nothing: the bare separator, or the only
        one there is.
        """
        if self._auto_opened or not self._root.children:
            return
        self._auto_opened = True
        top = self._root.children
        self.set_open(top[0] if len(top) == 1 else self.separator, True)

    # --- reading ----------------------------------------------------------------------------------

    def count_below(self, path: bytes) -> int:
        """How many keys a branch holds; the whole store for the empty path."""
        branch = self._branches.get(path) if path else self._root
        return branch.count if branch is not None else 0

    def key_bytes_below(self, path: bytes) -> int:
        """How long the keys of a branch are together; of the whole store for the empty path."""
        branch = self._branches.get(path) if path else self._root
        return branch.key_bytes if branch is not None else 0

    def branches_below(self, path: bytes) -> list[bytes]:
        """The branches that stand directly in a branch, in the order of keys."""
        branch = self._branches.get(path) if path else self._root
        return list(branch.subs) if branch is not None else []

    def open_branches(self) -> list[bytes]:
        """Every branch that is open now, those above first."""
        out: list[bytes] = []
        waiting = [self._root]
        while waiting:
            branch = waiting.pop()
            out += branch.open_children
            waiting += [self._branches[path] for path in branch.open_children]
        return out

    def rows(self, first: int, limit: int) -> list[Row]:
        """The rows from number ``first`` on, at most ``limit``."""
        if self.flat:
            return [Row(key, 0, False) for key in self.keys.islice(first, first + limit)]
        out: list[Row] = []
        self._collect(self._root, 0, max(0, first), limit, out)
        return out

    def _view(self, branch: _Branch) -> _Branch | Order:
        """A branch's children in the order that is wished; in the order of keys where there are too
        many to rank.
        """
        if self.rank is None or not branch.subs:
            return branch
        if branch.order is None:
            branch.order = ordered(branch.subs, branch.open_children, branch, self.rank)
        return branch.order or branch

    def rank_again(self) -> None:
        """Measures have changed: what is open is put in order anew when it is next painted."""
        waiting = [self._root]
        while waiting:
            branch = waiting.pop()
            branch.order = None
            waiting += [self._branches[path] for path in branch.open_children]

    def unranked(self) -> bool:
        """Whether something that is open holds too many branches to be put in order."""
        waiting = [self._root]
        while waiting and self.rank is not None:
            branch = waiting.pop()
            if branch.subs and self._view(branch) is branch:
                return True
            waiting += [self._branches[path] for path in branch.open_children]
        return False

    def _child(self, branch: _Branch, path: bytes) -> _Branch | None:
        """The sub-branch that stands in ``branch`` under ``path``; None for a key (also for the key
        equal to it).
        """
        return self._branches.get(path) if path != branch.path else None

    def _collect(self, branch: _Branch, depth: int, skip: int, limit: int, out: list[Row]) -> None:
        """Append rows of an open branch, without its first ``skip``, until ``out`` holds
        ``limit``.
        """
        start = 0
        view = self._view(branch)
        for path in view.open_paths():
            # Between two open children each child is exactly one row: whole stretches are jumped
            # over.
            at = view.place(path, True)
            if skip <= at - start:
                break
            skip -= at - start + 1
            start = at + 1
            child = self._branches[path]
            if skip < child.rows:
                self._collect(child, depth + 1, skip, limit, out)
                skip = 0
                break
            skip -= child.rows
        label_from = len(branch.path)
        for at in range(start + skip, len(branch.children)):
            if len(out) >= limit:
                return
            path = view.item(at)
            sub = self._child(branch, path)
            if sub is None:
                out.append(Row(path, depth, False, label_from=label_from))
                continue
            out.append(Row(path, depth, True, sub.is_open, sub.count, label_from))
            if sub.is_open and len(out) < limit:
                self._collect(sub, depth + 1, 0, limit, out)

    def row_of(self, path: bytes, branch: bool = False) -> int | None:
        """The row number of a key (or branch); None when it is absent or inside a closed branch."""
        if self.flat:
            at = self.keys.bisect_left(path)
            return int(at) if at < len(self.keys) and self.keys[at] == path else None
        if (path not in self._branches) if branch else (path not in self.keys):
            return None
        row = 0
        while True:
            parent = self._parent(path, branch)
            if not parent.is_open:
                return None
            view = self._view(parent)
            place = view.place(path, branch)
            row += place
            for sibling in view.open_paths():
                if view.place(sibling, True) >= place:
                    break
                row += self._branches[sibling].rows
            if parent is self._root:
                return row
            row += 1
            path, branch = parent.path, True

    def nearest_row(self, path: bytes, branch: bool = False) -> int:
        """The row of ``path``, or of what stands nearest to it now (for a cursor whose key is
        gone).
        """
        row = self.row_of(path, branch)
        if row is not None:
            return row
        last = max(0, self.row_count - 1)
        if self.flat:
            return min(int(self.keys.bisect_left(path)), last)
        inside, place = self._root, 0
        for prefix in self._prefixes(path):
            above = self._branches.get(prefix)
            if above is None:
                break
            found = self.row_of(prefix, True)
            if found is None:
                break
            inside, place = above, found
            if not above.is_open:
                return place
        if not inside.children:
            return min(place, last)
        near = inside.children[min(inside.find(path), len(inside.children) - 1)]
        found = self.row_of(near, self._child(inside, near) is not None)
        return min(found if found is not None else place, last)

    def search(
        self, needle: bytes, limit: int, start: int = 0, budget: int = 20_000
    ) -> tuple[list[bytes], int]:
        """Keys that contain ``needle`` from array position ``start`` on.

        Looks at no more than ``budget`` keys. Returns the matches (at most ``limit``) and the
        position to go on from, or -1 at the end: a caller with a screen to keep alive asks again in
        its next turn.
        """
        found: list[bytes] = []
        position = start
        for key in self.keys.islice(start, start + budget):
            position += 1
            if needle in key:
                found.append(key)
                if len(found) >= limit:
                    break
        return found, (position if position < len(self.keys) else -1)

    def scan(
        self, match: Callable[[bytes], object], after: bytes | None, budget: int
    ) -> tuple[list[bytes], bytes | None]:
        """Looks at the next ``budget`` keys behind ``after`` (None: from the first). Returns those
        that match, and the last one looked at: to go on from, None at the end. Keys may come and
        go between two calls.
        """
        found: list[bytes] = []
        last: bytes | None = None
        ahead = self.keys.irange(after, inclusive=(False, True))
        for seen, key in enumerate(islice(ahead, budget), 1):
            last = key
            if match(key):
                found.append(key)
            if seen == budget:
                return found, last
        return found, None

    def between(self, low: bytes, high: bytes | None) -> Iterator[bytes]:
        """The keys from ``low`` on that stand before ``high`` (None: all of them) by their bytes,
        as they are shown.
        """
        if not self.ordered:
            return iter(self.keys.irange(low, high, inclusive=(True, False)))
        return (key for key in self.keys if low <= key and (high is None or key < high))

    def under(self, prefix: bytes, limit: int) -> list[bytes]:
        """The first keys that start with ``prefix``."""
        out: list[bytes] = []
        for key in self.keys.irange(prefix):
            if len(out) >= limit or not key.startswith(prefix):
                break
            out.append(key)
        return out

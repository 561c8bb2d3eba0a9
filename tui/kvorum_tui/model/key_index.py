"""The key browser's index: every key in order, the branches above them, and which branches are
open.

A row is asked for by its number and a key's row by the key; both, and every insert and delete, cost
what the depth of the key and the number of *open* branches cost, and nothing that grows with the
number of keys. Three structures do it:

- ``keys``: all keys in one sorted array (order statistics in about log n);
- a branch per prefix that ends in the separator, with its children sorted: plain keys and sub-
  branches alike;
- per branch, how many rows it shows when it is open, and which of its children are open.

Keys are bytes and stay bytes. The separator may be any non-empty byte string; a key that starts
with it has a first branch of just the separator; a key without any separator stands at the top.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sortedcontainers import SortedList

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

    __slots__ = ("children", "count", "is_open", "open_children", "path", "rows")

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.children: list[bytes] | SortedList = []
        self.open_children: list[bytes] = []
        self.is_open = False
        self.count = 0
        self.rows = 0

    def find(self, path: bytes) -> int:
        """The place of a child, present or not."""
        children = self.children
        if isinstance(children, list):
            return bisect_left(children, path)
        return int(children.bisect_left(path))

    def add(self, path: bytes) -> None:
        """Add a child that is not there yet."""
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

    def discard(self, path: bytes) -> None:
        """Take a child out."""
        del self.children[self.find(path)]


class KeyIndex:
    """All keys of a store as rows of a tree, or of a flat list."""

    def __init__(self, separator: bytes = b"/") -> None:
        if not separator:
            raise ValueError("the separator must not be empty")
        self.separator = separator
        self.flat = False
        self.keys = SortedList()
        self._branches: dict[bytes, _Branch] = {}
        self._root = _Branch(b"")
        self._root.is_open = True
        self._auto_opened = False

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
        for key in fresh:
            self._attach(key)
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
        chain = self._chain(key)
        gone = key
        taking = True
        for branch in reversed(chain):
            branch.count -= 1
            if taking:
                branch.discard(gone)
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

    def _attach(self, key: bytes) -> None:
        """Put a key into the tree of branches, making those that are missing."""
        chain = [self._root]
        parent = self._root
        for path in self._prefixes(key):
            branch = self._branches.get(path)
            if branch is None:
                branch = self._branches[path] = _Branch(path)
                parent.add(path)
                self._resize(parent, 1)
            parent = branch
            chain.append(branch)
        parent.add(key)
        self._resize(parent, 1)
        for branch in chain:
            branch.count += 1

    def _drop_branch(self, branch: _Branch) -> None:
        if branch.is_open:
            self._set_open(branch, False)
        del self._branches[branch.path]

    def _prefixes(self, key: bytes) -> Iterator[bytes]:
        """The branches above a key, from the top."""
        width = len(self.separator)
        at = key.find(self.separator)
        while at >= 0:
            yield key[: at + width]
            at = key.find(self.separator, at + width)

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
        """How many keys a branch holds."""
        branch = self._branches.get(path)
        return branch.count if branch is not None else 0

    def rows(self, first: int, limit: int) -> list[Row]:
        """The rows from number ``first`` on, at most ``limit``."""
        if self.flat:
            return [Row(key, 0, False) for key in self.keys.islice(first, first + limit)]
        out: list[Row] = []
        self._collect(self._root, 0, max(0, first), limit, out)
        return out

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
        for path in branch.open_children:
            # Between two open children each child is exactly one row: whole stretches are jumped
            # over.
            at = branch.find(path)
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
            path = branch.children[at]
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
            row += parent.find(path)
            for sibling in parent.open_children:
                if sibling >= path:
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

    def under(self, prefix: bytes, limit: int) -> list[bytes]:
        """The first keys that start with ``prefix``."""
        out: list[bytes] = []
        for key in self.keys.irange(prefix):
            if len(out) >= limit or not key.startswith(prefix):
                break
            out.append(key)
        return out

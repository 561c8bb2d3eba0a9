"""A small model of the KV API, written for the judge alone: it shares no line with what it judges.

A store is a dictionary of live keys with every version kept, so that it can be asked about any
revision and take its newest revision back. :func:`execute` says what one request does to it and
what its answer must be, and changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

from kvorum.check.records import (
    DELETE,
    PUT,
    Answer,
    Compare,
    Delete,
    DeleteAnswer,
    Done,
    Event,
    Kv,
    Put,
    PutAnswer,
    Range,
    RangeAnswer,
    Request,
    Revoke,
    State,
    Txn,
    TxnAnswer,
)

_ALL = b"\0"


class Impossible(Exception):
    """The request could not have been done in this state; says why."""


def contains(key: bytes, end: bytes, wanted: bytes) -> bool:
    """Whether a range holds a key, by etcd's rules for ``range_end``."""
    if not end:
        return wanted == key
    return wanted >= key and (end == _ALL or wanted < end)


class Store:
    """All keys at all revisions since the state it began with."""

    def __init__(self, state: State) -> None:
        self.first = self.revision = state.revision
        self.live: dict[bytes, Kv] = {}
        self.events: dict[int, tuple[Event, ...]] = {}
        self.leased: dict[int, dict[bytes, None]] = {}
        self.dead: dict[int, int] = {}
        self._keys: list[bytes] = []
        self._versions: dict[bytes, tuple[list[int], list[Kv | None]]] = {}
        for kv in state.kvs:
            self._set(kv.key, kv, min(kv.mod, state.revision))

    def _set(self, key: bytes, kv: Kv | None, revision: int) -> None:
        versions = self._versions.get(key)
        if versions is None:
            versions = self._versions[key] = ([], [])
            insort(self._keys, key)
        versions[0].append(revision)
        versions[1].append(kv)
        self._place(key, kv)

    def _place(self, key: bytes, kv: Kv | None) -> None:
        """Make ``kv`` the live one."""
        old = self.live.get(key)
        if old is not None and old.lease:
            self.leased[old.lease].pop(key, None)
        if kv is None:
            self.live.pop(key, None)
            return
        self.live[key] = kv
        if kv.lease:
            self.leased.setdefault(kv.lease, {})[key] = None

    def commit(self, revision: int, events: tuple[Event, ...], ended: int = 0) -> None:
        """Take the events of the next revision; ``ended`` is the lease that ended with it."""
        self.revision = revision
        self.events[revision] = events
        for event in events:
            self._set(event.kv.key, event.kv if event.kind == PUT else None, revision)
        if ended:
            self.dead[ended] = revision

    def ending(self) -> list[int]:
        """Leases that have keys and have not ended."""
        return sorted(
            lease for lease, keys in self.leased.items() if keys and lease not in self.dead
        )

    def undo(self) -> None:
        """Take the newest revision back."""
        for event in reversed(self.events.pop(self.revision, ())):
            key = event.kv.key
            revisions, kvs = self._versions[key]
            revisions.pop()
            kvs.pop()
            self._place(key, kvs[-1] if kvs else None)
        for lease in [lease for lease, at in self.dead.items() if at == self.revision]:
            del self.dead[lease]
        self.revision -= 1

    def at(self, key: bytes, revision: int) -> Kv | None:
        """The version as of a revision of a key that ever was."""
        revisions, kvs = self._versions[key]
        place = bisect_right(revisions, revision)
        return kvs[place - 1] if place else None

    def select(self, key: bytes, end: bytes) -> Sequence[bytes]:
        """Every key of the range that ever was, in order."""
        if not end:
            return (key,) if key in self._versions else ()
        low = bisect_left(self._keys, key)
        return self._keys[low:] if end == _ALL else self._keys[low : bisect_left(self._keys, end)]


class _Run:
    """One request under way: what it has changed so far lies over the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changes: dict[bytes, Kv | None] = {}
        self.events: list[Event] = []
        self.next = store.revision + 1

    def get(self, key: bytes) -> Kv | None:
        """The key as this request sees it."""
        if key in self.changes:
            return self.changes[key]
        return self.store.live.get(key)

    def present(self, key: bytes, end: bytes) -> list[Kv]:
        """The range's live keys as this request sees them, in order."""
        if not end:
            kv = self.get(key)
            return [] if kv is None else [kv]
        keys = list(self.store.select(key, end))
        new = [k for k in self.changes if contains(key, end, k)]
        if new:
            keys = sorted({*keys, *new})
        return [kv for kv in map(self.get, keys) if kv is not None]

    def run(self, request: Request) -> Answer:
        """Do one operation and answer it."""
        if isinstance(request, Range):
            return self._range(request)
        if isinstance(request, Put):
            return self._put(request)
        if isinstance(request, Delete):
            gone = self._delete(self.present(request.key, request.end))
            return DeleteAnswer(len(gone), tuple(gone) if request.prev_kv else ())
        if isinstance(request, Txn):
            return self._branch(request, self._path(request))
        assert isinstance(request, Revoke), "the others leave the keys alone, and nobody asks"
        if request.lease in self.store.dead:
            raise Impossible(f"lease {request.lease:x} had ended before")
        keys = sorted(self.store.leased.get(request.lease, ()))
        self._delete([kv for kv in map(self.get, keys) if kv is not None])
        return Done()

    def _range(self, request: Range) -> RangeAnswer:
        if request.revision > 0:
            if request.revision > self.store.revision:
                raise Impossible(f"revision {request.revision} was not there yet")
            kvs = [
                kv
                for key in self.store.select(request.key, request.end)
                if (kv := self.store.at(key, request.revision)) is not None
            ]
        else:
            kvs = self.present(request.key, request.end)
        total = len(kvs)
        if request.count_only:
            return RangeAnswer((), total)
        more = 0 < request.limit < total
        if more:
            kvs = kvs[: request.limit]
        if request.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return RangeAnswer(tuple(kvs), total, more)

    def _put(self, put: Put) -> PutAnswer:
        old = self.get(put.key)
        if old is None and (put.ignore_value or put.ignore_lease):
            raise Impossible("the key was not there")
        lease = old.lease if put.ignore_lease and old else put.lease
        if put.lease and put.lease in self.store.dead:
            raise Impossible(
                f"lease {put.lease:x} had ended at revision {self.store.dead[put.lease]}"
            )
        value = old.value if put.ignore_value and old else put.value
        if old is None:
            kv = Kv(put.key, value, self.next, self.next, 1, lease)
        else:
            kv = Kv(put.key, value, old.create, self.next, old.version + 1, lease)
        self.changes[put.key] = kv
        before = self.store.live.get(put.key)
        self.events.append(Event(PUT, kv, before))
        return PutAnswer(old if put.prev_kv else None)

    def _delete(self, kvs: list[Kv]) -> list[Kv]:
        for kv in kvs:
            self.changes[kv.key] = None
            before = self.store.live.get(kv.key)
            self.events.append(Event(DELETE, Kv(kv.key, mod=self.next), before))
        return kvs

    def _path(self, txn: Txn) -> tuple[bool, list[object]]:
        """Which branches are taken, decided before anything is done."""
        taken = all(self._holds(compare) for compare in txn.compare)
        branch = txn.success if taken else txn.failure
        return taken, [self._path(op) if isinstance(op, Txn) else None for op in branch]

    def _branch(self, txn: Txn, path: tuple[bool, list[object]]) -> TxnAnswer:
        taken, inner = path
        answers: list[Answer] = []
        for op, way in zip(txn.success if taken else txn.failure, inner, strict=True):
            if isinstance(op, Txn):
                assert isinstance(way, tuple)
                answers.append(self._branch(op, way))
            else:
                answers.append(self.run(op))
        return TxnAnswer(taken, tuple(answers))

    def _holds(self, compare: Compare) -> bool:
        kvs = self.present(compare.key, compare.end)
        if not kvs:
            return compare.target != "VALUE" and _related(compare, 0, compare.number)
        return all(_compared(compare, kv) for kv in kvs)


def _compared(compare: Compare, kv: Kv) -> bool:
    if compare.target == "VALUE":
        return _related(compare, kv.value, compare.value)
    numbers = {"VERSION": kv.version, "CREATE": kv.create, "MOD": kv.mod, "LEASE": kv.lease}
    return _related(compare, numbers[compare.target], compare.number)


def _related(compare: Compare, stored: int | bytes, given: int | bytes) -> bool:
    sign = (stored > given) - (stored < given)  # type: ignore[operator]  # both of one type
    return {
        "EQUAL": sign == 0,
        "GREATER": sign > 0,
        "LESS": sign < 0,
        "NOT_EQUAL": sign != 0,
    }[compare.relation]


def execute(store: Store, request: Request) -> tuple[tuple[Event, ...], Answer]:
    """What a request does as the store's next revision (no events: nothing), and its answer.

    Raises:
        Impossible: the store would refuse it.
    """
    run = _Run(store)
    answer = run.run(request)
    return tuple(run.events), answer


def changes(answer: Answer | None, request: Request) -> bool | None:
    """Whether an acknowledged request made a revision, as far as its answer tells: None, if it does
    not."""
    if isinstance(request, Put):
        return True
    if isinstance(answer, DeleteAnswer):
        return answer.deleted > 0
    if isinstance(answer, TxnAnswer) and isinstance(request, Txn):
        branch = request.success if answer.succeeded else request.failure
        return any(changes(a, op) for op, a in zip(branch, answer.answers, strict=False))
    return None if isinstance(request, Revoke) else False


def may_change(request: Request) -> bool:
    """Whether a request can make a revision at all."""
    if isinstance(request, Txn):
        return any(may_change(op) for op in (*request.success, *request.failure))
    return isinstance(request, Put | Delete | Revoke)

"""What a client of a drill asks next: a pure choice, the same on every stage.

A few registers are put, read, deleted, compared-and-set and appended to. Every value written is
unique in its run, so that a read names the one write that it saw.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from kvorum.check import records as r

_APPENDED_BYTES = 48  # A register that was appended to that often begins anew.


@dataclass
class _Known:
    mod: int = 0
    value: bytes = b""


class Plan:
    """One client's choices.

    Args:
        number: the client's; part of every value it writes.
        prefix: of all keys.
        keys: how many registers there are.
    """

    def __init__(self, number: int, rng: random.Random, prefix: bytes, keys: int) -> None:
        self._number = number
        self._rng = rng
        self._keys = [prefix + b"r%d" % n for n in range(keys)]
        self._known = {key: _Known() for key in self._keys}
        self._count = 0

    def pause_s(self, rate: float, clients: int) -> float:
        """How long to rest before the next request, so that all clients make ``rate`` a second."""
        return clients / rate * self._rng.uniform(0.5, 1.5)

    def next(self) -> r.Request:
        """The next request."""
        self._count += 1
        key = self._rng.choice(self._keys)
        value = b"%d.%d" % (self._number, self._count)
        draw = self._rng.random()
        if draw < 0.35:
            return r.Put(key, value)
        if draw < 0.65:
            return r.Range(key)
        if draw < 0.70:
            return r.Delete(key)
        known = self._known[key]
        if draw >= 0.85 and known.value and len(known.value) < _APPENDED_BYTES:
            value = known.value + b"," + value
        guard = r.Compare("MOD", "EQUAL", key, number=known.mod)
        return r.Txn((guard,), (r.Put(key, value),), (r.Range(key),))

    def learn(self, request: r.Request, answer: r.Answer, revision: int) -> None:
        """Remember what an answer tells, so that later conditions have a chance to hold."""
        match request, answer:
            case r.Put(key, value), _:
                self._known[key] = _Known(revision, value)
            case r.Delete(key), _:
                self._known[key] = _Known()
            case r.Range(key), r.RangeAnswer():
                self._saw(key, answer)
            case r.Txn(), r.TxnAnswer(succeeded=True):
                put = request.success[0]
                assert isinstance(put, r.Put)
                self._known[put.key] = _Known(revision, put.value)
            case r.Txn(), r.TxnAnswer(answers=(r.RangeAnswer() as seen,)):
                self._saw(request.compare[0].key, seen)

    def _saw(self, key: bytes, answer: r.RangeAnswer) -> None:
        kv = answer.kvs[0] if answer.kvs else r.Kv(key)
        self._known[key] = _Known(kv.mod, kv.value)

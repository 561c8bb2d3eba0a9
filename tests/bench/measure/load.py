"""Fills a node with keys, quickly, and goes on where it was stopped.

Keys are ``/bench/00000000`` and on, values of 256 bytes that do not compress. A transaction holds
128 puts, etcd's most. Key n of a pass has a fixed place, and transactions are applied in no
particular order while some are under way, so what is done is kept in a file beside the data: the
number of transactions before which all are. What comes after a stop is at most written twice.

A *revision* here is one key's one version: a row of the history. Transactions are revisions of the
whole store, each with 128 rows.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from bench.measure.wire import KV_TXN, connect
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import PutRequest, RequestOp, TxnRequest

PREFIX = b"/bench/"
VALUE_BYTES = 256
TXN_PUTS = 128
_UNDER_WAY = 4
_TELL_S = 5.0


def key(number: int) -> bytes:
    """The loader's keys, in order."""
    return b"%s%08d" % (PREFIX, number)


def end_of(prefix: bytes) -> bytes:
    """The end of the range of all keys with a prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


_NOISE = random.Random(1).randbytes(64 * 1024)


def value(number: int, size: int = VALUE_BYTES) -> bytes:
    """A value nobody can compress, another for each number."""
    at = number * 7919 % (len(_NOISE) - 8)
    head = b"%020d" % number
    return (head + (_NOISE + _NOISE)[at : at + size - len(head)])[:size]


def transaction(keys: int, number: int, puts: int = TXN_PUTS, size: int = VALUE_BYTES) -> bytes:
    """The transaction with this number of a store of so many keys, which later passes change.

    The first pass goes up; later ones jump, each with a stride that meets all keys.
    """
    operations = []
    for place in range(number * puts, (number + 1) * puts):
        turn, at = divmod(place, keys)
        which = at if turn == 0 else (at * 514_229 + turn) % keys
        operations.append(
            RequestOp(request_put=PutRequest(key=key(which), value=value(place, size)))
        )
    return encode(TxnRequest(success=operations))


class Progress:
    """How far a load is, in a file; and a line on standard error now and then."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self._told_s = self._began_s = time.monotonic()

    def read(self) -> int:
        """Transactions done before."""
        return int(self.path.read_text()) if self.path.exists() else 0

    def write(self, done: int, of: int, rows: int, started: int) -> None:
        """Keep it, and tell it if it is time."""
        self.path.write_text(str(done))
        now = time.monotonic()
        if now - self._told_s > _TELL_S or done == of:
            self._told_s = now
            rate = (done - started) * rows / max(0.001, now - self._began_s)
            print(
                f"  {self.what}: {done * rows:,} of {of * rows:,}, {rate:,.0f}/s", file=sys.stderr
            )


async def load(port: int, keys: int, revisions: int, progress: Progress) -> None:
    """Bring a store up to so many keys and key revisions. CallError when it is refused."""
    started = progress.read()
    wanted = -(-revisions // TXN_PUTS)
    if started >= wanted:
        return
    wire = await connect(port)
    under_way: set[int] = set()
    numbers = iter(range(started, wanted))

    async def worker() -> None:
        for number in numbers:
            under_way.add(number)
            await wire.unary(KV_TXN, transaction(keys, number))
            under_way.discard(number)
            if number % 64 == 0 or number == wanted - 1:
                progress.write(min(under_way, default=number), wanted, TXN_PUTS, started)

    try:
        await asyncio.gather(*(worker() for _ in range(_UNDER_WAY)))
        progress.write(wanted, wanted, TXN_PUTS, started)
    finally:
        wire.close()

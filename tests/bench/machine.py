"""How fast the machine is, at 100,000 and a million keys, in CPU time.

    python tests/bench/machine.py [keys ...]

Prints microseconds a call, milliseconds for whole-state operations and the size of the process.
Figures of a loaded machine are upper bounds: take the least of several runs.
"""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from random import Random
from time import process_time

from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.commands import (
    Command,
    Compare,
    DeleteRange,
    Envelope,
    Put,
    Range,
    Txn,
    decode,
    encode,
    validate,
)

VALUE = b"v" * 100
CALLS = 20_000


def key(number: int) -> bytes:
    """A key of 43 bytes."""
    return b"/registry/pods/default/key-%016d" % number


def rss_mb() -> float:
    """The largest size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def us_each(function: Callable[[int], object], calls: int) -> float:
    """The best of three rounds, in microseconds a call."""
    rounds = []
    for _ in range(3):
        start = process_time()
        for number in range(calls):
            function(number)
        rounds.append((process_time() - start) / calls * 1e6)
    return min(rounds)


def ms_once(function: Callable[[], object]) -> float:
    """The best of three calls, in milliseconds."""
    rounds = []
    for _ in range(3):
        start = process_time()
        result = function()
        rounds.append((process_time() - start) * 1e3)
        del result
    return min(rounds)


class Bench:
    """A machine that is filled and then asked."""

    def __init__(self, keys: int) -> None:
        self.keys = keys
        self.machine = Machine()
        self.random = Random(1)

    def apply(self, command: Command) -> None:
        """Apply a command, and let the history keep pace."""
        machine = self.machine
        machine.apply(machine.applied_index + 1, 1, Envelope(1, 2, 3, "", 0, command))
        if machine.applied_index % 1000 == 0:
            machine.window.release(machine.revision)

    def fill(self) -> float:
        """Insert all keys in random order; microseconds each."""
        numbers = list(range(self.keys))
        self.random.shuffle(numbers)
        start = process_time()
        for number in numbers:
            self.apply(Put(key(number), VALUE))
        return (process_time() - start) / self.keys * 1e6

    def some_key(self) -> bytes:
        """Any key that is there."""
        return key(self.random.randrange(self.keys))

    def swap(self) -> Txn:
        """A compare-and-set of one key."""
        name = self.some_key()
        compare = Compare(name, 2, 1, 0)
        return Txn((compare,), (Put(name, VALUE),), (Range(name),))

    def report(self) -> None:
        """Everything, one line each."""
        before = rss_mb()
        print(f"--- {self.keys:,} keys")
        print(f"insert            {self.fill():9.2f} us")
        print(f"memory           +{rss_mb() - before:9.0f} MB")
        machine = self.machine
        update = us_each(lambda _: self.apply(Put(self.some_key(), VALUE)), CALLS)
        print(f"update            {update:9.2f} us")
        print(f"compare-and-set   {us_each(lambda _: self.apply(self.swap()), CALLS):9.2f} us")
        get = us_each(lambda _: machine.read(Range(self.some_key())), CALLS)
        print(f"get               {get:9.2f} us")
        middle = key(self.keys // 2)
        thousand = Range(middle, b"\0", limit=1000)

        def body(_: int) -> bytes:
            return b"".join(machine.read(thousand).frames)  # type: ignore[union-attr]  # a range

        print(f"range 1000, joined{us_each(body, 200):9.2f} us")
        old = Range(middle, b"\0", limit=1000, revision=machine.revision - 500)
        print(f"  500 revisions ago{us_each(lambda _: machine.read(old), 200):8.2f} us")
        count = Range(middle, b"\0", count_only=True)
        print(f"count             {us_each(lambda _: machine.read(count), CALLS):9.2f} us")
        last = Range(b"/", b"0", limit=1, sort_order=2)
        print(f"last key          {us_each(lambda _: machine.read(last), CALLS):9.2f} us")
        self.report_whole()

    def report_whole(self) -> None:
        """What touches every key."""
        machine = self.machine
        image = machine.image()
        print(f"image, the cut    {ms_once(machine.image):9.1f} ms")
        print(f"image, encoding   {ms_once(lambda: sum(map(len, encode_image(image)))):9.1f} ms")
        chunks = list(encode_image(image))
        print(f"image, bytes      {sum(map(len, chunks)) / 1e6:9.1f} MB")
        print(f"image, decoding   {ms_once(lambda: decode_image(chunks)):9.1f} ms")
        print(f"hash              {ms_once(machine.hash_kv):9.3f} ms")
        print(f"full collection   {ms_once(gc.collect):9.1f} ms")
        start = process_time()
        self.apply(DeleteRange(b"\0", b"\0"))
        print(f"delete everything {(process_time() - start) * 1e3:9.1f} ms")


def codec() -> None:
    """A Put on its way to the log and back."""
    put = Envelope(1, 2, 3, "", 0, Put(key(1), VALUE))
    data = encode(put)
    print(f"encode a put      {us_each(lambda _: encode(put), CALLS):9.2f} us, {len(data)} bytes")
    print(f"decode a put      {us_each(lambda _: decode(data), CALLS):9.2f} us")
    print(f"validate a put    {us_each(lambda _: validate(put.command), CALLS):9.2f} us")


if __name__ == "__main__":
    codec()
    for size in [int(word) for word in sys.argv[1:]] or [100_000, 1_000_000]:
        Bench(size).report()

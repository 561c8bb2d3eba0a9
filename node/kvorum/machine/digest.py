"""Two numbers by which members can tell that they hold the same thing.

The *chain* is a hash of everything that was ever applied: each entry's index, term, outcome and
events, on top of the digest before it. Two members with the same applied index must have the same
chain, whatever snapshots they took on the way, and once they differ they differ for ever; so
comparing 64 bits at one index now and then is enough to notice.

The *state checksum* says what is there, not how it came about: the sum, modulo 2^32, of the CRC-32s
of the live records' frames at a revision. It is what HashKV answers. Being a sum it is kept up to
date with every write for the price of two CRCs, costs nothing to ask for, and can be taken back
through the window's events to an older revision. A decoded image computes it anew from the records
and compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from kvorum.errors import Condition
from kvorum.machine.codec import encode_command
from kvorum.machine.events import PUT, Event
from kvorum.machine.operations import Command, DeleteRange, Put, Txn

CHAIN_START: Final = 0
_LINK = Struct("<QQQ")
_AUTH_LINK = Struct("<Q")
_KEY_COMMANDS = (Put, DeleteRange, Txn)
_MASK: Final = 0xFFFF_FFFF


class HashResult(NamedTuple):
    """HashKV: checksum of the state at ``revision``, and the compact revision (-1: never
    compacted).
    """

    hash: int
    revision: int
    compact_revision: int


class HistoricalHash(NamedTuple):
    """The revision is older than the window: sum the live frames at ``revision`` (``checksum_of``)
    from the history.
    """

    revision: int
    compact_revision: int


def extend(
    chain: int,
    index: int,
    term: int,
    command: Command,
    refused: Condition | None,
    events: Iterable[Event],
) -> int:
    """The chain after one more entry (a uint64)."""
    state = blake2b(_LINK.pack(chain, index, term), digest_size=8)
    if refused is not None:
        state.update(refused.name.encode())
    if not isinstance(command, _KEY_COMMANDS):
        state.update(encode_command(command))
    for event in events:
        state.update(event.frame)
    return int.from_bytes(state.digest(), "little")


def extend_auth(chain: int, name: str, enabled: bool, revision: int) -> int:
    """The chain after an operation on users and roles, on top of :func:`extend`: it has no events
    to tell what it did.
    """
    told = b"%s %d %d" % (name.encode(), enabled, revision)
    return int.from_bytes(blake2b(_AUTH_LINK.pack(chain) + told, digest_size=8).digest(), "little")


def checksum_of(frames: Iterable[bytes]) -> int:
    """The state checksum of these live frames, in any order."""
    return sum(map(crc32, frames)) & _MASK


def checksum_before(checksum: int, events: Iterable[Event]) -> int:
    """Take the checksum back to before these events."""
    for event in events:
        if event.kind == PUT:
            checksum -= crc32(event.frame)
        if event.prev_frame is not None:
            checksum += crc32(event.prev_frame)
    return checksum & _MASK

"""What callers ask of a replica and what they get back.

A request id is a uint64 that is unique over all members and restarts: 16 bits of the member id,
then a counter that starts
at the node's boot time (raft checklist P1). The runtime draws it; the replica only matches it.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.errors import Condition
from kvorum.machine.commands import Range, Txn


class Stamp(NamedTuple):
    """Where an answer comes from: the parts of etcd's ResponseHeader that the replica knows."""

    revision: int
    term: int


class Done(NamedTuple):
    """A request that succeeded. ``value`` is a result of the machine or of this module."""

    value: object
    stamp: Stamp


class Failed(NamedTuple):
    """A request that did not; ``condition`` may be of unknown outcome (see
    ``errors.UNKNOWN_OUTCOME``)."""

    condition: Condition
    detail: str = ""


Outcome = Done | Failed

ReadQuery = Range | Txn


class LeaseClock(NamedTuple):
    """A lease as the leader's clock sees it. ``granted_s`` 0: there is none."""

    id: int
    remaining_s: int
    granted_s: int
    keys: tuple[bytes, ...] = ()


class WatchSpec(NamedTuple):
    """A watcher as the client asked for it (contract page "semantics", section 6.1)."""

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0
    watch_id: int = 0
    prev_kv: bool = False
    progress_notify: bool = False
    no_put: bool = False
    no_delete: bool = False
    fragment: bool = False
    # Why the server refuses it, in the words for the client; "" when it does not.
    refused: str = ""

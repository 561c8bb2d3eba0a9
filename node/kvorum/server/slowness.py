"""What took too long: turns that applied entries, heartbeats, calls. Counted, and told in the log.

The lines are etcd's (``--warning-apply-duration``, ``--warning-unary-request-duration``), without
what requests hold: keys and values are nobody's business in a log.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

log = logging.getLogger(__name__)

# A heartbeat that is later than this many intervals may cost the leader its followers.
_LATE_INTERVALS = 2


class Slowness:
    """Counts of one node.

    Args:
        apply_s: a turn that applies entries may take this long.
        request_s: a unary call may take this long.
        heartbeat_s: the interval of heartbeats.
    """

    def __init__(self, apply_s: float, request_s: float, heartbeat_s: float) -> None:
        self._apply_us = int(apply_s * 1e6)
        self.request_us = int(request_s * 1e6)
        self._heartbeat_s = heartbeat_s
        self.applies = 0
        self.heartbeats = 0

    def applied(self, took_us: int, inputs: int, entries: int) -> None:
        """A turn that took so many inputs applied entries."""
        if took_us <= self._apply_us:
            return
        self.applies += 1
        log.warning(
            "apply request took too long",
            extra={
                "took": f"{took_us / 1000:g}ms",
                "expected-duration": f"{self._apply_us / 1000:g}ms",
                "entries": entries,
                "inputs": inputs,
            },
        )

    def woke(self, late_s: float, leading: bool) -> None:
        """The loop woke the ticker; only a leader owes anybody a heartbeat."""
        if not leading or late_s <= _LATE_INTERVALS * self._heartbeat_s:
            return
        self.heartbeats += 1
        log.warning(
            "leader failed to send out heartbeat on time; took too long, leader is overloaded",
            extra={
                "heartbeat-interval": f"{self._heartbeat_s * 1000:g}ms",
                "exceeded-duration": f"{late_s * 1000:g}ms",
            },
        )


def tell_of_call(path: str, peer: object, took_us: int) -> None:
    """The line about a unary call that took too long."""
    began = datetime.fromtimestamp(time.time() - took_us / 1e6, UTC)
    log.warning(
        "request stats",
        extra={
            "start time": began.isoformat(timespec="milliseconds"),
            "time spent": f"{took_us / 1000:g}ms",
            "remote": _address(peer),
            "response type": path,
        },
    )


def _address(peer: object) -> str:
    found = getattr(peer, "addr", lambda: None)()
    if isinstance(found, tuple):
        return f"{found[0]}:{found[1]}"
    return str(found or "")

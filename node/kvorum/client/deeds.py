"""What was done to keys lately, each change with what was there before it, so that it can be taken
back. A watch that starts in the past tells it, on any etcd-compatible cluster.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kvorum.client.errors import CompactedError, PermissionDeniedError
from kvorum.client.planning import Deed
from kvorum.client.types import Event

if TYPE_CHECKING:
    from kvorum.client.session import Session

NEAR = 500  # Revisions that are looked through first for what was done lately,
FAR = 32_000  # and how far back at most: each costs its values, twice.
_WIDER = 8
_QUIET_S = 0.5  # A watch of a part of the keys that says nothing for so long has caught up.


async def deeds_of(session: Session, revision: int, prefix: bytes = b"") -> list[Deed]:
    """Everything that was done under a prefix at one revision. Raises CompactedError when it is
    gone, ClientError.
    """
    found = await _between(session, revision, revision, prefix, True)
    return [deed for deed in found if deed.revision == revision]


async def recent_deeds(session: Session, key: bytes, prefix: bool, limit: int) -> list[Deed]:
    """At least the newest ``limit`` changes of a key or prefix, newest first, as far as they are
    kept and not more than FAR revisions back. Raises ClientError.
    """
    newest = (await session.range(key or b"\0", limit=1, keys_only=True)).header.revision
    span = NEAR
    while True:
        first = max(2, newest - span)
        try:
            found = await _between(session, first, newest, key, prefix)
        except CompactedError as error:
            span, first = FAR, error.compact_revision
            found = await _between(session, first, newest, key, prefix)
        if len(found) >= limit or first <= 2 or span >= FAR:
            return list(reversed(found))
        span *= _WIDER


async def _between(session: Session, first: int, last: int, key: bytes, prefix: bool) -> list[Deed]:
    """What was done from one revision to another, both included, oldest first."""
    if first > last:
        return []
    try:
        found = await _watched(session, first, last, b"", True, None)
    except PermissionDeniedError:
        found = await _watched(session, first, last, key, prefix, _QUIET_S)
    return [deed for deed in found if (deed.key.startswith(key) if prefix else deed.key == key)]


async def _watched(
    session: Session, first: int, last: int, key: bytes, prefix: bool, quiet_s: float | None
) -> list[Deed]:
    """Every revision has a change, so a watch of all keys has caught up when it has seen the last
    one; of a part of them silence has to do.
    """
    found: list[Deed] = []
    async with session.watch(key, prefix=prefix, start_revision=first, prev_kv=True) as watch:
        while not found or found[-1].revision < last:
            try:
                async with asyncio.timeout(quiet_s):
                    batch = await watch.next_batch()
            except TimeoutError:
                break
            found += [_deed(event) for event in batch.events]
    return [deed for deed in found if deed.revision <= last]


def _deed(event: Event) -> Deed:
    kv = event.kv
    if event.type == "PUT":
        lost = event.prev_kv is None and kv.version > 1
        return Deed(kv.mod_revision, kv.key, event.prev_kv, kv, lost)
    return Deed(kv.mod_revision, kv.key, event.prev_kv, None, event.prev_kv is None)

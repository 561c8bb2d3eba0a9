"""The end of a recording on real processes: watchers caught up, applied orders read, hashes asked.

A last write marks the place up to which everybody must have told everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from kvorum.check import records as r
from kvorum.client import Client, MemberClient
from kvorum.client.errors import ClientError, CompactedError
from kvorum.drill.liveload import Crowd, recorded
from kvorum.drill.stage import StageError

_CATCH_UP_S = 20.0
_LOOK_S = 0.05
_MARKER = -1  # The client number of the last write.


async def complete(client: Client, crowd: Crowd, urls: Mapping[str, str], whole: bool) -> None:
    """Complete the crowd's recording. ``whole``: the store is the drill's alone, so that its
    members' whole order belongs into the recording. Raises StageError.
    """
    recorder, history = crowd.recorder, crowd.recorder.history
    key = crowd.prefix + b"end"
    call = recorder.call(_MARKER, r.Put(key, b"end"))
    try:
        made = await client.put(key, b"end")
    except ClientError as error:
        raise StageError(f"the last write failed: {error}") from error
    crowd.told(call, r.PutAnswer(), made.header)
    last = made.header.revision
    end = time.monotonic() + _CATCH_UP_S
    while any(crowd.seen_revisions.get(number, 0) < last for number in crowd.watching()):
        if time.monotonic() > end:
            break  # The recording says how far each came: a gap, for the judge.
        await asyncio.sleep(_LOOK_S)
    history.add(r.Quiet(recorder.now(), last))
    for name, url in urls.items():
        await _dump(client, crowd, name, url, last, whole)


async def _dump(client: Client, crowd: Crowd, name: str, url: str, last: int, whole: bool) -> None:
    history, member = crowd.recorder.history, client.member(url)
    first = history.state.revision + 1
    by_revision: dict[int, list[r.Event]] = {}
    while True:
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                reached = await _read(member, crowd, whole, first, last, by_revision)
        except CompactedError as error:
            # Of the compact revision itself a deletion may be gone.
            first = max(first, error.compact_revision + 1)
            by_revision.clear()
            continue
        except (ClientError, TimeoutError) as error:
            raise StageError(f"{name} does not tell its history: {error}") from error
        break
    history.add(r.Dump(name, first, reached))
    for revision in sorted(by_revision):
        history.add(r.Applied(name, revision, tuple(by_revision[revision])))
    try:
        hashed = await member.maintenance.hash_kv(last)
    except ClientError as error:
        raise StageError(f"{name} does not tell its hash: {error}") from error
    history.add(r.Digest(name, last, hashed.hash, hashed.compact_revision))


async def _read(
    member: MemberClient,
    crowd: Crowd,
    whole: bool,
    first: int,
    last: int,
    found: dict[int, list[r.Event]],
) -> int:
    """Events from ``first`` up to ``last`` at least; returns how far they go."""
    key = b"\0" if whole else crowd.prefix
    async with member.watch(
        key, from_key=whole, prefix=not whole, start_revision=first, prev_kv=True
    ) as watch:
        async for batch in watch.batches():
            for event in batch.events:
                if event.revision <= last:
                    found.setdefault(event.revision, []).append(recorded(event))
            if batch.revision >= last:
                return last
    return last

"""What the client brings, as the terminal's records: keys, changes, watches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from kvorum.client import CompactedError, Event, KeyValue

from kvorum_tui.live.errors import translated
from kvorum_tui.model.records import KeyEvent, KeyRecord, WatchBatch

if TYPE_CHECKING:
    from kvorum.client.watch import Watch
    from kvorum.history.rows import Row


def record_of(kv: KeyValue, one_member: bool = False) -> KeyRecord:
    """A key; ``one_member`` says that it is as one member has it, which may be old."""
    return KeyRecord(
        kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease, one_member
    )


def event_of(event: Event) -> KeyEvent:
    """A change that a watch told."""
    kv, before = event.kv, event.prev_kv
    return KeyEvent(
        "put" if event.type == "PUT" else "delete",
        kv.key,
        kv.value,
        kv.mod_revision,
        kv.create_revision,
        kv.version,
        kv.lease,
        before.value if before is not None else None,
        prev_revision=before.mod_revision if before is not None else 0,
    )


def event_of_row(row: Row) -> KeyEvent:
    """A change that the history in a file knows: a mirror's, a recording's."""
    return KeyEvent(
        "delete" if row.type else "put",
        row.key,
        row.value,
        row.revision,
        row.create_revision,
        row.version,
        row.lease,
        at_ms=max(0, row.at_ms),
        member=row.member,
        user=row.user_name,
        prev_revision=row.prev_revision,
    )


async def following(
    open_at: Callable[[int], Watch], start_revision: int
) -> AsyncGenerator[WatchBatch, None]:
    """A watch from a revision on (0: from now on) that steps over compacted history and says so:
    ``open_at`` opens it anew where it can go on. Raises ``SessionError``.
    """
    start = start_revision
    with translated():
        while True:
            watch = open_at(start)
            try:
                yield WatchBatch(max(0, await watch.started() - 1))
                async for batch in watch.batches():
                    yield WatchBatch(batch.revision, tuple(map(event_of, batch.events)))
                return
            except CompactedError as error:
                if error.compact_revision <= start:
                    raise
                start = error.compact_revision
                yield WatchBatch(start, gap_to=start)
            finally:
                watch.close()

"""A process that writes history and says what is durable, until it is killed or kills itself.

Arguments: file, how many batches to write, the failpoint at which to die ("" for none).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from kvorum.history.database import HistoryDatabase
from kvorum.history.rows import Batch, Identity, Row
from kvorum.history.writer import Durable, HistoryWriter

OWNER = Identity(1, 2)
COMPACT_EVERY = 20


def row(revision: int) -> Row:
    """The one row of a revision: a put of one of seven keys."""
    before = revision - 7 if revision > 8 else 0
    version = (revision - 2) // 7 + 1
    key = b"k%d" % (revision % 7)
    return Row(revision, 0, 0, key, b"v%d" % revision, 2, version, 0, before, revision, 2, "")


def main() -> None:
    path, count, point = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def durable(state: Durable) -> None:
        print(state.applied_index, state.checkpointed_index, flush=True)

    def failpoint(name: str) -> None:
        # The third time round, so that there is something to lose.
        hits[name] = hits.get(name, 0) + 1
        if name == point and hits[name] == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    hits: dict[str, int] = {}
    database = HistoryDatabase(path, OWNER)
    start = max(1, database.progress().revision)
    writer = HistoryWriter(database, durable, lambda error: os._exit(9), failpoint, gather_s=0)
    for revision in range(start + 1, start + 1 + count):
        writer.append(Batch([row(revision)], revision * 10, 1, revision))
        writer.flush().result()
        if revision % COMPACT_EVERY == 0:
            writer.compact(revision - 10).result()
            writer.checkpoint().result()
    print("done", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()

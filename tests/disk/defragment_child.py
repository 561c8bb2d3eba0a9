"""A process that defragments a history while rows come, until it kills itself at a failpoint.

Arguments: file, the failpoint at which to die ("" for none). Prints the revision it called durable
before the defragmentation began, and "done" at the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from disk.history_child import OWNER, row
from kvorum.history.database import HistoryDatabase, read_progress
from kvorum.history.defragment import Defragmentation
from kvorum.history.rows import Batch
from kvorum.history.writer import HistoryWriter

ROWS = 400
LATER = 50


def main() -> None:
    path, point = Path(sys.argv[1]), sys.argv[2]

    def failpoint(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    database = HistoryDatabase(path, OWNER)
    start = max(1, database.progress().revision)
    writer = HistoryWriter(database, lambda done: None, lambda error: os._exit(9), gather_s=0)

    def write(first: int, last: int) -> None:
        writer.append(Batch([row(r) for r in range(first, last + 1)], last * 10, 1, last))
        writer.flush().result()

    write(start + 1, start + ROWS)
    writer.compact(start + ROWS // 2).result()
    print(start + ROWS, flush=True)
    work = Defragmentation(path, OWNER, failpoint)
    connection = database.connect()
    work.copy(connection, start + ROWS)
    write(start + ROWS + 1, start + ROWS + LATER)
    # Some of what is copied is compacted before the end.
    writer.compact(start + ROWS).result()
    print(start + ROWS + LATER, flush=True)
    writer.close()
    progress = read_progress(connection)
    work.copy(connection, progress.revision)
    connection.close()
    work.finish(progress)
    database.close()
    work.install()
    print("done", flush=True)


if __name__ == "__main__":
    main()

"""A history whose writer meets a full disk where a test says so.

The failures are DuckDB's own words, put in at a statement; with and without the instance given up,
which DuckDB's own switch for such tests does.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from kvorum.history.database import HistoryDatabase
from kvorum.history.reader import HistoryReader
from kvorum.history.rows import Batch, Row
from kvorum.history.writer import HistoryWriter
from unit.history.conftest import OWNER
from unit.history.support import Model

WRITE = 'Could not write file "/d/h.duckdb": '
FULL = os.strerror(errno.ENOSPC)
COMMIT = duckdb.TransactionException(f"TransactionContext Error: Failed to commit: {WRITE}{FULL}")
CHECKPOINT = duckdb.FatalException(
    f"FATAL Error: Failed to create checkpoint because of error: {WRITE}{FULL}"
)
PATIENCE_S = 60.0


class Connection:
    """A connection of the writer's: ``meets`` hears of each step before it is taken."""

    def __init__(self, real: duckdb.DuckDBPyConnection, meets: Callable[[Any, str], None]) -> None:
        self._real = real
        self._meets = meets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        self._meets(self._real, statement.split("(")[0].strip())
        return self._real.execute(statement, *arguments)

    def begin(self) -> None:
        self._meets(self._real, "begin")
        self._real.begin()

    def commit(self) -> None:
        self._meets(self._real, "commit")
        self._real.commit()


class Disk(HistoryDatabase):
    """A history whose writer meets a full disk ``times`` times at the step that begins with
    ``step``, once it is ``armed``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, OWNER)
        self.step = ""
        self.kind = "refused"
        self.times = 0

    def arm(self, step: str, kind: str, times: int = 1) -> None:
        self.kind, self.times, self.step = kind, times, step

    def connect(self) -> Any:
        return Connection(super().connect(), lambda real, step: self._meets(real, step))

    def _meets(self, real: duckdb.DuckDBPyConnection, step: str) -> None:
        if not self.times or not step.startswith(self.step):
            return
        self.times -= 1
        if self.kind == "refused":
            if step == "commit":
                real.rollback()  # As DuckDB does.
            raise COMMIT
        if self.kind == "done":
            real.commit()
        give_up(real)
        raise CHECKPOINT


def give_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Make an instance useless, as a checkpoint does that fails."""
    beside = connection.cursor()
    beside.execute("SET debug_checkpoint_abort = 'before_header'")
    with pytest.raises(duckdb.FatalException, match="Checkpoint aborted"):
        beside.execute("FORCE CHECKPOINT")
    with pytest.raises(duckdb.FatalException, match="has been invalidated"):
        beside.execute("SELECT 1")


class World:
    """A history with some rows in DuckDB's log, whose first instance may be given up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures: list[BaseException] = []
        self.database = Disk(path)
        self.model = Model(Random(1))
        self.applied = 0
        self.open()
        self.reader = HistoryReader(self.database)
        self.append(20)
        self.writer.flush().result(PATIENCE_S)

    def open(self, unwritten: Any = ()) -> None:
        self.writer = HistoryWriter(
            self.database, lambda _: None, self.failures.append, gather_s=0, unwritten=unwritten
        )

    def append(self, changes: int) -> None:
        self.applied += 1
        rows = self.model.grow(changes)
        assert self.writer.append(Batch(rows, self.applied, 1, self.model.revision))

    def read(self) -> list[Row]:
        return self.reader.key_history(b"\0", b"\0").future.result(PATIENCE_S)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        self.database.close()


class Full:
    """Whether a writer finds its disk full, when it looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = threading.Event()
        self._full = True
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(HistoryWriter, "_free_bytes", self._free_bytes)

    def _free_bytes(self, *_: object) -> int:
        if self._full:
            self.waits.set()
        return 0 if self._full else 1 << 40

    def over(self) -> None:
        """There is room again."""
        self._full = False

    def at(self, world: World, step: str) -> None:
        """There is, until the writer has come to a step for the first time."""
        self._full = False
        meets, came = world.database._meets, []

        def filled_up(real: Any, taken: str) -> None:
            if taken.startswith(step) and not came:
                came.append(taken)
                self._full = True
            meets(real, taken)

        self._monkeypatch.setattr(world.database, "_meets", filled_up)


class Told(logging.Handler):
    """``heard`` is set when the writer's log says ``text``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.heard.set()

    def __enter__(self) -> Told:
        logging.getLogger("kvorum.history.writer").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("kvorum.history.writer").removeHandler(self)

"""An open history with its writer and reader, and the errors it reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.history.database import HistoryDatabase
from kvorum.history.reader import HistoryReader
from kvorum.history.rows import Identity
from kvorum.history.writer import Durable, HistoryWriter

OWNER = Identity(2**64 - 7, 2**63 + 5)


class Opened:
    """Everything a test wants of one history."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.durable: list[Durable] = []
        self.failures: list[BaseException] = []
        self.open()

    def open(self) -> None:
        self.database = HistoryDatabase(self.path, OWNER)
        self.writer = HistoryWriter(self.database, self.durable.append, self.failures.append)
        self.reader = HistoryReader(self.database)

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        self.database.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path / "history.duckdb")
    yield opened
    opened.close()
    assert opened.failures == []

"""The kept changes of a range, page by page, against the naive model."""

from __future__ import annotations

from random import Random

import pytest
from kvorum.history.pages import START, Page, Question, has_forgotten, page, walk
from kvorum.history.rows import Batch, Row
from unit.history.conftest import Opened
from unit.history.support import Model, within

ALL = Question(b"\0", b"\0")


def filled(history: Opened, revisions: int = 120) -> Model:
    model = Model(Random(7))
    rows = model.grow(revisions)
    assert history.writer.append(Batch(rows, model.revision + 5, 3, model.revision))
    history.writer.flush().result(10)
    return model


def ask(history: Opened, question: Question, after: tuple[int, int], rows: int, size: int) -> Page:
    read = history.reader.submit(lambda connection: page(connection, question, after, rows, size))
    return read.future.result(10)


def whole(history: Opened, question: Question, rows: int = 7, size: int = 100) -> list[Row]:
    """Every page in turn, each within its bounds."""
    found: list[Row] = []
    after, more = START, True
    while more:
        one = ask(history, question, after, rows, size)
        weight = [len(row.key) + len(row.value) for row in one.rows]
        assert len(one.rows) <= rows and (len(one.rows) <= 1 or sum(weight) <= size)
        found += one.rows
        more = one.more
        assert one.rows or not more
        after = (found[-1].revision, found[-1].sub) if found else START
    return found


@pytest.mark.parametrize(
    ("key", "end"), [(b"k/03", b""), (b"k/02", b"k/07"), (b"\0", b"\0"), (b"nothing", b"")]
)
def test_pages_together_are_every_row(history: Opened, key: bytes, end: bytes) -> None:
    model = filled(history)
    wanted = [row for row in model.rows if within(row.key, key, end)]
    assert whole(history, Question(key, end)) == wanted
    assert whole(history, Question(key, end, 20, 90)) == [
        row for row in wanted if 20 <= row.revision <= 90
    ]


def test_a_page_is_bounded_in_rows_and_in_bytes(history: Opened) -> None:
    model = filled(history)
    assert ask(history, ALL, START, 10, 1 << 20).rows == model.rows[:10]
    assert ask(history, ALL, START, 10, 0).rows == model.rows[:1]
    last = ask(history, ALL, START, len(model.rows), 1 << 20)
    assert not last.more and last.rows == model.rows


def test_what_a_compaction_forgets_is_gone_before_it_is_swept(history: Opened) -> None:
    model = filled(history)
    connection = history.database.connect()
    connection.execute("INSERT INTO compaction VALUES (60, false)")
    connection.close()
    kept = model.compact(60)
    assert set(whole(history, ALL)) == kept
    assert ask(history, ALL, START, 1, 1).compact_revision == 60
    history.writer.compact(60).result(10)
    assert set(whole(history, ALL)) == kept


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (3, 100), (7, 1 << 20), (1_000, 1 << 20)])
def test_a_walk_is_every_row_up_to_a_revision(history: Opened, rows: int, size: int) -> None:
    model = filled(history)
    connection = history.database.connect()
    for last in (1, 2, 60, model.revision):
        pages = list(walk(connection, last, rows, size))
        assert [row for page in pages for row in page] == [
            row for row in model.rows if row.revision <= last
        ]
        assert all(len(page) <= rows for page in pages)
    assert has_forgotten(connection, 60)
    found = {row for page in walk(connection, model.revision, rows, size, 60) for row in page}
    kept = model.compact(60)
    assert found == kept
    connection.close()
    history.writer.compact(60).result(10)
    connection = history.database.connect()
    assert not has_forgotten(connection, 60)
    assert {row for page in walk(connection, model.revision, rows, size) for row in page} == kept
    connection.close()


def test_a_walk_over_far_revisions_takes_few_pages(history: Opened) -> None:
    """Compactions leave holes; a restore may raise the revision by billions."""
    far = 5_000_000_000
    row = Row(far, 0, 0, b"k", b"v", far, 1, 0, 0, 0, 0, "")
    assert history.writer.append(Batch([row], 9, 1, far))
    history.writer.flush().result(10)
    connection = history.database.connect()
    pages = list(walk(connection, far, 10, 1_000))
    connection.close()
    assert [row for page in pages for row in page] == [row]
    assert len(pages) < 40

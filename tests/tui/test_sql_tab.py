"""The SQL tab on a cluster in memory: writing, running, reading, watching, keeping, exporting."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from kvorum import limits
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens import sql as screen
from kvorum_tui.screens import sql_run
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.sql import SqlPane
from kvorum_tui.session import SessionError
from kvorum_tui.session.past import PastStatus, QueryBatch
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

COLUMNS = (("revision", "BIGINT"), ("key", "VARCHAR"), ("value_bytes", "BLOB"))
ROWS = ((9, "/app/b", b"\xff\x00"), (8, "/app/a", b'{"n": 1}'), (7, "loose", None))


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVORUM_QUERIES", str(tmp_path / "queries.toml"))
    monkeypatch.setenv("KVORUM_SQL_HISTORY", str(tmp_path / "sql.jsonl"))
    return tmp_path


def asked(fake: FakeSession, text: str, *batches: QueryBatch) -> None:
    """What a query is answered with."""
    fake.past.answers[text] = list(batches)


async def write(pilot: Pilot[None], app: KvorumApp, text: str) -> SqlPane:
    """Put a query into the editor."""
    pane = app.pane_of(SqlPane)
    pane.write(text)
    await pilot.pause()
    return pane


def test_what_the_tab_says_of_bounds_is_true() -> None:
    assert sql_run.ROWS_MAX == limits.QUERY_ROWS_TOLD
    assert sql_run.BYTES_MAX == limits.QUERY_BYTES_TOLD
    assert sql_run.TIME_S == limits.QUERY_TIMEOUT_S
    assert sql_run.MEMORY_MB == limits.QUERY_MEMORY_MB


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_a_query_runs_and_its_rows_are_read(size: tuple[int, int]) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "[6 SQL]", "FROM events", "f5 runs the query", "reads only")
        assert ("▾ events" in frame(app)) == (size[0] >= 100)
        asked(fake, screen.FIRST, QueryBatch(COLUMNS, ROWS[:2]), QueryBatch(COLUMNS, ROWS[2:]))
        await pilot.press("f5")
        text = await shows(pilot, "Answer · 3 rows", "revision", 'b"\\xff\\x00"', "NULL", "/app/b")
        assert "TRUNCATED" not in text
        pane = app.pane_of(SqlPane)
        await pilot.press("escape")
        assert pane.table.has_focus
        await pilot.press("right", "right", "enter")
        await shows(pilot, "value_bytes · row 1 · BLOB · hex", "ff 00")
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "row 2 · BLOB · json", '"n": 1')
        await pilot.press("escape", "down", "enter")
        await shows(pilot, "there is no value")
        await pilot.press("escape", "y")
        await shows(pilot, "copied the cell, 0 characters")
        await pilot.press("left", "Y")
        await shows(pilot, "copied the row")
        assert app.clipboard == "7\tloose\t"
        assert pane.revision_here() == 7
        await pilot.press("s")
        await shows(pilot, "key ↑")
        assert [row[0] for row in pane.table.result.rows()] == [8, 9, 7]
        await pilot.press("s")
        await shows(pilot, "key ↓")
        assert [row[0] for row in pane.table.result.rows()] == [7, 9, 8]
        await pilot.press("s")
        await until(pilot, lambda: "key ↓" not in frame(app))
        await pilot.press("home", "g")
        await shows(pilot, "[1 Keys]")

    on_tab("sql", body, FakeSession({b"/app/a": b"x", b"/app/b": b"y"}), size=size)


def test_digits_reach_other_tabs_unless_one_writes_a_query() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("e", "5")
        assert "5" in app.pane_of(SqlPane).area.text
        await pilot.press("escape", "1")
        await shows(pilot, "[1 Keys]")
        await pilot.press("6")
        await shows(pilot, "[6 SQL]")

    on_tab("sql", body)


def test_completion_is_typed_chosen_and_closed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = await write(pilot, app, "SELECT * FRO")
        await pilot.press("M", "space")
        await shows(pilot, "V events", "V keys")
        await pilot.press("down", "tab")
        assert pane.area.plain == "SELECT * FROM keys"
        pane.write("SELECT * FROM keys WHERE mod")
        await pilot.press("_", "r")
        await shows(pilot, "c mod_revision")
        await pilot.press("enter")
        assert pane.area.plain.endswith("WHERE mod_revision")
        pane.write("SELECT * FROM keys WHERE key = '")
        await pilot.press("/", "a")
        await shows(pilot, "/ /a/")
        await pilot.press("tab")
        await shows(pilot, "/ /a/1")
        await pilot.press("escape")
        assert not pane.area.completing and pane.area.has_focus
        assert pane.area.plain.endswith("key = '/a/")
        pane = await write(pilot, app, "SELECT coun")
        await pilot.press("t")
        await shows(pilot, "ƒ count(*)")
        await pilot.press("tab")
        assert pane.area.plain == "SELECT count("
        await pilot.press("ctrl+@")
        await shows(pilot, "c revision")

    on_tab("sql", body)


def test_errors_point_at_their_place_and_truncation_is_told() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        text = "SELECT one\nFROM $view, nowhere"
        filled = "SELECT one\nFROM 'some view', nowhere"
        caret = " " * (len("LINE 2: ") + filled.split("\n")[1].index("nowhere")) + "^"
        fake.past.answers[filled] = SessionError(
            f"Catalog Error: no table nowhere!\n\nLINE 2: FROM 'some view', nowhere\n{caret}",
            "n1",
            "Query",
            "INVALID_ARGUMENT",
        )
        pane = await write(pilot, app, text)
        await pilot.press("f5")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        app.screen.query_one(Input).value = "some view"
        await pilot.press("enter")
        found = await shows(pilot, "Error", "no table nowhere!", "line 2, column 13", "n1 · Query")
        lines = found.split("\n")
        at = next(n for n, line in enumerate(lines) if "line 2, column 13" in line)
        assert lines[at + 1].index("^") == lines[at].index("nowhere")
        assert pane.area.cursor_location == (1, 12)
        asked(fake, "SELECT 1", QueryBatch((("n", "BIGINT"),), ((1,),), truncated=True))
        await write(pilot, app, "SELECT 1")
        await pilot.press("f5")
        await shows(pilot, "Answer · 1 row", "TRUNCATED at", "there are more")

    on_tab("sql", body)


def test_a_query_is_stopped_and_what_came_stays() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.past.hold = asyncio.Event()
        fake.past.told = PastStatus("mirror", filling=True, revision=41_000, newest=1_200_000)
        asked(fake, "SELECT 2", QueryBatch((("n", "BIGINT"),), ((1,), (2,))))
        pane = await write(pilot, app, "SELECT 2")
        await pilot.press("f5")
        await shows(pilot, "running", "2 rows", "stops", "41,000 of 1,200,000")
        await pilot.press("escape")
        await shows(pilot, "STOPPED after", "there may be more", "Answer · 2 rows")
        assert fake.past.stopped == ["SELECT 2"]
        assert pane.running is None
        fake.past.hold = None
        asked(fake, "SELECT 3", QueryBatch((("n", "BIGINT"),), ()))
        await write(pilot, app, "SELECT 3")
        await pilot.press("f5")
        await shows(pilot, "no row", "Answer · 0 rows")
        await pilot.press("escape", "x")
        await shows(pilot, "no query runs")
        await pilot.press("ctrl+s")
        await shows(pilot, "there is no row")

    on_tab("sql", body)


def test_a_watched_query_runs_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "WATCH_S", 0.05)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        asked(fake, "SELECT 4", QueryBatch(COLUMNS, ROWS))
        pane = await write(pilot, app, "SELECT 4")
        await pilot.press("escape", "W")
        await shows(pilot, "WATCHED", "/app/b")
        runs = len(fake.past.asked)
        changed = ((9, "/app/b", b"new"), (8, "/app/a", b'{"n": 1}'), (10, "/app/c", b""))
        asked(fake, "SELECT 4", QueryBatch(COLUMNS, changed))
        fake.write(b"/app/c", b"")
        fake.report()
        found = await shows(pilot, "2 new or changed", "1 gone", "/app/c")
        assert "1~" in found and "3+" in found
        assert len(fake.past.asked) == runs + 1
        await pilot.press("1")
        fake.write(b"/app/d", b"")
        fake.report()
        await until(pilot, lambda: b"/app/d" in app.pane_of(KeysPane).index)
        assert len(fake.past.asked) == runs + 1, "paused while another tab is in front"
        await pilot.press("6")
        await until(pilot, lambda: len(fake.past.asked) == runs + 2, "it runs again")
        await pilot.press("W")
        await until(pilot, lambda: "WATCHED" not in frame(app))
        assert not pane.watching and not pane.table.result.fresh

    on_tab("sql", body)


def test_the_past_that_all_tabs_look_at() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.front.travel(3)
        await write(pilot, app, "FROM keys")
        await pilot.press("f5")
        await shows(pilot, "keys are those of revision 3", "keys at revision 3")
        assert fake.past.asked_at == [3]
        await pilot.press("escape", "W")
        await shows(pilot, "you look at the past")

    on_tab("sql", body)


def test_saved_queries_and_those_of_earlier(files: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(SqlPane)
        await pilot.press("f3")
        await shows(pilot, "hottest keys", "which keys take the most room")
        await pilot.press(*"biggest", "enter")
        await until(pilot, lambda: "octet_length" in pane.area.plain)
        await pilot.press("f5")
        await answer(pilot, app, *"/app/", "enter")
        await shows(pilot, "Answer · 1 row")
        assert "starts_with(key, '/app/')" in fake.past.asked[-1]
        await pilot.press("f4")
        await answer(pilot, app, *"mine", "enter", *"my own", "enter")
        await shows(pilot, "kept as mine")
        assert 'name = "mine"' in (files / "queries.toml").read_text()
        await pilot.press("ctrl+p", *"query mine")
        await shows(pilot, "my own")
        await pilot.press("enter")
        await until(pilot, lambda: len(fake.past.asked) == 2)
        await pilot.press("f8")
        await answer(pilot, app, "ctrl+u", *"/db/", "enter")
        await until(pilot, lambda: "starts_with(key, '/db/')" in fake.past.asked[-1])
        await write(pilot, app, "SELECT 5")
        await pilot.press("f5")
        await until(pilot, lambda: fake.past.asked[-1] == "SELECT 5")
        await pilot.press("ctrl+up")
        await until(pilot, lambda: "octet_length" in pane.area.plain, "the query before")
        await pilot.press("ctrl+down")
        assert pane.area.plain == "SELECT 5"
        assert json.loads((files / "sql.jsonl").read_text().splitlines()[-1]) == "SELECT 5"

    on_tab("sql", body)


def test_an_answer_is_written_to_a_file(files: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        asked(fake, "SELECT 6", QueryBatch(COLUMNS, ROWS))
        await write(pilot, app, "SELECT 6")
        await pilot.press("f5")
        await shows(pilot, "Answer · 3 rows")
        await pilot.press("ctrl+s")
        await shows(pilot, "File for 3 rows")
        app.screen.query_one(Input).value = "x.txt"
        await pilot.press("enter")
        await shows(pilot, "the name is to end in")
        for suffix in ("jsonl", "parquet"):
            path = files / f"out.{suffix}"
            if suffix != "jsonl":
                await pilot.press("ctrl+s")
                await shows(pilot, "File for 3 rows")
            app.screen.query_one(Input).value = str(path)
            await pilot.press("enter")
            await shows(pilot, "wrote 3 rows")
            assert path.stat().st_size > 0
        rows = [json.loads(line) for line in (files / "out.jsonl").read_text().splitlines()]
        assert rows[2] == {"revision": 7, "key": "loose", "value_bytes": None}

    on_tab("sql", body)


def test_views_are_browsed_and_put_into_the_query() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = await write(pilot, app, "SELECT ")
        await pilot.press("f9")
        await until(pilot, lambda: "key_bytes" not in frame(app))
        await pilot.press("f9")
        await shows(pilot, "▾ events", "▸ keys")
        pane.views.focus()
        await pilot.press("home", "down", "enter")
        assert pane.area.plain == "SELECT revision"
        assert pane.area.has_focus
        pane.views.focus()
        await pilot.press("home", "enter")
        await shows(pilot, "▸ events")

    on_tab("sql", body)

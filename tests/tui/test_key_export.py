"""Keys as files: odd ones byte for byte, and what the Keys tab writes."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
from kvorum.client.types import KeyValue
from kvorum.history.exporting import export
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.transfer import PARQUET_COLUMNS, parquet_rows, read_file, written
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import on_keys

ODD = [
    b"/",
    b"//",
    b"/a//b/",
    b"no/slash",
    b"\x00",
    b"\xff\xfe",
    b"/new\nline\r\n",
    b"/esc\x1b[31m\x07\x7f\xc2\x9b",
    b"/half\xed\xa0\x80\xed\xb0\x80",
    b"/short\xe2\x82",
    "/שלום/\u202eabc".encode(),
    "/漢字/\U0001f468\u200d\U0001f469/e\u0301/\ufeff\u2028".encode(),
    b"[red]x[/red]",
    b"=1+1",
    b'"quoted",\\x00',
    b"/long/" + b"x" * 4_000,
]


def odd() -> list[KeyValue]:
    values = random.Random(5)
    noise = [values.randbytes(values.randint(1, 40)) for _ in range(60)]
    keys = sorted({*ODD, *noise})
    return [KeyValue(key, keys[-place - 1], 2, 3, 1, 0) for place, key in enumerate(keys)]


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_odd_keys_come_back_byte_for_byte(ending: str) -> None:
    records = odd()
    data = "".join(written(ending, records, None)).encode()
    found = [(entry.key, entry.value) for entry in read_file(data, ending)]
    assert found == [(kv.key, kv.value) for kv in records]


def test_odd_keys_in_parquet(tmp_path: Path) -> None:
    records = odd()
    path = tmp_path / "odd.parquet"
    export("parquet", path, PARQUET_COLUMNS, parquet_rows(records))
    assert path.stat().st_mode & 0o777 == 0o600
    rows = duckdb.read_parquet(str(path)).fetchall()
    assert [row[6:] for row in rows] == [(kv.key, kv.value) for kv in records]
    assert all(row[0] is None or row[0].encode() == row[6] for row in rows)
    assert sum(row[0] is not None for row in rows) >= 12


def test_the_tab_writes_parquet_of_what_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("t")
        await shows(pilot, "flat ·")
        await pilot.press("asterisk")
        await shows(pilot, "4 marked")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(app.screen_stack) == 2, "a form")
        app.screen.query(Input).first().value = str(path)
        await pilot.press("enter")
        await shows(pilot, "wrote 4 keys", "twin: none for marked keys")
        found = duckdb.read_parquet(str(path)).fetchall()
        assert found[0][:3] == ("/app/web/cfg", '{"port": 80}', 1)
        assert found[2][0] == "/db" and found[2][1] is None and found[2][7] == b"\x00\xff"

    on_keys(body)

"""Undo and redo in the Keys tab, deleted keys brought back, branches rolled back; keys to files and
back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.client.types import KeyValue
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.transfer import read_file, written
from kvorum_tui.screens.key_undo import UndoChooser
from textual.pilot import Pilot
from textual.widgets import Button
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.key_parts import begin, fill, on_branch, over, ready, state, tree
from tui.tabs import go, on_keys


@pytest.fixture(autouse=True)
def plans_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Plans of a test are nobody else's."""
    folder = tmp_path / "plans"
    monkeypatch.setenv("KVORUM_PLANS", str(folder))
    yield folder


def test_a_transaction_of_somebody_else_is_undone_as_a_whole() -> None:
    fake = tree()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        before = state(fake)
        fake.remove(b"/app/01", b"/app/02", b"/web/00")
        await on_branch(pilot, app, b"/app/")
        await pilot.press("u")
        await shows(pilot, "deleted /app/01 and 1 more")
        await pilot.press("enter")
        await shows(pilot, f"Undo revision {fake.revision}", "3 keys: 3 new", "+ /web/00")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: state(fake) == before, "undone")

    on_keys(body, fake)


def test_why_something_cannot_be_undone() -> None:
    fake = FakeSession({b"k": b"1"})
    fake.write(b"k", b"2")
    fake.write(b"k", b"3")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"k")
        await pilot.press("u")
        await ready(pilot, app, UndoChooser)
        await pilot.press("down", "enter")
        await shows(pilot, "this cannot be taken back", "changed since, at revision 4")
        await pilot.press("escape")
        await over(pilot, app)
        fake.compacted = 4
        await pilot.press("u")
        await shows(pilot, "what was before is compacted")
        await pilot.press("enter")
        await shows(pilot, "what it was before revision 4 is compacted away")

    on_keys(body, fake)


def test_a_key_whose_lease_is_gone_comes_back_without_it_if_one_wants() -> None:
    fake = FakeSession()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        lease = await fake.grant(60)
        fake.write(b"k", b"v", lease.id)
        fake.write(b"other", b"v")
        del fake.lease_table[lease.id]
        fake.remove(b"k", b"other")
        await pilot.press("u")
        await ready(pilot, app, UndoChooser)
        await pilot.press("enter")
        await shows(pilot, "some keys hung on a lease that is gone", f"its lease {lease.id:x}")
        app.screen.query_one("#without", Button).press()
        await shows(pilot, "come back without one, and stay")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: set(fake.store) == {b"k", b"other"}, "back")
        assert fake.store[b"k"].lease == 0

    on_keys(body, fake)


def test_an_edit_is_undone() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"/web/00")
        await pilot.press("e")
        await pilot.pause()
        await until(pilot, lambda: bool(app.screen.query("#area")), "the editor")
        app.screen.query_one("#area").text = "other"  # type: ignore[attr-defined]  # a TextArea
        await pilot.press("ctrl+s")
        await shows(pilot, "Save /web/00?")
        await pilot.press("enter")
        await until(pilot, lambda: fake.store[b"/web/00"].value == b"other", "saved")
        await over(pilot, app)
        await pilot.press("u")
        await shows(pilot, "Change /web/00")
        await pilot.press("enter")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: fake.store[b"/web/00"].value == b"there", "undone")

    on_keys(body, tree())


# --- the past -------------------------------------------------------------------------------------


def test_deleted_keys_come_back_and_a_branch_rolls_back() -> None:
    fake = tree()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        before, revision = state(fake), fake.revision
        fake.remove(b"/app/01", b"/app/02")
        fake.write(b"/app/03", b"changed")
        fake.write(b"/app/new", b"n")
        await on_branch(pilot, app, b"/app/")
        await pilot.press("ctrl+z")
        await shows(pilot, "Bring back what was deleted of /app/…", "2 keys: 2 new")
        await shows(pilot, "kvorum undelete /app/ --prefix --yes", "hangs on no lease")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: b"/app/02" in fake.store, "back")
        await over(pilot, app)
        await pilot.press("ctrl+b")
        await fill(pilot, app, revision="9999")
        await shows(pilot, "kept are")
        await fill(pilot, app, revision=str(revision))
        await shows(pilot, f"as it was at revision {revision}", "1 changed, 1 deleted")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: state(fake) == before, "as it was")

    on_keys(body, fake)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_keys_go_to_a_file_and_come_back(ending: str, tmp_path: Path) -> None:
    fake = tree()
    fake.write(b"/app/\xff", b"\x00\r\n,\"'")
    path = tmp_path / f"keys{ending}"

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        before = state(fake)
        await on_branch(pilot, app, b"/app/")
        await pilot.press("ctrl+s")
        await fill(pilot, app, file=str(tmp_path / "keys.pdf"))
        await shows(pilot, "the name ends with one of")
        await fill(pilot, app, file=str(path))
        await shows(pilot, "wrote 7 keys as of revision")
        fake.remove(b"/app/\xff")
        fake.write(b"/app/00", b"changed")
        await pilot.press("ctrl+l")
        await fill(pilot, app, file=str(path))
        await shows(pilot, "Import 7 keys", "1 key at the target already", "is so already")
        await begin(pilot, app, "ctrl+o", "ctrl+o")
        await shows(pilot, "2 keys: 1 new, 1 changed")
        app.screen.query_one("#yes", Button).press()
        await until(pilot, lambda: state(fake) == before, "as it was")

    on_keys(body, fake)


def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text('{"key": "a", "value": "1"}\n{"key": 3}\n')

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("ctrl+l")
        await fill(pilot, app, file=str(tmp_path / "none.jsonl"))
        await shows(pilot, "there is no such file")
        await fill(pilot, app, file=str(path))
        await shows(pilot, "keys.jsonl: line 2:")

    on_keys(body)


def test_the_script_holds_every_byte() -> None:
    records = [KeyValue(b"/a'b", b"x\n\xff\x00EOF\n", 1, 2, 1, 0)]
    script = "".join(written(".sh", records, None))
    assert 'put -- "/a\'b" "x\\x0a\\xff\\x00EOF\\x0a"' in script
    assert script.startswith("#!/bin/sh\n")


def test_dumps_hold_revisions_and_leases() -> None:
    records = [KeyValue(b"k", b"v", 1, 2, 3, 0xAB)]
    (line,) = written(".jsonl", records, None)
    assert json.loads(line)["lease"] == 0xAB
    assert read_file(line.encode(), ".jsonl")[0].lease == 0xAB
    assert read_file("".join(written(".csv", records, None)).encode(), ".csv")[0].lease == 0xAB

"""The Txn tab on a cluster in memory: form, text, light, templates, running."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.client.ops import Compare, Delete, Get, Put, Txn
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.txn import TxnPane
from kvorum_tui.session import SessionError
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

TEXT = 'mod("/a/1") = "2"\n\nput -- "/a/1" "new"\n\nget -- "/a/1"\n'


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVORUM_TRANSACTIONS", str(tmp_path / "transactions.toml"))
    return tmp_path


async def write(pilot: Pilot[None], app: KvorumApp, text: str) -> TxnPane:
    """Type a transaction as text."""
    pane = app.pane_of(TxnPane)
    pane.area.text = text
    await pilot.pause()
    return pane


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_form_text_and_light_are_in_step(size: tuple[int, int]) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "[8 Txn]", "an empty transaction", "If all of", "Then", "Else")
        pane = await write(pilot, app, TEXT)
        await shows(pilot, "WOULD SUCCEED NOW", "✓ mod revision of /a/1 = 2", 'put /a/1 = "new"')
        fake.write(b"/a/1", b"other")
        fake.report()
        await shows(pilot, "WOULD FAIL NOW, Else runs", "is 5", "✗ mod revision of /a/1 = 2")
        await pilot.press("home", "down", "enter")
        await shows(pilot, "A condition", "Relation")
        for _ in range(3):
            await pilot.press("enter")
        await pilot.press("ctrl+u", ">", "enter", "enter")
        await shows(pilot, "WOULD SUCCEED NOW")
        await until(pilot, lambda: 'mod("/a/1") > "2"' in pane.area.text)
        await pilot.press("e", "x")
        await shows(pilot, "! the text: line 1", "cannot be compared")
        await pilot.press("backspace")
        await shows(pilot, "WOULD SUCCEED NOW")
        await pilot.press("escape")
        assert pane.form.has_focus

    on_tab("txn", body, size=size)


def test_rows_are_added_moved_and_removed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(TxnPane)
        await pilot.press("home", "down", "down", "a")
        await shows(pilot, "Add to then", "write a key")
        await pilot.press("enter")
        await answer(pilot, app, *"/n", "enter", *"v", "enter", "enter", "enter")
        await until(pilot, lambda: pane.txn.then == (Put(b"/n", b"v"),), "a put")
        await pilot.press("a")
        await shows(pilot, "Add to then")
        await pilot.press("down", "down", "enter")
        await shows(pilot, "Of it: key, prefix")
        await pilot.press(*"/a/", "enter", "ctrl+u", *"prefix", "enter", "enter")
        await until(pilot, lambda: len(pane.txn.then) == 2, "a delete")
        await shows(pilot, "delete every key under /a/")
        assert "del --prefix" in pane.area.text or 'del -- "/a/" "/a0"' in pane.area.text
        await pilot.press("K")
        assert isinstance(pane.txn.then[0], Delete)
        await pilot.press("J", "J")
        assert isinstance(pane.txn.else_[0], Delete)
        await pilot.press("d")
        assert pane.txn == Txn((), (Put(b"/n", b"v"),))
        await shows(pilot, "Then runs always")
        await pilot.press("n")
        await shows(pilot, "an empty transaction")

    on_tab("txn", body)


def test_it_runs_after_a_preview_and_the_result_is_shown() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        text = 'mod("/a/1") = "2"\n\nput -- "/a/1" "new"\ndel --prefix -- "b"\n\nget -- "/a/1"\n'
        await write(pilot, app, text)
        await shows(pilot, "WOULD SUCCEED NOW")
        await pilot.press("f5")
        await shows(
            pilot,
            "Run this transaction?",
            "Then, which would run now",
            'replaces version 1: "one"',
            "1 key goes",
            "Else:",
        )
        await pilot.press("escape")
        assert not fake.txns.sent
        await pilot.press("f5")
        await answer(pilot, app, "enter")
        await shows(pilot, "● succeeded at revision", "Then ran", "1 key deleted", "WOULD FAIL NOW")
        assert b"b" not in fake.store
        await pilot.press("f5")
        await shows(pilot, "Else, which would run now")
        await pilot.press("enter")
        await shows(pilot, "✗ failed at revision", "Else ran", '/a/1 = "new"')
        await pilot.press("escape")
        await until(pilot, lambda: "What came of it" not in frame(app))
        await pilot.press("y")
        await shows(pilot, "copied: etcdctl txn")
        assert app.clipboard.startswith("etcdctl txn <<'EOF'\nmod(\"/a/1\")")
        assert app.clipboard.endswith("\nEOF")

    on_tab("txn", body)


def test_many_keys_that_go_are_typed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await write(pilot, app, "\ndel --prefix -- /k/\n")
        await pilot.press("f5")
        await shows(pilot, "30 keys go", "/k/04", "and 25 more", "Type 30 to go on")
        await pilot.press("enter")
        assert not fake.txns.sent
        await pilot.press(*"30", "enter")
        await shows(pilot, "30 keys deleted")

    on_tab("txn", body, FakeSession({b"/k/%02d" % n: b"x" for n in range(30)}))


def test_what_a_server_would_refuse_is_not_sent() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await write(pilot, app, "\nput a 1\nput a 2\n")
        await shows(pilot, "a server would refuse it", "a is written twice")
        await pilot.press("f5")
        await pilot.pause()
        assert len(app.screen_stack) == 1 and not fake.txns.sent
        pane = app.pane_of(TxnPane)
        inner = Txn((), (Get("a"),))
        pane.show_txn(Txn((Compare("mod", b"a", "=", 1, b"b"),), (inner,)))
        await shows(pilot, "└ then: get a", "Text · there is none", "every key under a")
        assert pane.area.read_only
        await pilot.press("y")
        await shows(pilot, "has no text form")

    on_tab("txn", body)


def test_templates_ask_and_read(files: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(TxnPane)
        await pilot.press("f3")
        await shows(pilot, "create if absent", "swap two keys", "lock take")
        await pilot.press(*"swap two", "enter")
        await answer(pilot, app, *"/a/1", "enter", *"/a/2", "enter")
        await shows(pilot, "WOULD SUCCEED NOW: all hold")
        assert pane.txn.then == (
            Put(b"/a/1", b"two", ignore_lease=True),
            Put(b"/a/2", b"one", ignore_lease=True),
        )
        await pilot.press("f4")
        await answer(pilot, app, *"mine", "enter", "enter")
        await shows(pilot, "kept as mine")
        assert 'name = "mine"' in (files / "transactions.toml").read_text()
        await pilot.press("f3")
        await shows(pilot, "mine", "yours")

    on_tab("txn", body)


def test_read_only_and_the_past_are_told() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await write(pilot, app, TEXT)
        await shows(pilot, "WOULD SUCCEED NOW", "(F5 run)")
        await pilot.press("f5")
        await pilot.pause()
        assert len(app.screen_stack) == 1 and not fake.txns.sent
        fake.fail = SessionError("etcdserver: no leader", "n1", "Range", "UNAVAILABLE")
        await write(pilot, app, TEXT.replace("new", "newer"))
        await shows(pilot, "? not known", "no leader")
        fake.fail = None
        app.front.travel(3)
        await shows(pilot, "AT REVISION 3")

    on_tab("txn", body, FakeSession({b"/a/1": b"one", b"/a/2": b"two"}, read_only=True))

"""Fuzzy matches in the Keys tab: the best first, whatever is done with them."""

from __future__ import annotations

from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.keys import KeysPane
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import on_keys
from tui.test_keys_browse import shop, under_cursor


def test_fuzzy_matches_come_best_first() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        await pilot.press("slash")
        pane.field.value = "-f user 03"
        screen = await shows(pilot, "13 of 61 have the letters user 03", "/user/013")
        assert screen.index("/user/030") < screen.index("/user/039") < screen.index("/user/003")
        await until(pilot, lambda: under_cursor(pane) == b"/user/030")
        await pilot.press("enter")
        await until(pilot, lambda: pane.key_tree.has_focus)
        # A range is what stands between two rows, whatever their keys are.
        await pilot.press(*["down"] * 9, "space")
        await until(pilot, lambda: under_cursor(pane) == b"/user/003")
        await pilot.press("V")
        await until(pilot, lambda: pane.marked() == [b"/user/003", b"/user/039"])
        await pilot.press("backslash", "asterisk")
        await until(pilot, lambda: len(pane.marked()) == 13)
        # A better one comes: it is first, and the cursor stays on its key.
        fake.write(b"/user/03", b"1")
        await shows(pilot, "14 of 62")
        first = pane.key_tree.row_at(0)
        assert first is not None
        assert first.path == b"/user/03"
        assert under_cursor(pane) == b"/user/003"
        await pilot.press("t")
        await shows(pilot, "▾ user/")
        await pilot.press("t")
        await until(pilot, lambda: pane.shown.flat)
        assert pane.key_tree.row_at(0) == first
        await pilot.press("escape")
        await shows(pilot, "Keys · 62")

    on_keys(body, shop())

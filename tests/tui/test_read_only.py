"""Read-only, and looking at the past: nothing that changes something can be done, in any tab."""

from __future__ import annotations

from kvorum_tui.actions import ACTIONS, Action
from kvorum_tui.app import KvorumApp
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.tabs import on_tab

CHANGING = [action for action in ACTIONS if action.changes]


async def refused(pilot: Pilot[None], app: KvorumApp, action: Action) -> None:
    """The action gives a reason, and doing it all the same opens and sends nothing."""
    if app.pane.tab != action.target:
        app.show_tab(action.target)
        await pilot.pause()
    assert app.pane.reason(action), action.name
    app.do(action.name)
    await pilot.pause()
    assert len(app.screen_stack) == 1, action.name


def test_many_actions_change_something_in_every_tab_that_writes() -> None:
    assert {action.target for action in CHANGING} >= {
        *("keys", "cluster", "drills", "leases", "admin"),
    }
    assert len(CHANGING) > 30


def test_nothing_changes_while_one_looks_at_the_past() -> None:
    """The same for a read-only session is in test_actions."""
    fake = FakeSession({b"/a/1": b"one", b"/a/2": b"two"})
    fake.write(b"/a/1", b"more")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.front.travel(2)
        # The Time tab brings the past that one looks at back into the present, after its plan.
        for action in (each for each in CHANGING if each.target != "time"):
            await refused(pilot, app, action)
        assert [call[0] for call in fake.calls] == ["open"]

    on_tab("keys", body, fake)

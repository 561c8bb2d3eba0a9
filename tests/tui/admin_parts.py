"""A cluster in memory with users and roles, and filling in forms, for tests of the Admin tab."""

from __future__ import annotations

from kvorum_tui.app import KvorumApp
from kvorum_tui.model.access_matrix import AuthPicture, Grant, OwnRanges
from kvorum_tui.widgets.dialogs import Form
from textual.pilot import Pilot
from textual.widgets import Button, Input
from tui.fake_session import FakeSession
from tui.frames import until

DEV = Grant("READ", b"/app/", b"/app0")


def peopled(enabled: bool = True, read_only: bool = False) -> FakeSession:
    fake = FakeSession({b"/app/1": b"x"}, read_only=read_only)
    fake.user_name = "root"
    fake.admin.own = OwnRanges("root", ("root",))
    fake.admin.picture = AuthPicture(
        enabled,
        3,
        {"ann": ("dev",), "bob": (), "root": ("root",)},
        {"dev": (DEV,), "ops": (), "root": ()},
    )
    return fake


def told(app: KvorumApp, text: str) -> int:
    """How many notes said this."""
    return sum(text in note.message for note in app._notifications)


async def fill(pilot: Pilot[None], app: KvorumApp, **values: str) -> None:
    """Fill in the form in front and send it."""
    await until(
        pilot,
        lambda: isinstance(app.screen, Form) and all(app.screen.query(f"#in-{n}") for n in values),
        f"a form with {', '.join(values)}",
    )
    for name, value in values.items():
        app.screen.query_one(f"#in-{name}", Input).value = value
    app.screen.query_one("#yes", Button).press()
    await pilot.pause()

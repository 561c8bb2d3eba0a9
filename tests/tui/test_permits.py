"""What a user with few permissions is told, before he tries: keys, plans, the past."""

from __future__ import annotations

from kvorum_tui.app import KvorumApp
from kvorum_tui.model import words
from kvorum_tui.model.access_matrix import READ, READWRITE, Grant, OwnRanges
from kvorum_tui.screens.admin_access import AccessView
from kvorum_tui.screens.key_view import empty_note
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.permits import Permits, permits_of
from kvorum_tui.session import SessionError
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import go, on_keys, on_tab

TEAM = OwnRanges(
    "alice",
    ("team",),
    (
        ("team", Grant(READWRITE, b"/app/", b"/app0")),
        ("team", Grant(READ, b"loose")),
    ),
    everything=False,
)


def restricted() -> FakeSession:
    fake = FakeSession({b"/app/web": b"one", b"/db": b"two", b"loose": b"x"})
    fake.admin.own = TEAM
    return fake


async def told(pilot: Pilot[None], app: KvorumApp) -> None:
    """Wait until the cluster has said what the user may do."""
    await until(pilot, lambda: permits_of(app.front).own is TEAM, "permissions")


def test_keys_and_branches_that_may_be_written() -> None:
    permits = Permits()
    assert permits.no_write(b"x") == permits.no_write_anywhere() == ""
    assert permits.refused([b"x"]) == []
    permits.own = TEAM
    assert permits.no_write(b"/app/web") == ""
    assert "may write only team: prefix /app/" in permits.no_write(b"loose")
    assert permits.no_write_under(b"/app/we") == permits.no_write_under(b"/a") == ""
    assert permits.no_write_under(b"/db")
    assert permits.no_write_anywhere() == ""
    lines = "\n".join(part for line in permits.refused([b"/app/1", b"/db"]) for part, _ in line)
    assert lines.startswith("1 key may not be written, so nothing was begun:\n  /db\n")
    permits.own = OwnRanges("bob", (), (), everything=False)
    assert permits.no_write_anywhere().startswith("bob has no write permission")
    permits.own = OwnRanges("bob", known=False, everything=False)
    assert permits.no_write(b"x") == permits.no_write_anywhere() == ""
    assert permits.refused([b"x"]) == []


def test_what_may_only_be_written_is_not_swapped() -> None:
    permits = Permits()
    permits.own = OwnRanges("eve", ("w",), (("w", Grant("WRITE", b"a")),), everything=False)
    assert "no read permission" in permits.no_write(b"a")


def test_what_one_may_not_write_is_greyed_with_the_reason() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await told(pilot, app)
        await go(pilot, app, b"/app/web")
        await shows(pilot, " e edit", " d delete")
        await go(pilot, app, b"loose")
        await shows(pilot, "(e edit)", "(d delete)", " n new")
        await pilot.press("d")
        await shows(pilot, "alice has no write", "prefix /app/")
        await pilot.press("n")
        await until(pilot, lambda: len(app.screen_stack) == 2, "a form")
        app.screen.query(Input).first().value = "/db2"
        await pilot.press("enter", "enter")
        await shows(pilot, "alice has no write permission for exactly /db2")

    on_keys(body, restricted())


def test_a_plan_with_such_keys_is_not_begun() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await told(pilot, app)
        await go(pilot, app, b"/app/web")
        await pilot.press("r")
        await until(pilot, lambda: len(app.screen_stack) == 2, "a form")
        app.screen.query(Input).first().value = "/other"
        await pilot.press("enter")
        await shows(pilot, "1 key may not be written, so nothing was begun", "/other")
        await pilot.press("escape")
        assert fake.store[b"/app/web"]
        assert b"/other" not in fake.store

    on_keys(body, restricted())


def test_the_past_of_whom_may_not_read_all() -> None:
    fake = restricted()
    fake.past.fail = SessionError("denied", "n1", "KV/Range", "PERMISSION_DENIED")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "may not read every key", "h in Keys (1)", "no bars", "(x deleted)")
        await shows(pilot, " c compare", " g go to")
        assert "PERMISSION_DENIED" not in frame(app)  # Said once, in words.
        await pilot.press("6", "f5")
        await shows(pilot, "may not read every key", "h in Keys (1)")
        await pilot.press("5")
        fake.past.fail = None
        await pilot.press("f5")
        await shows(pilot, " x deleted")

    on_tab("time", body, fake)


def test_what_may_help_against_an_error_of_connecting() -> None:
    assert "--cacert" in words.advice("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "--cert " in words.advice("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert")
    assert "--user" in words.advice("authentication failed, invalid user ID or password")
    assert words.advice("connection refused") == ""


def test_hopeless_connections_say_what_may_help() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        feed = app.pane_of(KeysPane).feed
        feed.loading, feed.error = True, SessionError("closed before it said anything")
        assert ("is it a member's client address? https:// if it has TLS", "text") in empty_note(
            feed
        )

    on_keys(body)


def test_nobody_is_said_to_be_missing_before_the_cluster_has_answered() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "there is no user")
        view = app.screen.query(AccessView).first()
        view.facts.picture_at = None
        view.refresh_facts(app.front.clock())
        rows = "\n".join(text for text, _ in view.users.note)
        assert rows == "asking…"

    on_tab("admin", body)

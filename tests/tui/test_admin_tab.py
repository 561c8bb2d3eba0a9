"""The Admin tab on a cluster in memory: users, roles, who may touch what, what is looked at."""

from __future__ import annotations

from dataclasses import replace

from kvorum_tui.actions.admin import ACTIONS
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.access_matrix import AuthPicture, OwnRanges
from kvorum_tui.screens.admin import VIEWS, AdminPane
from kvorum_tui.screens.admin_access import AccessView
from textual.pilot import Pilot
from tui.admin_parts import DEV, fill, peopled, told
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab


def test_every_action_belongs_to_a_view_that_does_it() -> None:
    views = {kind.view: kind for kind in VIEWS}
    for action in ACTIONS:
        for name in action.views.split():
            assert callable(getattr(views[name], f"do_{action.name}")), (name, action.name)
    assert all(kind.about for kind in VIEWS)


def test_users_are_added_given_roles_and_deleted() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "auth is ON · you are root with root", "no role", "R /app/*")
        await shows(pilot, "ann may touch", "prefix /app/")
        await pilot.press("n")
        await fill(pilot, app, name="ann")
        await shows(pilot, "ann exists")
        await fill(pilot, app, name="carl")
        await fill(pilot, app, one="open sesame", two="open")
        await shows(pilot, "The two were not the same")
        await fill(pilot, app, one="open sesame", two="open sesame")
        assert "open sesame" not in frame(app)
        await until(pilot, lambda: ("user_add", "carl", "open sesame", False) in fake.calls)
        await shows(pilot, "carl may touch", "this user may touch nothing; g gives it a role")
        await pilot.press("g")
        await fill(pilot, app, role="nobody")
        await shows(pilot, "one of: dev, ops, root")
        await fill(pilot, app, role="dev")
        await until(pilot, lambda: fake.admin.picture.users["carl"] == ("dev",))
        await shows(pilot, "carl has the role dev", "prefix /app/")
        await pilot.press("v")
        await fill(pilot, app, role="dev")
        await until(pilot, lambda: fake.admin.picture.users["carl"] == ())
        await pilot.press("w")
        await fill(pilot, app, one="a", two="a")
        await until(pilot, lambda: ("user_password", "carl", "a") in fake.calls)
        await pilot.press("d")
        await shows(pilot, "Delete the user carl?")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: "carl" not in fake.admin.picture.users)

    on_tab("admin", body, peopled())


def test_roles_get_and_lose_permissions() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "auth is ON")
        await pilot.press("tab", "down")
        await shows(pilot, "Permissions of the role ops", "g gives it a permission")
        await pilot.press("g")
        await fill(pilot, app, kind="everything", keys="/ops/*")
        await shows(pilot, "read, write or readwrite")
        await fill(pilot, app, kind="rw", keys="c .. a")
        await shows(pilot, "the range is empty")
        await fill(pilot, app, kind="rw", keys="/ops/*")
        await shows(pilot, "ops may readwrite prefix /ops/", "none has it yet")
        await answer(pilot, app, "enter")
        grant = ("permit", "ops", "READWRITE", b"/ops/", b"/ops0")
        await until(pilot, lambda: grant in fake.calls)
        await shows(pilot, "RW prefix /ops/".replace("RW ", "RW  "))
        await pilot.press("v")
        await shows(pilot, "ops may no longer readwrite prefix /ops/")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("forbid", "ops", b"/ops/", b"/ops0") in fake.calls)
        await pilot.press("up", "d")
        await shows(pilot, "Delete the role dev?", "1 user lose it: ann")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: "dev" not in fake.admin.picture.roles)
        assert fake.admin.picture.users["ann"] == ()

    on_tab("admin", body, peopled())


def test_turning_auth_on_makes_root_and_says_what_follows() -> None:
    fake = peopled(enabled=False)
    fake.admin.picture = AuthPicture(False, 1, {"ann": ()}, {})
    fake.user_name = None
    fake.admin.own = OwnRanges()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "auth is OFF")
        await pilot.press("o")
        await shows(
            pilot,
            "✗ a user root",
            "user name is empty",
            "may then touch nothing: ann",
            "shuts itself out",
            "Type enable",
        )
        await pilot.press(*"enable", "enter")
        await fill(pilot, app, one="secret", two="secret")
        await until(pilot, lambda: ("auth_enable",) in fake.calls)
        assert [call[0] for call in fake.calls[-4:]] == [
            "user_add",
            "role_add",
            "grant_role",
            "auth_enable",
        ]
        await shows(pilot, "auth is ON")
        await pilot.press("o")
        await shows(pilot, "Turn auth off?", "read and write everything")
        await pilot.press(*"disable", "enter")
        await until(pilot, lambda: ("auth_disable",) in fake.calls)

    on_tab("admin", body, fake)


def test_who_can_touch_a_key() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "auth is ON")
        await pilot.press("W")
        await shows(pilot, "/app/*", "all of the range", "k asks")
        await pilot.press("k")
        await fill(pilot, app, keys="/app/web")
        text = await shows(pilot, "Who can touch exactly /app/web", "dev: read prefix /app/")
        lines = text[text.index("Who can touch exactly") :]
        assert lines.index("root ") < lines.index("ann ") < lines.index("bob ")

    on_tab("admin", body, peopled())


def test_a_restricted_user_is_told_what_is_missing() -> None:
    fake = peopled()
    fake.admin.own = OwnRanges("ann", ("dev",), (("dev", DEV),), everything=False)
    fake.admin.picture = AuthPicture(True, forbidden="etcdserver: permission denied")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "permission denied", "(n add)")
        await shows(pilot, "You, ann, may touch", "prefix /app/")
        why = "only a user with the role root may do this; ann has the role dev"
        for number, keys in enumerate(("n", "C c", "D f", "S s", "M n")):
            await pilot.press(*keys.split())
            await until(pilot, lambda n=number: told(app, why) > n, f"why not {keys}")
        assert [call[0] for call in fake.calls] == ["open"]

    on_tab("admin", body, fake)


def test_servers_and_a_look_at_everything() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("V")
        await shows(pilot, "3.5.30", "2.0 GiB", "auto-compaction", "1 remark", "runs out in 9 days")
        await pilot.press("h")
        await shows(pilot, "A look at everything", "3 of 3 voters", "etcd has no fault service")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("y")
        await until(pilot, lambda: "etcd has no fault service" in app.clipboard)

    on_tab("admin", body, peopled())


def test_nothing_is_asked_while_nobody_looks_and_what_fails_keeps_what_was_known() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "ann may touch")
        pane = app.pane_of(AdminPane)
        fake.nodes[1].error = "connection refused"
        await pilot.press("M", "f5")
        await shows(pilot, "silent")
        view = pane.views["access"]
        assert isinstance(view, AccessView)
        assert view.users.rows

    on_tab("admin", body, peopled())


def test_every_view_fits_the_smallest_screen() -> None:
    fake = peopled()
    fake.admin.picture = replace(
        fake.admin.picture,
        users={f"somebody-with-a-long-name-{n}": ("dev", "ops") for n in range(40)},
    )

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        for key in "AWCDSLMV":
            await pilot.press(key)
            await pilot.pause()
            lines = frame(app).split("\n")
            assert len(lines) == 24
            assert all(len(line) <= 80 for line in lines)
            assert "quit" in "\n".join(lines[-2:])

    on_tab("admin", body, fake, size=(80, 24))

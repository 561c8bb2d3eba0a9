"""The Admin tab on a cluster in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from kvorum_tui.actions.admin import ACTIONS
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.access_matrix import AuthPicture, Grant, OwnRanges
from kvorum_tui.model.admin_records import AlarmView
from kvorum_tui.screens.admin import VIEWS, AdminPane
from kvorum_tui.screens.admin_access import AccessView
from kvorum_tui.screens.admin_defrag import DefragView
from kvorum_tui.widgets.dialogs import Form
from textual.pilot import Pilot
from textual.widgets import Button, Input
from tui.fake_session import FakeSession
from tui.fakes.admin import MIB
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

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


def test_compaction_says_what_goes() -> None:
    fake = peopled()
    for number in range(2_000):
        fake.write(b"/app/1", b"%d" % number)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        app.watch_key(b"/app/", True)
        await shows(pilot, "[2 Watch]")
        await pilot.press("9", "C")
        await shows(pilot, "newest revision", "2,002", "75%")
        await pilot.press("c")
        await fill(pilot, app, to="99999")
        await shows(pilot, "the newest revision is 2,002")
        await fill(pilot, app, to="keep 500", physical="yes")
        await shows(
            pilot, "Compact to revision 1,502?", "1,501 revisions before", "1 watch open here: none"
        )
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("compact", 1_502, True) in fake.calls)
        await shows(pilot, "compacted to 1,502", "and removed from disk")

    on_tab("admin", body, fake)


def test_defragmentation_goes_one_by_one_with_the_leader_last() -> None:
    fake = peopled()
    fake.admin.sizes = {"n2": (256 * MIB, 16 * MIB)}

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("D")
        await shows(pilot, "all together should give back 336 MiB; f begins")
        await pilot.press("f")
        await shows(pilot, "1. n2", "2. n3", "3. n1", "Should give back 336 MiB in all", "Begin")
        await answer(pilot, app, "enter")
        await shows(pilot, "✓ 3 members done, 336 MiB given back", "n1 hands leadership to n")
        order = [call for call in fake.calls if call[0] in ("defragment", "move_leader")]
        assert [call[1] for call in order] == [
            "http://n2:2379",
            "http://n3:2379",
            order[2][1],
            "http://n1:2379",
        ]
        assert order[2][0] == "move_leader"
        await shows(pilot, "n2: 256 MiB → 16.0 MiB")

    on_tab("admin", body, fake)


def test_a_defragmentation_waits_stops_and_refuses() -> None:
    fake = peopled()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("D")
        await shows(pilot, "f begins", "(x stop)")
        fake.admin.gate.clear()
        await pilot.press("f")
        await answer(pilot, app, "enter")
        await shows(pilot, "runs")
        await pilot.press("f")
        await shows(pilot, "it is running; x stops it")
        fake.admin.behind.add("n2")
        fake.nodes[0].commit = fake.nodes[1].commit = 5_000
        fake.nodes[0].applied = fake.nodes[2].applied = 5_000
        fake.admin.gate.set()
        await shows(pilot, "n2 is 5,000 entries behind")
        await pilot.press("x")
        fake.admin.behind.clear()
        fake.nodes[1].applied = 5_000
        await shows(pilot, "stopped; 2 members had no turn")
        assert sum(call[0] == "defragment" for call in fake.calls) == 1
        fake.nodes[2].error = "gone"
        await pilot.press("f5")
        await shows(pilot, "not now: 2 of 3 voters are up", "(f defrag all)")
        await pilot.press("f")
        view = app.pane_of(AdminPane).views["defrag"]
        assert isinstance(view, DefragView)
        assert not view.running

    on_tab("admin", body, fake)


def test_a_defragmentation_ends_when_a_member_is_lost_meanwhile() -> None:
    fake = peopled()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("D")
        await shows(pilot, "f begins")
        fake.admin.gate.clear()
        await pilot.press("f")
        await answer(pilot, app, "right", "enter")
        await shows(pilot, "runs")
        fake.nodes[2].error = "connection refused"
        fake.admin.gate.set()
        await shows(pilot, "✗ ended before n3: n3 does not answer")
        assert sum(call[0] == "defragment" for call in fake.calls) == 1

    on_tab("admin", body, fake)


def test_a_snapshot_is_saved_checked_and_cancelled(tmp_path: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("S")
        await shows(pilot, "nothing was saved yet", "leader")
        file = tmp_path / "one.db"
        await pilot.press("s")
        await fill(pilot, app, file=str(file))
        await shows(pilot, "one.db: 2.0 KiB in", "checksum right", "sha256")
        assert file.stat().st_size == 2_048
        await pilot.press("s")
        await fill(pilot, app, file=str(file))
        await shows(pilot, "exists")
        fake.admin.gate.clear()
        await fill(pilot, app, file=str(tmp_path / "two.db"))
        await shows(pilot, "two.db", "50%", "x cancels")
        assert (tmp_path / "two.db.part").exists()
        await pilot.press("x")
        await shows(pilot, "cancelled, nothing is left of it")
        assert os.listdir(tmp_path) == ["one.db"]
        await pilot.press("i")
        await fill(pilot, app, file=str(file))
        await shows(pilot, "hash abcd, revision 17, 5 keys")
        await pilot.press("i")
        await fill(pilot, app, file=str(tmp_path / "none"))
        await shows(pilot, "No such file")

    on_tab("admin", body, peopled())


def test_alarms_and_the_way_out_of_no_space() -> None:
    fake = peopled()
    fake.admin.quota = 64 * MIB
    fake.admin.alarm_list = [AlarmView(2, "NOSPACE")]

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("L")
        await shows(pilot, "NOSPACE", "n2", "compact, defragment every member", "100% of 64.0 MiB")
        await pilot.press("l")
        await shows(pilot, "Disarm NOSPACE of n2?", "n1 is still full")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("b")
        await fill(pilot, app, to="now")
        await shows(pilot, "Compact to revision")
        await pilot.press("enter")
        await shows(pilot, "Should give back 144 MiB")
        await pilot.press("enter")
        await shows(
            pilot,
            "1 of 3: forget",
            "192 MiB → 48.0 MiB over all members",
            "NOSPACE of n2 disarmed",
            "no alarm is raised",
        )
        assert not fake.admin.alarm_list
        done = [call[0] for call in fake.calls]
        assert done.index("compact") < done.index("defragment") < done.index("disarm")

    on_tab("admin", body, fake)


def test_corrupt_is_explained_and_disarmed_only_by_typing_it() -> None:
    fake = peopled()
    fake.admin.alarm_list = [AlarmView(3, "CORRUPT")]

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("L")
        await shows(pilot, "CORRUPT", "compares the members' hashes")
        await pilot.press("l")
        await shows(pilot, "Type CORRUPT to go on")
        await pilot.press("enter", *"CORRUPT", "enter")
        await until(pilot, lambda: not fake.admin.alarm_list)

    on_tab("admin", body, fake)


def test_members_are_added_promoted_and_removed() -> None:
    fake = peopled()
    fake.admin.learners = {"n3"}

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("M")
        await shows(pilot, "learner", "without it: now: 2 voters, 2 up", "(p promote)")
        await pilot.press("n")
        await fill(pilot, app, name="n9", urls="nowhere", kind="learner")
        await shows(pilot, "http://host:port")
        await fill(pilot, app, urls="http://10.0.0.9:2380")
        await shows(pilot, "Add n9 as a learner?", "This is the safe way to grow")
        await answer(pilot, app, "enter")
        await shows(pilot, "member beef added", 'ETCD_NAME="n9"', "n9=http://10.0.0.9:2380")
        await pilot.press("y")
        await until(pilot, lambda: 'ETCD_INITIAL_CLUSTER_STATE="existing"' in app.clipboard)
        await pilot.press("end", "p")
        await shows(pilot, "Give n3 a vote?", "100% of the log")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("member_promote", 3) in fake.calls)
        await pilot.press("e")
        await fill(pilot, app, urls="http://moved:2380")
        await until(pilot, lambda: ("member_update", 3, ("http://moved:2380",)) in fake.calls)
        await pilot.press("d")
        await shows(pilot, "Remove n3?", "afterwards: 2 voters")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("member_remove", 3) in fake.calls)

    on_tab("admin", body, fake)


def test_a_removal_that_breaks_the_quorum_wants_the_name() -> None:
    fake = peopled()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("M")
        fake.nodes[2].error = "connection refused"
        await pilot.press("f5")
        await shows(pilot, "silent")
        await pilot.press("home", "down", "d")
        await shows(pilot, "This leaves no quorum", "Type n2 to go on")
        await pilot.press("enter")
        assert len(app.screen_stack) == 2
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert not any(call[0] == "member_remove" for call in fake.calls)

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


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_every_view_fits(size: tuple[int, int]) -> None:
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
            assert len(lines) == size[1]
            assert all(len(line) <= size[0] for line in lines)
            assert "quit" in "\n".join(lines[-2:])

    on_tab("admin", body, fake, size=size)

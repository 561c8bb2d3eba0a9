"""The Admin tab on a cluster in memory: compaction, defragmentation, snapshots, alarms, members."""

from __future__ import annotations

import os
from pathlib import Path

from kvorum_tui.app import KvorumApp
from kvorum_tui.model.admin_records import AlarmView
from kvorum_tui.screens.admin import AdminPane
from kvorum_tui.screens.admin_defrag import DefragView
from textual.pilot import Pilot
from tui.admin_parts import fill, peopled
from tui.fake_session import FakeSession
from tui.fakes.admin import MIB
from tui.frames import shows, until
from tui.tabs import answer, on_tab


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

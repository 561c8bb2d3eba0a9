"""The history of a key on a fake cluster: deletions, restore, what compaction left, when and by
whom.
"""

from __future__ import annotations

from kvorum_tui.app import KvorumApp
from kvorum_tui.session.past import PastStatus
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import shows, until
from tui.tabs import go, on_keys


def test_history_with_deletions_and_restore() -> None:
    fake = FakeSession({b"k": b"one"})
    fake.write(b"k", b"two")
    fake.remove(b"k")
    fake.write(b"k", b"three")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"k")
        await pilot.press("h")
        await shows(pilot, "History", "deleted", "one", "two", "three", "when", "09-0", "by", "n2")
        await pilot.press("down", "down")
        await shows(pilot, "against revision 2", "− one", "+ two")
        fake.write(b"k", b"four")
        await shows(pilot, "four")
        await pilot.press("R")
        await shows(pilot, "Write revision 3 of k again?", "− four", "+ two")
        await pilot.press("enter")
        await until(pilot, lambda: fake.store[b"k"].value == b"two", "restored")
        await pilot.press("escape")
        await shows(pilot, "Value")

    on_keys(body, fake)


def test_history_says_where_compaction_cut_it() -> None:
    fake = FakeSession({b"k": b"one"})
    for number in range(5):
        fake.write(b"k", b"%d" % number)
    fake.compacted = 4

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"k")
        await pilot.press("h")
        await shows(pilot, "kept from revision 4 on")

    on_keys(body, fake)


def test_on_etcd_a_mirror_remembers_what_was_compacted() -> None:
    fake = FakeSession({b"k": b"one"}, kind="etcd")
    fake.write(b"k", b"two")
    fake.write(b"k", b"three")
    fake.compacted = 4
    fake.past.told = PastStatus("mirror", rows=3)
    fake.past.remembers = True

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"k")
        await pilot.press("h")
        await shows(pilot, "1 one", "2 two", "3 three")
        fake.write(b"k", b"four")
        await shows(pilot, "4 four")

    on_keys(body, fake)


def test_on_etcd_the_history_comes_from_a_watch_and_has_no_times() -> None:
    fake = FakeSession({b"k": b"one"}, kind="etcd")
    fake.write(b"k", b"two")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await go(pilot, app, b"k")
        await pilot.press("h")
        seen = await shows(pilot, "revision", "1 one", "2 two")
        assert "when" not in seen

    on_keys(body, fake)

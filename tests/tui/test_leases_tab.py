"""The Leases tab on a cluster in memory: orders and filters, thousands of leases, locks and
elections, the past.
"""

from __future__ import annotations

from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import LeaseInfo
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.widgets.dialogs import Confirm, Form
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab


def leased(kind: str = "kvorum") -> FakeSession:
    """A service with two keys, a lease without keys, a lock with two waiting, a single leader."""
    fake = FakeSession({b"plain": b"x"}, kind=kind)

    def lease(lease_id: int, left_s: int, *keys: bytes, value: bytes = b"x") -> None:
        for key in keys:
            fake.write(key, value, lease_id)
        fake.lease_table[lease_id] = LeaseInfo(lease_id, 60, left_s, keys)

    lease(0xA1, 45, b"/svc/web/1", b"/svc/web/2")
    lease(0xB2, 5)
    lease(0xC1, 30, b"/locks/backup/c1", value=b"host-1")
    lease(0xC2, 31, b"/locks/backup/c2", value=b"host-2")
    lease(0xC3, 32, b"/locks/backup/c3", value=b"host-3")
    lease(0xD1, 33, b"/service/batman/leader", value=b"pg-1")
    return fake


def ids(app: KvorumApp) -> list[int]:
    return [row.info.id for row in app.pane_of(LeasesPane).list.shown]


def test_orders_filters_and_facts() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6", "time to live▼", "via n2")
        assert ids(app) == [0xB2, 0xC1, 0xC2, 0xC3, 0xD1, 0xA1]
        await pilot.press("s")
        await shows(pilot, "lease▼")
        assert ids(app)[0] == 0xA1
        await pilot.press("S")
        await shows(pilot, "lease▲")
        assert ids(app)[-1] == 0xA1
        await pilot.press("f")
        await shows(pilot, "1 without keys", "no key is attached", "unknown, no key")
        assert ids(app) == [0xB2]
        await pilot.press("f")
        await shows(pilot, "1 about to end")
        await pilot.press("f")
        await shows(pilot, "0 held here", "no lease is like that")
        await pilot.press("escape", "slash")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one(Input).value = "web/2"
        await pilot.press("enter")
        await until(pilot, lambda: ids(app) == [0xA1], "the one with that key")
        await shows(pilot, "dec 161")
        await pilot.press("enter")
        pane = app.pane_of(LeasesPane)
        await until(pilot, lambda: pane.keys_list.has_focus, "two keys to choose from")
        await pilot.press("down", "enter")
        keys = app.pane_of(KeysPane)
        await until(pilot, lambda: keys.record is not None and keys.record.key == b"/svc/web/2")

    on_tab("leases", body, leased())


def test_from_a_key_to_its_lease() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        app.goto_key(b"/svc/web/2")
        keys = app.pane_of(KeysPane)
        await until(pilot, lambda: keys.record is not None and keys.record.lease == 0xA1, "read")
        await pilot.press("L")
        await shows(pilot, "[7 Leases]", "dec 161")
        app.goto_key(b"plain")
        await until(pilot, lambda: keys.record is not None and keys.record.key == b"plain", "read")
        await pilot.press("L")
        await shows(pilot, "lease: this key has no lease")

    on_tab("leases", body, leased())


def test_a_renewal_by_somebody_else_is_seen() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        pane = app.pane_of(LeasesPane)
        before = pane.table.get(0xB2).renewals
        fake.lease_table[0xB2] = LeaseInfo(0xB2, 60, 60)
        await until(pilot, lambda: pane.table.get(0xB2).renewals > before, "a renewal")
        pane.show_lease(0xB2)
        await shows(pilot, "renewed ", " seen")

    on_tab("leases", body, leased())


def test_ten_thousand_leases_do_not_freeze_and_are_asked_at_a_bounded_rate() -> None:
    fake = FakeSession()
    fake.lease_table = {n: LeaseInfo(n, 3_600, 3_000, (b"/k/%d" % n,)) for n in range(1, 10_001)}

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 10,000", "asked so far", "/k/1")
        pane = app.pane_of(LeasesPane)
        first = pane.list.current.info.id
        await pilot.press("end")
        # Answers that come in meanwhile change the order; the cursor stays on its lease.
        chosen = pane.list.current.info.id
        assert chosen != first
        await until(pilot, lambda: pane.table.get(chosen).told, "what is on the screen is asked")
        assert len(fake.locks.asked) < 2_000

    on_tab("leases", body, fake)


def test_grant_with_an_id_of_ones_own() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        await pilot.press("G")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press(*"xyz", "enter", "enter")
        await shows(pilot, "hexadecimal digits")
        app.screen.query_one("#in-id", Input).value = "ee"
        await pilot.press("enter", "enter")
        await until(pilot, lambda: 0xEE in fake.lease_table, "granted")
        pane = app.pane_of(LeasesPane)
        await until(pilot, lambda: pane.list.current and pane.list.current.info.id == 0xEE, "shown")

    on_tab("leases", body, leased())


def test_a_lost_hold_is_told_and_held_no_longer() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        pane = app.pane_of(LeasesPane)
        pane.show_lease(0xB2)
        await pilot.press("K")
        await until(pilot, lambda: ("keep_alive", 0xB2) in fake.calls, "renewed")
        await shows(pilot, "HELD")
        del fake.lease_table[0xB2]
        pane.feed.renew_soon(0xB2)
        await shows(pilot, "lease b2, which this terminal kept alive, is gone")
        assert pane.table.held() == []

    on_tab("leases", body, leased())


def test_locks_and_elections_with_their_queues() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        await pilot.press("l")
        await shows(pilot, "/locks/backup/…", "/service/batman/leader", "pg-1")
        text = await shows(pilot, "HOLDS", "1. waits", "2. waits", "host-3")
        assert text.index("host-1") < text.index("host-2") < text.index("host-3")
        fake.remove(b"/locks/backup/c1")
        del fake.lease_table[0xC1]
        pane = app.pane_of(LeasesPane)
        await until(pilot, lambda: len(pane.places.places) == 2, "live by a watch")
        assert pane.places.places[0].record.value == b"host-2"
        await pilot.press("v")
        await shows(pilot, "Lease c2", "/locks/backup/c2", "It holds /locks/backup/; the next in")
        await shows(pilot, "may go on working as if it held it")
        await pilot.press("enter")
        await until(pilot, lambda: ("revoke", 0xC2) in fake.calls, "broken")
        await until(pilot, lambda: [p.record.value for p in pane.places.places] == [b"host-3"])
        await pilot.press("escape")
        await shows(pilot, "time to live▼")
        await pilot.press("c")
        await shows(pilot, "stand for it: this belongs")

    on_tab("leases", body, leased())
    on_tab("leases", body, leased(), size=(80, 24))


def test_standing_for_an_election_and_giving_it_up() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6")
        await pilot.press("l")
        await shows(pilot, "1. waits")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Form))
        assert app.screen.query_one("#in-name", Input).value == "/locks/backup"
        await pilot.press("enter", "enter", "enter")
        await shows(pilot, "in line for /locks/backup/ behind 3 others", "3. waits")
        pane = app.pane_of(LeasesPane)
        (mine,) = pane.table.held()
        assert fake.store[b"/locks/backup/%x" % mine].lease == mine
        await until(pilot, lambda: ("keep_alive", mine) in fake.calls, "kept alive")
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await shows(pilot, "1 lease kept alive by this terminal")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        pane.places.focus()
        pane.places.cursor = 3
        await pilot.press("v")
        await shows(pilot, "It waits for /locks/backup/, at place 3")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: ("revoke", mine) in fake.calls, "given up")
        assert pane.table.held() == []

    on_tab("leases", body, leased())


def test_a_queue_that_nobody_is_in_can_be_looked_at() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 0", "there is no lease")
        await pilot.press("l")
        await shows(pilot, "no lock and no election is in use")
        await pilot.press("v")
        await shows(pilot, "revoke: nobody holds it")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await pilot.press(*"/e", "enter")
        await shows(pilot, "/e/…", "free", "nobody holds it and nobody waits")

    on_tab("leases", body, FakeSession())


def test_etcd_does_not_tell_who_wrote_or_when() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6", "owner", "unknown")
        await pilot.press("l")
        await shows(pilot, "HOLDS", "≥ ")

    on_tab("leases", body, leased("etcd"))


def test_the_past_says_what_it_can_tell() -> None:
    fake = leased()
    then = fake.revision
    fake.remove(b"/locks/backup/c1", b"/svc/web/1", b"/svc/web/2")
    fake.lease_table = {0xB2: LeaseInfo(0xB2, 60, 5)}

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 1")
        app.front.travel(then)
        await shows(pilot, f"Leases · 5 at revision {then}", "is not recorded", "/svc/web/1")
        assert "b2" not in "".join(frame(app).split("\n")[3:])
        await pilot.press("v")
        await shows(pilot, "revoke: you look at")
        await pilot.press("l")
        await shows(pilot, "/locks/backup/…", "HOLDS", "c1")
        app.front.travel(0)
        await pilot.press("l")
        await shows(pilot, "Leases · 1", "b2")

    on_tab("leases", body, fake)


def test_read_only_greys_what_changes() -> None:
    fake = leased()
    fake.read_only_flag = True

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "Leases · 6", "(g grant)", "(v revoke)", "s sort")
        await pilot.press("l")
        await shows(pilot, "(c stand for it)", "HOLDS")

    on_tab("leases", body, fake)

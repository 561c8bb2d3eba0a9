"""Plans in the Keys tab, on a fake cluster: copy, rename, delete, stop and go on, conflicts named
key by key; and run by other screens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.client.plan import Step
from kvorum.client.types import KeyValue
from kvorum_tui.app import KvorumApp
from kvorum_tui.model import twin
from kvorum_tui.model.plan import Plan, change
from kvorum_tui.model.plan_store import PlanFileError, PlanStore
from kvorum_tui.screens.key_plan import PlanProgress, run_plan
from kvorum_tui.screens.keys import KeysPane
from textual.pilot import Pilot
from textual.widgets import Button
from tui.fake_session import FakeSession
from tui.fakes.plans import CLUSTER
from tui.frames import frame, shows, until
from tui.key_parts import begin, files, fill, on_branch, over, state, tree
from tui.tabs import go, on_keys


@pytest.fixture(autouse=True)
def plans_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Plans of a test are nobody else's."""
    folder = tmp_path / "plans"
    monkeypatch.setenv("KVORUM_PLANS", str(folder))
    yield folder


def test_a_branch_is_renamed_and_the_rename_undone_and_redone() -> None:
    before = state(tree())

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await on_branch(pilot, app, b"/app/")
        await pilot.press("r")
        await fill(pilot, app, to="/moved")
        await shows(pilot, "a branch ends with /")
        await fill(pilot, app, to="/moved/")
        await shows(pilot, "Move /app/… to /moved/…", "12 keys: 6 new, 6 deleted; in one")
        await shows(pilot, "kvorum move /app/ /moved/ --prefix --yes", "u takes it back")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: b"/moved/05" in fake.store, "moved")
        await over(pilot, app)
        moved = {
            b"/moved/" + key[5:] if key.startswith(b"/app/") else key: value
            for key, value in before.items()
        }
        assert state(fake) == moved
        assert len({r.mod_revision for r in fake.store.values()}) == 2, "one transaction"
        await pilot.press("u")
        await shows(pilot, "Undo", "you", "Move /app/… to /moved/…")
        await pilot.press("enter")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: state(fake) == before, "undone")
        await over(pilot, app)
        await pilot.press("U")
        await shows(pilot, "Redo: Move /app/")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: state(fake) == moved, "redone")
        await over(pilot, app)
        await pilot.press("U")
        await shows(pilot, "nothing was undone here")

    on_keys(body, tree())


def test_what_is_at_the_target_is_chosen_in_the_preview() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await on_branch(pilot, app, b"/app/")
        await pilot.press("c")
        await fill(pilot, app, to="/web/")
        await shows(pilot, "nothing would change", "1 key at the target already (/web/00)")
        await shows(pilot, "nothing is done while they are there", "There already: refuse")
        assert app.screen.query_one("#yes", Button).disabled
        await begin(pilot, app, "ctrl+o")
        await shows(pilot, "5 keys: 5 new", "they stay", "--there skip")
        await pilot.press("ctrl+o")
        await shows(pilot, "6 keys: 5 new, 1 changed", "overwritten", "~ /web/00", "there → 0")
        app.screen.query_one("#yes", Button).press()
        await until(pilot, lambda: fake.store[b"/web/00"].value == b"0", "copied over")
        await over(pilot, app)
        assert len(fake.store) == 12

    on_keys(body, tree())


def test_one_key_is_copied_with_its_lease_or_without() -> None:
    fake = FakeSession()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        lease = await fake.grant(60)
        fake.write(b"k", b"v", lease.id)
        for keys, wanted in (((), lease.id), (("ctrl+l",), 0)):
            name = b"copy%d" % len(keys)
            await go(pilot, app, b"k")
            await pilot.press("c")
            await fill(pilot, app, to=name.decode())
            await shows(pilot, "1 key on leases: they keep them")
            await begin(pilot, app, *keys)
            if keys:
                await shows(pilot, "they come without")
            await pilot.press("enter")
            await until(pilot, lambda name=name: name in fake.store, "copied")
            await over(pilot, app)
            assert fake.store[name].lease == wanted

    on_keys(body, fake)


def test_marked_keys_are_deleted_together() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(KeysPane)
        pane.marked = lambda: [b"/app/01", b"/web/00"]  # type: ignore[method-assign]  # as if marked
        await pilot.press("d")
        await shows(pilot, "Delete 2 marked keys?", "− /app/01", "− /web/00", "(and 1 more)")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: len(fake.store) == 5, "deleted")

    on_keys(body, tree())


def big(count: int = 250) -> FakeSession:
    """More than one transaction holds."""
    return FakeSession({b"/big/%03d" % n: b"x" for n in range(count)})


async def copy_big(pilot: Pilot[None], app: KvorumApp) -> None:
    await on_branch(pilot, app, b"/big/")
    await pilot.press("c")
    await fill(pilot, app, to="/copy/")
    await shows(pilot, "250 keys: 250 new; in 3 transactions", "Type 250")
    await begin(pilot, app, *"250", "enter")


def test_a_plan_is_stopped_and_gone_on_with(plans_folder: Path) -> None:
    fake = big()
    fake.plans.hold = asyncio.Event()

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await copy_big(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, PlanProgress), "progress")
        await shows(pilot, "100 of 250 keys", "esc stops", "1 transaction done")
        await pilot.press("escape")
        await shows(pilot, "stopping after this transaction")
        assert fake.plans.hold is not None
        fake.plans.hold.set()
        await shows(pilot, "stopped: 100 keys of 250 done", "150 keys not tried yet: P lists")
        await pilot.press("escape")
        await over(pilot, app)
        (kept,) = files(plans_folder)
        assert kept.stat().st_mode & 0o777 == 0o600
        fake.write(b"/copy/200", b"theirs")
        await pilot.press("P")
        await shows(pilot, "Unfinished plans", "100 of 250", "Copy /big/… to /copy/…")
        await pilot.press("r")
        await shows(pilot, "100 keys done", "149 keys to do", "1 key left alone", "/copy/200")
        await pilot.press("escape")
        await shows(pilot, "Unfinished plans")
        await pilot.press("enter")
        await shows(pilot, "149 keys: 149 new", "100 keys of this plan are done already")
        await begin(pilot, app, *"149", "enter")
        await until(pilot, lambda: len(fake.store) == 500, "all copied")
        await over(pilot, app)
        assert fake.store[b"/copy/200"].value == b"theirs"
        assert files(plans_folder) == []
        await pilot.press("P")
        await shows(pilot, "no plan is unfinished")

    on_keys(body, fake)


def test_conflicts_are_named_key_by_key_and_nothing_is_overwritten(plans_folder: Path) -> None:
    fake = big()
    fake.plans.before_txn[2] = lambda: fake.write(b"/copy/150", b"theirs") and None

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await copy_big(pilot, app)
        await shows(pilot, "249 keys of 250 done", "1 left alone", "/copy/150", "somebody changed")
        assert fake.store[b"/copy/150"].value == b"theirs"
        assert len(fake.store) == 500
        assert files(plans_folder) == [], "there is nothing to go on with"

    on_keys(body, fake)


def test_a_plan_that_breaks_off_says_so_and_is_kept(plans_folder: Path) -> None:
    from kvorum_tui.session import SessionError

    fake = big()

    def fail() -> None:
        fake.fail = SessionError("request timed out", "n1", "KV/Txn", "UNAVAILABLE", True)

    fake.plans.before_txn[2] = fail

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await copy_big(pilot, app)
        await shows(pilot, "broke off: 100 keys of 250 done", "KV/Txn", "may or may not have taken")
        assert len(files(plans_folder)) == 1
        fake.fail = None
        await pilot.press("escape")
        await pilot.press("P", "f")
        await shows(pilot, "Forget this plan?", "What is done stays done")
        await pilot.press("enter")
        await shows(pilot, "no plan is unfinished")
        assert files(plans_folder) == []

    on_keys(body, fake)


def test_any_screen_may_run_a_plan() -> None:
    fake = FakeSession({b"a": b"1"})

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        record = fake.store[b"a"]
        plan = Plan("Do both", "Do", (change(b"a", record, b"2"), change(b"b", None, b"3")))
        app.pane.aside(lambda: run_plan(app.front, plan))
        await shows(pilot, "Do both", "2 keys: 1 new, 1 changed", "1 → 2")
        await begin(pilot, app, "enter")
        await until(pilot, lambda: b"b" in fake.store, "done")
        await over(pilot, app)
        app.front.at = 3
        app.pane.aside(lambda: run_plan(app.front, plan))
        await shows(pilot, "nothing can be written until")
        assert len(app.screen_stack) == 1

    on_keys(body, fake)


def test_a_preview_fits_a_small_screen() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await on_branch(pilot, app, b"/app/")
        await pilot.press("c")
        await fill(pilot, app, to="/web/")
        text = await shows(pilot, "Copy /app/… to /web/…", "There already: refuse (^o)", "Cancel")
        assert all(len(line) <= 80 for line in text.split("\n"))
        await pilot.press("escape")
        await over(pilot, app)
        assert "Copy" not in frame(app)

    on_keys(body, tree(), size=(80, 24))


def test_kept_plans_survive_byte_for_byte(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    old = KeyValue(b"\xff", b"\x00", 1, 2, 3, 4)
    steps = (Step(b"\xff", old, None, 0, 7), Step(b"n", None, b"", 5))
    name = store.keep(Plan("t", "v", steps, twin="x", cluster=9), "prod")
    store.note(name, 1, "broke")
    (head,) = store.all()
    assert (head.title, head.steps, head.done, head.error, head.cluster) == ("t", 2, 1, "broke", 9)
    assert store.load(name) == (head, steps)
    path = tmp_path / f"{name}.plan"
    path.write_text("\n".join(path.read_text().split("\n")[:2]))
    with pytest.raises(PlanFileError, match="damaged"):
        store.load(name)
    (tmp_path / "other.plan").write_text("{}")
    assert [kept.name for kept in store.all()] == [name]
    store.forget(name)
    assert store.all() == []


def test_twins_quote_what_a_shell_would_read() -> None:
    assert twin.quoted(b"/plain") == "/plain"
    assert twin.quoted(b"it's") == "'it'\"'\"'s'"
    assert twin.quoted(b"\xff'\n") == "$'\\xff\\'\\x0a'"
    assert twin.quoted(b"") == "''"
    line = twin.swap(b"k", 3, b"v", 10)
    assert line == 'etcdctl txn <<< $\'mod("k") = "3"\\n\\nput --lease=a -- "k" "v"\\n\\n\\n\''


def test_plans_that_wait_are_said_at_the_start(plans_folder: Path) -> None:
    PlanStore(plans_folder).keep(Plan("t", "v", (Step(b"k", None, b""),), cluster=CLUSTER), "here")
    PlanStore(plans_folder).keep(Plan("t", "v", (Step(b"k", None, b""),), cluster=1), "elsewhere")

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "1 plan of this cluster unfinished")
        await pilot.press("P")
        await shows(pilot, "elsewhere")
        names = [plan.where for plan in app.screen.query_one("#plans").plans]  # type: ignore[attr-defined]  # a KeptList
        await pilot.press("home", *["down"] * names.index("elsewhere"), "enter")
        await shows(pilot, "this plan is for another cluster: elsewhere")
        assert set(fake.store) == {b"a"}

    on_keys(body, FakeSession({b"a": b"1"}))


def test_more_than_a_plan_takes_is_deleted_as_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvorum_tui.screens.key_moves.MAX_KEYS", 5)
    monkeypatch.setattr("kvorum_tui.screens.key_work.MAX_KEYS", 5)

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await on_branch(pilot, app, b"/app/")
        await pilot.press("c")
        await fill(pilot, app, to="/x/")
        await shows(pilot, "more than 5 keys: too many for one plan")
        await pilot.press("d")
        await shows(pilot, "Delete all of this?", "6 keys under /app/", "compared with nothing")
        await pilot.press("6", "enter")
        await until(pilot, lambda: set(fake.store) == {b"/web/00"}, "deleted")

    on_keys(body, tree())

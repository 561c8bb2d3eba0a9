"""Drills run from their tab: really, in simulation; with a fake process, on the cluster in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.screens.drills import DrillsPane
from kvorum_tui.screens.pane import READ_ONLY
from textual.pilot import Pilot
from tui.drill_parts import (
    choose,
    fake_processes,
    isolation,
    on_list,
    sample,
    set_stage,
    shipped,
)
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

QUICK = "leader-partitioned"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs are kept under the test's own directory, also by the drill's process."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_simulated_drill_from_the_list_to_the_comparison(data: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("slash", *"cut off", "enter")
        await shows(pilot, f"─ {QUICK} ", "isolate leader for 6 s", "2 of 3 voters ✓ quorum")
        app.pane_of(DrillsPane).draw_seed = lambda: 1
        await set_stage(pilot, app, "sim")
        await shows(pilot, "the production replica in simulated time")
        await pilot.press("enter")
        await shows(pilot, f"{QUICK} · simulated · seed", "PASSED", "✓ write stall", "i isolate")
        await shows(pilot, "✓ digests            equal", "leads term 2")
        run = app.pane_of(DrillsPane).current
        assert run is not None
        first = run.verdict["figures"]
        assert fake.calls == [("open",)]  # The cluster in use was left alone.

        await pilot.press("e")
        await answer(pilot, app, "enter")
        stem = f"{QUICK}-sim-{run.seed}"
        await until(pilot, lambda: (data / f"{stem}.svg").is_file(), "exported")
        assert json.loads((data / f"{stem}.json").read_text())["verdict"]["figures"] == first
        assert "passed" in (data / f"{stem}.txt").read_text()
        assert "leads term 2" in (data / f"{stem}.svg").read_text()

        await pilot.press("a")
        await until(pilot, lambda: _current(app) is not run and _current(app).over, "again")
        assert _current(app).verdict["figures"] == first
        await pilot.press("c")
        await shows(pilot, "0001 sim", "0002 sim", "time to new leader", "E runs it there")
        await pilot.press("enter")
        await shows(pilot, f"0002-{QUICK}-sim", "Figures")
        await pilot.press("escape", "right", "v")
        await shows(pilot, "simulated, run 0001", "PASSED", "i▓▓▓", "L1━━", "✓ write stall", "____")
        assert _current(app).verdict["figures"] == first
        await pilot.press("c")
        await shows(pilot, "0001 sim")
        await pilot.press("e")
        await answer(pilot, app, "enter")
        table = data / f"{QUICK}-2-runs.txt"
        await until(pilot, table.is_file, "the comparison exported")
        assert "write stall" in table.read_text()
        assert "<svg" in table.with_suffix(".svg").read_text()

    on_list(body)


def _current(app: KvorumApp) -> object:
    run = app.pane_of(DrillsPane).current
    assert run is not None
    return run


def own_drill(name: str, *changes: tuple[str, str]) -> Path:
    """A scenario file beside the test's data, made of one that ships."""
    text = shipped(QUICK).text.replace(f'name = "{QUICK}"', f'name = "{name}"')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = Path(f"{name}")
    path.write_text(text)
    return path


def test_the_terminal_works_on_while_a_drill_computes_and_stopping_ends_it() -> None:
    path = own_drill("long", ("length_s = 12", "length_s = 600"))

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("o")
        await answer(pilot, app, "x", "enter")
        await shows(pilot, "x: neither a scenario file")
        await pilot.press("backspace", *str(path), "enter")
        await shows(pilot, "─ long ")
        await set_stage(pilot, app, "sim")
        await pilot.press("enter")
        await shows(pilot, "long · simulated", "n2", "x stop")
        await pilot.press("1")
        await shows(pilot, "[1 Keys]")
        await pilot.press("4", "m")
        await shows(pilot, "long on simulated, ", "time to new leader: none lost yet")
        await pilot.press("d", "enter")
        await shows(pilot, "run: long is running: v shows it, x stops it")
        await pilot.press("x", "v")
        await shows(pilot, "stopped; nothing is broken any more", "0001-long-sim")

    on_list(body)


def test_the_cluster_in_use_asks_first_and_follows_live() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "connected")
        await shows(pilot, "isolate leader (n1 now)")
        await pilot.press("enter")
        await shows(pilot, f"Run {QUICK} on test?", "2 of 3 left", "The quorum is kept")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: made, "started")
        assert made[0].request["endpoints"] == list(fake.endpoints)
        assert made[0].request["stage"] == "live"
        assert (made[0].request["user"], made[0].request["password"]) == ("root", "secret")
        for told in isolation():
            made[0].tell(**told)
        await shows(pilot, "5.8 of 12 s", "1.40 s", "drill", "isolate leader for 4 s: n1")
        rows = frame(app).splitlines()
        n1 = next(row for row in rows if row.startswith("│n1 "))
        assert "L1━" in n1
        assert "i▓▓▓" in n1
        assert "____" in next(row for row in rows if row.startswith("│wr/s"))
        await pilot.press("x")
        await shows(pilot, "stopping: everything is healed first")
        assert made[0].stopped
        made[0].tell(t="stopped")
        await shows(pilot, "stopped; nothing is broken any more", "on test: stopped")
        await pilot.press("3")
        await shows(pilot, f"drill {QUICK} begins", f"drill {QUICK}: stopped")

    session = FakeSession({b"/a": b"1"})
    session.user_name = "root"
    on_list(body, session, drill=QUICK)


def test_a_drill_that_breaks_the_quorum_needs_its_name_typed() -> None:
    path = own_drill("lost", ('do = "isolate"', 'do = "pause"'), ('"leader"', '"majority"'))

    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        assert app.pane_of(DrillsPane).list_view.open_file(str(path)) == ""
        await set_stage(pilot, app, "connected")
        await pilot.press("enter")
        await shows(pilot, "NO QUORUM at times", "Type lost to go on")
        await pilot.press("enter")
        assert not made
        await pilot.press(*"lost", "enter")
        await until(pilot, lambda: made, "started")

    on_list(body)


def test_leaving_stops_the_drill_after_asking() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "sim")
        await pilot.press("enter")
        await until(pilot, lambda: made, "started")
        await pilot.press("ctrl+q")
        await shows(pilot, "Leave?", f"The drill {QUICK} is running")
        assert not made[0].stopped
        await pilot.press("enter")
        await until(pilot, lambda: app._exit, "it leaves")
        assert made[0].stopped

    on_list(body, drill=QUICK)


def test_a_process_that_breaks_says_why() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "sim")
        await pilot.press("enter")
        await until(pilot, lambda: made, "started")
        made[0].tell(t="ready", members=["n1"])
        made[0].tell(**sample(1.0, 5, "n1", 1))
        made[0].tell(t="error", text="no leader\nnor anybody")
        await shows(pilot, "could not be run", "no leader", "nor anybody")

    on_list(body, drill=QUICK)


def test_read_only_refuses_the_cluster_in_use_and_nothing_else() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "connected")
        await shows(pilot, "cannot run there", "read-only")
        await pilot.press("enter")
        await shows(pilot, f"run: {READ_ONLY[:30]}")
        assert not made
        await set_stage(pilot, app, "sim")
        await pilot.press("enter")
        await until(pilot, lambda: made, "started")
        assert "endpoints" not in made[0].request

    on_list(body, FakeSession({b"/a": b"1"}, read_only=True), drill=QUICK)


def test_on_a_real_etcd_the_tab_says_what_it_cannot_do() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "connected")
        await shows(pilot, "etcd has no fault service")
        await choose(pilot, app, "leader-transfer")
        await set_stage(pilot, app, "connected")
        await shows(pilot, "the cluster that you look at")
        await pilot.press("enter")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: made, "started")
        assert made[0].request["stage"] == "etcd"

    on_list(body, FakeSession(kind="etcd"), drill=QUICK)


def test_keys_of_one_view_do_nothing_in_another() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("space")
        await shows(pilot, "cut: that belongs to the matrix of links (m)")
        assert not [call for call in fake.calls if call[0] == "sever"]
        await pilot.press("escape")
        await shows(pilot, "a fault lasts 30 s", "d drills")
        await pilot.press("a")
        await shows(pilot, "again: that belongs to the view of a run (v)")

    on_list(body)


def test_the_palette_finds_drills() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await pilot.press("colon", *"l storm")
        await shows(pilot, "drill watch-storm")
        await pilot.press("down", "enter")
        await shows(pilot, "[4 Drills]", "─ watch-storm ")

    on_tab("keys", body)


def test_a_narrow_screen_holds_it() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        made = fake_processes(app)
        await set_stage(pilot, app, "sim")
        await shows(pilot, "● sim")
        await pilot.press("enter")
        await until(pilot, lambda: made, "started")
        for told in isolation():
            made[0].tell(**told)
        await shows(pilot, "i▓▓▓", "write stall", "isolate leader")
        assert all(len(row) <= 80 for row in frame(app).splitlines())

    on_list(body, size=(80, 24), drill=QUICK)

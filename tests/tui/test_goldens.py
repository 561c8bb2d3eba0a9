"""Whole screens as text, at three sizes, against what was looked at and found good.

``KVORUM_REWRITE=1 pytest tests/tui/test_goldens.py`` records them anew. Look at every one before it
is committed: a golden is a screen that somebody has read as an operator would.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.records import LogEntryView
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import PATIENCE_S, frame, shows, until
from tui.tabs import go

FOLDER = Path(__file__).parent / "goldens"
SMALL = (80, 24)
SIZES = (SMALL, (120, 40), (200, 60))
REWRITE = os.environ.get("KVORUM_REWRITE") == "1"
SETTLED_S = 2.0  # Only when recording: what still moves after that is no golden.
# Times of day and ages differ from run to run; their width does not.
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")


@dataclass(frozen=True)
class Scene:
    """A tab, what is done there, and a text that says that it is done."""

    tab: str
    keys: tuple[str, ...] = ()
    at_key: bytes = b""
    wait: str = "3/3 up"
    sizes: tuple[tuple[int, int], ...] = SIZES
    split: bool = False  # The members' logs, and a leader that another has followed.


SCENES = {
    "keys": Scene("keys", at_key=b"/app/web/cfg"),
    "history": Scene("keys", ("h",), at_key=b"/app/web/name", wait="web2"),
    "watch": Scene("watch", wait="No watch is open"),
    "cluster": Scene("cluster", wait="BBBBb······", split=True),
    "cluster-events": Scene("cluster", ("v",), wait="n2 leads term 3", sizes=(SMALL,), split=True),
    "cluster-network": Scene("cluster", ("n",), wait="0.40", sizes=(SMALL,), split=True),
    "cluster-figures": Scene("cluster", ("g",), wait="scale 0 to", sizes=(SMALL,), split=True),
    "drills": Scene("drills", wait="no fault is on"),
    "drill-list": Scene("drills", ("d",), wait="What it demands"),
    "time": Scene("time", wait="oldest revision 1"),
    "sql": Scene("sql", wait="f5 runs the query"),
    "leases": Scene("leases", wait="Leases · "),
    "txn": Scene("txn", wait="an empty transaction"),
    "admin": Scene("admin", wait="auth is OFF"),
    "help": Scene("keys", ("question_mark",), wait="In Keys"),
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One and the same place on earth."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def session() -> FakeSession:
    fake = FakeSession(
        {
            b"/app/web/cfg": b'{"port": 80, "hosts": ["a", "b"], "tls": true}',
            b"/app/web/name": b"web",
            b"/db/bytes": b"\x00\xff\x10",
            b"/db/empty": b"",
            b"loose": b"no slash in front",
        }
    )
    fake.write(b"/app/web/name", b"web2")
    return fake


class Clock:
    """Stands still, except where a scene moves it on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def with_logs(fake: FakeSession) -> FakeSession:
    """The members' raft logs: n1 has led term 2, and n3 trails."""
    for node in fake.nodes:
        node.log = tuple(LogEntryView(index, 2, f"put /a/{index}", 30) for index in range(1, 25))
        node.term, node.commit, node.applied = 2, 24, 24
    fake.nodes[2].log = fake.nodes[2].log[:18]
    fake.nodes[2].commit = fake.nodes[2].applied = 17
    return fake


async def led_by_another(
    pilot: Pilot[None], app: KvorumApp, fake: FakeSession, clock: Clock
) -> None:
    """n2 is elected while somebody looks on; n1 hears of it first. What each second of the figures
    shows is settled before the clock goes on, and nobody reports in the last one.
    """

    async def heard(*terms: int) -> None:
        rows = app.front.cluster.rows

        def all_said() -> bool:
            told = [row.report.term for row in rows() if row.report and row.seen_at == clock.now]
            return told == list(terms)

        await until(pilot, all_said, f"terms {terms} at {clock.now}")

    await heard(2, 2, 2)
    clock.now += 5.0
    fake.nodes[0].term, fake.nodes[0].role = 3, "follower"
    await heard(3, 2, 2)
    fake.elect("n2", 3)
    await heard(3, 3, 3)
    clock.now += 5.0
    await heard(3, 3, 3)
    fake.silent = True
    await until(pilot, lambda: len(fake.fallen_silent) == 3, "the last reports")
    clock.now += 1.0


def still(text: str) -> str:
    """A frame without what differs from run to run."""
    return _CLOCK.sub(lambda found: re.sub(r"\d", "0", found[0]), text) + "\n"


async def pictured(
    pilot: Pilot[None], fake: FakeSession, clock: Clock, scene: Scene, golden: str | None
) -> str:
    """The screen, as soon as it is the golden one; without one, when it has settled."""
    app = pilot.app
    assert isinstance(app, KvorumApp)
    await shows(pilot, "3/3 up")
    if scene.split:
        await led_by_another(pilot, app, fake, clock)
    if scene.at_key:
        await go(pilot, app, scene.at_key)
    await pilot.press(*scene.keys)
    await shows(pilot, scene.wait)
    if golden is None:
        await pilot.pause(SETTLED_S)
        return still(frame(app))
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while (now := still(frame(app))) != golden and loop.time() < end:
        await pilot.pause(0.05)
    return now


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, id=f"{name}-{size[0]}x{size[1]}")
        for name, scene in SCENES.items()
        for size in scene.sizes
    ],
)
def test_the_screen_is_as_it_was_found_good(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, here: None
) -> None:
    monkeypatch.setenv("PATH", "")  # Which programs there are shows in the list of drills.
    scene = SCENES[name]
    file = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"

    golden = None if REWRITE else file.read_text("utf-8")

    async def run() -> str:
        fake, clock = session(), Clock()
        if scene.split:
            with_logs(fake)
        app = KvorumApp(fake, "golden", clock=clock, first_tab=scene.tab)
        async with app.run_test(size=size, notifications=True) as pilot:
            return await pictured(pilot, fake, clock, scene, golden)

    now = asyncio.run(run())
    if golden is None:
        file.write_text(now, "utf-8")
    elif now != golden:
        lines = difflib.unified_diff(golden.splitlines(), now.splitlines(), "golden", "now")
        pytest.fail("\n".join(lines))


def test_no_golden_is_left_over() -> None:
    wanted = {f"{name}-{w}x{h}.txt" for name, scene in SCENES.items() for w, h in scene.sizes}
    assert {path.name for path in FOLDER.iterdir()} == wanted

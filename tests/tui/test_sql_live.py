"""SQL and transactions on a real kvorum and a real etcd: the same views, the same refusals, the
same verdicts.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kvorum.client import Client
from kvorum.client.ops import Compare, Delete, Get, Put, Txn
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.txn_check import problems
from kvorum_tui.model.txn_light import judge, ranges_of
from kvorum_tui.screens.sql import SqlPane
from kvorum_tui.screens.txn import TxnPane
from kvorum_tui.session import SessionError
from support.clusters import ClusterHandle
from textual.pilot import Pilot
from tui.frames import shows, until

pytestmark = pytest.mark.slow

Launch = Callable[..., ClusterHandle]
PROGRAMS = pytest.mark.parametrize("program", ["kvorum", "etcd"])
ENDLESS = "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b"
REFUSED = [
    ("DELETE FROM history", "only statements that read"),
    ("COPY events TO '/tmp/never-written.csv'", "only statements that read"),
    ("ATTACH '/tmp/never-attached.duckdb'", "only statements that read"),
    ("INSTALL httpfs", "only statements that read"),
    ("SET memory_limit = '100GB'", "only statements that read"),
    ("SELECT * FROM read_text('/etc/passwd')", "disabled by configuration"),
    ("SELECT * FROM 'https://localhost/x.parquet'", "does not exist|disabled"),
    ("SELECT getenv('HOME')", "getenv"),
    ("SELECT len(range(1000000000))", "memory"),
]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVORUM_MIRROR", str(tmp_path / "mirrors"))
    monkeypatch.setenv("KVORUM_QUERIES", str(tmp_path / "queries.toml"))
    monkeypatch.setenv("KVORUM_TRANSACTIONS", str(tmp_path / "transactions.toml"))
    monkeypatch.setenv("KVORUM_SQL_HISTORY", "off")


def launched(launch: Launch, program: str) -> ClusterHandle:
    """One member of a kind."""
    return launch(1) if program == "kvorum" else launch(1, program="etcd")


async def ask(session: LiveSession, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    """All rows."""
    return [row async for batch in session.past.query(sql, **options) for row in batch.rows]


def children(pid: int) -> list[str]:
    """Processes that a process has started, whichever of its threads did."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


@PROGRAMS
def test_sql_and_transactions(kvorum_cluster: Launch, program: str) -> None:
    cluster = launched(kvorum_cluster, program)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            lease = await client.leases.grant(600)
            for number in range(3):
                await client.put("/app/a", str(number), lease=lease.id)
            await client.put("/app/b", b"\xff")
            session = LiveSession(cluster.endpoints)
            app = KvorumApp(session, "live", first_tab="sql")
            async with app.run_test(size=(120, 40), notifications=True) as pilot:
                await shows(pilot, "1/1 up", "leader")
                await in_the_sql_tab(pilot, app, client)
                await in_the_txn_tab(pilot, app, client)
                await views(session, lease.id, cluster.names[0])
                await refusals(session, cluster, program)
                await verdicts(session)

    asyncio.run(run())


async def in_the_sql_tab(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """As somebody uses it."""
    pane = app.pane_of(SqlPane)
    await pilot.press("f5")
    await shows(pilot, "Answer · 4 rows", "/app/b", "\\xFF")
    pane.write("SELECT key, count(*) AS n FROM events GROUP BY key ORDER BY key")
    await pilot.press("escape", "W")
    await shows(pilot, "Answer · 2 rows", "WATCHED")
    await client.put("/app/b", "again")
    await shows(pilot, "1 new or changed")
    await pilot.press("W")
    pane.write("SELECT nonsense\nFROM events")
    await pilot.press("f5")
    await shows(pilot, "Error", "nonsense", "line 1, column 8", "^")
    pane.write(ENDLESS)
    await pilot.press("f5")
    await until(pilot, lambda: pane.running is not None)
    await pilot.press("escape")
    await shows(pilot, "STOPPED")
    app.front.travel(4)
    pane.write("SELECT key, value FROM keys ORDER BY key")
    await pilot.press("f5")
    await shows(pilot, "Answer · 1 row", "keys at revision 4")
    assert list(pane.table.result.rows()) == [("/app/a", "2")]
    app.front.travel(0)


async def in_the_txn_tab(pilot: Pilot[None], app: KvorumApp, client: Client) -> None:
    """A transaction that succeeds, and that would not a second time."""
    pane = app.pane_of(TxnPane)
    await pilot.press("escape", "8")
    pane.area.text = 'create("/new") = "0"\n\nput -- "/new" "x"\n\nget -- "/new"\n'
    await shows(pilot, "WOULD SUCCEED NOW")
    await pilot.press("f5")
    await shows(pilot, "Run this transaction?", "a new key")
    await pilot.press("enter")
    await shows(pilot, "● succeeded at revision", "WOULD FAIL NOW")
    assert (await client.get("/new")).value == b"x"
    await client.delete("/new")
    await shows(pilot, "WOULD SUCCEED NOW")
    inner = Txn((Compare("version", b"/app/a", ">", 1),), (Put("/in", "then"),), (Put("/in", "e"),))
    pane.show_txn(Txn((), (inner, Get("/in"))))
    await pilot.press("f5")
    await shows(pilot, "Run this transaction?")
    await pilot.press("enter")
    await shows(pilot, "the conditions held: Then ran", '/in = "then"')


async def views(session: LiveSession, lease: int, name: str) -> None:
    """The same on both, apart from what etcd does not tell."""
    assert await ask(session, "SELECT lease, granted_s FROM leases") == [(lease, 600)]
    assert await ask(session, "SELECT name, is_learner FROM members") == [(name, False)]
    found = await ask(session, "SELECT prefix, sum(puts)::BIGINT FROM writes GROUP BY prefix")
    assert dict(found)["/app/"] == 5
    then = await ask(session, "SELECT key, value FROM keys", revision=3)
    assert then == [("/app/a", "1")]
    rows = await ask(session, "SELECT range FROM range(150000)", max_rows=120_000)
    assert len(rows) == 120_000 and rows[-1] == (119_999,)


async def refusals(session: LiveSession, cluster: ClusterHandle, program: str) -> None:
    """Nothing but reading, within bounds; who leaves takes the query along."""
    # A member's own service is held to the whole list elsewhere.
    for sql, words in REFUSED if program == "etcd" else REFUSED[:3]:
        with pytest.raises(SessionError, match=words):
            await ask(session, sql)
    with pytest.raises(SessionError, match=r"longer than 0\.3 s"):
        await ask(session, ENDLESS, timeout_s=0.3)
    pid = cluster.view(cluster.names[0]).pid if program == "kvorum" else os.getpid()
    assert pid is not None
    others = set(children(pid))
    async with aclosing(session.past.query(ENDLESS)) as answer:
        waiting = asyncio.ensure_future(anext(answer))
        async with asyncio.timeout(20):
            while not set(children(pid)) - others:
                await asyncio.sleep(0.02)
            waiting.cancel()
            while set(children(pid)) - others:
                await asyncio.sleep(0.02)
    assert await ask(session, "SELECT 1") == [(1,)]


async def verdicts(session: LiveSession) -> None:
    """What the light says is what the server does; what is told to be refused is refused."""
    rng = random.Random(5)
    keys = [b"/v/%d" % n for n in range(3)]
    for number in range(40):
        key = rng.choice(keys)
        end = rng.choice([b"", b"", b"/v0"])
        target = rng.choice(["value", "version", "create", "mod", "lease"])
        operand: int | bytes = rng.choice([b"1", b"2"]) if target == "value" else rng.randrange(4)
        compare = Compare(target, key, rng.choice(["=", "!=", "<", ">"]), operand, end)  # type: ignore[arg-type]  # drawn from those
        looked = await session.txns.look(ranges_of([compare]), 100)
        (verdict,) = judge([compare], looked)
        change = Put(key, b"%d" % rng.randrange(3)) if rng.random() < 0.7 else Delete(key)
        done = await session.txns.commit(Txn((compare,), (change,), (Get(key),)))
        assert done.succeeded == verdict.holds, (number, compare, looked)
    for bad in (
        Txn((), (Put("a"), Put("a"))),
        Txn((), (Put("ab"), Delete("a", prefix=True))),
        Txn((), tuple(Get(f"k{n}") for n in range(129))),
        Txn((), (Get(""),)),
        Txn((), (Put("a"), Txn((), (Put("a"),)))),
    ):
        assert problems(bad)
        with pytest.raises(SessionError):
            await session.txns.commit(bad)
    good = Txn((), (Txn((), (Put("a"),), (Put("a"),)),), (Put("a"),))
    assert not problems(good)
    assert (await session.txns.commit(good)).succeeded

"""Inspect/Query and ``kvorum sql``: people's SQL against a running member."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from kvorum.client import Client, ClientError, Put
from kvorum.errors import Code
from kvorum.limits import QUERY_MESSAGE_BYTES
from support.clusters import ClusterHandle

pytestmark = pytest.mark.slow

ENDLESS = "SELECT count(*) FROM range(10000000) AS a, range(10000000) AS b"


async def ask(client: Client, sql: str, **options: int) -> list[list[object]]:
    """All rows."""
    inspect = client.member(client.endpoints[0]).inspect
    return [
        json.loads(row) async for batch in inspect.query(sql, **options) for row in batch.rows_json
    ]


async def refused(client: Client, sql: str, **options: int) -> ClientError:
    """The error of a question that is not answered."""
    with pytest.raises(ClientError) as caught:
        await ask(client, sql, **options)
    return caught.value


def of_all_threads(pid: int) -> list[str]:
    """Processes that a member has started, whichever of its threads did."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def test_sql_sees_what_was_acknowledged(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)
    name = cluster.names[0]
    query_dir = cluster.supervisor.run.data_dir(cluster.spec, cluster.spec.nodes[0])
    query_dir = query_dir / "member" / "query"

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            # Written, then read at once, again and again: each answer has the last write.
            for number in range(10):
                await client.put("/n", str(number))
                assert await ask(client, "SELECT max(value) FROM events") == [[str(number)]]
            await client.txn().then(Put("/a", b"\xff"), Put("/b", "x" * 5)).commit()
            await client.delete("/n")
            rows = await ask(
                client,
                "SELECT revision, sub, type, key, value_bytes FROM events"
                " WHERE revision > 11 ORDER BY revision, sub",
            )
            assert rows == [
                [12, 0, "put", "/a", {"bytes": "/w=="}],
                [12, 1, "put", "/b", {"bytes": "eHh4eHg="}],
                [13, 0, "delete", "/n", {"bytes": ""}],
            ]
            assert await ask(client, "SELECT value FROM keys_at(7) WHERE key = '/n'") == [["5"]]
            await client.compact(12, physical=True)
            found = await ask(client, "SELECT min(revision) FROM events")
            assert found == [[11]], "the newest value at the compacted revision stays"
            # More than a message holds.
            row = "x" * 1000
            many = QUERY_MESSAGE_BYTES // 1000 * 3
            found = await ask(client, f"SELECT '{row}' FROM range({many})")
            assert found == [[row]] * many
            assert await ask(client, "SELECT * FROM range(9)", max_rows=2) == [[0], [1]]
            assert await ask(client, "SELECT 1 WHERE false") == []

            wrong = await refused(client, "DELETE FROM history")
            assert wrong.code == Code.INVALID_ARGUMENT
            assert "only statements that read may run here, not DELETE" in str(wrong)
            late = await refused(client, ENDLESS, timeout_ms=300)
            assert "the query took longer than 0.3 s" in str(late)

            # Who goes away takes the query's process along.
            leaving = asyncio.ensure_future(ask(client, ENDLESS))
            pid = cluster.view(name).pid
            assert pid is not None
            async with asyncio.timeout(30):
                while not of_all_threads(pid):
                    await asyncio.sleep(0.01)
                leaving.cancel()
                while of_all_threads(pid):
                    await asyncio.sleep(0.01)
            assert await ask(client, "SELECT 1") == [[1]]
        assert len(list(query_dir.glob("*.duckdb"))) == 1, "older copies are gone"

    asyncio.run(run())
    cluster.stop()
    assert not query_dir.exists()


def test_sql_is_for_root_alone(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)

    async def run() -> None:
        async with Client(cluster.endpoints) as client:
            await client.put("/secret", "s")
            for user in ("root", "ann"):
                await client.auth.user_add(user, "pw")
            await client.auth.grant_role("root", "root")
            await client.auth.enable()
        async with Client(cluster.endpoints, user="ann", password="pw") as client:
            assert (await refused(client, "SELECT 1")).code == Code.PERMISSION_DENIED
        async with Client(cluster.endpoints, user="root", password="pw") as client:
            assert await ask(client, "SELECT value FROM events") == [["s"]]

    asyncio.run(run())


def test_the_command(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)

    def kvorum(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kvorum", *arguments]
        command += ["--endpoints", cluster.endpoints[0]]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=60
        )

    assert kvorum("put", "/a", "one").returncode == 0
    assert kvorum("put", "/a", "two").returncode == 0
    ask = "SELECT revision, value, NULL AS nothing FROM events ORDER BY revision"
    assert kvorum("sql", ask).stdout == (
        "revision  value  nothing\n--------  -----  -------\n       2  one\n       3  two\n"
    )
    assert (
        kvorum("sql", "-", "--csv", text=ask).stdout == "revision,value,nothing\n2,one,\n3,two,\n"
    )
    document = json.loads(kvorum("sql", ask, "-w", "json", "--max-rows", "1").stdout)
    assert [column["type"] for column in document["columns"]][:2] == ["BIGINT", "VARCHAR"]
    assert (document["rows"], document["truncated"]) == ([[2, "one", None]], True)
    wrong = kvorum("sql", "SELECT nonsense")
    assert wrong.returncode == 3
    assert "nonsense" in wrong.stderr
    assert "the query is empty" in kvorum("sql", " ").stderr


def test_the_commands_views_forms_and_files(
    kvorum_cluster: Callable[..., ClusterHandle], tmp_path: Path
) -> None:
    cluster = kvorum_cluster(1)

    def kvorum(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kvorum", *arguments]
        command += ["--endpoints", cluster.endpoints[0]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    lease = kvorum("lease", "grant", "600").stdout.split()[1]
    assert kvorum("put", "/app/a", "one", f"--lease={lease}").returncode == 0
    assert kvorum("put", "/app/a", "two", f"--lease={lease}").returncode == 0
    ask = "SELECT key, value, value_bytes, lease FROM keys"
    number = int(lease, 16)
    assert kvorum("sql", ask, "-w", "csv").stdout == (
        f"key,value,value_bytes,lease\n/app/a,two,dHdv,{number}\n"
    )
    then = kvorum("sql", ask, "-w", "jsonl", "--revision", "2").stdout
    assert json.loads(then) == {
        "key": "/app/a",
        "value": "one",
        "value_bytes": "b25l",
        "lease": number,
    }
    found = kvorum("sql", "SELECT hex, granted_s, remaining_s FROM leases", "-w", "jsonl").stdout
    told = json.loads(found)
    assert (told["hex"], told["granted_s"]) == (lease.lstrip("0"), 600)
    assert 0 < told["remaining_s"] <= 600
    assert kvorum("sql", "SELECT name FROM members", "-w", "csv").stdout == (
        f"name\n{cluster.names[0]}\n"
    )
    found = kvorum("sql", "SELECT prefix, puts, bytes FROM writes", "-w", "csv").stdout
    assert found == "prefix,puts,bytes\n/app/,2,6\n"
    path = tmp_path / "all.parquet"
    assert "needs --out" in kvorum("sql", ask, "-w", "parquet").stderr
    many = "SELECT range FROM range(50000)"
    done = kvorum("sql", many, "-w", "parquet", "--out", str(path), "--max-rows", "40000")
    assert "40,000 rows" in done.stderr and "there are more rows" in done.stderr
    rows = duckdb.sql(f"SELECT count(*), max(range) FROM '{path}'").fetchall()
    assert rows == [(40_000, 39_999)]
    text = tmp_path / "out.json"
    assert kvorum("sql", "SELECT 1 AS n", "-w", "json", "--out", str(text)).stdout == ""
    assert json.loads(text.read_text())["rows"] == [[1]]

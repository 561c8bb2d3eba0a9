"""The Admin and Log tabs on real clusters, kvorum's and etcd's: one cluster of each for many
checks.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.services import METHODS
from kvorum_tui.app import KvorumApp
from kvorum_tui.live import LiveSession
from kvorum_tui.model.admin_cluster import alarms_in, progress
from kvorum_tui.model.admin_records import AlarmView
from kvorum_tui.screens.admin import AdminPane
from kvorum_tui.screens.log import LogPane
from kvorum_tui.session import ReadOnly, SessionError
from support.clusters import ClusterHandle
from support.programs import need_program
from textual.pilot import Pilot
from tui.admin_parts import fill
from tui.frames import frame, shows, until
from unit.client.fakes import bound_socket

Launch = Callable[..., ClusterHandle]
PASSWORD = "correct horse"
VALUE = "v" * 4_000


def on_admin(
    cluster: ClusterHandle, body: Callable[[Pilot[None], KvorumApp, LiveSession], Awaitable[None]]
) -> None:
    """Run the terminal on a cluster, logged in as root once there is one."""

    async def run() -> None:
        session = LiveSession(cluster.endpoints, user="root", password=PASSWORD)
        app = KvorumApp(session, "live", first_tab="admin")
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await shows(pilot, "3/3 up", "leader n")
            await body(pilot, app, session)

    asyncio.run(run())


async def users_and_auth(pilot: Pilot[None], app: KvorumApp, session: LiveSession) -> None:
    """Roles and users, auth on from the terminal, a restricted user, auth off."""
    await shows(pilot, "auth is OFF", "there is no user")
    admin = session.admin
    await admin.role_add("dev")
    await admin.permit("dev", "READ", b"/app/", b"/app0")
    await admin.permit("dev", "WRITE", b"/app/mine", b"")
    await admin.user_add("ann", "hers")
    await admin.grant_role("ann", "dev")
    await pilot.press("f5")
    await shows(pilot, "ann may touch", "prefix /app/", "exactly /app/mine")
    await pilot.press("o")
    await shows(pilot, "✗ a user root", "✗ with the role root", "whom nobody made a user")
    await pilot.press(*"enable", "enter")
    await fill(pilot, app, one=PASSWORD, two=PASSWORD)
    await shows(pilot, "auth is ON · you are root with root")
    await pilot.press("W", "k")
    await fill(pilot, app, keys="/app/*")
    await shows(pilot, "Who can touch prefix /app/", "dev: read prefix /app/")
    restricted = LiveSession(session.endpoints, user="ann", password="hers")
    await restricted.open()
    try:
        own = await restricted.admin.own_ranges()
        assert own.roles == ("dev",)
        assert own.ranges("READ") == [(b"/app/", b"/app0")]
        assert own.missing("WRITE", b"/app/mine") == ""
        assert "no write permission" in own.missing("WRITE", b"/app/other")
        assert "role root" in own.missing_root()
        assert (await restricted.admin.auth()).forbidden
        with pytest.raises(SessionError) as refused:
            await restricted.save(b"/app/other", b"x", -1)
        assert refused.value.code == "PERMISSION_DENIED"
    finally:
        await restricted.close()
    log = app.pane_of(LogPane).log_model
    methods = {entry.method for entry in log.entries}
    assert {"Auth/UserAdd", "Auth/AuthEnable", "Auth/Authenticate"} <= methods
    kept = b"".join((entry.request or b"") + (entry.reply or b"") for entry in log.entries)
    for secret in (PASSWORD, "hers"):
        assert secret.encode() not in kept
    token = session.client._pool.token
    assert token
    assert token.encode() not in kept
    await admin.auth_disable()
    await pilot.press("A", "f5")
    await shows(pilot, "auth is OFF")


async def space(pilot: Pilot[None], app: KvorumApp, session: LiveSession) -> None:
    """Compaction and defragmentation of three, the leader last; what goes is given back."""
    client = session.client
    for _ in range(8):
        await asyncio.gather(*(client.put(f"/fill/{number}", VALUE) for number in range(50)))
    await pilot.press("C")
    await pilot.press("c")
    await fill(pilot, app, to="now", physical="yes")
    await shows(pilot, "Compact to revision")
    await pilot.press("enter")
    await shows(pilot, "and removed from disk")
    revision = (await session.admin.figures())[0].revision
    with pytest.raises(SessionError) as gone:
        await session.get(b"/fill/1", revision - 200)
    assert gone.value.code == "OUT_OF_RANGE"
    await pilot.press("D")
    before = {each.id: each.db_bytes for each in await session.admin.figures()}
    await pilot.press("f")
    await shows(pilot, "Should give back", "hand over first")
    await pilot.press("enter")
    await shows(pilot, "✓ 3 members done", "hands leadership to")
    text = frame(app)
    report = text[text.index("Report") :]
    after = {each.id: each for each in await session.admin.figures()}
    assert sum(each.db_bytes for each in after.values()) < sum(before.values())
    last = [line for line in report.splitlines() if " → " in line][-1]
    assert text.index("hands leadership") < text.index(last)
    calls = [e for e in app.pane_of(LogPane).log_model.entries if e.method.endswith("Defragment")]
    assert len({entry.endpoint for entry in calls}) == 3


async def snapshots(pilot: Pilot[None], app: KvorumApp, session: LiveSession, folder: Path) -> None:
    """Saved by the terminal, verified by etcd's own tool."""
    file = folder / "state.db"
    await pilot.press("S", "s")
    await fill(pilot, app, file=str(file))
    await shows(pilot, "checksum right")
    found = await session.admin.snapshot_status(file)
    need_program("etcdctl")
    done = await asyncio.to_thread(
        subprocess.run,
        ["etcdctl", "snapshot", "status", str(file), "-w", "json"],
        env=os.environ | {"ETCDCTL_API": "3"},
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["hash"], told["revision"]) == (found.hash, found.revision)
    assert found.revision == (await session.admin.figures())[0].revision
    with pytest.raises(SessionError, match="exists"):
        await session.admin.snapshot(session.endpoints[0], file, lambda done, total: None)
    other = folder / "other.db"

    def interrupt(done: int, total: int) -> None:
        task.cancel()

    task = asyncio.ensure_future(session.admin.snapshot(session.endpoints[0], other, interrupt))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [name for name in os.listdir(folder) if name.startswith("other")]


async def alarms(session: LiveSession) -> None:
    """Raised by hand, seen in the members' status, lifted."""
    member = (await session.admin.figures())[0].id
    request = pb.AlarmRequest(
        action=pb.AlarmAction.ACTIVATE, member_id=member, alarm=pb.AlarmType.NOSPACE
    )
    alarm = METHODS["/etcdserverpb.Maintenance/Alarm"]
    await session.client._caller.call(alarm, request, pb.AlarmResponse)
    raised = AlarmView(member, "NOSPACE")
    assert await session.admin.alarms() == [raised]
    while raised not in alarms_in(await session.admin.figures()):
        await asyncio.sleep(0.05)
    await session.admin.disarm(raised)
    assert await session.admin.alarms() == []


@contextmanager
def started(command: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    """A process of our own, ended by its id."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=os.environ | env, stdout=said, stderr=said)
        try:
            yield
        finally:
            process.kill()
            process.wait()


async def membership(session: LiveSession, program: str, folder: Path) -> None:
    """A learner is added, started with the variables shown, promoted and removed."""
    with bound_socket() as one, bound_socket() as two:
        peer, client = (f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two))
    added = await session.admin.member_add((peer,), True)
    env = dict(line.split("=", 1) for line in added.environment("late"))
    env = {name: value.strip('"') for name, value in env.items()}
    start = ["etcd"] if program == "etcd" else [sys.executable, "-m", "kvorum", "serve"]
    flags = [
        f"--data-dir={folder / 'late'}",
        f"--listen-peer-urls={peer}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
    ]
    new = next(each for each in await session.admin.figures() if each.id == added.id)
    assert (new.started, new.learner) == (False, True)
    with started([*start, *flags], env, folder / "late.log"):
        for _ in range(400):
            figures = await session.admin.figures()
            new = next(each for each in figures if each.id == added.id)
            if new.up and progress(new, figures)[0] >= 0.99:
                break
            await asyncio.sleep(0.05)
        assert new.up, (folder / "late.log").read_text()[-2_000:]
        assert new.name == "late"
        for _ in range(200):
            try:
                await session.admin.member_promote(added.id)
                break
            except SessionError as error:
                assert "in sync" in error.message
                await asyncio.sleep(0.05)
        figures = await session.admin.figures()
        assert not next(each for each in figures if each.id == added.id).learner
        for _ in range(200):
            try:
                await session.admin.member_remove(added.id)
                break
            except SessionError as error:
                assert "unhealthy" in error.message
                await asyncio.sleep(0.1)
    assert added.id not in {each.id for each in await session.admin.figures()}


async def read_only(session: LiveSession) -> None:
    """Every deed of the part is refused on this side, below the screens."""
    admin = session.admin
    session.set_read_only(True)
    put = bytes(pb.PutRequest(key=b"k", value=b"v"))
    deeds: tuple[Awaitable[Any], ...] = (
        admin.auth_enable(),
        admin.auth_disable(),
        admin.user_add("x", "y"),
        admin.user_delete("x"),
        admin.user_password("x", "y"),
        admin.role_add("x"),
        admin.role_delete("x"),
        admin.grant_role("x", "y"),
        admin.revoke_role("x", "y"),
        admin.permit("x", "READ", b"a", b""),
        admin.forbid("x", b"a", b""),
        admin.disarm(AlarmView(1, "NOSPACE")),
        admin.compact(1, False),
        admin.defragment(session.endpoints[0]),
        admin.member_add(("http://x:1",), True),
        admin.member_remove(1),
        admin.member_update(1, ("http://x:1",)),
        admin.member_promote(1),
        session.rpcs.again(session.endpoints[0], "/etcdserverpb.KV/Put", put),
    )
    for deed in deeds:
        with pytest.raises(ReadOnly):
            await deed
    get = bytes(pb.RangeRequest(key=b"k"))
    reply = await session.rpcs.again(session.endpoints[0], "/etcdserverpb.KV/Range", get)
    assert not pb.RangeResponse.parse(reply).kvs
    session.set_read_only(False)


async def log_again(pilot: Pilot[None], app: KvorumApp, session: LiveSession) -> None:
    """A call of the log is made again, and its command line does the same."""
    await session.save(b"/logged", b"it's here", -1)
    await pilot.press("0")
    await shows(pilot, "p50", "!KV/Txn")
    await session.get(b"/logged")
    pane = app.pane_of(LogPane)
    watch = next(e for e in pane.log_model.entries if e.method == "Watch/Watch" and e.open)
    seen = watch.received
    await session.save(b"/logged", b"it's here", -1)
    await until(pilot, lambda: watch.received > seen, "the stream's line grew")
    await pilot.press("slash", *"/logged !txn", "enter", "end", "y")
    await until(pilot, lambda: app.clipboard.startswith("etcdctl get --endpoints="), "copied")
    done = await asyncio.to_thread(
        subprocess.run,
        app.clipboard,
        shell=True,
        env=os.environ | {"ETCDCTL_API": "3"},
        input=PASSWORD.encode() + b"\n",  # --user is in the line, its password never is.
        capture_output=True,
        check=True,
    )
    assert done.stdout.endswith(b"/logged\nit's here\n")
    before = pane.log_model.total
    await pilot.press("enter")
    await until(pilot, lambda: pane.log_model.total > before, "made again")


def doctor(cluster: ClusterHandle, program: str) -> None:
    """``kvorum doctor``, and the list of what does not work."""
    command = [sys.executable, "-m", "kvorum", "doctor", "-w", "json"]
    command += ["--endpoints", ",".join(cluster.endpoints)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["worst"] == "ok"
    assert told["kinds"] == [program]
    subjects = {each["subject"] for each in told["findings"]}
    assert {
        "quorum",
        "reach",
        "leader",
        "alarms",
        "space",
        "versions",
        "clocks",
        "auth",
    } <= subjects
    limits = " ".join(each["feature"] for each in told["limits"])
    assert ("raft logs" in limits) is (program == "etcd")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_looking_after_a_cluster(kvorum_cluster: Launch, program: str, tmp_path: Path) -> None:
    cluster = kvorum_cluster(3, program=program)
    folder = tmp_path / "files"
    folder.mkdir()

    async def body(pilot: Pilot[None], app: KvorumApp, session: LiveSession) -> None:
        await users_and_auth(pilot, app, session)
        await space(pilot, app, session)
        await snapshots(pilot, app, session, folder)
        await alarms(session)
        await read_only(session)
        await membership(session, program, folder)
        await pilot.press("V")
        await shows(pilot, "nothing looks wrong", "What does not work here")
        server = app.pane_of(AdminPane).views["server"]
        assert server.facts.figures
        await log_again(pilot, app, session)

    on_admin(cluster, body)
    doctor(cluster, program)

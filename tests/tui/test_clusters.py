"""Several clusters in one terminal, contexts, and what read-only means where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kvorum.client import Tunnel
from kvorum.client.contexts import Context
from kvorum_tui.app import KvorumApp
from kvorum_tui.clusters import connect_live
from kvorum_tui.screens.open_cluster import ContextList
from kvorum_tui.session import Session
from kvorum_tui.twin import environment
from textual.pilot import Pilot
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until

CONTEXTS = """
current = "prod"
[contexts.prod]
endpoints = ["http://prod-a:2379"]
colour = "red"
[contexts.here]
endpoints = ["http://127.0.0.1:2379"]
[contexts.login]
endpoints = ["http://127.0.0.1:2379"]
user = "ops"
"""


class Opened:
    """What was connected to."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.calls: list[tuple[str, str | None, bool]] = []
        self.sessions: dict[str, FakeSession] = {}

    def __call__(self, context: Context, password: str | None, read_only: bool) -> Session:
        self.contexts.append(context)
        self.calls.append((context.name, password, read_only))
        made = FakeSession({b"/of/" + context.name.encode(): b"1"}, read_only=read_only)
        self.sessions[context.name] = made
        return made


def on_app(
    body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contexts: str = CONTEXTS
) -> None:
    path = tmp_path / "contexts.toml"
    path.write_text(contexts)
    monkeypatch.setenv("KVORUM_CONTEXTS", str(path))

    async def run() -> None:
        opened = Opened()
        app = KvorumApp(FakeSession({b"/first": b"1"}), "first", connect=opened)
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            await shows(pilot, "3/3 up", "Keys · 1")
            await body(pilot, app, opened)

    asyncio.run(run())


def test_a_second_cluster_from_a_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        assert "clusters" not in frame(app).splitlines()[0]
        await pilot.press("at")
        await shows(pilot, "Open a cluster", "prod", "read-only", "here", "read-write")
        await pilot.press("enter")
        await shows(pilot, "READ-ONLY", "[ prod  RO]", "of/")
        assert opened.calls == [("prod", None, True)]
        await pilot.press("greater_than_sign")
        await shows(pilot, "[first]")
        assert app.session is not opened.sessions["prod"]
        assert "READ-ONLY" not in frame(app)
        await pilot.press("less_than_sign")
        await until(pilot, lambda: app.session is opened.sessions["prod"])
        await pilot.press("ctrl+w")
        await until(pilot, lambda: len(app.workspaces) == 1)
        assert ("close",) in opened.sessions["prod"].calls
        await pilot.press("ctrl+w")
        await shows(pilot, "this is the only cluster")

    on_app(body, tmp_path, monkeypatch)


def test_a_password_is_asked_for_and_addresses_may_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        await pilot.press("at")
        await shows(pilot, "Open a cluster")
        await pilot.press("down", "down", "enter")
        await shows(pilot, "the password of ops")
        await pilot.press(*"pw", "enter")
        await until(pilot, lambda: opened.calls == [("login", "pw", False)])
        await pilot.press("ctrl+t")
        await shows(pilot, "Open a cluster")
        await pilot.press("tab", *"far", "space", "enter")
        await until(pilot, lambda: len(opened.calls) == 2)
        assert opened.calls[1][1:] == (None, True)
        assert len(app.workspaces) == 3

    on_app(body, tmp_path, monkeypatch)


def test_a_cluster_behind_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        await pilot.press("at")
        await shows(pilot, "127.0.0.1:2379 through ssh ops@bastion")
        await pilot.press("tab", *"127.0.0.1 via a b", "enter")
        await shows(pilot, "no place to log in")
        await pilot.press("backspace", "backspace", "enter")
        await until(pilot, lambda: len(opened.contexts) == 1)
        assert opened.contexts[0].tunnel == Tunnel(ssh="a")
        assert opened.calls[0][1:] == (None, True)  # It is not on this machine.

    behind = 'endpoints = ["http://127.0.0.1:2379"]\nssh = "ops@bastion"\n'
    on_app(body, tmp_path, monkeypatch, f"[contexts.behind]\n{behind}")


def test_a_context_s_tunnel_is_the_session_s() -> None:
    context = Context("inner", ("http://etcd:2379",), proxy_command="nc {host} {port}")
    session = connect_live(context, None, True)
    assert session.access.tunnel == context.tunnel is not None
    assert environment(session)["KVORUM_PROXY_COMMAND"] == "nc {host} {port}"


def test_a_context_is_found_by_the_letters_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        await pilot.press("at")
        await shows(pilot, "Open a cluster", "▐ ▌ read-write")  # Told by more than a colour.
        names = app.screen.query(ContextList).first()
        await pilot.press(*"pro")
        assert names.names[names.highlighted or 0] == "prod"
        await pilot.press("l")  # No name goes on like that: another one begins.
        assert names.names[names.highlighted or 0] == "login"
        await pilot.press("escape")
        assert opened.calls == []

    on_app(body, tmp_path, monkeypatch)


def test_a_wrong_address_and_a_wrong_file_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        await pilot.press("at")
        await shows(pilot, "context x", "colur", "not known")
        await pilot.press(*"ftp://x", "enter")
        await shows(pilot, "scheme must be")
        await pilot.press("escape")
        assert opened.calls == []

    on_app(body, tmp_path, monkeypatch, '[contexts.x]\nendpoints = ["a"]\ncolur = "red"\n')


def test_writing_is_allowed_and_refused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(pilot: Pilot[None], app: KvorumApp, opened: Opened) -> None:
        await pilot.press("at", "enter")
        await shows(pilot, "READ-ONLY")
        fake = opened.sessions["prod"]
        await pilot.press("ctrl+e")
        await shows(pilot, "Allow writing?", "Type prod")
        await pilot.press(*"prod", "enter")
        await until(pilot, lambda: not fake.read_only)
        await until(pilot, lambda: "READ-ONLY" not in frame(app))
        await pilot.press("ctrl+e")
        await until(pilot, lambda: fake.read_only)
        fake.read_only_for_ever = "this is a recording"
        await pilot.press("ctrl+e")
        await shows(pilot, "this is a recording")
        assert fake.read_only

    on_app(body, tmp_path, monkeypatch)

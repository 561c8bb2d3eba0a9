"""The terminal in a browser: who may come in, and that it is the terminal."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, CookieJar, WSServerHandshakeError, web
from api.client.commands import environment
from kvorum_tui import web as module
from unit.client.fakes import unused_endpoint

PATIENCE_S = 60
Body = Callable[[ClientSession, str], Awaitable[None]]


@asynccontextmanager
async def served(command: str) -> AsyncIterator[str]:
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    sock = module.listener("127.0.0.1", 0)
    task = asyncio.create_task(
        module.serve(command, sock, "kvorum", "geheim", address.set_result, stop)
    )
    try:
        yield await address
    finally:
        stop.set()
        await task


def on_web(body: Body, command: str = "exit 0") -> None:
    async def run() -> None:
        async with (
            served(command) as address,
            ClientSession(cookie_jar=CookieJar(unsafe=True)) as http,
        ):
            await asyncio.wait_for(body(http, address), PATIENCE_S)

    asyncio.run(run())


def base(address: str) -> str:
    return f"http://{urlsplit(address).netloc}"


def test_without_the_token_nothing_is_given() -> None:
    async def body(http: ClientSession, address: str) -> None:
        for path in ("/", "/static/css/xterm.css", "/?token=wrong"):
            async with http.get(base(address) + path) as answer:
                assert answer.status == 403
                assert "token" in await answer.text()
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(base(address) + "/ws")
        assert refused.value.status == 403

    on_web(body)


def test_other_sites_and_other_names_are_refused() -> None:
    async def body(http: ClientSession, address: str) -> None:
        async with http.get(address) as answer:
            assert answer.status == 200
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "token" not in str(answer.url)
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            async with http.get(base(address) + "/", headers=headers) as answer:
                assert answer.status == 403
        with pytest.raises(WSServerHandshakeError):
            await http.ws_connect(base(address) + "/ws", origin="http://evil.example")

    on_web(body)


def test_it_is_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    arguments = ["-m", "kvorum", "tui", "--endpoints", unused_endpoint()]
    command = "exec " + shlex.join([sys.executable, *arguments])

    async def body(http: ClientSession, address: str) -> None:
        async with http.get(address) as answer:
            assert answer.status == 200
        async with http.ws_connect(base(address) + "/ws?width=80&height=24") as socket:
            seen = b""
            while b"Keys" not in seen or b"kvorum" not in seen:
                message = await socket.receive()
                assert message.data is not None
                seen += message.data if isinstance(message.data, bytes) else b""

    on_web(body, command)


def test_only_so_many_at_once() -> None:
    async def body(http: ClientSession, address: str) -> None:
        async with http.get(address) as answer:
            assert answer.status == 200
        sockets = [await http.ws_connect(base(address) + "/ws") for _ in range(module.VISITORS_MAX)]
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(base(address) + "/ws")
        assert refused.value.status == web.HTTPServiceUnavailable.status_code
        await asyncio.gather(*(socket.close() for socket in sockets))

    on_web(body, "exec sleep 30")


def test_it_stays_on_this_machine() -> None:
    with pytest.raises(ValueError, match=r"0.0.0.0 is not on this machine"):
        module.listener("0.0.0.0", 0)
    taken = module.listener("127.0.0.1", 0)
    taken.listen()
    with pytest.raises(OSError, match="in use"):
        module.listener("127.0.0.1", taken.getsockname()[1])
    taken.close()

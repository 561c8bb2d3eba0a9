"""Doors before client ports: bytes pass, wait, and pass again; connections are reset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from kvorum.drill.doors import Doors

Talk = Callable[[Doors, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def through_a_door(talk: Talk) -> None:
    """Let ``talk`` speak with an echo behind a door."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(100):
                writer.write(piece)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    doors = Doors()
    url = await doors.stand("n1", f"https://127.0.0.1:{port}")
    assert url.startswith("https://127.0.0.1:")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
        await talk(doors, reader, writer)
    finally:
        writer.close()
        await doors.close()
        server.close()


def test_what_is_held_back_comes_later() -> None:
    async def talk(
        doors: Doors, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert doors.shut("n1") == 1
        writer.write(b"later")
        answer = asyncio.create_task(reader.readexactly(5))
        done, _ = await asyncio.wait([answer], timeout=0.1)
        assert not done
        assert doors.unshut("n1") == 5
        assert await asyncio.wait_for(answer, 10) == b"later"

    asyncio.run(through_a_door(talk))


def test_a_slammed_door_resets() -> None:
    async def talk(
        doors: Doors, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert doors.slam("n1") == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(1), 10)

    asyncio.run(through_a_door(talk))


def test_only_who_has_a_door_has_one() -> None:
    async def talk(
        doors: Doors, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert doors.has("n1") and not doors.has("n2")

    asyncio.run(through_a_door(talk))

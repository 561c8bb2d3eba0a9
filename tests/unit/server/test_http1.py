"""Connections of HTTP/1.1: heads have a bound in time, rests between requests and bodies have none
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from kvorum.server.http1 import HttpConnection

HEAD_S = 0.3
GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served() -> AsyncIterator[Callable[[], Awaitable[Pair]]]:
    """A page that says what it was sent; connect with what is given."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=b"<" + await request.read() + b">")

    async def deaf(request: web.Request) -> web.Response:
        return web.Response(body=b"<>")

    app = web.Application()
    app.router.add_route("*", "/page", page)
    app.router.add_route("*", "/deaf", deaf)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: HttpConnection(manager, head_s=HEAD_S, access_log=None), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        return reader, writer

    try:
        async with asyncio.timeout(30):
            yield connect
    finally:
        for writer in opened:
            writer.close()
        server.close()
        await runner.cleanup()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The next answer's body."""
    await reader.readuntil(b"\r\n\r\n<")
    return (await reader.readuntil(b">"))[:-1]


async def trickle_until_closed(pair: Pair, piece: bytes) -> None:
    """Send something now and then for as long as somebody takes it."""
    reader, writer = pair
    ended = asyncio.ensure_future(reader.read())
    while not ended.done():
        if not writer.is_closing():
            writer.write(piece)
        await asyncio.wait((ended,), timeout=HEAD_S / 10)
    await asyncio.gather(ended, return_exceptions=True)


def test_a_head_that_does_not_end_costs_the_connection_and_a_rest_does_not() -> None:
    async def main() -> None:
        async with served() as connect:
            resting, fresh = await connect(), await connect()
            resting[1].write(GET)
            assert await answer(resting[0]) == b""
            slow, again = await connect(), await connect()
            slow[1].write(b"GET /page HTTP/1.1\r\nHost: x\r\n")
            await trickle_until_closed(slow, b"a: b\r\n")
            # Also after a request that was answered.
            again[1].write(GET)
            assert await answer(again[0]) == b""
            await trickle_until_closed(again, b"G")
            # Both have waited for as long, with nothing of a head.
            for reader, writer in (resting, fresh):
                writer.write(GET)
                assert await answer(reader) == b""

    asyncio.run(main())


def test_a_head_in_pieces_and_a_body_that_is_slow_are_served() -> None:
    async def main() -> None:
        async with served() as connect:
            (reader, writer), slow = await connect(), await connect()
            for at in range(len(POST)):
                writer.write(POST[at : at + 1])
                await asyncio.sleep(0)
            writer.write(b"bo")
            # The time of a head passes.
            slow[1].write(b"GET /page")
            await trickle_until_closed(slow, b"x")
            writer.write(b"dy")
            assert await answer(reader) == b"body"
            writer.write(GET)
            assert await answer(reader) == b""

    asyncio.run(main())


def test_requests_in_a_row_are_all_answered() -> None:
    async def main() -> None:
        async with served() as connect:
            reader, writer = await connect()
            writer.write(GET + POST + b"body" + GET[:10])
            assert [await answer(reader) for _ in range(2)] == [b"", b"body"]
            writer.write(GET[10:])
            assert await answer(reader) == b""

    asyncio.run(main())


def test_a_body_that_nobody_read_is_no_head() -> None:
    async def main() -> None:
        async with served() as connect:
            (reader, writer), slow = await connect(), await connect()
            writer.write(POST.replace(b"/page", b"/deaf") + b"bo")
            assert await answer(reader) == b""
            writer.write(b"d")
            slow[1].write(b"GET /page")
            await trickle_until_closed(slow, b"x")
            writer.write(b"y" + GET)
            assert await answer(reader) == b""
            # From here on it is bounded again.
            await trickle_until_closed((reader, writer), b"G")

    asyncio.run(main())

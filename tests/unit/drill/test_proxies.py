"""Proxies between members: which way a connection goes, held back while cut, let through after."""

from __future__ import annotations

import asyncio

import pytest
from kvorum.cluster.rundir import free_port
from kvorum.drill.proxies import Proxies
from kvorum.drill.scenario import Step
from kvorum.drill.stage import Fault, Link

NAMES = {"a1": "n1", "b2": "n2"}
READS = b"GET /raft/stream/message/b2 HTTP/1.1\r\nHost: x\r\nX-Server-From: A1\r\n\r\n"
BRINGS = b"POST /raft HTTP/1.1\r\nHost: x\r\nX-Server-From: a1\r\n\r\n"
UNKNOWN = b"GET /raft/probing HTTP/1.1\r\nHost: x\r\n\r\n"


def cut(*links: Link) -> Fault:
    return Fault(Step(1, "sever", for_s=1.0), (), links)


async def talk(head: bytes, fault: Fault) -> tuple[bool, bytes]:
    """Send a head to n2 through its proxy while ``fault`` is in force: whether it was held back,
    and what came of it in the end.
    """
    taken: set[int] = set()
    port, target = free_port(taken), free_port(taken)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", target)
    proxies = Proxies(lambda id_: NAMES.get(id_, ""))
    await proxies.open("n2", port, target)
    proxies.inject(fault)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head)
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        while not proxies.held and not answer.done():
            await asyncio.sleep(0.005)
        held = not answer.done()
        proxies.lift(fault)
        return held, await asyncio.wait_for(answer, 10)
    finally:
        writer.close()
        await proxies.close()
        server.close()


@pytest.mark.parametrize(
    ("head", "links", "held"),
    [
        (READS, [("n2", "n1")], True),
        (READS, [("n1", "n2")], False),
        (BRINGS, [("n1", "n2")], True),
        (BRINGS, [("n2", "n1")], False),
        (READS, [("n2", "n3"), ("n3", "n2")], False),
        (UNKNOWN, [("n1", "n2"), ("n2", "n1")], False),
    ],
)
def test_a_cut_takes_one_way_of_one_pair(head: bytes, links: list[Link], held: bool) -> None:
    assert asyncio.run(talk(head, cut(*links))) == (held, head)

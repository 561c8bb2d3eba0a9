"""Who answers at a peer's address may say anything: the link goes on, and questions fail in ways
that their askers expect.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from kvorum.replica.inputs import Input, Unreachable
from kvorum.server.dial import BROKEN, ask_peer, channel_to
from kvorum.server.faults import FaultGate
from kvorum.server.joining import MEMBERS_PATH
from kvorum.server.link import PeerLink, Self
from kvorum_proto.codec import encode
from kvorum_proto.kvorum import v1
from support.hostile import answers, run_against

ACK = encode(v1.PeerAck(cluster_id=1, member_id=2))
LINK_ANSWERS = answers(ACK)
MEMBERS_ANSWERS = answers(encode(v1.PeerMembersResponse(cluster_id=1)))


@pytest.mark.parametrize("case", LINK_ANSWERS)
def test_a_link_outlives_every_answer(case: str) -> None:
    async def dial(port: int) -> None:
        loop = asyncio.get_running_loop()
        posted: list[Input] = []
        lost = asyncio.Event()

        def post(happened: Input) -> None:
            posted.append(happened)
            lost.set()

        gate = FaultGate(loop, random.Random(1))
        link = PeerLink(
            Self(1, 1, ()),
            2,
            (f"http://127.0.0.1:{port}",),
            post,
            gate,
            random.Random(1),
            lambda: pytest.fail("nobody said that"),
        )
        running = asyncio.ensure_future(link.run())
        waiting = asyncio.ensure_future(lost.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running.exception()
        assert posted[0] == Unreachable(2)
        assert not link.connected
        link.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        gate.close()

    run_against(LINK_ANSWERS[case], dial)


@pytest.mark.parametrize("case", MEMBERS_ANSWERS)
def test_a_question_fails_as_its_asker_expects(case: str) -> None:
    async def dial(port: int) -> None:
        channel = channel_to(f"http://127.0.0.1:{port}")
        try:
            with pytest.raises(BROKEN):
                async with asyncio.timeout(1):
                    await ask_peer(
                        channel, MEMBERS_PATH, v1.PeerMembersRequest(), v1.PeerMembersResponse
                    )
        finally:
            channel.close()

    run_against(MEMBERS_ANSWERS[case], dial)

"""Whatever a server answers, a client's caller gets an error of the client's own."""

from __future__ import annotations

import pytest
from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.codec import encode
from support.hostile import answers, run_against

ANSWERS = answers(encode(pb.RangeResponse(count=1)))
FINE_IN_A_STREAM = ("no message", "nothing but OK")


@pytest.mark.parametrize("case", ANSWERS)
def test_a_call_with_one_answer(case: str) -> None:
    async def ask(port: int) -> None:
        async with Client([f"http://127.0.0.1:{port}"], timeout_s=0.4) as client:
            with pytest.raises(ClientError):
                await client.get(b"k")

    run_against(ANSWERS[case], ask)


@pytest.mark.parametrize("case", [x for x in ANSWERS if x not in FINE_IN_A_STREAM])
def test_a_call_with_a_stream_of_answers(case: str) -> None:
    async def ask(port: int) -> None:
        async with Client([f"http://127.0.0.1:{port}"], timeout_s=0.4) as client:
            with pytest.raises(ClientError):
                async for _ in client.maintenance.snapshot(timeout_s=2.0):
                    pass

    run_against(ANSWERS[case], ask)

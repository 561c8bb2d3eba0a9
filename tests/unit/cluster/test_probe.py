"""Whatever answers where a node should be, the supervisor's question has an answer or none."""

from __future__ import annotations

import pytest
from kvorum.cluster.probe import ask
from kvorum_proto.codec import encode
from kvorum_proto.etcdserverpb import StatusResponse
from support.hostile import END, OK, answers, headers, message, run_against

USER_EMPTY = (b"grpc-message", b"etcdserver: user name is empty")
ANSWERS = answers(encode(StatusResponse(raft_term=3))) | {
    # The page that is asked for then comes from a server that speaks HTTP/2 only.
    "users only": headers((*OK, (b"grpc-status", b"3"), USER_EMPTY), end=True),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_no_answer(case: str) -> None:
    async def probe(port: int) -> None:
        assert await ask(f"http://127.0.0.1:{port}", 0.5) is None

    run_against(ANSWERS[case], probe)


def test_an_answer() -> None:
    good = encode(StatusResponse(raft_term=3, leader=7))

    async def probe(port: int) -> None:
        answer = await ask(f"http://127.0.0.1:{port}", 5.0)
        assert answer is not None and (answer.term, answer.leader_id) == (3, 7)

    run_against(headers(OK) + message(good) + headers(END, end=True), probe)

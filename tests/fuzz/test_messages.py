"""Message bodies for every method: what the codec makes of bytes is a message or a refusal in
etcd's words, for any bytes whatsoever.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from fuzz.streams import damaged, message
from grpclib.exceptions import GRPCError
from kvorum_proto.codec import ServerCodec, decode, encode
from kvorum_proto.services import METHODS

BODIES = int(os.environ.get("KVORUM_FUZZ_BODIES", "150"))
REFUSALS = ("grpc: error unmarshalling request: ", "etcdserver: too many operations")


@pytest.mark.parametrize("path", sorted(METHODS))
def test_any_bytes_are_a_message_or_refused(path: str) -> None:
    codec, cls = ServerCodec(), METHODS[path].request
    for number in range(BODIES):
        rng = Random(f"{path} {number}")
        body = message(rng, 4)
        if number % 2:
            body = damaged(rng, body)
        try:
            found = codec.decode(body, cls)
        except GRPCError as error:
            assert (error.message or "").startswith(REFUSALS), (path, number)
            continue
        # What was understood can be said again, and means the same.
        assert decode(cls, encode(found)) == found, (path, number)

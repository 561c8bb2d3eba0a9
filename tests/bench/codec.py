"""How long encoding and decoding take: this codec, betterproto2's own, and google.protobuf's upb.

    python tests/bench/codec.py

Prints microseconds a message, the best of several rounds, the three taken in turn so that a busy
machine hits them alike; read the ratios rather than the figures. The last lines are a range of
1,000 keys joined from stored bytes, which is how a node answers one: pairs as they are, and pairs
kept with tag and length in front.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from betterproto2 import Message
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from kvorum_proto import descriptors, wire
from kvorum_proto.codec import decode, encode
from kvorum_proto.etcdserverpb import (
    Compare,
    CompareTarget,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RequestOp,
    ResponseHeader,
    TxnRequest,
    WatchResponse,
)
from kvorum_proto.jsonnames import full_name
from kvorum_proto.mvccpb import Event, KeyValue

ROUNDS = 9
ROUND_S = 0.02


def samples() -> dict[str, Message]:
    """The messages measured, as a busy cluster would send them."""
    header = ResponseHeader(
        cluster_id=0xCDF818194E3A8C32, member_id=0x8E9E05C52164694D, revision=123_456, raft_term=7
    )
    pair = KeyValue(
        key=b"/registry/pods/default/web-0017",
        create_revision=120_001,
        mod_revision=123_456,
        version=12,
        value=b"v" * 256,
    )
    many = [
        KeyValue(b"/registry/pods/default/web-%04d" % number, 120_001, 123_456, 12, b"v" * 256)
        for number in range(1000)
    ]
    put = PutRequest(key=pair.key, value=pair.value)
    condition = Compare(target=CompareTarget.MOD, key=pair.key, mod_revision=123_456)
    get = RangeRequest(key=pair.key)
    return {
        "PutRequest": put,
        "PutResponse": PutResponse(header=header),
        "RangeRequest": get,
        "TxnRequest": TxnRequest(
            compare=[condition],
            success=[RequestOp(request_put=put)],
            failure=[RequestOp(request_range=get)],
        ),
        "WatchResponse": WatchResponse(header=header, watch_id=3, events=[Event(kv=pair)]),
        "RangeResponse 1000": RangeResponse(header=header, kvs=many, count=1000),
    }


def best_us(actions: list[Callable[[], object]]) -> list[float]:
    """Microseconds of each action: the best of some rounds, the actions taking turns."""
    best = [float("inf")] * len(actions)
    counts = [1] * len(actions)
    for turn in range(ROUNDS + 1):
        for index, action in enumerate(actions):
            started = time.perf_counter()
            for _ in range(counts[index]):
                action()
            each = (time.perf_counter() - started) / counts[index]
            if turn == 0:
                counts[index] = max(1, int(ROUND_S / each))
            else:
                best[index] = min(best[index], each * 1e6)
    return best


def line(name: str, figures: list[float]) -> str:
    """One row: three figures, and how many times ours the two others are."""
    ours, plain, upb = figures
    ratios = f"{plain / ours:7.1f}x {upb / ours:7.2f}x"
    return f"{name:28}{ours:10.2f}{plain:12.2f}{upb:10.2f}   {ratios}"


def main() -> None:
    """Measures and prints."""
    twins = message_factory.GetMessages(
        FileDescriptorSet.FromString(descriptors.descriptor_set()).file
    )
    print(f"{'us a message':28}{'ours':>10}{'betterproto2':>12}{'upb':>10}{'   others / ours':>20}")
    for name, message in samples().items():
        data, cls, twin_cls = encode(message), type(message), twins[full_name(type(message))]
        twin = twin_cls.FromString(data)
        writers = [lambda: encode(message), lambda: bytes(message), twin.SerializeToString]  # noqa: B023
        readers = [
            lambda: decode(cls, data),  # noqa: B023
            lambda: cls.parse(data),  # noqa: B023
            lambda: twin_cls.FromString(data),  # noqa: B023
        ]
        print(line(f"{name} encode", best_us(writers)))
        print(line(f"{name} decode", best_us(readers)))
    ranged = samples()["RangeResponse 1000"]
    assert isinstance(ranged, RangeResponse)
    stored = [encode(pair) for pair in ranged.kvs]
    framed = [wire.field_bytes(2, pair) for pair in stored]
    spliced, joined = best_us([lambda: wire.join_repeated(2, stored), lambda: b"".join(framed)])
    print(f"{'RangeResponse 1000 spliced':28}{spliced:10.2f}")
    print(f"{'RangeResponse 1000 framed':28}{joined:10.2f}")


if __name__ == "__main__":
    main()

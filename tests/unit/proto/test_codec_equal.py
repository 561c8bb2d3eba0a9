"""The codec, betterproto2 and google.protobuf say the same of random messages of every class."""

from __future__ import annotations

from random import Random

import pytest
from betterproto2 import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum_proto.codec import decode, encode
from kvorum_proto.etcdserverpb import HashRequest
from kvorum_proto.wire import tag, uvarint
from unit.proto.samples import CLASSES, TWINS, random_message

MESSAGES_A_CLASS = 25


def _assert_all_agree(name: str, message: Message) -> None:
    cls, twin_cls = CLASSES[name], TWINS[name]
    data = encode(message)
    assert data == bytes(message)
    assert decode(cls, data) == message
    assert cls.parse(data) == message
    theirs = twin_cls.FromString(data).SerializeToString(deterministic=True)
    # google.protobuf sorts by field number and sorts maps; betterproto2 does neither.
    assert theirs == data or name == "kinds.AllKinds"
    assert decode(cls, theirs) == message
    assert twin_cls.FromString(theirs) == twin_cls.FromString(data)


def test_there_is_a_twin_for_every_class_and_a_class_for_every_twin() -> None:
    entries = {name for name in TWINS if name.startswith("kinds.") and name.endswith("Entry")}
    assert set(CLASSES) == set(TWINS) - entries
    assert len(CLASSES) > 170


@pytest.mark.parametrize("name", CLASSES)
def test_random_messages_agree(name: str) -> None:
    rng = Random(name)
    for _ in range(MESSAGES_A_CLASS):
        _assert_all_agree(name, random_message(rng, CLASSES[name]))


@pytest.mark.parametrize("name", CLASSES)
def test_the_empty_message_agrees(name: str) -> None:
    _assert_all_agree(name, CLASSES[name]())
    assert encode(CLASSES[name]()) == b""


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CLASSES)), st.randoms(use_true_random=False))
def test_messages_of_hypothesis_agree(name: str, rng: Random) -> None:
    _assert_all_agree(name, random_message(rng, CLASSES[name], depth=2))


def _unknown_field(rng: Random, number: int) -> bytes:
    """A field of a random wire type, groups with contents included."""
    wire_type = rng.choice([0, 1, 2, 3, 5])
    if wire_type == 0:
        return tag(number, 0) + uvarint(rng.choice([0, 1, 300, (1 << 64) - 1]))
    if wire_type == 3:
        return tag(number, 3) + _unknown_field(rng, 7) + tag(number, 4)
    body = rng.randbytes({1: 8, 2: rng.randrange(200), 5: 4}[wire_type])
    return tag(number, wire_type) + (uvarint(len(body)) if wire_type == 2 else b"") + body


@pytest.mark.parametrize("name", CLASSES)
def test_unknown_fields_survive(name: str) -> None:
    cls, twin_cls, rng = CLASSES[name], TWINS[name], Random(name)
    for _ in range(10):
        message = random_message(rng, cls)
        unknown = b"".join(_unknown_field(rng, rng.choice([500, 70_000])) for _ in range(3))
        before, after = rng.choice([(unknown, b""), (b"", unknown)])
        data = before + encode(message) + after
        decoded = decode(cls, data)
        assert decoded == message
        assert encode(decoded) == encode(message) + unknown == bytes(decoded)
        assert twin_cls.FromString(encode(decoded)) == twin_cls.FromString(data)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_without_fields_passes_everything_on(name: str) -> None:
    rng = Random(name)
    data = encode(random_message(rng, CLASSES[name]))
    assert encode(decode(HashRequest, data)) == data

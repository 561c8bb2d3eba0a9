"""Images: what is written, and that nothing damaged is believed."""

from __future__ import annotations

from random import Random
from struct import Struct
from zlib import crc32

import pytest
from kvorum import limits
from kvorum.machine.apply import ImageError, Machine, decode_image, encode_image
from kvorum.machine.commands import AlarmSet, Envelope, LeaseGrant, MemberAdd, MemberRemove, Put
from kvorum.machine.members import Member
from kvorum.machine.record import make_frame

SECTION = Struct("<cII")


def filled() -> Machine:
    """A machine with something of everything."""
    machine = Machine(2**64 - 1, (Member(2**63, "one", ("http://a:1",), ("http://a:2",)),))
    commands = [LeaseGrant(-4, 60), LeaseGrant(9, 600)]
    commands += [Put(b"k%d" % n, b"v" * n, -4 if n % 3 else 0) for n in range(12)]
    commands += [MemberAdd(5, ("http://b:1",), True), MemberAdd(6, ("http://c:1",))]
    commands += [MemberRemove(6), AlarmSet(1, 5, 1)]
    for index, command in enumerate(commands, 1):
        machine.apply(index, 3, Envelope(0, 0, 0, "", 0, command))
    return machine


def whole(machine: Machine) -> bytes:
    return b"".join(encode_image(machine.image()))


def sections(data: bytes) -> list[tuple[bytes, bytes]]:
    """The sections of an image, prelude left out."""
    at = data.index(b"\n") + 1
    found = []
    while at < len(data):
        kind, size, _ = SECTION.unpack_from(data, at)
        at += SECTION.size
        found.append((kind, data[at : at + size]))
        at += size
    return found


def spell(parts: list[tuple[bytes, bytes]]) -> bytes:
    """An image of these sections, with right checksums."""
    out = [b"kvorum machine image 1\n"]
    for kind, payload in parts:
        out += [SECTION.pack(kind, len(payload), crc32(payload, crc32(kind))), payload]
    return b"".join(out)


def test_sections_are_understood_here() -> None:
    data = whole(filled())
    assert spell(sections(data)) == data
    assert [kind for kind, _ in sections(data)] == [b"H", b"L", b"K", b"E"]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_chunks_may_be_cut_anywhere(size: int) -> None:
    data = whole(filled())
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert whole(decode_image(chunks)) == data


def test_large_states_come_in_many_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAGE_CHUNK_BYTES", 100)
    chunks = list(encode_image(filled().image()))
    assert len(chunks) > 5
    assert whole(decode_image(chunks)) == b"".join(chunks)


def test_the_image_is_a_cut() -> None:
    """What the machine does afterwards does not show in it."""
    machine = filled()
    image, before = machine.image(), whole(machine)
    for index in range(50):
        command = Put(b"k%d" % index, b"later")
        machine.apply(machine.applied_index + 1, 3, Envelope(0, 0, 0, "", 0, command))
    assert b"".join(encode_image(image)) == before
    assert whole(machine) != before


def test_the_decoded_machine_goes_on_alike() -> None:
    machine = filled()
    copy = decode_image(encode_image(machine.image()))
    copy.alarms.apply(AlarmSet(2, 5, 1))
    machine.alarms.apply(AlarmSet(2, 5, 1))
    for number in range(20):
        command = Put(b"k%d" % (number % 5), b"x", 9 if number % 2 else 0)
        entry = Envelope(0, 0, 0, "", 0, command)
        results = [m.apply(m.applied_index + 1, 4, entry) for m in (machine, copy)]
        assert results[0] == results[1]
    assert machine.digest == copy.digest
    assert whole(machine) == whole(copy)


def test_every_truncation_is_named() -> None:
    data = whole(filled())
    for cut in range(len(data)):
        with pytest.raises(ImageError, match=r"ends within its|prelude"):
            decode_image([data[:cut]])


def test_every_flipped_byte_is_noticed() -> None:
    data = whole(filled())
    random = Random(1)
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1 << random.randrange(8)
        with pytest.raises(ImageError):
            decode_image([bytes(broken)])


def changed(kind: bytes, payload: bytes) -> bytes:
    """The filled machine's image with one section replaced."""
    return spell([(k, payload if k == kind else p) for k, p in sections(whole(filled()))])


def head_with(old: bytes, new: bytes) -> bytes:
    (payload,) = [p for k, p in sections(whole(filled())) if k == b"H"]
    assert old in payload
    return changed(b"H", payload.replace(old, new))


GOOD = make_frame(b"k0", b"", 2, 2, 1, 0)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"something else, and long enough for it", "not that of a kvorum machine image"),
        (spell([(b"K", b"")]), "not the head"),
        (whole(filled()) + b"x", "bytes after the end"),
        (head_with(b'"revision":13', b'"revision":0'), "does not go with"),
        (head_with(b'"compact_revision":-1', b'"compact_revision":14'), "does not go with"),
        (head_with(b'"revision":13', b'"revision":"13"'), "a number that is none"),
        (head_with(b'"removed"', b'"removes"'), "the head cannot be read"),
        (head_with(b"{", b"["), "the head cannot be read"),
        (head_with(b'"digest"', b'"unheard_of"'), "the head cannot be read"),
        (changed(b"H", b"[]"), "the head cannot be read"),
        (changed(b"L", b"short"), "a section of leases has 5 bytes"),
        (changed(b"L", b"\0" * 48), "lease 0 is out of order"),
        (changed(b"L", Struct("<qqq").pack(9, 60, 0)), "hangs on lease -4, which does not exist"),
        (changed(b"K", b"\x0a" + GOOD), "does not begin where it should"),
        (changed(b"K", GOOD[:-1]), "does not fit its section"),
        (changed(b"K", b"\x12\xff\xff\xff\xff\xff\x01"), "cut off or too large"),
        (changed(b"K", b"\x12\x80"), "cut off or too large"),
        (changed(b"K", GOOD + GOOD), "is out of order"),
        (changed(b"K", make_frame(b"k", b"", 2, 99, 2, 0)), "create, mod and current revision"),
        (changed(b"K", make_frame(b"k", b"", 5, 4, 2, 0)), "create, mod and current revision"),
        (changed(b"K", b"\x12\x05\x0a\x01k\x18\x03"), "create, mod and current revision"),
        (changed(b"K", b"\x12\x08\x0a\x01k\x20\x01\x18\x03\x10\x02"), "canonical form|ends within"),
        (changed(b"K", GOOD), "the end tells of"),
        (changed(b"E", b""), "the end section has 0 bytes"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, text: str) -> None:
    with pytest.raises(ImageError, match=text):
        decode_image([data])


def test_sections_in_the_wrong_place() -> None:
    parts = dict(sections(whole(filled())))
    order = [(kind, parts[kind]) for kind in (b"H", b"L", b"K", b"L", b"E")]
    with pytest.raises(ImageError, match="section b'L' where none may be"):
        decode_image([spell(order)])


def test_a_section_that_claims_too_much_is_not_waited_for() -> None:
    data = b"kvorum machine image 1\n" + SECTION.pack(b"H", 2**32 - 1, 0)
    with pytest.raises(ImageError, match="claims 4294967295 bytes"):
        decode_image([data])

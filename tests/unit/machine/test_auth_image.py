"""Users and roles in images: both formats, and that nothing that does not add up is believed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from struct import Struct
from zlib import crc32

import pytest
from kvorum import limits
from kvorum.machine import auth_ops as ops
from kvorum.machine.apply import ImageError, Machine, decode_image, encode_image
from kvorum.machine.auth_codec import write_permission
from kvorum.machine.commands import Command, Envelope, LeaseGrant, Put
from kvorum.machine.packing import write_blob
from kvorum.machine.permissions import Permission

SECTION = Struct("<cII")
HEAD = Struct("<BqQQQQ")
Parts = list[tuple[bytes, bytes]]


def machine_of(*commands: Command) -> Machine:
    """A machine that was told these things, by root."""
    machine = Machine(7)
    for index, command in enumerate(commands, 1):
        machine.apply(index, 3, Envelope(0, 0, 0, "root", 1000, command))
    return machine


def filled() -> Machine:
    """Something of everything."""
    return machine_of(
        LeaseGrant(4, 60),
        Put(b"k", b"v", 4),
        ops.UserAdd("root", b"hash"),
        ops.UserGrantRole("root", "root"),
        ops.UserAdd("alice", b"\0\xff", False),
        ops.UserAdd("\N{SNOWMAN}", b"", True),
        ops.RoleAdd("r"),
        ops.RoleAdd("empty"),
        ops.RoleGrantPermission("r", Permission(2, b"b", b"d")),
        ops.RoleGrantPermission("r", Permission(0, b"b", b"")),
        ops.RoleGrantPermission("r", Permission(-5, b"a", b"\0")),
        ops.UserGrantRole("alice", "r"),
        ops.UserGrantRole("alice", "empty"),
        ops.AuthEnable(),
    )


def whole(machine: Machine) -> bytes:
    return b"".join(encode_image(machine.image()))


def sections(data: bytes) -> Parts:
    """The sections of an image, prelude left out."""
    at = data.index(b"\n") + 1
    found = []
    while at < len(data):
        kind, size, _ = SECTION.unpack_from(data, at)
        at += SECTION.size
        found.append((kind, data[at : at + size]))
        at += size
    return found


def spell(parts: Parts, number: int = 2) -> bytes:
    """An image of these sections, with right checksums."""
    out = [b"kvorum machine image %d\n" % number]
    for kind, payload in parts:
        out += [SECTION.pack(kind, len(payload), crc32(payload, crc32(kind))), payload]
    return b"".join(out)


def texts(*words: str) -> bytes:
    out: list[bytes] = []
    for word in words:
        write_blob(word.encode(), out)
    return b"".join(out)


def permission(role: str, *fields: int | bytes) -> bytes:
    out: list[bytes] = []
    write_permission(Permission(*fields), out)  # type: ignore[arg-type]  # tests pass them in order
    return texts(role) + b"".join(out)


def test_every_field_comes_back() -> None:
    machine = filled()
    copy = decode_image(encode_image(machine.image()))
    state = machine.auth.accounts.state()
    assert copy.auth.accounts.state() == state
    assert [user.name for user in state.users] == ["alice", "root", "\N{SNOWMAN}"]
    assert state.users[0].password == b"\0\xff"
    assert state.users[2].no_password
    assert (copy.statistics().auth_enabled, copy.statistics().auth_revision) == (True, 12)
    assert whole(copy) == whole(machine)


def test_sections_and_formats() -> None:
    data = whole(filled())
    assert b"".join(kind for kind, _ in sections(data)) == b"HAURGPLKE"
    assert spell(sections(data)) == data
    plain = whole(machine_of(Put(b"k", b"v")))
    assert plain.startswith(b"kvorum machine image 1\n")
    assert [kind for kind, _ in sections(plain)] == [b"H", b"K", b"E"]


# What the first release, which knew no users, wrote for a lease and a key on it.
FIRST_FORMAT = (
    b"kvorum machine image 1\n"
    b"H\xae\0\0\0\xb9Ca\x12"
    b'{"alarms":[],"applied_index":2,"applied_term":3,"cluster_id":7,"cluster_version":"",'
    b'"compact_revision":-1,"digest":3581805873881078561,"members":[],"removed":[],"revision":2}'
    b"L\x18\0\0\0NDh\xba\4\0\0\0\0\0\0\0<" + bytes(15) + b"K\x10\0\0\0\xd0\xe7\xf3\xbb"
    b"\x12\x0e\n\1k\x10\2\x18\2 \1*\1v0\4"
    b"E\x14\0\0\0\xd2G\3\xcb\1" + bytes(7) + b"\1" + bytes(7) + b"\xd6,kv"
)


def test_an_image_from_before_users_is_read() -> None:
    machine = decode_image([FIRST_FORMAT])
    assert machine.keyspace.frames.keys() == {b"k"}
    assert (machine.auth.enabled, machine.auth.revision) == (False, 1)
    assert machine.auth.user_names() == ()
    assert whole(machine) == FIRST_FORMAT
    assert whole(machine_of(LeaseGrant(4, 60), Put(b"k", b"v", 4))) == FIRST_FORMAT


def test_many_users_come_in_many_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    adding = [ops.UserAdd(f"user{n}", b"hash" * n) for n in range(30)]
    machine = machine_of(*adding)
    monkeypatch.setattr(limits, "IMAGE_CHUNK_BYTES", 200)
    data = whole(machine)
    assert [kind for kind, _ in sections(data)].count(b"U") > 5
    assert whole(decode_image([data])) == data


def test_every_truncation_and_flipped_byte_is_noticed() -> None:
    data = whole(filled())
    random = Random(3)
    for at in range(len(data)):
        with pytest.raises(ImageError):
            decode_image([data[:at]])
        broken = bytearray(data)
        broken[at] ^= 1 << random.randrange(8)
        with pytest.raises(ImageError):
            decode_image([bytes(broken)])


def test_random_bytes_in_right_frames_are_refused_or_canonical() -> None:
    """Damage that a checksum does not see."""
    parts = sections(whole(filled()))
    random, refused = Random(4), 0
    for _ in range(600):
        at = random.randrange(1, 6)
        kind, payload = parts[at]
        broken = bytearray(payload)
        broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
        data = spell([*parts[:at], (kind, bytes(broken)), *parts[at + 1 :]])
        try:
            assert whole(decode_image([data])) == data
        except ImageError:
            refused += 1
    assert 100 < refused < 600


def replaced(kind: bytes, payload: bytes) -> Callable[[Parts], Parts]:
    return lambda parts: [(k, payload if k == kind else p) for k, p in parts]


def swapped(parts: Parts) -> Parts:
    return [parts[0], parts[1], parts[3], parts[2], *parts[4:]]


def late(parts: Parts) -> Parts:
    """Users after the leases."""
    return [*parts[:5], parts[6], parts[5], *parts[7:]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda parts: [parts[0], *parts[6:]], "users and roles are missing"),
        (lambda parts: [parts[0], *parts[2:]], "section b'U' out of order"),
        (lambda parts: [*parts[:2], parts[1], *parts[2:]], "section b'A' out of order"),
        (swapped, "section b'U' out of order"),
        (late, "section b'P' where none may be"),
        (lambda parts: [*parts[:3], *parts[4:]], "one of them does not exist"),
        (lambda parts: [*parts[:5], *parts[6:]], "told .* found"),
        (replaced(b"A", HEAD.pack(1, 12, 3, 2, 3, 4)), "told .* found"),
        (replaced(b"A", HEAD.pack(2, 12, 3, 2, 3, 3)), "enabled 2"),
        (replaced(b"A", HEAD.pack(1, 0, 3, 2, 3, 3)), "at auth revision 0"),
        (replaced(b"A", b"short"), "section b'A' cannot be read"),
        (replaced(b"G", texts("alice", "empty", "alice", "r", "alice", "root")), "auth is on"),
        (replaced(b"G", texts("alice", "r", "alice", "empty", "root", "root")), "out of order"),
        (replaced(b"G", texts("alice", "r", "alice", "r", "root", "root")), "out of order"),
        (replaced(b"G", texts("nobody", "r")), "one of them does not exist"),
        (replaced(b"R", texts("r", "empty")), "role 'empty' is out of order"),
        (replaced(b"R", texts("")), "role '' is out of order"),
        (replaced(b"U", texts("b", "") + b"\0" + texts("a", "") + b"\0"), "user 'a' is out of"),
        (replaced(b"U", texts("a", "hash") + b"\1"), "has a password and may have none"),
        (replaced(b"U", texts("a", "hash") + b"\2"), "section b'U' cannot be read"),
        (replaced(b"U", b"\1\0\0\0\xff"), "section b'U' cannot be read"),
        (replaced(b"P", permission("none", 0, b"a", b"")), "that cannot be"),
        (replaced(b"P", permission("r", 0, b"b", b"a")), "that cannot be"),
        (
            replaced(b"P", permission("r", 0, b"b", b"") + permission("r", 0, b"a", b"")),
            "out of order",
        ),
        (
            replaced(b"P", permission("r", 0, b"b", b"") + permission("empty", 0, b"a", b"")),
            "out of order",
        ),
        (
            replaced(b"P", permission("r", 0, b"b", b"") + permission("r", 1, b"b", b"")),
            "two permissions for one range",
        ),
    ],
)
def test_what_does_not_add_up_is_named(change: Callable[[Parts], Parts], text: str) -> None:
    with pytest.raises(ImageError, match=text):
        decode_image([spell(change(sections(whole(filled()))))])


def test_each_format_has_its_own_sections() -> None:
    parts = sections(whole(filled()))
    with pytest.raises(ImageError, match="section b'A' where none may be"):
        decode_image([spell(parts, 1)])
    with pytest.raises(ImageError, match="format 1 or 2"):
        decode_image([spell(parts, 3)])
    untouched = sections(whole(machine_of(Put(b"k", b"v"))))
    untouched.insert(1, (b"A", HEAD.pack(0, 1, 0, 0, 0, 0)))
    with pytest.raises(ImageError, match="never changed"):
        decode_image([spell(untouched)])


def test_the_head_cannot_bring_users() -> None:
    kind, head = sections(whole(filled()))[0]
    data = spell([(kind, head[:-1] + b',"auth":[true,1,[],[]]}')], 1)
    with pytest.raises(ImageError, match="the head cannot be read"):
        decode_image([data])


def test_the_image_is_a_cut() -> None:
    machine = filled()
    image, before = machine.image(), whole(machine)
    changes = (ops.UserDelete("alice"), ops.RoleDelete("r"), ops.AuthDisable())
    for change in changes:
        entry = Envelope(0, 0, 0, "root", 1000, change)
        machine.apply(machine.applied_index + 1, 3, entry)
    assert b"".join(encode_image(image)) == before
    assert whole(machine) != before

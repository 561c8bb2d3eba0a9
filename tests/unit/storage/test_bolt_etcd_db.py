"""etcd's database file: what a source gives is what reading gives, and damage has a name."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from pathlib import Path

import pytest
from kvorum.machine.accounts import AuthState
from kvorum.machine.record import Record, varint
from kvorum.storage.bolt_page import BoltFault, Truncated
from kvorum.storage.bolt_write import BoltWriteError, Bucket, measure, write
from kvorum.storage.etcd_db import (
    BLOCK_BYTES,
    SEAL_BYTES,
    Change,
    EtcdDb,
    EtcdState,
    plan_etcd_db,
    read_etcd_db,
    write_etcd_db,
)
from kvorum.storage.etcd_records import encode_change, revision_key
from support.etcd_source import Source, full_source

Pair = tuple[bytes, bytes]


def file_of(path: Path, source: Source | EtcdDb) -> Path:
    path.write_bytes(b"".join(write_etcd_db(source)))
    return path


def db_of(path: Path, **pairs: list[Pair]) -> Path:
    """A sealed file with these pairs in its buckets, and nothing else."""
    buckets = [
        Bucket(name.encode(), lambda kept=kept: kept)  # type: ignore[misc]  # bound now
        for name, kept in {"key": [], "meta": [], **pairs}.items()
    ]
    data = b"".join(write(buckets, measure(buckets)))
    path.write_bytes(data + hashlib.sha256(data).digest())
    return path


def refused(path: Path) -> str:
    """The name of the fault with which a file is refused."""
    with pytest.raises(BoltFault) as caught, read_etcd_db(path):
        pass
    return type(caught.value).__name__


@pytest.mark.parametrize("revisions", [0, 1, 20, 3_000])
def test_a_source_reads_back(tmp_path: Path, revisions: int) -> None:
    source = full_source(revisions)
    with read_etcd_db(file_of(tmp_path / "db", source)) as db:
        assert db.state == source.state
        assert list(db.changes()) == list(db.changes()) == source.kept
        assert db.changes_total == len(source.kept)
        # The same again, from what was read.
        again = file_of(tmp_path / "again", db)
    assert again.read_bytes() == (tmp_path / "db").read_bytes()


@pytest.mark.parametrize(
    "state",
    [
        EtcdState(1),
        EtcdState(40, compact_revision=40, swept_revision=40),
        EtcdState(40, compact_revision=40, swept_revision=7),
        EtcdState(40, compact_revision=12),
        EtcdState(500, storage_version="3.6.0"),
        EtcdState(2**62, auth=AuthState(True, 2**64 - 1), applied_index=2**64 - 1),
    ],
)
def test_states_without_changes_read_back(tmp_path: Path, state: EtcdState) -> None:
    """Also a revision that no kept change reaches."""
    with read_etcd_db(file_of(tmp_path / "db", Source(state, []))) as db:
        assert db.state == state
        assert list(db.changes()) == []


def test_the_blocks_are_etcds(tmp_path: Path) -> None:
    """Blobs of 32 KiB, counted down from a size known before, and then the SHA-256 alone."""
    source = full_source(1_000)
    plan = plan_etcd_db(source)
    *blocks, seal = write_etcd_db(source, plan)
    left = plan.size_bytes
    for block in blocks:
        left -= len(block)
        assert len(block) == BLOCK_BYTES or left == 0
    assert left == 0
    assert seal == hashlib.sha256(b"".join(blocks)).digest()
    assert (plan.size_bytes + len(seal)) % 512 == SEAL_BYTES


def test_a_source_that_changes_between_the_passes(tmp_path: Path) -> None:
    source = full_source(1_000)
    plan = plan_etcd_db(source)
    del source.kept[:100]
    with pytest.raises(BoltWriteError, match="measured"):
        list(write_etcd_db(source, plan))


def test_changes_out_of_order_are_refused() -> None:
    source = full_source(10)
    source.kept.reverse()
    with pytest.raises(BoltWriteError, match="comes after"):
        plan_etcd_db(source)


def test_a_deletion_is_written_as_etcd_does() -> None:
    change = Change(3, 1, True, Record(b"gone", mod_revision=3))
    key, value = encode_change(change)
    assert key == b"\0\0\0\0\0\0\0\x03_\0\0\0\0\0\0\0\x01t"
    assert value == b"\x0a\x04gone"


def test_the_seal(tmp_path: Path) -> None:
    path = file_of(tmp_path / "db", full_source())
    whole = path.read_bytes()
    path.write_bytes(whole[:-SEAL_BYTES])
    assert refused(path) == "SealMissing"
    read_etcd_db(path, "optional").close()
    read_etcd_db(path, "ignored").close()
    path.write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
    assert refused(path) == "SealMismatch"
    with pytest.raises(BoltFault):
        read_etcd_db(path, "optional")
    read_etcd_db(path, "ignored").close()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_etcd_db(tmp_path / "db")


def test_truncation_anywhere_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "db", full_source(60))
    whole = path.read_bytes()
    sizes = {*range(0, len(whole), 509), *range(0, len(whole), 512), *range(32, len(whole), 512)}
    for size in sorted(sizes | {len(whole) - 1}):
        path.write_bytes(whole[:size])
        name = refused(path)
        assert name in ("Truncated", "SealMissing", "SealMismatch"), size
        if size < len(whole) - SEAL_BYTES:
            with pytest.raises(Truncated):
                read_etcd_db(path, "ignored")


def test_flipped_bits_never_pass_the_seal_nor_raise_anything_else(tmp_path: Path) -> None:
    path = file_of(tmp_path / "db", full_source(40))
    whole = path.read_bytes()
    source = random.Random(5)
    faults: set[str] = set()
    for _ in range(600):
        place = source.randrange(len(whole))
        if not any(whole[place : place + 16]):
            place = place & ~0xFFF | source.randrange(200)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        assert refused(path) == "SealMismatch"
        try:
            with read_etcd_db(path, "ignored") as db:
                assert sum(1 for _ in db.changes()) == db.changes_total
        except BoltFault as fault:
            faults.add(type(fault).__name__)
    assert len(faults) >= 5


def put(main: int, record: Record, sub: int = 0) -> Pair:
    return revision_key(main, sub), record.wire


GOOD = Record(b"k", b"v", 2, 2, 1)
MEMBER = b'{"id":10,"peerURLs":["http://h:1"]}'

BAD: dict[str, tuple[str, dict[str, list[Pair]]]] = {
    "a short revision": ("BadRevision", {"key": [(b"\0" * 8 + b"_" + b"\0" * 7, b"")]}),
    "a revision without its mark": ("BadRevision", {"key": [(b"\0" * 17, GOOD.wire)]}),
    "another mark than a deletion's": ("BadRevision", {"key": [(revision_key(2) + b"u", b"x")]}),
    "a negative revision": ("BadRevision", {"key": [(b"\xff" * 8 + b"_" + b"\0" * 8, b"")]}),
    "a put and a deletion at one place": (
        "BadRevision",
        {"key": [put(2, GOOD), (revision_key(2, 0, True), b"\x0a\x01k")]},
    ),
    "the record of another revision": ("BadRevision", {"key": [put(3, GOOD)]}),
    "a key from the future": ("BadRevision", {"key": [put(2, GOOD._replace(create_revision=3))]}),
    "a key from nowhere": ("BadRevision", {"key": [put(2, GOOD._replace(create_revision=0))]}),
    "a key of no version": ("BadRecord", {"key": [put(2, GOOD._replace(version=0))]}),
    "a key-value cut off": ("BadRecord", {"key": [(revision_key(2), GOOD.wire[:-1])]}),
    "a key-value with an unknown field": (
        "BadRecord",
        {"key": [(revision_key(2), GOOD.wire + b"\x38\x01")]},
    ),
    "a key-value without key": ("BadRecord", {"key": [(revision_key(2), GOOD.wire[3:])]}),
    "a deletion of nothing": ("BadRecord", {"key": [(revision_key(2, 0, True), b"\x18\x02")]}),
    "a deletion cut off": ("BadRecord", {"key": [(revision_key(2, 0, True), b"\x0a\x05abc")]}),
    "a deletion of a number": ("BadRecord", {"key": [(revision_key(2, 0, True), b"\x08\x05")]}),
    "a lease under another id": ("BadRecord", {"lease": [(b"\0" * 7 + b"\2", b"\x08\1\x10\1")]}),
    "a lease of id 0": ("BadRecord", {"lease": [(b"\0" * 8, b"\x10\1")]}),
    "a lease without time": ("BadRecord", {"lease": [(b"\0" * 7 + b"\1", b"\x08\1")]}),
    "a lease under a short key": ("BadRecord", {"lease": [(b"\1", b"\x08\1\x10\1")]}),
    "a lease with bytes for its time": (
        "BadRecord",
        {"lease": [(b"\0" * 7 + b"\1", b"\x08\1\x12\1x")]},
    ),
    "a number of 70 bits": ("BadRecord", {"lease": [(b"\0" * 7 + b"\1", b"\x08" + b"\xff" * 10)]}),
    "a field of a group": ("BadRecord", {"lease": [(b"\0" * 7 + b"\1", b"\x0b")]}),
    "an alarm of bytes": ("BadRecord", {"alarm": [(b"\x0a\1x", b"")]}),
    "a user of another name": ("BadRecord", {"authUsers": [(b"ann", b"\x0a\3bob")]}),
    "a user whose name is no text": ("BadRecord", {"authUsers": [(b"\xff", b"\x0a\1\xff")]}),
    "a user with a number for a role": ("BadRecord", {"authUsers": [(b"a", b"\x0a\1a\x18\1")]}),
    "a role of another name": ("BadRecord", {"authRoles": [(b"r", b"\x0a\1s")]}),
    "a permission cut off": ("BadRecord", {"authRoles": [(b"r", b"\x0a\1r\x12\2\x12\5")]}),
    "a member that is no JSON": ("BadRecord", {"members": [(b"a", b"{")]}),
    "a member that is no object": ("BadRecord", {"members": [(b"a", b"[]")]}),
    "a member under another id": ("BadRecord", {"members": [(b"b", MEMBER)]}),
    "a member with no hex for an id": ("BadRecord", {"members": [(b"x", MEMBER)]}),
    "a member with a number for an address": (
        "BadRecord",
        {"members": [(b"a", b'{"id":10,"peerURLs":[1]}')]},
    ),
    "a member nested without end": ("BadRecord", {"members": [(b"a", b"[" * 20_000)]}),
    "a member with endless digits": ("BadRecord", {"members": [(b"a", b"9" * 20_000)]}),
    "a removed member of 72 bits": ("BadRecord", {"members_removed": [(b"f" * 18, b"removed")]}),
    "a switch neither on nor off": ("BadRecord", {"auth": [(b"authEnabled", b"\2")]}),
    "an auth revision of two bytes": ("BadRecord", {"auth": [(b"authRevision", b"\0\1")]}),
    "an index of nothing": ("BadRecord", {"meta": [(b"consistent_index", b"")]}),
    "a compaction at no revision": ("BadRevision", {"meta": [(b"finishedCompactRev", b"9")]}),
    "a version that is no text": ("BadRecord", {"cluster": [(b"clusterVersion", b"\xff")]}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_refused_by_name(tmp_path: Path, name: str) -> None:
    fault, pairs = BAD[name]
    assert refused(db_of(tmp_path / "db", **pairs)) == fault


def test_a_bbolt_file_of_somebody_else(tmp_path: Path) -> None:
    buckets = [Bucket(b"meta", list), Bucket(b"jobs", lambda: [(b"a", b"b")])]
    data = b"".join(write(buckets, measure(buckets)))
    (tmp_path / "db").write_bytes(data + hashlib.sha256(data).digest())
    assert refused(tmp_path / "db") == "BucketMissing"


def test_what_other_releases_add_is_left_alone(tmp_path: Path) -> None:
    """Unknown buckets, unknown names of metadata, unknown fields of small records."""
    member = json.dumps({"id": 10, "peerURLs": None, "since": "3.9"}).encode()
    path = db_of(
        tmp_path / "db",
        key=[put(2, GOOD), (revision_key(9), b"")],
        meta=[(b"a", b"b"), (b"scheduledCompactRev", revision_key(4))],
        lease=[(b"\0" * 7 + b"\1", b"\x08\1\x10\7\x5a\1z\x61" + b"\0" * 8 + b"\x6d" + b"\0" * 4)],
        members=[(b"a", member)],
        test=[(b"x", b"y")],
    )
    with read_etcd_db(path) as db:
        assert [change.record for change in db.changes()] == [GOOD]
        assert (db.state.revision, db.state.compact_revision, db.state.swept_revision) == (9, 4, -1)
        assert db.state.leases[0].ttl_s == 7
        assert [(each.id, each.peer_urls) for each in db.state.members] == [(10, ())]


def test_damage_that_comes_after_the_check(tmp_path: Path) -> None:
    """A file that was sound when it was opened is not believed for ever."""
    path = file_of(tmp_path / "db", full_source())
    with read_etcd_db(path) as db:
        data = bytearray(path.read_bytes())
        for page in range(3, len(data) // 4096):
            struct.pack_into("<H", data, page * 4096 + 8, 0)
        path.write_bytes(data)
        with pytest.raises(BoltFault, match="wrong page kind: "):
            list(db.changes())


def test_large_varints_are_canonical() -> None:
    """What protobuf's own writers do with negative numbers, which leases may be."""
    assert varint(-5) == b"\xfb" + b"\xff" * 8 + b"\x01"
    key, value = encode_change(Change(2, 0, False, GOOD._replace(lease=-5)))
    assert value.endswith(b"\x30" + varint(-5))
    assert len(key) == 17

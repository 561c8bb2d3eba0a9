"""One member's directory, damaged in every kind of file: same data, said aloud, or refused by name.

A member that runs alone is copied while it runs (what kill -9 leaves), the copy is damaged and
started. It must never come up with older data; what it mends it says, and what it cannot it
refuses. Damage to the log is in ``test_wal_damage``, to snapshot files byte by byte in
``test_snapshot_damage``.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from kvorum.limits import SNAPSHOT_FILES_KEPT
from kvorum.machine.commands import Range
from kvorum.server.crash import FatalError
from kvorum.server.leaving import note_removed
from kvorum.server.runtime import Node
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.snapshot_file import Snapshots
from unit.server.members import Cluster, put

# Small files of the log, so that it is cut and does not reach back to the beginning.
SHAPE = {"snapshot_count": 20, "snapshot_catchup_entries": 5, "wal_segment_bytes": 2_048}
KEYS = 70


class Held(NamedTuple):
    """What a member holds: its revision and every live record."""

    revision: int
    records: tuple[object, ...]


async def held(node: Node) -> Held:
    """Read it all, as a client would."""
    done = await node.read(Range(b"\0", b"\0"))
    value = done.value
    return Held(node.machine.revision, tuple(value.records))  # type: ignore[attr-defined]  # a range's


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Held]:
    """A directory as a killed member leaves it, and what the member held."""
    directory = tmp_path_factory.mktemp("original")
    kept = directory / "kept"

    async def run() -> Held:
        made = Cluster(directory, 1, **SHAPE)
        await made.start()
        await made.ready()
        node = made.node(0)
        for number in range(KEYS):
            await put(node, f"k{number % 40}", f"v{number}")
        await until(lambda: len(list((directory / "n0/member/snap").glob("*.snap"))) > 2)
        for number in range(5):
            await put(node, "last", f"{number}")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        node.history.flush(  # type: ignore[attr-defined]  # the desk, behind its protocol
            lambda _: node.call_threadsafe(lambda: done.set_result(None))
        )
        await done
        was = await held(node)
        shutil.copytree(directory / "n0", kept)
        await made.stop_all()
        return was

    was = asyncio.run(run())
    (kept / "lock").unlink()
    assert (kept / "member/history.duckdb.wal").stat().st_size > 0, "something in DuckDB's log"
    return kept, was


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def flip(path: Path, share: float) -> None:
    """Flip one bit, so far into the file."""
    data = bytearray(path.read_bytes())
    data[int((len(data) - 1) * share)] ^= 0x10
    path.write_bytes(data)


def cut(path: Path, share: float) -> None:
    """Keep so much of a file."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def newest_snapshot(member: Path) -> Path:
    return max((member / "snap").glob("*.snap"), key=lambda path: path.name[17:])


def oldest_snapshot(member: Path) -> Path:
    return min((member / "snap").glob("*.snap"), key=lambda path: path.name[17:])


def each_snapshot(member: Path) -> Iterator[Path]:
    yield from (member / "snap").glob("*.snap")


def all_snapshots(change: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda member: [change(path) for path in each_snapshot(member)] and None


DATABASE, ITS_LOG = "history.duckdb", "history.duckdb.wal"
ASIDE = "set a broken history aside; it is rebuilt"
BROKEN_SNAPSHOT = "set a broken snapshot aside"
REBUILT = "the history was rebuilt from a snapshot"
SAME: tuple[str, ...] = ()
NO_SNAPSHOT = "no snapshot that the log follows is whole.*kvorum rejoin"
# What is done to the directory; sentences of which one must be said ("": none need be), or, with
# "refused", what the refusal says.
CASES: list[tuple[str, Callable[[Path], object], tuple[str, ...], str]] = [
    ("untouched", lambda m: None, SAME, ""),
    ("database deleted", lambda m: (m / DATABASE).unlink(), (ASIDE, REBUILT), ""),
    (
        "database and its log deleted",
        lambda m: [(m / name).unlink() for name in (DATABASE, ITS_LOG)],
        (REBUILT, "recovered"),
        "",
    ),
    ("its log deleted", lambda m: (m / ITS_LOG).unlink(), SAME, ""),
    *[
        (f"its log cut to {share}", lambda m, s=share: cut(m / ITS_LOG, s), SAME, "")
        for share in (0.0, 0.5, 0.99)
    ],
    *[
        (f"its log flipped at {share}", lambda m, s=share: flip(m / ITS_LOG, s), SAME, "")
        for share in (0.3, 0.95)
    ],
    *[
        (f"database cut to {share}", lambda m, s=share: cut(m / DATABASE, s), (ASIDE,), "")
        for share in (0.0, 0.5)
    ],
    *[
        (f"database flipped at {share}", lambda m, s=share: flip(m / DATABASE, s), SAME, "")
        for share in (0.0, 0.01, 0.3, 0.7)
    ],
    ("database is another file", lambda m: (m / DATABASE).write_bytes(b"x" * 50_000), (ASIDE,), ""),
    # The log reaches back to the one before.
    *[
        (f"newest snapshot {name}", lambda m, f=change: f(newest_snapshot(m)), told, "")
        for name, change, told in (
            ("cut", lambda path: cut(path, 0.5), (BROKEN_SNAPSHOT,)),
            ("flipped", lambda path: flip(path, 0.7), (BROKEN_SNAPSHOT,)),
            ("deleted", lambda path: path.unlink(), SAME),
            ("empty", lambda path: cut(path, 0.0), (BROKEN_SNAPSHOT,)),
        )
    ],
    (
        "newest snapshot cut, and database deleted",
        lambda m: [cut(newest_snapshot(m), 0.5), (m / DATABASE).unlink()],
        (REBUILT,),
        "",
    ),
    ("an older snapshot flipped", lambda m: flip(oldest_snapshot(m), 0.5), SAME, ""),
    *[
        (f"all snapshots {name}", all_snapshots(change), SAME, NO_SNAPSHOT)
        for name, change in (
            ("cut", lambda path: cut(path, 0.5)),
            ("flipped", lambda path: flip(path, 0.3)),
            ("deleted", lambda path: path.unlink()),
        )
    ],
    (
        "a defragmentation broke off",
        lambda m: [
            (m / f"history.duckdb.defragmented{end}").write_bytes(b"half") for end in ("", ".wal")
        ],
        SAME,
        "",
    ),
    (
        "a snapshot's arrival broke off",
        lambda m: [
            (m / "history.duckdb.incoming").write_bytes(b"half"),
            (m / "snap" / "0000000000000009-00000000000fffff.snap.tmp").write_bytes(b"half"),
        ],
        SAME,
        "",
    ),
    (
        "a whole snapshot that the log does not know",
        lambda m: shutil.copy(
            newest_snapshot(m), m / "snap" / "0000000000000009-00000000000fffff.snap"
        ),
        (BROKEN_SNAPSHOT,),
        "",
    ),
    ("removed", lambda m: note_removed(m, 1, 2), SAME, "permanently removed from the cluster"),
    (
        "removed, and the note flipped",
        lambda m: (note_removed(m, 1, 2), flip(m / "removed", 0.5)),
        SAME,
        "permanently removed from the cluster",
    ),
    (
        "removed, and the note cut",
        lambda m: (note_removed(m, 1, 2), cut(m / "removed", 0.0)),
        SAME,
        "permanently removed from the cluster",
    ),
]


@contextmanager
def copied(kept: Path, directory: Path) -> Iterator[Path]:
    """A copy to damage."""
    shutil.copytree(kept, directory / "n0")
    yield directory / "n0" / "member"


@pytest.mark.parametrize(
    ("name", "damage", "sentences", "refusal"), CASES, ids=[c[0] for c in CASES]
)
def test_damage_is_mended_said_or_refused(
    original: tuple[Path, Held],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], object],
    sentences: tuple[str, ...],
    refusal: str,
) -> None:
    kept, was = original
    caplog.set_level(logging.INFO)
    with copied(kept, tmp_path) as member:
        damage(member)

    async def run() -> Held:
        made = Cluster(tmp_path, 1, **SHAPE)
        try:
            await made.start()
            async with asyncio.timeout(60):
                await made.ready()
            return await held(made.node(0))
        finally:
            await made.stop_all()
            assert made.crashes == []

    if refusal:
        with pytest.raises(FatalError, match=refusal):
            asyncio.run(run())
        return
    assert asyncio.run(run()) == was
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert not sentences or any(sentence in said for sentence in sentences), said


def test_snapshots_that_the_log_does_not_know_push_none_out_that_it_knows(
    original: tuple[Path, Held], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a member leaves that dies again and again between a snapshot's file and its mark."""
    kept, was = original
    with copied(kept, tmp_path) as member:
        store = Snapshots(RealDisk(member / "snap"), lambda broken: None, keep=100)
        newest = store.load()
        assert newest is not None
        body = list(store.chunks(newest))
        for ahead in range(1, SNAPSHOT_FILES_KEPT + 2):
            meta = newest.meta._replace(index=newest.meta.index + 1_000 * ahead)
            store.save(meta, newest.revision, body)
        unknown = {snapshot.name for snapshot in each_snapshot(member)}
        unknown = {name for name in unknown if name > newest.name}
        assert len(unknown) > SNAPSHOT_FILES_KEPT

    async def run(writes: int) -> Held:
        made = Cluster(tmp_path, 1, **SHAPE)
        try:
            await made.start()
            await made.ready()
            assert not unknown & {path.name for path in each_snapshot(member)}
            before = {path.name for path in each_snapshot(member)}
            found = await held(made.node(0))
            for number in range(writes):
                await put(made.node(0), "more", f"{number}")
            if writes:
                await until(lambda: len({p.name for p in each_snapshot(member)} - before) >= 1)
            return found
        finally:
            await made.stop_all()
            assert made.crashes == []

    assert asyncio.run(run(2 * SHAPE["snapshot_count"])) == was
    assert "removed snapshots that the log does not know" in caplog.text
    assert asyncio.run(run(0)).revision == was.revision + 2 * SHAPE["snapshot_count"]

"""Damage to the data of a member that does not run, of the kind that no checksum finds: its newest
snapshot and its history say something else than the other members', and are whole.
"""

from __future__ import annotations

from pathlib import Path

from kvorum.history.database import HistoryDatabase
from kvorum.history.rows import Identity
from kvorum.machine.apply import decode_image, encode_image
from kvorum.machine.record import parse
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.snapshot_file import Snapshots
from kvorum.storage.wal import Wal


def spoil(data_dir: Path, key: bytes, value: bytes) -> int:
    """Give a key another value, everywhere below the log; the revision of the snapshot changed."""
    member = data_dir / "member"
    wal, recovered = Wal.open(RealDisk(member / "wal"))
    wal.close()
    store = Snapshots(RealDisk(member / "snap"), lambda broken: None)
    file = store.load(recovered.snapshots)
    assert file is not None and file.meta.index, "no snapshot was cut yet"
    image = decode_image(store.chunks(file)).image()
    record = parse(image.frames[key])._replace(value=value)
    changed = image._replace(frames={**image.frames, key: record.frame})
    store.save(file.meta, image.revision, encode_image(changed))
    identity = Identity(recovered.metadata.cluster_id, recovered.metadata.member_id)
    database = HistoryDatabase(member / "history.duckdb", identity)
    connection = database.connect()
    statement = "UPDATE history SET value = ? WHERE key = ? AND revision = ?"
    connection.execute(statement, [value, key, record.mod_revision]).fetchall()
    connection.execute("CHECKPOINT").fetchall()
    connection.close()
    database.close()
    return image.revision

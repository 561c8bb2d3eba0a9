"""A source of an etcd database for tests: keys with a life, and what they were at any revision."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kvorum.machine.accounts import AuthState, Role, User
from kvorum.machine.alarms import Alarm
from kvorum.machine.members import Member
from kvorum.machine.permissions import Permission
from kvorum.machine.record import Record
from kvorum.storage.etcd_db import Change, EtcdState, LeaseRecord

LEASES = (LeaseRecord(-5, 400), LeaseRecord(77, 3_600), LeaseRecord(88, 7_200, 5_000))
MEMBERS = (
    Member(5, "x", ("http://127.0.0.1:1",), ("http://127.0.0.1:2", "http://127.0.0.1:3")),
    Member(2**64 - 1, "", ("http://127.0.0.1:4",), (), True),
)


class Source:
    """A state and its changes, in memory."""

    def __init__(self, state: EtcdState, changes: Sequence[Change]) -> None:
        self.state = state
        self.kept = list(changes)

    def changes(self) -> Sequence[Change]:
        """All changes."""
        return self.kept

    def live_at(self, revision: int) -> dict[bytes, Record]:
        """The keys as they were at a revision."""
        live: dict[bytes, Record] = {}
        for change in self.kept:
            if change.revision > revision:
                break
            if change.deleted:
                live.pop(change.record.key, None)
            else:
                live[change.record.key] = change.record
        return dict(sorted(live.items()))


def lively_changes(revisions: int, seed: int = 1, keys: int = 0) -> list[Change]:
    """Puts and deletions, alone and several in a revision, with values of all sizes."""
    source = random.Random(seed)
    keys = keys or max(1, revisions // 3)
    live: dict[bytes, Record] = {}
    changes = []
    for revision in range(2, revisions + 2):
        for sub in range(source.choice((1, 1, 1, 3))):
            key = b"k%05d%c" % (source.randrange(keys), b"abc"[sub])
            before = live.get(key)
            if before is not None and source.random() < 0.2:
                del live[key]
                changes.append(Change(revision, sub, True, Record(key, mod_revision=revision)))
                continue
            size = source.choice(
                (4_000, 4_096, 9_000, 70_000) if source.random() < 0.01 else (0, 3, 30, 200)
            )
            record = Record(
                key,
                b"%d " % revision * (size // 4),
                before.create_revision if before else revision,
                revision,
                before.version + 1 if before else 1,
                source.choice((0, 0, 0, 77)),
            )
            live[key] = record
            changes.append(Change(revision, sub, False, record))
    return changes


def full_source(revisions: int = 300, password: bytes = b"$2b$04$hash") -> Source:
    """A source with something of everything."""
    state = EtcdState(
        revision=revisions + 1,
        applied_index=4_711,
        applied_term=5,
        cluster_version="3.4.0",
        members=MEMBERS,
        removed=(9, 2**63),
        alarms=(Alarm(5, 1), Alarm(7, 2)),
        leases=LEASES,
        auth=AuthState(
            revision=12,
            users=(
                User("ann", password, roles=("reader", "räuber")),
                User("cn", no_password=True),
                User("root", password, roles=("root",)),
            ),
            roles=(
                Role("reader", (Permission(0, b"k", b"l"), Permission(2, b"own"))),
                Role("root"),
                Role("räuber", (Permission(1, b"\0", b"\0"),)),
            ),
        ),
    )
    return Source(state, lively_changes(revisions))

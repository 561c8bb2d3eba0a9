"""A survivor forced to be a cluster of its own, and what else is written before a first message."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from kvorum.config import NodeConfig
from kvorum.history.database import parts
from kvorum.history.rows import Batch
from kvorum.history.writer import HistoryWriter
from kvorum.machine import commands
from kvorum.machine.members import Member
from kvorum.raft import membership
from kvorum.raft.types import ConfChange, ConfChangeOp, ConfState, Entry, EntryKind, HardState
from kvorum.replica.effects import Persist
from kvorum.replica.inputs import Persisted, Tick
from kvorum.replica.replica import Replica
from kvorum.replica.state import ReplicaConfig
from kvorum.server.boot import DataDir, FirstMembers, FoundState, find
from kvorum.server.crash import FatalError
from kvorum.server.leaving import FAREWELL, REMOVED, is_noted, note_removed, refuse_removed
from kvorum.server.lineage import first_term, line_of
from kvorum.server.lone import make_alone
from kvorum.server.seldom import Seldom
from kvorum.storage.interface import WalMetadata

OWN, CLUSTER = 1, 7
MEMBERS = tuple(Member(n, f"n{n}", (f"http://n{n}:1",)) for n in (1, 2, 3))


class Disk:
    """A data directory: opened, closed, opened again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found: FoundState | None = None

    def open(self, first: FirstMembers | None = None) -> FoundState:
        """As a node does at its start."""
        self.close()
        self.places = DataDir(NodeConfig(data_dir=self.directory))
        self.found = find(self.places, first)
        return self.found

    def close(self) -> None:
        """As a node does at its end."""
        if self.found is not None:
            self.found.wal.close()
            self.found.database.close()
            self.places.lock.release()
            self.found = None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "data")
    yield made
    made.close()


def first(own: int = OWN, *, joins: bool = False) -> FirstMembers:
    return FirstMembers(WalMetadata(CLUSTER, own), MEMBERS, joins)


def put(index: int, term: int = 2) -> Entry:
    envelope = commands.Envelope(0, 0, 2, "", 0, commands.Put(b"k", b"%d" % index))
    return Entry(index, term, EntryKind.NORMAL, commands.encode(envelope))


def change(index: int, op: ConfChangeOp, command: commands.MemberChange, term: int = 2) -> Entry:
    envelope = commands.Envelope(0, 0, 2, "", 0, command)
    data = membership.encode(ConfChange(((op, command.id),), commands.encode(envelope)))
    return Entry(index, term, EntryKind.CONF_CHANGE, data)


def write(disk: Disk, commit: int, *entries: Entry) -> None:
    """What an earlier life left in the log."""
    found = disk.found
    assert found is not None
    found.wal.append(HardState(2, 0, commit), entries)
    found.wal.sync()


def live(found: FoundState) -> Replica:
    """Start from what was found, until it leads or has had time enough."""
    config = ReplicaConfig(found.metadata.member_id, CLUSTER, 1 << 48)
    replica = Replica(config, found.boot, random.Random(1))
    for _ in range(50):
        effects = replica.handle(Tick())
        while tickets := [x.ticket for x in effects if isinstance(x, Persist)]:
            effects = replica.handle(Persisted(tickets[-1]))
        if replica.leader == OWN:
            break
    return replica


def test_what_was_not_committed_is_given_up_and_the_others_are_gone(disk: Disk) -> None:
    disk.open(first())
    learner = commands.MemberAdd(4, ("http://n4:1",), True)
    write(disk, 3, put(1), change(2, ConfChangeOp.ADD_LEARNER, learner), put(3), put(4), put(5))
    forced = make_alone(disk.open())
    term = forced.boot.hard_state.term
    assert forced.boot.hard_state == HardState(term, 0, 6)
    # Others may have written entries of these indexes in any term they can reach.
    assert line_of(term) > line_of(2) == line_of(1_000_000)
    assert [entry.term for entry in forced.boot.entries] == [2, 2, 2, term, term, term]
    # On the disk, too, and once more changes nothing.
    again = disk.open()
    assert tuple(again.boot.entries) == forced.boot.entries
    assert make_alone(again) is again
    replica = live(disk.open())
    assert replica.leader == OWN
    assert replica.raft.conf == ConfState((OWN,))
    assert [member.id for member in replica.machine.members.all()] == [OWN]
    assert replica.machine.members.removed_ids() == (2, 3, 4)
    assert replica.machine.revision == 3, "the third and the first put, not those behind"


def test_each_time_a_cluster_is_forced_its_terms_begin_a_line_of_their_own() -> None:
    def last(choices: int) -> int:
        return choices - 1

    term = 5
    for draw in (lambda choices: 0, last, lambda choices: choices // 2, *[last] * 14):
        forced = first_term(term, draw)
        assert line_of(forced) == line_of(forced + 1_000_000) > line_of(term)
        term = forced + 7
    assert term < 2**53, "every JSON reader can tell it"


def test_a_learner_that_survives_becomes_a_voter(disk: Disk) -> None:
    disk.open(FirstMembers(WalMetadata(CLUSTER, OWN), MEMBERS[1:]))
    added = commands.MemberAdd(OWN, ("http://n1:1",), True)
    write(disk, 2, change(1, ConfChangeOp.ADD_LEARNER, added), put(2))
    make_alone(disk.open())
    replica = live(disk.open())
    assert (replica.leader, replica.raft.conf) == (OWN, ConfState((OWN,)))
    assert [(m.id, m.is_learner) for m in replica.machine.members.all()] == [(OWN, False)]


def test_one_member_alone_keeps_its_log(disk: Disk) -> None:
    disk.open(FirstMembers(WalMetadata(CLUSTER, OWN), MEMBERS[:1]))
    write(disk, 1, put(1), put(2))
    found = disk.open()
    assert make_alone(found) is found


def test_a_removed_member_is_not_forced(disk: Disk) -> None:
    disk.open(first())
    write(disk, 1, change(1, ConfChangeOp.REMOVE, commands.MemberRemove(OWN)))
    with pytest.raises(FatalError, match="a removed member cannot be forced"):
        make_alone(disk.open())


def test_a_history_ahead_of_the_log_is_not_built_upon(disk: Disk) -> None:
    """What is left when the installation of a leader's snapshot broke off between the two."""
    disk.open(first())
    write(disk, 1, put(1))
    found = disk.open()
    writer = HistoryWriter(found.database, lambda durable: None, lambda error: None)
    assert writer.append(Batch([], 9, 2, 1))
    writer.close()
    with pytest.raises(FatalError, match=r"up to 9, the log ends at 1: remove .*history\.duckdb"):
        make_alone(disk.open())
    disk.close()
    for part in parts(disk.places.history):
        part.unlink(missing_ok=True)
    assert [entry.index for entry in make_alone(disk.open()).boot.entries] == [1, 2, 3]


def test_a_joiner_without_data_is_found_again_and_not_forced(disk: Disk) -> None:
    found = disk.open(first(joins=True))
    assert found.is_new and found.boot.snapshot.conf == ConfState()
    found = disk.open()
    assert not found.is_new and found.metadata == WalMetadata(CLUSTER, OWN)
    assert found.boot.snapshot.conf == ConfState()
    assert found.boot.machine.members.all() == MEMBERS
    replica = live(found)
    assert (replica.leader, replica.term) == (0, 1), "it waits, and disturbs nobody"
    with pytest.raises(FatalError, match="never got the cluster's data"):
        make_alone(disk.open())


def test_a_removal_is_written_down(tmp_path: Path) -> None:
    member = tmp_path / "member"
    member.mkdir()
    refuse_removed(tmp_path)
    assert not is_noted(member)
    note_removed(member, 0xC1, 0xA2)
    assert is_noted(member)
    assert (member / "removed").read_text() == '{"cluster": "c1", "member": "a2"}\n'
    with pytest.raises(FatalError) as refused:
        refuse_removed(tmp_path)
    assert str(refused.value).startswith(f"{REMOVED}; {FAREWELL}: {tmp_path}. ")
    assert refused.value.code == 65


def test_the_same_refusal_is_logged_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.is_due("a"), seldom.is_due("a"), seldom.is_due("b")] == [True, False, True]
    now[0] = 29.9
    assert not seldom.is_due("a")
    now[0] = 30.0
    assert seldom.is_due("a") and not seldom.is_due("a")
    for number in range(1000):
        seldom.is_due(number)
    assert len(seldom._said) == 64

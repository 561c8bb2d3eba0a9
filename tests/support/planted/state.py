"""Mistakes in the state itself: members that apply the same entries and differ, and rights that are
judged at the wrong time.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from kvorum.api.watch import Watch
from kvorum.history.defragment import Defragmentation
from kvorum.machine import apply, txn
from kvorum.machine.accounts import FIRST_REVISION
from kvorum.machine.apply import Machine
from kvorum.machine.auth import Auth
from kvorum.machine.image import MachineImage
from kvorum.machine.members import MemberTable
from kvorum.machine.operations import MemberChange, Txn
from kvorum.machine.record import parse
from kvorum.machine.results import Refused, Response, TxnResult
from kvorum.replica.applying import Applier
from kvorum.replica.requests import WatchSpec

Patch = pytest.MonkeyPatch


def txn_over_several_revisions(patch: Patch) -> None:
    """Each operation of a transaction makes a revision of its own."""

    def run(machine: Machine, command: Txn, term: int) -> Any:
        path = txn.decide(machine.keyspace, command)
        refused = txn.refusal(
            path, machine.keyspace, machine.leases, machine.revision, machine.compact_revision
        )
        if refused is not None:
            return Refused(refused), ()
        responses: list[Response] = []
        events: list[Any] = []
        for op, nested in zip(path.operations, path.nested, strict=True):
            change = machine._open()
            part = txn.Path(path.succeeded, (op,), (nested,))
            responses += txn.run(change, part).responses
            events += machine._seal(change)
        return TxnResult(machine.revision, path.succeeded, tuple(responses)), tuple(events)

    patch.setitem(apply._APPLIERS, Txn, run)


def old_reads_judged_by_ones_own_memory(patch: Patch) -> None:
    """A transaction that reads an old revision is refused by members that have let go of it."""

    def run(machine: Machine, command: Txn, term: int) -> Any:
        path = txn.decide(machine.keyspace, command)
        known = max(machine.compact_revision, machine.window.floor)
        refused = txn.refusal(path, machine.keyspace, machine.leases, machine.revision, known)
        if refused is not None:
            return Refused(refused), ()
        change = machine._open()
        result = txn.run(change, path)
        return result, machine._seal(change)

    patch.setitem(apply._APPLIERS, Txn, run)


def revision_of_the_newest_key(patch: Patch) -> None:
    """A restart takes the newest live key's revision for the store's."""
    original = Machine.image

    def image(machine: Machine) -> MachineImage:
        whole = original(machine)
        newest = max((parse(f).mod_revision for f in whole.frames.values()), default=1)
        return whole._replace(revision=max(newest, whole.compact_revision, 1))

    patch.setattr(Machine, "image", image)


def auth_revision_of_the_process(patch: Patch) -> None:
    """The auth revision is counted from the process's start, not by the log."""
    original = Machine.image

    def image(machine: Machine) -> MachineImage:
        whole = original(machine)
        return whole._replace(auth=whole.auth._replace(revision=FIRST_REVISION))

    patch.setattr(Machine, "image", image)


def rights_judged_when_proposed(patch: Patch) -> None:
    """What a caller may do is asked before its write enters the log, and not when it is applied."""
    patch.setattr(Auth, "check_command", lambda auth, caller, command, leases: None)


def rights_judged_when_a_stream_opens(patch: Patch) -> None:
    """On an open stream a caller keeps the rights it had when it began."""
    original = Watch._refusal

    def refusal(watch: Watch, spec: WatchSpec, who: Any) -> str:
        known = watch.__dict__.setdefault("known", {})
        asked = (id(who), spec.key, spec.range_end)
        if asked not in known:
            known[asked] = original(watch, spec, who)
        return str(known[asked])

    patch.setattr(Watch, "_refusal", refusal)


def defragmentation_loses_what_came_meanwhile(patch: Patch) -> None:
    """What is written while a copy without holes is made is not in the copy."""
    original = Defragmentation.copy

    def copy(work: Defragmentation, connection: duckdb.DuckDBPyConnection, to: int) -> None:
        if not work.through:
            original(work, connection, to)

    patch.setattr(Defragmentation, "copy", copy)


def removed_id_comes_back(patch: Patch) -> None:
    """A member that was removed may be added again under its old id."""
    original = MemberTable.apply

    def change(table: MemberTable, command: MemberChange) -> Any:
        table.removed.clear()
        return original(table, command)

    patch.setattr(MemberTable, "apply", change)


def digests_not_compared(patch: Patch) -> None:
    """What the others say of their state is not compared with one's own."""
    patch.setattr(Applier, "peer_digest", lambda applier, report: None)

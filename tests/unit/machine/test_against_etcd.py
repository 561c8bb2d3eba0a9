"""The same random commands for the machine and for a real etcd: the same answers, to the byte.

Two differences are wanted. Etcd notices that a transaction changes a key twice only in part: it
forgets deletions "from key on", and a put in one nested transaction before a deletion in a later
one. Such a transaction makes two events of one key in one revision, which etcd's own rules exclude;
it is refused here. The test lets it pass on both sides, so that they stay alike afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from kvorum.errors import Condition
from kvorum.machine.apply import Machine
from kvorum.machine.commands import Envelope, LeaseExpire, Range, decode, encode, validate
from kvorum.machine.operations import Compact, LeaseGrant, LeaseRevoke, Txn
from kvorum.machine.txn import is_read_only
from support.clusters import ClusterHandle
from unit.machine.etcd import Etcd
from unit.machine.plain import plain
from unit.machine.workload import Workload

COMMANDS = 600


class Ours:
    """The machine behind the checks that its callers make."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.stricter = 0

    def do(self, command: Any, theirs: Any) -> Any:
        """The plain result; `theirs` decides only whether a wanted difference is let pass."""
        refused = validate(command)
        if refused is Condition.DUPLICATE_KEY and theirs != ("refused", "DUPLICATE_KEY"):
            self.stricter += 1
            refused = None
        if refused is not None:
            return ("refused", refused.name)
        machine = self.machine
        if isinstance(command, Range) or (isinstance(command, Txn) and is_read_only(command)):
            return plain(machine.read(command))
        entry = decode(encode(Envelope(1, 2, 3, "", 0, command)))
        applied = machine.apply(machine.applied_index + 1, 1, entry)
        result = plain(applied.result)
        if isinstance(command, Compact | LeaseGrant | LeaseRevoke) and result[0] != "refused":
            return ("done", applied.revision)
        return result


@pytest.mark.parametrize("seed", range(2))
def test_same_answers_as_etcd(seed: int, kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    etcd = Etcd(kvorum_cluster(1, program="etcd").endpoints[0])
    random = Random(seed)
    ours, workload = Ours(), Workload(random)
    kinds: dict[str, int] = {}
    for _ in range(COMMANDS):
        choice = random.random()
        command: Any = workload.range() if choice < 0.2 else workload.command()
        if isinstance(command, LeaseExpire):
            command = workload.reading_txn()
        if isinstance(command, LeaseGrant) and command.id == 0:
            continue  # Etcd would choose an id.
        theirs = etcd.do(command)
        assert ours.do(command, theirs) == theirs, command
        kinds[theirs[0]] = kinds.get(theirs[0], 0) + 1
        workload.revision = ours.machine.revision
    etcd.close()
    assert min(kinds.get(kind, 0) for kind in ("put", "deleted", "range", "txn", "refused")) > 10
    assert ours.stricter < COMMANDS / 20

"""A simulated run as a history for the judge of :mod:`kvorum.check`.

The order of revisions comes from the committed log, played to the judge's own model and not to the
machine: what the machine did with an entry is what is to be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvorum.check import model
from kvorum.check import records as r
from kvorum.machine import commands, results
from kvorum.machine.operations import COMPARE_MOD, EQUAL
from kvorum.raft.types import Entry, EntryKind
from kvorum.replica.requests import LeaseClock
from kvorum.sim.workload import Operation

_NS = 1_000
# The fastest clock that a seed gives to a member.
_CLOCK_RATE_PERCENT = 120
_LOG = "log"


def recorded(
    seed: int,
    committed: Mapping[int, Entry],
    operations: Sequence[Operation],
    rebuilt: Sequence[tuple[int, int]] = (),
) -> r.History:
    """The history of a run's clients, with the order of the log as a dump.

    Writes of the log that no client remembers (those that only ask whether the cluster serves), and
    compactions, are operations of unknown fate. So are compactions that never were: ``rebuilt``
    says when a member lost its history, and below which revision it refuses to read since.
    """
    history = r.History(run=r.Run("sim", "sim", seed, clock_rate_percent=_CLOCK_RATE_PERCENT))
    known = {operation.request_id for operation in operations}
    for number, operation in enumerate(operations, 1):
        history.operations.append(_operation(number, operation))

    def unremembered(request: r.Request, called_us: int = 0) -> None:
        number = len(history.operations) + 1
        history.operations.append(r.Operation(number, 0, called_us * _NS, request, unknown=True))

    for at_us, revision in rebuilt:
        unremembered(r.Compact(revision), at_us)
    store = model.Store(history.state)
    leases: dict[int, None] = {}
    for index in sorted(committed):
        entry = committed[index]
        if entry.kind != EntryKind.NORMAL or not entry.data:
            continue
        envelope = commands.decode(entry.data)
        for request in _requests(envelope.command, entry.term, leases):
            if isinstance(request, r.Compact):
                if envelope.request_id not in known:
                    unremembered(request)
                continue
            events, _ = model.execute(store, request)
            if not events:
                continue
            store.commit(store.revision + 1, events)
            history.applied.append(r.Applied(_LOG, store.revision, events))
            if envelope.request_id not in known and not isinstance(request, r.Revoke):
                unremembered(request)
    history.dumps.append(r.Dump(_LOG, 2, store.revision))
    return history


def _requests(command: commands.Command, term: int, leases: dict[int, None]) -> Sequence[r.Request]:
    """What a committed command asks of the store; ``leases`` are those that live."""
    if isinstance(command, commands.LeaseGrant):
        leases[command.id] = None
    elif isinstance(command, commands.LeaseExpire) and command.proposer_term == term:
        ended = [lease for lease in command.ids if lease in leases]
        for lease in ended:
            del leases[lease]
        return [r.Revoke(lease) for lease in ended]
    elif isinstance(command, commands.Put):
        if not command.lease or command.lease in leases:
            return [r.Put(command.key, command.value, command.lease)]
    elif isinstance(command, commands.DeleteRange | commands.Txn | commands.Compact):
        return [_request(command)]
    return []


def _request(command: object) -> r.Request:
    if isinstance(command, commands.Put):
        return r.Put(command.key, command.value, command.lease)
    if isinstance(command, commands.DeleteRange):
        return r.Delete(command.key, command.range_end)
    if isinstance(command, commands.Range):
        return r.Range(command.key, command.range_end, command.revision)
    if isinstance(command, commands.Compact):
        return r.Compact(command.revision)
    if isinstance(command, commands.LeaseGrant):
        return r.Grant(command.ttl_s, command.id)
    assert isinstance(command, commands.Txn)
    (compare,) = command.compare
    assert (compare.target, compare.result) == (COMPARE_MOD, EQUAL)
    assert isinstance(compare.operand, int)
    return r.Txn(
        (r.Compare("MOD", "EQUAL", compare.key, number=compare.operand),),
        tuple(map(_request, command.success)),
        tuple(map(_request, command.failure)),
    )


def _operation(number: int, operation: Operation) -> r.Operation:
    if operation.kind == "renew":
        request: r.Request = r.Renew(operation.command)
    elif operation.kind == "transfer":
        request = r.Other("transfer")
    else:
        request = _request(operation.command)
    called, returned = operation.invoked_us * _NS, operation.returned_us * _NS
    line = r.Operation(number, operation.request_id >> 32, called, request)
    if operation.returned_us < 0:
        return line._replace(unknown=True)
    if operation.definite_failure:
        return line._replace(returned=returned, error=operation.error)
    answer = _answer(operation.value)
    # Answers about leases and compactions have no revision of their own in the simulation.
    return line._replace(returned=returned, answer=answer, revision=operation.revision)


def _answer(value: object) -> r.Answer:
    if isinstance(value, results.RangeResult):
        kvs = tuple(r.Kv(*record) for record in value.records)
        return r.RangeAnswer(kvs, value.count, value.more)
    if isinstance(value, results.PutResult):
        return r.PutAnswer()
    if isinstance(value, results.DeleteResult):
        return r.DeleteAnswer(value.deleted)
    if isinstance(value, results.TxnResult):
        return r.TxnAnswer(value.succeeded, tuple(map(_answer, value.responses)))
    if isinstance(value, results.LeaseGrantResult):
        return r.LeaseAnswer(value.ttl_s, 0, value.id)
    if isinstance(value, tuple) and value and isinstance(value[0], LeaseClock):
        return r.LeaseAnswer(value[0].granted_s)
    return r.Done()

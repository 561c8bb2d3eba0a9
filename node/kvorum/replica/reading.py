"""Answers that change nothing: ranges, read-only transactions, hashes, barriers.

A linearizable one waits for a ReadIndex round and for the state to reach it. What the window of
recent revisions no longer covers is asked of the history; the answer is completed here when it
comes. Questions about leases go through the same rounds; ``leasing`` answers them.
"""

from __future__ import annotations

from kvorum.errors import Condition
from kvorum.limits import READ_RETRY_MS
from kvorum.machine.commands import CommandLimits, Range, Txn, validate
from kvorum.machine.digest import HashResult, HistoricalHash, checksum_of
from kvorum.machine.keyspace import select
from kvorum.machine.results import HistoricalRange, RangeResult, Refused, TxnResult
from kvorum.machine.txn import fill_historical, historical_ranges
from kvorum.replica.checkpoints import Checkpoints
from kvorum.replica.effects import ReadHistoryRange
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.inputs import Barrier, HashAt, HistoryRecords, LeaseAsk, PeerLeaseAsk, Read
from kvorum.replica.leasing import LeaseKeys, Leasing
from kvorum.replica.reads import ReadRounds
from kvorum.replica.state import NodeState
from kvorum.replica.waiting import Waiter, Waiting


class _Missing:
    """An answer with holes that the history fills; ``tokens`` name them in order."""

    __slots__ = ("answers", "holes", "request_id", "result", "tokens")

    def __init__(self, request_id: int, result: object, holes: list[HistoricalRange]) -> None:
        self.request_id = request_id
        self.result = result
        self.holes = holes
        self.tokens: list[int] = []
        self.answers: dict[int, RangeResult] = {}


class Reading:
    """Reads of one node, whether it leads or follows."""

    def __init__(
        self, state: NodeState, waiting: Waiting, clocks: LeaseClocks, checkpoints: Checkpoints
    ) -> None:
        self._state = state
        self._waiting = waiting
        retry_ticks = state.config.ticks(READ_RETRY_MS)
        self._rounds = ReadRounds(state.raft, state.config.id_base, retry_ticks)
        self._missing: dict[int, _Missing] = {}
        self.leasing = Leasing(state, waiting, clocks, checkpoints, self._rounds)
        self.reads_total = 0

    @property
    def pending(self) -> int:
        """Reads that wait for a round or for the state."""
        return len(self._rounds)

    # --- requests ---------------------------------------------------------------------------------

    def read(self, request: Read) -> None:
        """A range or read-only transaction."""
        self.reads_total += 1
        refused = validate(request.query, CommandLimits(max_txn_ops=self._state.config.max_txn_ops))
        if refused is not None:
            self._state.failed(request.request_id, refused)
            return
        if request.linearizable:
            self._queue(request.request_id, request, request.timeout_ticks)
        else:
            self._answer(request.request_id, request.query)

    def barrier(self, request: Barrier) -> None:
        """Wait for everything committed by now."""
        self._queue(request.request_id, request, request.timeout_ticks)

    def hash_at(self, request: HashAt) -> None:
        """HashKV, from this node's own state; of an old revision, from its own history."""
        result = self._state.machine.hash_kv(request.revision)
        if isinstance(result, Refused):
            self._state.failed(request.request_id, result.condition, result.detail)
        elif isinstance(result, HistoricalHash):
            everything = Range(b"\0", b"\0", revision=result.revision)
            hole = HistoricalRange(everything, result.revision, self._state.machine.revision)
            self._ask_history(request.request_id, result, [hole])
        else:
            self._state.done(request.request_id, result)

    def _queue(self, request_id: int, request: Read | Barrier, timeout: int) -> None:
        state = self._state
        self._waiting.add(Waiter(request_id, request, state.now, state.now + timeout))
        self._rounds.add(request)

    # --- rounds -----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask again what got no answer for half a second."""
        late = self._rounds.retry(self._state.now, self._is_wanted)
        self._state.tally.reads_late += late
        self.leasing.tick()

    def _is_wanted(self, read: object) -> bool:
        """Somebody still waits for it. A peer asks again by itself, whoever leads then."""
        if isinstance(read, PeerLeaseAsk):
            return self._state.leading
        assert isinstance(read, (Read, Barrier, LeaseAsk, LeaseKeys))
        return read.request_id in self._waiting

    def issue(self) -> None:
        """Start a round for what is queued."""
        self._rounds.issue(self._state.now)

    def granted(self, context: int, index: int) -> None:
        """Raft confirmed a round."""
        self._rounds.granted(context, index)

    def dropped(self, context: int) -> None:
        """Raft gave a round up: the leader changed (raft checklist R4)."""
        for read in self._rounds.dropped(context):
            if isinstance(read, (LeaseAsk, PeerLeaseAsk, LeaseKeys)):
                self.leasing.dropped(read)
            elif isinstance(read, (Read, Barrier)) and self._waiting.pop(read.request_id):
                self._state.failed(read.request_id, Condition.LEADER_CHANGED)

    def serve(self) -> None:
        """Answer what the applied state has reached."""
        for read in self._rounds.servable(self._state.machine.applied_index):
            if isinstance(read, (LeaseAsk, PeerLeaseAsk, LeaseKeys)):
                self.leasing.serve(read)
            elif isinstance(read, Read) and self._waiting.pop(read.request_id):
                self._answer(read.request_id, read.query)
            elif isinstance(read, Barrier) and self._waiting.pop(read.request_id):
                self._state.done(read.request_id, None)
        self.leasing.settle()

    # --- state and history ------------------------------------------------------------------------

    def _answer(self, request_id: int, query: Range | Txn) -> None:
        result = self._state.machine.read(query)
        self._state.tally.answered(result)
        if isinstance(result, Refused):
            self._state.failed(request_id, result.condition, result.detail)
        else:
            self.complete(request_id, result)

    def complete(self, request_id: int, result: object) -> None:
        """Answer with a result, after the history has filled its holes, if it has any."""
        holes: list[HistoricalRange] = []
        if isinstance(result, HistoricalRange):
            holes = [result]
        elif isinstance(result, TxnResult):
            holes = list(historical_ranges(result))
        if not holes:
            self._state.done(request_id, result)
        else:
            self._ask_history(request_id, result, holes)

    def _ask_history(self, request_id: int, result: object, holes: list[HistoricalRange]) -> None:
        if any(hole.revision < self._state.oldest_revision for hole in holes):
            # Not compacted, but lost on this member: refused here, answered by any other.
            detail = f"this member's history begins at {self._state.history_floor}"
            self._state.failed(request_id, Condition.COMPACTED, detail)
            return
        missing = _Missing(request_id, result, holes)
        for hole in holes:
            token = self._state.token()
            missing.tokens.append(token)
            self._missing[token] = missing
            query = hole.query._replace(revision=hole.revision)
            self._state.out.append(ReadHistoryRange(token, query))

    def history_records(self, answer: HistoryRecords) -> None:
        """The history filled a hole, or could not."""
        missing = self._missing.pop(answer.token, None)
        if missing is None:
            return
        hole = missing.holes[missing.tokens.index(answer.token)]
        # A compaction may have overtaken the read: what it returned is then not the state of that
        # revision.
        if hole.revision < self._state.oldest_revision:
            self._abandon(missing, Condition.COMPACTED, "")
            return
        if answer.failure:
            self._abandon(missing, Condition.TIMEOUT, answer.failure)
            return
        frames = [record.frame for record in answer.records]
        missing.answers[answer.token] = select(
            hole.query, frames, answer.total, hole.header_revision
        )
        if len(missing.answers) < len(missing.holes):
            return
        answers = [missing.answers[token] for token in missing.tokens]
        result = missing.result
        if isinstance(result, TxnResult):
            self._state.done(missing.request_id, fill_historical(result, iter(answers)))
        elif isinstance(result, HistoricalHash):
            checksum = checksum_of(answers[0].frames)
            filled = HashResult(checksum, result.revision, result.compact_revision)
            self._state.done(missing.request_id, filled)
        else:
            self._state.done(missing.request_id, answers[0])

    def _abandon(self, missing: _Missing, condition: Condition, detail: str) -> None:
        for token in missing.tokens:
            self._missing.pop(token, None)
        self._state.failed(missing.request_id, condition, detail)

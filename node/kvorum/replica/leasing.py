"""Questions about leases: renewals and clocks, answered by the leader for every member.

Only the leader knows when a lease ends, and only while it truly leads: each question waits for a
ReadIndex round, so that a stalled ex-leader renews nothing (etcd#15247). A member that does not
lead forwards its callers' questions and asks again, whoever leads then, until their time is over.
Renewing is idempotent, so a question may be asked twice.
"""

from __future__ import annotations

from typing import NamedTuple

from kvorum.limits import READ_RETRY_MS
from kvorum.replica.checkpoints import Checkpoints
from kvorum.replica.effects import SendLeaseAnswer, SendLeaseAsk
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.inputs import LeaseAsk, PeerLeaseAnswer, PeerLeaseAsk
from kvorum.replica.reads import ReadRounds
from kvorum.replica.requests import LeaseClock
from kvorum.replica.state import NodeState
from kvorum.replica.waiting import Waiter, Waiting

Times = tuple[int, int, int]
"""A lease's id, remaining ms and granted ms."""


class LeaseKeys(NamedTuple):
    """The leader's answer is here; the keys are this member's, once it has applied as much."""

    request_id: int
    times: tuple[Times, ...]


LeaseQuestion = LeaseAsk | PeerLeaseAsk | LeaseKeys


class Leasing:
    """Lease questions of one node, whether it leads or follows."""

    def __init__(
        self,
        state: NodeState,
        waiting: Waiting,
        clocks: LeaseClocks,
        checkpoints: Checkpoints,
        rounds: ReadRounds,
    ) -> None:
        self._state = state
        self._waiting = waiting
        self._clocks = clocks
        self._checkpoints = checkpoints
        self._rounds = rounds
        self._retry_ticks = state.config.ticks(READ_RETRY_MS)
        self._forwarded: dict[int, int] = {}  # request -> tick of the last asking
        # Renewals that wait for an entry, by asker and request: for the revocation of a lease whose
        # time was over, or until no checkpoint tells of the time before the renewal.
        self._pending: dict[tuple[int, int], LeaseAsk | PeerLeaseAsk] = {}

    # --- requests ---------------------------------------------------------------------------------

    def ask(self, request: LeaseAsk) -> None:
        """A caller's renewals, or its question for clocks."""
        now = self._state.now
        self._waiting.add(Waiter(request.request_id, request, now, now + request.timeout_ticks))
        self._route(request)

    def _route(self, request: LeaseAsk) -> None:
        state = self._state
        if state.leading:
            self._rounds.add(request)
            return
        self._forwarded[request.request_id] = state.now
        if state.leader:
            state.out.append(
                SendLeaseAsk(state.leader, request.request_id, request.lease_ids, request.renew)
            )

    def peer_ask(self, request: PeerLeaseAsk) -> None:
        """A follower asks for its callers."""
        if not self._state.leading:
            self._answer_peer(request, None)
        elif (request.sender, request.request_id) not in self._pending:
            self._rounds.add(request)

    def peer_answer(self, answer: PeerLeaseAnswer) -> None:
        """The leader answered; or it did not lead, then the next retry asks whoever does."""
        waiter = self._waiting.get(answer.request_id)
        if waiter is None or answer.not_leader or not isinstance(waiter.request, LeaseAsk):
            return
        if self._forwarded.pop(answer.request_id, None) is None:
            return  # a second answer
        if waiter.request.keys:
            self._rounds.add(LeaseKeys(answer.request_id, answer.clocks))
        else:
            self._answer(answer.request_id, answer.clocks, keys=False)

    # --- asking again -----------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask again what got no answer for half a second."""
        now = self._state.now
        self._reroute([r for r, at in self._forwarded.items() if now - at >= self._retry_ticks])

    def leader_changed(self) -> None:
        """Questions go to the new leader at once."""
        self._reroute(list(self._forwarded))

    def _reroute(self, request_ids: list[int]) -> None:
        for request_id in request_ids:
            del self._forwarded[request_id]
            waiter = self._waiting.get(request_id)
            if waiter is not None and isinstance(waiter.request, LeaseAsk):
                self._route(waiter.request)

    def dropped(self, question: LeaseQuestion) -> None:
        """The round that should have confirmed this node's lead was given up."""
        if isinstance(question, PeerLeaseAsk):
            self._answer_peer(question, None)
        elif question.request_id in self._waiting:
            if isinstance(question, LeaseKeys):
                self._rounds.add(question)
            else:
                self._route(question)

    # --- answers ----------------------------------------------------------------------------------

    def serve(self, question: LeaseQuestion) -> None:
        """A round confirmed it, and the state has reached it."""
        if isinstance(question, LeaseKeys):
            self._answer(question.request_id, question.times, keys=True)
        elif not self._clocks.active:
            self.dropped(question)
        elif self._waits_for_end(question) or self._waits_for_checkpoint(question):
            self._pending[_key(question)] = question
        elif isinstance(question, PeerLeaseAsk):
            self._answer_peer(question, self._times(question))
        else:
            self._answer(question.request_id, self._times(question), keys=question.keys)

    def settle(self) -> None:
        """Look again at renewals that wait for an entry."""
        if not self._pending:
            return
        waiting, self._pending = self._pending, {}
        for question in waiting.values():
            if isinstance(question, PeerLeaseAsk) or question.request_id in self._waiting:
                self.serve(question)

    def _waits_for_end(self, question: LeaseAsk | PeerLeaseAsk) -> bool:
        """To say that a lease is gone before that is agreed would be a guess: the next leader may
        have it live on.
        """
        now, clocks = self._state.now, self._clocks
        return question.renew and any(clocks.has_ended(now, x) for x in question.lease_ids)

    def _waits_for_checkpoint(self, question: LeaseAsk | PeerLeaseAsk) -> bool:
        """The leader's own clock starts anew at once; that the lease is renewed may be said when
        the next leader would know it too.
        """
        if not question.renew:
            return False
        table = self._state.machine.leases
        found = [lease for x in question.lease_ids if (lease := table.get(x)) is not None]
        shadowed = [lease for lease in found if self._checkpoints.must_take_back(lease)]
        for lease in shadowed:
            self._clocks.renew(self._state.now, lease.id, lease.ttl_s)
        return bool(shadowed)

    def _times(self, question: LeaseAsk | PeerLeaseAsk) -> tuple[Times, ...]:
        clocks, table, now = self._clocks, self._state.machine.leases, self._state.now
        out = []
        for lease_id in question.lease_ids:
            lease = table.get(lease_id)
            if lease is None:
                out.append((lease_id, 0, 0))
                continue
            if question.renew and clocks.renew(now, lease_id, lease.ttl_s):
                self._state.tally.leases_renewed += 1
            granted_ms = lease.ttl_s * 1000
            # After a promotion the clock runs longer than the TTL; nobody was promised that.
            remaining_ms = min(clocks.remaining_ms(now, lease_id), granted_ms)
            out.append((lease_id, max(0, remaining_ms), granted_ms))
        return tuple(out)

    def _answer(self, request_id: int, times: tuple[Times, ...], *, keys: bool) -> None:
        if self._waiting.pop(request_id) is None:
            return
        clocks = []
        for lease_id, remaining_ms, granted_ms in times:
            lease = self._state.machine.leases.get(lease_id) if keys and granted_ms else None
            attached = tuple(lease.sorted_keys()) if lease is not None else ()
            clocks.append(LeaseClock(lease_id, remaining_ms // 1000, granted_ms // 1000, attached))
        self._state.done(request_id, tuple(clocks))

    def _answer_peer(self, ask: PeerLeaseAsk, times: tuple[Times, ...] | None) -> None:
        self._state.out.append(
            SendLeaseAnswer(ask.sender, ask.request_id, times or (), not_leader=times is None)
        )

    def ids(self) -> list[int]:
        """Ids of all leases; where clocks run, those first that end first (as etcd lists them)."""
        clocks, now = self._clocks, self._state.now
        ids = [lease.id for lease in self._state.machine.leases]
        if clocks.active:
            ids.sort(key=lambda lease_id: clocks.remaining_ms(now, lease_id))
        return ids


def _key(question: LeaseAsk | PeerLeaseAsk) -> tuple[int, int]:
    sender = question.sender if isinstance(question, PeerLeaseAsk) else 0
    return sender, question.request_id

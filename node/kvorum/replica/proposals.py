"""Writes on their way into the log.

A proposal is checked, encoded once and handed to raft. Without a leader it waits (it has not
entered: if its time ends now, it never happened, and `context deadline exceeded` is etcd's word for
that); once it has entered, only its application ends the waiting, or its deadline with an unknown
outcome. Nothing is proposed twice (raft checklist P1, P2).
"""

from __future__ import annotations

from collections import deque

from kvorum.errors import Condition
from kvorum.limits import (
    MAX_APPLY_LAG,
    MAX_PENDING_REQUESTS,
)
from kvorum.machine import commands
from kvorum.machine.commands import Command, Envelope
from kvorum.raft import membership
from kvorum.raft.messages import ProposalRefused
from kvorum.raft.types import ConfChange, ConfChangeOp, DropReason, ProposalDropped
from kvorum.replica.inputs import Barrier, ChangeMembers, LeaseAsk, Propose, Read, TransferLeader
from kvorum.replica.state import NodeState
from kvorum.replica.waiting import Waiter, Waiting

# Raft will take it soon: the proposal waits. (A change of members, for the leader's first entry.)
_LATER = (DropReason.NO_LEADER, DropReason.TRANSFERRING, DropReason.OWN_TERM_UNCOMMITTED)
# A change of members waits for the one before it, too; and for the next leader when the one that
# refused it is about to leave.
_CHANGE_LATER = (*_LATER, DropReason.CONF_CHANGE_PENDING)
_REFUSALS = {
    DropReason.UNCOMMITTED_SIZE: Condition.TOO_MANY_REQUESTS,
    DropReason.NOT_A_MEMBER: Condition.STOPPED,
    DropReason.LEARNER_NOT_READY: Condition.LEARNER_NOT_READY,
    # What the member table would allow and raft does not: the last voter cannot go.
    DropReason.INVALID_CONF_CHANGE: Condition.NOT_ENOUGH_STARTED,
}


class Proposals:
    """Proposals that wait for a leader, and those that wait to be applied."""

    def __init__(self, state: NodeState, waiting: Waiting) -> None:
        self._state = state
        self._waiting = waiting
        self._parked: deque[int] = deque()
        self._parked_dead = 0  # of them, how many wait no longer
        # Changes of members stand in a line of their own: what holds them up stops no write.
        self._parked_changes: deque[int] = deque()
        self._changes: dict[bytes, int] = {}  # those handed to raft: the entry's bytes -> request
        self._own: dict[bytes, Envelope] = {}
        self.failed_total = 0
        self.proposed_total = 0

    @property
    def pending(self) -> int:
        """Requests of any kind that wait."""
        return len(self._waiting)

    # --- in ---------------------------------------------------------------------------------------

    def propose(self, request: Propose) -> None:
        """Check, encode, hand to raft."""
        state = self._state
        refused = self._check(request.command) or self._overload()
        if refused is not None:
            state.failed(request.request_id, refused)
            return
        command = self._completed(request.command)
        envelope = Envelope(
            request.request_id,
            request.at_ms,
            state.config.member_id,
            request.user,
            request.auth_revision,
            command,
        )
        data = commands.encode(envelope)
        if len(data) > state.config.max_request_bytes:
            state.failed(request.request_id, Condition.REQUEST_TOO_LARGE)
            return
        self._wait(request, request.timeout_ticks, envelope, data)

    def change_members(self, request: ChangeMembers) -> None:
        """A member change travels as a change of raft's configuration with the command as its
        context.

        Whether the member table allows it is seen when it is applied, by every member alike: this
        member's own table may lag.
        """
        change = request.change
        assert isinstance(change, commands.MemberChange)
        refused = self._check(change) or self._overload()
        if refused is not None:
            self._state.failed(request.request_id, refused)
            return
        envelope = Envelope(
            request.request_id,
            request.at_ms,
            self._state.config.member_id,
            request.user,
            0,
            request.change,
        )
        self._wait(request, request.timeout_ticks, envelope, commands.encode(envelope))

    def propose_own(self, command: Command) -> bool:
        """A proposal of the node itself, for which nobody waits. False when raft did not take
        it."""
        state = self._state
        envelope = Envelope(0, 0, state.config.member_id, "", 0, command)
        try:
            state.raft.propose(commands.encode(envelope))
        except ProposalDropped:
            return False
        return True

    def _wait(self, request: object, timeout: int, envelope: Envelope, data: bytes) -> None:
        state = self._state
        deadline = state.now + timeout if timeout else 0
        waiter = Waiter(envelope.request_id, request, state.now, deadline, envelope, data)
        self._waiting.add(waiter)
        self.proposed_total += 1
        if isinstance(request, ChangeMembers):
            self._enter_change(waiter)
        elif self._parked:
            self._parked.append(waiter.request_id)  # behind those that came first
        else:
            self._enter(waiter)

    def _overload(self) -> Condition | None:
        state = self._state
        if state.raft.log.commit - state.machine.applied_index > MAX_APPLY_LAG:
            return Condition.TOO_MANY_REQUESTS
        if len(self._waiting) >= MAX_PENDING_REQUESTS:
            return Condition.TOO_MANY_REQUESTS
        if state.machine.window.overfull:
            return Condition.TOO_MANY_REQUESTS
        return None

    def _check(self, command: Command) -> Condition | None:
        bounds = commands.CommandLimits(max_txn_ops=self._state.config.max_txn_ops)
        return commands.validate(command, bounds)

    def _completed(self, command: Command) -> Command:
        """Fill in what the proposer decides: a lease's id and its least TTL (configuration of this
        node, not of all)."""
        if not isinstance(command, commands.LeaseGrant):
            return command
        lease_id = command.id
        while not lease_id or (not command.id and lease_id in self._state.machine.leases):
            lease_id = self._state.rng.getrandbits(63)
        return commands.LeaseGrant(lease_id, max(command.ttl_s, self._state.config.min_lease_ttl_s))

    # --- raft -------------------------------------------------------------------------------------

    def _enter(self, waiter: Waiter) -> bool:
        """Hand one proposal to raft; False when it must wait for a leader."""
        state = self._state
        try:
            state.raft.propose(waiter.data)
        except ProposalDropped as dropped:
            if dropped.reason in _LATER:
                self._parked.append(waiter.request_id)
                return False
            self._refuse(waiter, dropped.reason, str(dropped))
            return True
        assert waiter.envelope is not None
        self._own[waiter.data] = waiter.envelope
        waiter.entered = True
        return True

    def _enter_change(self, waiter: Waiter) -> None:
        """Hand one change of members to raft, or let it wait for its turn, in front of the line if
        it stood there.
        """
        assert isinstance(waiter.request, ChangeMembers)
        raft = self._state.raft
        change = self._conf_change(waiter.request.change, waiter.data)
        try:
            if change is None:
                raft.propose(waiter.data)
            else:
                raft.propose_conf_change(change)
                self._changes[membership.encode(change)] = waiter.request_id
        except ProposalDropped as dropped:
            if dropped.reason in _CHANGE_LATER:
                self._parked_changes.appendleft(waiter.request_id)
            else:
                self._refuse(waiter, dropped.reason, str(dropped))
            return
        waiter.entered = True

    def refused(self, refused: ProposalRefused) -> None:
        """The leader did not take a change of members that this node forwarded: it is in no log."""
        waiter = self._waiting.get(self._changes.pop(refused.data, 0))
        if waiter is None:
            return
        waiter.entered = False
        leaving = refused.reason is DropReason.NOT_A_MEMBER
        if leaving or refused.reason in _CHANGE_LATER:
            self._parked_changes.appendleft(waiter.request_id)
        else:
            self._refuse(waiter, refused.reason, f"{refused.reason} on the leader")

    def _refuse(self, waiter: Waiter, reason: DropReason, detail: str) -> None:
        self._waiting.pop(waiter.request_id)
        self.failed_total += 1
        condition = _REFUSALS.get(reason, Condition.TOO_MANY_REQUESTS)
        self._state.failed(waiter.request_id, condition, detail)

    @staticmethod
    def _conf_change(command: Command, data: bytes) -> ConfChange | None:
        if isinstance(command, commands.MemberAdd):
            op = ConfChangeOp.ADD_LEARNER if command.is_learner else ConfChangeOp.ADD_VOTER
            return ConfChange(((op, command.id),), data)
        if isinstance(command, commands.MemberPromote):
            return ConfChange(((ConfChangeOp.ADD_VOTER, command.id),), data)
        if isinstance(command, commands.MemberRemove):
            return ConfChange(((ConfChangeOp.REMOVE, command.id),), data)
        return None

    def retry_parked(self) -> None:
        """A leader may be there now: let the waiting ones in, in their order."""
        for _ in range(len(self._parked)):
            waiter = self._waiting.get(self._parked.popleft())
            if waiter is None:
                self._parked_dead -= 1
            elif not self._enter(waiter):
                # Still no leader: it stands at the end of the queue; put it back in front.
                self._parked.rotate(1)
                break
        if self._parked_changes:
            change = self._waiting.get(self._parked_changes.popleft())
            if change is not None:
                self._enter_change(change)

    def _left(self, waiter: Waiter) -> None:
        """A proposal waits no longer; the queue is swept when half of it are such."""
        if isinstance(waiter.request, ChangeMembers):
            self._forget_change(waiter.request_id)
            return
        self._own.pop(waiter.data, None)
        if not waiter.entered:
            self._parked_dead += 1
            if self._parked_dead * 2 >= len(self._parked):
                self._parked = deque(x for x in self._parked if x in self._waiting)
                self._parked_dead = 0

    def _forget_change(self, request_id: int) -> None:
        """Few wait at any time, so that looking through all of them is nothing."""
        self._changes = {data: x for data, x in self._changes.items() if x != request_id}
        if request_id in self._parked_changes:
            self._parked_changes.remove(request_id)

    # --- out --------------------------------------------------------------------------------------

    def change_applied(self, data: bytes) -> None:
        """The entry of a change of members is being applied: nobody refuses it any more."""
        self._changes.pop(data, None)

    def envelope_of(self, data: bytes) -> Envelope:
        """The command of a committed entry: this node's own ones are remembered, others decoded."""
        own = self._own.pop(data, None)
        return own if own is not None else commands.decode(data)

    def expire(self) -> None:
        """Answer requests of any kind whose time is over."""
        state = self._state
        for waiter in self._waiting.expired(state.now):
            request = waiter.request
            if isinstance(request, (Propose, ChangeMembers)):
                self.failed_total += 1
                self._left(waiter)
                state.failed(waiter.request_id, self._timeout_condition(waiter))
            elif isinstance(request, TransferLeader):
                state.failed(waiter.request_id, Condition.TRANSFER_TIMEOUT)
            elif isinstance(request, LeaseAsk) and not state.leader:
                state.failed(waiter.request_id, Condition.NO_LEADER)
            else:
                assert isinstance(request, (Read, Barrier, LeaseAsk))
                state.tally.reads_failed += 1
                state.failed(waiter.request_id, Condition.TIMEOUT)

    def _timeout_condition(self, waiter: Waiter) -> Condition:
        """Which of etcd's texts fits (contract page "errors", section 3)."""
        state = self._state
        if not waiter.entered:
            change = getattr(waiter.request, "change", None)
            if isinstance(change, commands.MemberPromote) and not state.leader:
                return Condition.NO_LEADER
            return Condition.DEADLINE_EXCEEDED
        window = 2 * state.config.election_ticks
        if state.elected_tick - window <= waiter.started <= state.elected_tick:
            return Condition.TIMEOUT_LEADER_FAIL
        broken = [p for p, tick in state.unreachable_tick.items() if tick >= waiter.started]
        if state.leading:
            voters = state.raft.conf.voters
            reachable = len([v for v in voters if v not in broken])
            return (
                Condition.TIMEOUT_CONN_LOST if reachable * 2 <= len(voters) else Condition.TIMEOUT
            )
        return Condition.TIMEOUT_CONN_LOST if state.leader in broken else Condition.TIMEOUT

    def cancel(self, request_id: int) -> None:
        """Nobody waits for it any more; what entered raft may still happen."""
        waiter = self._waiting.pop(request_id)
        if waiter is not None and isinstance(waiter.request, (Propose, ChangeMembers)):
            self._left(waiter)


def decode_conf_change(data: bytes) -> tuple[ConfChange, Envelope | None]:
    """A configuration entry and the member command it carries, if any (an automatic leave-joint has
    none)."""
    change = membership.decode(data)
    return change, commands.decode(change.context) if change.context else None

"""Committed entries take effect here: in order, once, with their answers, events, history rows and
digest.

What the machine decides is the same on every member; what is done with it differs: only the member
that holds the waiting caller answers, each member feeds its own watchers and its own history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from kvorum.machine import commands
from kvorum.machine.alarms import Alarm
from kvorum.machine.apply import Machine
from kvorum.machine.auth import COMMANDS as AUTH_COMMANDS
from kvorum.machine.auth import TokensEnded, token_change
from kvorum.machine.operations import ALARM_ACTIVATE, ALARM_CORRUPT
from kvorum.machine.results import Applied, CompactResult, LeaseGrantResult, Refused
from kvorum.raft.types import Entry, EntryKind
from kvorum.replica.checkpoints import Checkpoints
from kvorum.replica.digests import DIGEST_EVERY, Digests, digest_of
from kvorum.replica.effects import (
    AppendHistory,
    CompactHistory,
    HistoryRow,
    MembersChanged,
    Removed,
    SendDigest,
    TokensChanged,
)
from kvorum.replica.expiry import LeaseClocks
from kvorum.replica.inputs import HistoryCompacted, PeerDigest
from kvorum.replica.proposals import Proposals, decode_conf_change
from kvorum.replica.reading import Reading
from kvorum.replica.state import NodeState
from kvorum.replica.waiting import Waiting
from kvorum.replica.watches import WatchHub

_EMPTY = commands.Envelope(0, 0, 0, "", 0, commands.Noop())  # A new leader's first entry.
_TELL_PEERS = (commands.MemberPublish, *get_args(commands.MemberChange))


class Applier:
    """Applies entries and deals with what comes of them."""

    def __init__(
        self,
        state: NodeState,
        waiting: Waiting,
        proposals: Proposals,
        reading: Reading,
        hub: WatchHub,
        clocks: LeaseClocks,
        checkpoints: Checkpoints,
        history_applied: int,
    ) -> None:
        self._state = state
        self._waiting = waiting
        self._proposals = proposals
        self._reading = reading
        self._hub = hub
        self._clocks = clocks
        self._checkpoints = checkpoints
        self.history_applied = history_applied
        self._skip_rows_to = history_applied
        # The log's end at the start. Tokens are forgotten at a stop, and those of entries that are
        # replayed must not live again.
        self._found = (state.raft.log.last_index, state.raft.log.last_term)
        self._digests = Digests(state.config.member_id)
        self._reported_index = 0
        self._sweeps: list[CompactHistory] = []
        self._compactions: dict[int, tuple[int, CompactResult]] = {}
        self._sweep_due = True  # nothing was handled yet

    # --- entries ----------------------------------------------------------------------------------

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply committed entries, in order."""
        machine = self._state.machine
        rows: list[HistoryRow] = []
        for entry in entries:
            if entry.kind == EntryKind.NORMAL:
                if entry.data:
                    self._state.applied_bytes += len(entry.data)
                    self._command(entry, self._proposals.envelope_of(entry.data), rows)
                else:
                    machine.apply(entry.index, entry.term, _EMPTY)
            else:
                self._conf_change(entry, rows)
            if entry.index % DIGEST_EVERY == 0:
                self._record_digest()
        last = entries[-1]
        if last.index > self._skip_rows_to:
            self._state.out.append(
                AppendHistory(tuple(rows), last.index, last.term, machine.revision)
            )
        else:
            machine.window.release(machine.revision)  # the history holds all of it
        # Only now does the history hold the rows that a compaction among them makes superfluous.
        self._state.out.extend(self._sweeps)
        self._sweeps.clear()
        if self._state.leading and not self._clocks.active and last.term == self._state.raft.term:
            # Everything of earlier terms is applied now (raft checklist A7).
            left = [(lease.id, self._checkpoints.left_s(lease)) for lease in machine.leases]
            self._clocks.promote(self._state.now, left)
            self._checkpoints.promoted(machine.leases)

    def _command(
        self, entry: Entry, envelope: commands.Envelope, rows: list[HistoryRow]
    ) -> Applied:
        state = self._state
        applied = state.machine.apply(entry.index, entry.term, envelope)
        state.tally.applied(envelope.command, applied, state.leading)
        if applied.events:
            self._events(entry.index, envelope, applied, rows)
        self._side_effects(envelope.command, applied)
        if type(envelope.command) in AUTH_COMMANDS:
            self._tokens(entry, envelope.command, applied)
        request_id = envelope.request_id
        if request_id and self._waiting.pop(request_id) is not None:
            if isinstance(applied.result, Refused):
                refused = applied.result
                self._state.failed(request_id, refused.condition, refused.detail)
            elif isinstance(applied.result, CompactResult):
                self._compaction_answer(request_id, envelope.command, applied.result)
            else:
                self._reading.complete(request_id, applied.result)
        elif isinstance(applied.result, CompactResult):
            self._compaction_answer(0, envelope.command, applied.result)
        return applied

    def _events(
        self, index: int, envelope: commands.Envelope, applied: Applied, rows: list[HistoryRow]
    ) -> None:
        events = applied.events
        if index > self._skip_rows_to:
            at_ms, member, user = envelope.at_ms, envelope.origin, envelope.user
            rows.extend([HistoryRow(event, at_ms, member, user) for event in events])
        first = 0
        for position in range(1, len(events) + 1):
            if position == len(events) or events[position].revision != events[first].revision:
                self._hub.publish(events[first:position], events[first].revision)
                first = position

    def _side_effects(self, command: commands.Command, applied: Applied) -> None:
        if isinstance(applied.result, Refused):
            return
        if isinstance(applied.result, LeaseGrantResult):
            self._clocks.granted(self._state.now, applied.result.id, applied.result.ttl_s)
            self._checkpoints.granted(applied.result.id)
        elif isinstance(command, commands.LeaseRevoke):
            self._lease_gone(command.id)
        elif isinstance(command, commands.LeaseExpire):
            for lease_id in command.ids:
                if lease_id not in self._state.machine.leases:
                    self._lease_gone(lease_id)
        elif isinstance(command, commands.LeaseCheckpoint):
            self._checkpoints.applied(command)
        elif isinstance(command, _TELL_PEERS):
            self._state.out.append(MembersChanged())

    def _lease_gone(self, lease_id: int) -> None:
        self._clocks.gone(lease_id)
        self._checkpoints.gone(lease_id)

    def _tokens(self, entry: Entry, command: commands.Command, applied: Applied) -> None:
        """Every member remembers a token that is given, so that it is good on all of them."""
        index, term = self._found
        # An entry that took the place of one found at the start is of a later term.
        replayed = entry.index <= index and entry.term <= term
        change = None if replayed else token_change(command, applied.result)
        if change is not None:
            self._state.out.append(TokensChanged(change))

    def _conf_change(self, entry: Entry, rows: list[HistoryRow]) -> None:
        """The member table decides whether a change is valid; a refused one still ends raft's
        waiting (M10)."""
        state = self._state
        self._proposals.change_applied(entry.data)
        change, envelope = decode_conf_change(entry.data)
        accepted = True
        if envelope is None:
            state.machine.apply(entry.index, entry.term, _EMPTY)
        else:
            applied = self._command(entry, envelope, rows)
            accepted = not isinstance(applied.result, Refused)
        conf = state.raft.apply_conf_change(change if accepted else None)
        if accepted and state.config.member_id not in conf.members():
            state.out.append(Removed())

    # --- compaction -------------------------------------------------------------------------------

    def _compaction_answer(
        self, request_id: int, command: commands.Command, result: CompactResult
    ) -> None:
        assert isinstance(command, commands.Compact)
        state = self._state
        self._hub.compacted(state.machine.compact_revision)
        token = state.token()
        self._sweeps.append(CompactHistory(state.machine.compact_revision, token))
        if request_id and command.physical:
            self._compactions[token] = (request_id, result)
        elif request_id:
            state.done(request_id, result)

    def started(self) -> None:
        """Let the history do what compactions were agreed before this start.

        Their command may lie below the snapshot, so that it will not be applied again, and the
        crash may have come before the history had done it.
        """
        if self._sweep_due:
            self._sweep()

    def _sweep(self) -> None:
        self._sweep_due = False
        state = self._state
        if state.machine.compact_revision > 0:
            state.out.append(CompactHistory(state.machine.compact_revision, state.token()))

    def history_compacted(self, done: HistoryCompacted) -> None:
        """The records are really gone: whoever asked for a physical compaction may know."""
        found = self._compactions.pop(done.token, None)
        if found is not None:
            self._state.done(*found)

    # --- snapshots --------------------------------------------------------------------------------

    def replaced(self, machine: Machine) -> None:
        """A snapshot took the place of the state; its history came with it."""
        self._digests.forget()
        self._skip_rows_to = 0
        self.history_applied = machine.applied_index
        self._sweep()
        self._state.out.append(MembersChanged())
        # Which tokens the skipped entries ended is not known here.
        self._state.out.append(TokensChanged(TokensEnded(None)))

    # --- digests ----------------------------------------------------------------------------------

    def _record_digest(self) -> None:
        machine = self._state.machine
        digest = digest_of(machine.digest, machine.keyspace.checksum)
        self._digests.record(machine.applied_index, digest)
        self._judge_digests()

    def report_digest(self) -> None:
        """Tell the peers the newest digests that all can have; that of this very moment, when
        nothing was applied since the last report.
        """
        applied = self._state.machine.applied_index
        if applied == self._reported_index and applied and not self._digests.recorded(applied):
            self._record_digest()
        self._reported_index = applied
        self._state.out.extend(SendDigest(*report) for report in self._digests.reports())
        self._judge_digests()

    def peer_digest(self, report: PeerDigest) -> None:
        """A peer's digest: compared at once, or when this node has applied as much."""
        if self._state.machine.members.get(report.sender) is not None:
            self._digests.hear(report.sender, report.applied_index, report.digest)
            self._judge_digests()

    def _judge_digests(self) -> None:
        """Equal applied index means equal state; a leader that sees otherwise raises the alarm, and
        raises it again if somebody lowers it and the state still differs.
        """
        if not self._state.leading:
            return
        machine = self._state.machine
        members = [member.id for member in machine.members.all()]
        for member, index in self._digests.accusations(members):
            accusation = commands.AlarmSet(ALARM_ACTIVATE, member, ALARM_CORRUPT)
            raised = Alarm(member, ALARM_CORRUPT) in machine.alarms.all()
            if raised or self._proposals.propose_own(accusation):
                self._digests.settled(member, index)

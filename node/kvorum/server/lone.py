"""``--force-new-cluster``: the one survivor of a lost cluster goes on alone.

For the disaster in which no quorum can ever come back. What this member knows to be committed
stays: keys, revisions, leases, users, its own id and the cluster's. What it only had in its log is
given up, as etcd does, and in its place come entries that remove every other member (and make this
one a voter, should it be a learner), already committed, since nobody is left to agree.

The promise that nothing acknowledged is lost ends here: what the others had acknowledged without
this member is gone. To be used once, on one member: two survivors forced apart are two clusters of
one id. The removed members are told so if they ever come back.

etcd goes on in the old term, so that the new entries may look like others' of the same index and
term. Here they begin a line of terms of their own (see ``lineage``), and what belongs to another
line is refused: whoever was forced apart, and members that this one has never heard of.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets

from kvorum.machine import commands
from kvorum.raft import membership
from kvorum.raft.types import NOBODY, ConfChange, ConfChangeOp, Entry, EntryKind, HardState
from kvorum.replica.state import Boot
from kvorum.server.boot import FoundState
from kvorum.server.crash import Exit, FatalError
from kvorum.server.lineage import first_term

log = logging.getLogger(__name__)


def make_alone(found: FoundState) -> FoundState:
    """Rewrite the log's end so that this member is the only one, durably. Blocks.

    FatalError when these data never were, or are no more, those of a member.
    """
    own = found.metadata.member_id
    boot = found.boot
    kept = _committed(boot)
    others = _members_at_most(boot, kept) - {own}
    _check_membership(found, kept, own)
    if not others:
        log.warning("forced a new cluster of one that was one already")
        return found
    term = first_term(boot.hard_state.term, secrets.randbelow)
    added = _changes(boot, kept, own, sorted(others), term)
    hard = HardState(term, NOBODY, added[-1].index)
    found.wal.append(hard, added)
    found.wal.sync()
    log.warning(
        "forced a new cluster of one member",
        extra={
            "cluster-id": f"{found.metadata.cluster_id:x}",
            "local-member-id": f"{own:x}",
            "commit-index": added[0].index - 1,
            "term": term,
            "discarded-entries": len(boot.entries) - len(kept),
        },
    )
    changed = boot._replace(hard_state=hard, entries=(*kept, *added))
    return dataclasses.replace(found, boot=changed)


def _committed(boot: Boot) -> list[Entry]:
    """The entries known to be committed: also those that the history already holds, because only
    what is committed gets there and the commit index on disk may lag.
    """
    commit = max(boot.hard_state.commit, boot.history_applied)
    return [entry for entry in boot.entries if entry.index <= commit]


def _steps(kept: list[Entry]) -> list[tuple[ConfChangeOp, int]]:
    """What changes of members are among these entries, whether or not they were accepted."""
    changes = [entry for entry in kept if entry.kind is EntryKind.CONF_CHANGE]
    return [step for entry in changes for step in membership.decode(entry.data).changes]


def _members_at_most(boot: Boot, kept: list[Entry]) -> set[int]:
    """Who may be a member behind ``kept``; additions that were refused are counted, too."""
    known = {member.id for member in boot.machine.members.all()}
    known.update(boot.snapshot.conf.members())
    for op, member in _steps(kept):
        if op is ConfChangeOp.REMOVE:
            known.discard(member)
        else:
            known.add(member)
    return known


def _check_membership(found: FoundState, kept: list[Entry], own: int) -> None:
    boot = found.boot
    last = kept[-1].index if kept else boot.snapshot.index
    if boot.history_applied > last:
        # A snapshot's installation broke off. What follows would take indexes the history counts
        # as written.
        raise FatalError(
            f"the history has entries up to {boot.history_applied}, the log ends at {last}: remove "
            f"{found.database.path} and start again; it is made anew from the log",
            Exit.BAD_DATA,
        )
    gone = own in boot.machine.members.removed or (ConfChangeOp.REMOVE, own) in _steps(kept)
    if gone:
        raise FatalError("a removed member cannot be forced to be a new cluster", Exit.BAD_DATA)
    if not boot.snapshot.conf.voters:
        raise FatalError(
            "this member never got the cluster's data: there is nothing to make a new cluster of",
            Exit.BAD_DATA,
        )


def _changes(boot: Boot, kept: list[Entry], own: int, others: list[int], term: int) -> list[Entry]:
    """Entries behind ``kept``: this member votes, the others are gone.

    Who was a member at that point only shows when the entries are applied; a change too many is
    refused then, and does nothing.
    """
    steps: list[tuple[ConfChange, commands.Command]] = []
    if own not in boot.snapshot.conf.voters:
        steps.append((_step(ConfChangeOp.ADD_VOTER, own), commands.MemberPromote(own)))
    steps += [(_step(ConfChangeOp.REMOVE, x), commands.MemberRemove(x)) for x in others]
    index = kept[-1].index if kept else boot.snapshot.index
    added = []
    for number, (change, command) in enumerate(steps, start=1):
        context = commands.encode(commands.Envelope(0, 0, own, "", 0, command))
        data = membership.encode(change._replace(context=context))
        added.append(Entry(index + number, term, EntryKind.CONF_CHANGE, data))
    return added


def _step(op: ConfChangeOp, member: int) -> ConfChange:
    return ConfChange(((op, member),))

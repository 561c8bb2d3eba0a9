"""Raft: how the members of a cluster come to hold the same log.

This room is consensus and nothing else. It knows no disk, no network, no clock and no keys: ticks,
messages and wishes go in, bundles of work come out (`ready`), and the same calls on the same state
give the same bundles. Section numbers point into Diego Ongaro's thesis, "Consensus: Bridging Theory
and Practice" (Stanford, 2014); rule numbers (E1, L5, ...) into the checklist that the tests are
named after.

Why a log
=========

If every member applies the same commands in the same order to the same initial state, all states
are equal (2.1). So the whole task is to agree on an ever growing list of entries, although
members crash and restart, and messages are lost, doubled, late or out of order. An entry is
*committed* when no future can take it away; only then is it applied and answered. The promise
holds as long as disks keep what they acknowledged; progress needs a majority of the voters alive
and connected.

Five properties carry the argument (3.2, figure 3.2), and the tests check them after every event of
random histories: at most one leader a term (election safety); a leader never changes its own log
(append-only); two logs that agree on one entry agree on all before it (log matching); a committed
entry is in the log of every later leader (leader completeness); no two members apply different
entries at one index (state machine safety).

Terms and elections
===================

Time is cut into terms, numbered upwards, with at most one leader each (3.3). Whoever hears of a
later term moves there as follower. A follower that hears no leader for a random time
(`draw_timeout`) campaigns: raises its term, votes for itself, asks the others (3.4). A voter
gives one vote a term, to the first asker whose log is at least as new as its own, comparing the
last entry's term, then its index (3.6.1). A majority elects; two majorities share a member, so
two leaders in one term cannot be. Random timeouts make split votes rare and short.

Three refinements keep a live leader in place, and all are on by default:

- *pre-vote* (9.6): ask "would you elect me?" before raising the term, so that a member that was cut
  off does not come back with a high term and depose everybody.
- *check-quorum* (6.2): a leader that hears no majority for an election timeout steps down.
- *stickiness* (4.2.3): who has heard its leader within the shortest timeout ignores candidates. A
  transfer of leadership is exempt: its requests say so.

Stickiness alone could leave a member stuck in a higher term than everyone else; that is why an old
leader's messages are answered with the newer term instead of silence (E3).

Replication
===========

The leader appends and sends (3.5). Each append names the entry before it; a follower whose log
has another entry there refuses, with a hint where to try (`newest_at_or_below`, at most one
refusal a term). Where it matches, a follower drops what contradicts the leader and takes what is
new, but never drops anything merely because a late, short message does not mention it (L2).

An entry of the leader's own term is committed once a majority holds it *durably*; older ones
follow with it, and never by counting alone: figure 3.7 (figure 8 in the paper) shows what that
would lose. Hence the empty entry every new leader starts with. The leader's own copy counts like
any other, only when it is on its disk, so that it can send first and sync meanwhile (10.2.1).

Followers learn the commit index from appends, up to what that very message covers, and from
heartbeats, up to what they are known to hold (L3, L4). A commit index beyond the log can only mean
that a disk forgot; the member stops (`InvariantViolation`).

How eagerly a leader sends each member is `progress`: probing, streaming with a window, or waiting
for a snapshot. Handlers change progress only; `Leader.flush` turns it into messages when the next
Ready is made.

Durability
==========

Readies carry tickets; the driver reports them durable later, in order, several may be under way.
A vote, an acknowledged entry, a term in an answer speak of what is on disk, so such messages wait
for their ticket (3.8); so do the candidate's vote for itself and the leader's count of itself. If
entries are overwritten while an old report is under way, that report is lowered (L9).

A commit index is only knowledge, and a crash may forget it: whatever is committed can be found out
again. The exception is a membership change (see Membership), which is told, applied and answered
for only when the commit index that covers it is durable here (`Log.settled`). The module `messages`
says of every kind what it waits for.

Reads
=====

A leader may answer a read without writing, if it knows that it still leads: it notes its commit
index, waits for a majority to answer a heartbeat sent afterwards, then until it has applied that
far (6.4). It must have committed an entry of its own term first. One round serves every read that
waited; rounds are numbered by the leader and die with it. A follower asks its leader for the
index and serves the read itself. Leases are not used: a paused process breaks them.

Membership
==========

Configurations are entries too, in force once *applied* (etcd's way; the thesis switches when they
are appended). That is sound because there is one change at a time, a new leader commits an entry
of its own before the next (the flaw found in single-server changes in 2015), and nobody campaigns
with a committed but unapplied change. A change of one voter leads straight to the new set (4.1);
more go through a joint configuration that needs both majorities (4.3) and is left automatically.
Learners receive the log and do not count (4.2.1), but they answer vote requests: they may be
voters by a change they have yet to hear of. A leader that applies its own removal counts itself no
more, and leads on until a quorum of the rest knows that the change is committed (4.2.2): counting
by the old configuration, they could otherwise be left without any log that can win. For the same
reason a refused vote tells the candidate what is committed (`Raft._learn_commit`). And because who
is removed may be gone for good as soon as anybody knows, no member tells of a change, applies it or
answers a heartbeat that told it before its own disk knows that the change is committed: of two
members that remained one, the one would otherwise count with the other's vote for ever.

A cluster begins with its first voters as the configuration at index 0, which is no entry. A
member that joins later knows no configuration at all; it refuses entries and votes as asked, and
its leader starts it with a snapshot.

Snapshots
=========

The log is cut behind applied entries (5); who needs what was cut gets the applied state instead.
Raft only says who and from where: a SnapshotOffer carries no body. A snapshot that brings nothing
new is ignored, one that the log already contains only moves the commit index.

Where this leaves the thesis
============================

Configurations at apply instead of append; pre-vote grants do not reset timers; refusals carry a
hint with a term, and refused votes a commit index; heartbeats are messages of their own; entries
leave in windows, not one by one; the joiner's refusal of index 0; the removed leader's farewell.
etcd does all of this but the last two and the commit index in refused votes; nor does it wait for
the disk before it tells of a membership change.

Code names
==========

`core.Raft`         one member: inputs, `ready`, terms, votes
`follower`, `candidate`, `leader`   state and rules of each role, made and dropped with it (`role`)
`log.Log`           entries and the five indexes that walk along them
`progress.Progress` a leader's view of one member
`quorum`            majorities, single and joint
`membership`        the arithmetic of configurations, their bytes
`reads`             read rounds (leader), forwarded reads (follower)
`departure`         how a removed leader leaves
`transfer`          one attempt to hand over
`messages`, `types` the vocabulary;  `ready`, `status`, `config`  what goes out and in
`trace`             one event a change of state

term, index, entry, commit, apply, vote, match, next, progress, learner: as in the thesis. *Stable*:
durable here. *Handed*: given to the driver. *Base*: where the log begins. *Round*: one confirmation
of leadership for reads. *Conf*: a configuration. *Joiner*: a member without one.
"""

from kvorum.raft.config import Config
from kvorum.raft.core import Raft
from kvorum.raft.ready import Ready
from kvorum.raft.status import Status
from kvorum.raft.types import (
    NOBODY,
    ConfChange,
    ConfChangeOp,
    ConfState,
    DropReason,
    Entry,
    EntryKind,
    HardState,
    InvariantViolation,
    ProposalDropped,
    ReadState,
    Role,
    SnapshotMeta,
    SoftState,
)

__all__ = [
    "NOBODY",
    "ConfChange",
    "ConfChangeOp",
    "ConfState",
    "Config",
    "DropReason",
    "Entry",
    "EntryKind",
    "HardState",
    "InvariantViolation",
    "ProposalDropped",
    "Raft",
    "ReadState",
    "Ready",
    "Role",
    "SnapshotMeta",
    "SoftState",
    "Status",
]

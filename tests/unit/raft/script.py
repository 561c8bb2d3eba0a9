"""The language of the raft scripts: verbs in, a readable trace out.

A script is comments (`#`) and one verb a line. Members are numbers. Verbs:

    cluster 3 [learners=4,5] [seed=2] [election_ticks=5 pre_vote=off ...]   voters 1..3
    disk 2 [term=3] [vote=1] [commit=1] [log=1,1,2]    restart from this disk; terms of entries 1..
    join 4                                  a member without a configuration starts
    tick 1|all [n]        run n (a tick for all, then stabilize, n times)
    campaign 1            propose 1 a b c     propose-bytes 1 size [times]
    conf-change 1 +4 ~5 -2 [!]              add voter, add learner, remove; !: refused at apply
    transfer 1 2          read 1 7          report-unreachable 1 2   report-snapshot 1 2 ok|failed
    deliver [from=1] [to=2] [only=Kind,..] [count=n]     the messages now on the road that match
    drop, double, reverse                   the same filters: lose, repeat, turn the order round
    stabilize [1 2 3]                       deliver (among these) until nothing is on the road
    inject Kind to=2 sender=1 term=1 [prev=0/0] [entries=1/1:a,..] [field=value ..]
    partition 1 2 | 3 4 5     cut 1>2 ..    heal
    crash 1               restart 1
    hold-persist 1        persist 1 [n]     release 1 (persists all, holds no longer)
    hold-apply 1          apply 1 [n]       hold-back 1 on|off: it can take in no more
    snapshot 1            compact 1 [index]
    log [1 ..]            status [1 ..]     progress 1     timer 1     network

`quietly` before a verb records nothing of what follows from it.

Long because every verb is a method here, a few lines each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kvorum.raft import (
    ConfChange,
    ConfChangeOp,
    ConfState,
    Entry,
    EntryKind,
    HardState,
    ProposalDropped,
    Raft,
    SnapshotMeta,
    membership,
    messages,
)
from unit.raft.harness import Cluster, Disk, Envelope, Node

STABILIZE_LIMIT = 2000
"""Messages that one `stabilize` may deliver before the script is taken for a livelock."""

_SETTING_VALUES = {"on": True, "off": False}
_OPS = {"+": ConfChangeOp.ADD_VOTER, "~": ConfChangeOp.ADD_LEARNER, "-": ConfChangeOp.REMOVE}
_KINDS = {kind.__name__: kind for kind in messages.MESSAGE_TYPES}


def run_script(text: str) -> str:
    """Run the verbs of `text`; the echo of each, with what it led to indented below."""
    script = Script()
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            script.run(line.strip())
    return "\n".join(script.lines) + "\n"


def show_change(data: bytes) -> str:
    """A membership change as the verb takes it."""
    signs = {op: sign for sign, op in _OPS.items()}
    change = membership.decode(data)
    return "".join(f"{signs[op]}{member}" for op, member in change.changes) or "leave-joint"


def show_entry(entry: Entry) -> str:
    """index/term:payload, with conf changes spelt as the verb takes them."""
    text = entry.data.decode(errors="replace")
    if entry.kind is EntryKind.CONF_CHANGE:
        text = show_change(entry.data)
    elif len(text) > 20:
        text = f"({len(text)} bytes)"
    return f"{entry.index}/{entry.term}:{text}" if text else f"{entry.index}/{entry.term}"


def show_conf(conf: ConfState) -> str:
    """(1,2,3), or (1,2,4)&(1,2,3) while joint, and the learners."""

    def ids(members: tuple[int, ...]) -> str:
        return "(" + ",".join(map(str, members)) + ")"

    text = ids(conf.voters)
    if conf.voters_outgoing:
        text += "&" + ids(conf.voters_outgoing)
    if conf.learners:
        text += " learners=" + ids(conf.learners)
    if conf.learners_next:
        text += " learners_next=" + ids(conf.learners_next)
    return text


def show_message(message: messages.Message) -> str:
    """The kind, the term, and every field that says something."""
    parts = [type(message).__name__, f"t{message.term}"]
    for name, value in list(message._asdict().items())[3:]:
        if name == "entries":
            if value:
                parts.append("[" + " ".join(map(show_entry, value)) + "]")
        elif name.endswith("_index") and f"{name[:-6]}_term" in message._fields:
            prefix = name[:-6]
            if not (prefix == "hint" and not getattr(message, "reject", True)):
                parts.append(f"{prefix}={value}/{getattr(message, prefix + '_term')}")
        elif name.endswith("_term"):
            continue
        elif name == "meta":
            parts.append(f"at={value.index}/{value.term} conf={show_conf(value.conf)}")
        elif name == "commit" and "commit_term" in message._fields:
            if value:
                parts.append(f"commit={value}/{message.commit_term}")
        elif value is True:
            parts.append(name)
        elif value is False:
            if name == "granted":
                parts.append("refused")
        elif (name == "data" and EntryKind.CONF_CHANGE is getattr(message, "kind", None)) or (
            name == "data" and isinstance(message, messages.ProposalRefused)
        ):
            parts.append(show_change(value))
        elif name == "data":
            parts.append(value.decode(errors="replace"))
        elif name == "kind":
            if value is EntryKind.CONF_CHANGE:
                parts.append("conf-change")
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)


class ScriptCluster(Cluster):
    """A cluster that also tells what is applied, a line a page."""

    def on_apply(self, member: int, entries: Sequence[Entry]) -> None:
        shown = [show_entry(entry) for entry in entries if entry.data]
        if shown:
            self.say(f"n{member}: apply " + " ".join(shown))


class Script:
    """One run: the cluster and the lines recorded so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.quiet = False
        self.cluster: Cluster = ScriptCluster([])
        self.verbs: dict[str, Callable[..., None]] = {
            name[5:].replace("_", "-"): getattr(self, name)
            for name in dir(self)
            if name.startswith("verb_")
        }

    def say(self, line: str) -> None:
        if not self.quiet:
            self.lines.append("  " + line)

    def run(self, line: str) -> None:
        """One verb; words with `=` become keyword arguments. Unknown verbs are KeyErrors."""
        self.lines.append(line)
        words = line.split()
        self.quiet = words[0] == "quietly"
        if self.quiet:
            words.pop(0)
        verb = self.verbs[words[0]]
        keywords = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        verb(*[word for word in words[1:] if "=" not in word], **keywords)

    def _node(self, member: str) -> Node:
        return self.cluster.nodes[int(member)]

    def _nodes(self, members: tuple[str, ...]) -> list[Node]:
        return [self._node(m) for m in members] or list(self.cluster.nodes.values())

    def _raft(self, member: str) -> Raft:
        raft = self._node(member).raft
        assert raft is not None, f"n{member} is down"
        return raft

    def _try(self, member: str, act: Callable[[Raft], object]) -> None:
        """Act on a member; a refusal is part of the trace."""

        def guarded(raft: Raft) -> None:
            try:
                act(raft)
            except ProposalDropped as dropped:
                self.say(f"n{member}: refused, {dropped}")

        self._node(member).call(guarded)

    # ---- building ----------------------------------------------------------------------------

    def verb_cluster(self, size: str, learners: str = "", seed: str = "1", **settings: str) -> None:
        values: dict[str, Any] = {
            name: _SETTING_VALUES[value] if value in _SETTING_VALUES else int(value)
            for name, value in settings.items()
        }
        self.cluster = ScriptCluster(
            range(1, int(size) + 1),
            [int(m) for m in learners.split(",") if m],
            seed=int(seed),
            settings=values,
            say=self.say,
            tracing=True,
        )

    def verb_disk(
        self, member: str, term: str = "0", vote: str = "0", commit: str = "0", log: str = ""
    ) -> None:
        node = self._node(member)
        entries = [
            Entry(index, int(entry_term), EntryKind.NORMAL, f"{index}.{entry_term}".encode())
            for index, entry_term in enumerate((t for t in log.split(",") if t), start=1)
        ]
        newest = max([int(term), *(entry.term for entry in entries)])
        hard = HardState(newest, int(vote), int(commit))
        node.disk = Disk(hard, node.disk.snapshot, (), entries)
        node.crash()
        node.start()

    def verb_join(self, member: str) -> None:
        self.cluster.add(int(member), ConfState())

    # ---- doing -------------------------------------------------------------------------------

    def verb_tick(self, member: str, count: str = "1") -> None:
        for _ in range(int(count)):
            for node in self.cluster.live() if member == "all" else [self._node(member)]:
                node.call(lambda raft: raft.tick())

    def verb_run(self, count: str) -> None:
        for _ in range(int(count)):
            self.verb_tick("all")
            self.verb_stabilize()

    def verb_campaign(self, member: str) -> None:
        self._node(member).call(lambda raft: raft.campaign())

    def verb_propose(self, member: str, *payloads: str) -> None:
        def act(raft: Raft) -> None:
            for payload in payloads:
                raft.propose(payload.encode())

        self._try(member, act)

    def verb_propose_bytes(self, member: str, size: str, times: str = "1") -> None:
        for _ in range(int(times)):
            self._try(member, lambda raft: raft.propose(b"x" * int(size)))

    def verb_conf_change(self, member: str, *steps: str) -> None:
        changes = tuple((_OPS[step[0]], int(step[1:])) for step in steps if step != "!")
        change = ConfChange(changes, b"reject" if "!" in steps else b"")
        self._try(member, lambda raft: raft.propose_conf_change(change))

    def verb_transfer(self, member: str, target: str) -> None:
        self._try(member, lambda raft: raft.transfer_leadership(int(target)))

    def verb_read(self, member: str, *contexts: str) -> None:
        def act(raft: Raft) -> None:
            for context in contexts:
                raft.read_index(int(context))

        self._try(member, act)

    def verb_report_unreachable(self, member: str, peer: str) -> None:
        self._node(member).call(lambda raft: raft.report_unreachable(int(peer)))

    def verb_report_snapshot(self, member: str, peer: str, outcome: str) -> None:
        assert outcome in ("ok", "failed")
        self._node(member).call(lambda raft: raft.report_snapshot(int(peer), outcome == "ok"))

    # ---- the network -------------------------------------------------------------------------

    def _take(self, source: str, to: str, only: str, count: str) -> list[Envelope]:
        """Remove the matching messages from the road, oldest first."""
        kinds = {_KINDS[name] for name in only.split(",") if name}
        taken: list[Envelope] = []
        rest: list[Envelope] = []
        for envelope in self.cluster.network:
            message = envelope.message
            matches = (
                (not source or message.sender == int(source))
                and (not to or message.to == int(to))
                and (not kinds or type(message) in kinds)
                and (not count or len(taken) < int(count))
            )
            (taken if matches else rest).append(envelope)
        self.cluster.network[:] = rest
        return taken

    def _deliver(self, envelope: Envelope) -> None:
        message = envelope.message
        at = len(self.lines)
        outcome = self.cluster.deliver(envelope)
        if not self.quiet:
            mark = "<-" if outcome == "delivered" else f"<x {outcome}"
            line = f"  n{message.to} {mark} n{message.sender} {show_message(message)}"
            self.lines.insert(at, line)

    def verb_deliver(self, only: str = "", to: str = "", count: str = "", **source: str) -> None:
        for envelope in self._take(source.get("from", ""), to, only, count):
            self._deliver(envelope)

    def verb_drop(self, only: str = "", to: str = "", count: str = "", **source: str) -> None:
        for envelope in self._take(source.get("from", ""), to, only, count):
            message = envelope.message
            self.say(f"lost n{message.sender} -> n{message.to} {show_message(message)}")

    def verb_double(self, only: str = "", to: str = "", count: str = "", **source: str) -> None:
        taken = self._take(source.get("from", ""), to, only, count)
        self.cluster.network += [*taken, *taken]

    def verb_reverse(self, only: str = "", to: str = "", count: str = "", **source: str) -> None:
        taken = self._take(source.get("from", ""), to, only, count)
        self.cluster.network += taken[::-1]

    def verb_stabilize(self, *members: str) -> None:
        among = {int(member) for member in members} or set(self.cluster.nodes)
        for _ in range(STABILIZE_LIMIT):
            network = self.cluster.network
            found = (e for e in network if {e.message.to, e.message.sender} <= among)
            envelope = next(found, None)
            if envelope is None:
                return
            network.remove(envelope)
            self._deliver(envelope)
        raise AssertionError(f"still busy after {STABILIZE_LIMIT} messages")

    def verb_inject(self, kind: str, **given: str) -> None:
        fields: dict[str, Any] = {}
        for name, value in given.items():
            if name in ("prev", "hint", "last"):
                fields[f"{name}_index"], fields[f"{name}_term"] = map(int, value.split("/"))
            elif name == "entries":
                fields[name] = tuple(self._parse_entry(text) for text in value.split(",") if text)
            elif name == "meta":
                place, _, voters = value.partition(":")
                index, term = map(int, place.split("/"))
                conf = ConfState(tuple(int(v) for v in voters.split(",")))
                fields[name] = SnapshotMeta(index, term, conf)
            else:
                fields[name] = _SETTING_VALUES[value] if value in _SETTING_VALUES else int(value)
        self._deliver(Envelope(_KINDS[kind](**fields)))

    @staticmethod
    def _parse_entry(text: str) -> Entry:
        place, _, payload = text.partition(":")
        index, term = map(int, place.split("/"))
        return Entry(index, term, EntryKind.NORMAL, payload.encode())

    def verb_partition(self, *words: str) -> None:
        groups = [[int(m) for m in part.split()] for part in " ".join(words).split("|")]
        self.cluster.partition(groups)

    def verb_cut(self, *links: str) -> None:
        for link in links:
            sender, to = link.split(">")
            self.cluster.blocked.add((int(sender), int(to)))

    def verb_heal(self) -> None:
        self.cluster.heal_all()

    # ---- faults and disks --------------------------------------------------------------------

    def verb_crash(self, member: str) -> None:
        node = self._node(member)
        lost = [entry for ready in node.unpersisted for entry in ready.entries]
        if lost:
            self.say(f"n{member}: lost unsynced " + " ".join(map(show_entry, lost)))
        node.crash()

    def verb_restart(self, member: str) -> None:
        self._node(member).start()
        self.verb_log(member)

    def verb_hold_persist(self, member: str) -> None:
        self._node(member).hold_persist = True

    def verb_persist(self, member: str, count: str = "") -> None:
        self._node(member).call(
            lambda raft: self._node(member).persist(int(count) if count else None)
        )

    def verb_release(self, member: str) -> None:
        self._node(member).hold_persist = False
        self.verb_persist(member)

    def verb_hold_apply(self, member: str) -> None:
        self._node(member).hold_apply = True

    def verb_apply(self, member: str, count: str = "") -> None:
        self._node(member).call(
            lambda raft: self._node(member).apply(int(count) if count else None)
        )

    def verb_hold_back(self, member: str, held: str) -> None:
        self._node(member).call(lambda raft: raft.hold_back(held == "on"))

    def verb_snapshot(self, member: str) -> None:
        self._node(member).take_snapshot()
        meta = self._node(member).disk.snapshot
        self.say(f"n{member}: snapshot on disk at {meta.index}/{meta.term}")

    def verb_compact(self, member: str, index: str = "") -> None:
        raft = self._raft(member)
        raft.compact_log(int(index) if index else raft.status().applied)

    # ---- looking -----------------------------------------------------------------------------

    def verb_log(self, *members: str) -> None:
        for node in self._nodes(members):
            if node.raft is None:
                self.say(f"n{node.id} log: down")
                continue
            s = node.raft.status()
            entries = node.raft.entries_slice(s.first_index, s.last_index + 1)
            base = f"{s.first_index - 1}/{node.raft.term_at(s.first_index - 1)}"
            text = " ".join(["after", base, *map(show_entry, entries)])
            self.say(f"n{node.id} log: {text} (commit {s.commit}, stable {s.stable})")

    def verb_status(self, *members: str) -> None:
        for node in self._nodes(members):
            if node.raft is None:
                self.say(f"n{node.id}: down")
                continue
            s = node.raft.status()
            line = f"n{s.id}: {s.role.value} term={s.term} vote={s.vote} leader={s.leader}"
            line += f" last={s.last_index} commit={s.commit} applied={s.applied}"
            line += f" conf={show_conf(s.conf)}"
            if s.pending_reads:
                line += f" pending_reads={s.pending_reads}"
            if s.transferee:
                line += f" transferee={s.transferee}"
            if s.uncommitted_bytes:
                line += f" uncommitted_bytes={s.uncommitted_bytes}"
            self.say(line)

    def verb_timer(self, member: str) -> None:
        self.say(f"n{member} timer: {self._raft(member).status().election_elapsed}")

    def verb_progress(self, member: str) -> None:
        for p in self._raft(member).status().progress:
            line = f"n{member} sees n{p.member}: {p.state.value} match={p.match} next={p.next}"
            line += f" inflight={p.inflight}"
            for name in ("paused", "learner"):
                if getattr(p, name):
                    line += f" {name}"
            self.say(line if p.recent_active else line + " silent")

    def verb_network(self) -> None:
        for envelope in self.cluster.network:
            message = envelope.message
            self.say(f"n{message.sender} -> n{message.to} {show_message(message)}")

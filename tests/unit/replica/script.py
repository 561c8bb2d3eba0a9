"""The language of the replica scripts: verbs in, a readable trace of answers and deliveries out.

A script is comments (`#`) and one verb a line. Member 1 leads at the start. `on=2` sends a request
to another member than 1. Verbs:

    nodes 1|3 [buffer=BYTES] [batch=REVISIONS] [window=EVENTS] [group=WATCHERS] [reads=N]
        [snapshot_count=N] [...]
    put KEY VALUE [lease=ID] [prev]      del KEY [END]      compact REVISION [physical]
    txn put a 1 ; put b 2 ; del c        fill KEY FIRST LAST [size=BYTES]   (quiet puts of numbers)
    grant ID TTL      revoke ID          renew ID..        ttl ID.. [keys]       leases
    get KEY [END] [rev=N] [serializable] [limit=N]          read-txn get a ; get b rev=2
    barrier           hash [REVISION]    propose-late KEY VALUE [timeout=TICKS]   abandon REQUEST
    watch STREAM KEY [END] [start=N] [id=N] [prev] [marks] [fragment] [noput] [nodelete]
    cancel STREAM ID  progress STREAM    progress-due STREAM    close STREAM
    stop-reading STREAM      taken STREAM (what it was given leaves)   read-on STREAM
    tick [N] [on=N]   (all members, everything settled between, unless on= is given: then at once)
    hold-disk N       write N [COUNT]    release-disk N
    hold-history N    answer N [COUNT]   release-history N    history-fault N REASON|none
    hold-links        deliver [COUNT]    release-links
    cut 1>2 ..        isolate N          heal                 pause N     resume N
    crash N           restart N          transfer N           status [N ..]   waiting [N]
    unreachable N PEER ..                 (member N's transport to peers broke)

Several inputs in one turn of the loop are joined by `&`. `quietly` before a verb tells nothing.
Keys and values are text; `*` as END is "to the last key", `KEY/ +` the prefix's end.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from kvorum import limits
from kvorum.machine import commands
from kvorum.replica import catchup
from kvorum.replica import effects as e
from kvorum.replica import inputs as i
from kvorum.replica.requests import Done
from unit.replica.words import (
    command,
    options,
    range_query,
    read_txn,
    show_delivery,
    show_value,
    watch_spec,
)
from unit.replica.world import Node, World

_QUIET = (
    e.Persist, e.Send, e.AppendHistory, e.RoleChanged, e.MembersChanged, e.SendDigest, e.CutLog,
    e.TokensChanged,
)  # fmt: skip


def run_script(text: str, patch: pytest.MonkeyPatch) -> str:
    """Run the verbs of `text`; the echo of each, with what it led to indented below."""
    script = Script(patch)
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            script.run(line.strip())
    return "\n".join(script.lines) + "\n"


class Script:
    """One run: the world and the lines recorded so far."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self._patch = patch
        self._quiet = False
        self._answers_shown = True
        self._world: World
        self._requests = 0
        self._stopped: dict[int, int] = {}  # streams that do not read -> bytes not taken
        self._hosts: dict[int, int] = {}
        self._verbs: dict[str, Callable[..., None]] = {
            name[5:].replace("_", "-"): getattr(self, name)
            for name in dir(self)
            if name.startswith("verb_")
        }

    def say(self, line: str) -> None:
        """One line of the trace."""
        if not self._quiet:
            self.lines.append("  " + line)

    def run(self, line: str) -> None:
        """One line: one verb, or requests that arrive in the same turn."""
        self.lines.append(line)
        self._quiet = line.startswith("quietly ")
        line = line.removeprefix("quietly ")
        parts = [part.strip() for part in line.split(" & ")]
        if len(parts) > 1:
            batch = [self._input(shlex.split(part)) for part in parts]
            member = batch[0][0]
            assert all(to == member for to, _ in batch)
            self._world.give(member, *[happened for _, happened in batch])
        else:
            words = shlex.split(parts[0])
            verb = self._verbs.get(words[0])
            if verb is not None:
                plain, named = options(words[1:])
                verb(*plain, **named)
            else:
                member, happened = self._input(words)
                self._world.give(member, happened)
        self._world.settle()

    # --- requests ---------------------------------------------------------------------------------

    def _input(self, words: list[str]) -> tuple[int, i.Input]:
        """A line that is one input: the member it is for, and the input."""
        plain, named = options(words[1:])
        member = int(named.pop("on", "1"))
        stream = int(plain[0]) if plain and plain[0].isdigit() else 0
        match words[0]:
            case "watch":
                self._hosts[stream] = member
                return member, i.WatchCreate(stream, watch_spec(plain[1:], named))
            case "cancel":
                return self._hosts.get(stream, 1), i.WatchCancel(stream, int(plain[1]))
            case "progress":
                return self._hosts.get(stream, 1), i.WatchProgress(stream)
            case "progress-due":
                return self._hosts.get(stream, 1), i.WatchProgressDue(stream)
            case "close":
                return self._hosts.get(stream, 1), i.WatchClose(stream)
            case "tick":
                return member, i.Tick()
        self._requests += 1
        number = self._requests
        match words[0]:
            case "get" | "read-txn":
                query: Any = (
                    read_txn(words[1:]) if words[0] == "read-txn" else range_query(words[1:])
                )
                return member, i.Read(number, query, "serializable" not in plain)
            case "barrier":
                return member, i.Barrier(number)
            case "hash":
                return member, i.HashAt(number, int(plain[0]) if plain else 0)
            case "renew" | "ttl":
                keys = "keys" in plain
                ids = tuple(int(word) for word in plain if word != "keys")
                return member, i.LeaseAsk(number, ids, words[0] == "renew", keys)
            case "transfer":
                return member, i.TransferLeader(number, int(plain[0]))
        timeout = int(named.pop("timeout", "70"))
        return member, i.Propose(number, command(words), 0, timeout_ticks=timeout)

    def verb_nodes(self, count: str, **settings: str) -> None:
        bounds = {name: int(value) for name, value in settings.items()}
        for name, module, constant in (
            ("bytes", catchup, "WATCH_CATCHUP_BYTES"),
            ("batch", catchup, "WATCH_CATCHUP_REVISIONS"),
            ("stretches", catchup, "WATCH_CATCHUP_STRETCHES"),
            ("failures", catchup, "WATCH_HISTORY_FAILURES"),
            ("group", catchup, "WATCH_CATCHUP_WATCHERS"),
            ("reads", catchup, "WATCH_HISTORY_READS"),
            ("window", limits, "WINDOW_EVENTS"),
        ):
            if name in bounds:
                self._patch.setattr(module, constant, bounds.pop(name))
        if "buffer" in bounds:
            bounds["watch_buffer_bytes"] = bounds.pop("buffer")
        self._world = World(int(count), self._observe, **bounds)
        leader = self._world.nodes[1].replica
        while leader.leader != 1:
            self._world.give(1, i.Tick())
            self._world.settle()
        self._world.settle()

    def verb_fill(self, key: str, first: str, last: str, size: str = "0") -> None:
        self._answers_shown = False
        for number in range(int(first), int(last) + 1):
            put = commands.Put(key.encode(), str(number).encode().ljust(int(size), b"."))
            self._requests += 1
            self._world.give(1, i.Propose(self._requests, put, 0))
            self._world.settle()
        self._answers_shown = True

    def verb_abandon(self, request: str, on: str = "1") -> None:
        self._world.give(int(on), i.Cancel(int(request)))

    def verb_leases(self, on: str = "1") -> None:
        self.say(f"n{on} leases: {self._world.nodes[int(on)].replica.lease_ids()}")

    # --- streams ----------------------------------------------------------------------------------

    def verb_stop_reading(self, stream: str) -> None:
        self._stopped[int(stream)] = 0

    def verb_taken(self, stream: str) -> None:
        number = int(stream)
        size, self._stopped[number] = self._stopped[number], 0
        self._world.give(self._hosts[number], i.WatchTaken(number, size))

    def verb_read_on(self, stream: str) -> None:
        size = self._stopped.pop(int(stream))
        self._world.give(self._hosts[int(stream)], i.WatchTaken(int(stream), size))

    # --- the world --------------------------------------------------------------------------------

    def verb_tick(self, count: str = "1", on: str = "") -> None:
        if on:
            self._world.give(int(on), *[i.Tick()] * int(count))
            return
        for _ in range(int(count)):
            for member in self._world.nodes:
                self._world.give(member, i.Tick())
            self._world.settle()

    def _node(self, member: str) -> Node:
        return self._world.nodes[int(member)]

    def verb_hold_disk(self, member: str) -> None:
        self._node(member).holds_disk = True

    def verb_write(self, member: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self._node(member).write()

    def verb_release_disk(self, member: str) -> None:
        self._node(member).holds_disk = False

    def verb_hold_history(self, member: str) -> None:
        self._node(member).holds_history = True

    def verb_answer(self, member: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self._node(member).answer()

    def verb_release_history(self, member: str) -> None:
        self._node(member).holds_history = False

    def verb_history_fault(self, member: str, reason: str) -> None:
        self._node(member).history_fault = "" if reason == "none" else reason

    def verb_hold_links(self) -> None:
        self._world.holds_links = True

    def verb_release_links(self) -> None:
        self._world.holds_links = False

    def verb_cut(self, *links: str) -> None:
        for link in links:
            sender, to = link.split(">")
            self._world.cuts[int(sender), int(to)] = None

    def verb_isolate(self, member: str) -> None:
        for other in self._world.nodes:
            if other != int(member):
                self.verb_cut(f"{member}>{other}", f"{other}>{member}")

    def verb_heal(self) -> None:
        self._world.cuts.clear()

    def verb_pause(self, member: str) -> None:
        self._node(member).paused = True

    def verb_resume(self, member: str) -> None:
        self._node(member).paused = False

    def verb_unreachable(self, member: str, *peers: str) -> None:
        self._world.give(int(member), *[i.Unreachable(int(peer)) for peer in peers])

    def verb_crash(self, member: str) -> None:
        self._node(member).crash()

    def verb_restart(self, member: str) -> None:
        self._node(member).start()

    def verb_status(self, *members: str) -> None:
        for member in members or tuple(map(str, self._world.nodes)):
            node = self._node(member)
            s = node.replica.statistics()
            line = f"n{member}: {node.replica.role.value} leader={node.replica.leader}"
            line += f" applied={s.applied} revision={s.revision} compacted={s.compact_revision}"
            self.say(line + f" watchers={s.watchers} behind={s.slow_watchers}")

    def verb_waiting(self, member: str = "1") -> None:
        s = self._node(member).replica.statistics()
        self.say(f"n{member}: {s.pending_requests} requests wait, {s.pending_reads} for a read")

    # --- what is told -----------------------------------------------------------------------------

    def _observe(self, node: Node, effect: e.Effect) -> None:
        if isinstance(effect, e.Deliver):
            for item in effect.items:
                self.say(f"stream {effect.stream}: {show_delivery(item)}")
            if effect.stream in self._stopped:
                self._stopped[effect.stream] += effect.size_bytes
            else:
                node.inbox.append(i.WatchTaken(effect.stream, effect.size_bytes))
        elif isinstance(effect, e.Reply):
            if not self._answers_shown:
                return
            outcome = effect.outcome
            if isinstance(outcome, Done):
                text = f"{show_value(outcome.value)} (revision {outcome.stamp.revision})"
            else:
                text = outcome.condition.message
            self.say(f"n{node.id} #{effect.request_id}: {text}")
        elif isinstance(effect, e.ReadHistoryEvents):
            wanted = f"{effect.key.decode()} {effect.from_revision}..{effect.to_revision}"
            self.say(f"n{node.id} asks its history for events of {wanted}")
        elif isinstance(effect, e.ReadHistoryRange):
            wanted = f"{effect.query.key!r} at {effect.query.revision}"
            self.say(f"n{node.id} asks its history for {wanted}")
        elif isinstance(effect, e.SendLeaseAsk):
            self.say(f"n{node.id} asks n{effect.to} about leases {list(effect.lease_ids)}")
        elif isinstance(effect, e.SendLeaseAnswer):
            said = "does not lead" if effect.not_leader else "answers"
            self.say(f"n{node.id} {said} n{effect.to}")
        elif isinstance(effect, e.InstallSnapshot | e.SaveSnapshot):
            self.say(f"n{node.id} {type(effect).__name__} at {effect.meta.index}")
        elif isinstance(effect, e.SendSnapshot):
            self.say(f"n{node.id} SendSnapshot at {effect.meta.index} to n{effect.to}")
        elif isinstance(effect, e.CompactHistory):
            self.say(f"n{node.id} lets its history compact to {effect.revision}")
        elif isinstance(effect, e.Fatal):
            self.say(f"n{node.id} gives up: {effect.reason}")
        elif not isinstance(effect, _QUIET):
            self.say(f"n{node.id} {effect}")

r"""The language of the machine scripts: verbs in, a readable trace out.

A script is comments (`#`) and one verb a line; words may be quoted, `\0` and `\xff` are bytes.

    put KEY VALUE [lease=N] [prev] [ignore_value] [ignore_lease]
    del KEY [END] [prev]
    get KEY [END] [rev=N limit=N order=asc|desc|none|N target=key|version|create|mod|value|N]
        [min_mod=N max_mod=N min_create=N max_create=N] [keys_only] [count_only] [serializable]
    txn [read]              followed by indented lines, the branches in any order:
      if KEY TARGET OP OPERAND [END]        OP one of = > < !=, or a number
      then VERB ...         else VERB ...   a `txn` here takes further indented lines; `nothing`
                                            is an operation without a member
    compact N [physical]
    grant ID TTL            revoke ID       expire ID,ID term=N      checkpoint ID=SECONDS ...
    member-add ID URL,URL [learner] [max_learners=N]     member-remove ID
    member-update ID URL,URL   member-promote ID         publish ID NAME [URL,URL]
    alarm get|raise|lower [MEMBER] [none|nospace|corrupt|N]
    version X               noop
    term N                  entries from here on have this term
    release N               the history holds revisions up to N
    window-bounds N         evict as if limits.WINDOW_EVENTS were N
    catch-up N KEY [END] [limit=N]    hash [N]    state    leases    members
    image                   encode, decode, and go on with the decoded machine
    replay                  apply all entries so far to a new machine and compare

The verbs for users and roles are those of `auth_script`.

Before an entry is applied it is validated, encoded and decoded, as on its way through the log.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from kvorum import limits
from kvorum.machine import operations as ops
from kvorum.machine.apply import Machine, decode_image, encode_image
from kvorum.machine.auth import Caller
from kvorum.machine.commands import Envelope, decode, encode, validate
from kvorum.machine.events import DELETE, Event
from kvorum.machine.members import Member
from kvorum.machine.record import Record
from kvorum.machine.results import (
    Applied,
    AuthResult,
    DeleteResult,
    HistoricalRange,
    MembersResult,
    PutResult,
    RangeResult,
    Refused,
    TxnResult,
)
from unit.machine.auth_script import AuthVerbs, as_bytes, as_text, read_auth_command

_TARGETS = {"key": 0, "version": 1, "create": 2, "mod": 3, "value": 4}
_COMPARES = {"version": 0, "create": 1, "mod": 2, "value": 3, "lease": 4}
_ORDERS = {"none": 0, "asc": 1, "desc": 2}
_RESULTS = {"=": 0, ">": 1, "<": 2, "!=": 3}
_ACTIONS = {"get": 0, "raise": 1, "lower": 2}
_ALARMS = {"none": 0, "nospace": 1, "corrupt": 2}
_RANGE_NUMBERS = {
    "rev": "revision",
    "limit": "limit",
    "min_mod": "min_mod_revision",
    "max_mod": "max_mod_revision",
    "min_create": "min_create_revision",
    "max_create": "max_create_revision",
}
_RANGE_FLAGS = ("keys_only", "count_only", "serializable")


def run_script(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the verbs of `text`; the echo of each, with what it led to indented below."""
    script = Script(monkeypatch)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    while lines:
        line = lines.pop(0)
        script.say(f"> {line}", 0)
        body = []
        while lines and lines[0].startswith(" "):
            body.append(lines.pop(0))
            script.say(f"> {body[-1]}", 0)
        script.run(line, body)
    return "\n".join(script.lines) + "\n"


def number(word: str, names: dict[str, int]) -> int:
    """A name from a table, or any number."""
    return names[word] if word in names else int(word)


def options(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Plain words and `name=value` ones."""
    named = dict(w.split("=", 1) for w in words if "=" in w and not w.startswith("="))
    return [w for w in words if "=" not in w or w.startswith("=")], named


def read_operation(words: list[str], body: list[str]) -> Any:
    """A put, del, get or txn."""
    verb, rest = words[0], words[1:]
    if verb == "nothing":
        return None
    if verb == "txn":
        return read_txn(body)
    flags = [w for w in rest if w in ("prev", "ignore_value", "ignore_lease", *_RANGE_FLAGS)]
    plain, named = options([w for w in rest if w not in flags])
    data = [as_bytes(word) for word in plain]
    if verb == "put":
        lease = int(named.pop("lease", "0"))
        operation: Any = ops.Put(data[0], data[1] if len(data) > 1 else b"", lease)
        operation = operation._replace(
            prev_kv="prev" in flags,
            ignore_value="ignore_value" in flags,
            ignore_lease="ignore_lease" in flags,
        )
    elif verb == "del":
        operation = ops.DeleteRange(data[0], *data[1:2], prev_kv="prev" in flags)
    else:
        assert verb == "get", f"unknown operation {verb}"
        fields: dict[str, Any] = {
            _RANGE_NUMBERS[n]: int(named.pop(n)) for n in _RANGE_NUMBERS if n in named
        }
        fields["sort_order"] = number(named.pop("order", "none"), _ORDERS)
        fields["sort_target"] = number(named.pop("target", "key"), _TARGETS)
        operation = ops.Range(data[0], *data[1:2], **fields, **dict.fromkeys(flags, True))
    assert not named, f"unknown options {sorted(named)}"
    return operation


def read_txn(body: list[str]) -> ops.Txn:
    """A transaction from its indented lines."""
    compares: list[ops.Compare] = []
    branches: dict[str, list[Any]] = {"then": [], "else": []}
    lines = list(body)
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    while lines:
        words = shlex.split(lines.pop(0).replace("\\", "\\\\"))
        inner = []
        while lines and len(lines[0]) - len(lines[0].lstrip()) > indent:
            inner.append(lines.pop(0))
        if words[0] == "if":
            compares.append(read_compare(words[1:]))
        else:
            branches[words[0]].append(read_operation(words[1:], inner))
    return ops.Txn(tuple(compares), tuple(branches["then"]), tuple(branches["else"]))


def read_compare(words: list[str]) -> ops.Compare:
    """`KEY TARGET OP OPERAND [END]`; the operand is bytes for a value, a number for others."""
    key, target, result, operand, *end = words
    kind = number(target, _COMPARES)
    given = as_bytes(operand) if kind == ops.COMPARE_VALUE else int(operand)
    return ops.Compare(
        as_bytes(key), kind, number(result, _RESULTS), given, as_bytes(end[0]) if end else b""
    )


def read_command(words: list[str], body: list[str]) -> Any:
    """Any verb that makes an entry."""
    verb, rest = words[0], words[1:]
    plain, named = options(rest)
    urls = tuple(plain[-1].split(",")) if plain else ()
    match verb:
        case "compact":
            return ops.Compact(int(rest[0]), "physical" in rest)
        case "grant":
            return ops.LeaseGrant(int(rest[0]), int(rest[1]))
        case "revoke":
            return ops.LeaseRevoke(int(rest[0]))
        case "expire":
            ids = tuple(int(lease) for lease in plain[0].split(","))
            return ops.LeaseExpire(ids, int(named["term"]))
        case "checkpoint":
            return ops.LeaseCheckpoint(tuple((int(k), int(v)) for k, v in named.items()))
        case "member-add":
            limit = int(named.get("max_learners", "1"))
            return ops.MemberAdd(int(rest[0]), tuple(rest[1].split(",")), "learner" in rest, limit)
        case "member-remove":
            return ops.MemberRemove(int(rest[0]))
        case "member-update":
            return ops.MemberUpdate(int(rest[0]), urls)
        case "member-promote":
            return ops.MemberPromote(int(rest[0]))
        case "publish":
            return ops.MemberPublish(int(rest[0]), rest[1], urls if len(rest) > 2 else ())
        case "alarm":
            member = int(rest[1]) if len(rest) > 1 else 0
            alarm = number(rest[2], _ALARMS) if len(rest) > 2 else 0
            return ops.AlarmSet(_ACTIONS[rest[0]], member, alarm)
        case "version":
            return ops.ClusterVersionSet(rest[0])
        case "noop":
            return ops.Noop()
    change = read_auth_command(words)
    return change if change is not None else read_operation(words, body)


def show_record(record: Record) -> str:
    """One record in a line."""
    shown = f"{as_text(record.key)}={as_text(record.value)} create={record.create_revision}"
    shown += f" mod={record.mod_revision} version={record.version}"
    return shown + (f" lease={record.lease}" if record.lease else "")


def show_event(event: Event) -> str:
    """One event in a line."""
    before = f" (was {show_record(event.prev)})" if event.prev is not None else ""
    if event.kind == DELETE:
        return f"event {event.revision}.{event.sub} DELETE {as_text(event.key)}{before}"
    return f"event {event.revision}.{event.sub} PUT {show_record(event.record)}{before}"


def show_member(member: Member) -> str:
    """One member in a line."""
    learner = " learner" if member.is_learner else ""
    peers, clients = ",".join(member.peer_urls), ",".join(member.client_urls)
    return f"member {member.id} name={member.name or '-'} peers={peers} clients={clients}{learner}"


def show_result(result: Any) -> Iterator[str]:
    """A result in lines, indented where it nests."""
    match result:
        case Refused(condition=condition):
            yield f"refused: {condition.name}"
        case RangeResult():
            yield from map(show_record, result.records)
            more = " more" if result.more else ""
            yield f"{len(result.frames)} of {result.count}{more}, revision {result.revision}"
        case HistoricalRange():
            yield f"from the history at {result.revision}, revision {result.header_revision}"
        case PutResult():
            was = f", was {show_record(result.prev)}" if result.prev is not None else ""
            yield f"put, revision {result.revision}{was}"
        case DeleteResult():
            yield f"deleted {result.deleted}, revision {result.revision}"
            yield from (f"was {show_record(record)}" for record in result.prev_kvs)
        case TxnResult():
            branch = "then" if result.succeeded else "else"
            yield f"txn {branch}, revision {result.revision}"
            for response in result.responses:
                yield from (f"  {line}" for line in show_result(response))
        case MembersResult():
            yield from map(show_member, result.members)
        case AuthResult():
            yield f"{'on' if result.enabled else 'off'}, auth revision {result.auth_revision}"
        case _:
            yield repr(result)


class Script(AuthVerbs):
    """A machine, the entries it was given, and the trace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._patch = monkeypatch
        self._machine = self._new()
        self._entries: list[tuple[int, bytes]] = []
        self._term = 1

    def say(self, line: str, indent: int = 1) -> None:
        """One line of the trace."""
        self.lines.append(("    " * indent + line).rstrip())

    def run(self, line: str, body: list[str]) -> None:
        """One verb with its indented lines."""
        words = shlex.split(line.replace("\\", "\\\\"))
        handler = getattr(self, "_do_" + words[0].replace("-", "_"), None)
        if handler is not None:
            handler(*words[1:])
        elif words[0] == "get" or words[:2] == ["txn", "read"]:
            self._read(read_operation(words, body))
        else:
            self._propose(read_command(words, body))

    @staticmethod
    def _new() -> Machine:
        return Machine(77, (Member(1, "one", ("http://a:2380",)),))

    def _propose(self, command: Any, caller: Caller | None = None) -> None:
        refused = validate(command)
        if refused is not None:
            self.say(f"refused before proposing: {refused.name}")
            return
        entry = encode(Envelope(9, 0, 1, *(caller or self._caller()), command))
        self._entries.append((self._term, entry))
        applied = self._apply(self._machine, len(self._entries), self._term, entry)
        self._show_applied(applied)
        self._say_tokens(command, applied.result)

    @staticmethod
    def _apply(machine: Machine, index: int, term: int, entry: bytes) -> Applied:
        return machine.apply(index, term, decode(entry))

    def _show_applied(self, applied: Applied) -> None:
        for line in show_result(applied.result):
            self.say(line)
        for event in applied.events:
            self.say(show_event(event))
        self.say(f"at revision {applied.revision}")

    def _read(self, query: Any) -> None:
        refused = validate(query)
        if refused is not None:
            self.say(f"refused before reading: {refused.name}")
            return
        refused = self._read_refusal(query)
        if refused is not None:
            self.say(f"refused: {refused.name}")
            return
        for line in show_result(self._machine.read(query)):
            self.say(line)

    def _do_term(self, term: str) -> None:
        self._term = int(term)

    def _do_release(self, revision: str) -> None:
        self._machine.window.release(int(revision))
        self._say_window()

    def _do_window_bounds(self, events: str) -> None:
        self._patch.setattr(limits, "WINDOW_EVENTS", int(events))
        self._machine.window.release(0)
        self._say_window()

    def _say_window(self) -> None:
        window = self._machine.window
        self.say(f"window holds {window.floor + 1}..{window.last}, {window.event_count} events")

    def _do_catch_up(self, revision: str, key: str, *rest: str) -> None:
        plain, named = options(list(rest))
        end = as_bytes(plain[0]) if plain else b""
        limit = int(named.get("limit", "1000"))
        found = self._machine.window.events_since(int(revision), as_bytes(key), end, limit)
        if found is None:
            self.say("older than the window")
            return
        for main, events in found.groups:
            self.say(f"revision {main}")
            for event in events:
                self.say(show_event(event), 2)
        self.say(f"next {found.next_revision}")

    def _do_hash(self, revision: str = "0") -> None:
        self.say(repr(self._machine.hash_kv(int(revision))))

    def _do_state(self) -> None:
        figures = self._machine.statistics()
        names = ("revision", "compact_revision", "keys", "leases", "leased_keys", "window_floor")
        self.say(" ".join(f"{name}={getattr(figures, name)}" for name in names))

    def _do_leases(self) -> None:
        for lease in self._machine.leases:
            keys = " ".join(map(as_text, lease.sorted_keys()))
            self.say(f"lease {lease.id} ttl {lease.ttl_s} remaining {lease.remaining_s}: {keys}")
        self.say(f"{len(self._machine.leases)} leases")

    def _do_members(self) -> None:
        for member in self._machine.members.all():
            self.say(show_member(member))
        self.say(f"removed: {list(self._machine.members.removed_ids())}")

    def _do_image(self) -> None:
        chunks = list(encode_image(self._machine.image()))
        copy = decode_image(chunks)
        assert list(encode_image(copy.image())) == chunks
        assert copy.digest == self._machine.digest
        self._machine = copy
        self.say("restored from its image")

    def _do_replay(self) -> None:
        copy = self._new()
        for index, (term, entry) in enumerate(self._entries, 1):
            self._apply(copy, index, term, entry)
        assert list(encode_image(copy.image())) == list(encode_image(self._machine.image()))
        self.say(f"{len(self._entries)} entries replayed: the same state and digest")

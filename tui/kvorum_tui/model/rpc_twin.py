"""The command line that does what a call did: for ``kvorum`` and for ``etcdctl``, properly quoted.

A twin never holds a password: who logs in is named with ``--user`` and the program asks. Where a
program has no such command, or an argument cannot stand on a command line (a NUL byte), the reason
stands there instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kvorum.client import Compare, Delete, Get, Put, Txn
from kvorum.client.ops import Op, Relation, Target
from kvorum.client.txn_text import TxnTextError, render
from kvorum_proto import etcdserverpb as pb

from kvorum_tui.model.rpc_text import is_prefix, message_of
from kvorum_tui.model.twin import quoted


@dataclass(frozen=True, slots=True)
class Twin:
    """The two command lines; where one is empty, ``why_not_<program>`` says why."""

    kvorum: str = ""
    etcdctl: str = ""
    why_not_kvorum: str = ""
    why_not_etcdctl: str = ""


class NoTwin(Exception):
    """There is no such command line; the text says why."""


@dataclass(frozen=True, slots=True)
class _Command:
    """A verb with flags and arguments; ``stdin`` is what it is to read."""

    verb: str
    args: tuple[bytes, ...] = ()
    flags: tuple[str, ...] = ()
    stdin: str = ""
    only: str = ""  # the one program that has it


def argument(data: bytes) -> str:
    """An argument as a shell reads it. Raises NoTwin for what cannot be one."""
    if b"\0" in data:
        raise NoTwin("a NUL byte cannot stand on a command line")
    return quoted(data)


def twin(path: str, payload: bytes | None, endpoint: str, connection: Sequence[str] = ()) -> Twin:
    """The command lines for a request. ``connection``: options of the connection beside
    ``--endpoints``, without secrets.
    """
    if payload is None:
        why = "the request was too long to be kept"
        return Twin("", "", why, why)
    request = message_of(path, payload)
    make = _COMMANDS.get(path)
    if make is None or request is None:
        name = path.rpartition(".")[2]
        return Twin("", "", f"no kvorum verb makes {name}", f"no etcdctl command makes {name}")
    try:
        command = make(cast(Any, request))
    except (NoTwin, TxnTextError) as error:
        return Twin("", "", str(error), str(error))
    found: dict[str, str] = {}
    whys: dict[str, str] = {}
    for program in ("kvorum", "etcdctl"):
        verb = command.verb
        if command.only and command.only != program:
            whys[program] = f"only {command.only} has {verb}"
        elif program == "kvorum" and verb in _KVORUM_LACKS:
            whys[program] = f"kvorum has no verb {verb}; etcdctl does it on both kinds of servers"
        else:
            try:
                found[program] = _line(program, command, endpoint, connection)
            except NoTwin as error:
                whys[program] = str(error)
    return Twin(
        found.get("kvorum", ""),
        found.get("etcdctl", ""),
        whys.get("kvorum", ""),
        whys.get("etcdctl", ""),
    )


def _line(program: str, command: _Command, endpoint: str, connection: Sequence[str]) -> str:
    flags = [*command.flags, f"--endpoints={endpoint}", *connection]
    verb = _KVORUM_NAMES.get(command.verb, command.verb) if program == "kvorum" else command.verb
    words = [program, verb, *(shlex.quote(flag) for flag in flags)]
    if any(arg.startswith(b"-") for arg in command.args):
        words.append("--")
    words += [argument(arg) for arg in command.args]
    line = " ".join(words)
    return f"{line} <<'KVORUM'\n{command.stdin}KVORUM" if command.stdin else line


# Verbs of etcdctl that kvorum's command has under no name.
_KVORUM_LACKS = frozenset(
    {
        "compaction",
        "defrag",
        "alarm list",
        "alarm disarm",
        "endpoint hashkv",
        "move-leader",
        "downgrade validate",
        "downgrade enable",
        "downgrade cancel",
    }
)


_KVORUM_NAMES = {"endpoint status": "status"}


def _keys(key: bytes, end: bytes) -> tuple[tuple[bytes, ...], list[str]]:
    """Arguments and flags for a key or range."""
    if not end:
        return (key,), []
    if end == b"\0":
        return ((b"",), ["--prefix"]) if key in (b"\0", b"") else ((key,), ["--from-key"])
    return ((key,), ["--prefix"]) if is_prefix(key, end) else ((key, end), [])


def _range(request: pb.RangeRequest) -> _Command:
    bounds = (
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
    if any(bounds):
        raise NoTwin("bounds on revisions have no command line")
    args, flags = _keys(request.key, request.range_end)
    if request.revision:
        flags.append(f"--rev={request.revision}")
    if request.limit:
        flags.append(f"--limit={request.limit}")
    if request.sort_order:
        flags.append(f"--order={request.sort_order.name}")
    if request.sort_target:
        target = {"MOD": "MODIFY"}.get(request.sort_target.name or "", request.sort_target.name)
        flags.append(f"--sort-by={target}")
    if request.serializable:
        flags.append("--consistency=s")
    flags += ["--keys-only"] * request.keys_only + ["--count-only"] * request.count_only
    return _Command("get", args, tuple(flags))


def _put(request: pb.PutRequest) -> _Command:
    flags = [f"--lease={_hex(request.lease)}"] if request.lease else []
    flags += ["--prev-kv"] * request.prev_kv
    flags += ["--ignore-value"] * request.ignore_value + ["--ignore-lease"] * request.ignore_lease
    args = (request.key,) if request.ignore_value else (request.key, request.value)
    return _Command("put", args, tuple(flags))


def _delete(request: pb.DeleteRangeRequest) -> _Command:
    args, flags = _keys(request.key, request.range_end)
    return _Command("del", args, (*flags, *["--prev-kv"] * request.prev_kv))


def _watch(request: pb.WatchRequest) -> _Command:
    create = request.create_request
    if create is None:
        raise NoTwin("this stream began with no watch")
    args, flags = _keys(create.key, create.range_end)
    if create.start_revision:
        flags.append(f"--rev={create.start_revision}")
    return _Command("watch", args, (*flags, *["--prev-kv"] * create.prev_kv))


def _txn(request: pb.TxnRequest) -> _Command:
    txn = Txn(
        tuple(_compare(each) for each in request.compare),
        tuple(_op(each) for each in request.success),
        tuple(_op(each) for each in request.failure),
    )
    text = render(txn)
    if "\nKVORUM" in text:
        raise NoTwin("the transaction holds the mark that would end it on a command line")
    return _Command("txn", stdin=text)


_RELATIONS: dict[str, Relation] = {"EQUAL": "=", "NOT_EQUAL": "!=", "LESS": "<", "GREATER": ">"}
_TARGETS: dict[str, Target] = {
    "VERSION": "version",
    "CREATE": "create",
    "MOD": "mod",
    "VALUE": "value",
    "LEASE": "lease",
}


def _compare(each: pb.Compare) -> Compare:
    target = _TARGETS[each.target.name or ""]
    operand = {
        "version": each.version,
        "create": each.create_revision,
        "mod": each.mod_revision,
        "value": each.value,
        "lease": each.lease,
    }[target]
    if operand is None:
        operand = b"" if target == "value" else 0
    return Compare(target, each.key, _RELATIONS[each.result.name or ""], operand, each.range_end)


def _op(each: pb.RequestOp) -> Op:
    put, get, delete = each.request_put, each.request_range, each.request_delete_range
    if put is not None:
        return Put(put.key, put.value, put.lease, put.prev_kv, put.ignore_value, put.ignore_lease)
    if get is not None:
        if get.sort_order or get.sort_target:
            raise NoTwin("an order within a transaction has no command line")
        return Get(
            get.key,
            get.range_end or None,
            revision=get.revision,
            limit=get.limit,
            serializable=get.serializable,
            keys_only=get.keys_only,
            count_only=get.count_only,
        )
    if delete is not None:
        return Delete(delete.key, delete.range_end or None, prev_kv=delete.prev_kv)
    raise NoTwin("a transaction inside another has no command line")


def _hex(number: int) -> str:
    return f"{number % (1 << 64):x}"


def _text(*parts: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in parts)


def _grant(request: pb.LeaseGrantRequest) -> _Command:
    flags = (f"--id={_hex(request.id)}",) if request.id else ()
    return _Command("lease grant", _text(str(request.ttl)), flags, only="kvorum" if flags else "")


def _member_add(request: pb.MemberAddRequest) -> _Command:
    flags = (f"--peer-urls={','.join(request.peer_urls)}", *["--learner"] * request.is_learner)
    return _Command("member add", _text("NEW-MEMBER"), flags)


def _member_update(request: pb.MemberUpdateRequest) -> _Command:
    flags = (f"--peer-urls={','.join(request.peer_urls)}",)
    return _Command("member update", _text(_hex(request.id)), flags)


def _alarm(request: pb.AlarmRequest) -> _Command:
    action = request.action.name
    if action == "ACTIVATE":
        raise NoTwin("no command raises an alarm")
    return _Command("alarm list" if action == "GET" else "alarm disarm")


def _downgrade(request: pb.DowngradeRequest) -> _Command:
    verb = f"downgrade {(request.action.name or '').lower()}"
    return _Command(verb, _text(request.version) if request.version else ())


def _permit(request: pb.AuthRoleGrantPermissionRequest) -> _Command:
    perm = request.perm
    if perm is None:
        raise NoTwin("no permission was named")
    args, flags = _keys(perm.key, perm.range_end)
    kind = (perm.perm_type.name or "").lower()
    return _Command("role grant-permission", (*_text(request.name, kind), *args), tuple(flags))


def _forbid(request: pb.AuthRoleRevokePermissionRequest) -> _Command:
    args, flags = _keys(request.key, request.range_end)
    return _Command("role revoke-permission", (*_text(request.role), *args), tuple(flags))


def _history(request: Any) -> _Command:
    args, flags = _keys(request.key, request.range_end)
    if len(args) > 1:
        raise NoTwin("the history of a range that is no prefix has no command line")
    flags += [f"--from-rev={request.from_revision}"] if request.from_revision else []
    return _Command("history", args, tuple(flags), only="kvorum")


_AUTH: dict[str, Callable[[Any], _Command]] = {
    "AuthEnable": lambda r: _Command("auth enable"),
    "AuthDisable": lambda r: _Command("auth disable"),
    "AuthStatus": lambda r: _Command("auth status"),
    "UserAdd": lambda r: _Command(
        "user add",
        _text(r.name),
        ("--no-password",) if r.options is not None and r.options.no_password else (),
    ),
    "UserGet": lambda r: _Command("user get", _text(r.name)),
    "UserList": lambda r: _Command("user list"),
    "UserDelete": lambda r: _Command("user delete", _text(r.name)),
    "UserChangePassword": lambda r: _Command("user passwd", _text(r.name)),
    "UserGrantRole": lambda r: _Command("user grant-role", _text(r.user, r.role)),
    "UserRevokeRole": lambda r: _Command("user revoke-role", _text(r.name, r.role)),
    "RoleAdd": lambda r: _Command("role add", _text(r.name)),
    "RoleGet": lambda r: _Command("role get", _text(r.role)),
    "RoleList": lambda r: _Command("role list"),
    "RoleDelete": lambda r: _Command("role delete", _text(r.role)),
    "RoleGrantPermission": _permit,
    "RoleRevokePermission": _forbid,
}
_COMMANDS: dict[str, Callable[[Any], _Command]] = {
    "/etcdserverpb.KV/Range": _range,
    "/etcdserverpb.KV/Put": _put,
    "/etcdserverpb.KV/DeleteRange": _delete,
    "/etcdserverpb.KV/Txn": _txn,
    "/etcdserverpb.KV/Compact": lambda r: _Command(
        "compaction", _text(str(r.revision)), ("--physical",) * r.physical
    ),
    "/etcdserverpb.Watch/Watch": _watch,
    "/etcdserverpb.Lease/LeaseGrant": _grant,
    "/etcdserverpb.Lease/LeaseRevoke": lambda r: _Command("lease revoke", _text(_hex(r.id))),
    "/etcdserverpb.Lease/LeaseKeepAlive": lambda r: _Command(
        "lease keep-alive", _text(_hex(r.id)), ("--once",)
    ),
    "/etcdserverpb.Lease/LeaseTimeToLive": lambda r: _Command(
        "lease timetolive", _text(_hex(r.id)), ("--keys",) * r.keys
    ),
    "/etcdserverpb.Lease/LeaseLeases": lambda r: _Command("lease list"),
    "/etcdserverpb.Cluster/MemberList": lambda r: _Command("member list"),
    "/etcdserverpb.Cluster/MemberAdd": _member_add,
    "/etcdserverpb.Cluster/MemberUpdate": _member_update,
    "/etcdserverpb.Cluster/MemberRemove": lambda r: _Command("member remove", _text(_hex(r.id))),
    "/etcdserverpb.Cluster/MemberPromote": lambda r: _Command("member promote", _text(_hex(r.id))),
    "/etcdserverpb.Maintenance/Status": lambda r: _Command("endpoint status"),
    "/etcdserverpb.Maintenance/Alarm": _alarm,
    "/etcdserverpb.Maintenance/Defragment": lambda r: _Command("defrag"),
    "/etcdserverpb.Maintenance/HashKV": lambda r: _Command(
        "endpoint hashkv", (), (f"--rev={r.revision}",) if r.revision else ()
    ),
    "/etcdserverpb.Maintenance/Snapshot": lambda r: _Command("snapshot save", _text("snapshot.db")),
    "/etcdserverpb.Maintenance/MoveLeader": lambda r: _Command(
        "move-leader", _text(_hex(r.target_id))
    ),
    "/etcdserverpb.Maintenance/Downgrade": _downgrade,
    "/kvorum.v1.Inspect/History": _history,
    "/kvorum.v1.Inspect/Query": lambda r: _Command("sql", _text(r.sql), only="kvorum"),
    **{f"/etcdserverpb.Auth/{name}": make for name, make in _AUTH.items()},
}


def known(path: str) -> bool:
    """Whether calls of this method have command lines at all."""
    return path in _COMMANDS

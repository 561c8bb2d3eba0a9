"""``kvorum member ...`` and ``kvorum status``.

What ``member`` prints in its simple and JSON forms is what etcdctl prints, so that scripts which
take the environment of a new member from there work with either.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.options import Line, connected, consistency_option, verb
from kvorum.cli.output import Group, InvalidInput, Unreachable

if TYPE_CHECKING:
    from kvorum.client.cluster import Member, Members


@click.group("member", cls=Group)
def member() -> None:
    """The members of the cluster."""


class MemberId(click.ParamType[int]):
    """A member's id in hex, as every list shows it."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            number = int(str(value), 16)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 64:
            self.fail(f"{value!r} is no member id; it is a hexadecimal number", param, ctx)
        return number


def _peer_urls(text: str) -> list[str]:
    """``--peer-urls``, checked before anybody is asked. Raises InvalidInput in etcdctl's words."""
    from kvorum.urls import parse_urls

    try:
        return [url.text for url in parse_urls(text)]
    except ValueError as error:
        raise InvalidInput(str(error)) from None


_urls_option = click.option(
    "--peer-urls", required=True, help="URLs that peers reach it at, separated by commas."
)
_id_argument = click.argument("id", type=MemberId(), metavar="MEMBER-ID")


@member.command("list")
@consistency_option
@connected()
async def list_(line: Line, consistency: str) -> None:
    """The member table; ``--consistency s`` takes one member's word for it and needs no quorum."""
    found = await line.client.cluster.members(linearizable=consistency == "l")
    if line.form != "simple":
        _write_members(line, found)
        return
    for one in found.members:
        click.echo(", ".join(_cells(one)))


@member.command("add")
@click.argument("name")
@_urls_option
@click.option("--learner", is_flag=True, help="Add a member without a vote, to be promoted later.")
@connected()
async def add(line: Line, name: str, peer_urls: str, learner: bool) -> None:
    """Add a member, and print the environment to start it with.

    Start the new node only afterwards. A cluster that has just grown wants some seconds before it
    grows again.
    """
    urls = _peer_urls(peer_urls)
    added, found = await line.client.cluster.add(urls, learner=learner)
    if line.form != "simple":
        _write_members(line, found, added)
        return
    cluster = ",".join(
        f"{name if one.id == added.id else one.name}={url}"
        for one in found.members
        for url in one.peer_urls
    )
    click.echo(f"Member {added.id:16x} added to cluster {found.header.cluster_id:16x}\n")
    for variable, value in (
        ("NAME", name),
        ("INITIAL_CLUSTER", cluster),
        ("INITIAL_ADVERTISE_PEER_URLS", ",".join(added.peer_urls)),
        ("INITIAL_CLUSTER_STATE", "existing"),
    ):
        click.echo(f"ETCD_{variable}={json.dumps(value)}")


@member.command("remove")
@_id_argument
@connected()
async def remove(line: Line, id: int) -> None:
    """Remove a member for good; its node stops by itself and its data are of no use any more."""
    _changed(line, id, "removed from", await line.client.cluster.remove(id))


@member.command("update")
@_id_argument
@_urls_option
@connected()
async def update(line: Line, id: int, peer_urls: str) -> None:
    """Give a member other peer URLs, before its node moves there."""
    urls = _peer_urls(peer_urls)
    _changed(line, id, "updated in", await line.client.cluster.update(id, urls))


@member.command("promote")
@_id_argument
@connected()
async def promote(line: Line, id: int) -> None:
    """Make a learner a voter, once it holds nearly all of the leader's log."""
    _changed(line, id, "promoted in", await line.client.cluster.promote(id))


def _changed(line: Line, id: int, what: str, found: Members) -> None:
    if line.form == "simple":
        click.echo(f"Member {id:16x} {what} cluster {found.header.cluster_id:16x}")
    else:
        _write_members(line, found)


def _write_members(line: Line, found: Members, added: Member | None = None) -> None:
    """The member table as JSON or as a table."""
    from kvorum.cli import forms

    if line.form == "json":
        document: dict[str, Any] = {"header": forms.header_json(found.header)}
        if added is not None:
            document["member"] = _fields(added)
        document["members"] = [_fields(one) for one in found.members]
        forms.write_json(document)
        return
    head = ("ID", "STATUS", "NAME", "PEERS", "CLIENTS", "LEARNER")
    forms.write_table(head, [_cells(one) for one in found.members])


def _fields(one: Member) -> dict[str, Any]:
    fields = {
        "ID": one.id,
        "name": one.name,
        "peerURLs": list(one.peer_urls),
        "clientURLs": list(one.client_urls),
        "isLearner": one.is_learner,
    }
    return {name: value for name, value in fields.items() if value}


def _cells(one: Member) -> tuple[str, ...]:
    return (
        f"{one.id:x}",
        "started" if one.started else "unstarted",
        one.name,
        ",".join(one.peer_urls),
        ",".join(one.client_urls),
        "true" if one.is_learner else "false",
    )


@verb("status")
@connected()
async def status(line: Line) -> None:
    """Every member's role, term, index, size and alarms, one line each.

    A member that does not answer stays as a line with the reason. The exit code is 2 when none
    answers.
    """
    from kvorum.cli import forms

    rows = await line.client.cluster.statuses(timeout_s=line.timeout_s)
    if line.form == "json":
        forms.write_json([_json(row) for row in rows])
    elif line.form == "table":
        head = ("ENDPOINT", "ID", "NAME", "VERSION", "ROLE", "TERM", "INDEX", "APPLIED", "DB SIZE")
        forms.write_table((*head, "ERRORS"), [_row(row) for row in rows])
    else:
        for row in rows:
            click.echo(", ".join(str(cell) for cell in _row(row)))
    if all(row.status is None for row in rows):
        raise Unreachable("no member answers")


def _row(row: Any) -> tuple[object, ...]:
    name = "" if row.member is None else row.member.name
    if row.status is None:
        id_text = "" if row.member is None else f"{row.member.id:x}"
        return row.endpoint, id_text, name, "", "unreachable", "", "", "", "", row.error.message
    found = row.status
    return (
        row.endpoint,
        f"{found.member_id:x}",
        name,
        found.version,
        _role(found),
        found.raft_term,
        found.raft_index,
        found.raft_applied_index,
        size(found.db_size_bytes),
        "; ".join(text.strip() for text in found.errors),
    )


def _role(found: Any) -> str:
    if found.is_learner:
        return "learner"
    if found.is_leader:
        return "leader"
    return "follower" if found.leader_id else "no leader"


def size(count: int) -> str:
    """A number of bytes, readable."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter(("kB", "MB", "GB"))
    unit = next(units)
    while value >= 999.5 and (larger := next(units, None)) is not None:
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def _json(row: Any) -> dict[str, Any]:
    from kvorum.cli import forms

    document: dict[str, Any] = {"Endpoint": row.endpoint}
    if row.member is not None:
        document["Name"] = row.member.name
    if row.status is None:
        return document | {"Error": row.error.message}
    found = row.status
    fields = {
        "version": found.version,
        "dbSize": found.db_size_bytes,
        "leader": found.leader_id,
        "raftIndex": found.raft_index,
        "raftTerm": found.raft_term,
        "raftAppliedIndex": found.raft_applied_index,
        "errors": list(found.errors),
        "dbSizeInUse": found.db_in_use_bytes,
        "isLearner": found.is_learner,
        "storageVersion": found.storage_version,
        "dbSizeQuota": found.db_quota_bytes,
    }
    kept = {name: value for name, value in fields.items() if value}
    return document | {"Status": {"header": forms.header_json(found.header)} | kept}

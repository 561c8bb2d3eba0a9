"""``kvorum member list`` and ``kvorum status``."""

from __future__ import annotations

from typing import Any

import click

from kvorum.cli.options import Line, connected, verb
from kvorum.cli.output import Group, Unreachable


@click.group("member", cls=Group)
def member() -> None:
    """The members of the cluster."""


@member.command("list")
@click.option("--consistency", type=click.Choice(["l", "s"]), default="l", show_default=True)
@connected()
async def list_(line: Line, consistency: str) -> None:
    """The member table; ``--consistency s`` takes one member's word for it and needs no quorum."""
    from kvorum.cli import forms

    found = await line.client.cluster.members(linearizable=consistency == "l")
    if line.form == "json":
        members = [
            {
                name: value
                for name, value in {
                    "ID": one.id,
                    "name": one.name,
                    "peerURLs": list(one.peer_urls),
                    "clientURLs": list(one.client_urls),
                    "isLearner": one.is_learner,
                }.items()
                if value
            }
            for one in found.members
        ]
        forms.write_json({"header": forms.header_json(found.header), "members": members})
        return
    rows = [
        (
            f"{one.id:x}",
            "started" if one.started else "unstarted",
            one.name,
            ",".join(one.peer_urls),
            ",".join(one.client_urls),
            "true" if one.is_learner else "false",
        )
        for one in found.members
    ]
    if line.form == "table":
        forms.write_table(("ID", "STATUS", "NAME", "PEERS", "CLIENTS", "LEARNER"), rows)
    else:
        for row in rows:
            click.echo(", ".join(row))


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

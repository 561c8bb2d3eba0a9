"""Looking after a cluster: ``compaction``, ``defrag``, ``alarm``, ``hashkv``, ``move-leader``. What
their simple form prints is what etcdctl prints, where it has the verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.members import size
from kvorum.cli.options import Line, connected, verb
from kvorum.cli.output import Failed, Group, InvalidInput, Unreachable, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvorum.client.cluster import Member, MemberRow
    from kvorum.client.maintenance import Alarm

DEFRAG_S = 600.0  # Of one member; it serves reads meanwhile.


@verb("compaction")
@click.argument("revision", type=click.IntRange(min=1))
@click.option("--physical", is_flag=True, help="Wait until it is gone from the disks, too.")
@connected()
async def compaction(line: Line, revision: int, physical: bool) -> None:
    """Forget what stood before REVISION: it can no longer be read, nor watched from."""
    timeout_s = DEFRAG_S if physical else line.timeout_s
    await line.client.compact(revision, physical=physical, timeout_s=timeout_s)
    _write(line, {"compacted": revision}, f"compacted revision {revision}")


@verb("defrag")
@click.option(
    "--cluster", "whole", is_flag=True, help="Every member in turn, the leader last, not only one."
)
@connected()
async def defrag(line: Line, whole: bool) -> None:
    """Give the room of what was forgotten back to the disk.

    A member is a little slower meanwhile, so they are done one after another; the next one only
    when the one before answers again.
    """
    rows = await line.client.cluster.statuses(timeout_s=line.timeout_s)
    if not whole:
        given = set(line.client.endpoints)
        rows = tuple(row for row in rows if row.endpoint in given)
    if all(row.status is None for row in rows):
        raise Unreachable("no member answers")
    failed = False
    done: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row.status is not None and row.status.is_leader):
        failed |= not await _defrag_one(line, row, done)
    if line.form != "simple":
        _write(line, done, "")
    if failed:
        raise Failed("not every member was defragmented")


async def _defrag_one(line: Line, row: MemberRow, done: list[dict[str, Any]]) -> bool:
    from kvorum.client import ClientError

    maintenance = line.client.member(row.endpoint).maintenance
    before = row.status.db_size_bytes if row.status is not None else 0
    try:
        await maintenance.defragment(timeout_s=DEFRAG_S)
        after = (await maintenance.status(timeout_s=line.timeout_s)).db_size_bytes
    except ClientError as error:
        say(f"Failed to defragment etcd member[{row.endpoint}] ({error.message})")
        done.append({"endpoint": row.endpoint, "error": error.message})
        return False
    done.append({"endpoint": row.endpoint, "before_bytes": before, "after_bytes": after})
    if line.form == "simple":
        text = f"Finished defragmenting etcd member[{row.endpoint}]"
        click.echo(f"{text}. {size(before)} before, {size(after)} now")
    return True


@click.group("alarm", cls=Group)
def alarm() -> None:
    """Alarms that members have raised: NOSPACE (writes are refused) and CORRUPT (data differ)."""


@alarm.command("list")
@connected()
async def list_(line: Line) -> None:
    """The alarms, one a line."""
    _write_alarms(line, await line.client.maintenance.alarms())


@alarm.command()
@connected()
async def disarm(line: Line) -> None:
    """Lift every alarm. Make room first, or NOSPACE comes back."""
    lifted: list[Alarm] = []
    for each in await line.client.maintenance.alarms():
        lifted += await line.client.maintenance.disarm(each)
    _write_alarms(line, lifted)


def _write_alarms(line: Line, alarms: Sequence[Alarm]) -> None:
    rows = [{"member": f"{each.member_id:x}", "alarm": each.kind} for each in alarms]
    text = "\n".join(f"memberID:{each.member_id} alarm:{each.kind} " for each in alarms)
    _write(line, rows, text)


@verb("hashkv")
@click.option("--revision", type=click.IntRange(min=0), default=0, help="0: the newest of all.")
@connected()
async def hashkv(line: Line, revision: int) -> None:
    """Every member's hash over all that is kept at one revision; leaves with 1 when they differ.

    Hashes are comparable when the compact revisions are the same.
    """
    from kvorum.client import ClientError

    found = await line.client.cluster.hashes(revision, timeout_s=line.timeout_s)
    rows: list[dict[str, Any]] = []
    kept: dict[int, set[int]] = {}
    for endpoint, answer in found.items():
        if isinstance(answer, ClientError):
            rows.append({"endpoint": endpoint, "error": answer.message})
            continue
        kept.setdefault(answer.compact_revision, set()).add(answer.hash)
        told = {"hash": answer.hash, "compact_revision": answer.compact_revision}
        rows.append({"endpoint": endpoint, **told})
    text = "\n".join(
        f"{row['endpoint']}, {row.get('hash', 'no answer: ' + row.get('error', ''))}"
        for row in rows
    )
    _write(line, rows, text)
    if not kept:
        raise Unreachable("no member answers")
    if any(len(hashes) > 1 for hashes in kept.values()):
        raise Failed("the members do not hold the same data")


@verb("move-leader")
@click.argument("member")
@connected()
async def move_leader(line: Line, member: str) -> None:
    """Hand leadership to MEMBER, by its name or its id."""
    found = await line.client.cluster.members()
    target = _member_of(member, found.members)
    leader = next(
        (
            row
            for row in await line.client.cluster.statuses()
            if row.status and row.status.is_leader
        ),
        None,
    )
    before = leader.status.member_id if leader is not None and leader.status is not None else 0
    await line.client.cluster.move_leader(target.id)
    text = f"Leadership transferred from {before:x} to {target.id:x}"
    _write(line, {"from": f"{before:x}", "to": f"{target.id:x}"}, text)


def _member_of(text: str, members: Sequence[Member]) -> Member:
    for each in members:
        if text in (each.name, f"{each.id:x}"):
            return each
    known = ", ".join(each.name or f"{each.id:x}" for each in members)
    raise InvalidInput(f"there is no member {text!r}; there are: {known}")


def _write(line: Line, document: Any, text: str) -> None:
    from kvorum.cli import forms

    if line.form == "json":
        forms.write_json(document)
    elif line.form == "table" and isinstance(document, list) and document:
        head = tuple(dict.fromkeys(name for row in document for name in row))
        cells = [tuple(row.get(name, "") for name in head) for row in document]
        forms.write_table(tuple(name.upper() for name in head), cells)
    elif text:
        click.echo(text)

"""``kvorum rejoin``: a member whose log is damaged or lost comes back under a new id.

Run where its data are, with its process ended. What it does to the directory is
:mod:`kvorum.server.rejoin`'s; here are the words with the cluster: the old member is removed, a
learner added with the same peer URLs, and promoted when it holds what the leader holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kvorum.cli.members import MemberId
from kvorum.cli.options import Line, connected
from kvorum.cli.output import Failed, InvalidInput, say

if TYPE_CHECKING:
    from kvorum.client.cluster import Member
    from kvorum.server.rejoin import Plan, Rejoin

_T = TypeVar("_T")

_RETRY_S = 0.5
# A cluster takes changes when all that it needs have been connected for five seconds.
_UNHEALTHY_S = 30.0
_DIRECTORY = click.Path(path_type=Path, file_okay=False, exists=True)


@click.command("rejoin")
@click.argument("data_dir", type=_DIRECTORY)
@click.option("--wal-dir", type=_DIRECTORY, help="The member's --wal-dir, if it has one.")
@click.option("--member", "member_id", type=MemberId(), help="Who it was, if its log cannot tell.")
@click.option("--force", is_flag=True, help="Also a member whose log is whole.")
@click.option("--no-wait", is_flag=True, help="Leave starting and promoting to somebody else.")
@connected(endless=True)
async def rejoin(
    line: Line,
    data_dir: Path,
    wal_dir: Path | None,
    member_id: int | None,
    force: bool,
    no_wait: bool,
) -> None:
    """Let the member of DATA_DIR come back, whose log is damaged or lost.

    It must not run. It is removed from the cluster and added as a learner under a new id; its old
    data are kept beside the new ones. Start it then as it was started before: it takes everything
    from the leader. This command waits for that and gives it its vote. When it breaks off, run it
    again.
    """
    from kvorum.server.crash import FatalError
    from kvorum.server.rejoin import Rejoin

    try:
        place = Rejoin(data_dir, wal_dir)
    except FatalError as error:
        raise Failed(str(error)) from None
    try:
        new = await _prepare(line, place, member_id, force)
    finally:
        place.close()
    if no_wait:
        say(f"once it runs and has caught up: kvorum member promote {new:x}")
        return
    await _promote(line, new)


async def _prepare(line: Line, place: Rejoin, member_id: int | None, force: bool) -> int:
    """Everything up to a directory that the new member can start from; its id."""
    plan = place.plan()
    if plan is None:
        planned = await _planned(line, place, member_id, force)
        if isinstance(planned, int):
            return planned
        plan = planned
        place.begin(plan)
    await _remove(line, plan)
    return await _admit(line, place, plan)


async def _planned(line: Line, place: Rejoin, member_id: int | None, force: bool) -> Plan | int:
    """What to do; or the id of a member that has been prepared already."""
    from kvorum.server.rejoin import Plan

    owner = place.whose()
    id_ = member_id or (owner.member_id if owner is not None else 0)
    if not id_:
        raise InvalidInput("no file of the log tells whose it is; name the member with --member")
    found = await line.client.cluster.members()
    if owner is not None and owner.cluster_id != found.header.cluster_id:
        raise InvalidInput(
            f"the data are of cluster {owner.cluster_id:x}, and the endpoints of cluster "
            f"{found.header.cluster_id:x}"
        )
    one = next((each for each in found.members if each.id == id_), None)
    damage = place.damage()
    if one is not None and one.is_learner and not damage and not force:
        return id_
    if one is None:
        raise Failed(
            f"member {id_:x} is not in the cluster any more: its peer URLs are not known; use "
            "kvorum member add, and start the new member on an empty directory"
        )
    if not damage and not force:
        raise InvalidInput(f"the log of member {id_:x} is whole; start it, or use --force")
    say(f"member {id_:x} ({one.name}): {damage or 'comes back by force'}")
    return Plan(id_, one.name, one.peer_urls)


async def _remove(line: Line, plan: Plan) -> None:
    from kvorum.client.errors import ClientError
    from kvorum.errors import Condition

    try:
        await _patiently(lambda: line.client.cluster.remove(plan.member_id))
    except ClientError as error:
        if error.condition is not Condition.MEMBER_NOT_FOUND:
            raise
        return  # An earlier try did it.
    say(f"removed member {plan.member_id:x}")


async def _patiently(change: Callable[[], Awaitable[_T]]) -> _T:
    """Ask for a change of members until the cluster is healthy enough to take it, within bounds."""
    from kvorum.client.errors import ClientError
    from kvorum.errors import Condition

    deadline = time.monotonic() + _UNHEALTHY_S
    while True:
        try:
            return await change()
        except ClientError as error:
            if error.condition is not Condition.UNHEALTHY or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_RETRY_S)


async def _admit(line: Line, place: Rejoin, plan: Plan) -> int:
    """Add the learner, unless an earlier try did, and make its directory; its id."""
    from kvorum.machine import members as table
    from kvorum.storage.interface import WalMetadata

    found = await line.client.cluster.members()
    new = next((each for each in found.members if _is_planned(each, plan)), None)
    if new is None:
        added = await _patiently(lambda: line.client.cluster.add(plan.peer_urls, learner=True))
        new, found = added
        say(f"added learner {new.id:x} at {','.join(new.peer_urls)}")
    members = [
        table.Member(each.id, each.name, each.peer_urls, each.client_urls, each.is_learner)
        for each in found.members
    ]
    owner = WalMetadata(found.header.cluster_id, new.id)
    aside = await asyncio.to_thread(place.finish, owner, members)
    if aside is not None:
        say(f"the old data are kept in {aside}")
    say("start it as it was started before")
    return new.id


def _is_planned(member: Member, plan: Plan) -> bool:
    return not member.started and set(member.peer_urls) == set(plan.peer_urls)


async def _promote(line: Line, new: int) -> None:
    """Wait until the learner has caught up, and give it a vote."""
    from kvorum.client.errors import ClientError
    from kvorum.errors import Condition

    waits = (Condition.LEARNER_NOT_READY, Condition.UNHEALTHY)
    while True:
        try:
            await line.client.cluster.promote(new)
        except ClientError as error:
            if error.condition is Condition.MEMBER_NOT_LEARNER:
                break
            if error.condition not in waits:
                raise
            await asyncio.sleep(_RETRY_S)
            continue
        break
    say(f"member {new:x} has caught up and votes")

"""How a member that was removed ends.

It learns of its removal in one of two ways: it applies the change itself, or a peer that has
applied it refuses its messages (a leader that removed it tells it nothing any more, and it may have
been down). Either is final: an id never comes back.

But it may not go at once, nor give up its data. Configurations are in force once applied, and those
that remain may not know yet that this one is committed; until they do, they count with this
member's vote (see ``raft.departure``), and those that knew may crash before they have told it. So a
leader hands over, everybody goes on answering for a few election timeouts, and until a quorum of
the voters that remain, as this member has them applied, has said ``REMOVED`` to it: what was
applied is durable, so that they can do without it for ever. Only then the fact is written beside
the data, no later start uses them again, and the process ends with exit code 0, as etcd's does.

When too few of them can be reached for a minute or so it ends as well, but writes nothing down: its
vote is not lost, and started again it answers and lingers as before. Only a member that was told,
and has not applied the change itself, does not know who remains: those that it knows may be long
gone, and so it takes the word of one after a few election timeouts more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum.limits import (
    REMOVED_LINGER_ELECTIONS,
    REMOVED_LINGER_MAX_ELECTIONS,
    REMOVED_TOLD_MAX_ELECTIONS,
)
from kvorum.raft.departure import is_dispensable
from kvorum.server.crash import Exit, FatalError

if TYPE_CHECKING:
    from kvorum.server.runtime import Node

log = logging.getLogger(__name__)

REMOVED = "the member has been permanently removed from the cluster"
FAREWELL = "data-dir used by this member must be removed"
_NOTE = "removed"


def note_removed(member_dir: Path, cluster_id: int, member_id: int) -> None:
    """Write down that the data in this directory belong to nobody any more. Blocks."""
    text = json.dumps({"cluster": f"{cluster_id:x}", "member": f"{member_id:x}"}) + "\n"
    draft = member_dir / f"{_NOTE}.part"
    with draft.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(member_dir / _NOTE)
    directory = os.open(member_dir, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_noted(member_dir: Path) -> bool:
    """Whether the member of this directory was removed."""
    return (member_dir / _NOTE).exists()


def refuse_removed(data_dir: Path) -> None:
    """FatalError when the data in ``data_dir`` are those of a member that was removed."""
    if is_noted(data_dir / "member"):
        raise refusal(data_dir)


def refusal(data_dir: Path) -> FatalError:
    """Why data of a removed member cannot be used, and what to do."""
    return FatalError(
        f"{REMOVED}; {FAREWELL}: {data_dir}. To come back, add a new member (member add) and "
        "start that one with --initial-cluster-state existing",
        Exit.BAD_DATA,
    )


async def linger(node: Node) -> bool:
    """Return once nobody can need this removed member any more: it does not lead, has answered the
    others for some election timeouts since, and enough of them know. False: too few have said so.

    A leader that is out steps down by itself: it hands over, or hears from no quorum.
    """
    log.warning("server error", extra={"error": REMOVED})
    await _stepped_down(node)
    election_s = node.config.election_timeout_ms / 1000
    await asyncio.sleep(REMOVED_LINGER_ELECTIONS * election_s)
    waited = REMOVED_LINGER_ELECTIONS
    while node.is_leader or not _is_dispensable(node):
        applied = node.member_id in node.machine.members.removed
        if not applied and waited >= REMOVED_TOLD_MAX_ELECTIONS:
            break
        if waited >= REMOVED_LINGER_MAX_ELECTIONS:
            log.warning(
                "the other members have not confirmed the removal yet; started again, this one "
                "lets them hear of it and ends",
                extra={"data-dir": str(node.config.data_dir)},
            )
            return False
        await asyncio.sleep(election_s)
        waited += 1
    return True


def _is_dispensable(node: Node) -> bool:
    voters = [member.id for member in node.members() if not member.is_learner]
    return is_dispensable([id_ for id_ in voters if id_ != node.member_id], node.removal_tellers)


async def _stepped_down(node: Node) -> None:
    stepped_down = asyncio.Event()

    def look(*_: object) -> None:
        if node.is_leader:
            stepped_down.clear()
        else:
            stepped_down.set()

    forget = node.on_role_change(look)
    try:
        look()
        await stepped_down.wait()
    finally:
        forget()


async def depart(node: Node) -> None:
    """See a removed member to its end: linger, and write down that its data are of no use."""
    if await linger(node):
        member_dir = node.config.data_dir / "member"
        await asyncio.to_thread(note_removed, member_dir, node.cluster_id, node.member_id)
        log.warning(FAREWELL)

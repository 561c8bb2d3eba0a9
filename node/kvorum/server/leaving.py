"""How a member that was removed ends.

It learns of its removal in one of two ways: it applies the change itself, or a peer that has
applied it refuses its messages (a leader that removed it tells it nothing any more, and it may have
been down). Either is final: an id never comes back. So the fact is written beside the data first,
and no later start uses them again.

Then it lingers. Configurations are in force once applied, and those that remain may not know yet
that this one is committed; until they do, they count with this member's vote (see
``raft.departure``). A leader hands over, everybody goes on answering for a few election timeouts,
and the process ends with exit code 0, as etcd's does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum.limits import REMOVED_LINGER_ELECTIONS
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


async def linger(node: Node) -> None:
    """Return once nobody can need this removed member any more: it does not lead, and has answered
    the others for some election timeouts since.

    A leader that is out steps down by itself: it hands over, or hears from no quorum.
    """
    log.warning("server error", extra={"error": REMOVED})
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
    await asyncio.sleep(REMOVED_LINGER_ELECTIONS * node.config.election_timeout_ms / 1000)
    log.warning(FAREWELL)

"""A member whose log is damaged or lost comes back as a new one, without a vote on what it lost.

What its log promised (votes, acknowledged entries) cannot be made up, so that it must never count
as the member it was: under its old id it could elect a leader that lacks what it had acknowledged.
It is removed and added as a learner under a new id, its data are set aside, and it votes again when
it has caught up (fault catalogue, verdicts "corrupt" and "lost"; thesis section 4.2.1).

Here is what happens to the directory; ``kvorum rejoin`` speaks to the cluster. What was begun is
noted beside the data before the cluster is asked to change, so that a rejoin that broke off is
finished by running it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvorum.config import NodeConfig
from kvorum.history.copying import sync_directory
from kvorum.machine.members import Member
from kvorum.server import boot
from kvorum.server.boot import ASIDE, DataDir, FirstMembers
from kvorum.server.leaving import is_noted
from kvorum.storage.filesystem import RealDisk
from kvorum.storage.interface import WalCorrupt, WalLost, WalMetadata
from kvorum.storage.record import Record, decode_segment_head, parse
from kvorum.storage.replay import replay, segment_names, set_aside

_NOTE = "rejoin"
# A segment's head fits in here, many times.
_HEAD_BYTES = 4_096


@dataclass(frozen=True)
class Plan:
    """Who comes back, and as whom others reach it."""

    member_id: int
    name: str
    peer_urls: tuple[str, ...]


class Rejoin:
    """The directory of one member that does not run, locked.

    FatalError when it is in use or cannot be used.
    """

    def __init__(self, data_dir: Path, wal_dir: Path | None = None) -> None:
        self._root = data_dir
        self._own_wal_dir = wal_dir
        self._config = NodeConfig(data_dir=data_dir, wal_dir=wal_dir)
        self._places = DataDir(self._config)
        self._note = data_dir / _NOTE

    def close(self) -> None:
        """Let others use the directory."""
        self._places.lock.release()

    def plan(self) -> Plan | None:
        """What an earlier try began and did not finish."""
        try:
            told = json.loads(self._note.read_text(encoding="utf-8"))
            return Plan(int(told["member"], 16), str(told["name"]), tuple(told["peer-urls"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def whose(self) -> WalMetadata | None:
        """Whose log it is, by the first file of it whose head can be read."""
        disk = RealDisk(self._places.wal)
        for name in segment_names(disk):
            head = parse(disk.read(name, 0, _HEAD_BYTES), 0, 0)
            if isinstance(head, Record):
                try:
                    return decode_segment_head(head.payload).metadata
                except ValueError:
                    continue
        return None

    def damage(self) -> str:
        """Why the member cannot start from here; empty when its log is whole."""
        if is_noted(self._root / "member"):
            return "the member was removed from the cluster"
        try:
            replay(RealDisk(self._places.wal))
        except (WalCorrupt, WalLost) as verdict:
            return str(verdict)
        return ""

    def begin(self, plan: Plan) -> None:
        """Note, durably, what is about to happen."""
        told = {
            "member": f"{plan.member_id:x}",
            "name": plan.name,
            "peer-urls": list(plan.peer_urls),
        }
        draft = self._note.with_name(f"{_NOTE}.part")
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._note)
        sync_directory(self._root)

    def finish(self, owner: WalMetadata, members: Sequence[Member]) -> Path | None:
        """Set the old data aside and make those of the new member; where the old ones are."""
        aside = None
        found = self.whose()
        if found != owner:
            aside = self._set_aside()
            boot.bootstrap(self._places, FirstMembers(owner, tuple(members), joins=True))
        self._note.unlink()
        sync_directory(self._root)
        return aside

    def _set_aside(self) -> Path | None:
        aside: Path | None = None
        member = self._root / "member"
        if any(path.is_file() for path in member.rglob("*")):
            taken = {path.name for path in self._root.iterdir()}
            number = next(n for n in range(1, len(taken) + 2) if f"{ASIDE}{n}" not in taken)
            aside = member.rename(self._root / f"{ASIDE}{number}")
            sync_directory(self._root)
        if self._own_wal_dir is not None:
            set_aside(RealDisk(self._own_wal_dir))
        self._places.make()
        return aside

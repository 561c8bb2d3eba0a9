"""``session.admin``: looking after a cluster. Users and roles, compaction, defragmentation,
snapshots, alarms, members.

Every call raises :class:`kvorum_tui.session.SessionError`; what the user may not do, or this kind
of server does not offer, shows by its code (PERMISSION_DENIED, UNIMPLEMENTED).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from kvorum_tui.model.access_matrix import AuthPicture, OwnRanges
from kvorum_tui.model.admin_records import (
    AddedMember,
    AlarmView,
    CheckupView,
    MemberFigures,
    SnapshotFile,
    SnapshotSaved,
)

Progress = Callable[[int, int], None]  # bytes written, bytes in all


class Admin(Protocol):
    """What the Admin tab asks of a cluster."""

    async def auth(self) -> AuthPicture:
        """Users, roles and whether auth is on, as far as the user may see it."""

    async def own_ranges(self) -> OwnRanges:
        """What the user of this session may read and write, by asking for its own roles."""

    async def auth_enable(self) -> None:
        """Check permissions from now on."""

    async def auth_disable(self) -> None:
        """Let everybody do everything."""

    async def user_add(self, name: str, password: str, no_password: bool = False) -> None:
        """A new user."""

    async def user_delete(self, name: str) -> None:
        """One user less."""

    async def user_password(self, name: str, password: str) -> None:
        """Another password."""

    async def role_add(self, name: str) -> None:
        """A role that may do nothing yet."""

    async def role_delete(self, name: str) -> None:
        """A role less, for all users."""

    async def grant_role(self, user: str, role: str) -> None:
        """Give a user a role."""

    async def revoke_role(self, user: str, role: str) -> None:
        """Take it back."""

    async def permit(self, role: str, kind: str, key: bytes, end: bytes) -> None:
        """Let a role READ, WRITE or READWRITE a key (``end`` empty) or a range."""

    async def forbid(self, role: str, key: bytes, end: bytes) -> None:
        """Take back what was given for exactly this key and range."""

    async def figures(self) -> list[MemberFigures]:
        """Every member of the table with its own figures, or why there are none."""

    async def checkup(self) -> CheckupView:
        """Look at everything that goes wrong quietly; what ``kvorum doctor`` prints."""

    async def alarms(self) -> list[AlarmView]:
        """Every alarm that is raised."""

    async def disarm(self, alarm: AlarmView) -> None:
        """Lift one alarm."""

    async def compact(self, revision: int, physical: bool) -> None:
        """Forget everything that only revisions before this one can see."""

    async def defragment(self, endpoint: str) -> None:
        """Let one member give its free pages back; it answers nothing meanwhile."""

    async def snapshot(self, endpoint: str, file: Path, told: Progress) -> SnapshotSaved:
        """Write one member's whole state to a file that is not there yet. Under its name it stands
        only when it is complete and its checksum is right; whatever goes wrong, nothing is left.
        """

    async def snapshot_status(self, file: Path) -> SnapshotFile:
        """Check a snapshot file from end to end."""

    async def member_add(self, peer_urls: tuple[str, ...], learner: bool) -> AddedMember:
        """A new entry of the member table; its node has to be started then."""

    async def member_remove(self, id: int) -> None:
        """Remove a member for good."""

    async def member_update(self, id: int, peer_urls: tuple[str, ...]) -> None:
        """Give a member other peer URLs."""

    async def member_promote(self, id: int) -> None:
        """Make a learner a voter."""

"""Looking after a real cluster; see :mod:`kvorum_tui.session.admin`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

from kvorum.client import Client, ClientError, Unsupported
from kvorum.client.checkup import checkup
from kvorum.client.cluster import MemberRow
from kvorum.client.findings import Patient
from kvorum.client.maintenance import Alarm
from kvorum.client.snapshot_file import SnapshotDamaged, save_snapshot
from kvorum.drill.access import Access
from kvorum.errors import Code, Condition

from kvorum_tui.live.errors import session_error, translated
from kvorum_tui.model.access_matrix import ROOT, AuthPicture, Grant, OwnRanges
from kvorum_tui.model.admin_records import (
    AddedMember,
    AlarmView,
    CheckupView,
    MemberFigures,
    Remark,
    ServerView,
    SnapshotFile,
    SnapshotSaved,
)
from kvorum_tui.session import SessionError
from kvorum_tui.session.admin import Progress

STATUS_S = 2.0
COMPACT_S = 60.0  # Physical compaction answers when the old records are gone.
DEFRAGMENT_S = 600.0
AT_ONCE = 8
NOT_ROOT = frozenset({Condition.PERMISSION_DENIED, Condition.USER_EMPTY})


class LiveAdmin:
    """:class:`kvorum_tui.session.admin.Admin` over a client."""

    def __init__(self, client: Callable[[], Client], access: Callable[[], Access]) -> None:
        self._client = client
        self._access = access

    # --- users and roles --------------------------------------------------------------------------

    async def auth(self) -> AuthPicture:
        """Status first; etcd 3.4 does not know that call, and is asked otherwise."""
        auth = self._client().auth
        with translated():
            enabled, revision = await self._auth_status()
            try:
                names = await auth.users()
                roles = await auth.roles()
            except ClientError as error:
                if error.condition in NOT_ROOT or error.code is Code.PERMISSION_DENIED:
                    return AuthPicture(
                        True if enabled is None else enabled, revision, forbidden=error.message
                    )
                raise
            if enabled is None and (self._access().tls is None or self._client().has_token):
                enabled = self._client().has_token  # Without one nobody may list the users.
            gate = asyncio.Semaphore(AT_ONCE)

            async def roles_of(name: str) -> tuple[str, ...]:
                async with gate:
                    return await auth.user_roles(name)

            async def grants_of(name: str) -> tuple[Grant, ...]:
                async with gate:
                    return await self._grants(name)

            held = await asyncio.gather(*(roles_of(name) for name in names))
            grants = await asyncio.gather(*(grants_of(name) for name in roles))
        return AuthPicture(
            enabled,
            revision,
            dict(zip(names, held, strict=True)),
            dict(zip(roles, grants, strict=True)),
        )

    async def _auth_status(self) -> tuple[bool | None, int]:
        client = self._client()
        try:
            told = await client.auth.status()
        except Unsupported:
            return None, 0
        except ClientError as error:
            if error.condition in NOT_ROOT or error.code is Code.PERMISSION_DENIED:
                return True, 0  # Only a cluster with auth on asks who wants to know.
            raise
        return told.enabled, told.revision

    async def _grants(self, role: str) -> tuple[Grant, ...]:
        found = await self._client().auth.role_permissions(role)
        return tuple(Grant(each.kind, each.key, each.range_end) for each in found)

    async def own_ranges(self) -> OwnRanges:
        """UserGet and RoleGet of oneself are allowed to everybody."""
        user = self._access().user
        if user is None:
            return OwnRanges()
        if self._client().needs_no_login:
            return OwnRanges(user)
        auth = self._client().auth
        try:
            roles = await auth.user_roles(user)
            if not self._client().has_token or ROOT in roles:
                return OwnRanges(user, roles)
            grants = [(role, grant) for role in roles for grant in await self._grants(role)]
        except ClientError as error:
            if error.condition is Condition.USER_NOT_FOUND:
                return OwnRanges(user)  # Auth is off, and there is nobody of that name.
            if error.condition in NOT_ROOT or error.code is Code.PERMISSION_DENIED:
                return OwnRanges(user, everything=False, known=False)
            raise session_error(error) from error
        return OwnRanges(user, roles, tuple(grants), everything=False)

    async def auth_enable(self) -> None:
        """On."""
        with translated():
            await self._client().auth.enable()

    async def auth_disable(self) -> None:
        """Off."""
        with translated():
            await self._client().auth.disable()

    async def user_add(self, name: str, password: str, no_password: bool = False) -> None:
        """A new user."""
        with translated():
            await self._client().auth.user_add(name, password, no_password=no_password)

    async def user_delete(self, name: str) -> None:
        """Gone."""
        with translated():
            await self._client().auth.user_delete(name)

    async def user_password(self, name: str, password: str) -> None:
        """Another password."""
        with translated():
            await self._client().auth.user_change_password(name, password)

    async def role_add(self, name: str) -> None:
        """A new role."""
        with translated():
            await self._client().auth.role_add(name)

    async def role_delete(self, name: str) -> None:
        """Gone."""
        with translated():
            await self._client().auth.role_delete(name)

    async def grant_role(self, user: str, role: str) -> None:
        """Given."""
        with translated():
            await self._client().auth.grant_role(user, role)

    async def revoke_role(self, user: str, role: str) -> None:
        """Taken."""
        with translated():
            await self._client().auth.revoke_role(user, role)

    async def permit(self, role: str, kind: str, key: bytes, end: bytes) -> None:
        """Given."""
        word = cast(Literal["READ", "WRITE", "READWRITE"], kind)
        with translated():
            await self._client().auth.grant_permission(role, word, key, end or None)

    async def forbid(self, role: str, key: bytes, end: bytes) -> None:
        """Taken."""
        with translated():
            await self._client().auth.revoke_permission(role, key, end or None)

    # --- space ------------------------------------------------------------------------------------

    async def figures(self) -> list[MemberFigures]:
        """The table from any member, each member's status from itself."""
        client = self._client()
        with translated():
            rows = await client.cluster.statuses(timeout_s=STATUS_S)
        seen = {row.member.id for row in rows if row.member is not None}
        found = [_figures(row) for row in rows]
        try:
            table = await client.cluster.members(linearizable=False, timeout_s=STATUS_S)
        except ClientError:
            return found  # The rows stand without it, as where a user may not see it.
        for member in table.members:
            if member.id not in seen:
                why = "has not started yet" if not member.started else "does not answer"
                found.append(
                    MemberFigures(
                        member.id,
                        member.name,
                        member.client_urls[0] if member.client_urls else "",
                        member.peer_urls,
                        member.client_urls,
                        member.is_learner,
                        member.started,
                        why,
                    )
                )
        return sorted(found, key=lambda each: (each.name or "~", each.id))

    async def checkup(self) -> CheckupView:
        """As ``kvorum doctor`` does."""
        with translated():
            found = await checkup(self._client(), self._access().tls, timeout_s=STATUS_S)
        return CheckupView(
            tuple(Remark(f.level, f.subject, f.member, f.text) for f in found.findings),
            tuple((limit.feature, limit.reason) for limit in found.limits),
            tuple(_server(each) for each in found.patients),
        )

    async def alarms(self) -> list[AlarmView]:
        """All."""
        with translated():
            found = await self._client().maintenance.alarms()
        return [AlarmView(each.member_id, each.kind) for each in found]

    async def disarm(self, alarm: AlarmView) -> None:
        """One."""
        with translated():
            await self._client().maintenance.disarm(Alarm(alarm.member, alarm.kind))

    async def compact(self, revision: int, physical: bool) -> None:
        """Through the log of the cluster."""
        with translated():
            await self._client().compact(revision, physical=physical, timeout_s=COMPACT_S)

    async def defragment(self, endpoint: str) -> None:
        """At one member."""
        with translated():
            await self._client().member(endpoint).maintenance.defragment(timeout_s=DEFRAGMENT_S)

    async def snapshot(self, endpoint: str, file: Path, told: Progress) -> SnapshotSaved:
        """From one member."""
        if await asyncio.to_thread(file.exists):
            raise SessionError(f"{file} exists", rpc="snapshot save")
        maintenance = self._client().member(endpoint).maintenance
        try:
            with translated():
                saved = await save_snapshot(maintenance, file, told=told)
        except (SnapshotDamaged, OSError) as error:
            raise SessionError(str(error), endpoint, "Maintenance/Snapshot") from error
        return SnapshotSaved(str(file), saved.bytes, saved.sha256)

    async def snapshot_status(self, file: Path) -> SnapshotFile:
        """By ``kvorum snapshot status`` in a process of its own: it reads the whole file."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kvorum", "snapshot", "status", str(file), "-w", "json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            text = err.decode(errors="replace").strip().removeprefix("Error: ")
            raise SessionError(text or "the file cannot be read", rpc="snapshot status")
        told = json.loads(out)
        return SnapshotFile(told["hash"], told["revision"], told["totalKey"], told["totalSize"])

    # --- members ----------------------------------------------------------------------------------

    async def member_add(self, peer_urls: tuple[str, ...], learner: bool) -> AddedMember:
        """Into the table."""
        with translated():
            added, table = await self._client().cluster.add(peer_urls, learner=learner)
        cluster = tuple(
            ("" if each.id == added.id else each.name, url)
            for each in table.members
            for url in each.peer_urls
        )
        return AddedMember(added.id, added.peer_urls, cluster)

    async def member_remove(self, id: int) -> None:
        """Out of the table."""
        with translated():
            await self._client().cluster.remove(id)

    async def member_update(self, id: int, peer_urls: tuple[str, ...]) -> None:
        """Other URLs."""
        with translated():
            await self._client().cluster.update(id, peer_urls)

    async def member_promote(self, id: int) -> None:
        """With a vote."""
        with translated():
            await self._client().cluster.promote(id)


def _figures(row: MemberRow) -> MemberFigures:
    member, told = row.member, row.status
    found = MemberFigures(
        member.id if member is not None else told.member_id if told is not None else 0,
        member.name if member is not None else "",
        row.endpoint,
        member.peer_urls if member is not None else (),
        member.client_urls if member is not None else (),
        member.is_learner if member is not None else bool(told and told.is_learner),
        member.started if member is not None else True,
        row.error.message if row.error is not None else "",
    )
    if told is None:
        return found
    return replace(
        found,
        version=told.version,
        storage_version=told.storage_version,
        db_bytes=told.db_size_bytes,
        in_use_bytes=told.db_in_use_bytes,
        quota_bytes=told.db_quota_bytes,
        downgrade_to=told.downgrade_target,
        leader=told.leader_id,
        term=told.raft_term,
        index=told.raft_index,
        applied=told.raft_applied_index,
        revision=told.header.revision,
        errors=tuple(each.strip() for each in told.errors),
    )


def _server(patient: Patient) -> ServerView:
    status = patient.row.status
    return ServerView(
        patient.name,
        patient.kind,
        status.version if status is not None else "",
        patient.pages.get("etcdcluster", ""),
        (status.db_quota_bytes if status is not None else 0) or patient.quota_bytes,
        tuple(patient.flags.items()),
        tuple(sorted(patient.gates.items())),
        patient.clock_s,
        patient.certificate_until_s,
        patient.row.error.message if patient.row.error is not None else patient.http_error,
    )

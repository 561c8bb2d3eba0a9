"""Looking after the cluster in memory: users, roles, sizes, alarms are plain attributes."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kvorum_tui.model.access_matrix import AuthPicture, Grant, OwnRanges
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

if TYPE_CHECKING:
    from tui.fake_session import FakeNode, FakeSession

MIB = 1 << 20


class FakeAdmin:
    """Of one FakeSession. ``gate`` holds defragmentations and snapshots until it is set."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.picture = AuthPicture(False, 1)
        self.own = OwnRanges()
        self.sizes: dict[str, tuple[int, int]] = {}
        self.learners: set[str] = set()
        self.alarm_list: list[AlarmView] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.behind: set[str] = set()
        self.quota = 0
        self.pieces = 4

    def _may(self, *call: object) -> None:
        self.session._may(*call)

    # --- users and roles --------------------------------------------------------------------------

    async def auth(self) -> AuthPicture:
        self.session._may(changes=False)
        return self.picture

    async def own_ranges(self) -> OwnRanges:
        return self.own

    async def auth_enable(self) -> None:
        self._may("auth_enable")
        self.picture = replace(self.picture, enabled=True)

    async def auth_disable(self) -> None:
        self._may("auth_disable")
        self.picture = replace(self.picture, enabled=False)

    def _users(self, **changed: tuple[str, ...] | None) -> None:
        users = dict(self.picture.users)
        for name, roles in changed.items():
            users.pop(name, None)
            if roles is not None:
                users[name] = roles
        self.picture = replace(self.picture, users=dict(sorted(users.items())))

    def _roles(self, **changed: tuple[Grant, ...] | None) -> None:
        roles = dict(self.picture.roles)
        for name, grants in changed.items():
            roles.pop(name, None)
            if grants is not None:
                roles[name] = grants
        self.picture = replace(self.picture, roles=dict(sorted(roles.items())))

    async def user_add(self, name: str, password: str, no_password: bool = False) -> None:
        self._may("user_add", name, password, no_password)
        if name in self.picture.users:
            text = "etcdserver: user name already exists"
            raise SessionError(text, "n1", "Auth/UserAdd", "FAILED_PRECONDITION")
        self._users(**{name: ()})

    async def user_delete(self, name: str) -> None:
        self._may("user_delete", name)
        self._users(**{name: None})

    async def user_password(self, name: str, password: str) -> None:
        self._may("user_password", name, password)

    async def role_add(self, name: str) -> None:
        self._may("role_add", name)
        self._roles(**{name: ()})

    async def role_delete(self, name: str) -> None:
        self._may("role_delete", name)
        self._roles(**{name: None})
        for user, roles in self.picture.users.items():
            self._users(**{user: tuple(role for role in roles if role != name)})

    async def grant_role(self, user: str, role: str) -> None:
        self._may("grant_role", user, role)
        self._users(**{user: (*self.picture.users[user], role)})

    async def revoke_role(self, user: str, role: str) -> None:
        self._may("revoke_role", user, role)
        self._users(**{user: tuple(r for r in self.picture.users[user] if r != role)})

    async def permit(self, role: str, kind: str, key: bytes, end: bytes) -> None:
        self._may("permit", role, kind, key, end)
        others = tuple(g for g in self.picture.roles[role] if (g.key, g.end) != (key, end))
        self._roles(**{role: (*others, Grant(kind, key, end))})

    async def forbid(self, role: str, key: bytes, end: bytes) -> None:
        self._may("forbid", role, key, end)
        kept = tuple(g for g in self.picture.roles[role] if (g.key, g.end) != (key, end))
        self._roles(**{role: kept})

    # --- space ------------------------------------------------------------------------------------

    def _size(self, node: FakeNode) -> tuple[int, int]:
        return self.sizes.get(node.name, (64 * MIB, 16 * MIB))

    async def figures(self) -> list[MemberFigures]:
        leader = next((n.id for n in self.session.nodes if n.role == "leader"), 0)
        found = []
        for node in self.session.nodes:
            size, used = self._size(node)
            one = MemberFigures(
                node.id,
                node.name,
                node.endpoint,
                (f"http://{node.name}:2380",),
                (node.endpoint,),
                node.name in self.learners,
                error=node.error,
            )
            if not node.error:
                one = replace(
                    one,
                    version="3.5.30",
                    db_bytes=size,
                    in_use_bytes=used,
                    quota_bytes=self.quota,
                    leader=leader,
                    term=node.term,
                    index=node.commit,
                    applied=0 if node.name in self.behind else node.applied,
                    revision=self.session.revision,
                    errors=tuple(f"memberID:{a.member} alarm:{a.kind}" for a in self.alarm_list),
                )
            found.append(one)
        return found

    async def checkup(self) -> CheckupView:
        self.session._may(changes=False)
        flags = (("auto-compaction-mode", "periodic"), ("auto-compaction-retention", "1h"))
        return CheckupView(
            (
                Remark("ok", "quorum", "", "3 of 3 voters answer: 1 more may fail"),
                Remark("warn", "certificate", "n2", "runs out in 9 days"),
            ),
            (("Drills on this cluster", "etcd has no fault service"),),
            tuple(
                ServerView(n.name, self.session.kind, "3.5.30", "3.5.0", 2 << 30, flags)
                for n in self.session.nodes
            ),
        )

    async def alarms(self) -> list[AlarmView]:
        self.session._may(changes=False)
        return list(self.alarm_list)

    async def disarm(self, alarm: AlarmView) -> None:
        self._may("disarm", alarm)
        self.alarm_list.remove(alarm)

    async def compact(self, revision: int, physical: bool) -> None:
        self._may("compact", revision, physical)
        if revision <= self.session.compacted:
            text = "etcdserver: mvcc: required revision has been compacted"
            raise SessionError(text, "n1", "KV/Compact", "OUT_OF_RANGE")
        self.session.compacted = revision

    async def defragment(self, endpoint: str) -> None:
        self._may("defragment", endpoint)
        await self.gate.wait()
        node = self.session.node(endpoint)
        self.sizes[node.name] = (self._size(node)[1], self._size(node)[1])

    async def snapshot(self, endpoint: str, file: Path, told: Progress) -> SnapshotSaved:
        part = file.with_name(file.name + ".part")
        data = b"x" * 512
        try:
            with part.open("wb") as target:
                for number in range(self.pieces):
                    target.write(data)
                    told((number + 1) * 512, self.pieces * 512)
                    await asyncio.sleep(0)
                    if number == 1:
                        await self.gate.wait()
            part.rename(file)
        finally:
            part.unlink(missing_ok=True)
        found = hashlib.sha256(data * self.pieces).hexdigest()
        return SnapshotSaved(str(file), self.pieces * 512, found)

    async def snapshot_status(self, file: Path) -> SnapshotFile:
        try:
            found = await asyncio.to_thread(file.stat)
        except OSError:
            raise SessionError(f"cannot read {file}: No such file or directory") from None
        return SnapshotFile(0xABCD, 17, 5, found.st_size)

    # --- members ----------------------------------------------------------------------------------

    async def member_add(self, peer_urls: tuple[str, ...], learner: bool) -> AddedMember:
        self._may("member_add", peer_urls, learner)
        others = tuple((n.name, f"http://{n.name}:2380") for n in self.session.nodes)
        new = tuple(("", url) for url in peer_urls)
        return AddedMember(0xBEEF, peer_urls, (*others, *new))

    async def member_remove(self, id: int) -> None:
        self._may("member_remove", id)
        self.session.nodes = [node for node in self.session.nodes if node.id != id]

    async def member_update(self, id: int, peer_urls: tuple[str, ...]) -> None:
        self._may("member_update", id, peer_urls)

    async def member_promote(self, id: int) -> None:
        self._may("member_promote", id)
        self.learners = {
            n.name for n in self.session.nodes if n.name in self.learners and n.id != id
        }

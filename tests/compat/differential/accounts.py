"""Requests to Auth, and everything else while authentication is on, by callers of every kind.

Before 3.4.42 and 3.5.28 etcd lets callers do what it later learned to refuse, and kvorum follows
the latest rule. Whatever would change etcd's store then but not kvorum's is asked in a form that
changes nothing: about things that are not there, or in a branch of a transaction that is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from compat.differential.draw import KEYS, Draw
from compat.differential.kv import KV, has_empty_range, never_run, unchecked_once
from compat.differential.leases import Leases
from compat.differential.step import Step
from compat.differential.upkeep import Upkeep
from compat.differential.watches import Watches
from compat.differential.watching import APART, WATCH

_USERS = ("alice", "bob", "carol", "é")
_ROLES = ("r1", "r2", "r3")
_PASSWORDS = ("pw", "", "other")
# Its key is nobody else's.
_EVERYTHING = {"permType": 2, "key": b"\0\0\0", "range_end": b"\0"}
_ROOT_STREAM, _TOKEN_STREAM = 6, 7
_STRANGERS = ("nonsense", "abcdefghijklmnop.12", "@alice.gone")


class Accounts:
    """Draws users, roles and permissions, and chapters with authentication on."""

    def __init__(
        self, draw: Draw, release: str, kv: KV, leases: Leases, watches: Watches, upkeep: Upkeep
    ) -> None:
        self._draw = draw
        self._release = release
        self._kv = kv
        self._leases = leases
        self._watches = watches
        self._upkeep = upkeep

    # --- administration ---------------------------------------------------------------------------

    def step(self) -> Step:
        """One request to Auth."""
        return self._draw.one(self._user, self._role, self._user, self._role, self._switch)()

    def _name(self) -> str:
        draw = self._draw
        return draw.one("", "nobody", "root") if draw.chance(0.1) else draw.one(*_USERS)

    def _role_name(self) -> str:
        draw = self._draw
        return draw.one("", "none", "root") if draw.chance(0.1) else draw.one(*_ROLES)

    def _user(self) -> Step:
        draw = self._draw
        name, role = self._name(), self._role_name()
        match draw.one(*"aagglrrdpp"):
            case "a":
                if draw.chance(0.1):
                    return Step("Auth/UserAdd", {"name": name, "options": {"no_password": True}})
                return Step("Auth/UserAdd", {"name": name, "password": draw.one(*_PASSWORDS)})
            case "g":
                return Step("Auth/UserGrantRole", {"user": name, "role": role})
            case "l":
                return Step("Auth/UserList", {})
            case "r":
                return Step("Auth/UserRevokeRole", {"name": name, "role": role})
            case "d":
                return Step("Auth/UserDelete", {"name": name})
        if name == "root":
            return Step("Auth/UserGet", {"name": name})
        if draw.chance(0.5):
            return Step("Auth/UserGet", {"name": name})
        # Nobody can log in with an empty password that 3.5.1 was told to change to.
        known = _PASSWORDS if self._release == "3.4" else ("pw", "other")
        fields = {"name": name, "password": draw.one(*known)}
        return Step("Auth/UserChangePassword", fields)

    def _role(self) -> Step:
        draw = self._draw
        role = self._role_name()
        match draw.one(*"aglrrddpppp"):
            case "a":
                return Step("Auth/RoleAdd", {"name": role})
            case "g":
                return Step("Auth/RoleGet", {"role": role})
            case "l":
                return Step("Auth/RoleList", {})
            case "r":
                return Step("Auth/RoleRevokePermission", {"role": role, **draw.span()})
            case "d":
                return Step("Auth/RoleDelete", {"role": role})
        return self._grant(role)

    def _grant(self, role: str) -> Step:
        """A permission, one range for each key: of several with one key etcd finds the first only
        when it looks for the one to replace. One for an empty range only for a role that is not
        there, because etcd takes it before 3.4.25 and 3.5.8.
        """
        draw = self._draw
        if draw.chance(0.05) and self._release != "3.4":
            return Step("Auth/RoleGrantPermission", {"name": role})
        key, role_known = draw.key(), draw.chance(0.9)
        end = Random(key).choice((b"", b"", b"\0", *(each for each in KEYS if each > key)))
        if not key or not role_known:
            end, role = draw.one(b"", b"\0", b"a"), "none"
        perm = {"permType": draw.one(0, 1, 2, 2), "key": key, **draw.maybe("range_end", end)}
        return Step("Auth/RoleGrantPermission", {"name": role, "perm": perm})

    def _switch(self) -> Step:
        draw = self._draw
        match draw.one(*"sae"):
            case "s":
                return Step("Auth/AuthStatus", {})
            case "a":
                return self._login(self._name(), "")
        # Root has not the role, or does not exist: refused while it is off, nothing while it is on.
        return Step("Auth/AuthEnable", {})

    def _login(self, name: str, label: str) -> Step:
        fields = {"name": name, "password": self._draw.one("pw", "pw", "pw", *_PASSWORDS)}
        return Step("Auth/Authenticate", fields, label=label)

    # --- a chapter with authentication on ---------------------------------------------------------

    def chapter(self) -> Iterator[Step]:
        """Authentication is turned on, many callers ask for all sorts of things, it is turned
        off.
        """
        draw = self._draw
        yield from self._prepare()
        yield Step("Auth/AuthEnable", {})
        root = {"name": "root", "password": "pw"}
        yield Step("Auth/Authenticate", root, label="root")
        for name in _USERS:
            yield self._login(name, name)
        yield self._login("alice", "alice.gone")
        yield Step("Auth/UserChangePassword", {"name": "alice", "password": "pw"}, token="@root")
        yield self._login("alice", "alice")
        for _ in range(draw.random.randint(40, 80)):
            yield from self._by_somebody()
        yield Step("Watch/close", {"stream": _ROOT_STREAM})
        yield Step("Auth/AuthDisable", {}, token="@alice" if draw.chance(0.5) else "")
        yield Step("Auth/AuthDisable", {}, token="@root")
        yield Step("Auth/UserRevokeRole", {"name": "root", "role": "root"})

    def _prepare(self) -> Iterator[Step]:
        draw = self._draw
        for name in ("root", "alice", "bob", "carol"):
            yield Step("Auth/UserAdd", {"name": name, "password": "pw"})
        for name in ("root", "alice"):
            yield Step("Auth/UserChangePassword", {"name": name, "password": "pw"})
        yield Step("Auth/AuthEnable", {})
        yield Step("Auth/UserGrantRole", {"user": "root", "role": "root"})
        for role in _ROLES:
            yield Step("Auth/RoleAdd", {"name": role})
            yield self._grant(role)
            yield self._grant(role)
        for name in ("alice", "bob"):
            yield Step("Auth/UserGrantRole", {"user": name, "role": draw.one(*_ROLES)})
        if draw.chance(0.3):
            yield Step("Auth/RoleGrantPermission", {"name": "r1", "perm": _EVERYTHING})

    def _by_somebody(self) -> Iterator[Step]:
        draw = self._draw
        if draw.chance(0.1):
            name = draw.one(*_USERS)
            yield self._login(name, name)
            return
        token = draw.one("@root", "@root", "", *("@" + name for name in _USERS), *_STRANGERS)
        for step in self._wish():
            step = step._replace(token=token)
            wished = step if token == "@root" else self._harmless(step)
            if wished is not None:
                yield from self._heard(wished)

    def _heard(self, step: Step) -> Iterator[Step]:
        """Watches on streams whose caller is known: root's, anonymous ones, one for each other."""
        if step.kind != WATCH:
            yield step
            return
        root = step.token == "@root"
        number = _ROOT_STREAM if root else 0 if not step.token else _TOKEN_STREAM
        if not root and (self._release != "3.4" or has_empty_range(step.request)):
            number = APART  # 3.5.1 refuses under another watcher's id.
        yield from self._watches.apart(step._replace(request={**step.request, "stream": number}))
        if number in (_TOKEN_STREAM, APART):
            yield Step("Watch/close", {"stream": number})

    def _wish(self) -> Iterator[Step]:
        draw = self._draw
        pick = draw.random.random()
        if pick < 0.03:
            start, end = sorted(draw.random.sample(KEYS, 2), reverse=True)
            yield Step("KV/Range", {"key": start, "range_end": end})
        elif pick < 0.5:
            yield self._kv.step()
        elif pick < 0.6:
            yield from self._leases.steps()
        elif pick < 0.65:
            yield self._upkeep.step()
        elif pick < 0.75:
            create = {"create_request": self._watches.create()}
            yield self._watches.sent(0, create)
        else:
            yield self.step()

    def _harmless(self, step: Step) -> Step | None:
        """The step such that etcd's store stays as kvorum's even if only etcd allows it."""
        request, draw, world = step.request, self._draw, self._draw.world
        match step.kind:
            case "KV/Compact":
                revision = draw.one(world.compacted, world.revision + 1000)
                return step._replace(request={"revision": revision})
            case "KV/Txn":
                return (
                    step._replace(request=never_run(request)) if unchecked_once(request) else step
                )
            case "Watch/Watch":
                # Permission to watch from a key on is asked for another range before 3.5.33.
                create = request["send"]["create_request"]
                return None if create.get("range_end") == b"\0" else step
            case "Lease/LeaseGrant":
                # It may stay, because only some may revoke it: so it must not run out.
                request = {**request, "TTL": max(request["TTL"], 3600)}
                if self._known(step.token):
                    return step._replace(request=request)
                if not world.leases:
                    return None
                return step._replace(request={**request, "ID": min(world.leases)}, alias=0)
            case "Lease/LeaseRevoke":
                return step if self._known(step.token) else step._replace(request={"ID": 404_404})
            case "Maintenance/Alarm":
                return step._replace(request={**request, "action": 0})
        return step

    def _known(self, token: str) -> bool:
        """Whether a token was given out since authentication is on, and may count."""
        return token[:1] == "@" and token[1:] in self._draw.world.logged_in

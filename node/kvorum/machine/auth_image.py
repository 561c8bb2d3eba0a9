"""Users and roles in an image: its sections of format 2.

They come right after the head, each kind in any number of sections:

    A   enabled u8, auth revision i64, and how many of each follow: users, roles, grants,
        permissions, u64 each
    U   users, names ascending: name, password, no_password u8
    R   roles, names ascending: name
    G   which user has which role: user, role; ascending
    P   permissions: role, type i32, key, range end; roles ascending, keys ascending within one

Small records and not whole users with all they hold, so that nothing grows with the number of
changes beyond what fits a section. A state that was never changed has none of this, and its image
is one of format 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from struct import Struct
from struct import error as struct_error
from typing import Final

from kvorum import limits
from kvorum.machine.accounts import FIRST_REVISION, ROOT, AuthState, Role, User
from kvorum.machine.auth_codec import read_permission, write_permission
from kvorum.machine.operations import CommandError
from kvorum.machine.packing import Reader, write_blob
from kvorum.machine.permissions import Permission

KINDS: Final = b"AURGP"  # In their order.
_HEAD = Struct("<BqQQQQ")


class AuthImageError(ValueError):
    """Sections that do not add up to users and roles; the text says how."""


def encode_auth(state: AuthState) -> Iterator[tuple[bytes, bytes]]:
    """Sections (kind, payload) for a state; none for one that was never changed."""
    if state == AuthState():
        return
    users = [_user_record(user) for user in state.users]
    roles = [_texts(role.name) for role in state.roles]
    grants = [_texts(user.name, role) for user in state.users for role in user.roles]
    permissions = [
        _permission_record(role.name, held) for role in state.roles for held in role.permissions
    ]
    records = (users, roles, grants, permissions)
    yield b"A", _HEAD.pack(state.enabled, state.revision, *map(len, records))
    for kind, batch in zip((b"U", b"R", b"G", b"P"), records, strict=True):
        for payload in _batches(batch):
            yield kind, payload


class AuthReader:
    """Takes the sections as they come; raises :class:`AuthImageError`."""

    def __init__(self) -> None:
        self._head: tuple[int, ...] | None = None
        self._at = 0  # Which of KINDS the last section was.
        self._users: dict[str, User] = {}
        self._roles: dict[str, list[Permission]] = {}
        self._grants: dict[tuple[str, str], None] = {}
        self._permissions = 0
        self._last_role = ""
        self._readers: dict[bytes, Callable[[Reader], None]] = {
            b"U": self._user,
            b"R": self._role,
            b"G": self._grant,
            b"P": self._permission,
        }

    def add(self, kind: bytes, payload: bytes) -> None:
        """One section of a kind in KINDS."""
        at = KINDS.index(kind)
        if (kind == b"A") == (self._head is not None) or at < self._at:
            raise AuthImageError(f"a section {kind!r} out of order")
        self._at = at
        try:
            if kind == b"A":
                self._head = _HEAD.unpack(payload)
                return
            reader = Reader(payload, 0)
            while reader.at < len(payload):
                self._readers[kind](reader)
        except (struct_error, CommandError, UnicodeDecodeError) as error:
            raise AuthImageError(f"a section {kind!r} cannot be read: {error}") from error

    def state(self) -> AuthState:
        """What was spelled, after the last section."""
        if self._head is None:
            raise AuthImageError("users and roles are missing")
        enabled, revision, *told = self._head
        found = [len(self._users), len(self._roles), len(self._grants), self._permissions]
        if told != found:
            raise AuthImageError(f"(users, roles, grants, permissions): told {told}, found {found}")
        if enabled > 1 or revision < FIRST_REVISION:
            raise AuthImageError(f"enabled {enabled} at auth revision {revision}")
        if enabled and (ROOT, ROOT) not in self._grants:
            raise AuthImageError("auth is on and no root user has the root role")
        roles = tuple([Role(name, tuple(held)) for name, held in self._roles.items()])
        state = AuthState(bool(enabled), revision, tuple(self._users.values()), roles)
        if state == AuthState():
            raise AuthImageError("users and roles that were never changed")
        return state

    def _user(self, r: Reader) -> None:
        user = User(r.text(), r.blob(), r.flag())
        if not user.name or user.name <= next(reversed(self._users), ""):
            raise AuthImageError(f"user {user.name!r} is out of order")
        if user.no_password and user.password:
            raise AuthImageError(f"user {user.name!r} has a password and may have none")
        self._users[user.name] = user

    def _role(self, r: Reader) -> None:
        name = r.text()
        if not name or name <= next(reversed(self._roles), ""):
            raise AuthImageError(f"role {name!r} is out of order")
        self._roles[name] = []

    def _grant(self, r: Reader) -> None:
        name, role = grant = r.text(), r.text()
        user = self._users.get(name)
        if user is None or (role != ROOT and role not in self._roles):
            raise AuthImageError(f"user {name!r} has role {role!r}: one of them does not exist")
        if grant <= next(reversed(self._grants), ("", "")):
            raise AuthImageError(f"role {role!r} of user {name!r} is out of order")
        self._grants[grant] = None
        self._users[name] = user._replace(roles=(*user.roles, role))

    def _permission(self, r: Reader) -> None:
        role, permission = r.text(), read_permission(r)
        held = self._roles.get(role)
        if held is None or not permission.valid:
            raise AuthImageError(f"a permission of role {role!r} that cannot be")
        if role < self._last_role or (held and permission.key < held[-1].key):
            raise AuthImageError(f"a permission of role {role!r} is out of order")
        for other in reversed(held):
            if other.key != permission.key:
                break
            if other.range_end == permission.range_end:
                raise AuthImageError(f"role {role!r} has two permissions for one range")
        held.append(permission)
        self._permissions += 1
        self._last_role = role


def _user_record(user: User) -> bytes:
    out: list[bytes] = []
    write_blob(user.name.encode(), out)
    write_blob(user.password, out)
    out.append(b"\1" if user.no_password else b"\0")
    return b"".join(out)


def _permission_record(role: str, permission: Permission) -> bytes:
    out: list[bytes] = []
    write_blob(role.encode(), out)
    write_permission(permission, out)
    return b"".join(out)


def _texts(*texts: str) -> bytes:
    out: list[bytes] = []
    for text in texts:
        write_blob(text.encode(), out)
    return b"".join(out)


def _batches(records: Iterable[bytes]) -> Iterator[bytes]:
    """Records joined to payloads of about ``limits.IMAGE_CHUNK_BYTES``."""
    batch: list[bytes] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record)
        if size >= limits.IMAGE_CHUNK_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)

"""Who may touch which keys: users, roles and permissions as etcd judges them.

A key may be touched when one granted range of the kind holds it. A range may be touched when the
union of the granted ranges of the kind covers it (contract page "semantics", section 10). The role
``root`` may everything. All answers say through which role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kvorum_tui.model.decode import key_from_text, key_to_text, printable

ROOT = "root"
READ, WRITE, READWRITE = "READ", "WRITE", "READWRITE"
EVERYTHING = (b"\0", b"\0")
FULL, PART, NONE = "full", "part", "none"


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of a role: ``kind`` for a key (``end`` empty) or a range."""

    kind: str
    key: bytes
    end: bytes = b""

    def allows(self, kind: str) -> bool:
        """Whether it is of this kind."""
        return self.kind in (kind, READWRITE)

    @property
    def words(self) -> str:
        """The keys it is about."""
        return range_words(self.key, self.end)


@dataclass(frozen=True, slots=True)
class AuthPicture:
    """Users and roles as far as this user may see them. ``enabled`` is None where the server does
    not say; ``forbidden`` says why the tables are empty.
    """

    enabled: bool | None = None
    revision: int = 0
    users: dict[str, tuple[str, ...]] = field(default_factory=dict)
    roles: dict[str, tuple[Grant, ...]] = field(default_factory=dict)
    forbidden: str = ""


def span(key: bytes, end: bytes) -> tuple[bytes, bytes | None]:
    """A range as [start, stop); stop None is no end."""
    if not end:
        return key, key + b"\0"
    start = b"" if key == b"\0" and end == b"\0" else key
    return start, None if end == b"\0" else end


def prefix_end(prefix: bytes) -> bytes:
    """The range end that makes a range of all keys with this prefix."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else b"\0"


def prefix_range(prefix: bytes) -> tuple[bytes, bytes]:
    """Key and end of a prefix; the empty one is everything."""
    return (prefix, prefix_end(prefix)) if prefix else EVERYTHING


def range_words(key: bytes, end: bytes) -> str:
    """Which keys, in words: a prefix, one key, a range."""
    if not end:
        return f"exactly {printable(key)}"
    if end == b"\0":
        return "every key" if key in (b"\0", b"") else f"from {printable(key)} on"
    if end == prefix_end(key) and key:
        return f"prefix {printable(key)}"
    return f"{printable(key)} up to (without) {printable(end)}"


def parse_range(text: str) -> tuple[bytes, bytes]:
    """Key and end from what a user types: ``/a`` one key, ``/a/*`` a prefix, ``*`` all, ``a .. c``
    from a up to (without) c, ``a ..`` from a on. Raises ValueError for an empty or reversed one.
    """
    text = text.strip()
    if not text:
        raise ValueError("a key, prefix* or from .. to")
    first, dots, last = text.partition(" ..")
    if dots:
        key, end = key_from_text(first.strip()), key_from_text(last.strip())
        if not key or (end and end <= key):
            raise ValueError("the range is empty: its end stands before its start")
        return key, end or b"\0"
    if text.endswith("*"):
        return prefix_range(key_from_text(text[:-1]))
    return key_from_text(text), b""


def range_text(key: bytes, end: bytes) -> str:
    """The reverse of :func:`parse_range`."""
    if not end:
        return key_to_text(key)
    if end == b"\0":
        return "*" if key in (b"\0", b"") else f"{key_to_text(key)} .."
    if key and end == prefix_end(key):
        return key_to_text(key) + "*"
    return f"{key_to_text(key)} .. {key_to_text(end)}"


def merged(ranges: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes | None]]:
    """The union of ranges as few disjoint spans in order; neighbours that touch are one."""
    found: list[tuple[bytes, bytes | None]] = []
    for start, stop in sorted((span(*each) for each in ranges), key=lambda s: s[0]):
        if stop is not None and stop <= start:
            continue
        if found and (found[-1][1] is None or start <= found[-1][1]):
            before = found[-1][1]
            if before is not None and (stop is None or stop > before):
                found[-1] = (found[-1][0], stop)
            continue
        found.append((start, stop))
    return found


def reach(ranges: Iterable[tuple[bytes, bytes]], key: bytes, end: bytes) -> str:
    """How much of a key or range these ranges cover together: ``full``, ``part`` or ``none``."""
    start, stop = span(key, end)
    touched = False
    for first, last in merged(ranges):
        if first <= start and (last is None or (stop is not None and stop <= last)):
            return FULL
        begins_before = stop is None or first < stop
        ends_behind = last is None or last > start
        touched = touched or (begins_before and ends_behind)
    return PART if touched else NONE


class Touch(NamedTuple):
    """What one user may do with a key or range, and through which roles."""

    user: str
    read: str
    write: str
    via: tuple[tuple[str, str], ...]  # (role, what the role gives of it in words)

    @property
    def letters(self) -> str:
        """``RW``; small letters where only a part may be touched; ``·`` where nothing."""
        out = ""
        for letter, how in (("R", self.read), ("W", self.write)):
            out += letter if how == FULL else letter.lower() if how == PART else ""
        return out or "·"


def grants_of(picture: AuthPicture, roles: Sequence[str]) -> list[tuple[str, Grant]]:
    """What these roles allow together, each with the role it comes from."""
    found: list[tuple[str, Grant]] = []
    for role in roles:
        if role == ROOT:
            found.append((ROOT, Grant(READWRITE, *EVERYTHING)))
        else:
            found += [(role, grant) for grant in picture.roles.get(role, ())]
    return found


def touch(picture: AuthPicture, user: str, key: bytes, end: bytes) -> Touch:
    """What a user may do with a key or range."""
    grants = grants_of(picture, picture.users.get(user, ()))
    how = {
        kind: reach(((g.key, g.end) for _, g in grants if g.allows(kind)), key, end)
        for kind in (READ, WRITE)
    }
    via = tuple(
        (role, f"{grant.kind.lower()} {grant.words}")
        for role, grant in grants
        if reach([(grant.key, grant.end)], key, end) != NONE
    )
    return Touch(user, how[READ], how[WRITE], via)


def who_can_touch(picture: AuthPicture, key: bytes, end: bytes = b"") -> list[Touch]:
    """Every user that may do anything with it, most first, then all others."""
    weight = {FULL: 2, PART: 1, NONE: 0}
    found = [touch(picture, user, key, end) for user in picture.users]
    return sorted(found, key=lambda t: (-weight[t.write] - weight[t.read], t.user))


def columns(picture: AuthPicture, limit: int = 40) -> list[tuple[bytes, bytes]]:
    """The ranges that the permissions speak of, in order: the columns of the matrix."""
    found = {(g.key, g.end) for grants in picture.roles.values() for g in grants}
    return sorted(found, key=lambda r: span(*r)[0])[:limit]


def reaches_of(picture: AuthPicture, user: str) -> list[tuple[str, str, str]]:
    """The other way round: all that a user may touch, as (letters, keys in words, role)."""
    rows = []
    for role, grant in grants_of(picture, picture.users.get(user, ())):
        letters = {READ: "R", WRITE: "W", READWRITE: "RW"}.get(grant.kind, grant.kind)
        rows.append((letters, grant.words, role))
    return rows


def holders(picture: AuthPicture, role: str) -> list[str]:
    """The users that have a role."""
    return [user for user, roles in picture.users.items() if role in roles]


@dataclass(frozen=True, slots=True)
class OwnRanges:
    """What the user of a session may do. ``everything``: there is no limit, because auth is off or
    the user is root. ``known`` is False where the server refused even to say.
    """

    user: str = ""
    roles: tuple[str, ...] = ()
    grants: tuple[tuple[str, Grant], ...] = ()
    everything: bool = True
    known: bool = True

    def ranges(self, kind: str = READ) -> list[tuple[bytes, bytes]]:
        """Key and end of what may be read or written, as granted."""
        if self.everything:
            return [EVERYTHING]
        return [(grant.key, grant.end) for _, grant in self.grants if grant.allows(kind)]

    def may(self, kind: str, key: bytes, end: bytes = b"") -> bool:
        """Whether all of a key or range may be touched; yes where it is not known."""
        return not self.known or reach(self.ranges(kind), key, end) == FULL

    def missing(self, kind: str, key: bytes, end: bytes = b"") -> str:
        """Which permission is missing, in words; empty when none is."""
        if self.may(kind, key, end):
            return ""
        word = kind.lower()
        has = [f"{role}: {grant.words}" for role, grant in self.grants if grant.allows(kind)]
        of = f"may {word} only {'; '.join(has)}" if has else f"may {word} nothing"
        return f"{self.user} has no {word} permission for {range_words(key, end)} ({of})"

    def missing_root(self) -> str:
        """Why something that only root may do is not for this user; empty when it is."""
        if self.everything or not self.known:
            return ""
        roles = f"the role {', '.join(self.roles)}" if self.roles else "no role"
        return f"only a user with the role root may do this; {self.user} has {roles}"

"""What a cluster file may ask for besides nodes: TLS, users and roles, links with a delay.

::

    [tls]
    clients = "mutual"   # "off", "server" (only nodes show a certificate), "mutual" (clients too)
    peers = "mutual"     # "off" or "mutual"

    [auth]
    root_password = "..."

    [[auth.role]]
    name = "shop"
    read = ["/catalog/"]       # prefixes; also write and readwrite

    [[auth.user]]
    name = "alice"
    password = "..."
    roles = ["shop"]

    [[link]]
    between = ["n1", "n2"]
    delay_ms = 40              # one way; needs faults = true
    jitter_ms = 5
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from kvorum.client.auth import PermissionKind

Wrong = Callable[[str, str], ConfigError]
LINK_DELAY_MS_MAX = 10_000  # Beyond any link on Earth; raft's timeouts end below a minute.
_KINDS: tuple[PermissionKind, ...] = ("READ", "WRITE", "READWRITE")


@dataclass(frozen=True)
class TlsSpec:
    """Which connections are over TLS: ``clients`` off, server or mutual, ``peers`` off or
    mutual.
    """

    clients: str = "off"
    peers: str = "off"

    @property
    def words(self) -> str:
        """For ``run.json`` and messages; empty when everything is plain."""
        if (self.clients, self.peers) == ("off", "off"):
            return ""
        return f"clients {self.clients}, peers {self.peers}"


@dataclass(frozen=True)
class RoleSpec:
    """A role: pairs of a kind of permission and the prefix that it is for."""

    name: str
    permissions: tuple[tuple[PermissionKind, str], ...]


@dataclass(frozen=True)
class UserSpec:
    """A user; an empty password means that only a certificate shows who it is."""

    name: str
    password: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class AuthSpec:
    """Users and roles that the first start makes before it switches auth on."""

    root_password: str
    roles: tuple[RoleSpec, ...] = ()
    users: tuple[UserSpec, ...] = ()


@dataclass(frozen=True)
class LinkSpec:
    """The link between two nodes; the delay is that of one way, in milliseconds."""

    nodes: tuple[str, str]
    delay_ms: int
    jitter_ms: int = 0


def read_tls(table: Mapping[str, Any], wrong: Wrong) -> TlsSpec:
    """The table ``tls``. Raises ConfigError, as the other functions do."""
    entry = _table(table, "tls", ("clients", "peers"), wrong)
    chosen = {}
    for key, choices in (("clients", ("off", "server", "mutual")), ("peers", ("off", "mutual"))):
        value = entry.get(key, "off")
        if value not in choices:
            raise wrong(f"tls.{key}", f"{value!r} must be one of: {', '.join(choices)}")
        chosen[key] = str(value)
    return TlsSpec(**chosen)


def read_auth(table: Mapping[str, Any], tls: TlsSpec, wrong: Wrong) -> AuthSpec | None:
    """The table ``auth``, or None."""
    if "auth" not in table:
        return None
    entry = _table(table, "auth", ("root_password", "role", "user"), wrong)
    if tls.clients != "mutual":
        raise wrong(
            "auth",
            'needs [tls] clients = "mutual": a certificate of root\'s is how the supervisor asks '
            "the nodes once auth is on",
        )
    roles = tuple(
        _role(role, f"auth.role[{i}]", wrong)
        for i, role in enumerate(_tables(entry, "role", wrong))
    )
    known = {"root", *(role.name for role in roles)}
    users = tuple(
        _user(user, f"auth.user[{i}]", known, wrong)
        for i, user in enumerate(_tables(entry, "user", wrong))
    )
    for what, names in (("role", [r.name for r in roles]), ("user", [u.name for u in users])):
        for name in names:
            if names.count(name) > 1 or name == "root":
                raise wrong(f"auth.{what}", f"{name!r} is there already")
    return AuthSpec(_text(entry, "root_password", "auth", wrong), roles, users)


def _role(entry: Mapping[str, Any], where: str, wrong: Wrong) -> RoleSpec:
    _known(entry, where, ("name", *(kind.lower() for kind in _KINDS)), wrong)
    permissions = tuple(
        (kind, prefix) for kind in _KINDS for prefix in _texts(entry, kind.lower(), where, wrong)
    )
    return RoleSpec(_text(entry, "name", where, wrong), permissions)


def _user(entry: Mapping[str, Any], where: str, known: set[str], wrong: Wrong) -> UserSpec:
    _known(entry, where, ("name", "password", "roles"), wrong)
    roles = _texts(entry, "roles", where, wrong)
    for role in roles:
        if role not in known:
            raise wrong(f"{where}.roles", f"there is no role {role!r}; add an [[auth.role]]")
    password = _text(entry, "password", where, wrong) if "password" in entry else ""
    return UserSpec(_text(entry, "name", where, wrong), password, roles)


def read_links(
    table: Mapping[str, Any], nodes: Sequence[str], faults: bool, wrong: Wrong
) -> tuple[LinkSpec, ...]:
    """The tables ``link``."""
    entries = _tables(table, "link", wrong)
    if entries and not faults:
        raise wrong("link", "delays are faults that nodes inflict on themselves; add faults = true")
    links = tuple(_link(entry, f"link[{i}]", nodes, wrong) for i, entry in enumerate(entries))
    pairs = [frozenset(link.nodes) for link in links]
    for link, pair in zip(links, pairs, strict=True):
        if pairs.count(pair) > 1:
            raise wrong("link", f"the link between {' and '.join(link.nodes)} is there twice")
    return links


def _link(entry: Mapping[str, Any], where: str, nodes: Sequence[str], wrong: Wrong) -> LinkSpec:
    _known(entry, where, ("between", "delay_ms", "jitter_ms"), wrong)
    between = _texts(entry, "between", where, wrong)
    if len(set(between)) != 2 or not set(between) <= set(nodes):
        raise wrong(f"{where}.between", f"{list(between)!r} must be two of: {', '.join(nodes)}")
    figures = []
    for key, least in (("delay_ms", 1), ("jitter_ms", 0)):
        value = entry.get(key, 0)
        if type(value) is not int or not least <= value <= LINK_DELAY_MS_MAX:
            raise wrong(
                f"{where}.{key}",
                f"{value!r} must be a whole number from {least} to {LINK_DELAY_MS_MAX}",
            )
        figures.append(value)
    return LinkSpec(cast(tuple[str, str], between), *figures)


def _table(
    table: Mapping[str, Any], key: str, names: Sequence[str], wrong: Wrong
) -> Mapping[str, Any]:
    entry = table.get(key, {})
    if not isinstance(entry, dict):
        raise wrong(key, "must be a table")
    _known(entry, key, names, wrong)
    return entry


def _tables(table: Mapping[str, Any], key: str, wrong: Wrong) -> list[Mapping[str, Any]]:
    entries = table.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise wrong(key, f"must be [[{key}]] tables")
    return entries


def _known(entry: Mapping[str, Any], where: str, names: Sequence[str], wrong: Wrong) -> None:
    for key in entry:
        if key not in names:
            raise wrong(f"{where}.{key}", f"unknown key; known are {', '.join(names)}")


def _text(entry: Mapping[str, Any], key: str, where: str, wrong: Wrong) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise wrong(f"{where}.{key}", f"{value!r} must be a text that is not empty")
    return value


def _texts(entry: Mapping[str, Any], key: str, where: str, wrong: Wrong) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise wrong(f"{where}.{key}", "must be a list of texts")
    return tuple(value)

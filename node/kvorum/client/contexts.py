"""Contexts: clusters by name, in a file that commands and the terminal read alike.

``contexts.toml`` in the configuration folder, or ``$KVORUM_CONTEXTS``::

    current = "staging"                  # used when nothing else says where to connect

    [contexts.prod]
    endpoints = ["https://a:2379", "https://b:2379"]
    user = "ops"
    password = "keyring"                 # or "ask", or "env:NAME"; never the password itself
    cacert = "/etc/kvorum/ca.crt"
    colour = "red"
    read_only = true                     # what it is for anything not on this machine, if not said
    separators = ["/", ":"]

    [contexts.inner]
    endpoints = ["http://etcd-0.etcd:2379"]
    ssh = "ops@bastion"                  # all members are reached through it

    [contexts.kube]
    endpoints = ["http://127.0.0.1:2379"]
    proxy_command = "kubectl exec -i -n kube-system etcd-0 -- nc {host} {port}"

A password never stands in the file: it is asked for, read from a variable, or kept by the
system's keyring (the extra ``kvorum[keyring]``).
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

from kvorum.client.connection import TLS
from kvorum.client.endpoints import parse_endpoints
from kvorum.client.tunnel import Tunnel, tunnel_of
from kvorum.errors import ConfigError
from kvorum.files import replace_file

SERVICE = "kvorum"  # What the keyring files our passwords under.
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "grey")
ASK, KEYRING, ENV = "ask", "keyring", "env:"
_LISTS = frozenset({"endpoints", "separators"})
_FLAGS = frozenset({"read_only", "insecure_skip_tls_verify"})


@dataclass(frozen=True, slots=True)
class Context:
    """One cluster, and how to reach it. ``read_only`` None: yes, unless it is on this machine."""

    name: str
    endpoints: tuple[str, ...]
    user: str | None = None
    password: str = ASK
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    read_only: bool | None = None
    colour: str = ""
    separators: tuple[str, ...] = ()
    ssh: str = ""
    proxy_command: str = ""

    @property
    def tunnel(self) -> Tunnel | None:
        """How its members are reached, where this machine cannot reach them itself. Raises
        :class:`kvorum.errors.ConfigError`.
        """
        return tunnel_of(self.ssh, self.proxy_command)

    @property
    def tls(self) -> TLS | None:
        """The TLS side, None where no field asks for it."""
        files = (self.cacert, self.cert, self.key)
        secure = any(each.startswith("https://") for each in self.endpoints)
        if not (secure or any(files) or self.tls_server_name or self.insecure_skip_tls_verify):
            return None
        return TLS(
            *files,
            server_name=self.tls_server_name,
            insecure_skip_verify=self.insecure_skip_tls_verify,
        )

    @property
    def guarded(self) -> bool:
        """Whether it is opened read-only when nobody says otherwise."""
        if self.read_only is not None:
            return self.read_only
        return bool(self.ssh or self.proxy_command) or not is_local(self.endpoints)

    @property
    def way(self) -> str:
        """Through what it is reached, in words; empty where nothing is between."""
        return f" through {self.tunnel}" if self.tunnel is not None else ""

    def secret(self) -> str | None:
        """The password, None where somebody must be asked for it. Raises
        :class:`kvorum.errors.ConfigError` when the variable or the keyring has none.
        """
        if self.user is None or self.password == ASK:
            return None
        if self.password == KEYRING:
            found = _keyring().get_password(SERVICE, _entry(self.name, self.user))
            if found is None:
                raise ConfigError(
                    f"context {self.name}: the keyring has no password of {self.user};"
                    f" put it there with: kvorum context password {self.name}"
                )
            return str(found)
        variable = self.password.removeprefix(ENV)
        value = os.environ.get(variable)
        if value is None:
            raise ConfigError(f"context {self.name}: the variable {variable} is not set")
        return value


@dataclass(slots=True)
class Contexts:
    """What the file holds. ``current`` may be empty."""

    path: Path
    current: str = ""
    table: dict[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """A context by name. Raises :class:`kvorum.errors.ConfigError` naming those there are."""
        found = self.table.get(name)
        if found is None:
            known = ", ".join(sorted(self.table)) or "none"
            raise ConfigError(f"{self.path}: there is no context {name!r}; there are: {known}")
        return found


def contexts_path() -> Path:
    """Where contexts are kept."""
    given = os.environ.get("KVORUM_CONTEXTS")
    if given:
        return Path(given)
    return platformdirs.user_config_path("kvorum", appauthor=False) / "contexts.toml"


def load_contexts(path: Path | None = None) -> Contexts:
    """The file's contexts; no file is no contexts. Raises :class:`kvorum.errors.ConfigError`
    naming file, context and field.
    """
    where = path or contexts_path()
    try:
        data = tomllib.loads(where.read_text("utf-8"))
    except FileNotFoundError:
        return Contexts(where)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{where}: {error}") from error
    for name in sorted(data.keys() - {"current", "contexts"}):
        raise ConfigError(f"{where}: {name} is not known; there are: current, contexts")
    tables = data.get("contexts", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{where}: contexts must be tables, [contexts.NAME]")
    table = {name: _context(f"{where}: context {name}", name, row) for name, row in tables.items()}
    current = data.get("current", "")
    if current and current not in table:
        raise ConfigError(f"{where}: current is {current!r}, and there is no such context")
    return Contexts(where, current, table)


def _context(where: str, name: str, row: Any) -> Context:
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: a table is needed, [contexts.{name}]")
    known = [each.name for each in fields(Context) if each.name != "name"]
    given: dict[str, Any] = {}
    for key, value in row.items():
        if key not in known:
            raise ConfigError(f"{where}: {key} is not known; there are: {', '.join(known)}")
        given[key] = _value(f"{where}: {key}", key, value)
    made = Context(name, given.pop("endpoints", ()), **given)
    check_context(made, where)
    return made


def _value(where: str, key: str, value: Any) -> Any:
    if key in _LISTS:
        if isinstance(value, str):
            value = [part for part in value.split(",") if part]
        if not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
            raise ConfigError(f"{where} must be a list of texts")
        return tuple(value)
    wanted = bool if key in _FLAGS else str
    if not isinstance(value, wanted):
        raise ConfigError(f"{where} must be {'true or false' if wanted is bool else 'a text'}")
    return value


def check_context(context: Context, where: str) -> None:
    """Whether a context makes sense. Raises :class:`kvorum.errors.ConfigError`."""
    if not context.endpoints:
        raise ConfigError(f"{where}: endpoints are missing")
    try:
        parse_endpoints(context.endpoints, tls=context.tls is not None)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        tunnel = context.tunnel
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if tunnel is not None and any(each.startswith("unix") for each in context.endpoints):
        raise ConfigError(f"{where}: {tunnel} reaches hosts and ports, and no socket files")
    if not (context.password in (ASK, KEYRING) or context.password.startswith(ENV)):
        raise ConfigError(
            f'{where}: password must be "ask", "keyring" or "env:NAME"; a password itself has no'
            " place in this file"
        )
    if context.colour and context.colour not in COLOURS:
        raise ConfigError(f"{where}: colour {context.colour!r}; there are: {', '.join(COLOURS)}")


def save_contexts(contexts: Contexts) -> None:
    """Write the file; what people wrote beside the values stays. Readable by its owner alone.
    Raises :class:`kvorum.errors.ConfigError` when it cannot be written.
    """
    import tomlkit

    path = contexts.path
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise ConfigError(f"{path}: {error}") from error
    document: Any = tomlkit.parse(text)
    if contexts.current:
        document["current"] = contexts.current
    else:
        document.pop("current", None)
    tables = document.setdefault("contexts", tomlkit.table(is_super_table=True))
    for name in [name for name in tables if name not in contexts.table]:
        del tables[name]
    for name, context in contexts.table.items():
        row = tables.setdefault(name, tomlkit.table())
        wanted = as_row(context)
        for key in [key for key in row if key not in wanted]:
            del row[key]
        for key, value in wanted.items():
            if row.get(key) != value:
                row[key] = value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, tomlkit.dumps(document), private=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error}") from error


def as_row(context: Context) -> dict[str, Any]:
    """What the file says of a context: only what is not as it is anyway."""
    plain = Context(context.name, ())
    row: dict[str, Any] = {}
    for each in fields(Context):
        value = getattr(context, each.name)
        if each.name != "name" and value != getattr(plain, each.name):
            row[each.name] = list(value) if isinstance(value, tuple) else value
    return row


def from_etcdctl(name: str, environment: Mapping[str, str]) -> Context:
    """A context from etcdctl's variables (contract page "clients"). A password in ``ETCDCTL_USER``
    or ``ETCDCTL_PASSWORD`` is left out. Raises :class:`kvorum.errors.ConfigError`.
    """
    if not environment.get("ETCDCTL_ENDPOINTS"):
        raise ConfigError("ETCDCTL_ENDPOINTS is not set: there is nothing to import")
    user = environment.get("ETCDCTL_USER", "").partition(":")[0] or None
    skip = environment.get("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "").lower() in ("1", "true")
    made = Context(
        name,
        tuple(part for part in environment["ETCDCTL_ENDPOINTS"].split(",") if part),
        user=user,
        cacert=environment.get("ETCDCTL_CACERT") or None,
        cert=environment.get("ETCDCTL_CERT") or None,
        key=environment.get("ETCDCTL_KEY") or None,
        tls_server_name=environment.get("ETCDCTL_TLS_SERVER_NAME") or None,
        insecure_skip_tls_verify=skip,
    )
    check_context(made, f"context {name}")
    return made


def is_local(endpoints: tuple[str, ...]) -> bool:
    """Whether every endpoint is on this machine."""
    return all(_loopback(each) for each in endpoints)


def _loopback(endpoint: str) -> bool:
    if endpoint.startswith(("unix:", "unixs:")):
        return True
    (parsed,) = parse_endpoints((endpoint,))
    if parsed.host == "localhost" or parsed.host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(parsed.host).is_loopback
    except ValueError:
        return False  # A name: it may be anywhere.


def keep_password(context: Context, password: str) -> None:
    """Give a password to the system's keyring. Raises :class:`kvorum.errors.ConfigError` where
    there is none.
    """
    if context.user is None:
        raise ConfigError(f"context {context.name} has no user")
    _keyring().set_password(SERVICE, _entry(context.name, context.user), password)


def _entry(name: str, user: str) -> str:
    return f"{user}@{name}"


def _keyring() -> Any:
    try:
        import keyring
    except ImportError as error:
        raise ConfigError(
            "the keyring needs the library keyring; install kvorum[keyring]"
        ) from error
    if not getattr(keyring.get_keyring(), "priority", 0) > 0:
        raise ConfigError('this system has no keyring; use password = "ask" or "env:NAME"')
    return keyring

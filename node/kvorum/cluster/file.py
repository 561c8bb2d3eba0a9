"""The cluster file: TOML in, frozen values out, and errors that name the file, the key and what
to do about it.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvorum.cluster.extras import (
    AuthSpec,
    LinkSpec,
    TlsSpec,
    read_auth,
    read_links,
    read_tls,
)
from kvorum.errors import ConfigError

FILE_NAME = "cluster.toml"
PROGRAMS = ("kvorum", "etcd")
RESTARTS = ("never", "always")
NODES_MAX = (
    9  # Raft clusters above seven voters only lose speed; nine leaves room for two learners.
)

# Names become folder names, member names and parts of `--initial-cluster`, which splits at "="
# and ",".
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


_PLAIN = TlsSpec()
# The folder of certificates in a run directory; nodes have folders beside it.
CERTIFICATES = "certs"


@dataclass(frozen=True)
class NodeSpec:
    """One node of a cluster file.

    ``client_port`` and ``peer_port`` are None when the supervisor shall choose free ones (once;
    they are kept). ``flags`` come after the cluster's own flags, so that they win.
    """

    name: str
    client_port: int | None = None
    peer_port: int | None = None
    flags: tuple[str, ...] = ()
    restart: str | None = None


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster file, checked.

    ``path`` is the file it came from (errors and relative paths refer to it). ``keys`` is the
    file of sample keys loaded on the first start, or None. ``restart`` says what happens when a
    node dies by itself: ``never`` shows it, ``always`` starts it again. Intervals are in
    milliseconds, as etcd's flags have them.
    """

    path: Path
    name: str
    nodes: tuple[NodeSpec, ...]
    program: str = "kvorum"
    heartbeat_ms: int = 100
    election_ms: int = 1000
    faults: bool = False
    restart: str = "never"
    keys: Path | None = None
    data_dir: Path | None = None
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    tls: TlsSpec = _PLAIN
    auth: AuthSpec | None = None
    links: tuple[LinkSpec, ...] = ()

    def node(self, name: str) -> NodeSpec:
        """The node called ``name``; KeyError names those that exist."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r}; there are: {', '.join(n.name for n in self.nodes)}")


def read_cluster_file(path: Path) -> ClusterSpec:
    """Read ``path`` (a cluster file, or a directory that holds ``cluster.toml``).

    Raises ConfigError with the file, the key and the remedy when the file is missing or
    anything in it is wrong.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such cluster file; create it or name another one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    return _Reader(path).cluster(table)


class _Reader:
    """Takes the tables apart; every complaint goes through :meth:`wrong`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def wrong(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.path}: {key}: {problem}")

    def cluster(self, table: dict[str, Any]) -> ClusterSpec:
        self._known(
            table,
            "",
            "name node program heartbeat_ms election_ms faults restart keys data_dir flags env"
            " tls auth link",
        )
        nodes = self._nodes(table)
        heartbeat_ms = self._integer(table, "heartbeat_ms", 100, 1, 10_000)
        election_ms = self._integer(table, "election_ms", 1000, 5, 50_000)
        if election_ms < 5 * heartbeat_ms:
            raise self.wrong(
                "election_ms",
                f"{election_ms} is less than five heartbeats of {heartbeat_ms} ms;"
                f" use {5 * heartbeat_ms} or more",
            )
        program = self._choice(table, "program", "kvorum", PROGRAMS)
        faults = self._typed(table, "faults", bool, False, "true or false")
        if faults and program != "kvorum":
            raise self.wrong("faults", f'{program} has no fault gates; use program = "kvorum"')
        tls = read_tls(table, self.wrong)
        names = [node.name for node in nodes]
        if tls.words and CERTIFICATES in names:
            raise self.wrong("node", f"the name {CERTIFICATES!r} is taken by the certificates")
        return ClusterSpec(
            path=self.path,
            name=self._name(table, "name"),
            nodes=nodes,
            program=program,
            heartbeat_ms=heartbeat_ms,
            election_ms=election_ms,
            faults=faults,
            restart=self._choice(table, "restart", "never", RESTARTS),
            keys=self._keys(table),
            data_dir=self._data_dir(table),
            flags=self._flags(table, "flags"),
            env=self._env(table),
            tls=tls,
            auth=read_auth(table, tls, self.wrong),
            links=read_links(table, names, faults, self.wrong),
        )

    def _nodes(self, table: dict[str, Any]) -> tuple[NodeSpec, ...]:
        tables = table.get("node")
        if not isinstance(tables, list) or not tables:
            raise self.wrong("node", 'no nodes; write one [[node]] table with name = "a" for each')
        if len(tables) > NODES_MAX:
            raise self.wrong("node", f"{len(tables)} nodes; at most {NODES_MAX} are run here")
        nodes = tuple(self._node(i, entry) for i, entry in enumerate(tables))
        self._distinct([n.name for n in nodes], "name")
        self._distinct([p for n in nodes for p in (n.client_port, n.peer_port) if p], "port")
        return nodes

    def _node(self, index: int, entry: Any) -> NodeSpec:
        where = f"node[{index}]."
        if not isinstance(entry, dict):
            raise self.wrong(f"node[{index}]", "must be a [[node]] table")
        self._known(entry, where, "name client_port peer_port flags restart")
        restart = None
        if "restart" in entry:
            restart = self._choice(entry, "restart", "never", RESTARTS, where)
        return NodeSpec(
            name=self._name(entry, "name", where),
            client_port=self._port(entry, "client_port", where),
            peer_port=self._port(entry, "peer_port", where),
            flags=self._flags(entry, "flags", where),
            restart=restart,
        )

    def _distinct(self, values: list[Any], what: str) -> None:
        for value in values:
            if values.count(value) > 1:
                raise self.wrong("node", f"{what} {value!r} is used twice; each needs its own")

    def _known(self, table: dict[str, Any], where: str, names: str) -> None:
        known = names.split()
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise self.wrong(where + key, f"unknown key; {hint}")

    def _name(self, table: dict[str, Any], key: str, where: str = "") -> str:
        value = table.get(key)
        if not isinstance(value, str) or not _NAME.match(value):
            raise self.wrong(
                where + key,
                f"{value!r} is no name; use letters, digits, '.', '_', '-', starting with a letter"
                " or digit, at most 63",
            )
        return value

    def _typed(self, table: dict[str, Any], key: str, kind: type, default: Any, want: str) -> Any:
        value = table.get(key, default)
        if type(value) is not kind:
            raise self.wrong(key, f"{value!r} must be {want}")
        return value

    def _integer(self, table: dict[str, Any], key: str, default: int, low: int, high: int) -> int:
        value = table.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"{value!r} must be a whole number from {low} to {high}")
        return value

    def _port(self, table: dict[str, Any], key: str, where: str) -> int | None:
        value = table.get(key)
        if value is not None and (type(value) is not int or not 1 <= value <= 65535):
            raise self.wrong(
                where + key,
                f"{value!r} must be a port from 1 to 65535; leave it out for a free one",
            )
        return value

    def _choice(
        self,
        table: dict[str, Any],
        key: str,
        default: str,
        choices: tuple[str, ...],
        where: str = "",
    ) -> str:
        value = table.get(key, default)
        if value not in choices:
            raise self.wrong(where + key, f"{value!r} must be one of: {', '.join(choices)}")
        return str(value)

    def _flags(self, table: dict[str, Any], key: str, where: str = "") -> tuple[str, ...]:
        value = table.get(key, [])
        good: Callable[[Any], bool] = lambda v: isinstance(v, str) and v.startswith("--")  # noqa: E731
        if not isinstance(value, list) or not all(good(v) for v in value):
            raise self.wrong(where + key, 'must be a list of "--flag=value" strings')
        return tuple(value)

    def _keys(self, table: dict[str, Any]) -> Path | None:
        if "keys" not in table:
            return None
        path = self.path.parent / str(self._typed(table, "keys", str, "", "a file name"))
        if not path.is_file():
            raise self.wrong("keys", f"{path} does not exist; correct the name or remove the key")
        return path

    def _data_dir(self, table: dict[str, Any]) -> Path | None:
        if "data_dir" not in table:
            return None
        text = self._typed(table, "data_dir", str, "", "a directory name")
        return self.path.parent.absolute() / Path(str(text)).expanduser()

    def _env(self, table: dict[str, Any]) -> dict[str, str]:
        value = self._typed(table, "env", dict, {}, "a table of strings")
        for name, text in value.items():
            if not isinstance(text, str):
                raise self.wrong(f"env.{name}", f"{text!r} must be a string")
            if name.startswith("ETCD_"):
                raise self.wrong(f"env.{name}", "use flags; a node gets no ETCD_ variables here")
        return dict(value)

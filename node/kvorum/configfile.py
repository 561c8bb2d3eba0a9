"""``--config-file``: etcd's configuration file, as the texts its settings would have as flags.

The file is YAML with the names of flags as keys; TLS has two blocks of its own
(``client-transport-security``, ``peer-transport-security``) with names of their own (contract page
"server", section 1). A file named ``*.toml`` has the same keys in TOML. Where etcd passes over a
key it does not know, this is refused: a misspelled setting is a setting that does not hold.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kvorum.errors import ConfigError
from kvorum.flagtable import ALIASES, FLAGS, Flag, Kind
from kvorum.flagvalues import check_value
from kvorum.limits import CONFIG_FILE_BYTES

# Key of a block -> flag.
BLOCKS: Mapping[str, Mapping[str, str]] = {
    "client-transport-security": {
        "cert-file": "cert-file",
        "key-file": "key-file",
        "client-cert-file": "client-cert-file",
        "client-key-file": "client-key-file",
        "client-cert-auth": "client-cert-auth",
        "crl-file": "client-crl-file",
        "trusted-ca-file": "trusted-ca-file",
        "auto-tls": "auto-tls",
        "allowed-hostname": "client-cert-allowed-hostname",
    },
    "peer-transport-security": {
        "cert-file": "peer-cert-file",
        "key-file": "peer-key-file",
        "client-cert-file": "peer-client-cert-file",
        "client-key-file": "peer-client-key-file",
        "client-cert-auth": "peer-client-cert-auth",
        "crl-file": "peer-crl-file",
        "trusted-ca-file": "peer-trusted-ca-file",
        "auto-tls": "peer-auto-tls",
        "allowed-cn": "peer-cert-allowed-cn",
        "allowed-hostname": "peer-cert-allowed-hostname",
        "skip-client-san-verification": "peer-skip-client-san-verification",
    },
}
_IN_BLOCKS = {flag: block for block, keys in BLOCKS.items() for flag in keys.values()}
# Several values may stand in a list as well as in one text with commas.
_LISTS = ("cipher-suites", "cors", "host-whitelist", "log-outputs")
_WORDS = {
    Kind.TEXT: "a text",
    Kind.URLS: "a text of URLs",
    Kind.BOOL: "true or false",
    Kind.UINT: "a whole number, not negative",
    Kind.INT: "a whole number",
    Kind.DURATION: 'a duration such as "5s" (or nanoseconds)',
}


@dataclass(frozen=True)
class _Place:
    """Where something stands."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True)
class _Value:
    """One value of the file: as it was understood, and as it was written (empty: not known)."""

    content: Any
    written: str
    place: _Place


_Items = Iterator[tuple[str, _Value]]


def read(path: str) -> dict[str, str]:
    """The settings of a file, by the names of their flags. ConfigError names the file, the line
    and what is wrong there.
    """
    text = _load(path)
    items = _toml(path, text) if path.endswith(".toml") else _yaml(path, text)
    given: dict[str, str] = {}
    for key, value in items:
        if key in BLOCKS:
            _block(key, value, given)
        elif value.content is not None:
            _set(_flag_of(key, value.place), key, value, given)
    return given


def _load(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(CONFIG_FILE_BYTES + 1)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise ConfigError(f"error verifying flags, open {path}: {reason}") from None
    if len(data) > CONFIG_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {CONFIG_FILE_BYTES} bytes: no configuration file")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: no UTF-8 text (byte {exc.start})") from None


# --- forms of the file ----------------------------------------------------------------------------


def _yaml(path: str, text: str) -> _Items:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return iter(())
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: settings are written as `name: value`, one a line")
        return iter(list(_pairs(path, loader, node)))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 0
        raise ConfigError(f"{_Place(path, line)}: no YAML: {exc.problem}") from None
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError(f"{path}: no YAML: {exc}") from None
    finally:
        loader.dispose()


def _pairs(path: str, loader: yaml.SafeLoader, node: yaml.MappingNode) -> _Items:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{_Place(path, line)}: a key must be the name of a setting")
        key = str(key_node.value)
        if key in seen:
            raise ConfigError(
                f'{_Place(path, line)}: "{key}" is given a second time (first on line {seen[key]})'
            )
        seen[key] = line
        place = _Place(path, line)
        if isinstance(value_node, yaml.MappingNode):
            yield key, _Value(dict(_pairs(path, loader, value_node)), "", place)
            continue
        written = str(value_node.value) if isinstance(value_node, yaml.ScalarNode) else ""
        content = loader.construct_object(value_node, deep=True)
        yield key, _Value(content, written, place)


def _toml(path: str, text: str) -> _Items:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: no TOML: {exc}") from None
    return iter(list(_tables(path, table)))


def _tables(path: str, table: Mapping[str, Any]) -> _Items:
    place = _Place(path)
    for key, content in table.items():
        if isinstance(content, dict):
            content = dict(_tables(path, content))
        yield key, _Value(content, "", place)


# --- settings -------------------------------------------------------------------------------------


def _flag_of(key: str, place: _Place) -> Flag:
    flag = FLAGS.get(ALIASES.get(key, key))
    if flag is not None and flag.name == "config-file":
        raise ConfigError(f"{place}: a configuration file cannot name another")
    if flag is not None and flag.name in _IN_BLOCKS:
        block = _IN_BLOCKS[flag.name]
        within = next(name for name, of in BLOCKS[block].items() if of == flag.name)
        raise ConfigError(f'{place}: "{key}" is written as "{within}" under "{block}"')
    if flag is None:
        raise ConfigError(f'{place}: unknown setting "{key}"{_nearest(key, [*FLAGS, *BLOCKS])}')
    return flag


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _block(name: str, value: _Value, given: dict[str, str]) -> None:
    if value.content is None:
        return
    if not isinstance(value.content, dict):
        raise ConfigError(f'{value.place}: "{name}" is a block of settings, not a value')
    keys = BLOCKS[name]
    for key, inner in value.content.items():
        if key not in keys:
            near = _nearest(key, list(keys))
            raise ConfigError(f'{inner.place}: unknown setting "{key}" under "{name}"{near}')
        if inner.content is not None:
            _set(FLAGS[keys[key]], key, inner, given)


def _set(flag: Flag, key: str, value: _Value, given: dict[str, str]) -> None:
    if flag.name in given:
        raise ConfigError(f'{value.place}: "{key}" and "{flag.name}" are one setting')
    text = _text(flag, value)
    if text is None:
        wanted = "a list of texts" if flag.name in _LISTS else _WORDS[flag.kind]
        raise ConfigError(f'{value.place}: "{key}" must be {wanted}, not {_kind(value.content)}')
    try:
        check_value(flag, text)
    except ValueError as exc:
        raise ConfigError(f'{value.place}: invalid value "{text}" for {key}: {exc}') from None
    given[flag.name] = text


def _text(flag: Flag, value: _Value) -> str | None:
    """The value as the flag's text; None when it is of another kind."""
    content = value.content
    if isinstance(content, dict):
        return None
    if isinstance(content, list):
        return ",".join(content) if _is_list(flag, content) else None
    if flag.kind is Kind.BOOL:
        return str(content).lower() if isinstance(content, bool) else None
    if flag.kind in (Kind.UINT, Kind.INT):
        return str(content) if type(content) is int else None
    if flag.kind is Kind.DURATION and type(content) is int:
        # etcd's own form. A zero is one in any unit.
        return f"{content}ns"
    # YAML reads `off`, `1h` or 017 as something else; what was written is what was meant.
    return value.written or str(content)


def _is_list(flag: Flag, content: list[Any]) -> bool:
    may = flag.kind is Kind.URLS or flag.name in _LISTS
    return may and all(isinstance(item, str) for item in content)


def _kind(content: Any) -> str:
    if isinstance(content, bool):
        return "a truth value"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "a block"}
    return names.get(type(content), f"a {type(content).__name__}")

"""etcd's flags, and how a command line and the environment become one set of raw settings.

The syntax is that of Go's flag package, because start-up scripts are written for it: one dash or
two, ``--flag value`` or
``--flag=value``, booleans never take the next word. An ``ETCD_`` variable stands for the flag of
the same name; both at once
are an error (contract page "server", section 1). What the values mean is :mod:`kvorum.config`'s
business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kvorum.errors import ConfigError
from kvorum.flagtable import ALIASES, FLAGS, Flag, Kind, Use
from kvorum.urls import parse_urls


class UsageError(ConfigError):
    """The command line cannot be read at all: usage is shown and the exit code is 2, not 1."""


@dataclass(frozen=True)
class Settings:
    """Raw settings: text by flag name (defaults included), and which of them somebody set."""

    values: Mapping[str, str]
    given: frozenset[str]
    # Lines to log once logging works.
    warnings: tuple[str, ...] = ()
    from_environment: tuple[str, ...] = ()
    wants_help: bool = False
    wants_version: bool = False

    def text(self, name: str) -> str:
        """The flag's text."""
        return self.values[name]

    def integer(self, name: str) -> int:
        """The flag's value as a number."""
        return int(self.values[name], 0)

    def boolean(self, name: str) -> bool:
        """The flag's value as a truth value."""
        return parse_bool(self.values[name])

    def seconds(self, name: str) -> float:
        """The flag's value as a duration in seconds."""
        return parse_duration_s(self.values[name])


_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_S = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


def parse_bool(text: str) -> bool:
    """A truth value in the spellings Go accepts; ValueError for any other."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"not a truth value: {text!r}")


def parse_duration_s(text: str) -> float:
    """A duration as Go writes them ("1h30m", "100ms", "0"), in seconds; ValueError when it is
    none."""
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    total, position = 0.0, 0
    for match in _DURATION_PART.finditer(body):
        if match.start() != position:
            break
        total += float(match.group(1)) * _UNIT_S[match.group(2)]
        position = match.end()
    if not body or position != len(body):
        raise ValueError(f'invalid duration "{text}"')
    return -total if text.startswith("-") else total


def check_value(flag: Flag, text: str) -> None:
    """ValueError, in Go's words, when the text cannot be the flag's value."""
    try:
        if flag.kind is Kind.BOOL:
            parse_bool(text)
        elif flag.kind is Kind.UINT:
            if int(text, 0) < 0:
                raise ValueError
        elif flag.kind is Kind.INT:
            int(text, 0)
        elif flag.kind is Kind.DURATION:
            parse_duration_s(text)
    except ValueError:
        raise ValueError("parse error") from None
    if flag.kind is Kind.URLS and text:
        parse_urls(text)
    if flag.choices and text not in flag.choices:
        raise ValueError("invalid value")


@dataclass
class _Words:
    """The command line being read: what was set so far and what was asked for besides."""

    given: dict[str, str] = field(default_factory=dict)
    wants_help: bool = False
    wants_version: bool = False

    def take(self, arguments: Sequence[str]) -> None:
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if len(word) < 2 or not word.startswith("-") or word == "--":
                leftover = rest[:1] if word == "--" else [word]
                if leftover:
                    raise ConfigError(
                        f"error verifying flags, '{leftover[0]}' is not a valid flag. "
                        "See 'kvorum serve --help'."
                    )
                return
            self._flag(word, rest)

    def _flag(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2 if word.startswith("--") else 1 :].partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        if name in ("h", "help"):
            self.wants_help = True
            return
        if name == "version":
            self.wants_version = not equals or parse_bool(value)
            return
        flag = FLAGS.get(ALIASES.get(name, name))
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not equals:
            if flag.kind is Kind.BOOL:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise UsageError(f"flag needs an argument: -{name}")
        try:
            check_value(flag, value)
        except ValueError as exc:
            if flag.kind is Kind.BOOL:
                raise UsageError(f'invalid boolean value "{value}" for -{name}: {exc}') from None
            raise UsageError(f'invalid value "{value}" for flag -{name}: {exc}') from None
        self.given[flag.name] = value


def _from_environment(
    environ: Mapping[str, str], given: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Adds the ETCD_ variables to what is given; returns (warnings, names used)."""
    variables = {f"ETCD_{name.upper().replace('-', '_')}": name for name in (*FLAGS, *ALIASES)}
    warnings, used = [], []
    on_line = frozenset(given)
    for variable in sorted(environ):
        value = environ[variable]
        if not variable.startswith("ETCD_") or not value:
            continue
        alias = variables.get(variable)
        if alias is None:
            # Without its value: container images keep passwords in such variables.
            warnings.append(f"unrecognized environment variable {variable}")
            continue
        flag = FLAGS[ALIASES.get(alias, alias)]
        if flag.name in on_line:
            raise ConfigError(
                f'conflicting environment variable "{variable}" is shadowed by corresponding '
                "command-line flag (either unset environment variable or disable flag)"
            )
        try:
            check_value(flag, value)
        except ValueError as exc:
            raise ConfigError(
                f'error verifying flags, invalid value "{value}" for {variable}: {exc}. '
                "See 'kvorum serve --help'."
            ) from None
        given[flag.name] = value
        used.append(variable)
    return warnings, used


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Raw settings from a command line and an environment.

    Raises UsageError (exit code 2) for what cannot be read, ConfigError (exit code 1) for what
    contradicts itself or asks
    for something this node refuses.
    """
    words = _Words()
    words.take(arguments)
    if words.wants_help or words.wants_version:
        return Settings({}, frozenset(), (), (), words.wants_help, words.wants_version)
    given = words.given
    warnings, used = _from_environment(environ, given)
    for name, value in given.items():
        flag = FLAGS[name]
        if value == flag.default:
            continue
        if flag.use is Use.REFUSED:
            raise ConfigError(f"--{name} is not supported: {flag.help}")
        if flag.use is Use.IGNORED:
            warnings.append(f"--{name} has no effect: {flag.help}")
    values = {name: given.get(name, flag.default) for name, flag in FLAGS.items()}
    return Settings(values, frozenset(given), tuple(warnings), tuple(used))


def usage() -> str:
    """The help text: every flag that has an effect, with its default."""
    lines = ["Usage:", "", "  kvorum serve [flags]", "", "Flags:", ""]
    for flag in FLAGS.values():
        if flag.use is Use.USED:
            lines.append(f"  --{flag.name} '{flag.default}'")
            lines.append(f"    {flag.help}")
    refused = [f.name for f in FLAGS.values() if f.use is Use.REFUSED]
    ignored = [f.name for f in FLAGS.values() if f.use is Use.IGNORED]
    for title, names in (("Accepted without effect:", ignored), ("Refused:", refused)):
        lines.extend(("", title, ""))
        lines.extend(f"  --{name}: {FLAGS[name].help}" for name in names)
    return "\n".join(lines) + "\n"

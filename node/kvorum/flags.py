"""etcd's flags, and how a command line and the environment become one set of raw settings.

The syntax is that of Go's flag package, because start-up scripts are written for it: one dash or
two, ``--flag value`` or
``--flag=value``, booleans never take the next word. An ``ETCD_`` variable stands for the flag of
the same name; both at once are an error. A configuration file takes the place of all other flags
and of all variables (contract page "server", section 1). What the values mean is
:mod:`kvorum.config`'s business, what is told of them to people :mod:`kvorum.flaghelp`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kvorum import configfile, features
from kvorum.errors import ConfigError
from kvorum.flagtable import ALIASES, FLAGS, Kind, Use
from kvorum.flagvalues import check_value, parse_bool, parse_duration_s

# Ways to say who the first members are.
_METHODS = ("initial-cluster", "discovery", "discovery-srv", "discovery-endpoints")


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
    # The configuration file that everything comes from; empty: there is none.
    from_file: str = ""
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


@dataclass
class _Words:
    """The command line being read: what was set so far and what was asked for besides."""

    given: dict[str, str] = field(default_factory=dict)
    # Flag -> the name it was given by.
    spelled: dict[str, str] = field(default_factory=dict)
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
        other = self.spelled.setdefault(flag.name, name)
        if other != name:
            raise ConfigError(f"--{other} and --{name} are one setting: give one of them")
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
    """Raw settings from a command line and an environment, or from the configuration file that one
    of them names.

    Raises UsageError (exit code 2) for what cannot be read, ConfigError (exit code 1) for what
    contradicts itself or asks for something this node refuses.
    """
    words = _Words()
    words.take(arguments)
    if words.wants_help or words.wants_version:
        return Settings(
            {}, frozenset(), wants_help=words.wants_help, wants_version=words.wants_version
        )
    given = words.given
    warnings: list[str] = []
    used: list[str] = []
    path = given.get("config-file") or environ.get("ETCD_CONFIG_FILE", "")
    if path:
        given = configfile.read(path)
    else:
        warnings, used = _from_environment(environ, given)
    if given.get("feature-gates"):
        gates, told = features.as_flags(given["feature-gates"], given)
        given.update(gates)
        warnings.extend(told)
    warnings.extend(_judge(given))
    values = {name: given.get(name, flag.default) for name, flag in FLAGS.items()}
    return Settings(values, frozenset(given), tuple(warnings), tuple(used), path)


def _judge(given: Mapping[str, str]) -> list[str]:
    """Warnings of flags without effect. ConfigError for flags that are refused."""
    if sum(bool(given.get(method)) for method in _METHODS) > 1:
        raise ConfigError(
            "multiple discovery or bootstrap flags are set. Choose one of "
            '"initial-cluster", "discovery" or "discovery-srv"'
        )
    warnings = []
    for name, value in given.items():
        flag = FLAGS[name]
        if value == flag.default:
            continue
        if flag.use is Use.REFUSED:
            raise ConfigError(f"--{name} is not supported: {flag.help}")
        if flag.use is Use.IGNORED:
            warnings.append(f"--{name} has no effect: {flag.help}")
    return warnings

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
from enum import Enum

from kvorum.errors import ConfigError
from kvorum.urls import parse_urls


class UsageError(ConfigError):
    """The command line cannot be read at all: usage is shown and the exit code is 2, not 1."""


class Kind(Enum):
    """How a flag's text is checked."""

    TEXT = "text"
    BOOL = "bool"
    UINT = "uint"
    INT = "int"
    DURATION = "duration"
    URLS = "urls"


class Use(Enum):
    """What this node does with a flag of etcd's."""

    USED = "used"
    # Tunes something that this node does not have; accepted, with a warning when it is set.
    IGNORED = "ignored"
    # Asks for something that this node cannot do: going on would pretend. Only the default is
    # accepted.
    REFUSED = "refused"


@dataclass(frozen=True)
class Flag:
    """One flag: its name without dashes, its kind, default and one line of help (or why it is
    refused)."""

    name: str
    kind: Kind
    default: str
    help: str
    use: Use = Use.USED
    # Texts a value must be one of; empty: any.
    choices: tuple[str, ...] = ()


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


def _flags() -> tuple[Flag, ...]:
    t, b, u, i, d, urls = (
        Kind.TEXT, Kind.BOOL, Kind.UINT, Kind.INT, Kind.DURATION, Kind.URLS,
    )  # fmt: skip
    ign, ref = Use.IGNORED, Use.REFUSED
    tls = "TLS is not supported yet; use http:// URLs"
    disc = "discovery is not supported; list the members in --initial-cluster"
    pace = "compaction is paced by the history store itself"
    backend = "tunes etcd's bbolt backend, which this node does not have"
    gone = "the v2 API and the proxy are gone"
    return (
        Flag("name", t, "default", "Human-readable name of this member."),
        Flag("data-dir", t, "", "Path of the data directory (${name}.etcd)."),
        Flag("wal-dir", t, "", "Path of a directory of its own for the log."),
        Flag("snapshot-count", u, "10000", "Applied entries between two snapshots."),
        Flag("snapshot-catchup-entries", u, "5000", "Log entries kept behind a snapshot."),
        Flag("heartbeat-interval", u, "100", "Milliseconds of a heartbeat interval."),
        Flag("election-timeout", u, "1000", "Milliseconds without a leader until an election."),
        Flag("initial-election-tick-advance", b, "true", "Fast-forward election ticks at boot."),
        Flag("listen-peer-urls", urls, "http://localhost:2380", "URLs to listen on for peers."),
        Flag("listen-client-urls", urls, "http://localhost:2379", "URLs to listen on for clients."),
        Flag("listen-client-http-urls", urls, "", "HTTP and gRPC share one port here.", ref),
        Flag("listen-metrics-urls", urls, "", "Further listeners for /metrics and /health."),
        Flag("initial-advertise-peer-urls", urls, "http://localhost:2380",
             "This member's peer URLs, as the others know them."),
        Flag("advertise-client-urls", urls, "http://localhost:2379",
             "This member's client URLs, published to clients."),
        Flag("initial-cluster", t, "default=http://localhost:2380",
             "name=URL pairs of the first members."),
        Flag("initial-cluster-state", t, "new", "'new' or 'existing'.",
             choices=("new", "existing")),
        Flag("initial-cluster-token", t, "etcd-cluster", "Token that enters the cluster's id."),
        Flag("discovery", t, "", disc, ref),
        Flag("discovery-fallback", t, "proxy", gone, ign),
        Flag("discovery-proxy", t, "", disc, ref),
        Flag("discovery-srv", t, "", disc, ref),
        Flag("discovery-srv-name", t, "", disc, ref),
        Flag("strict-reconfig-check", b, "true", "Refuse member changes that would lose quorum."),
        Flag("pre-vote", b, "true", "Ask before an election: no disturbance by who returns."),
        Flag("max-learners", u, "1", "Learners a cluster may have."),
        Flag("max-snapshots", u, "5", "the newest snapshots needed to restart are kept", ign),
        Flag("max-wals", u, "5", "the log keeps what a restart needs and no more", ign),
        Flag("quota-backend-bytes", i, "0", "Bytes of data before writes are refused (0: 2 GiB)."),
        Flag("backend-batch-interval", d, "0s", backend, ign),
        Flag("backend-batch-limit", u, "0", backend, ign),
        Flag("backend-bbolt-freelist-type", t, "map", backend, ign),
        Flag("max-txn-ops", u, "128", "Operations a transaction may hold."),
        Flag("max-request-bytes", u, "1572864", "Largest request in bytes."),
        Flag("max-concurrent-streams", u, "4294967295", "HTTP/2 streams a connection may open."),
        Flag("grpc-keepalive-min-time", d, "5s", "pings of clients are never punished", ign),
        Flag("grpc-keepalive-interval", d, "2h", "Idle time until the server pings (0: never)."),
        Flag("grpc-keepalive-timeout", d, "20s", "Wait for the answer to such a ping."),
        Flag("enable-grpc-gateway", b, "true", "Serve the JSON routes."),
        Flag("auto-compaction-mode", t, "periodic", "'periodic' or 'revision'."),
        Flag("auto-compaction-retention", t, "0", "Time or revisions kept; 0 is off."),
        Flag("enable-v2", b, "false", gone, ign),
        Flag("cert-file", t, "", tls, ref),
        Flag("key-file", t, "", tls, ref),
        Flag("client-cert-auth", b, "false", tls, ref),
        Flag("client-crl-file", t, "", tls, ref),
        Flag("client-cert-allowed-hostname", t, "", tls, ref),
        Flag("trusted-ca-file", t, "", tls, ref),
        Flag("auto-tls", b, "false", tls, ref),
        Flag("client-cert-file", t, "", tls, ref),
        Flag("client-key-file", t, "", tls, ref),
        Flag("peer-cert-file", t, "", tls, ref),
        Flag("peer-key-file", t, "", tls, ref),
        Flag("peer-client-cert-auth", b, "false", tls, ref),
        Flag("peer-trusted-ca-file", t, "", tls, ref),
        Flag("peer-cert-allowed-cn", t, "", tls, ref),
        Flag("peer-cert-allowed-hostname", t, "", tls, ref),
        Flag("peer-auto-tls", b, "false", tls, ref),
        Flag("peer-crl-file", t, "", tls, ref),
        Flag("peer-client-cert-file", t, "", tls, ref),
        Flag("peer-client-key-file", t, "", tls, ref),
        Flag("peer-skip-client-san-verification", b, "false", tls, ign),
        Flag("self-signed-cert-validity", u, "1", tls, ign),
        Flag("cipher-suites", t, "", tls, ref),
        Flag("tls-min-version", t, "TLS1.2", tls, ign),
        Flag("tls-max-version", t, "", tls, ign),
        Flag("cors", t, "*", "Origins that browsers may call from."),
        Flag("host-whitelist", t, "*", "Host headers accepted on plain HTTP."),
        Flag("auth-token", t, "simple", "Kind of auth tokens: 'simple' or 'jwt,...'."),
        Flag("auth-token-ttl", u, "300", "Seconds a simple token lives."),
        Flag("bcrypt-cost", u, "10", "Cost of hashing passwords."),
        Flag("enable-pprof", b, "false", "there is no Go profile of a Python process", ign),
        Flag("metrics", t, "basic", "'basic', or 'extensive' for histograms.",
             choices=("basic", "extensive")),
        Flag("logger", t, "zap", "the log has etcd's 'zap' form", ign),
        Flag("log-level", t, "info", "debug, info, warn, error, panic or fatal.",
             choices=("debug", "info", "warn", "error", "dpanic", "panic", "fatal")),
        Flag("log-outputs", t, "default", "stdout, stderr or file paths, comma separated."),
        Flag("log-format", t, "json", "'json', or 'console' for people.",
             choices=("json", "console", "text")),
        Flag("enable-log-rotation", b, "false", "rotate it with copytruncate", ref),
        Flag("log-rotation-config-json", t, "", "see --enable-log-rotation", ign),
        Flag("log-package-levels", t, "", "one level holds for all modules", ign),
        Flag("debug", b, "false", "The same as --log-level debug."),
        Flag("socket-reuse-port", b, "false", "Let several processes listen on one port."),
        Flag("socket-reuse-address", b, "false", "listeners always do so here", ign),
        Flag("raft-read-timeout", d, "5s", "the peers' connection has pings of its own", ign),
        Flag("raft-write-timeout", d, "5s", "see --raft-read-timeout", ign),
        Flag("watch-progress-notify-interval", d, "10m", "Interval of progress marks of watches."),
        Flag("warning-apply-duration", d, "100ms", "Applies slower than this are logged."),
        Flag("warning-unary-request-duration", d, "300ms", "Requests slower than this are logged."),
        Flag("compaction-batch-limit", u, "1000", pace, ign),
        Flag("compaction-sleep-interval", d, "10ms", pace, ign),
        Flag("initial-corrupt-check", b, "false", "members always compare digests", ign),
        Flag("corrupt-check-time", d, "0s", "members always compare digests", ign),
        Flag("compact-hash-check-enabled", b, "false", "members always compare digests", ign),
        Flag("compact-hash-check-time", d, "1m", "members always compare digests", ign),
        Flag("enable-lease-checkpoint", b, "false", "remaining times are not checkpointed", ign),
        Flag("enable-lease-checkpoint-persist", b, "false", "see --enable-lease-checkpoint", ign),
        Flag("memory-mlock", b, "false", "there is no memory map to lock", ign),
        Flag("txn-mode-write-with-shared-buffer", b, "true", backend, ign),
        Flag("bootstrap-defrag-threshold-megabytes", u, "0", backend, ign),
        Flag("stop-grpc-service-on-defrag", b, "false", backend, ign),
        Flag("downgrade-check-time", d, "5s", "there are no downgrades", ign),
        Flag("enable-distributed-tracing", b, "false", "there is no tracing exporter", ref),
        Flag("feature-gates", t, "", "none of etcd's gates exists here", ign),
        Flag("proxy", t, "off", gone, ref),
        Flag("proxy-failure-wait", u, "5000", gone, ign),
        Flag("proxy-refresh-interval", u, "30000", gone, ign),
        Flag("proxy-dial-timeout", u, "1000", gone, ign),
        Flag("proxy-write-timeout", u, "5000", gone, ign),
        Flag("proxy-read-timeout", u, "0", gone, ign),
        Flag("enable-v2v3", t, "", gone, ref),
        Flag("force-new-cluster", b, "false",
             "a one-member restart from a lost cluster's data is not supported yet", ref),
        Flag("unsafe-no-fsync", b, "false", "an acknowledged write is on disk here, always", ref),
        Flag("config-file", t, "", "give the settings as flags or ETCD_ variables", ref),
        Flag("enable-faults", b, "false", "Let drills inflict faults on this node."),
    )  # fmt: skip


FLAGS: dict[str, Flag] = {flag.name: flag for flag in _flags()}

# Settings that 3.4 and 3.5 know under an "experimental-" name too.
_EXPERIMENTAL = (
    "initial-corrupt-check",
    "corrupt-check-time",
    "compact-hash-check-enabled",
    "compact-hash-check-time",
    "enable-lease-checkpoint",
    "enable-lease-checkpoint-persist",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "peer-skip-client-san-verification",
    "watch-progress-notify-interval",
    "warning-apply-duration",
    "memory-mlock",
    "txn-mode-write-with-shared-buffer",
    "bootstrap-defrag-threshold-megabytes",
    "stop-grpc-service-on-defrag",
    "downgrade-check-time",
    "enable-distributed-tracing",
    "snapshot-catchup-entries",
    "enable-v2v3",
    "backend-bbolt-freelist-type",
    "warning-unary-request-duration",
    "max-learners",
)
ALIASES: dict[str, str] = {f"experimental-{name}": name for name in _EXPERIMENTAL}

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

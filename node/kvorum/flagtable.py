"""Every flag of etcd's, with what this node does about it: use it, ignore it, or refuse it.

Accepting a flag without effect would be a promise not kept, so each that is not used says why, and
one whose absence matters (no fsync) is refused unless it has its default.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kvorum.limits import WAL_SEGMENT_BYTES


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


_TEXT, _BOOL, _UINT = Kind.TEXT, Kind.BOOL, Kind.UINT
_INT, _DURATION, _URLS = Kind.INT, Kind.DURATION, Kind.URLS
_IGNORED, _REFUSED = Use.IGNORED, Use.REFUSED
_OWN_CLIENT = "the gateway calls its own node without a connection"
_DISCOVERY = "discovery is not supported; list the members in --initial-cluster"
_DIGESTS = "members compare digests of all they hold all the time, not at compactions only"
_SERVES = "a member serves while it defragments"
_PACE = "compaction is paced by the history store itself"
_BACKEND = "tunes etcd's bbolt backend, which this node does not have"
_TRACING = "see --enable-distributed-tracing"
_GONE = "the v2 API and the proxy are gone"

_TABLE = (
    Flag("name", _TEXT, "default", "Human-readable name of this member."),
    Flag("data-dir", _TEXT, "", "Path of the data directory (${name}.etcd)."),
    Flag("wal-dir", _TEXT, "", "Path of a directory of its own for the log."),
    Flag("snapshot-count", _UINT, "10000", "Applied entries between two snapshots."),
    Flag("snapshot-catchup-entries", _UINT, "5000", "Log entries kept behind a snapshot."),
    Flag("heartbeat-interval", _UINT, "100", "Milliseconds of a heartbeat interval."),
    Flag("election-timeout", _UINT, "1000", "Milliseconds without a leader until an election."),
    Flag("initial-election-tick-advance", _BOOL, "true", "Fast-forward election ticks at boot."),
    Flag("listen-peer-urls", _URLS, "http://localhost:2380", "URLs to listen on for peers."),
    Flag("listen-client-urls", _URLS, "http://localhost:2379", "URLs to listen on for clients."),
    Flag("listen-client-http-urls", _URLS, "", "URLs for HTTP alone; client URLs: gRPC alone."),
    Flag("listen-metrics-urls", _URLS, "", "Further listeners for /metrics and /health."),
    Flag(
        "initial-advertise-peer-urls",
        _URLS,
        "http://localhost:2380",
        "This member's peer URLs, as the others know them.",
    ),
    Flag(
        "advertise-client-urls",
        _URLS,
        "http://localhost:2379",
        "This member's client URLs, published to clients.",
    ),
    Flag(
        "initial-cluster",
        _TEXT,
        "default=http://localhost:2380",
        "name=URL pairs of the first members.",
    ),
    Flag(
        "initial-cluster-state", _TEXT, "new", "'new' or 'existing'.", choices=("new", "existing")
    ),
    Flag("initial-cluster-token", _TEXT, "etcd-cluster", "Token that enters the cluster's id."),
    Flag("discovery", _TEXT, "", _DISCOVERY, _REFUSED),
    Flag("discovery-fallback", _TEXT, "proxy", _GONE, _IGNORED, choices=("exit", "proxy")),
    Flag("discovery-proxy", _TEXT, "", _DISCOVERY, _REFUSED),
    Flag("discovery-srv", _TEXT, "", _DISCOVERY, _REFUSED),
    Flag("discovery-srv-name", _TEXT, "", _DISCOVERY, _REFUSED),
    Flag("discovery-token", _TEXT, "", _DISCOVERY, _REFUSED),
    Flag("discovery-endpoints", _TEXT, "", _DISCOVERY, _REFUSED),
    *(
        Flag(f"discovery-{name}", kind, default, _DISCOVERY, _IGNORED)
        for name, kind, default in (
            ("dial-timeout", _DURATION, "2s"),
            ("request-timeout", _DURATION, "5s"),
            ("keepalive-time", _DURATION, "2s"),
            ("keepalive-timeout", _DURATION, "6s"),
            ("insecure-transport", _BOOL, "true"),
            ("insecure-skip-tls-verify", _BOOL, "false"),
            ("cert", _TEXT, ""),
            ("key", _TEXT, ""),
            ("cacert", _TEXT, ""),
            ("user", _TEXT, ""),
            ("password", _TEXT, ""),
        )
    ),
    Flag("strict-reconfig-check", _BOOL, "true", "Refuse member changes that would lose quorum."),
    Flag("pre-vote", _BOOL, "true", "Ask before an election: no disturbance by who returns."),
    Flag("max-learners", _UINT, "1", "Learners a cluster may have."),
    Flag("max-snapshots", _UINT, "5", "the newest snapshots needed to restart are kept", _IGNORED),
    Flag("max-wals", _UINT, "5", "the log keeps what a restart needs and no more", _IGNORED),
    Flag("quota-backend-bytes", _INT, "0", "Bytes of data before writes are refused (0: 2 GiB)."),
    Flag("backend-batch-interval", _DURATION, "0s", _BACKEND, _IGNORED),
    Flag("backend-batch-limit", _UINT, "0", _BACKEND, _IGNORED),
    Flag("backend-bbolt-freelist-type", _TEXT, "map", _BACKEND, _IGNORED),
    Flag("max-txn-ops", _UINT, "128", "Operations a transaction may hold."),
    Flag("max-request-bytes", _UINT, "1572864", "Largest request in bytes."),
    Flag("max-concurrent-streams", _UINT, "4294967295", "HTTP/2 streams a connection may open."),
    Flag(
        "grpc-keepalive-min-time", _DURATION, "5s", "pings of clients are never punished", _IGNORED
    ),
    Flag(
        "grpc-keepalive-interval", _DURATION, "2h", "Idle time until the server pings (0: never)."
    ),
    Flag("grpc-keepalive-timeout", _DURATION, "20s", "Wait for the answer to such a ping."),
    Flag("enable-grpc-gateway", _BOOL, "true", "Serve the JSON routes."),
    Flag("auto-compaction-mode", _TEXT, "periodic", "'periodic' or 'revision'."),
    Flag("auto-compaction-retention", _TEXT, "0", "Time or revisions kept; 0 is off."),
    Flag("enable-v2", _BOOL, "false", _GONE, _IGNORED),
    Flag(
        "v2-deprecation",
        _TEXT,
        "not-yet",
        _GONE,
        _IGNORED,
        choices=("not-yet", "write-only", "write-only-drop-data", "gone"),
    ),
    Flag("cert-file", _TEXT, "", "Certificate of the client port, PEM."),
    Flag("key-file", _TEXT, "", "Key of the client port's certificate, PEM."),
    Flag("client-cert-auth", _BOOL, "false", "Clients must show a certificate."),
    Flag("client-crl-file", _TEXT, "", "List of revoked client certificates."),
    Flag(
        "client-cert-allowed-hostname",
        _TEXT,
        "",
        "Name or address that clients' certificates must be for.",
    ),
    Flag("trusted-ca-file", _TEXT, "", "CA of the clients' certificates, PEM."),
    Flag("auto-tls", _BOOL, "false", "Make a self-signed certificate for the client port."),
    Flag("client-cert-file", _TEXT, "", _OWN_CLIENT, _IGNORED),
    Flag("client-key-file", _TEXT, "", _OWN_CLIENT, _IGNORED),
    Flag("peer-cert-file", _TEXT, "", "Certificate of the peer port, PEM; also shown to peers."),
    Flag("peer-key-file", _TEXT, "", "Key of the peer port's certificate, PEM."),
    Flag("peer-client-cert-auth", _BOOL, "false", "Peers must show a certificate."),
    Flag("peer-trusted-ca-file", _TEXT, "", "CA of the peers' certificates, PEM."),
    Flag("peer-cert-allowed-cn", _TEXT, "", "Common name that peers' certificates must have."),
    Flag(
        "peer-cert-allowed-hostname",
        _TEXT,
        "",
        "Name or address that peers' certificates must be for.",
    ),
    Flag("peer-auto-tls", _BOOL, "false", "Make a self-signed certificate for the peer port."),
    Flag("peer-crl-file", _TEXT, "", "List of revoked peer certificates."),
    Flag(
        "peer-client-cert-file",
        _TEXT,
        "",
        "Certificate shown to peers, where not --peer-cert-file.",
    ),
    Flag("peer-client-key-file", _TEXT, "", "Key of --peer-client-cert-file."),
    Flag(
        "peer-skip-client-san-verification",
        _BOOL,
        "false",
        "Do not compare a peer's address with its certificate.",
    ),
    Flag("self-signed-cert-validity", _UINT, "1", "Years that self-signed certificates are valid."),
    Flag(
        "cipher-suites",
        _TEXT,
        "",
        "Suites of TLS 1.2 by their Go names; empty: the library's choice.",
    ),
    Flag("tls-min-version", _TEXT, "TLS1.2", "Lowest TLS version."),
    Flag("tls-max-version", _TEXT, "", "Highest TLS version; empty: the newest."),
    Flag("cors", _TEXT, "*", "Origins that browsers may call from."),
    Flag("host-whitelist", _TEXT, "*", "Host headers accepted on plain HTTP."),
    Flag("auth-token", _TEXT, "simple", "Kind of auth tokens: 'simple' or 'jwt,...'."),
    Flag("auth-token-ttl", _UINT, "300", "Seconds a simple token lives."),
    Flag("bcrypt-cost", _UINT, "10", "Cost of hashing passwords."),
    Flag("enable-pprof", _BOOL, "false", "there is no Go profile of a Python process", _IGNORED),
    Flag(
        "metrics",
        _TEXT,
        "basic",
        "'basic', or 'extensive' for histograms.",
        choices=("basic", "extensive"),
    ),
    Flag("logger", _TEXT, "zap", "the log has etcd's 'zap' form", _IGNORED),
    Flag(
        "log-level",
        _TEXT,
        "info",
        "debug, info, warn, error, panic or fatal.",
        choices=("debug", "info", "warn", "error", "dpanic", "panic", "fatal"),
    ),
    Flag("log-outputs", _TEXT, "default", "stdout, stderr or file paths, comma separated."),
    Flag(
        "log-format",
        _TEXT,
        "json",
        "'json', or 'console' for people.",
        choices=("json", "console", "text"),
    ),
    Flag("enable-log-rotation", _BOOL, "false", "Turn over the one file of --log-outputs."),
    Flag(
        "log-rotation-config-json",
        _TEXT,
        '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
        "When: MiB of a file, days and number of old files (0: all), gzip.",
    ),
    Flag("log-package-levels", _TEXT, "", "one level holds for all modules", _IGNORED),
    Flag("debug", _BOOL, "false", "The same as --log-level debug."),
    Flag("socket-reuse-port", _BOOL, "false", "Let several processes listen on one port."),
    Flag("socket-reuse-address", _BOOL, "false", "listeners always do so here", _IGNORED),
    Flag(
        "raft-read-timeout", _DURATION, "5s", "the peers' connection has pings of its own", _IGNORED
    ),
    Flag("raft-write-timeout", _DURATION, "5s", "see --raft-read-timeout", _IGNORED),
    Flag(
        "watch-progress-notify-interval", _DURATION, "10m", "Interval of progress marks of watches."
    ),
    Flag("warning-apply-duration", _DURATION, "100ms", "Applies slower than this are logged."),
    Flag(
        "warning-unary-request-duration",
        _DURATION,
        "300ms",
        "Requests slower than this are logged.",
    ),
    Flag("compaction-batch-limit", _UINT, "1000", _PACE, _IGNORED),
    Flag("compaction-sleep-interval", _DURATION, "10ms", _PACE, _IGNORED),
    Flag("initial-corrupt-check", _BOOL, "false", "Compare with the peers before serving."),
    Flag("corrupt-check-time", _DURATION, "0s", "Time between comparisons of all members."),
    Flag("compact-hash-check-enabled", _BOOL, "false", _DIGESTS, _IGNORED),
    Flag("compact-hash-check-time", _DURATION, "1m", _DIGESTS, _IGNORED),
    Flag(
        "enable-lease-checkpoint",
        _BOOL,
        "false",
        "Record what is left of long leases, so that a new leader does not refill them.",
    ),
    Flag(
        "enable-lease-checkpoint-persist",
        _BOOL,
        "false",
        "Records of --enable-lease-checkpoint count for a restart from a snapshot too.",
    ),
    Flag("memory-mlock", _BOOL, "false", "there is no memory map to lock", _IGNORED),
    Flag("txn-mode-write-with-shared-buffer", _BOOL, "true", _BACKEND, _IGNORED),
    Flag(
        "bootstrap-defrag-threshold-megabytes",
        _UINT,
        "0",
        "Defragment at the start when it frees as much (0: never).",
    ),
    Flag("stop-grpc-service-on-defrag", _BOOL, "false", _SERVES, _IGNORED),
    Flag("downgrade-check-time", _DURATION, "5s", "there are no downgrades", _IGNORED),
    Flag("enable-distributed-tracing", _BOOL, "false", "there is no tracing exporter", _REFUSED),
    Flag("distributed-tracing-address", _TEXT, "localhost:4317", _TRACING, _IGNORED),
    Flag("distributed-tracing-service-name", _TEXT, "etcd", _TRACING, _IGNORED),
    Flag("distributed-tracing-instance-id", _TEXT, "", _TRACING, _IGNORED),
    Flag("distributed-tracing-sampling-rate", _UINT, "0", _TRACING, _IGNORED),
    Flag("feature-gates", _TEXT, "", "Other names of some flags: Gate=true,Gate=false."),
    Flag("proxy", _TEXT, "off", _GONE, _REFUSED, choices=("off", "readonly", "on")),
    Flag("proxy-failure-wait", _UINT, "5000", _GONE, _IGNORED),
    Flag("proxy-refresh-interval", _UINT, "30000", _GONE, _IGNORED),
    Flag("proxy-dial-timeout", _UINT, "1000", _GONE, _IGNORED),
    Flag("proxy-write-timeout", _UINT, "5000", _GONE, _IGNORED),
    Flag("proxy-read-timeout", _UINT, "0", _GONE, _IGNORED),
    Flag("enable-v2v3", _TEXT, "", _GONE, _REFUSED),
    Flag(
        "force-new-cluster",
        _BOOL,
        "false",
        "Go on alone with this member's data; for the survivor of a lost cluster, once. Its terms "
        "go on in a stretch of their own: others of the old cluster cannot be mixed in again.",
    ),
    Flag(
        "unsafe-no-fsync", _BOOL, "false", "an acknowledged write is on disk here, always", _REFUSED
    ),
    Flag("config-file", _TEXT, "", "YAML or TOML in place of all other flags and variables."),
    Flag("enable-faults", _BOOL, "false", "Let drills inflict faults on this node."),
    Flag(
        "wal-segment-bytes",
        _UINT,
        str(WAL_SEGMENT_BYTES),
        "Size of a file of the log; the log is cut in whole files.",
    ),
    Flag(
        "http2",
        _TEXT,
        "h2",
        "HTTP/2 below gRPC: the h2 library, or our own.",
        choices=("h2", "own"),
    ),
)

FLAGS: dict[str, Flag] = {flag.name: flag for flag in _TABLE}

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
    "distributed-tracing-address",
    "distributed-tracing-service-name",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    "snapshot-catchup-entries",
    "enable-v2v3",
    "backend-bbolt-freelist-type",
    "warning-unary-request-duration",
    "max-learners",
)
ALIASES: dict[str, str] = {f"experimental-{name}": name for name in _EXPERIMENTAL}

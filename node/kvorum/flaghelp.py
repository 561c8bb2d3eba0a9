"""What ``kvorum serve --help`` says: flags in the groups of etcd's own help, in which people look
for them, and behind them those that are taken without effect or refused, each with its reason.
"""

from __future__ import annotations

import textwrap

from kvorum.flagtable import FLAGS, Flag, Use

_HEAD = """\
Usage:

  kvorum serve [flags]
    Run a node. A flag is written --name value or --name=value; ETCD_NAME in the environment stands
    for --name, never both.

  kvorum serve --config-file FILE
    The same from a file; all other flags and variables are passed over then.

  kvorum serve --version
    Show the version of etcd that this node follows.
"""
_WIDTH = 100
OTHERS = "Other"
# Title -> flags; a used flag that is named nowhere stands under "Other".
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Member",
        (
            "name", "data-dir", "wal-dir", "wal-segment-bytes", "snapshot-count",
            "snapshot-catchup-entries",
            "heartbeat-interval", "election-timeout", "initial-election-tick-advance",
            "listen-peer-urls", "listen-client-urls", "listen-client-http-urls",
            "quota-backend-bytes", "max-txn-ops", "max-request-bytes", "max-concurrent-streams",
            "grpc-keepalive-interval", "grpc-keepalive-timeout", "enable-grpc-gateway",
            "socket-reuse-port", "watch-progress-notify-interval", "max-snapshots", "max-wals",
            "compaction-batch-limit", "compaction-sleep-interval",
            "bootstrap-defrag-threshold-megabytes", "http2", "config-file",
        ),
    ),
    (
        "Clustering",
        (
            "initial-advertise-peer-urls", "initial-cluster", "initial-cluster-state",
            "initial-cluster-token", "advertise-client-urls", "strict-reconfig-check", "pre-vote",
            "max-learners", "auto-compaction-mode", "auto-compaction-retention",
        ),
    ),
    (
        "Security",
        (
            "cert-file", "key-file", "client-cert-auth", "client-crl-file",
            "client-cert-allowed-hostname", "trusted-ca-file", "auto-tls", "peer-cert-file",
            "peer-key-file", "peer-client-cert-auth", "peer-trusted-ca-file",
            "peer-cert-allowed-cn", "peer-cert-allowed-hostname", "peer-auto-tls", "peer-crl-file",
            "peer-client-cert-file", "peer-client-key-file", "peer-skip-client-san-verification",
            "self-signed-cert-validity", "cipher-suites", "tls-min-version", "tls-max-version",
            "cors", "host-whitelist",
        ),
    ),
    ("Auth", ("auth-token", "auth-token-ttl", "bcrypt-cost")),
    (
        "Monitoring",
        (
            "metrics", "listen-metrics-urls", "warning-apply-duration",
            "warning-unary-request-duration",
        ),
    ),
    (
        "Logging",
        (
            "log-level", "log-outputs", "log-format", "enable-log-rotation",
            "log-rotation-config-json", "debug",
        ),
    ),
    (
        "Features",
        (
            "feature-gates", "initial-corrupt-check", "corrupt-check-time",
            "compact-hash-check-enabled", "compact-hash-check-time", "enable-lease-checkpoint",
            "enable-lease-checkpoint-persist", "stop-grpc-service-on-defrag",
            "downgrade-check-time",
        ),
    ),
    ("Drills and disasters", ("enable-faults", "force-new-cluster", "unsafe-no-fsync")),
)  # fmt: skip


def usage() -> str:
    """The help text: every flag, with its default or why it does nothing."""
    used = {flag.name: flag for flag in FLAGS.values() if flag.use is Use.USED}
    named = {name for _, names in GROUPS for name in names}
    groups = [*GROUPS, (OTHERS, tuple(name for name in used if name not in named))]
    lines = _HEAD.splitlines()
    for title, names in groups:
        flags = [used[name] for name in names if name in used]
        if flags:
            lines += ["", f"{title}:", *(line for flag in flags for line in _entry(flag))]
    for title, use in (("Taken without effect", Use.IGNORED), ("Refused", Use.REFUSED)):
        lines += ["", f"{title}:", *_reasons(use)]
    return "\n".join(lines) + "\n"


def _entry(flag: Flag) -> list[str]:
    return [f"  --{flag.name} '{flag.default}'", *_wrapped(flag.help)]


def _reasons(use: Use) -> list[str]:
    """Flags with one reason stand together."""
    by_reason: dict[str, list[str]] = {}
    for flag in FLAGS.values():
        if flag.use is use:
            by_reason.setdefault(flag.help, []).append(f"--{flag.name}")
    lines = []
    for reason, names in by_reason.items():
        lines += textwrap.wrap(
            " ".join(names),
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        lines += _wrapped(reason)
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ")

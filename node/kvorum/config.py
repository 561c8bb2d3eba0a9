"""What a node is told: etcd's settings as frozen values, units in their names, checked in etcd's
words.

:func:`load` reads a command line and an environment (through :mod:`kvorum.flags`),
:func:`verify_bootstrap` holds the checks that only a first start makes: a node with data ignores
every ``--initial-*`` flag (contract page "server", sections 2, 5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvorum import flags
from kvorum.config_auth import SIMPLE_TTL_S, parse_auth_token
from kvorum.config_log import LogConfig, read_log
from kvorum.config_tls import TlsConfig, read_tls, scheme_warnings, verify_schemes
from kvorum.errors import ConfigError
from kvorum.failpoints import Term, from_environment
from kvorum.flags import Settings
from kvorum.flagvalues import parse_duration_s
from kvorum.limits import (
    LEASE_CHECKPOINT_MS,
    MAX_CONCURRENT_STREAMS,
    WAL_SEGMENT_BYTES,
    WAL_SEGMENT_BYTES_MIN,
)
from kvorum.urls import (
    Url,
    default_host,
    is_bindable,
    is_unspecified,
    parse_url,
    parse_urls,
    resolved,
    with_host,
)

DEFAULT_QUOTA_BYTES = 2 * 1024**3
MAX_ELECTION_MS = 50_000
_PLAIN_LOG = LogConfig()
_NO_CLIENT_TLS, _NO_PEER_TLS = TlsConfig("client"), TlsConfig("peer")


@dataclass(frozen=True)
class CompactionConfig:
    """Automatic compaction: the kind, and what is kept (seconds or revisions; 0 is off)."""

    mode: str = "periodic"
    retention_s: float = 0.0
    retention_revisions: int = 0


@dataclass(frozen=True)
class NodeConfig:
    """Everything one node is told."""

    name: str = "default"
    data_dir: Path = Path("default.etcd")
    wal_dir: Path | None = None
    wal_segment_bytes: int = WAL_SEGMENT_BYTES
    listen_client_urls: tuple[Url, ...] = parse_urls("http://localhost:2379")
    listen_peer_urls: tuple[Url, ...] = parse_urls("http://localhost:2380")
    listen_metrics_urls: tuple[Url, ...] = ()
    # Where HTTP is answered instead of on the client URLs; empty: there is no such place.
    listen_client_http_urls: tuple[Url, ...] = ()
    advertise_client_urls: tuple[Url, ...] = parse_urls("http://localhost:2379")
    advertise_peer_urls: tuple[Url, ...] = parse_urls("http://localhost:2380")
    # The first members as (name, URLs), sorted by name.
    initial_cluster: tuple[tuple[str, tuple[Url, ...]], ...] = (
        ("default", parse_urls("http://localhost:2380")),
    )
    initial_cluster_state: str = "new"
    initial_cluster_token: str = "etcd-cluster"
    force_new_cluster: bool = False
    heartbeat_interval_ms: int = 100
    election_timeout_ms: int = 1000
    election_tick_advance: bool = True
    pre_vote: bool = True
    strict_reconfig: bool = True
    max_learners: int = 1
    snapshot_count: int = 10_000
    snapshot_catchup_entries: int = 5_000
    # 0: no quota.
    quota_bytes: int = DEFAULT_QUOTA_BYTES
    max_txn_ops: int = 128
    max_request_bytes: int = 1_572_864
    max_concurrent_streams: int = MAX_CONCURRENT_STREAMS
    keepalive_interval_s: float = 7200.0
    keepalive_timeout_s: float = 20.0
    gateway: bool = True
    compaction: CompactionConfig = CompactionConfig()
    auth_token: str = "simple"
    auth_token_ttl_s: int = 300
    bcrypt_cost: int = 10
    cors: tuple[str, ...] = ("*",)
    host_whitelist: tuple[str, ...] = ("*",)
    extensive_metrics: bool = False
    watch_progress_notify_interval_s: float = 600.0
    # Free room in the history for which a starting member defragments; 0: never.
    bootstrap_defrag_bytes: int = 0
    initial_corrupt_check: bool = False
    # 0: never.
    corrupt_check_s: float = 0.0
    lease_checkpoint: bool = False
    lease_checkpoint_persist: bool = False
    slow_apply_s: float = 0.1
    slow_request_s: float = 0.3
    reuse_port: bool = False
    http2: str = "h2"  # What speaks HTTP/2 in this process.
    log: LogConfig = _PLAIN_LOG
    enable_faults: bool = False
    # Armed from the start.
    failpoints: tuple[Term, ...] = ()
    client_tls: TlsConfig = _NO_CLIENT_TLS
    peer_tls: TlsConfig = _NO_PEER_TLS
    warnings: tuple[str, ...] = ()

    @property
    def election_ticks(self) -> int:
        """Ticks of an election timeout."""
        return self.election_timeout_ms // self.heartbeat_interval_ms

    @property
    def lease_checkpoint_ticks(self) -> int:
        """Ticks between two records of what is left of a lease; 0 for none at all."""
        every = max(1, LEASE_CHECKPOINT_MS // self.heartbeat_interval_ms)
        return every if self.lease_checkpoint else 0

    @property
    def request_timeout_s(self) -> float:
        """How long a request waits to be applied (contract page "errors", section 3)."""
        return 5.0 + 2 * self.election_timeout_ms / 1000


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> NodeConfig | Settings:
    """The node's configuration, or the raw settings when only help or the version was asked for.

    Raises flags.UsageError (exit code 2) and ConfigError (exit code 1).
    """
    settings = flags.parse(arguments, environ)
    if settings.wants_help or settings.wants_version:
        return settings
    config = build(settings)
    armed = from_environment(environ, config.enable_faults)
    return dataclasses.replace(config, failpoints=armed)


def build(settings: Settings) -> NodeConfig:
    """Checked configuration from raw settings; ConfigError in etcd's words."""
    config = _addresses(settings, _plain(settings))
    verify(config, settings)
    said = scheme_warnings(config.peer_tls, config.listen_peer_urls)
    said += scheme_warnings(config.client_tls, config.listen_client_urls)
    return dataclasses.replace(config, warnings=(*config.warnings, *said))


def _plain(s: Settings) -> NodeConfig:
    """The settings that stand for themselves."""
    name = s.text("name")
    wal_dir = s.text("wal-dir")
    warnings = list(s.warnings)
    if s.from_file:
        warnings.append(
            f"loaded server configuration from {s.from_file}; other flags and environment "
            "variables are ignored"
        )
    quota = s.integer("quota-backend-bytes")
    if quota > 8 * 1024**3:
        warnings.append(f"--quota-backend-bytes {quota} is above the recommended 8 GiB")
    if s.integer("max-request-bytes") > 10 * 1024**2:
        warnings.append("--max-request-bytes is above the recommended 10 MiB")
    return NodeConfig(
        name=name,
        data_dir=Path(s.text("data-dir") or f"{name}.etcd"),
        wal_dir=Path(wal_dir) if wal_dir else None,
        initial_cluster_state=s.text("initial-cluster-state"),
        initial_cluster_token=s.text("initial-cluster-token"),
        force_new_cluster=s.boolean("force-new-cluster"),
        heartbeat_interval_ms=s.integer("heartbeat-interval"),
        election_timeout_ms=s.integer("election-timeout"),
        election_tick_advance=s.boolean("initial-election-tick-advance"),
        pre_vote=s.boolean("pre-vote"),
        strict_reconfig=s.boolean("strict-reconfig-check"),
        max_learners=s.integer("max-learners"),
        snapshot_count=s.integer("snapshot-count") or 10_000,
        snapshot_catchup_entries=s.integer("snapshot-catchup-entries"),
        quota_bytes=DEFAULT_QUOTA_BYTES if quota == 0 else max(0, quota),
        max_txn_ops=s.integer("max-txn-ops"),
        max_request_bytes=s.integer("max-request-bytes"),
        max_concurrent_streams=min(s.integer("max-concurrent-streams"), MAX_CONCURRENT_STREAMS),
        keepalive_interval_s=s.seconds("grpc-keepalive-interval"),
        keepalive_timeout_s=s.seconds("grpc-keepalive-timeout"),
        gateway=s.boolean("enable-grpc-gateway"),
        compaction=_compaction(s),
        auth_token=s.text("auth-token"),
        auth_token_ttl_s=s.integer("auth-token-ttl") or SIMPLE_TTL_S,
        bcrypt_cost=s.integer("bcrypt-cost"),
        # Nothing means everything, as for etcd.
        cors=_words(s.text("cors")) or ("*",),
        host_whitelist=_words(s.text("host-whitelist")) or ("*",),
        extensive_metrics=s.text("metrics") == "extensive",
        watch_progress_notify_interval_s=s.seconds("watch-progress-notify-interval"),
        bootstrap_defrag_bytes=s.integer("bootstrap-defrag-threshold-megabytes") * 1024**2,
        initial_corrupt_check=s.boolean("initial-corrupt-check"),
        corrupt_check_s=s.seconds("corrupt-check-time"),
        lease_checkpoint=s.boolean("enable-lease-checkpoint"),
        lease_checkpoint_persist=s.boolean("enable-lease-checkpoint-persist"),
        slow_apply_s=s.seconds("warning-apply-duration"),
        slow_request_s=s.seconds("warning-unary-request-duration"),
        reuse_port=s.boolean("socket-reuse-port"),
        http2=s.text("http2"),
        log=read_log(s),
        enable_faults=s.boolean("enable-faults"),
        wal_segment_bytes=max(WAL_SEGMENT_BYTES_MIN, s.integer("wal-segment-bytes")),
        client_tls=read_tls(s, "client"),
        peer_tls=read_tls(s, "peer"),
        warnings=tuple(warnings),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _compaction(s: Settings) -> CompactionConfig:
    mode, retention = s.text("auto-compaction-mode"), s.text("auto-compaction-retention")
    if mode not in ("periodic", "revision"):
        raise ConfigError(f'unknown auto-compaction-mode "{mode}"')
    try:
        if mode == "revision":
            return CompactionConfig(mode, 0.0, int(retention))
        if retention.isdigit():
            return CompactionConfig(mode, int(retention) * 3600.0, 0)
        return CompactionConfig(mode, parse_duration_s(retention), 0)
    except ValueError:
        raise ConfigError(
            f'error parsing CompactionRetention: time: invalid duration "{retention}"'
        ) from None


def _addresses(s: Settings, config: NodeConfig) -> NodeConfig:
    """Everything that depends on URLs: what to listen on, what to tell others, who the first
    members are."""
    listen_peers = parse_urls(s.text("listen-peer-urls"))
    listen_clients = parse_urls(s.text("listen-client-urls"))
    advertise_peers = parse_urls(s.text("initial-advertise-peer-urls"))
    if "initial-advertise-peer-urls" not in s.given:
        advertise_peers = _reachable(advertise_peers, listen_peers)
    advertise_clients = parse_urls(s.text("advertise-client-urls"))
    if "advertise-client-urls" not in s.given:
        advertise_clients = _reachable(advertise_clients, listen_clients)
    cluster_text = s.text("initial-cluster")
    if "initial-cluster" not in s.given:
        cluster_text = ",".join(f"{config.name}={url.text}" for url in advertise_peers)
    return dataclasses.replace(
        config,
        listen_peer_urls=listen_peers,
        listen_client_urls=listen_clients,
        listen_metrics_urls=parse_urls(s.text("listen-metrics-urls")),
        listen_client_http_urls=parse_urls(s.text("listen-client-http-urls")),
        advertise_peer_urls=advertise_peers,
        advertise_client_urls=advertise_clients,
        initial_cluster=parse_cluster(cluster_text),
    )


def _reachable(advertised: tuple[Url, ...], listened: tuple[Url, ...]) -> tuple[Url, ...]:
    """Listening everywhere with an untouched advertise flag: the default route's address is told
    instead of localhost."""
    if not any(is_unspecified(url) for url in listened):
        return advertised
    host = default_host()
    port = listened[0].port
    if not host:
        return advertised
    return tuple(with_host(url._replace(port=port), host) for url in advertised)


def parse_cluster(text: str) -> tuple[tuple[str, tuple[Url, ...]], ...]:
    """``name=URL,name=URL`` as (name, URLs) sorted by name; a name given twice has several URLs."""
    members: dict[str, list[Url]] = {}
    for part in text.split(",") if text else ():
        name, _, url = part.strip().partition("=")
        try:
            members.setdefault(name, []).append(parse_url(url))
        except ValueError as exc:
            raise ConfigError(f"error setting up initial cluster: {exc}") from None
    return tuple(
        (name, tuple(sorted(members[name], key=lambda url: url.text))) for name in sorted(members)
    )


def verify(config: NodeConfig, settings: Settings) -> None:
    """The checks of every start; ConfigError in etcd's words."""
    for urls in (
        config.listen_peer_urls,
        config.listen_client_urls,
        config.listen_metrics_urls,
        config.listen_client_http_urls,
    ):
        for url in urls:
            if not is_bindable(url):
                raise ConfigError(f"expected IP in URL for binding ({url.text})")
    verify_schemes(config.peer_tls, config.listen_peer_urls, "peer")
    verify_schemes(config.client_tls, config.listen_client_urls, "client")
    verify_schemes(config.client_tls, config.listen_client_http_urls, "client")
    verify_schemes(config.client_tls, config.listen_metrics_urls, "metrics")
    for name, urls in (
        ("initial-advertise-peer-urls", config.advertise_peer_urls),
        ("advertise-client-urls", config.advertise_client_urls),
    ):
        for url in urls:
            if not url.is_unix and not url.host:
                raise ConfigError(
                    f'--{name} "{url.text}" must be "host:port" '
                    f"(unexpected empty host ({url.text}))"
                )
    _verify_times(config)
    if config.lease_checkpoint_persist and not config.lease_checkpoint:
        raise ConfigError(
            "setting experimental-enable-lease-checkpoint-persist requires "
            "experimental-enable-lease-checkpoint"
        )
    # A configuration file is spared this, as by etcd: it may leave the default in force.
    from_flags = settings.given if not settings.from_file else frozenset()
    if "listen-client-urls" in from_flags and "advertise-client-urls" not in from_flags:
        raise ConfigError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        )
    parse_auth_token(config.auth_token)
    if not 4 <= config.bcrypt_cost <= 31:
        raise ConfigError(f"--bcrypt-cost must be from 4 to 31 (set to {config.bcrypt_cost})")


def _verify_times(config: NodeConfig) -> None:
    heartbeat, election = config.heartbeat_interval_ms, config.election_timeout_ms
    for name, value in (("heartbeat-interval", heartbeat), ("election-timeout", election)):
        if value <= 0:
            raise ConfigError(f"--{name} must be >0 (set to {value}ms)")
    if 5 * heartbeat > election:
        raise ConfigError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]"
        )
    if election > MAX_ELECTION_MS:
        raise ConfigError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{MAX_ELECTION_MS}ms"
        )


def verify_bootstrap(config: NodeConfig) -> None:
    """The checks of a first start: who the first members are. ConfigError in etcd's words."""
    members = dict(config.initial_cluster)
    own = members.get(config.name)
    if own is None:
        raise ConfigError(
            f'couldn\'t find local name "{config.name}" in the initial cluster configuration'
        )
    joins = config.initial_cluster_state == "existing"
    if not joins:
        # A joiner's URLs are those that it was added with; the running members tell them.
        _match_own_entry(config, own)
    texts = [url.text for urls in members.values() for url in urls]
    if len(set(texts)) != len(texts):
        shown = ",".join(f"{name}={url.text}" for name in sorted(members) for url in members[name])
        raise ConfigError(f"initial cluster {shown} has duplicate url")


def _match_own_entry(config: NodeConfig, own: tuple[Url, ...]) -> None:
    advertised = config.advertise_peer_urls
    if {url.text for url in own} == {url.text for url in advertised}:
        return
    left, right = resolved(advertised), resolved(own)
    if left == right:
        return
    shown_own = ",".join(f"{config.name}={url.text}" for url in own)
    shown_advertised = ",".join(url.text for url in advertised)
    why = f'resolved urls: "{",".join(left)}" != "{",".join(right)}"'
    advertised_texts = {url.text for url in advertised}
    missing = [url.text for url in own if url.text not in advertised_texts]
    if missing:
        listed = ",".join(f"{config.name}={text}" for text in missing)
        raise ConfigError(
            f"--initial-cluster has {listed} but missing from "
            f"--initial-advertise-peer-urls={shown_advertised} ({why})"
        )
    own_texts = {url.text for url in own}
    listed = ",".join(
        f"{config.name}={url.text}" for url in advertised if url.text not in own_texts
    )
    raise ConfigError(
        f"--initial-advertise-peer-urls has {listed} but missing from "
        f"--initial-cluster={shown_own} ({why})"
    )

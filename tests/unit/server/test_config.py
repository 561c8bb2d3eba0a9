"""Flags, variables and the checks of a start, in etcd's words (etcd 3.4.23 was asked for them)."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum import config, flaghelp, flagvalues
from kvorum.config import CompactionConfig, NodeConfig
from kvorum.errors import ConfigError
from kvorum.flags import Settings, UsageError
from kvorum.flagtable import FLAGS
from kvorum.server.identity import cluster_id, member_id
from kvorum.urls import is_bindable, parse_url, parse_urls


def load(*arguments: str, **environ: str) -> NodeConfig:
    loaded = config.load(arguments, environ)
    assert isinstance(loaded, NodeConfig)
    return loaded


def test_plain_container_command_line_starts_one_node() -> None:
    got = load(
        "--listen-client-urls",
        "http://0.0.0.0:2379",
        "--advertise-client-urls",
        "http://0.0.0.0:2379",
    )
    config.verify_bootstrap(got)
    assert got.name == "default"
    assert got.data_dir == Path("default.etcd")
    assert [u.text for u in got.listen_client_urls] == ["http://0.0.0.0:2379"]
    assert got.initial_cluster == (("default", parse_urls("http://localhost:2380")),)
    assert got.election_ticks == 10
    assert got.request_timeout_s == 7.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "a", "--pre-vote=false", "--snapshot-count=7"),
        ("-name", "a", "-pre-vote=false", "-snapshot-count", "7"),
        ("--name=a", "--pre-vote=0", "--snapshot-count", "0x7"),
    ],
)
def test_syntax_is_go_s(arguments: tuple[str, ...]) -> None:
    got = load(*arguments)
    assert (got.name, got.pre_vote, got.snapshot_count) == ("a", False, 7)
    assert got.data_dir == Path("a.etcd")
    # The member list follows the name as long as nobody says otherwise.
    assert got.initial_cluster[0][0] == "a"


def test_a_boolean_never_takes_the_next_word() -> None:
    with pytest.raises(ConfigError, match="'false' is not a valid flag"):
        load("--pre-vote", "false")


def test_a_later_flag_wins() -> None:
    assert load("--name", "a", "--name", "b").name == "b"


def test_variables_stand_for_flags() -> None:
    got = load(ETCD_NAME="x", ETCD_HEARTBEAT_INTERVAL="50", ETCD_LISTEN_PEER_URLS="", PATH="/bin")
    assert (got.name, got.heartbeat_interval_ms) == ("x", 50)
    assert not got.warnings


def test_unknown_variables_are_named_without_their_values() -> None:
    got = load(ETCD_ROOT_PASSWORD="secret")
    assert got.warnings == ("unrecognized environment variable ETCD_ROOT_PASSWORD",)


def test_experimental_names_are_the_same_settings() -> None:
    got = load("--experimental-watch-progress-notify-interval", "5s")
    assert got.watch_progress_notify_interval_s == 5.0
    assert load(ETCD_EXPERIMENTAL_MAX_LEARNERS="3").max_learners == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--nosuch",), "flag provided but not defined: -nosuch"),
        (("--name",), "flag needs an argument: -name"),
        (("---name", "a"), "bad flag syntax: ---name"),
        (
            ("--heartbeat-interval", "abc"),
            'invalid value "abc" for flag -heartbeat-interval: parse error',
        ),
        (("--pre-vote=abc",), 'invalid boolean value "abc" for -pre-vote: parse error'),
        (("--snapshot-count=-1",), 'invalid value "-1" for flag -snapshot-count: parse error'),
        (
            ("--initial-cluster-state", "foo"),
            'invalid value "foo" for flag -initial-cluster-state: invalid value',
        ),
        (
            ("--listen-client-urls", "foo"),
            'invalid value "foo" for flag -listen-client-urls: '
            "URL scheme must be http, https, unix, or unixs: foo",
        ),
        (
            ("--listen-client-urls", "http://localhost"),
            'invalid value "http://localhost" for flag -listen-client-urls: '
            'URL address does not have the form "host:port": http://localhost',
        ),
        (
            ("--listen-client-urls", "http://localhost:2379/path"),
            'invalid value "http://localhost:2379/path" for flag -listen-client-urls: '
            "URL must not contain a path: http://localhost:2379/path",
        ),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(*arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arguments", "environ", "text"),
    [
        (("foo",), {}, "error verifying flags, 'foo' is not a valid flag."),
        (
            ("--name", "y"),
            {"ETCD_NAME": "y"},
            'conflicting environment variable "ETCD_NAME" is shadowed by corresponding '
            "command-line flag (either unset environment variable or disable flag)",
        ),
        (
            (),
            {"ETCD_HEARTBEAT_INTERVAL": "abc"},
            'error verifying flags, invalid value "abc" for ETCD_HEARTBEAT_INTERVAL: parse error.',
        ),
        (("--heartbeat-interval", "0"), {}, "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            ("--election-timeout", "300"),
            {},
            "--election-timeout[300ms] should be at least as 5 times as "
            "--heartbeat-interval[100ms]",
        ),
        (
            ("--election-timeout", "60000"),
            {},
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (
            ("--listen-peer-urls", "http://foo:2380"),
            {},
            "expected IP in URL for binding (http://foo:2380)",
        ),
        (
            ("--listen-client-urls", "http://127.0.0.1:1"),
            {},
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            ("--advertise-client-urls", "http://:2379"),
            {},
            '--advertise-client-urls "http://:2379" must be "host:port" '
            "(unexpected empty host (http://:2379))",
        ),
        (("--auto-compaction-mode", "foo"), {}, 'unknown auto-compaction-mode "foo"'),
        (
            ("--auto-compaction-retention", "foo"),
            {},
            'error parsing CompactionRetention: time: invalid duration "foo"',
        ),
        (
            ("--initial-cluster", "default"),
            {},
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
        ),
        (("--unsafe-no-fsync",), {}, "--unsafe-no-fsync is not supported: "),
        (
            ("--cert-file", "x"),
            {},
            "--cert-file and --key-file must both be present or both absent [key: , cert: x]",
        ),
        (
            ("--listen-peer-urls", "https://127.0.0.1:1"),
            {},
            "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url "
            "https://127.0.0.1:1 with HTTPS scheme",
        ),
        (("--bcrypt-cost", "3"), {}, "--bcrypt-cost must be from 4 to 31 (set to 3)"),
    ],
)
def test_what_contradicts_itself_is_a_configuration_error(
    arguments: tuple[str, ...], environ: dict[str, str], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(*arguments, **environ)
    assert not isinstance(caught.value, UsageError)
    assert str(caught.value).startswith(text)


def test_refused_flags_are_accepted_at_their_defaults() -> None:
    assert load("--force-new-cluster=false", "--discovery", "").name == "default"


def test_ignored_flags_are_said_to_be_ignored() -> None:
    got = load("--max-wals", "9", "--logger", "zap")
    assert len(got.warnings) == 1
    assert got.warnings[0].startswith("--max-wals has no effect: ")


def test_help_and_version_ask_for_nothing_else() -> None:
    for word in ("--help", "-h", "-help", "--version"):
        loaded = config.load([word], {"ETCD_NAME": "x"})
        assert isinstance(loaded, Settings)
        assert loaded.wants_help == (word != "--version")


def test_usage_names_every_flag() -> None:
    text = flaghelp.usage()
    for name in FLAGS:
        assert f"--{name}" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("5s", 5.0), ("1h30m", 5400.0), ("100ms", 0.1), ("1.5h", 5400.0), ("-2m", -120.0)],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert flagvalues.parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5s3", "5 s", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        flagvalues.parse_duration_s(text)


def test_compaction_retention() -> None:
    assert load("--auto-compaction-retention", "2").compaction == CompactionConfig(
        "periodic", 7200.0, 0
    )
    assert load("--auto-compaction-retention", "30m").compaction.retention_s == 1800.0
    got = load("--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000")
    assert got.compaction == CompactionConfig("revision", 0.0, 1000)


def bootstrap(*arguments: str) -> None:
    config.verify_bootstrap(load(*arguments))


def test_bootstrap_wants_the_own_name_in_the_cluster() -> None:
    with pytest.raises(ConfigError) as caught:
        bootstrap("--name", "infra1", "--initial-cluster", "a=http://localhost:2380")
    expected = 'couldn\'t find local name "infra1" in the initial cluster configuration'
    assert str(caught.value) == expected


def test_bootstrap_wants_the_own_urls_in_the_cluster() -> None:
    with pytest.raises(ConfigError) as caught:
        bootstrap(
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:12380",
            "--initial-cluster",
            "default=http://127.0.0.1:2380",
        )
    assert str(caught.value) == (
        "--initial-cluster has default=http://127.0.0.1:2380 but missing from "
        "--initial-advertise-peer-urls=http://127.0.0.1:12380 "
        '(resolved urls: "http://127.0.0.1:12380" != "http://127.0.0.1:2380")'
    )
    with pytest.raises(ConfigError, match="but missing from --initial-cluster="):
        bootstrap(
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:2380,http://127.0.0.1:2381",
            "--initial-cluster",
            "default=http://127.0.0.1:2380",
        )


def test_bootstrap_takes_two_names_of_one_address() -> None:
    bootstrap(
        "--initial-advertise-peer-urls",
        "http://localhost:2380",
        "--initial-cluster",
        "default=http://127.0.0.1:2380",
    )


def test_bootstrap_refuses_a_url_twice() -> None:
    with pytest.raises(ConfigError) as caught:
        bootstrap("--initial-cluster", "default=http://localhost:2380,b=http://localhost:2380")
    assert str(caught.value) == (
        "initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url"
    )


def test_several_urls_of_one_member() -> None:
    parsed = config.parse_cluster("a=http://x:2,b=http://y:1,a=http://x:1")
    assert [(name, [u.port for u in urls]) for name, urls in parsed] == [("a", [1, 2]), ("b", [1])]


def test_listening_everywhere_advertises_the_default_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "default_host", lambda: "192.0.2.7")
    got = load("--listen-peer-urls", "http://0.0.0.0:2390")
    assert [u.text for u in got.advertise_peer_urls] == ["http://192.0.2.7:2390"]
    assert got.initial_cluster == (("default", parse_urls("http://192.0.2.7:2390")),)
    monkeypatch.setattr(config, "default_host", lambda: "")
    got = load("--listen-peer-urls", "http://0.0.0.0:2390")
    assert [u.text for u in got.advertise_peer_urls] == ["http://localhost:2380"]


@pytest.mark.parametrize(
    ("url", "bindable"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("unix:///tmp/x", True),
        ("http://example.com:1", False),
    ],
)
def test_what_may_be_bound(url: str, bindable: bool) -> None:
    assert is_bindable(parse_url(url)) is bindable


@pytest.mark.parametrize(
    ("url", "member", "cluster"),
    [
        ("http://localhost:2380", 10276657743932975437, 14841639068965178418),
        ("http://127.0.0.1:23480", 15306742208207408090, 12277069208388550054),
    ],
)
def test_ids_are_etcd_s(url: str, member: int, cluster: int) -> None:
    assert member_id([url], "etcd-cluster") == member
    assert cluster_id([member]) == cluster


def test_ids_do_not_depend_on_order_but_on_everything_else() -> None:
    two = ["http://b:1", "http://a:1"]
    assert member_id(two, "t") == member_id(reversed(two), "t")
    assert cluster_id([1, 2]) == cluster_id([2, 1])
    several = {
        member_id(two, "t"),
        member_id(two, "u"),
        member_id(two, at_s=1),
        member_id(two, at_s=2),
    }
    assert len(several) == 4

"""Settings from a file, from feature gates and for log files."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum import config, configfile, features, flaghelp
from kvorum.config import NodeConfig
from kvorum.config_log import LogConfig, Rotation
from kvorum.errors import ConfigError
from kvorum.flagtable import FLAGS, Use

SAMPLE = Path(__file__).parents[3] / "sample_clusters" / "node.yml"
# From etcd's own sample of a file: values left empty, words that YAML 1.1 reads as booleans.
ETCD_LIKE = """\
name: 'default'
data-dir:
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: http://localhost:2380
advertise-client-urls: http://localhost:2379
discovery:
discovery-fallback: 'proxy'
discovery-proxy:
discovery-srv:
initial-cluster:
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
strict-reconfig-check: false
enable-pprof: true
proxy: off
proxy-failure-wait: 5000
client-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
peer-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
  allowed-cn:
  allowed-hostname:
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
"""


def load(path: Path, *arguments: str, **environ: str) -> NodeConfig:
    loaded = config.load(["--config-file", str(path), *arguments], environ)
    assert isinstance(loaded, NodeConfig)
    return loaded


def written(directory: Path, text: str, name: str = "node.yml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sample_says_what_its_flags_would_say() -> None:
    got = load(SAMPLE)
    expected = config.load(
        [
            "--name=n1",
            "--data-dir=n1.etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--initial-cluster=n1=http://127.0.0.1:2380",
            "--initial-cluster-token=example",
            "--auto-compaction-retention=1h",
            "--quota-backend-bytes=2147483648",
            "--log-outputs=stderr",
        ],
        {},
    )
    assert isinstance(expected, NodeConfig)
    assert got.warnings == (
        f"loaded server configuration from {SAMPLE}; other flags and environment variables are "
        "ignored",
    )
    assert {**vars(got), "warnings": ()} == {**vars(expected), "warnings": ()}
    config.verify_bootstrap(got)


def test_etcd_s_own_form_of_a_file(tmp_path: Path) -> None:
    got = load(written(tmp_path, ETCD_LIKE))
    assert got.log == LogConfig(level="debug", outputs=("stderr",))
    assert (got.strict_reconfig, got.compaction.retention_s) == (False, 3600.0)
    assert got.cors == ("*",)
    assert [warning for warning in got.warnings if "--" in warning] == [
        "--enable-pprof has no effect: " + FLAGS["enable-pprof"].help
    ]


def test_a_file_takes_the_place_of_flags_and_variables(tmp_path: Path) -> None:
    path = written(tmp_path, "name: filed\n")
    got = load(path, "--name=flagged", ETCD_ELECTION_TIMEOUT="7000", ETCD_NAME="set")
    assert (got.name, got.election_timeout_ms) == ("filed", 1000)
    named = config.load(["--name=flagged"], {"ETCD_CONFIG_FILE": str(path)})
    assert isinstance(named, NodeConfig)
    assert named.name == "filed"
    # Unlike on a command line, listening elsewhere leaves the default advertised: etcd, too.
    got = load(written(tmp_path, "listen-client-urls: http://127.0.0.1:1\n"))
    assert [url.text for url in got.advertise_client_urls] == ["http://localhost:2379"]


def test_listening_everywhere_advertises_the_default_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "default_host", lambda: "192.0.2.7")
    got = load(written(tmp_path, "listen-client-urls: http://0.0.0.0:2390\n"))
    assert [url.text for url in got.advertise_client_urls] == ["http://192.0.2.7:2390"]


def test_no_hosts_and_no_origins_mean_all() -> None:
    got = config.load(["--cors=", "--host-whitelist="], {})
    assert isinstance(got, NodeConfig)
    assert (got.cors, got.host_whitelist) == (("*",), ("*",))


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("grpc-keepalive-timeout: 5s", "grpc-keepalive-timeout", "5s"),
        ("grpc-keepalive-timeout: 5000000000", "grpc-keepalive-timeout", "5000000000ns"),
        ("initial-cluster-token: 0123", "initial-cluster-token", "0123"),
        ("name: y", "name", "y"),
        ("name: 5", "name", "5"),
        ("proxy: off", "proxy", "off"),
        ("auto-compaction-retention: 1", "auto-compaction-retention", "1"),
        ("pre-vote: no", "pre-vote", "false"),
        ("quota-backend-bytes: -5", "quota-backend-bytes", "-5"),
        ("log-outputs: [stderr, /tmp/x]", "log-outputs", "stderr,/tmp/x"),
        ("log-outputs: stderr", "log-outputs", "stderr"),
        ("cipher-suites: [A, B]", "cipher-suites", "A,B"),
        ("listen-peer-urls: [http://a:1, http://b:1]", "listen-peer-urls", "http://a:1,http://b:1"),
        ("experimental-corrupt-check-time: 1m", "corrupt-check-time", "1m"),
        ("feature-gates: LeaseCheckpoint=true", "feature-gates", "LeaseCheckpoint=true"),
        (
            "client-transport-security: {allowed-hostname: x}",
            "client-cert-allowed-hostname",
            "x",
        ),
        ("peer-transport-security: {allowed-cn: x}", "peer-cert-allowed-cn", "x"),
        ("peer-transport-security: {client-cert-auth: true}", "peer-client-cert-auth", "true"),
    ],
)
def test_values_become_the_texts_of_flags(
    tmp_path: Path, text: str, name: str, expected: str
) -> None:
    assert configfile.read(str(written(tmp_path, text))) == {name: expected}


def test_toml_has_the_same_keys(tmp_path: Path) -> None:
    text = """\
name = "t"
heartbeat-interval = 50
pre-vote = false
log-outputs = ["stderr"]
grpc-keepalive-timeout = "5s"

[peer-transport-security]
cert-file = "c.pem"
"""
    assert configfile.read(str(written(tmp_path, text, "node.toml"))) == {
        "name": "t",
        "heartbeat-interval": "50",
        "pre-vote": "false",
        "log-outputs": "stderr",
        "grpc-keepalive-timeout": "5s",
        "peer-cert-file": "c.pem",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nmae: x", ':1: unknown setting "nmae"; did you mean "name"?'),
        ("name: x\n\nzzz: 1", ':3: unknown setting "zzz"'),
        ("name: x\nname: z", ':2: "name" is given a second time (first on line 1)'),
        ("heartbeat-interval: abc", ':1: "heartbeat-interval" must be a whole number, not '
         "negative, not a text"),
        ("heartbeat-interval: '100'", ':1: "heartbeat-interval" must be a whole number, not '
         "negative, not a text"),
        ("heartbeat-interval: 1.5", ':1: "heartbeat-interval" must be a whole number, not '
         "negative, not a number"),
        ("heartbeat-interval: -5", ':1: invalid value "-5" for heartbeat-interval: parse error'),
        ("pre-vote: 'true'", ':1: "pre-vote" must be true or false, not a text'),
        ("pre-vote: 1", ':1: "pre-vote" must be true or false, not a number'),
        ("grpc-keepalive-timeout: soon", ':1: invalid value "soon" for grpc-keepalive-timeout: '
         "parse error"),
        ("name: [a]", ':1: "name" must be a text, not a list'),
        ("name: {a: b}", ':1: "name" must be a text, not a block'),
        ("log-outputs: [1]", ':1: "log-outputs" must be a list of texts, not a list'),
        ("log-outputs: {a: b}", ':1: "log-outputs" must be a list of texts, not a block'),
        ("listen-peer-urls: ftp://x:1", ':1: invalid value "ftp://x:1" for listen-peer-urls: '
         "URL scheme must be http, https, unix, or unixs: ftp://x:1"),
        ("initial-cluster-state: old", ':1: invalid value "old" for initial-cluster-state: '
         "invalid value"),
        ("config-file: other.yml", ":1: a configuration file cannot name another"),
        ("cert-file: x", ':1: "cert-file" is written as "cert-file" under '
         '"client-transport-security"'),
        ("peer-auto-tls: true", ':1: "peer-auto-tls" is written as "auto-tls" under '
         '"peer-transport-security"'),
        ("client-transport-security: 5", ':1: "client-transport-security" is a block of settings, '
         "not a value"),
        ("client-transport-security:\n  certfile: x", ':2: unknown setting "certfile" under '
         '"client-transport-security"; did you mean "cert-file"?'),
        ("client-transport-security:\n  auto-tls: 1", ':2: "auto-tls" must be true or false, not '
         "a number"),
        ("corrupt-check-time: 1s\nexperimental-corrupt-check-time: 1s",
         ':2: "experimental-corrupt-check-time" and "corrupt-check-time" are one setting'),
        ("- a\n- b", ": settings are written as `name: value`, one a line"),
        ("[a]: b", ":1: a key must be the name of a setting"),
        ("a: [", ":1: no YAML: "),
        ("a: &x [*x", ": no YAML: "),
        ("name: !!python/object:os.system x", ":1: no YAML: could not determine a constructor"),
    ],
)  # fmt: skip
def test_what_a_file_may_not_say(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        configfile.read(str(path))
    if said.endswith((": ", "constructor")):
        assert str(caught.value).startswith(f"{path}{said}") or said.strip() in str(caught.value)
    else:
        assert str(caught.value) == f"{path}{said}"


def test_files_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "none.yml"
    with pytest.raises(ConfigError) as caught:
        configfile.read(str(missing))
    said = f"error verifying flags, open {missing}: no such file or directory"
    assert str(caught.value) == said
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"no UTF-8 text \(byte 6\)"):
        configfile.read(str(binary))
    large = written(tmp_path, "#" * 1_048_577)
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        configfile.read(str(large))
    with pytest.raises(ConfigError, match="no TOML"):
        configfile.read(str(written(tmp_path, "name: x", "node.toml")))
    assert configfile.read(str(written(tmp_path, ""))) == {}


def test_every_flag_can_be_written_in_a_file() -> None:
    in_blocks = [flag for keys in configfile.BLOCKS.values() for flag in keys.values()]
    assert set(in_blocks) <= set(FLAGS)
    assert len(set(in_blocks)) == len(in_blocks)


# --- feature gates --------------------------------------------------------------------------------


def test_gates_are_other_names_of_flags() -> None:
    text = "LeaseCheckpoint=true, CompactHashCheck=false,SetMemberLocalAddr=true"
    flags, warnings = features.as_flags(text, {})
    assert flags == {"enable-lease-checkpoint": "true", "compact-hash-check-enabled": "false"}
    assert warnings == ["feature gate SetMemberLocalAddr has no effect"]
    assert set(features.GATES.values()) - {""} <= set(FLAGS)
    assert features.as_flags("", {}) == ({}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Nope=true", "--feature-gates: unrecognized feature gate: Nope (known: CompactHashCheck"),
        ("LeaseCheckpoint", "--feature-gates: missing bool value for LeaseCheckpoint"),
        ("LeaseCheckpoint=maybe", "--feature-gates: invalid value of LeaseCheckpoint=maybe"),
    ],
)
def test_what_is_no_gate(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load([f"--feature-gates={text}"], {})
    assert str(caught.value).startswith(said)


def test_a_gate_and_its_flag_at_once() -> None:
    arguments = ["--feature-gates=LeaseCheckpoint=true", "--experimental-enable-lease-checkpoint"]
    with pytest.raises(ConfigError) as caught:
        config.load(arguments, {})
    assert str(caught.value) == (
        "--enable-lease-checkpoint and the feature gate LeaseCheckpoint are one setting: "
        "give one of them"
    )


def test_old_and_new_name_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(["--experimental-corrupt-check-time=1s", "--corrupt-check-time=1s"], {})
    assert str(caught.value) == (
        "--experimental-corrupt-check-time and --corrupt-check-time are one setting: "
        "give one of them"
    )


# --- help -----------------------------------------------------------------------------------------


def test_help_has_every_used_flag_in_one_group() -> None:
    named = [name for _, names in flaghelp.GROUPS for name in names]
    assert len(set(named)) == len(named)
    assert set(named) <= set(FLAGS)
    used = {flag.name for flag in FLAGS.values() if flag.use is Use.USED}
    assert used <= set(named), "a flag that is used belongs into a group of flaghelp.GROUPS"
    text = flaghelp.usage()
    assert all(len(line) <= 100 for line in text.splitlines() if "log-rotation" not in line)
    assert f"\n{flaghelp.OTHERS}:" not in text
    for name in used:
        assert text.count(f"  --{name} '") == 1


# --- logs -----------------------------------------------------------------------------------------


def log_of(*arguments: str) -> LogConfig:
    loaded = config.load(arguments, {})
    assert isinstance(loaded, NodeConfig)
    return loaded.log


def test_log_settings() -> None:
    assert log_of() == LogConfig("info", "json", ("stderr",), None)
    assert log_of("--log-outputs=") == LogConfig("info", "json", ("stderr",), None)
    assert log_of("--log-outputs=stdout,x.log").outputs == ("stdout", "x.log")
    assert log_of("--debug", "--log-format=console", "--logger=capnslog") == LogConfig(
        "debug", "console"
    )
    rotating = ("--enable-log-rotation", "--log-outputs=stderr,x.log")
    assert log_of(*rotating).rotation == Rotation()
    told = '--log-rotation-config-json={"maxsize":2,"maxage":3,"maxbackups":4,"compress":true}'
    assert log_of(*rotating, told).rotation == Rotation(2 * 1024 * 1024, 3, 4, False, True)


_SINGLE = "--log-outputs requires a single file path when --log-rotate-config-json is defined"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--logger=logrus"], 'unknown logger option "logrus"'),
        (["--log-outputs=default,stderr"], 'multi logoutput for "default" is not supported yet'),
        (["--enable-log-rotation"], _SINGLE),
        (["--enable-log-rotation", "--log-outputs=a,b"], _SINGLE),
        (
            ["--enable-log-rotation", "--log-outputs=a", "--log-rotation-config-json={"],
            "improperly formatted log rotation config: ",
        ),
        (
            ["--enable-log-rotation", "--log-outputs=a", "--log-rotation-config-json=[]"],
            "invalid log rotation config: a JSON object is expected",
        ),
        (
            [
                "--enable-log-rotation",
                "--log-outputs=a",
                '--log-rotation-config-json={"maxage":-1}',
            ],
            "invalid log rotation config: maxage must be a whole number of 0 or more",
        ),
        (
            [
                "--enable-log-rotation",
                "--log-outputs=a",
                '--log-rotation-config-json={"compress":1}',
            ],
            "invalid log rotation config: compress must be true or false",
        ),
    ],
)
def test_what_a_log_cannot_be(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(arguments, {})
    assert str(caught.value).startswith(said)

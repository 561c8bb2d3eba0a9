"""Command lines that etcd refuses, given to kvorum: both refuse, with the same exit code and, where
etcd's sentence is the contract's, with the same sentence.

Also the other way round: every flag that the help of either release names is known here, as used,
as taken without effect or as refused, and the latter two say why.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from compat.real_etcd import RELEASES, find_release
from kvorum import config
from kvorum.errors import ConfigError
from kvorum.flags import UsageError
from kvorum.flagtable import ALIASES, FLAGS, Use
from support.programs import need_program

PATIENCE_S = 20.0


class Case(NamedTuple):
    """A command line, a variable and how both end: ``said`` is the sentence of both, empty where
    each has its own; ``ours`` is kvorum's exit code where it is another.
    """

    line: str
    code: int = 1
    said: str = ""
    env: str = ""
    ours: int = 0


_BOTH = (
    "multiple discovery or bootstrap flags are set. Choose one of "
    '"initial-cluster", "discovery" or "discovery-srv"'
)
CASES = [
    # What cannot be read: code 2, the first line of what is said.
    Case("--nope", 2, "flag provided but not defined: -nope"),
    Case("-nope=1", 2, "flag provided but not defined: -nope"),
    Case("--name", 2, "flag needs an argument: -name"),
    Case("-name", 2, "flag needs an argument: -name"),
    Case("---name x", 2, "bad flag syntax: ---name"),
    Case("--=x", 2, "bad flag syntax: --=x"),
    Case("--heartbeat-interval=abc", 2,
         'invalid value "abc" for flag -heartbeat-interval: parse error'),
    Case("--heartbeat-interval=-5", 2,
         'invalid value "-5" for flag -heartbeat-interval: parse error'),
    Case("--heartbeat-interval=", 2, 'invalid value "" for flag -heartbeat-interval: parse error'),
    Case("--max-txn-ops=-1", 2, 'invalid value "-1" for flag -max-txn-ops: parse error'),
    Case("--max-txn-ops=1.5", 2, 'invalid value "1.5" for flag -max-txn-ops: parse error'),
    Case("--max-request-bytes=1e6", 2,
         'invalid value "1e6" for flag -max-request-bytes: parse error'),
    Case("--quota-backend-bytes=lots", 2,
         'invalid value "lots" for flag -quota-backend-bytes: parse error'),
    Case("--snapshot-count=abc", 2, 'invalid value "abc" for flag -snapshot-count: parse error'),
    Case("--max-snapshots=abc", 2, 'invalid value "abc" for flag -max-snapshots: parse error'),
    Case("--bcrypt-cost=abc", 2, 'invalid value "abc" for flag -bcrypt-cost: parse error'),
    Case("--grpc-keepalive-min-time=5", 2,
         'invalid value "5" for flag -grpc-keepalive-min-time: parse error'),
    Case("--grpc-keepalive-interval=1x", 2,
         'invalid value "1x" for flag -grpc-keepalive-interval: parse error'),
    Case("--backend-batch-interval=abc", 2,
         'invalid value "abc" for flag -backend-batch-interval: parse error'),
    Case("--experimental-corrupt-check-time=abc", 2,
         'invalid value "abc" for flag -experimental-corrupt-check-time: parse error'),
    Case("--experimental-compaction-batch-limit=x", 2,
         'invalid value "x" for flag -experimental-compaction-batch-limit: parse error'),
    Case("--enable-grpc-gateway=maybe", 2,
         'invalid boolean value "maybe" for -enable-grpc-gateway: parse error'),
    Case("--pre-vote=2", 2, 'invalid boolean value "2" for -pre-vote: parse error'),
    Case("--listen-client-urls=ftp://127.0.0.1:2379", 2,
         'invalid value "ftp://127.0.0.1:2379" for flag -listen-client-urls: '
         "URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:2379"),
    Case("--listen-client-urls=http://127.0.0.1", 2,
         'invalid value "http://127.0.0.1" for flag -listen-client-urls: '
         'URL address does not have the form "host:port": http://127.0.0.1'),
    Case("--listen-client-urls=http://127.0.0.1:2379/path", 2,
         'invalid value "http://127.0.0.1:2379/path" for flag -listen-client-urls: '
         "URL must not contain a path: http://127.0.0.1:2379/path"),
    Case("--listen-client-urls=127.0.0.1:2379", 2,
         'invalid value "127.0.0.1:2379" for flag -listen-client-urls: '
         'parse "127.0.0.1:2379": first path segment in URL cannot contain colon'),
    Case("--advertise-client-urls=http://127.0.0.1", 2,
         'invalid value "http://127.0.0.1" for flag -advertise-client-urls: '
         'URL address does not have the form "host:port": http://127.0.0.1'),
    Case("--initial-cluster-state=foo", 2,
         'invalid value "foo" for flag -initial-cluster-state: invalid value'),
    Case("--initial-cluster-state=", 2,
         'invalid value "" for flag -initial-cluster-state: invalid value'),
    Case("--proxy=maybe", 2, 'invalid value "maybe" for flag -proxy: invalid value'),
    Case("--discovery-fallback=maybe", 2,
         'invalid value "maybe" for flag -discovery-fallback: invalid value'),
    Case("--log-level=loud", 2),
    # What is read and contradicts itself: code 1.
    Case("foo", 1, "'foo' is not a valid flag"),
    Case("--name x foo", 1, "'foo' is not a valid flag"),
    Case("-- foo", 1, "'foo' is not a valid flag"),
    Case("--heartbeat-interval=0", 1, "--heartbeat-interval must be >0 (set to 0ms)"),
    Case("--election-timeout=0", 1, "--election-timeout must be >0 (set to 0ms)"),
    Case("--heartbeat-interval=100 --election-timeout=499", 1,
         "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]"),
    Case("--election-timeout=50001", 1,
         "--election-timeout[50001ms] is too long, and should be set less than 50000ms"),
    Case("--listen-client-urls=http://example.com:2379 --advertise-client-urls=http://x:1", 1,
         "expected IP in URL for binding (http://example.com:2379)"),
    Case("--listen-peer-urls=http://example.com:2380", 1,
         "expected IP in URL for binding (http://example.com:2380)"),
    Case("--listen-metrics-urls=http://example.com:2381", 1,
         "expected IP in URL for binding (http://example.com:2381)"),
    Case("--listen-client-urls=http://127.0.0.1:1"),
    Case("--listen-client-urls="),
    Case("--advertise-client-urls=http://:2379", 1,
         '--advertise-client-urls "http://:2379" must be "host:port" '
         "(unexpected empty host (http://:2379))"),
    Case("--initial-advertise-peer-urls=http://:2380", 1,
         '--initial-advertise-peer-urls "http://:2380" must be "host:port" '
         "(unexpected empty host (http://:2380))"),
    Case("--initial-advertise-peer-urls=http://127.0.0.1:12380 "
         "--initial-cluster=default=http://127.0.0.1:2380", 1,
         "--initial-cluster has default=http://127.0.0.1:2380 but missing from "
         "--initial-advertise-peer-urls=http://127.0.0.1:12380"),
    Case("--initial-cluster=a=http://localhost:2380", 1,
         'couldn\'t find local name "default" in the initial cluster configuration'),
    Case("--name=infra1 --initial-cluster=a=http://localhost:2380", 1,
         'couldn\'t find local name "infra1" in the initial cluster configuration'),
    Case("--initial-cluster==http://localhost:2380", 1,
         'couldn\'t find local name "default" in the initial cluster configuration'),
    Case("--initial-cluster=default=http://localhost:2380,b=http://localhost:2380", 1,
         "initial cluster b=http://localhost:2380,default=http://localhost:2380 has duplicate url"),
    Case("--initial-cluster=default=http://localhost:2380,default=http://localhost:2380"),
    Case("--initial-cluster=default", 1,
         "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "),
    Case("--initial-cluster=default=", 1,
         "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "),
    Case("--initial-cluster=default=localhost:2380", 1,
         "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: "
         "localhost:2380"),
    Case("--initial-cluster=default=http://localhost:2380 --discovery=http://x/y", 1, _BOTH),
    Case("--discovery=http://x/y --discovery-srv=example.com", 1, _BOTH),
    Case("--auto-compaction-mode=weekly", 1, 'unknown auto-compaction-mode "weekly"'),
    Case("--auto-compaction-retention=xyz", 1,
         'error parsing CompactionRetention: time: invalid duration "xyz"'),
    Case("--auto-compaction-mode=revision --auto-compaction-retention=1.5", 1,
         "error parsing CompactionRetention: time: "),
    Case("--logger=logrus", 1, 'unknown logger option "logrus"'),
    Case("--log-outputs=/nonexistent/dir/x.log"),
    Case("--auth-token=foo", 1, "auth: invalid auth options"),
    Case("--auth-token=jwt", 1, "auth: "),
    Case("--auth-token=jwt,sign-method=RS256", 1, "auth: missing key data"),
    Case("--auth-token=jwt,pub-key=/nonexistent,sign-method=RS256"),
    Case("--listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://127.0.0.1:1", 1,
         "TLS key/cert (--cert-file, --key-file) must be provided for client url "
         "https://127.0.0.1:1 with HTTPS scheme"),
    Case("--listen-peer-urls=https://127.0.0.1:1 --initial-advertise-peer-urls=https://127.0.0.1:1"
         " --initial-cluster=default=https://127.0.0.1:1"),
    Case("--cipher-suites=NOPE", 1, 'unexpected TLS cipher suite "NOPE"'),
    Case("--config-file=/nonexistent.yml", 1, "open /nonexistent.yml: no such file or directory"),
    # 74 is what a node of ours ends with when its disk fails it.
    Case("--data-dir=/proc/nope", 1, " data directory", ours=74),
    # Variables.
    Case("--name=x", 1, "", "ETCD_NAME=y"),
    Case("", 1, "", "ETCD_HEARTBEAT_INTERVAL=abc"),
    Case("", 1, "--heartbeat-interval must be >0 (set to 0ms)", "ETCD_HEARTBEAT_INTERVAL=0"),
    Case("", 1, "open /nonexistent.yml: no such file or directory",
         "ETCD_CONFIG_FILE=/nonexistent.yml"),
]  # fmt: skip


def answer(program: list[str], case: Case, directory: Path) -> tuple[int, str]:
    """The exit code of a refused start, and all that was said, JSON's escapes undone."""
    arguments = case.line.split()
    if not any(word.startswith("--data-dir") for word in arguments):
        # Before all others: what ends the flags must not stand behind it.
        arguments = ["--data-dir=data", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
    name, _, value = case.env.partition("=")
    done = subprocess.run(
        [*program, *arguments],
        env={**env, **({name: value} if name else {})},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, "\n".join(_plain(x) for x in (done.stdout + done.stderr).splitlines())


def _plain(line: str) -> str:
    """A line of etcd's log in JSON as its texts; any other line as it is."""
    try:
        told = json.loads(line)
    except ValueError:
        return line
    if not isinstance(told, dict):
        return line
    return "\n".join(str(told[key]) for key in ("msg", "error") if key in told)


_SERVE = [sys.executable, "-m", "kvorum", "serve"]


def ours(case: Case, directory: Path) -> tuple[int, str]:
    """The same of kvorum; a process only where reading the settings does not refuse already."""
    name, _, value = case.env.partition("=")
    try:
        config.load(case.line.split(), {name: value} if name else {})
    except UsageError as error:
        return 2, str(error)
    except ConfigError as error:
        return 1, str(error)
    return answer(_SERVE, case, directory)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line or case.env)
def test_both_refuse(case: Case, tmp_path: Path) -> None:
    for directory in ("etcd", "kvorum"):
        (tmp_path / directory).mkdir()
    code, text = answer([need_program("etcd")], case, tmp_path / "etcd")
    assert (code, case.said in text, bool(text.strip())) == (case.code, True, True), text
    code, text = ours(case, tmp_path / "kvorum")
    expected = case.ours or case.code
    assert (code, case.said in text, bool(text.strip())) == (expected, True, True), text


def test_the_command_ends_as_reading_does(tmp_path: Path) -> None:
    code, text = answer(_SERVE, CASES[0], tmp_path)
    assert (code, text.splitlines()[:2]) == (2, [CASES[0].said, "Usage:"])
    code, text = answer(_SERVE, Case("--heartbeat-interval=0"), tmp_path)
    assert (code, text) == (1, "--heartbeat-interval must be >0 (set to 0ms)")


def help_of(program: str) -> set[str]:
    """The flags that a program's help names."""
    done = subprocess.run(
        [program, "--help"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    return set(re.findall(r"^ *--?([a-z0-9][a-z0-9-]*)", done.stdout + done.stderr, re.M))


@pytest.mark.parametrize("release", RELEASES)
def test_every_flag_of_a_release_is_known(release: str) -> None:
    theirs = help_of(find_release(release).etcd) - {"version", "h"}
    assert len(theirs) > 70
    assert sorted(theirs - FLAGS.keys() - ALIASES.keys()) == []


def test_flags_without_effect_say_why() -> None:
    for flag in FLAGS.values():
        if flag.use is not Use.USED:
            assert len(flag.help) > 15, flag.name


# Defaults that are 3.6's, and those whose help shows none.
OTHER_DEFAULTS = {
    "data-dir": "${name}.etcd is made of the name",
    "snapshot-count": "3.6 has 10000",
    "logger": "3.4 has capnslog",
    "backend-batch-interval": "the help shows nothing; nothing is 0",
    "pre-vote": "3.4 has false",
    "max-concurrent-streams": "the help says math.MaxUint32",
    "backend-bbolt-freelist-type": "3.4 has array",
}


@pytest.mark.parametrize("release", RELEASES)
def test_defaults_are_those_of_the_help(release: str) -> None:
    done = subprocess.run(
        [find_release(release).etcd, "--help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    shown = re.findall(
        r"^ *--?([a-z0-9][a-z0-9-]*) (?:'([^'\n]*)'|(\d+))$", done.stdout + done.stderr, re.M
    )
    assert len(shown) > 60
    ours = {name: FLAGS[ALIASES.get(name, name)].default for name, *_ in shown}
    theirs = {name: quoted or bare for name, quoted, bare in shown}
    different = {name for name in theirs if ours[name] != theirs[name]}
    assert {ALIASES.get(name, name) for name in different} <= OTHER_DEFAULTS.keys()

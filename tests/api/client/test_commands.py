"""The headless commands on live clusters: data on standard output, words on standard error,
exit codes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from api.client.commands import environment, etcdctl, kvorum
from support.clusters import ClusterHandle
from support.programs import need_program
from unit.client.fakes import unused_endpoint


def test_put_get_del(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    data = bytes(range(256))
    done = kvorum("put", prefix + "k", endpoints=at, stdin=data)
    assert (done.code, done.text, done.err) == (0, "OK\n", "")
    got = kvorum("get", prefix + "k", endpoints=at)
    assert (got.code, got.out) == (0, prefix.encode() + b"k\n" + data + b"\n")
    assert kvorum("get", prefix + "k", "--print-value-only", endpoints=at).out == data + b"\n"
    assert kvorum("get", prefix, "--prefix", "--keys-only", endpoints=at).text == prefix + "k\n"
    assert kvorum("get", prefix, "--prefix", "--count-only", endpoints=at).text == "1\n"
    nothing = kvorum("get", prefix + "none", endpoints=at)
    assert (nothing.code, nothing.out, nothing.err) == (0, b"", "")
    assert kvorum("del", prefix, "--prefix", endpoints=at).text == "1\n"


def test_a_value_can_come_from_a_file_or_an_argument(
    cluster: ClusterHandle, prefix: str, tmp_path: Path
) -> None:
    at = cluster.endpoints
    file = tmp_path / "value"
    file.write_bytes(b"from \x00 a file\n")
    assert kvorum("put", prefix + "f", "--file", str(file), endpoints=at).code == 0
    assert kvorum("put", prefix + "a", "--", "--dashes", endpoints=at).code == 0
    found = kvorum("get", prefix, "--prefix", "-w", "json", endpoints=at)
    values = [kv["value"] for kv in json.loads(found.text)["kvs"]]
    assert values == ["LS1kYXNoZXM=", "ZnJvbSAAIGEgZmlsZQo="]


def test_the_past_and_its_end(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    first = json.loads(kvorum("put", prefix + "k", "1", "-w", "json", endpoints=at).text)
    revision = str(first["header"]["revision"])
    kvorum("put", prefix + "k", "2", endpoints=at)
    old = kvorum("get", prefix + "k", "--rev", revision, "--print-value-only", endpoints=at)
    assert old.text == "1\n"
    future = kvorum("get", prefix + "k", "--rev", "999999999", endpoints=at)
    assert future.code == 1
    assert "future revision" in future.err
    assert future.out == b""


def test_a_compacted_revision_leaves_with_4(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    program = need_program("etcdctl")
    first = json.loads(kvorum("put", prefix + "k", "1", "-w", "json", endpoints=at).text)
    last = json.loads(kvorum("put", prefix + "k", "2", "-w", "json", endpoints=at).text)
    etcdctl(program, "compaction", str(last["header"]["revision"]), endpoints=at)
    revision = str(first["header"]["revision"])
    assert kvorum("get", prefix + "k", "--rev", revision, endpoints=at).code == 4
    watch = kvorum("watch", prefix + "k", "--rev", revision, endpoints=at)
    assert watch.code == 4
    assert f"the oldest revision left is {last['header']['revision']}" in watch.err


def test_txn(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    text = f'ver("{prefix}k") = "0"\n\nput {prefix}k "a b"\nget {prefix}k\n\nget {prefix}k\n'
    first = kvorum("txn", endpoints=at, stdin=text.encode())
    assert first.text == f"SUCCESS\n\nOK\n\n{prefix}k\na b\n"
    assert kvorum("txn", endpoints=at, stdin=text.encode()).text == f"FAILURE\n\n{prefix}k\na b\n"
    wrong = kvorum("txn", endpoints=at, stdin=b"size(a) = 1\n")
    assert wrong.code == 3
    assert "line 1" in wrong.err


def test_leases(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    granted = kvorum("lease", "grant", "60", endpoints=at).text
    assert granted.endswith(" granted with TTL(60s)\n")
    lease = granted.split()[1]
    assert kvorum("put", prefix + "k", "v", "--lease", lease, endpoints=at).code == 0
    left = kvorum("lease", "timetolive", lease, "--keys", endpoints=at).text
    assert left.startswith(f"lease {lease} granted with TTL(60s), remaining(")
    assert left.endswith(f"attached keys([{prefix}k])\n")
    assert lease in kvorum("lease", "list", endpoints=at).text.splitlines()
    once = kvorum("lease", "keep-alive", "--once", lease, endpoints=at)
    assert once.text == f"lease {lease} keepalived with TTL(60)\n"
    assert kvorum("lease", "revoke", lease, endpoints=at).text == f"lease {lease} revoked\n"
    assert kvorum("lease", "revoke", lease, endpoints=at).code == 4
    assert kvorum("lease", "keep-alive", lease, endpoints=at).code == 4
    gone = kvorum("lease", "timetolive", lease, endpoints=at)
    assert gone.text == f"lease {lease} already expired\n"


class Watching:
    """A ``kvorum watch`` that runs beside the test."""

    def __init__(self, cluster: ClusterHandle, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kvorum", "watch", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(ETCDCTL_ENDPOINTS=",".join(cluster.endpoints)),
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out: IO[bytes] = self.process.stdout
        self.err: IO[bytes] = self.process.stderr

    def __enter__(self) -> Watching:
        assert b"watching from revision" in self.err.readline()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_prints_what_happens_and_ends_cleanly(
    cluster: ClusterHandle, prefix: str, number: signal.Signals
) -> None:
    at = cluster.endpoints
    with Watching(cluster, prefix, "--prefix", "--prev-kv") as watching:
        kvorum("put", prefix + "k", "1", endpoints=at)
        assert [watching.out.readline() for _ in range(3)] == [
            b"PUT\n",
            f"{prefix}k\n".encode(),
            b"1\n",
        ]
        kvorum("del", prefix + "k", endpoints=at)
        lines = [watching.out.readline().decode().strip() for _ in range(5)]
        assert lines == ["DELETE", prefix + "k", "1", prefix + "k", ""]
        watching.process.send_signal(number)
        assert watching.process.wait(60) == 0
        assert watching.err.read() == b""


def test_watch_writes_json_lines(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    first = json.loads(kvorum("put", prefix + "k", "1", "-w", "json", endpoints=at).text)
    kvorum("del", prefix + "k", endpoints=at)
    revision = str(first["header"]["revision"])
    done = kvorum(
        "watch", prefix + "k", "--rev", revision, "--limit", "2", "-w", "json", endpoints=at
    )
    assert done.code == 0
    events = [event for line in done.text.splitlines() for event in json.loads(line)["Events"]]
    assert [event.get("type", 0) for event in events] == [0, 1]
    assert events[0]["kv"]["value"] == "MQ=="


def test_members_and_status(cluster: ClusterHandle) -> None:
    gone = unused_endpoint()
    at = [*cluster.endpoints, gone]
    names = [
        line.split(", ")[2] for line in kvorum("member", "list", endpoints=at).text.splitlines()
    ]
    assert sorted(names) == cluster.names
    rows = json.loads(kvorum("status", "-w", "json", endpoints=at).text)
    assert [row["Endpoint"] for row in rows] == at
    assert (
        sum(row["Status"]["leader"] == row["Status"]["header"]["member_id"] for row in rows[:3])
        == 1
    )
    assert "cannot connect" in rows[3]["Error"]
    shown = kvorum("status", "-w", "table", endpoints=at)
    assert shown.code == 0
    assert [line.split()[0] for line in shown.text.splitlines()[2:]] == at
    assert shown.text.count(" leader ") == 1
    assert shown.text.count(" unreachable ") == 1


def test_nobody_there_leaves_with_2() -> None:
    for command in (["get", "k"], ["put", "k", "v"], ["status"], ["watch", "k"], ["dump"]):
        done = kvorum(*command, "--dial-timeout", "300ms", endpoints=[unused_endpoint()])
        assert done.code == 2, (command, done.err)
    assert "cannot connect" in kvorum("get", "k", endpoints=[unused_endpoint()]).err


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["get"], "KEY"),
        (["get", ""], "the key is empty"),
        (["get", "k", "--shiny"], "--shiny"),
        (["get", "a", "b", "--prefix"], "exclude one another"),
        (["get", "k", "--rev", "x"], "x"),
        (["get", "k", "--endpoints", "ftp://a"], "scheme"),
        (["get", "k", "--command-timeout", "soon"], "no duration"),
        (["get", "k", "--cacert", "/no/such/file"], "/no/such/file"),
        (["get", "k", "--cert", "a.pem"], "go together"),
        (["get", "k", "--password", "x"], "--user"),
        (["put", "k", "v", "--file", "f"], "twice"),
        (["put", "k", "--file", "/no/such/file"], "cannot read"),
        (["put", "k", "v", "--lease", "xyz"], "hexadecimal"),
        (["lease", "frob"], "frob"),
        (["lease", "grant", "0"], "0"),
        (["load", "/no/such/file"], "cannot read"),
        (["dump", "--resume"], "--output"),
    ],
)
def test_wrong_input_leaves_with_3_and_says_what_is_wrong(args: list[str], complaint: str) -> None:
    done = kvorum(*args)
    assert (done.code, done.out) == (3, b"")
    assert complaint in done.err
    assert "Traceback" not in done.err


def test_a_write_of_unknown_fate_leaves_with_5(cluster: ClusterHandle, prefix: str) -> None:
    """The leader's connection is held while the command waits; nothing says whether it was
    written.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "kvorum", "put", prefix + "k", "v", "--command-timeout", "1ms"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(KVORUM_ENDPOINTS=",".join(cluster.endpoints)),
    )
    _, err = process.communicate(timeout=60)
    # One millisecond ends either before anything was sent or after; never with a claim of success.
    assert process.returncode in (2, 5), err
    if process.returncode == 5:
        assert b"may have taken effect" in err


def test_output_nobody_reads_is_no_traceback(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    source = "".join(
        json.dumps({"key": f"{prefix}{n:04}", "value": "v" * 5000}) + "\n" for n in range(100)
    )
    kvorum("load", endpoints=at, stdin=source.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "kvorum", "get", prefix, "--prefix"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(KVORUM_ENDPOINTS=",".join(at)),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 5
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_the_headless_commands_never_load_textual() -> None:
    code = (
        "import sys\n"
        "import kvorum.cli.keys, kvorum.cli.watch, kvorum.cli.lease, kvorum.cli.members\n"
        "import kvorum.cli.transfer, kvorum.cli.forms, kvorum.client\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('textual', 'kvorum_tui')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True)
    assert done.stdout == "[]\n"

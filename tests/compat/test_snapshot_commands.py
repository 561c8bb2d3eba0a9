"""Files and flags that ``kvorum restore`` refuses, and snapshots that are broken off: each by its
name, and nothing left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from compat.our_command import TIMEOUT_S, kvorum, written
from kvorum.cli import cli
from kvorum.cli.output import INTERRUPTED, INVALID
from kvorum.storage.bolt_page import PAGE_BYTES
from support.clusters import ClusterHandle, wait_until
from support.etcd_source import full_source

Clusters = Callable[..., ClusterHandle]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "fault", "flags"),
    [
        (lambda data: data[:-700], "truncated", ()),
        (lambda data: data[:-32], "SHA-256 missing", ()),
        (lambda data: flipped(data, len(data) // 2), "SHA-256 mismatch", ()),
        (lambda data: flipped(data, 16), "SHA-256 mismatch", ()),
        (lambda data: flipped(data, PAGE_BYTES * 5 + 8), "wrong page kind", ["--skip-hash-check"]),
        (lambda data: bytes(len(data)), "foreign magic", ["--skip-hash-check"]),
        (lambda data: data[: PAGE_BYTES * 9], "truncated", ["--skip-hash-check"]),
        (lambda data: b"", "SHA-256 missing", ()),
        (lambda data: b"", "truncated", ["--skip-hash-check"]),
    ],
)
def test_a_damaged_file_is_refused_by_the_faults_name(
    tmp_path: Path, damage: Callable[[bytes], bytes], fault: str, flags: list[str]
) -> None:
    path = written(tmp_path / "db", full_source(300))
    path.write_bytes(damage(path.read_bytes()))
    target = tmp_path / "data"
    done = CliRunner().invoke(cli, ["restore", str(path), f"--data-dir={target}", *flags])
    assert done.exit_code == INVALID
    assert f"{path}: {fault}: " in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--bump-revision=5"], "go together"),
        (["--mark-compacted"], "go together"),
        (["--name=a", "--initial-cluster=b=http://localhost:1"], "couldn't find local name"),
        (["--initial-advertise-peer-urls=nothing"], "nothing"),
        (["--data-dir=."], "is not empty"),
    ],
)
def test_flags_that_make_no_member_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    path = written(tmp_path / "db", full_source(30))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["restore", str(path), *flags])
    assert done.exit_code == INVALID, done.stderr
    assert said in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_restore_that_is_interrupted_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    path = written(tmp_path / "db", full_source(30))

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr("kvorum.server.restore.decode_image", interrupted)
    done = CliRunner().invoke(cli, ["restore", str(path), f"--data-dir={tmp_path}/data"])
    assert done.exit_code == INTERRUPTED
    assert [entry.name for entry in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_save_that_is_interrupted_leaves_nothing(
    kvorum_cluster: Clusters, tmp_path: Path, number: signal.Signals
) -> None:
    cluster = kvorum_cluster(1)
    cluster.pause("n1")
    folder = tmp_path / "saved"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "kvorum", "snapshot", "save", str(folder / "db"),
         f"--endpoints={cluster.endpoints[0]}", "--dial-timeout=120s", "--command-timeout=120s"],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_until((folder / "db.part").exists, "the part")
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == INTERRUPTED
    finally:
        process.kill()
        process.communicate()
    assert list(folder.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(kvorum_cluster: Clusters, tmp_path: Path) -> None:
    cluster = kvorum_cluster(1)
    path, flag = tmp_path / "db", f"--endpoints={cluster.endpoints[0]}"
    kvorum("put", "k", "v", flag)
    path.write_bytes(b"mine")
    done = CliRunner().invoke(cli, ["snapshot", "save", str(path), flag])
    assert done.exit_code == INVALID
    assert path.read_bytes() == b"mine"
    kvorum("snapshot", "save", "--force", path, flag)
    assert kvorum("snapshot", "status", path).split(", ")[1] == "2"

"""Contexts on the command line: which cluster a command talks to, and what it may do there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from api.client.commands import Done, kvorum
from support.clusters import ClusterHandle
from unit.client.fakes import unused_endpoint


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "contexts.toml")


def context(file: str, *args: str, **variables: str) -> Done:
    return kvorum("context", *args, KVORUM_CONTEXTS=file, **variables)


def test_add_show_set_use_remove(file: str) -> None:
    assert "no contexts" in context(file, "list").err
    assert context(file, "path").text.strip() == file
    added = context(file, "add", "prod", "--endpoints", "https://a:1,https://b:1", "--user", "ops")
    assert (added.code, added.text) == (0, "") and "--context prod" in added.err
    assert context(file, "set", "prod", "--colour", "red", "--separator", ":").code == 0
    shown = json.loads(context(file, "show", "prod").text)
    assert shown == {
        "endpoints": ["https://a:1", "https://b:1"],
        "user": "ops",
        "colour": "red",
        "separators": [":"],
    }
    assert context(file, "use", "prod").code == 0
    assert "* prod  read-only  https://a:1,https://b:1 as ops red" in context(file, "list").text
    assert json.loads(context(file, "list", "-w", "json").text)["current"] == "prod"
    assert context(file, "use", "--none").code == 0
    assert context(file, "remove", "prod").code == 0
    assert json.loads(context(file, "list", "-w", "json").text) == {"current": "", "contexts": {}}


def test_files_are_kept_by_their_whole_names(file: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("x")
    at = os.path.relpath(tmp_path / "ca.crt")
    added = context(file, "add", "t", "--endpoints", "https://a:1", "--cacert", at)
    assert "no file" not in added.err
    shown = json.loads(context(file, "show", "t").text)
    assert Path(shown["cacert"]).is_absolute() and Path(shown["cacert"]).samefile(at)
    gone = context(file, "set", "t", "--cacert", str(tmp_path / "gone.crt"))
    assert (gone.code, f"there is no file {tmp_path}/gone.crt (cacert)" in gone.err) == (0, True)


@pytest.mark.parametrize("line", ["--bad", "nothing-like-it", "tui --bad", "demo --bad"])
def test_wrong_flags_leave_with_3_whatever_the_verb(line: str) -> None:
    done = kvorum(*line.split())
    assert (done.code, "Error: No such" in done.err) == (3, True), done


def test_a_password_is_not_read_from_where_a_value_may_be(tmp_path: Path) -> None:
    """Without a terminal nobody can be asked; standard input is a value's."""
    command = [sys.executable, "-m", "kvorum", "put", "key", "--user", "alice"]
    command += ["--endpoints", "http://127.0.0.1:1"]
    done = subprocess.run(  # In a session of its own there is no terminal to open.
        command, input="value", capture_output=True, text=True, start_new_session=True, timeout=60
    )
    assert done.returncode == 3
    assert done.stderr.startswith("Error: the password of alice is missing")


def test_wrong_input_is_named(file: str) -> None:
    assert context(file, "add", "x").code == 3
    context(file, "add", "a", "--endpoints", "h:1")
    for args, said in [
        (("add", "a", "--endpoints", "h:2"), "there is a context a already"),
        (("add", "b", "--endpoints", "h:1", "--password-from", "geheim"), "has no place"),
        (("show", "z"), "there is no context 'z'; there are: a"),
        (("use",), "name one context"),
        (("import", "i"), "ETCDCTL_ENDPOINTS is not set"),
        (("set", "a", "--colour", "pink"), "pink"),
    ]:
        done = context(file, *args)
        assert done.code == 3 and said in done.err, (args, done)


def test_etcdctls_variables_become_a_context_without_the_password(file: str) -> None:
    done = context(
        file, "import", "prod", ETCDCTL_ENDPOINTS="https://a:1", ETCDCTL_USER="root:geheim"
    )
    assert done.code == 0 and "left out" in done.err
    assert "geheim" not in Path(file).read_text()
    assert json.loads(context(file, "show", "prod").text)["user"] == "root"


def test_which_cluster_a_command_talks_to(cluster: ClusterHandle, prefix: str, file: str) -> None:
    nowhere = unused_endpoint()
    context(file, "add", "live", "--endpoints", ",".join(cluster.endpoints))
    context(file, "add", "away", "--endpoints", nowhere)

    def put(*flags: str, **variables: str) -> int:
        return kvorum("put", prefix + "k", "v", *flags, KVORUM_CONTEXTS=file, **variables).code

    quick = ("--command-timeout", "1s")
    assert put("--context", "live") == 0
    assert put(KVORUM_CONTEXT="live") == 0
    assert put("--context", "live", ETCDCTL_ENDPOINTS=nowhere) == 0
    assert put("--context", "away", *quick) == 2
    assert put("--context", "away", "--endpoints", cluster.endpoints[0]) == 0
    context(file, "use", "live")
    assert put() == 0
    assert put(*quick, ETCDCTL_ENDPOINTS=nowhere) == 2
    assert put(*quick, "--endpoints", nowhere) == 2
    assert put("--context", "none") == 3


def test_a_read_only_context_refuses_to_write(
    cluster: ClusterHandle, prefix: str, file: str
) -> None:
    context(file, "add", "ro", "--read-only", "--endpoints", ",".join(cluster.endpoints))
    refused = kvorum("put", prefix + "k", "v", "--context", "ro", KVORUM_CONTEXTS=file)
    assert refused.code == 1 and "read-only" in refused.err
    assert kvorum("get", prefix, "--prefix", "--context", "ro", KVORUM_CONTEXTS=file).text == ""
    allowed = ("--context", "ro", "--read-write")
    assert kvorum("put", prefix + "k", "v", *allowed, KVORUM_CONTEXTS=file).code == 0
    plain = ("--endpoints", cluster.endpoints[0], "--read-only")
    assert kvorum("del", prefix + "k", *plain).code == 1

"""Commands on a cluster that only a bastion can reach."""

from __future__ import annotations

from pathlib import Path

from api.client.commands import Done, kvorum
from support.clusters import ClusterHandle
from support.fake_ssh import FakeSsh


def test_a_context_behind_ssh(cluster: ClusterHandle, prefix: str, tmp_path: Path) -> None:
    fake = FakeSsh(tmp_path, {"etcd.inner": "127.0.0.1", "127.0.0.1": "127.0.0.1"})
    inner = cluster.endpoints[0].replace("127.0.0.1", "etcd.inner")
    file = str(tmp_path / "contexts.toml")

    def run(*args: str, **variables: str) -> Done:
        return kvorum(*args, KVORUM_CONTEXTS=file, PATH=fake.path, **variables)

    added = run("context", "add", "inner", "--endpoints", inner, "--ssh", "ops@bastion")
    assert added.code == 0, added
    assert f"{inner} through ssh ops@bastion" in run("context", "list").text
    refused = run("put", f"{prefix}a", "1", "--context", "inner")
    assert (refused.code, "read-only" in refused.err) == (1, True), refused
    put = run("put", f"{prefix}a", "1", "--context", "inner", "--read-write")
    assert put.code == 0, put
    assert run("get", f"{prefix}a", "--context", "inner").text == f"{prefix}a\n1\n"
    # All members by the addresses that they tell, through one login.
    before = len(fake.masters())
    shown = run("status", "--context", "inner")
    assert shown.text.count("leader") >= 1, shown
    assert len(fake.masters()) == before + 1
    # A variable, as the terminal's own command lines have it; a flag wins over a context.
    told = run("get", f"{prefix}a", KVORUM_SSH="ops@bastion", KVORUM_ENDPOINTS=inner)
    assert told.text == f"{prefix}a\n1\n"
    fake.deny("ops@other: Permission denied (publickey).")
    denied = run("get", "a", "--context", "inner", "--ssh", "ops@other")
    assert (denied.code, "ssh ops@other: ops@other: Permission denied" in denied.err) == (2, True)
    assert run("get", "a", "--ssh", "-oProxyCommand=x").code == 3
    fake.await_end()

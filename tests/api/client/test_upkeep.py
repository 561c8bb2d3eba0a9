"""compaction, defrag, alarm, hashkv, move-leader: what they do, say, and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from api.client.commands import kvorum
from support.clusters import ClusterHandle
from unit.client.fakes import unused_endpoint

Launch = Callable[..., ClusterHandle]


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_looking_after_a_cluster(kvorum_cluster: Launch, program: str) -> None:
    at = kvorum_cluster(3, program=program).endpoints
    for number in range(5):
        assert kvorum("put", "k", str(number), endpoints=at).code == 0
    done = kvorum("compaction", "4", "--physical", endpoints=at)
    assert (done.code, done.text) == (0, "compacted revision 4\n")
    assert kvorum("get", "k", "--rev", "2", endpoints=at).code == 4
    assert kvorum("compaction", "4", endpoints=at).code == 4
    assert kvorum("compaction", "0", endpoints=at).code == 3

    hashes = json.loads(kvorum("hashkv", "-w", "json", endpoints=at).text)
    assert len(hashes) == 3 and len({row["hash"] for row in hashes}) == 1
    assert {row["compact_revision"] for row in hashes} == {4}

    defragmented = kvorum("defrag", "--cluster", "-w", "json", endpoints=at[:1])
    assert defragmented.code == 0
    assert {row["endpoint"] for row in json.loads(defragmented.text)} == set(at)
    one = kvorum("defrag", endpoints=at[:1])
    assert one.text.count("Finished defragmenting") == 1 and at[0] in one.text

    assert (kvorum("alarm", "list", endpoints=at).text, 0) == ("", 0)
    assert kvorum("alarm", "disarm", endpoints=at).code == 0

    status = json.loads(kvorum("status", "-w", "json", endpoints=at).text)
    names = {row["Name"] for row in status}
    for name in sorted(names):
        moved = kvorum("move-leader", name, endpoints=at)
        assert moved.code == 0 and moved.text.startswith("Leadership transferred from ")
    wrong = kvorum("move-leader", "nobody", endpoints=at)
    assert wrong.code == 3 and "there is no member 'nobody'; there are: " in wrong.err


def test_an_alarm_is_listed_and_lifted(kvorum_cluster: Launch) -> None:
    at = kvorum_cluster(1, flags=["--quota-backend-bytes=1000000"]).endpoints
    codes = [
        kvorum("put", f"k{number}", stdin=b"x" * 100_000, endpoints=at).code for number in range(20)
    ]
    assert codes[0] == 0 and codes[-1] == 1
    assert "alarm:NOSPACE" in kvorum("alarm", "list", endpoints=at).text
    assert json.loads(kvorum("alarm", "list", "-w", "json", endpoints=at).text)
    kvorum("del", "k", "--prefix", endpoints=at)
    revision = json.loads(kvorum("get", "k", "-w", "json", endpoints=at).text)["header"]["revision"]
    kvorum("compaction", str(revision), "--physical", endpoints=at)
    assert kvorum("defrag", endpoints=at).code == 0
    assert "alarm:NOSPACE" in kvorum("alarm", "disarm", endpoints=at).text
    assert kvorum("alarm", "list", endpoints=at).text == ""
    assert kvorum("put", "again", "1", endpoints=at).code == 0


@pytest.mark.parametrize(
    "args", [("compaction", "9"), ("defrag",), ("alarm", "list"), ("hashkv",), ("move-leader", "a")]
)
def test_nobody_there(args: tuple[str, ...]) -> None:
    done = kvorum(*args, "--command-timeout", "1s", endpoints=[unused_endpoint()])
    assert done.code == 2, done

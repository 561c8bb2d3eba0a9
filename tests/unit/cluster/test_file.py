"""The cluster file: what a good one means, and that a bad one names file, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.cluster.file import NodeSpec, read_cluster_file
from kvorum.errors import ConfigError

GOOD = """
name = "shop"
heartbeat_ms = 50
election_ms = 500
faults = true
restart = "always"
keys = "keys.jsonl"
data_dir = "data"
flags = ["--quota-backend-bytes=1000000"]
env = { KVORUM_FAILPOINT = "wal:exit" }

[[node]]
name = "a"
client_port = 2379
peer_port = 2380

[[node]]
name = "b"
flags = ["--log-level=debug"]
restart = "never"
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    (directory / "keys.jsonl").write_text("", encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    spec = read_cluster_file(write(tmp_path, GOOD))
    assert (spec.name, spec.program, spec.heartbeat_ms, spec.election_ms) == (
        "shop",
        "kvorum",
        50,
        500,
    )
    assert spec.faults and spec.restart == "always"
    assert spec.keys == tmp_path / "keys.jsonl"
    assert spec.data_dir == tmp_path / "data"
    assert spec.flags == ("--quota-backend-bytes=1000000",)
    assert spec.env == {"KVORUM_FAILPOINT": "wal:exit"}
    assert spec.nodes == (
        NodeSpec("a", 2379, 2380),
        NodeSpec("b", flags=("--log-level=debug",), restart="never"),
    )
    assert spec.node("b") is spec.nodes[1]
    with pytest.raises(KeyError, match="there are: a, b"):
        spec.node("c")


def test_a_directory_means_its_cluster_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert read_cluster_file(tmp_path).name == "shop"


NODE = '[[node]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("name = ", "cluster.toml", "is not TOML"),
        ('name = "x"\n', "node:", "write one [[node]] table"),
        (NODE, "name:", "use letters"),
        ('name = "x=y"\n' + NODE, "name:", "use letters"),
        ('name = "x"\nnode = [1]\n', "node[0]", "must be a [[node]] table"),
        ('name = "x"\n' + NODE + NODE, "node:", "'a' is used twice"),
        ('name = "x"\n' + NODE * 10, "node:", "at most 9"),
        ('name = "x"\n[[node]]\nname = "../a"\n', "node[0].name:", "use letters"),
        ('name = "x"\nelection = 10\n' + NODE, "election:", "did you mean 'election_ms'?"),
        ('name = "x"\n[[node]]\nname = "a"\nvolume = 1\n', "node[0].volume:", "known are"),
        ('name = "x"\nheartbeat_ms = "1"\n' + NODE, "heartbeat_ms:", "whole number from 1"),
        ('name = "x"\nheartbeat_ms = true\n' + NODE, "heartbeat_ms:", "whole number from 1"),
        ('name = "x"\nheartbeat_ms = 300\n' + NODE, "election_ms:", "use 1500 or more"),
        ('name = "x"\nprogram = "consul"\n' + NODE, "program:", "one of: kvorum, etcd"),
        ('name = "x"\nprogram = "etcd"\nfaults = true\n' + NODE, "faults:", 'program = "kvorum"'),
        ('name = "x"\nfaults = 1\n' + NODE, "faults:", "true or false"),
        ('name = "x"\nrestart = "maybe"\n' + NODE, "restart:", "never, always"),
        ('name = "x"\nkeys = "none.jsonl"\n' + NODE, "keys:", "does not exist"),
        ('name = "x"\nflags = ["-v"]\n' + NODE, "flags:", "--flag=value"),
        ('name = "x"\nenv = { A = 1 }\n' + NODE, "env.A:", "must be a string"),
        ('name = "x"\nenv = { ETCD_NAME = "y" }\n' + NODE, "env.ETCD_NAME:", "use flags"),
        ('name = "x"\n' + NODE + "client_port = 70000\n", "node[0].client_port:", "free one"),
        (
            'name = "x"\n' + NODE + "client_port = 2379\npeer_port = 2379\n",
            "node:",
            "port 2379 is used twice",
        ),
    ],
)
def test_a_wrong_file_says_where_and_what_to_do(
    tmp_path: Path, text: str, key: str, remedy: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_cluster_file(path)
    assert str(path) in str(caught.value)
    assert key in str(caught.value)
    assert remedy in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such cluster file"):
        read_cluster_file(tmp_path / "nothing.toml")

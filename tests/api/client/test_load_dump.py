"""The commands load and dump on live clusters."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from api.client.commands import kvorum
from kvorum.client.jsonlines import Head, read_line
from support.clusters import ClusterHandle


def test_dump_and_load_are_byte_exact(cluster: ClusterHandle, prefix: str, tmp_path: Path) -> None:
    at = cluster.endpoints
    lines = [{"key": f"{prefix}{n:04}", "value": f"välue\n{n}"} for n in range(250)]
    source = "".join(json.dumps(line) + "\n" for line in lines)
    odd_key = _b64(prefix.encode() + bytes(range(200, 256)))
    odd = json.dumps({"key_base64": odd_key, "value_base64": "AP8="}) + "\n"
    done = kvorum("load", endpoints=at, stdin=(source + "\n" + odd).encode())
    assert (done.code, done.out) == (0, b"")
    assert "251 keys written" in done.err
    file = tmp_path / "dump.jsonl"
    assert kvorum("dump", prefix, "-o", str(file), endpoints=at).code == 0
    printed = kvorum("dump", prefix, endpoints=at)
    assert printed.code == 0
    assert printed.out.splitlines()[1:] == file.read_bytes().splitlines()[1:]
    moved = prefix + "moved/"
    done = kvorum("load", str(file), "--to-prefix", moved, endpoints=at)
    assert "251 keys written" in done.err
    copies = kvorum("dump", moved, endpoints=at).out.splitlines()[1:]
    assert len(copies) == 251
    for line, copy in zip(file.read_bytes().splitlines()[1:], copies, strict=True):
        assert _pair(copy) == (moved.encode() + _pair(line)[0], _pair(line)[1])


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _pair(line: bytes) -> tuple[bytes, bytes]:
    found = read_line(line)
    assert found is not None
    assert not isinstance(found, Head)
    return found


def test_a_broken_dump_goes_on_at_its_revision(
    cluster: ClusterHandle, prefix: str, tmp_path: Path
) -> None:
    at = cluster.endpoints
    source = "".join(json.dumps({"key": f"{prefix}{n:04}", "value": "v"}) + "\n" for n in range(40))
    kvorum("load", endpoints=at, stdin=source.encode())
    whole, torn = tmp_path / "whole.jsonl", tmp_path / "torn.jsonl"
    kvorum("dump", prefix, "-o", str(whole), endpoints=at)
    torn.write_bytes(whole.read_bytes()[:1500])
    kvorum("put", prefix + "0039", "changed later", endpoints=at)
    assert kvorum("dump", prefix, "-o", str(torn), endpoints=at).code == 3
    done = kvorum("dump", prefix, "-o", str(torn), "--resume", endpoints=at)
    assert done.code == 0
    assert torn.read_bytes() == whole.read_bytes()
    other = kvorum("dump", prefix + "x", "-o", str(torn), "--resume", endpoints=at)
    assert other.code == 3
    assert "another prefix" in other.err


def test_a_wrong_line_is_named_and_where_to_go_on(cluster: ClusterHandle, prefix: str) -> None:
    at = cluster.endpoints
    good = json.dumps({"key": prefix + "a", "value": "v"}) + "\n"
    done = kvorum("load", endpoints=at, stdin=(good + "{]\n" + good).encode())
    assert done.code == 3
    assert "line 2: no JSON" in done.err
    assert "--from-line 1" in done.err
    assert kvorum("get", prefix + "a", endpoints=at).out == b""
    rest = kvorum("load", "--from-line", "3", endpoints=at, stdin=(good + "{]\n" + good).encode())
    assert rest.code == 0
    assert "1 keys written" in rest.err
    checked = kvorum("load", "--check", endpoints=at, stdin=good.encode())
    assert "can be loaded" in checked.err

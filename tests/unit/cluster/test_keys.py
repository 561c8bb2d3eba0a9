"""Sample keys: the format's errors, the order of writes, the bounds of a transaction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvorum import limits
from kvorum.cluster import keys
from kvorum.cluster.keys import SampleKey, Write, chunks, read_keys, rounds, transactions
from kvorum.errors import ConfigError


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines), encoding="utf-8")
    return path


def test_text_bytes_histories_leases_and_repetition(tmp_path: Path) -> None:
    path = write(
        tmp_path / "keys.jsonl",
        {"key": "/ключ", "value": "значение", "was": ["a", "b"]},
        {"key_base64": "/wAB", "value_base64": "AAE="},
        {"key": "s", "value": "x", "lease": "web", "lease_ttl_s": 60},
        {"key": "t", "value": "x", "lease_ttl_s": 60},
        {"key": "big", "value": "ab", "repeat": 3, "deleted": True},
    )
    assert read_keys(path) == [
        SampleKey("/ключ".encode(), (b"a", b"b", "значение".encode())),
        SampleKey(b"\xff\x00\x01", (b"\x00\x01",)),
        SampleKey(b"s", (b"x",), lease="web", lease_ttl_s=60),
        SampleKey(b"t", (b"x",), lease="t", lease_ttl_s=60),
        SampleKey(b"big", (b"ababab",), deleted=True),
    ]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"value": "x"}, "needs key or key_base64"),
        ({"key": "x"}, "needs value or value_base64"),
        ({"key": "", "value": "x"}, "the key is empty"),
        ({"key": "x", "value": "x", "ttl": 3}, "unknown field 'ttl'"),
        ({"key_base64": "%%%", "value": "x"}, "base64"),
        (["key", "value"], "must be a JSON object"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, entry: object, complaint: str) -> None:
    path = write(tmp_path / "keys.jsonl", {"key": "a", "value": ""}, entry)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert f"{path}:2:" in str(caught.value)
    assert complaint.lower() in str(caught.value).lower()


def test_a_key_may_not_stand_there_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "k.jsonl", {"key": "a", "value": ""}, {"key": "a", "value": ""})
    with pytest.raises(ConfigError, match="twice"):
        read_keys(path)


def test_rounds_write_histories_oldest_first_and_delete_last() -> None:
    samples = [
        SampleKey(b"a", (b"1", b"2", b"3")),
        SampleKey(b"b", (b"1",), deleted=True),
        SampleKey(b"c", (b"1", b"2"), lease="l", lease_ttl_s=5),
    ]
    lease = ("l", 5)
    assert list(rounds(samples)) == [
        [Write(b"a", b"1"), Write(b"b", b"1"), Write(b"c", b"1", lease)],
        [Write(b"a", b"2"), Write(b"c", b"2", lease)],
        [Write(b"a", b"3")],
        [Write(b"b", None)],
    ]


def test_chunks_are_bounded_in_operations_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOAD_CHUNK_BYTES", 1000)
    small = [Write(b"k%d" % i, b"") for i in range(7)]
    assert [len(c) for c in chunks(small, 3)] == [3, 3, 1]
    large = [Write(b"k%d" % i, bytes(450)) for i in range(5)]
    assert [len(c) for c in chunks(large, 100)] == [2, 2, 1]
    huge = [Write(b"a", bytes(5000)), Write(b"b", bytes(5000))]
    assert [len(c) for c in chunks(huge, 100)] == [1, 1]


def test_no_transaction_names_a_key_twice() -> None:
    samples = [SampleKey(b"k%d" % i, (b"1", b"2", b"3")) for i in range(250)]
    for chunk in transactions(samples):
        assert len({write.key for write in chunk}) == len(chunk) <= limits.LOAD_CHUNK_OPS


def test_the_documented_fields_are_the_known_ones() -> None:
    document = keys.__doc__ or ""
    for field in keys.FIELDS:
        assert f'"{field}"' in document

"""Dumps as JSON Lines."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.client import KeyValue
from kvorum.client.jsonlines import Head, LineError, head_line, key_line, read_line


@given(st.binary(min_size=1), st.binary())
def test_keys_and_values_survive_byte_for_byte(key: bytes, value: bytes) -> None:
    line = key_line(KeyValue(key, value, 2, 3, 1, 0))
    assert "\n" not in line
    assert read_line(line.encode()) == (key, value)


@given(st.integers(1, 2**62), st.binary(), st.binary())
def test_the_head_survives(revision: int, start: bytes, end: bytes) -> None:
    head = Head(revision, start, end)
    assert read_line(head_line(head).encode()) == head


def test_text_stays_readable() -> None:
    line = key_line(KeyValue("/ä".encode(), b"\xff", 2, 3, 1, 7))
    fields = json.loads(line)
    assert fields["key"] == "/ä"
    assert fields["value_base64"] == "/w=="
    assert fields["lease"] == 7
    assert "/ä" in line


def test_an_empty_line_is_nothing() -> None:
    assert read_line(b"\n") is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "no JSON"),
        (b"\xff\n", "no JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", 'give either "key"'),
        (b'{"key": "a"}', 'give either "value"'),
        (b'{"key": "a", "key_base64": "YQ==", "value": ""}', 'give either "key"'),
        (b'{"key": "", "value": ""}', "empty"),
        (b'{"key": 1, "value": ""}', "no text"),
        (b'{"key_base64": "?", "value": ""}', "key_base64"),
        (b'{"key": "\\ud800", "value": ""}', "surrogate"),
        (b'{"kvorum_dump": 2}', "cannot read"),
        (b'{"kvorum_dump": 1}', "revision is missing"),
    ],
)
def test_a_wrong_line_is_explained(line: bytes, complaint: str) -> None:
    with pytest.raises(LineError, match=complaint):
        read_line(line)

"""View models: values made readable, differences, watch rings, leases."""

from __future__ import annotations

import random

import pytest
from kvorum_tui.model import words
from kvorum_tui.model.decode import (
    MAX_VIEW_BYTES,
    changed_part,
    config_tokens,
    decode,
    json_tokens,
    key_from_text,
    key_to_text,
    one_line,
    printable,
)
from kvorum_tui.model.diff import MAX_DIFF_LINES, diff_lines, diff_values, summary
from kvorum_tui.model.lease_table import LeaseTable
from kvorum_tui.model.records import LeaseInfo
from kvorum_tui.widgets.dialogs import folded


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"/app/x", "/app/x"),
        ("ключ".encode(), "ключ"),
        (b"\x00\xff", "\\x00\\xff"),
        (b"a\nb", "a\\x0ab"),
        (b"a\\b", "a\\b"),
        (b"a\\b\n", "a\\\\b\\x0a"),
        ("\u202eevil".encode(), "\\u202eevil"),
        (b"\x1b[31mred", "\\x1b[31mred"),
    ],
)
def test_bytes_are_safe_to_show(data: bytes, text: str) -> None:
    assert printable(data) == text


def test_typed_keys_come_back_byte_for_byte() -> None:
    rng = random.Random(4)
    alphabet = [b"\\", b"x", b"0", b"a", b"/", b"\x00", b"\xff", "ü".encode(), b"\n"]
    alphabet += ["\u200b".encode(), b"u", b"200b", b"d800"]
    for _ in range(2_000):
        key = b"".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 8)))
        assert key_from_text(key_to_text(key)) == key


def test_values_are_recognised() -> None:
    assert decode(b'{"a": [1, null]}').kind == "json"
    assert decode(b'{"a": [1, null]}').lines[1] == '  "a": ['
    assert decode(b"7").kind == "text"
    assert decode(b"{broken").kind == "text"
    assert decode(bytes(range(32))).kind == "hex"
    assert decode(b"\xff\xfe").lines == ("000000  ff fe" + " " * 44 + "..",)
    assert decode(b"").kind == "empty"
    assert decode(b"abc", "hex").kind == "hex"
    assert decode(b"\xffabc", "text").lines == ("\\xffabc",)
    assert decode(b"a long text with one \x1b in it").lines == ("a long text with one \\x1b in it",)
    assert decode(b"a\x1bb").kind == "hex"


def test_large_values_are_cut_and_say_so() -> None:
    value = ("ü" * MAX_VIEW_BYTES).encode()
    decoded = decode(value[1:] + b"x")
    assert decoded.kind == "hex"
    decoded = decode(b"x" + value)
    assert decoded.kind == "text"
    assert decoded.cut == len(value) + 1 - MAX_VIEW_BYTES


def test_one_line_is_never_longer_than_asked() -> None:
    assert one_line(b"short", 10) == "short"
    assert one_line(b"x" * 50, 10) == "x" * 9 + "…"
    assert len(one_line(bytes(range(256)), 20)) <= 20


def test_long_values_are_shown_where_they_differ() -> None:
    assert changed_part(b"a", b"b", 10) == ("a", "b")
    old, new = changed_part(b"same" * 20 + b"X tail", b"same" * 20 + b"Y tail", 16)
    assert old == "…mesamesameX ta…"
    assert new == "…mesamesameY ta…"
    assert changed_part(b"x" * 99, b"x" * 98, 12)[1] == "…" + "x" * 10


def test_json_tokens_tell_keys_from_strings() -> None:
    line = '  "a": "b\\"c", 1.5e3, true'
    assert [(line[s:e], kind) for s, e, kind in json_tokens(line)] == [
        ('"a"', "key"),
        (":", "punct"),
        ('"b\\"c"', "string"),
        (",", "punct"),
        ("1.5e3", "number"),
        (",", "punct"),
        ("true", "word"),
    ]


def test_json_is_compared_by_meaning() -> None:
    lines = diff_values(b'{"a":1,"b":2}', b'{\n "a": 1, "b": 3}')
    assert [(line.sign, line.text) for line in lines if line.sign in "+-"] == [
        ("-", '  "b": 2'),
        ("+", '  "b": 3'),
    ]
    assert summary(lines) == "+1 −1 lines"
    assert diff_values(b"[1]", b"[ 1 ]") == []
    assert [line.sign for line in diff_values(None, b"new")] == ["+"]
    assert [line.sign for line in diff_values(b"old", None)] == ["-"]


def test_equal_stretches_are_left_out_of_a_difference() -> None:
    old = [str(n) for n in range(100)]
    new = [*old[:50], "changed", *old[51:]]
    lines = diff_lines(old, new)
    assert [line.text for line in lines if line.sign == "@"] == ["47 equal lines", "46 equal lines"]


def test_a_difference_of_very_long_values_is_not_computed() -> None:
    lines = diff_lines(["a"] * MAX_DIFF_LINES, ["b"] * MAX_DIFF_LINES)
    assert lines[0].text.startswith("too long")
    assert len(lines) == 101


def test_leases_run_down_between_reports() -> None:
    table = LeaseTable()
    table.update([LeaseInfo(1, 60, 50), LeaseInfo(2, 60, 20, (b"k",))], 100.0)
    assert [row.info.id for row in table.rows(100.0)] == [2, 1]
    row = table.get(1)
    assert row is not None
    assert row.remaining(110.0) == 40.0
    assert row.share(110.0) == pytest.approx(40 / 60)
    assert row.remaining(999.0) == 0.0
    table.hold(1, True)
    table.update([LeaseInfo(1, 60, 39)], 111.0)
    assert table.held() == [1]
    assert table.get(2) is None
    table.renewed(1, 60, 112.0)
    row = table.get(1)
    assert row is not None
    assert row.remaining(112.0) == 60.0
    table.update([LeaseInfo(1, 0, -1)], 113.0, complete=False)
    assert len(table) == 0


def test_numbers_in_words() -> None:
    assert words.size(1_000) == "1000 B"
    assert words.size(1_536) == "1.5 KiB"
    assert words.short_count(12_345) == "12.3k"
    assert words.short_count(1_234_567) == "1.2M"
    assert words.clock(75) == "1:15"
    assert words.clock(3_700) == "1:01:40"
    assert words.age(0.4) == "now"
    assert words.age(12.9) == "12 s old"
    assert words.span(90_000) == "1 d 1 h"
    assert words.plural(1, "key") == "1 key"
    assert words.plural(2_000, "entry", "entries") == "2,000 entries"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"replicas: 3\nimage: web\n# why\nports:\n  - 80\n  - name: tls\n", "yaml"),
        (b'[server]\nport = 80\nname = "web"\n', "toml"),
        (b"just words", "text"),
        (b"note: one line only", "text"),
        (b"Dear all,\nplease note: the store is moving.\nRegards: ops", "text"),
        (b"a = not toml", "text"),
    ],
)
def test_configuration_is_recognised(value: bytes, kind: str) -> None:
    assert decode(value).kind == kind
    assert decode(value, "text").kind == "text"


def test_configuration_tokens() -> None:
    def kinds(line: str) -> list[tuple[str, str]]:
        return [(line[start:end].strip(), kind) for start, end, kind in config_tokens(line)]

    assert kinds("  port: 80  # plain") == [
        ("port", "key"),
        ("80", "number"),
        ("# plain", "punct"),
    ]
    assert kinds('name = "a: b"') == [("name", "key"), ('"a: b"', "string")]
    assert kinds("[server.tls]") == [("[server.tls]", "key")]
    assert kinds("- on: true") == [("-", "punct"), ("on", "key"), ("true", "word")]
    assert kinds("url: http://h:80/x") == [("url", "key")]


def test_leases_do_not_change_places_by_rounding() -> None:
    table = LeaseTable()
    table.update([LeaseInfo(1, 60, 50), LeaseInfo(2, 60, 50)], 0.0)
    table.update([LeaseInfo(1, 60, 48), LeaseInfo(2, 60, 47)], 2.5)
    assert [row.info.id for row in table.rows(2.5)] == [1, 2]
    assert {row.remaining(2.5) for row in table.rows(2.5)} == {47.5}
    table.update([LeaseInfo(1, 60, 60), LeaseInfo(2, 60, 45)], 5.0)
    assert [(row.info.id, row.remaining(5.0)) for row in table.rows(5.0)] == [(2, 45.0), (1, 60.0)]


def test_long_lines_are_broken_between_words_below_their_label() -> None:
    lines = [[("term  ", "accent"), ("grows with every election", "text")], [("short", "dim")]]
    out = ["".join(text for text, _ in line).rstrip() for line in folded(lines, 20)]
    assert out == ["term  grows with", "      every election", "short"]
    assert folded(lines, 80) == lines

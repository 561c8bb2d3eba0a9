"""The models of the Watch tab: rings and their counters, filters, differences, lines, tiles."""

from __future__ import annotations

import json
import random

import pytest
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.watch_buffer import (
    COALESCE_FROM,
    Entry,
    Gap,
    Merged,
    WatchBuffer,
    event_of,
    spark,
    weight,
)
from kvorum_tui.model.watch_diff import inline, path_changes
from kvorum_tui.model.watch_layout import Layout, PaneSpec, layout_of, layout_text, tiling
from kvorum_tui.model.watch_lines import event_line, read_event_line
from kvorum_tui.model.watch_skew import SkewTable


def put(revision: int, key: bytes = b"k", value: bytes = b"v", version: int = 1) -> KeyEvent:
    return KeyEvent("put", key, value, revision, version=version)


def accounted(buffer: WatchBuffer) -> int:
    return buffer.kept() + buffer.coalesced + buffer.held + buffer.hidden + buffer.dropped


# --- rings ----------------------------------------------------------------------------------------


def test_the_ring_is_bounded_and_counts() -> None:
    buffer = WatchBuffer(capacity=3)
    buffer.add([put(n) for n in range(1, 6)], 10.0)
    assert [entry.revision for entry in buffer.entries] == [3, 4, 5]
    assert (buffer.total, buffer.dropped, buffer.last_revision) == (5, 2, 5)
    assert buffer.rate(12.0) == 1.0
    assert buffer.rate(99.0) == 0.0
    assert buffer.seconds(12.0, 4) == [0, 5, 0, 0]


def test_the_ring_is_bounded_in_bytes() -> None:
    buffer = WatchBuffer(capacity=1_000, capacity_bytes=100_000)
    for n in range(1, 60):
        buffer.add([put(n, value=b"x" * 10_000)], 0.0)
    assert buffer.ring.bytes <= 100_000
    assert buffer.ring.bytes == sum(weight(entry) for entry in buffer.entries)
    assert len(buffer.entries) == 9
    buffer.add([put(99, value=b"y" * 500_000)], 0.0)
    assert [entry.revision for entry in buffer.entries] == [99], "the newest is always there"
    assert accounted(buffer) == buffer.total == 60


def test_a_paused_pane_holds_events_back() -> None:
    buffer = WatchBuffer()
    buffer.pause(True)
    assert buffer.add([put(1), put(2)], 0.0) == 0
    assert not buffer.entries
    assert buffer.held == 2
    assert buffer.pause(False) == 2
    assert len(buffer.entries) == 2


def test_what_a_pause_cannot_hold_is_a_row() -> None:
    buffer = WatchBuffer(capacity=3)
    buffer.pause(True)
    buffer.add([put(n) for n in range(1, 8)], 0.0)
    assert (buffer.held, buffer.dropped) == (3, 4)
    buffer.ring.entries_max = 10
    buffer.pause(False)
    first = buffer.entries[0]
    assert isinstance(first, Gap)
    assert "4 events dropped" in first.text
    assert [e.revision for e in buffer.entries] == [5, 5, 6, 7]
    assert accounted(buffer) == buffer.total == 7


@pytest.mark.parametrize("seed", range(20))
def test_every_event_is_in_exactly_one_place(seed: int) -> None:
    rng = random.Random(seed)
    buffer = WatchBuffer(
        capacity=rng.choice((5, 50, 500)), capacity_bytes=rng.choice((3_000, 10**6))
    )
    revision = sent = 0
    for _ in range(400):
        deed = rng.randrange(10)
        if deed == 0:
            buffer.pause(not buffer.paused)
        elif deed == 1:
            buffer.set_filter(rng.choice(("", "k1", "!k1", "put", "delete", "~k[23]")))
        elif deed == 2:
            buffer.coalescing = rng.choice(("auto", "off", "always"))
        elif deed == 3:
            buffer.frame()
        elif deed == 4 and rng.random() < 0.2:
            buffer.clear()
        elif deed == 5:
            buffer.add([Gap(revision, "compacted")], 0.0)
        else:
            events = []
            for _ in range(rng.choice((1, 5, 2 * COALESCE_FROM if rng.random() < 0.05 else 3))):
                revision += 1
                key = b"k%d" % rng.randrange(4)
                kind = rng.choice(("put", "delete"))
                events.append(KeyEvent(kind, key, b"x" * rng.randrange(40), revision))
            sent += len(events)
            buffer.add(events, 0.0)
        assert buffer.total == sent == accounted(buffer)
        assert len(buffer.ring) <= buffer.ring.entries_max
        assert buffer.ring.bytes == sum(weight(entry) for entry in buffer.entries)


def test_a_storm_is_merged_by_key_and_says_so() -> None:
    buffer = WatchBuffer()
    storm = [
        KeyEvent("put", b"k%d" % (n % 3), b"%d" % n, n, version=n, prev_value=b"%d" % (n - 3))
        for n in range(1, 5_001)
    ]
    buffer.add(storm, 0.0)
    last = buffer.entries[-1]
    assert isinstance(last, Merged)
    assert len(buffer.entries) == COALESCE_FROM + 0 or len(buffer.entries) < COALESCE_FROM + 5
    assert buffer.coalesced == 5_000 - len(buffer.entries)
    assert sum(e.count if isinstance(e, Merged) else 1 for e in buffer.entries) == 5_000
    newest = max(buffer.entries, key=lambda entry: entry.revision)
    assert event_of(newest) is not None
    assert newest.revision == 5_000
    buffer.frame()
    buffer.add([put(5_001, b"k0")], 0.0)
    assert buffer.entries[-1] == put(5_001, b"k0"), "a quiet watch has a row an event"


def test_a_row_a_key_keeps_the_value_before_the_first() -> None:
    buffer = WatchBuffer()
    buffer.coalescing = "always"
    for n in range(1, 4):
        event = KeyEvent("put", b"k", b"%d" % n, n, version=n, prev_value=b"%d" % (n - 1))
        buffer.add([event], 0.0)
        buffer.frame()
    (row,) = buffer.entries
    assert isinstance(row, Merged)
    assert (row.count, row.first_revision, row.revision) == (3, 1, 3)
    assert (row.event.prev_value, row.event.value) == (b"0", b"3")


def test_a_strip_of_rates() -> None:
    assert spark([0, 1, 8]) == " ▁█"
    assert spark([0, 0]) == "  "


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("put", [1, 2, 4, 5]),
        ("delete", [3, 4]),
        ("!web", [1, 4, 5]),
        ("web !delete", [2, 4]),
        ("~^/db", [1, 4, 5]),
        ("\\x00", [2, 4]),
        ("create", [1, 4]),
        ("update", [2, 4, 5]),
        ("lease", [4, 5]),
        ("lease:ab", [4, 5]),
        ("!lease put", [1, 2, 4]),
        ("size>1k", [4, 5]),
        ("size<2 put", [1, 2, 4]),
        ("key:/web", [2, 3, 4]),
        ("value:v", [1, 4]),
        ("value:/db", [4]),
    ],
)
def test_filters(text: str, shown: list[int]) -> None:
    entries: list[Entry] = [
        put(1, b"/db/a"),
        put(2, b"/web", b"\x00", 2),
        KeyEvent("delete", b"/web", b"", 3),
        Gap(4, "compacted"),
        KeyEvent("put", b"/db/b", b"x" * 2_000, 5, version=7, lease=0xAB),
    ]
    buffer = WatchBuffer()
    buffer.add(entries, 0.0)
    assert buffer.set_filter(text) == ""
    assert [entry.revision for entry in buffer.entries] == shown
    assert buffer.total == 4
    assert buffer.hidden == 5 - len(shown)
    assert buffer.set_filter("") == ""
    assert [entry.revision for entry in buffer.entries] == [1, 2, 3, 4, 5], "hidden ones come back"


@pytest.mark.parametrize("word", ["~(", "lease:xyz"])
def test_a_wrong_filter_says_so(word: str) -> None:
    assert word in WatchBuffer().set_filter(word)


# --- differences ----------------------------------------------------------------------------------


def text_of(old: bytes, new: bytes, width: int = 80) -> str:
    return "".join(text for text, _ in inline(old, new, width))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b'{"spec": {"replicas": 2}}', b'{"spec": {"replicas": 3}}', ".spec.replicas 2 → 3"),
        (b'{"a": 1}', b'{"a": 1, "b": [1]}', ".b + [1]"),
        (b'{"a": 1, "b": 2}', b'{"b": 2}', ".a − 1"),
        (b'{"l": [1, 2]}', b'{"l": [1, 5, 6]}', ".l[1] 2 → 5  .l[2] + 6"),
        (b'{"x y": 1}', b'{"x y": "1"}', '["x y"] 1 → "1"'),
        (b'{"a":1}', b'{ "a": 1 }', "written differently, the same JSON"),
        (b"one", b"uno", "one → uno"),
        (b"timeout=30 retries=5", b"timeout=45 retries=5", "timeout=[30→45] retries=5"),
        (b"a b c d", b"a b c d e", "a b c d[→ e]"),
        (b"same", b"same", "same value same"),
        (b"\x00\x01", b"\x00\x02", "\\x00[\\x01→\\x02]"),
    ],
)
def test_what_changed_in_a_line(old: bytes, new: bytes, text: str) -> None:
    assert text_of(old, new) == text


def test_a_narrow_row_says_how_much_more_there_is() -> None:
    old = json.dumps({f"key{n}": n for n in range(20)}).encode()
    new = json.dumps({f"key{n}": n + 1 for n in range(20)}).encode()
    text = text_of(old, new, 40)
    assert text.startswith(".key0 0 → 1")
    assert "more" in text
    assert len(text) <= 44


def test_paths_lead_from_one_document_to_the_other() -> None:
    rng = random.Random(3)

    def value(depth: int) -> object:
        kind = rng.randrange(5 if depth else 3)
        if kind == 3:
            return {rng.choice("abc"): value(depth - 1) for _ in range(3)}
        if kind == 4:
            return [value(depth - 1) for _ in range(rng.randrange(3))]
        return rng.choice([None, True, 1, 2, "s", 1.5])

    for _ in range(500):
        old, new = value(3), value(3)
        changes = list(path_changes(old, new))
        assert bool(changes) == (json.dumps(old) != json.dumps(new)) or old == new
        assert len({change.path for change in changes}) == len(changes)


def test_a_narrow_row_shortens_what_stays() -> None:
    old, new = (
        b"hello number 331 of the day, all is fine",
        b"hello number 337 of the day, all is fine",
    )
    assert text_of(old, new, 60) == "hello number [331→337] of the day, all is fine"
    assert text_of(old, new, 40) == "hello number [331→337] of th…s fine"


def test_large_values_are_not_taken_apart_on_a_row() -> None:
    old = json.dumps({"a": "x" * 10_000, "b": 1}).encode()
    text = text_of(old, old.replace(b"1", b"2"), 60)
    assert len(text) <= 64


# --- lines ----------------------------------------------------------------------------------------


def test_saved_events_come_back_byte_for_byte() -> None:
    rng = random.Random(9)
    for _ in range(500):
        blob = [rng.randbytes(rng.randrange(6)) for _ in range(3)]
        kind = rng.choice(("put", "delete"))
        event = KeyEvent(
            kind,
            blob[0],
            blob[1] if kind == "put" else b"",
            rng.randrange(1, 10**12),
            rng.randrange(5),
            rng.randrange(5),
            rng.choice((0, -5, 2**62)),
            rng.choice((None, blob[2])),
        )
        line = event_line(event)
        assert "\n" not in line
        assert read_event_line(line) == event
        merged = Merged(event, 3, 1)
        assert read_event_line(event_line(merged)) == merged
    gap = Gap(7, "compacted")
    assert read_event_line(event_line(gap)) == gap


@pytest.mark.parametrize("line", ["{}", "[]", '{"revision": 1}', '{"revision": 1, "type": "put"}'])
def test_a_line_that_is_no_event_says_so(line: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        read_event_line(line)


# --- tiles and layouts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "size", "columns", "shown"),
    [
        (1, (120, 36), 1, 1),
        (2, (120, 36), 1, 2),
        (3, (120, 36), 2, 3),
        (4, (120, 36), 2, 4),
        (5, (120, 36), 2, 5),
        (6, (120, 36), 2, 6),
        (1, (80, 20), 1, 1),
        (2, (80, 20), 1, 2),
        (6, (80, 20), 1, 2),
        (6, (80, 12), 1, 1),
    ],
)
def test_panes_are_tiled(count: int, size: tuple[int, int], columns: int, shown: int) -> None:
    for current in range(count):
        plan = tiling(count, current, *size)
        assert plan.columns == columns
        assert len(plan.panes) == shown
        assert current in plan.panes
        assert sum(plan.spans) % plan.columns == 0, "no hole in the grid"
        assert tiling(count, current, *size, zoomed=True).panes == (current,)


def test_a_layout_comes_back() -> None:
    layout = Layout(
        (PaneSpec(b"/a/\xff", True, "web", "!x", "off"), PaneSpec(b"k", False, members=True)), True
    )
    assert layout_of(layout_text(layout)) == layout
    for text in ("{}", '{"watch_layout": 1, "panes": [{}]}', "no"):
        with pytest.raises(ValueError):
            layout_of(text)


# --- skew -----------------------------------------------------------------------------------------


def test_delays_and_what_is_missing() -> None:
    table = SkewTable(["a", "b", "c"])
    for member in "ab":
        table.started(member, 10)
    table.add("a", (put(11), put(12)), 1.0)
    table.add("b", (put(11),), 1.025)
    first, second = table.rows
    assert first.delay_ms("a") == 0.0
    assert first.delay_ms("b") == pytest.approx(25.0)
    assert table.missing(first) == []
    assert table.missing(second) == ["b"]
    assert (table.behind("a"), table.behind("b"), table.behind("c")) == (0, 1, 0)
    table.started("c", 12)
    table.add("c", (put(13),), 2.0)
    assert table.missing(second) == ["b"], "c was not watched then"
    assert table.missing(table.rows[-1]) == ["a", "b"]
    table.add("b", (put(12), put(13)), 3.0)
    assert table.behind("b") == 0
    assert table.columns["b"].median_ms() == pytest.approx(1000.0)


def test_a_late_member_brings_rows_in_order() -> None:
    table = SkewTable(["a", "b"], rows_max=3)
    table.started("a", 0)
    table.started("b", 0)
    table.add("a", (put(5),), 1.0)
    table.add("b", (put(3), put(4), put(5)), 2.0)
    assert [row.event.revision for row in table.rows] == [3, 4, 5]
    table.add("a", (put(6),), 3.0)
    assert [row.event.revision for row in table.rows] == [4, 5, 6]
    assert table.dropped == 1

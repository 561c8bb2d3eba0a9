"""Time without a screen: places, the line, changes, comparisons, heat."""

from __future__ import annotations

import random
import time
import xml.etree.ElementTree as ElementTree

import pytest
from kvorum_tui.model import compare as comparing
from kvorum_tui.model.compare import Comparison, Pairing, counts_text, parse_side
from kvorum_tui.model.records import KeyEvent, KeyRecord
from kvorum_tui.model.ribbon import RibbonEvent
from kvorum_tui.model.time_changes import Before, Changes
from kvorum_tui.model.time_heat import HeatMap, heat, svg
from kvorum_tui.model.time_line import LEVELS, TimeLine, happenings, revision_of, scaled
from kvorum_tui.model.time_place import HINT, Place, clock_text, parse_place
from kvorum_tui.session.past import Bounds, Bucket, HeatCell

NOW = int(time.mktime((2026, 3, 5, 14, 30, 0, 0, 0, -1))) * 1000


def clock(day: int, hour: int, minute: int, second: int = 59) -> int:
    """A local time of March 2026, at the end of its second."""
    at = time.mktime((2026, 3, day, hour, minute, second, 0, 0, -1))
    return int(at) * 1000 + 999


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1200", Place(revision=1200)),
        ("@1,200", Place(revision=1200)),
        ("-50", Place(revision=450)),
        ("+7", Place(revision=507)),
        ("-9999", Place(revision=1)),
        ("0", Place(edge="now")),
        ("now", Place(edge="now")),
        ("oldest", Place(edge="oldest")),
        ("-10m", Place(at_ms=NOW - 600_000)),
        ("-1h 30m", Place(at_ms=NOW - 5_400_000)),
        ("-2d", Place(at_ms=NOW - 172_800_000)),
        ("14:02", Place(at_ms=clock(5, 14, 2))),
        ("14:02:11", Place(at_ms=clock(5, 14, 2, 11))),
        ("15:00", Place(at_ms=clock(4, 15, 0))),
        ("3-1 9:05", Place(at_ms=clock(1, 9, 5))),
        ("2026-03-01 09:05", Place(at_ms=clock(1, 9, 5))),
        ("yesterday", HINT),
        ("", HINT),
        ("-10x", HINT),
    ],
)
def test_places(text: str, place: Place | str) -> None:
    assert parse_place(text, NOW, 500, 900) == place


def test_wrong_clocks_say_why() -> None:
    assert "hour" in str(parse_place("25:00", NOW, 0, 9))
    assert clock_text(0) == ""
    assert clock_text(NOW, NOW) == "14:30:00"
    assert clock_text(NOW, NOW + 86_400_000) == "03-05 14:30"


def line_of(buckets: tuple[Bucket, ...] = ()) -> TimeLine:
    """A line from revision 101 to 1,100."""
    return TimeLine(Bounds(101, 1_100), buckets)


def test_the_place_stays_within_what_is_kept() -> None:
    line = line_of()
    assert (line.here, line.behind) == (1_100, 0)
    assert line.clamped(50) == 101
    assert line.clamped(1_100) == line.clamped(2_000) == 0
    line.place = 600
    assert (line.here, line.behind, line.stepped(-100)) == (600, 500, 500)
    line.bounds = Bounds(101, 1_100, gaps=((300, 399),))
    assert line.clamped(350) == 299, "going back, beyond the gap"
    line.place = 200
    assert line.clamped(350) == 400, "going forward, behind it"


def test_cells_and_revisions_agree() -> None:
    line = line_of()
    for width in (1, 7, 80, 400):
        assert line.column(101, width) == 0
        assert line.column(1_100, width) == width - 1
        for cell in range(width):
            revision = line.revision_at(cell, width)
            assert line.column(revision, width) == cell
        assert line.revision_at(width - 1, width) == 1_100
    tiny = TimeLine(Bounds(1, 3))
    assert [tiny.revision_at(cell, 90) for cell in (0, 89)] == [1, 3]


def test_zoom_goes_where_one_stands() -> None:
    line = line_of()
    line.place = 1_000
    assert line.zoomed(1) and (line.first, line.last) == (601, 1_100)
    assert line.zoomed(1) and (line.first, line.last) == (851, 1_100)
    line.place = 300
    assert line.follow() and line.first <= 300 <= line.last
    while line.zoomed(1):
        assert line.last - line.first + 1 >= 16
    for _ in range(9):
        line.zoomed(-1)
    assert (line.first, line.last) == (101, 1_100) and not line.zoomed(-1)


def test_bars_keep_every_write() -> None:
    buckets = tuple(Bucket(101 + 10 * n, 110 + 10 * n, n % 7, n % 3) for n in range(100))
    line = line_of(buckets)
    writes = sum(b.puts + b.deletes for b in buckets)
    for width in (10, 50, 100):
        assert sum(line.weights(width)) == writes
        assert max(line.levels(width)) == LEVELS
    assert line.weights(300)[30:36] == [4, 4, 4, 6, 6, 6], "all of a stretch is as high"
    assert scaled([0, 1, 10_000], 8) == [0, 1, 8]
    assert scaled([], 8) == [] and scaled([0, 0], 8) == [0, 0]


def test_what_happened_is_marked() -> None:
    buckets = (
        Bucket(101, 200, 50, 2, at_ms=10_000),
        Bucket(201, 300, 1, 40, at_ms=20_000),
        Bucket(301, 400, 30, 0, at_ms=30_000),
    )
    ribbon = [
        RibbonEvent(15.0, "leader", "n2 leads"),
        RibbonEvent(16.0, "note", "nothing"),
        RibbonEvent(1.0, "leader", "long before"),
    ]
    bounds = Bounds(101, 400, gaps=((250, 260),))
    marks = happenings(bounds, buckets, ribbon)
    assert [(m.kind, m.revision) for m in marks] == [
        ("compacted", 101),
        ("gap", 260),
        ("deletion", 300),
        ("leader", 300),
    ]
    assert revision_of(buckets, 25_000) == 400 and revision_of((), 5) == 0
    line = TimeLine(bounds, buckets, happened=marks)
    assert [mark.kind for mark in line.signs(3).values()] == ["compacted", "leader"]
    assert line.event(1) is None and line.event(-1) is not None
    line.place = 270
    after = line.event(1)
    assert after is not None and after.revision == 300


def event(revision: int, key: bytes, value: bytes | None, version: int = 2) -> KeyEvent:
    """A change."""
    if value is None:
        return KeyEvent("delete", key, b"", revision)
    return KeyEvent("put", key, value, revision, 1, version)


def test_changes_know_what_was_before_where_it_is_in_sight() -> None:
    changes = Changes()
    changes.show(
        [
            event(5, b"a", b"old"),
            event(6, b"b", b"first", 1),
            event(7, b"a", b"new", 3),
            event(8, b"a", None),
        ]
    )
    befores = [changes.before_of(e) for e in changes.events]
    assert befores == [None, Before(None), Before(b"old"), Before(b"new")]
    assert [e.revision for e in changes.lacking(3, 24)] == [5]
    changes.before[b"a", 5] = Before(b"older")
    changes.show(changes.events[:2])
    assert changes.before_of(changes.events[0]) == Before(b"older"), "what was read is kept"
    assert [changes.row_of(r) for r in (1, 5, 6, 99)] == [0, 0, 1, 1]


def record(key: bytes, mod: int, value: bytes = b"") -> KeyRecord:
    """A key."""
    return KeyRecord(key, value, 1, mod, 1)


def compared(a: dict[bytes, int], b: dict[bytes, int], seed: int = 0) -> Comparison:
    """Two states, fed in pages of chance sizes."""
    rng = random.Random(seed)
    pairing, found = Pairing(b"x/", b"yy/"), Comparison()
    sides = [
        [record(prefix + key, mod) for key, mod in sorted(side.items())]
        for prefix, side in ((b"x/", a), (b"yy/", b))
    ]
    while (hungry := pairing.hungry) is not None:
        size = rng.randrange(1, 5)
        page, sides[hungry] = sides[hungry][:size], sides[hungry][size:]
        pairing.feed(hungry, page, not sides[hungry])
        for key, one, other in pairing.pairs():
            same = one is not None and other is not None and one.mod_revision == other.mod_revision
            found.add(key, one, other, same)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_comparison_is_what_sets_say(seed: int) -> None:
    rng = random.Random(seed)
    keys = [
        b"/".join(b"%d" % rng.randrange(4) for _ in range(rng.randrange(1, 4))) for _ in "ab" * 30
    ]
    a = {key: rng.randrange(1, 3) for key in keys if rng.random() < 0.7}
    b = {key: rng.randrange(1, 3) for key in keys if rng.random() < 0.7}
    found = compared(a, b, seed)
    both = a.keys() & b.keys()
    changed = {key for key in both if a[key] != b[key]}
    assert found.counts == [
        len(b.keys() - a.keys()),
        len(a.keys() - b.keys()),
        len(changed),
        len(both) - len(changed),
    ]
    differing = sorted((a.keys() ^ b.keys()) | changed)
    assert [each.key for each in found.under(b"")] == differing
    assert [each.key for each in found.under(b"1/")] == [
        k for k in differing if k.startswith(b"1/")
    ]
    found.open_first(10**6)
    found.rebuild()
    leaves = [row.leaf.key for row in found.rows if row.leaf is not None]
    assert sorted(leaves) == differing
    for row in found.rows:
        if row.branch is not None:
            assert row.branch.differing == len(found.under(row.branch.path))


def test_a_comparison_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "DIFFERENCES_MAX", 10)
    monkeypatch.setattr(comparing, "BRANCHES_MAX", 3)
    found = compared({}, {b"%d/%d" % (n, n): 1 for n in range(25)})
    assert (found.kept, found.left_out, found.counts) == (10, 15, [25, 0, 0, 0])
    assert len(found.root.children) == 3
    assert "".join(text for text, _ in counts_text(found.counts)) == "+25 "


def test_a_branch_of_many_shows_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "LEAVES_SHOWN", 3)
    found = compared({}, {b"a/%d" % n: 1 for n in range(9)})
    found.open_first()
    found.rebuild()
    assert [row.path for row in found.rows] == [b"a/", b"a/0", b"a/1", b"a/2", b""]
    assert found.rows[-1].more == 6 and len(found.under(b"a/")) == 9


def test_sides_are_read_as_the_command_line_does() -> None:
    marks = {"A": 7}
    clusters = ["prod", "old"]
    assert parse_side("/app/@1,200", clusters, marks) == ("", b"/app/", 1200)
    assert parse_side("/app/", clusters, marks) == ("", b"/app/", 0)
    assert parse_side("@A", clusters, marks) == ("", b"", 7)
    assert parse_side("/a@now", clusters, marks) == ("", b"/a", 0)
    assert parse_side("old#/x@3", clusters, marks) == ("old", b"/x", 3)
    assert parse_side("/has#mark", clusters, marks) == ("", b"/has#mark", 0)
    assert "not marked" in str(parse_side("/a@B", clusters, marks))
    assert "no cluster 'new'" in str(parse_side("new#/a", clusters, marks))


def test_heat_keeps_every_write_and_is_a_picture() -> None:
    cells = [
        HeatCell(b"/a/", 0, 3, 30),
        HeatCell(b"/a/", 9, 1, 5),
        HeatCell(b"/b<&/", 4, 100, 1),
        HeatCell(b"", 2, 7, 7),
    ]
    model = HeatMap()
    model.show(1, 100, 10, b"/", cells)
    assert [model.name(row) for row in range(3)] == ["/a/", "/b<&/", "(all others)"]
    for width in (3, 10):
        assert sum(model.weights(0, width)) == model.total(0) == 4
    assert model.weights(0, 40)[:5] == [3, 3, 3, 3, 0]
    model.measure = "bytes"
    assert (model.total(0), model.total(1)) == (35, 1)
    assert (heat(0, 9, 5), heat(1, 10**6, 5), heat(9, 9, 5)) == (0, 1, 5)
    picture = svg(model, "a <title>", ("#000", "#fff"), [(1, "1 then"), (80, "now")])
    root = ElementTree.fromstring(picture)
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "/b<&/" in texts and "a <title>" in texts
    assert len([node for node in root.iter() if node.tag.endswith("title")]) == 4

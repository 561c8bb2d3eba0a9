"""What the Keys tab thinks with, alone: filters, marks, places, sizes, rates, ranges, copies, and
branches in the order of a measure.
"""

from __future__ import annotations

import asyncio
import json
import random
import shlex
import subprocess
from bisect import bisect_left
from pathlib import Path
from typing import cast

import pytest
from kvorum.client import Client, ClientError, KeyValue, RangeResult
from kvorum.client.types import Header
from kvorum.errors import Code
from kvorum_tui import kept
from kvorum_tui.live import ranges as ranges_module
from kvorum_tui.live.ranges import FIRST_PAGE, KEYS_PAGE_MAX, VALUES_BYTES, LiveRanges
from kvorum_tui.model import copy_as
from kvorum_tui.model.fuzzy import Fuzzy
from kvorum_tui.model.key_filter import parse
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.key_rates import Rates
from kvorum_tui.model.key_sizes import Sizes
from kvorum_tui.model.marks import Marks, end_of
from kvorum_tui.model.places import RECENT_MAX, Place, Places
from kvorum_tui.model.records import KeyEvent, KeyPage, KeyRecord
from kvorum_tui.session.ranges import EVERYTHING, holds, joined, span_of


@pytest.mark.parametrize(
    ("text", "finds", "misses"),
    [
        ("web", [b"/app/web", b"/WEB/x"], [b"/we/b"]),
        ("Web", [b"/Web"], [b"/web"]),
        ("\\x00", [b"a\x00b"], [b"a\\x00b"]),
        ("ü", ["/ü".encode()], [b"/u"]),
        ("a.c", [b"a.c"], [b"abc"]),
        ("!web", [b"/app"], [b"/web"]),
        ("~^/a.*9$", [b"/a/x9", b"/A9"], [b"/b9", b"/a9x"]),
        ("!~^/a", [b"/b"], [b"/a"]),
        ("-f awb", [b"/app/web"], [b"/bwa"]),
        ("!-f awb", [b"/bwa"], [b"/app/web"]),
    ],
)
def test_filters(text: str, finds: list[bytes], misses: list[bytes]) -> None:
    found = parse(text)
    assert all(found.match(key) for key in finds)
    assert not any(found.match(key) for key in misses)


@pytest.mark.parametrize(
    ("letters", "best_first"),
    [
        # Together before scattered; beginnings of parts before what is inside them.
        ("web", ["/app/web", "/wx/e/b", "/app/cobweb", "/wxxexxb"]),
        ("cfg", ["/a/cfg", "/c/f/g", "/a/xcfg", "/a/cxfxg"]),
        # Of two that fit alike the shorter one; then the order of keys.
        ("pod", ["/pod", "/a/pod", "/b/pod", "/a/pods"]),
        # Late in the key as well as early.
        ("aw", ["/x/aw", "/x/a/w", "/xa/yyw"]),
        # Several words, in any order.
        ("prod pod", ["/pods/prod", "/pods/x/prod", "/pods/x/p-r-o-d"]),
        # The beginning of a word inside.
        ("ks", ["/KeyStore", "/keystore"]),
        ("üb", ["/üb", "/xüxb"]),
    ],
)
def test_the_best_match_comes_first(letters: str, best_first: list[str]) -> None:
    keys = [each.encode() for each in best_first]
    rank = parse(f"-f {letters}").rank
    assert rank is not None
    index = KeyIndex(branches=False, order=rank)
    index.extend(sorted(keys))
    assert list(index.keys) == keys
    assert [index.row_of(key) for key in keys] == list(range(len(keys)))
    assert index.delete(keys[1]) and index.insert(keys[1])
    assert [row.path for row in index.rows(0, 9)] == keys
    assert index.row_of(b"/zzz") is None  # What does not fit stands nowhere, and behind all.
    assert index.nearest_row(b"") == len(keys) - 1
    assert list(index.between(keys[0], keys[0] + b"\0")) == [keys[0]]


def test_what_is_turned_round_has_no_best_match() -> None:
    assert parse("!-f web").rank is None
    assert parse("-f").rank is None
    assert list(filter(parse("-f").match, [b"/a"])) == [b"/a"]


def test_a_long_name_is_read_once() -> None:
    fuzzy, name = Fuzzy("abcdefgh"), b"abcdefg" * 20_000
    assert not fuzzy.match(name)  # Trying all ways would never end.
    assert fuzzy.match(name + b"h")
    assert fuzzy.rank(name + b"h") < fuzzy.rank(name)


def test_a_wrong_expression_says_so_and_narrowing_is_known() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        parse("~(")
    assert parse("webs").narrows(parse("web"))
    assert not parse("we").narrows(parse("web"))
    assert not parse("!webs").narrows(parse("!web"))
    assert parse("!web").none == "every key contains web"


def test_marks_like_a_set() -> None:
    rng = random.Random(4)
    marks, plain = Marks(), set[bytes]()
    keys = [b"/%d/%d" % (n % 7, n) for n in range(80)] + [b"\xff\xff%d" % n for n in range(5)]
    for _ in range(300):
        some = rng.sample(keys, 5)
        deed = rng.randrange(4)
        if deed == 0:
            assert marks.add(some) == len(set(some) - plain)
            plain |= set(some)
        elif deed == 1:
            assert marks.remove(some) == len(set(some) & plain)
            plain -= set(some)
        elif deed == 2:
            marks.turn(some)
            plain ^= set(some)
        else:
            assert marks.toggle(some[0]) == (some[0] not in plain)
            plain ^= {some[0]}
        assert marks.all() == sorted(plain)
        for prefix in (b"", b"/3/", b"\xff", b"\xff\xff"):
            assert marks.under(prefix) == sum(key.startswith(prefix) for key in plain)
    assert end_of(b"a\xff") == b"b"
    assert end_of(b"\xff") is None


def test_places_are_bounded_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVORUM_STATE", str(tmp_path / "deep" / "state.json"))
    places = Places()
    assert places.toggle(Place(b"/a/\xff", True))
    assert places.toggle(Place(b"k"))
    assert not places.toggle(Place(b"k"))
    for number in range(100):
        places.visit(b"%d" % number)
    places.visit(b"98")
    assert len(places.recent) == RECENT_MAX
    assert places.recent[:2] == [b"98", b"99"]
    places.separators = (b"/", b"\x00")
    places.choose_type(b"/a/", "t.Outer")
    places.choose_type(b"/a/b/", "t.Inner")
    assert places.type_of(b"/a/b/c") == "t.Inner"
    kept.save("one", places.as_table())
    kept.save("two", {"recent": ["x"]})
    again = Places.from_table(kept.load("one"))
    assert again.as_table() == places.as_table()
    assert again.bookmarks == [Place(b"/a/\xff", True)]
    assert kept.load("three") == {}
    odd = {"bookmarks": [1, ["x"]], "recent": [2], "types": {"a": 1}, "separators": "/"}
    assert Places.from_table(odd).as_table() == Places().as_table()
    (tmp_path / "deep" / "state.json").write_text("{half")
    assert kept.load("one") == {}


def test_sizes_by_branch_and_what_happens_after() -> None:
    index = KeyIndex()
    records = [KeyRecord(b"/a/%d" % n, b"x" * n, n, n, 1) for n in range(1, 11)]
    records += [KeyRecord(b"/b/c/1", b"yyyy", 11, 11, 1)]
    sizes = Sizes()
    pass_ = sizes.begin(b"")
    pass_.revision = 20
    sizes.add(pass_, records, index.branches_of, 1.0)
    assert sizes.of(b"/a/") is None
    sizes.end(pass_, 2.0)
    whole = sizes.of(b"")
    assert whole is not None
    assert (whole.value_bytes, whole.keys, whole.revision) == (59, 11, 20)
    assert sizes.largest(b"")[0] == (10, b"/a/10")

    def event(kind: str, key: bytes, revision: int, created: int) -> None:
        change = KeyEvent(kind, key, b"12345", revision, created)
        sizes.changed(change, index.branches_of(key))

    event("put", b"/a/new", 19, 19)  # Read already.
    event("put", b"/a/new2", 21, 21)
    event("put", b"/b/c/1", 22, 11)
    a, c = sizes.of(b"/a/"), sizes.of(b"/b/c/")
    assert a is not None
    assert c is not None
    assert (a.value_bytes, a.writes) == (60, 0)
    assert (c.value_bytes, c.writes) == (4, 1)
    part = sizes.begin(b"/a/")
    part.revision = 30
    sizes.add(part, records[:2], index.branches_of, 3.0)
    sizes.end(part, 3.0)
    a = sizes.of(b"/a/")
    assert a is not None
    assert a.value_bytes == 3
    assert sizes.of(b"/b/c/") is c


def test_rates_forget_after_a_minute() -> None:
    rates = Rates()
    rates.start(0.0)
    for second in range(120):
        rates.add([b"/a/"], float(second))
        if second % 2:
            rates.add([b"/a/", b"/a/b/"], float(second))
    assert 85 <= rates.per_minute(b"/a/", 120.0) <= 100
    assert 28 <= rates.per_minute(b"/a/b/", 120.0) <= 35
    rates.forget(300.0)
    assert rates.per_minute(b"", 300.0) == 0


def test_spans() -> None:
    assert span_of(b"/a/") == (b"/a/", b"/a0")
    assert span_of(b"") == EVERYTHING
    assert span_of(b"\xff") == (b"\xff", b"")
    assert holds(span_of(b"/a/"), b"/a/\xff")
    assert not holds(span_of(b"/a/"), b"/a0")
    assert joined([(b"c", b"d"), (b"a", b"b"), (b"b", b"c")]) == ((b"a", b"d"),)
    assert joined([(b"a", b""), (b"b", b"c")]) == ((b"a", b""),)
    assert joined([(b"a", b"b"), (b"c", b"d")]) == ((b"a", b"b"), (b"c", b"d"))


def test_copies_say_the_same_bytes() -> None:
    key, value = b"/a/'x \xff\n", b'{"a": 1}'
    record = KeyRecord(key, value, 2, 5, 3, 0)
    ways = {
        way.name: way for way in copy_as.copies(key, False, record, "shown", "http://n1:2379", 7)
    }
    assert ways["value"].text == value.decode()
    assert json.loads(ways["json"].text)["mod_revision"] == 5
    assert "--rev=7" in ways["etcdctl"].text
    word = copy_as.shell(key)
    said = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True
    ).stdout
    assert said == key
    assert copy_as.shell(b"plain") == "plain"
    assert repr(key) in ways["python"].text
    compile(f"async def f():\n    {ways['python'].text.splitlines()[0]}", "copied", "exec")
    curl = shlex.split(ways["curl"].text)
    assert json.loads(curl[-1])["revision"] == 7
    binary = KeyRecord(b"k", b"\xff", 1, 1, 1)
    ways = {w.name: w for w in copy_as.copies(b"k", False, binary, "", "n1:2379")}
    assert "no text" in ways["value"].why_not
    branch = {w.name: w for w in copy_as.copies(b"/a/", True, None, "", "n1:2379")}
    assert branch["etcdctl"].text.endswith("get /a/ --prefix")
    assert branch["curl"].text.startswith("curl -s http://n1:2379/v3/kv/range")


# --- the index ------------------------------------------------------------------------------------


@pytest.mark.parametrize("separators", [(b"/",), (b"/", b":"), (b"::", b":"), (b"aa", b"\x00")])
@pytest.mark.parametrize("seed", range(4))
def test_pages_make_the_same_tree_as_single_keys(separators: tuple[bytes, ...], seed: int) -> None:
    rng = random.Random(seed)
    letters = [*separators, b"a", b"b", b"\xff"]
    keys = {b"".join(rng.choices(letters, k=rng.randrange(1, 8))) for _ in range(300)}
    paged, single = KeyIndex(separators), KeyIndex(separators)
    ordered = sorted(keys)
    for start in range(0, len(ordered), 37):
        paged.extend(ordered[start : start + 37])
    for key in rng.sample(ordered, len(ordered)):
        single.insert(key)
    for index in (paged, single):
        for key in ordered:
            index.reveal(key)
    assert paged.rows(0, 2_000) == single.rows(0, 2_000)
    assert paged.key_bytes_below(b"") == sum(map(len, keys))
    for path in paged.open_branches():
        assert paged.count_below(path) == sum(path in paged.branches_of(key) for key in keys), path


@pytest.mark.parametrize("seed", range(8))
def test_ranked_rows_are_the_same_rows_in_another_order(seed: int) -> None:
    rng = random.Random(seed)
    index = KeyIndex()
    index.rank = index.count_below
    keys: set[bytes] = set()
    for _ in range(150):
        key = b"/".join(rng.choice((b"a", b"b", b"c", b"dd")) for _ in range(rng.randrange(1, 5)))
        if rng.random() < 0.7:
            index.insert(key)
            keys.add(key)
        elif keys:
            gone = rng.choice(sorted(keys))
            index.delete(gone)
            keys.discard(gone)
        for row in index.rows(0, 500):
            if row.branch and rng.random() < 0.2:
                index.set_open(row.path, not index.is_open(row.path))
        index.rank_again()
        rows = index.rows(0, 2_000)
        assert len(rows) == index.row_count
        for number, row in enumerate(rows):
            assert index.row_of(row.path, row.branch) == number
            assert index.rows(number, 2) == rows[number : number + 2]
        _in_order(index, rows, rng)
    index.rank = None
    plain = index.rows(0, 2_000)
    assert sorted((r.path, r.branch) for r in plain) == sorted((r.path, r.branch) for r in rows)


def _in_order(index: KeyIndex, rows: list[object], rng: random.Random) -> None:
    """In each branch: branches first, the fullest on top, then keys in order."""
    by_parent: dict[bytes, list[tuple[bool, int, bytes]]] = {}
    for row in index.rows(0, len(rows)):
        parent = index.parent_of(row.path, row.branch)
        by_parent.setdefault(parent, []).append(
            (not row.branch, -row.keys if row.branch else 0, b"" if row.branch else row.path)
        )
    assert all(found == sorted(found) for found in by_parent.values())


def test_a_scan_goes_on_while_keys_come_and_go() -> None:
    index = KeyIndex(branches=False)
    index.extend([b"%03d" % n for n in range(100)])
    found, last = index.scan(lambda key: key.endswith(b"5"), None, 30)
    assert found == [b"005", b"015", b"025"]
    assert last == b"029"
    index.delete(b"029")
    index.insert(b"0295")
    more, last = index.scan(lambda key: key.endswith(b"5"), last, 1_000)
    assert more[0] == b"0295"
    assert last is None
    assert index.flat
    assert index.row_count == 100


# --- ranges by pages ------------------------------------------------------------------------------


class Server:
    """A client whose server gives ``most`` keys at once and refuses more."""

    def __init__(self, keys: int, most: int) -> None:
        self.all = [b"%06d" % n for n in range(keys)]
        self.most = most
        self.asked: list[int] = []

    async def range(
        self, low: bytes, high: bytes | None, *, limit: int, keys_only: bool, **_: object
    ) -> RangeResult:
        self.asked.append(limit)
        if limit > self.most:
            raise ClientError("too large", code=Code.RESOURCE_EXHAUSTED)
        left = self.all[bisect_left(self.all, low) :]
        value = b"" if keys_only else b"x" * 10_000
        kvs = tuple(KeyValue(key, value, 1, 1, 1, 0) for key in left[:limit])
        return RangeResult(Header(revision=9), kvs, len(left) > limit, len(left))


def read_all(server: Server, values: bool) -> list[bytes]:
    """Every key by pages."""

    async def run() -> list[bytes]:
        ranges = LiveRanges(lambda: cast(Client, server), None)
        stream = ranges.values(EVERYTHING) if values else ranges.keys(EVERYTHING)
        found = []
        async for page in stream:
            assert page.total == len(server.all)
            found += page.keys if isinstance(page, KeyPage) else [r.key for r in page.records]
        return found

    return asyncio.run(run())


def test_pages_shrink_where_a_server_refuses_and_grow_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing = Server(3_000, 150)
    assert read_all(refusing, values=False) == refusing.all
    assert refusing.asked[:3] == [FIRST_PAGE, 100, 100]
    assert set(refusing.asked[1:]) == {100}
    large = Server(1_000, 10_000)
    assert read_all(large, values=True) == large.all
    assert max(large.asked[1:]) * 10_000 <= VALUES_BYTES
    monkeypatch.setattr(ranges_module, "SLOW_S", -1.0)
    slow = Server(60_000, 100_000)
    assert read_all(slow, values=False) == slow.all
    assert slow.asked[:4] == [FIRST_PAGE, 800, 1_600, 3_200]
    assert max(slow.asked) <= KEYS_PAGE_MAX

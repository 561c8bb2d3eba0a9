"""Leases and the locks built of them, as models: what is asked when, renewals, orders and filters,
holders and queues.
"""

from __future__ import annotations

import pytest
from kvorum_tui.model.lease_queues import Name, QueueBook, found_in, name_of
from kvorum_tui.model.lease_table import SORTS, LeaseTable
from kvorum_tui.model.records import KeyRecord, LeaseInfo


def table(*infos: LeaseInfo, now: float = 0.0) -> LeaseTable:
    made = LeaseTable()
    made.listed([info.id for info in infos], now)
    made.update(infos, now, complete=False)
    return made


A = LeaseInfo(0xA, 60, 40, (b"/locks/x/a",))
B = LeaseInfo(0xB, 30, 5)
C = LeaseInfo(0xC, 600, 600, (b"/svc/1", b"/svc/2"))


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("time left", [0xB, 0xA, 0xC]),
        ("lease", [0xA, 0xB, 0xC]),
        ("granted", [0xB, 0xA, 0xC]),
        ("keys", [0xC, 0xA, 0xB]),
        ("first key", [0xA, 0xC, 0xB]),
        ("renewals", [0xC, 0xA, 0xB]),
        ("held", [0xA, 0xB, 0xC]),
    ],
)
def test_every_column_can_be_sorted_by(sort: str, order: list[int]) -> None:
    leases = table(A, B, C)
    leases.renewed(0xC, 600, 0.0)
    leases.hold(0xA, True)
    assert [row.info.id for row in leases.view(0.0, sort)] == order
    assert [row.info.id for row in leases.view(0.0, sort, reverse=True)] == order[::-1]


def test_every_sort_is_tried() -> None:
    assert set(SORTS) == {
        "time left",
        "lease",
        "granted",
        "keys",
        "renewals",
        "first key",
        "held",
    }


@pytest.mark.parametrize(
    ("kept", "text", "now", "shown"),
    [
        ("all", b"", 0.0, [0xB, 0xA, 0xC]),
        ("orphans", b"", 0.0, [0xB]),
        ("expiring", b"", 0.0, [0xB]),
        ("expiring", b"", 31.0, [0xB, 0xA]),
        ("held", b"", 0.0, []),
        ("all", b"/svc/2", 0.0, [0xC]),
        ("all", b"c", 0.0, [0xA, 0xC]),
        ("orphans", b"/svc", 0.0, []),
    ],
)
def test_filters(kept: str, text: bytes, now: float, shown: list[int]) -> None:
    assert [row.info.id for row in table(A, B, C).view(now, kept=kept, text=text)] == shown


def test_a_time_that_jumps_up_was_a_renewal() -> None:
    leases = table(A)
    leases.update([LeaseInfo(0xA, 60, 38)], 2.0, complete=False)
    assert leases.rows(2.0)[0].renewals == 0
    leases.update([LeaseInfo(0xA, 60, 59)], 4.0, complete=False)
    leases.update([LeaseInfo(0xA, 60, 58)], 5.0, complete=False)
    row = leases.rows(5.0)[0]
    assert (row.renewals, row.remaining(5.0)) == (1, 58)


def test_a_slow_answer_is_no_renewal() -> None:
    leases = table()
    leases.update([LeaseInfo(1, 7_200, 7_000)], 3.0, complete=False, took_s=3.0)
    leases.update([LeaseInfo(1, 7_200, 6_999)], 5.0, complete=False, took_s=0.1)
    assert leases.rows(5.0)[0].renewals == 0
    leases.update([LeaseInfo(1, 7_200, 7_199)], 6.0, complete=False, took_s=0.1)
    assert leases.rows(6.0)[0].renewals == 1


def test_a_lease_that_is_only_listed_is_told_later_and_one_that_is_gone_goes() -> None:
    leases = table(A)
    leases.listed([0xA, 0xD], 1.0)
    assert [(row.info.id, row.told) for row in leases.rows(1.0)] == [(0xA, True), (0xD, False)]
    assert leases.told() == 1
    leases.hold(0xD, True)
    assert leases.held() == [0xD]
    leases.listed([0xA], 2.0)
    assert (len(leases), leases.held()) == (1, [])
    leases.update([LeaseInfo(0xA, 0, -1)], 3.0, complete=False)
    assert len(leases) == 0


def test_ten_thousand_leases_are_asked_in_turn_and_the_visible_first() -> None:
    leases = LeaseTable()
    leases.listed(range(1, 10_001), 0.0)
    visible = [9_001, 9_002]
    asked = leases.to_ask(0.0, 50, visible)
    assert asked[:2] == visible and len(asked) == len(set(asked)) == 50
    seen: set[int] = set()
    now = 0.0
    for _ in range(210):
        ids = leases.to_ask(now, 50, visible)
        leases.update([LeaseInfo(id_, 3_600, 3_600) for id_ in ids], now, complete=False)
        seen.update(ids)
        now += 0.5
    assert len(seen) == leases.told() == 10_000


def test_ten_thousand_leases_are_put_in_order_only_when_something_is_told() -> None:
    leases = LeaseTable()
    leases.listed(range(1, 10_001), 0.0)
    infos = [LeaseInfo(n, 60 + n % 50, 30 + n % 50, (b"/k/%d" % n,)) for n in range(1, 10_001)]
    leases.update(infos, 0.0, complete=False)
    first = leases.view(0.0)
    for tick in range(200):
        assert leases.view(tick / 4) is first
        assert len(leases.to_ask(tick / 4, 50, [1, 2, 3])) <= 50
    leases.update([LeaseInfo(7, 60, 60)], 50.0, complete=False)
    assert leases.view(50.0) is not first


def test_what_ends_soon_is_asked_more_often() -> None:
    leases = table(A, B, C)
    assert leases.to_ask(0.5, 10) == []
    assert leases.to_ask(1.0, 10) == [0xB]
    assert set(leases.to_ask(2.0, 10)) == {0xA, 0xB, 0xC}


# --- locks and elections --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "lease", "name"),
    [
        (b"/locks/db/694d77aa9e38260f", 0x694D77AA9E38260F, Name(b"/locks/db/")),
        (b"election/ff", 0xFF, Name(b"election/")),
        (b"election/ff", 0xFE, None),
        (b"/service/batman/leader", 7, Name(b"/service/batman/leader", True)),
        (b"/locks/backup", 7, Name(b"/locks/backup", True)),
        (b"/locks/invoices/694d0035fa6ae2f5", 7, Name(b"/locks/invoices/")),
        (b"/sessions/694d0035fa6ae2f5", 7, None),
        (b"/services/web/10.0.0.1", 7, None),
        (b"ff", 0xFF, None),
        (b"/e/" + b"%x" % (2**64 - 5), -5, Name(b"/e/")),
    ],
)
def test_what_looks_like_a_lock(key: bytes, lease: int, name: Name | None) -> None:
    assert name_of(key, lease) == name


def place(key: bytes, lease: int, create: int, value: bytes = b"") -> KeyRecord:
    return KeyRecord(key, value, create, create, 1, lease)


def test_a_queue_by_create_revision_with_how_long_each_waits() -> None:
    book = QueueBook()
    lock = Name(b"/l/")
    book.names(found_in([(0xA, [b"/l/a", b"/x"]), (0xB, [b"/l/b"])]))
    assert list(book.queues) == [lock]
    book.read(lock, [place(b"/l/b", 0xB, 20), place(b"/l/a", 0xA, 10)], 100.0)
    queue = book.queues[lock]
    assert queue.holder is not None and queue.holder.record.lease == 0xA
    assert queue.places[1].waited(107.0) == (7.0, False)
    book.read(
        lock,
        [
            place(b"/l/c", 0xC, 30),
            place(b"/l/b", 0xB, 20),
            place(b"/l/no-lease", 0, 5),
        ],
        110.0,
    )
    assert [p.record.lease for p in queue.places] == [0xB, 0xC]
    assert queue.places[0].waited(112.0) == (12.0, False)
    assert queue.places[1].waited(112.0) == (2.0, True)
    book.came(lock, b"/l/b", 60.0)
    assert queue.places[0].waited(112.0) == (52.0, True)
    book.read(lock, [place(b"/l/b", 0xB, 20)], 113.0)
    assert queue.places[0].since == 60.0


def test_a_single_key_is_not_its_neighbours() -> None:
    book = QueueBook()
    name = Name(b"/db/leader", True)
    book.names({name})
    book.read(name, [place(b"/db/leader", 1, 5), place(b"/db/leadership", 2, 4)], 0.0)
    assert [p.record.key for p in book.queues[name].places] == [b"/db/leader"]


def test_names_come_and_go_but_not_those_added_by_hand() -> None:
    book = QueueBook()
    mine = book.add(b"/mine")
    other = Name(b"/other/")
    book.names({other})
    assert [queue.name for queue in book.rows()] == [mine, other]
    assert book.to_read(100.0, 5, 10.0) == [mine, other]
    book.read(other, [], 100.0)
    assert book.to_read(105.0, 5, 10.0) == [mine]
    book.names(set())
    assert [queue.name for queue in book.rows()] == [mine]

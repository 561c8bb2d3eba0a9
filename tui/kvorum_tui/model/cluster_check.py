"""Do all members hold the same? And if not: since when, and where.

Two searches, as generators that say what they want to know and are told it, so that they run
against anything:

* :func:`first_difference` halves the revisions: a HashKV covers all that is kept up to its
  revision, so hashes that differ at one revision differ at every later one.
* :func:`scan_keys` goes through the key space in pages at one revision. A page's bounds are set by
  one member and asked of all; pages with the same digest are the same. It reads keys and their
  numbers first, which is quick and finds most, and then everything with its values. No server has
  a digest of a range, so each page is read in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session.checks import HeldPage, MemberHash

PAGE_KEYS = 512
DIFFERENCES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Ask:
    """A page wanted of one member (its number)."""

    member: int
    start: bytes
    end: bytes
    limit: int
    values: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that members hold differently: what each holds, None where it has no such key."""

    key: bytes
    held: tuple[KeyRecord | None, ...]

    def kind(self) -> str:
        """What is different, in words."""
        there = [record for record in self.held if record is not None]
        if len(there) < len(self.held):
            return "missing"
        if len({record.mod_revision for record in there}) > 1:
            return "written at another revision"
        if len({record.value for record in there}) > 1:
            return "value"
        return "numbers"


@dataclass(slots=True)
class Scan:
    """How far :func:`scan_keys` is, and what it found."""

    read: int = 0
    total: int = 0
    values: bool = False
    found: list[Difference] = field(default_factory=list)
    cut_short: bool = False


def first_difference(low: int, high: int) -> Generator[int, bool, int]:
    """The first revision above ``low`` at which hashes differ, when they are equal at ``low`` and
    differ at ``high``. Yields a revision and is told whether hashes are equal there.
    """
    while high - low > 1:
        middle = (low + high) // 2
        equal = yield middle
        if equal:
            low = middle
        else:
            high = middle
    return high


def digest(records: Sequence[KeyRecord]) -> bytes:
    """Over all that a page says of its keys."""
    h = hashlib.blake2b(digest_size=16)
    for r in records:
        numbers = f"{len(r.key)} {len(r.value)} {r.create_revision} {r.mod_revision} {r.version} "
        h.update(numbers.encode() + f"{r.lease} ".encode() + r.key + r.value)
    return h.digest()


def scan_keys(members: int, scan: Scan) -> Generator[list[Ask], list[HeldPage], None]:
    """Find every key that members hold differently, up to :data:`DIFFERENCES_MAX`."""
    for values in (False, True):
        scan.values, scan.read = values, 0
        yield from _pass(members, values, scan)
        if scan.found and not values:
            yield from _fill(members, scan)
        if scan.cut_short:
            return


def _pass(members: int, values: bool, scan: Scan) -> Generator[list[Ask], list[HeldPage], None]:
    start = b""
    while True:
        (lead,) = yield [Ask(0, start, b"", PAGE_KEYS, values)]
        if not scan.read:
            scan.total = lead.total
        end = lead.records[-1].key + b"\0" if lead.more and lead.records else b""
        others: list[tuple[KeyRecord, ...]] = []
        for member in range(1, members):
            page = yield from _whole(member, start, end, values)
            others.append(page)
        pages = [lead.records, *others]
        scan.read += len(lead.records)
        if len({digest(page) for page in pages}) > 1:
            known = {difference.key for difference in scan.found}
            scan.found += [d for d in _differences(pages) if d.key not in known]
        if len(scan.found) >= DIFFERENCES_MAX:
            scan.cut_short = True
            del scan.found[DIFFERENCES_MAX:]
            return
        if not end:
            return
        start = end


def _whole(
    member: int, start: bytes, end: bytes, values: bool
) -> Generator[list[Ask], list[HeldPage], tuple[KeyRecord, ...]]:
    """All keys of one member in a range, which may be more than a page: up to what would be shown
    of them anyway.
    """
    records: list[KeyRecord] = []
    while True:
        (page,) = yield [Ask(member, start, end, PAGE_KEYS, values)]
        records += page.records
        if not page.more or not page.records or len(records) > PAGE_KEYS + DIFFERENCES_MAX:
            return tuple(records)
        start = page.records[-1].key + b"\0"


def _differences(pages: Sequence[Sequence[KeyRecord]]) -> list[Difference]:
    held = [{record.key: record for record in page} for page in pages]
    found = []
    for key in sorted(set().union(*held)):
        each = tuple(member.get(key) for member in held)
        if any(_said(one) != _said(each[0]) for one in each[1:]):
            found.append(Difference(key, each))
    return found


def _said(record: KeyRecord | None) -> tuple[object, ...] | None:
    if record is None:
        return None
    r = record
    return (r.value, r.create_revision, r.mod_revision, r.version, r.lease)


def _fill(members: int, scan: Scan) -> Generator[list[Ask], list[HeldPage], None]:
    """The values of the keys found, for people to compare."""
    for number, difference in enumerate(scan.found):
        key = difference.key
        pages = yield [Ask(member, key, key + b"\0", 1, True) for member in range(members)]
        held = tuple(page.records[0] if page.records else None for page in pages)
        scan.found[number] = Difference(key, held)


def verdict(hashes: dict[str, MemberHash]) -> tuple[bool | None, str]:
    """Whether all are equal (None: there is nothing to compare), and that in words. Hashes must be
    of one revision and compaction.
    """
    by_hash: dict[int, list[str]] = {}
    for name, told in hashes.items():
        by_hash.setdefault(told.hash, []).append(name)
    revision = next(iter(hashes.values())).revision
    if len(hashes) == 1:
        return None, f"only {next(iter(hashes))} told its hash: nothing to compare it with"
    if len(by_hash) == 1:
        return True, f"the same hash on all {len(hashes)} members, at revision {revision:,}"
    groups = sorted(by_hash.values(), key=lambda names: (-len(names), names))
    said = " | ".join(", ".join(names) for names in groups)
    return False, f"members differ at revision {revision:,}: {said}"


def prefixes(
    keys: Sequence[bytes], separator: bytes = b"/", most: int = 5
) -> list[tuple[bytes, int]]:
    """Where differing keys lie: the longest prefix that all have in common, then its branches with
    how many of the keys are below each, the fullest first.
    """
    if not keys:
        return []
    low, high = min(keys), max(keys)
    common = next(
        (low[:n] for n in range(min(len(low), len(high)), 0, -1) if low[:n] == high[:n]), b""
    )
    if len(keys) > 1:
        common = common[: common.rfind(separator) + 1] if separator in common else common
    branches: dict[bytes, int] = {}
    for key in keys:
        rest = key[len(common) :]
        head, mark, _ = rest.partition(separator)
        if mark:
            branch = common + head + mark
            branches[branch] = branches.get(branch, 0) + 1
    fullest = sorted(branches.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [(common, len(keys)), *fullest]

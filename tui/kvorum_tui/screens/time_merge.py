"""Comparing two states as they come, page by page; and what would make one as the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from kvorum.client.plan import Step
from kvorum.client.planning import Left, Planned

from kvorum_tui.model.compare import Comparison, Difference, Pairing
from kvorum_tui.model.decode import printable
from kvorum_tui.model.plan import change
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.session import Session, SessionError
from kvorum_tui.session.past import StatePage

PAGE = 500
AT_ONCE = 16
NOW_AT_ONCE = 100


@dataclass(frozen=True)
class Side:
    """What is compared: a prefix of a cluster at a revision (0: now, pinned when it is read)."""

    session: Session
    title: str
    prefix: bytes
    revision: int

    def text(self, alone: bool) -> str:
        """In one word, as the command line takes it; without the cluster where there is but one."""
        at = f"@{self.revision}" if self.revision else ""
        return f"{'' if alone else self.title + '#'}{printable(self.prefix)}{at}"

    def words(self, alone: bool) -> str:
        """For people."""
        at = f"at {self.revision:,}" if self.revision else "now"
        where = "" if alone else f"{self.title} "
        return f"{where}{printable(self.prefix) or 'all keys'} {at}"


async def compare(a: Side, b: Side, comparison: Comparison, told: Callable[[], None]) -> None:
    """Fill a comparison; ``told`` hears after each page. Raises SessionError; cancelling stops it.

    On one cluster, a key with the same mod revision on both sides has the same value: only keys
    travel then, and the values of those that were written in between.
    """
    together = a.session is b.session
    pairing = Pairing(a.prefix, b.prefix)
    async with AsyncExitStack() as stack:
        sides: list[AsyncIterator[StatePage]] = []
        for side in (a, b):
            pages: Any = side.session.past.state(
                side.prefix, side.revision, values=not together, page=PAGE
            )
            sides.append(await stack.enter_async_context(aclosing(pages)))
        pinned = [a.revision, b.revision]
        while (hungry := pairing.hungry) is not None:
            page = await anext(sides[hungry], None)
            if page is None:
                pairing.feed(hungry, (), True)
            else:
                pinned[hungry] = page.revision
                pairing.feed(hungry, page.records, not page.more)
            await _compared(pairing, comparison, together, a, b, pinned)
            told()
        await _compared(pairing, comparison, together, a, b, pinned)
    told()


async def _compared(
    pairing: Pairing,
    comparison: Comparison,
    together: bool,
    a: Side,
    b: Side,
    pinned: Sequence[int],
) -> None:
    doubtful: list[tuple[bytes, KeyRecord, KeyRecord]] = []
    for key, one, other in pairing.pairs():
        if one is None or other is None:
            comparison.add(key, one, other, False)
        elif not together:
            comparison.add(key, one, other, one.value == other.value)
        elif one.key == other.key and one.mod_revision == other.mod_revision:
            comparison.add(key, one, other, True)
        else:
            doubtful.append((key, one, other))
    for at in range(0, len(doubtful), AT_ONCE):
        part = doubtful[at : at + AT_ONCE]
        values = await asyncio.gather(
            *(a.session.past.get(one.key, pinned[0]) for _, one, _ in part),
            *(b.session.past.get(other.key, pinned[1]) for _, _, other in part),
        )
        for (key, one, other), left, right in zip(
            part, values[: len(part)], values[len(part) :], strict=True
        ):
            same = left is not None and right is not None and left.value == right.value
            comparison.add(key, one, other, same)
    await asyncio.sleep(0)


async def restoring(
    a: Side, b: Side, differences: Sequence[Difference], told: Callable[[int], None]
) -> Planned:
    """What makes these keys of B's cluster, as they are now, as they are in A. A key that is there
    keeps its lease; one that comes back hangs on none. Raises SessionError.
    """
    steps: list[Step] = []
    left: list[Left] = []
    for at in range(0, len(differences), NOW_AT_ONCE):
        part = differences[at : at + NOW_AT_ONCE]
        now = await b.session.plans.now([b.prefix + each.key for each in part])
        for start in range(0, len(part), AT_ONCE):
            some = part[start : start + AT_ONCE]
            wanted = await asyncio.gather(*(_wanted(a, each) for each in some))
            for each, was in zip(some, wanted, strict=True):
                key = b.prefix + each.key
                present = now.get(key)
                if isinstance(was, str):
                    left.append(Left(key, was))
                elif was is None and present is None:
                    left.append(Left(key, "is gone already"))
                elif was is None:
                    steps.append(Step(key, present, None))
                elif present is not None and present.value == was.value:
                    left.append(Left(key, "is so already"))
                else:
                    lease = present.lease if present is not None else 0
                    steps.append(Step(key, present, was.value, lease))
        told(at + len(part))
    return Planned(tuple(steps), (), tuple(left))


async def _wanted(a: Side, difference: Difference) -> KeyRecord | str | None:
    """The key as it is in A, None when it is not there, or why nobody knows."""
    if not difference.a_mod:
        return None
    try:
        found = await a.session.past.get(a.prefix + difference.key, a.revision)
    except SessionError as error:
        return error.message
    return found if found is not None else "is not in A any more"


async def undeleting(
    session: Session, gone: Sequence[tuple[bytes, int, int]], told: Callable[[int], None]
) -> Planned:
    """What brings keys back: (key, revision of its deletion, revision of its last value or 0)."""
    steps: list[Step] = []
    left: list[Left] = []
    for at in range(0, len(gone), AT_ONCE):
        part = gone[at : at + AT_ONCE]
        now = await session.plans.now([key for key, _, _ in part])
        found = await asyncio.gather(*(_last(session, *each) for each in part))
        for (key, _, _), was in zip(part, found, strict=True):
            if key in now:
                left.append(Left(key, "is there again"))
            elif isinstance(was, str):
                left.append(Left(key, was))
            else:
                steps.append(change(key, None, was.value))
        told(at + len(part))
    return Planned(tuple(steps), (), tuple(left))


async def _last(session: Session, key: bytes, revision: int, last: int) -> KeyRecord | str:
    lost = f"what it was before revision {revision:,} is compacted away"
    if not last:
        return lost
    try:
        found = await session.past.get(key, revision - 1)
    except SessionError as error:
        return lost if "compacted" in error.message else error.message
    return found if found is not None else lost


def etcdctl_line(difference: Difference, b: Side, was: KeyRecord | None) -> str:
    """The command that makes a key as it is in A."""
    key = b.prefix + difference.key
    if b"\0" in key or (was is not None and b"\0" in was.value):
        return f"# {printable(key)}: a shell cannot say the byte 0"
    if was is None:
        return f"etcdctl del -- {_quoted(key)}"
    return f"etcdctl put -- {_quoted(key)} {_quoted(was.value)}"


def _quoted(data: bytes) -> str:
    """Bytes as bash takes them."""
    if data and all(32 <= byte < 127 and byte != 39 for byte in data):
        return f"'{data.decode()}'"
    return "$'" + "".join(_escaped(byte) for byte in data) + "'"


def _escaped(byte: int) -> str:
    if byte in (39, 92):
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"

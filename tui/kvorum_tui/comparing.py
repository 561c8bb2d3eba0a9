"""Comparing what all members hold: HashKV of all at one revision, and where they differ the search
for since when and in which keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from kvorum_tui.model.cluster_check import (
    Ask,
    Scan,
    first_difference,
    prefixes,
    scan_keys,
    verdict,
)
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.session import SessionError
from kvorum_tui.session.checks import Checks, HeldPage, MemberHash

WAIT_S = 10.0  # So long a member may take to reach the revision.
AGAIN_S = 0.2
ROUNDS = 6  # Compactions that come in between.
R = TypeVar("R")


@dataclass(slots=True)
class Compared:
    """What is known so far; screens show it as it grows."""

    revision: int = 0
    hashes: dict[str, MemberHash] = field(default_factory=dict)  # by member name
    failed: dict[str, str] = field(default_factory=dict)
    same: bool | None = None
    said: str = ""
    since: int | None = None
    since_said: str = ""
    events: dict[str, tuple[KeyEvent, ...]] = field(default_factory=dict)
    scan: Scan = field(default_factory=Scan)
    step: str = "asking every member"
    done: bool = False


class Comparing:
    """``members`` is names and endpoints; ``revision_now`` the highest revision known."""

    def __init__(
        self,
        checks: Checks,
        members: dict[str, str],
        revision_now: Callable[[], int],
        tell: Callable[[], object],
        wait_s: float = WAIT_S,
    ) -> None:
        self.checks = checks
        self.members = members
        self.revision_now = revision_now
        self.tell = tell
        self.wait_s = wait_s
        self.result = Compared()

    async def run(self) -> Compared:
        """Hashes, then the searches if they differ. Cancel it at any time."""
        result = self.result
        try:
            await self._hashes()
            if result.same is False and len(result.hashes) > 1:
                await self._since()
                await self._keys()
        finally:
            result.done = True
            self._step("done" if result.same is not None else "ended before a verdict")
        return result

    def _step(self, text: str) -> None:
        self.result.step = text
        self.tell()

    # --- hashes -----------------------------------------------------------------------------------

    async def _hashes(self) -> None:
        result = self.result
        revision = self.revision_now()
        for _ in range(ROUNDS):
            result.revision = revision
            self._step(f"hashing at revision {revision:,}")
            answers = await asyncio.gather(
                *(self._reach(name, endpoint, revision) for name, endpoint in self.members.items())
            )
            told = {name: h for name, h, _ in answers if h is not None}
            result.hashes = told
            result.failed = {name: why for name, h, why in answers if h is None}
            behind = [int(why[1:]) for _, h, why in answers if h is None and why[:1] == "@"]
            if behind and len(told) + len(behind) > 1:
                # They will not come: what they do have can still be compared.
                result.since_said = f"not all members reached revision {revision:,}"
                revision = min(behind)
                continue
            if len({h.compacted for h in told.values()}) <= 1 and told:
                break
            revision = max(self.revision_now(), revision)  # A compaction came in between.
            await asyncio.sleep(AGAIN_S)
        if not result.hashes:
            result.said = "no member told its hash"
            return
        if len({h.compacted for h in result.hashes.values()}) > 1:
            result.said = "members are compacted to different revisions; try again in a moment"
            return
        result.same, result.said = verdict(result.hashes)
        if result.same and result.failed:
            result.said += f"; no answer from {', '.join(result.failed)}"
        if result.since_said:
            result.said += f" ({result.since_said})"
            result.since_said = ""

    async def _reach(
        self, name: str, endpoint: str, revision: int
    ) -> tuple[str, MemberHash | None, str]:
        """One member's hash, as soon as it has applied the revision. The reason is ``@N`` for a
        member that stands at revision N and does not come further.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.wait_s
        while True:
            try:
                return name, await self.checks.hash_kv(endpoint, revision), ""
            except SessionError as error:
                if "future revision" not in error.message:
                    return name, None, f"{error.code} {error.message}".strip()
            if loop.time() > until:
                try:
                    page = await self.checks.hash_kv(endpoint, 0)
                except SessionError as error:
                    return name, None, error.message
                return name, None, f"@{page.revision}"
            await asyncio.sleep(AGAIN_S)

    # --- searches ---------------------------------------------------------------------------------

    async def _equal_at(self, revision: int) -> bool:
        told = await asyncio.gather(
            *(self.checks.hash_kv(self.members[name], revision) for name in self.result.hashes)
        )
        return len({h.hash for h in told}) == 1

    async def _since(self) -> None:
        result = self.result
        low = max(1, next(iter(result.hashes.values())).compacted)
        try:
            if not await self._equal_at(low):
                result.since_said = f"already at revision {low:,}, the oldest that is kept"
                return
            search = first_difference(low, result.revision)
            revision = next(search, result.revision)
            tried = 0
            while True:
                tried += 1
                self._step(f"since when? looking at revision {revision:,} ({tried} tried)")
                try:
                    revision = search.send(await self._equal_at(revision))
                except StopIteration as end:
                    result.since = end.value
                    break
            result.since_said = f"equal up to revision {result.since - 1:,}"
            for name in result.hashes:
                result.events[name] = await self.checks.changes(self.members[name], result.since)
        except SessionError as error:
            result.since_said = f"since when could not be found: {error}"

    async def _keys(self) -> None:
        result = self.result
        names = list(result.hashes)
        try:
            await self._drive(scan_keys(len(names), result.scan), names)
        except SessionError as error:
            result.said += f"; the search ended early: {error}"

    async def _drive(
        self, search: Generator[list[Ask], list[HeldPage], None], names: list[str]
    ) -> None:
        scan, asks = self.result.scan, next(search, None)
        while asks is not None:
            what = "values" if scan.values else "keys"
            self._step(f"comparing {what}: {scan.read:,} of {scan.total:,}")
            pages = await asyncio.gather(
                *(
                    self.checks.held(
                        self.members[names[ask.member]],
                        ask.start,
                        ask.end,
                        self.result.revision,
                        ask.limit,
                        ask.values,
                    )
                    for ask in asks
                )
            )
            try:
                asks = search.send(list(pages))
            except StopIteration:
                return


def where(result: Compared) -> list[tuple[bytes, int]]:
    """The prefixes below which keys differ."""
    return prefixes([difference.key for difference in result.scan.found])

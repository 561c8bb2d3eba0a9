"""The guided tour's panel, at the foot of the cluster it is given on, and what F6 does there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Vertical

from kvorum_tui.model.decode import printable
from kvorum_tui.model.tour import ALIVE, HELLO, LEASE_S, PREFIX, STEPS, Facts, Tour
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Rich, folded
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

CUT_MS = 120_000  # Ends by itself if the user walks away.
LINES_MAX = 9
"""Of a step's text; the longest takes 8 at 80 columns."""
LOW = 34
"""Below so many rows a step about the logs shows nothing else above its text."""
WRITES = 5
LOOK_S = 0.05
LOOKS = (
    400  # Twenty seconds: a key that was written is in the tree by then, or the watch is broken.
)


def why_no_tour(kv: Workspace) -> str:
    """Why the tour cannot be given here; empty when it can."""
    if kv.control is None:
        return "the tour breaks the cluster on purpose, so it needs a demo: kvorum tour"
    if kv.session.read_only:
        return "the tour writes and breaks; this cluster is open read-only (ctrl+e)"
    if len(kv.cluster.voters()) < 3:
        return "the tour needs three members or more: kvorum tour"
    return ""


class TourPanel(Vertical):
    """One step: what to know, what to do, whether it is done."""

    DEFAULT_CSS = """
    TourPanel { height: auto; border: round $accent; border-title-color: $accent;
        border-subtitle-color: $text-muted; background: $surface; padding: 0 1; }
    TourPanel TextLines { height: 4; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(id="tour")
        self.kv = kv
        self.tour = Tour()
        self.told: set[str] = set()
        self.first_revision = 0
        self.shown = TextLines()
        self.shown.can_focus = False

    def compose(self) -> ComposeResult:
        """The text."""
        yield self.shown

    def on_mount(self) -> None:
        """The first step."""
        self._stand()
        self.tick()

    def on_unmount(self) -> None:
        """The tour is over."""
        self.kv.tour = None

    def on_resize(self) -> None:
        """Fold anew."""
        self._paint()

    def facts(self) -> Facts:
        """The cluster as it is now."""
        kv, now = self.kv, self.kv.clock()
        cluster = kv.cluster
        up = cluster.up(now)
        reports = [each.report for each in up if each.report is not None]
        leader, newest = cluster.leader(now), cluster.newest(now)
        alive = ALIVE in kv.pane_of(KeysPane).index
        if alive:
            self.told.add("alive")
        return Facts(
            voters=len(cluster.voters()),
            up=len(up),
            leader=leader.name if leader is not None else "",
            term=leader.report.term if leader is not None and leader.report is not None else 0,
            leading=len(cluster.leading(now)),
            terms=frozenset(report.term for report in reports),
            revision=newest.revision if newest is not None else 0,
            compacted=(newest.compact_revision or 0) if newest is not None else 0,
            faults=len(list(cluster.faults(now))),
            alive=alive,
            told=frozenset(self.told),
        )

    def tick(self) -> None:
        """The clock moved on."""
        before = (self.tour.done, self.tour.told)
        self.tour.see(self.facts())
        if (self.tour.done, self.tour.told) != before or not self.shown.shown_lines:
            self._paint()

    def _paint(self) -> None:
        if not self.is_mounted:
            return
        tour, step = self.tour, self.tour.step
        self.border_title = f"Tour {tour.number + 1} of {len(STEPS)} · {step.title}"
        lines: Rich = [[(tour.told, "text")]]
        if tour.done and step.after:
            lines.append([("✓ done. ", "good"), (tour.words(step.after), "text")])
        elif not tour.done and tour.asked:
            lines.append([("… under way", "dim")])
        elif not tour.done:
            by_hand = f", or by hand: {step.by_hand}" if step.by_hand else ""
            lines.append([("F6 does it", "accent"), (by_hand, "dim")])
        ahead = "" if tour.last else "F6 goes on · " if tour.done else "F6 does it · "
        self.border_subtitle = f"{ahead}F7 back · ^y ends{' the tour' * tour.last}"
        width = max(20, self.shown.size.width or self.kv.size.width - 4)
        shown = folded(lines, width)[:LINES_MAX]
        self.shown.styles.height = max(4, len(shown))
        self.shown.show(shown)

    def _stand(self) -> None:
        """Where the step is seen; where there is little room, the logs alone."""
        step = self.tour.step
        self.kv.show_tab(step.tab)
        if step.tab == "cluster":
            alone = self.app.size.height < LOW and step.name != "quorum"
            self.kv.on_tab("cluster", lambda pane: pane.only_logs(alone))

    # --- keys -------------------------------------------------------------------------------------

    async def forward(self) -> None:
        """Do the step, or go on when it is done."""
        deed = self._deeds().get(self.tour.step.name)
        if deed is not None and not self.tour.done:
            if not self.tour.asked:
                self.tour.asked = True
                self._paint()
                try:
                    await deed()
                except SessionError:
                    self.tour.asked = False
                    self._paint()
                    raise
            return
        if not self.tour.last:
            self._go(1)

    def back(self) -> None:
        """The step before."""
        self._go(-1)

    def _go(self, by: int) -> None:
        self.tour.go(by)
        self.told -= {"watched", "alive"}
        self._stand()
        self._paint()

    async def leave(self) -> None:
        """End the tour; nothing stays cut off."""
        if any(True for _ in self.kv.cluster.faults(self.kv.clock())):
            await self._heal()
        await self.remove()

    # --- what the steps do ------------------------------------------------------------------------

    def _deeds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "log": self._write,
            "election": self._cut,
            "partition": self._majority,
            "return": self._heal,
            "versions": self._versions,
            "watch": self._watch,
            "compact": self._compact,
            "lease": self._lease,
        }

    async def _write(self) -> None:
        saved = await self.kv.session.save(HELLO, b"hello", -1)
        self.first_revision = self.first_revision or saved.revision

    async def _cut(self) -> None:
        now = self.kv.clock()
        leader = self.kv.cluster.leader(now)
        if leader is None:
            raise SessionError("there is no leader to cut off just now; try again")
        self.kv.cluster.expect_loss(leader.id, now)
        await self.kv.session.sever(leader.endpoint, 0, "both", CUT_MS)
        # It leads until it notices, and takes entries meanwhile. None of these writes is answered,
        # which is what the next step shows.
        ends = await asyncio.gather(*self._writes(leader.endpoint), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, SessionError):
                raise end

    def _writes(self, endpoint: str) -> list[Coroutine[Any, Any, None]]:
        name = self.kv.cluster.members[endpoint].name
        values = [f"{number} by {name}".encode() for number in range(WRITES)]
        return [self.kv.session.put_at(endpoint, HELLO, value) for value in values]

    async def _majority(self) -> None:
        leader = self.kv.cluster.leader(self.kv.clock())
        if leader is None:
            raise SessionError("there is no leader to write to just now; try again")
        await asyncio.gather(*self._writes(leader.endpoint))

    async def _heal(self) -> None:
        for member in self.kv.cluster.up(self.kv.clock()):
            await self.kv.session.heal(member.endpoint)

    async def _versions(self) -> None:
        for value in (b"one", b"two", b"three"):
            await self.kv.session.save(HELLO, value, -1)
        pane = self.kv.pane_of(KeysPane)
        await self._seen(lambda: HELLO in pane.index)  # What was saved comes by the watch.
        self.kv.goto_key(HELLO)
        await self._seen(lambda: pane.row is not None and pane.row.path == HELLO)
        self.kv.do("key_history")

    async def _seen(self, holds: Callable[[], bool]) -> None:
        for _ in range(LOOKS):
            if holds():
                return
            await asyncio.sleep(LOOK_S)
        raise SessionError(f"{printable(HELLO)} is not in sight yet; its history is behind h")

    async def _watch(self) -> None:
        start = self.first_revision or max(1, self.tour.now.revision - 3)
        pane: Any = self.kv.panes.get("watch")
        pane.when_ready(lambda: pane.add_pane(PREFIX, True, start))
        self.told.add("watched")

    async def _compact(self) -> None:
        await self.kv.session.admin.compact(self.tour.now.revision - 1, False)

    async def _lease(self) -> None:
        lease = await self.kv.session.grant(LEASE_S)
        await self.kv.session.save(ALIVE, b"as long as the lease", -1, lease.id)
        self.kv.goto_lease(lease.id)
        self.told.add("alive")

"""Running queries: what is asked, how far it is, what came of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from textual.containers import Vertical
from textual.content import Content
from textual.worker import Worker

from kvorum_tui.model import words
from kvorum_tui.model.sql_past import SqlHistory
from kvorum_tui.model.sql_result import SqlResult
from kvorum_tui.model.sql_text import Filled, error_lines, error_place, fill, variables
from kvorum_tui.screens.permits import DENIED, INSTEAD, permits_of
from kvorum_tui.screens.sql_deeds import SqlDeeds
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.paint import TextLines

# What the nodes and the mirror allow; a test holds these against their own numbers.
ROWS_MAX = 1_000_000
TIME_S = 10
MEMORY_MB = 256
BYTES_MAX = 128 * 1024 * 1024
PAINT_S = 0.1


@dataclass
class Run:
    """A query that runs: since when, and what came so far."""

    began: float
    result: SqlResult
    worker: Worker[None] | None = None


class SqlRuns(SqlDeeds):
    """The part of the SQL tab that asks and hears."""

    past: SqlHistory
    errors: TextLines
    editor_box: Vertical
    answer_box: Vertical
    running: Run | None
    watching: bool
    last: Filled | None  # What was asked last, and
    written: str  # how the editor had it.
    ended: float
    took: float
    answered_at: int  # The newest revision when it was asked,
    asked_at: int  # and the one that all tabs had travelled to.
    said: str

    # --- running ----------------------------------------------------------------------------------

    async def do_sql_run(self) -> None:
        """Ask for values that are not known, then run."""
        text = self.area.plain
        if not text.strip():
            self.kv.tell("there is no query; f3 shows saved ones", "warning")
            return
        names = variables(text)
        new = any(name not in self.values for name in names) or (names and text != self.written)
        if new and not await self.ask_values(names):
            return
        self.written = text
        try:
            await asyncio.to_thread(self.past.add, text)
        except OSError as error:
            self.kv.tell(f"the query is not kept among the earlier ones: {error}", "warning")
        self.last = fill(text, self.values)
        self.begin(again=False)

    def begin(self, again: bool) -> None:
        """Start what was asked last, in place of what runs; ``again``: it is watched."""
        if self.last is None:
            return
        if self.running is not None and self.running.worker is not None:
            self.running.worker.cancel()
        run = Run(self.kv.clock(), SqlResult())
        self.running = run
        filled, text = self.last, self.written
        newest = self.kv.cluster.newest(self.kv.clock())
        self.answered_at = newest.revision if newest is not None else 0
        self.asked_at = self.kv.at
        run.worker = self.run_worker(
            self._run(run, filled, text, again), group="sql-run", exclusive=True
        )
        self.retitle()
        self.kv.refresh_actions()

    async def _run(self, run: Run, filled: Filled, text: str, again: bool) -> None:
        result, painted = run.result, 0.0
        before = self.table.result
        self.said = ""
        try:
            answer = self.kv.session.past.query(filled.sql, ROWS_MAX, 0, self.kv.at)
            async with aclosing(answer):
                async for batch in answer:
                    result.extend(batch.columns, batch.rows, batch.truncated)
                    if not again and self.kv.clock() - painted > PAINT_S:
                        painted = self.kv.clock()
                        self._show(result)
        except SessionError as error:
            self._over(run)
            self._failed(error, filled, text)
            return
        except asyncio.CancelledError:
            if self.running is run:
                self._over(run)
                self.said = "STOPPED"
                if not again:
                    self._show(result)
                self.retitle()
            raise
        result.complete = True
        if again:
            result.compare(before)
            if before.sorted_by is not None and before.columns == result.columns:
                await self.sort_by(result, *before.sorted_by)
        self._over(run)
        self._show(result)
        self.retitle()

    def _over(self, run: Run) -> None:
        self.ended = self.kv.clock()
        self.took = self.ended - run.began
        self.running = None
        self.kv.refresh_actions()

    def _show(self, result: SqlResult) -> None:
        self.errors.display = False
        self.table.display = True
        note = [("no row", "text"), ("e changes the query, f5 runs it again", "dim")]
        if self.said == "STOPPED":
            note = [("stopped before the first row came", "text"), ("f5 runs it again", "dim")]
        elif not result.complete:
            note = [("no row yet", "dim")]
        self.table.show(result, note)
        self.kv.refresh_actions()

    def show_note(self) -> None:
        self.table.show(
            SqlResult(),
            [
                ("f5 runs the query", "text"),
                ("f3 has saved ones: hottest keys, biggest values, churn, keys by lease …", "dim"),
                ("e writes a query, esc leaves the editor; :query finds saved ones by name", "dim"),
            ],
        )

    def _failed(self, error: SessionError, filled: Filled, text: str) -> None:
        """Show an error where the answer would be; the cursor goes where it points."""
        self.watching = False
        self.said = "FAILED"
        place = error_place(error.message, filled.sql)
        at = None if place is None else filled.back(place)
        lines = error_lines(error.message, text, at)
        where = " · ".join(part for part in (error.member, error.rpc, error.code) if part)
        rich = [[part] for part in lines]
        if where:
            rich += [[], [(where, "dim")]]
        if error.code == DENIED:
            rich += [[], [(permits_of(self.kv).past_denied, "warn")]]
            rich += [[(line, "dim")] for line in INSTEAD]
        rich += [[], [("e changes the query, f5 runs it again", "dim")]]
        self.errors.show(rich)
        focused = self.table.has_focus
        self.errors.display = True
        self.table.display = False
        if at is not None and self.area.plain == text:
            self.area.move_to(at)
            if focused:
                self.area.focus()
        elif focused:
            self.errors.focus()
        self.retitle()
        self.kv.refresh_actions()

    def retitle(self) -> None:
        """What the answer is, or how far it is."""
        result = self.table.result
        parts = ["Answer"]
        cut = ""
        if self.running is not None:
            seconds = self.kv.clock() - self.running.began
            came = words.plural(self.running.result.count, "row")
            parts += [f"running {seconds:.1f} s", came]
            cut = "esc stops it"
            status = self.kv.session.past.status
            if status.filling:
                parts.insert(1, f"reading the history: {status.revision:,} of {status.newest:,}")
        elif self.said == "FAILED":
            parts = ["Error"]
        elif result.columns:
            parts += [words.plural(result.count, "row"), words.millis(self.took * 1000)]
            if result.truncated:
                bound = f"{ROWS_MAX:,} rows" if result.count >= ROWS_MAX else words.size(BYTES_MAX)
                cut = f"TRUNCATED at {bound}: there are more"
        if self.said == "STOPPED":
            cut = f"STOPPED after {words.millis(self.took * 1000)}: there may be more"
        if self.asked_at and result.columns:
            parts.append(f"keys at revision {self.asked_at:,}")
        if self.watching:
            age = words.age(self.kv.clock() - self.ended) if self.ended else "waits"
            news = len(result.fresh)
            told = f", {news:,} new or changed, {result.gone:,} gone" if result.differs else ""
            parts.append(f"WATCHED ({age}{told})")
        self.answer_box.border_title = Content(" · ".join(parts))
        self.answer_box.border_subtitle = Content(self.export_note or cut)
        query = "Query · ^space completes · ^up older"
        if self.kv.at:
            query = f"Query · keys are those of revision {self.kv.at:,}, events are all"
        self.editor_box.border_title = Content(query)

    def do_sql_stop(self) -> None:
        """Stop the query that runs; whoever answers is told."""
        if self.running is not None and self.running.worker is not None:
            self.running.worker.cancel()

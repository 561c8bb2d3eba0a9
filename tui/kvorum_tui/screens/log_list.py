"""The Log tab's list of calls, and the strip of figures above it."""

from __future__ import annotations

from datetime import datetime

from textual import events

from kvorum_tui.model import words
from kvorum_tui.model.rpc_log import RpcEntry
from kvorum_tui.model.rpc_rows import RpcRows
from kvorum_tui.widgets.paint import Line, LineList, Painted

WIDE = 100  # Columns from which times show milliseconds.


class LogList(LineList):
    """Calls, newest below. Follows the end until the user scrolls away."""

    headed = True

    def __init__(self, model: RpcRows) -> None:
        super().__init__(id="log-list")
        self.model = model
        self.follow = True
        self._kept: list[RpcEntry] = []  # What is shown while it does not follow.

    @property
    def current(self) -> RpcEntry | None:
        """The chosen call."""
        rows = self.model.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    def row_count(self) -> int:
        """Calls shown."""
        return len(self.model.rows)

    def arrived(self) -> None:
        """Calls came in, or grew: go to the end, or stay on the call that is being read."""
        rows = self.model.rows
        if self.follow:
            self.changed()
            self.cursor = max(0, len(rows) - 1)
            self.keep_in_sight()
            return
        if self._kept and rows and rows[0] is not self._kept[0]:
            lost = next((n for n, row in enumerate(self._kept) if row is rows[0]), 0)
            self.set_reactive(LineList.cursor, max(0, self.cursor - lost))
            top = max(0, self.scroll_offset.y - lost)
            self.scroll_to(y=top, animate=False, immediate=True)
        self._kept = list(rows)
        self.changed()

    def action_move(self, by: int) -> None:
        """Moving up stops following; reaching the end starts it again."""
        super().action_move(by)
        self._follow(self.cursor >= self.row_count() - 1)

    def action_edge(self, last: int) -> None:
        """First or last."""
        super().action_edge(last)
        self._follow(bool(last))

    def on_click(self, event: events.Click) -> None:
        """A chosen call stays in sight."""
        super().on_click(event)
        self._follow(self.cursor >= self.row_count() - 1)

    def _follow(self, follow: bool) -> None:
        self.follow = follow
        self._kept = list(self.model.rows) if not follow else []

    def empty_text(self) -> list[tuple[str, str]]:
        """What is missing, and the key that helps."""
        model = self.model
        if model.filter.text:
            return [
                (f"no call passes the filter {model.filter.text!r}", "text"),
                ("esc takes the filter away", "dim"),
            ]
        if model.hidden:
            polls = words.plural(model.hidden, "poll")
            return [
                (f"nothing but {polls} of the terminal itself", "text"),
                ("b shows them", "dim"),
            ]
        return [("no call was made yet; whatever this terminal asks shows here", "dim")]

    def heading(self, width: int) -> Line:
        """Column names."""
        line = self.line().add(" ").cell("time", self._time(width), "head")
        line.cell("member", 8, "head").cell("method", self._method(width), "head")
        line.cell("took", 9, "head", right=True).cell("out", 6, "head", right=True)
        line.cell("in", 6, "head", right=True)
        return line.add("what", "head")

    @staticmethod
    def _time(width: int) -> int:
        return 12 if width >= WIDE else 8

    @staticmethod
    def _method(width: int) -> int:
        return 26 if width >= WIDE else 18

    def paint_row(self, number: int, width: int) -> Line:
        """One call. ✗ marks a failure, ~ a stream, ! a write."""
        entry = self.model.rows[number]
        at = datetime.fromtimestamp(entry.at_s).strftime("%H:%M:%S.%f")
        line = self.line().add(" ").cell(at[: self._time(width)], self._time(width), "dim")
        line.cell(self.model.name_of(entry.endpoint), 8)
        ink = "bad" if entry.failed else "accent" if not entry.reads else "text"
        mark = "✗" if entry.failed else "!" if not entry.reads else "~" if entry.stream else " "
        method = entry.method if width >= WIDE else entry.method.rpartition("/")[2]
        line.cell(f"{mark}{method}", self._method(width), ink)
        line.cell(took(entry), 9, "warn" if slow(entry) else "dim", right=True)
        line.cell(short(entry.sent_bytes), 6, "dim", right=True)
        line.cell(short(entry.received_bytes), 6, "dim", right=True)
        if entry.failed:
            line.add(f"{entry.code} ", "bad").add(entry.message + " ", "dim")
        elif entry.code != "OK" and not entry.stream:
            line.add(f"{entry.code.lower()} ", "dim").add(entry.message + " ", "dim")
        elif entry.stream:
            state = "open" if entry.open else "closed"
            line.add(f"{state}, {entry.sent:,} out {entry.received:,} in ", "dim")
        return line.add(self.model.what(entry))


def took(entry: RpcEntry) -> str:
    """How long a call took; of a stream, how long it has been."""
    return words.span(entry.duration_s) if entry.stream else words.millis(entry.ms)


def slow(entry: RpcEntry) -> bool:
    """Whether a unary call took long."""
    return not entry.stream and entry.ms > 100


def short(size: int) -> str:
    """Bytes in at most five characters."""
    return f"{size}" if size < 10_000 else words.short_count(size)


class LogStrip(Painted):
    """Two lines: counters, and the methods called most with their times."""

    DEFAULT_CSS = "LogStrip { height: 2; padding: 0 1; }"

    def __init__(self, model: RpcRows) -> None:
        super().__init__()
        self.model = model

    def paint(self, y: int, width: int) -> Line:
        """Counters, or methods."""
        return self._methods(width) if y else self._counters()

    def _counters(self) -> Line:
        model, log = self.model, self.model.log
        line = self.line().add(words.plural(log.total, "call"), "bold")
        line.add(f"  {words.plural(log.errors, 'error')}", "bad" if log.errors else "dim")
        if model.paused:
            line.add(f"  PAUSED, {model.held:,} new", "warn")
        if model.filter.text:
            line.add(f"  filter {model.filter.text}", "warn")
            line.add(f" leaves out {model.filtered:,}", "dim")
        if model.filter.error:
            line.add(f"  {model.filter.error}", "bad")
        if model.hidden:
            line.add(f"  {words.plural(model.hidden, 'poll')} hidden (b)", "dim")
        if log.dropped:
            line.add(f"  {log.dropped:,} older ones forgotten", "dim")
        return line

    def _methods(self, width: int) -> Line:
        line = self.line()
        for figures in self.model.log.by_method():
            half, most = figures.percentile(0.5), figures.percentile(0.99)
            text = f"{figures.method.rpartition('/')[2]} {words.short_count(figures.count)}"
            if half is not None and most is not None:
                text += f" p50 {half:.1f} p99 {most:.1f} ms"
            if figures.errors:
                text += f" ✗{figures.errors}"
            if line.width + len(text) + 3 > width:
                return line.add(" …", "dim")
            line.add(text, "dim").add(" · " if line.width else "", "faint")
        return line

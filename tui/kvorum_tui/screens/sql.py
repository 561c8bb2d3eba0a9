"""The SQL tab: questions to the history, an editor above, the answer below."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget

from kvorum_tui import keymap
from kvorum_tui.model.decode import key_from_text, printable
from kvorum_tui.model.key_index import KeyIndex
from kvorum_tui.model.shelf import QUERIES, Saved
from kvorum_tui.model.sql_past import SqlHistory, history_path
from kvorum_tui.model.sql_text import Filled, variables
from kvorum_tui.model.sql_words import View
from kvorum_tui.screens.sql_run import MEMORY_MB, ROWS_MAX, TIME_S, Run, SqlRuns
from kvorum_tui.widgets.paint import LineList, TextLines
from kvorum_tui.widgets.result_table import ResultTable
from kvorum_tui.widgets.sql_area import SqlArea
from kvorum_tui.widgets.view_list import ViewList

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

FIRST = """SELECT revision, type, key, value, version, lease
FROM events
ORDER BY revision DESC
LIMIT 100"""
WATCH_S = 2.0  # A watched query runs at most this often.
WIDE = 100  # From so many cells on the views stand beside the editor.
KEYS_OFFERED = 40


class SqlPane(SqlRuns):
    """Editor, views, answer."""

    tab = "sql"
    about = (
        "SQL over everything that the history keeps. events has a row for each change of a key, "
        "with the revision, put or delete, key, value, version, lease, and when and by whom where "
        "that is known. keys is what there is now (or at the revision that all tabs travelled to), "
        "keys_at(N) what there was at a revision; leases, members and writes are what they say. "
        "Keys and values are text where they are UTF-8; key_bytes and value_bytes are the bytes. "
        "On kvorum a node answers, to users who may read everything; on a real etcd a mirror of "
        "its history on this machine, which this terminal fills. Queries only read, cannot reach "
        "files or the network, and end at bounds of time, memory, rows and bytes; an answer that "
        "was cut says so. $names are variables."
    )
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("sql")
    DEFAULT_CSS = """
    SqlPane { layers: base popup; }
    SqlPane .box {
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
    }
    SqlPane .box:focus-within { border: round $primary; }
    SqlPane #sql-side { width: 34; }
    SqlPane #sql-editor { height: 35%; min-height: 6; }
    SqlPane SqlArea, SqlPane SqlArea:focus { border: none; padding: 0; background: $surface; }
    SqlPane #sql-answer { height: 1fr; }
    SqlPane #sql-error { display: none; padding: 0 1; }
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.area = SqlArea(FIRST, self._keys_from)
        self.table = ResultTable(id="sql-table")
        self.views = ViewList()
        self.errors = TextLines(id="sql-error")
        self.editor_box = Vertical(self.area, classes="box", id="sql-editor")
        self.answer_box = Vertical(self.table, self.errors, classes="box", id="sql-answer")
        self.side = Vertical(self.views, classes="box", id="sql-side")
        self.side_wanted: bool | None = None
        self.running: Run | None = None
        self.watching = False
        self.saved: list[Saved] = []
        self.past = SqlHistory(history_path())
        self.values: dict[str, str] = {}
        self.ended = 0.0
        self.took = 0.0
        self.answered_at = 0
        self.asked_at = 0
        self.said = ""
        self.last: Filled | None = None
        self.written = ""
        self._left = 0

    def compose(self) -> ComposeResult:
        """Views at the left, editor above the answer."""
        with Horizontal():
            yield self.side
            with Vertical():
                yield self.editor_box
                yield self.answer_box
        yield self.area.popup

    def on_mount(self) -> None:
        """What is kept in files is read beside the screen."""
        self.side.border_title = "Views"
        self.editor_box.border_title = "Query · ^space completes · ^up older"
        self.editor_box.border_subtitle = Content(
            f"reads only · at most {TIME_S} s, {MEMORY_MB} MB, {ROWS_MAX:,} rows"
        )
        self.show_note()
        self.views.changed()
        self.on_resize()
        self.aside(self._load, "files")
        self.retitle()

    async def _load(self) -> None:
        self.saved, wrong = await asyncio.to_thread(QUERIES.load)
        await asyncio.to_thread(self.past.load)
        if wrong:
            self.kv.tell(wrong, "warning")

    def on_resize(self) -> None:
        """The views need room."""
        wanted = self.side_wanted
        self.side.display = self.app.size.width >= WIDE if wanted is None else wanted

    def first_focus(self) -> Widget:
        """The answer: in the editor, digits and ? would be typed instead of leading elsewhere."""
        return self.table

    def back(self) -> bool:
        """Escape: the list of candidates, the query that runs, watching, the editor."""
        if self.area.completing:
            self.area.close()
        elif self.export_stop is not None:
            self.export_stop.set()
        elif self.running is not None:
            self.do_sql_stop()
        elif self.area.has_focus or self.views.has_focus:
            self.table.focus()
        elif self.watching:
            self.do_sql_watch()
        else:
            return False
        return True

    def revision_here(self) -> int:
        """A revision in the row, if it has one."""
        result = self.table.result
        column = result.column("revision", "mod_revision", "last_revision", "create_revision")
        if column is None or not result.count:
            return 0
        value = result.value(self.table.cursor, column)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def travelled(self, revision: int) -> None:
        """``keys`` means another time from now on."""
        self.retitle()

    def refresh_at(self, now: float) -> None:
        """Progress, and a watched query's next turn."""
        if self.running is not None:
            self.retitle()
        elif self.watching and not self.kv.at and now - self.ended >= WATCH_S:
            newest = self.kv.cluster.newest(now)
            if newest is not None and newest.revision != self.answered_at:
                self.begin(again=True)
            else:
                self.retitle()

    def why_not(self, name: str) -> str:
        """Most need an answer."""
        if name == "sql_stop":
            return "" if self.running else "no query runs"
        if name in ("sql_cell", "sql_sort", "sql_copy", "sql_copy_row", "sql_export"):
            if self.running and name != "sql_cell":
                return "the query still runs; x stops it"
            return "" if self.table.result.count else "there is no row; f5 runs the query"
        if name == "sql_key":
            return "" if self.key_here() is not None else "the row has no column key or key_bytes"
        if name == "sql_values":
            return "" if variables(self.area.plain) else "the query has no $variables"
        if name == "sql_watch" and self.kv.at:
            return "you look at the past, which does not change; T comes back to now"
        if name in ("sql_older", "sql_newer") and not self.past.queries:
            return "no query was run yet"
        return ""

    def do_sql_watch(self) -> None:
        """Run it again and again, or no longer."""
        self.watching = not self.watching
        if self.watching and self.running is None:
            if self.last is None or self.area.plain != self.written:
                self.kv.do("sql_run")
            self.table.focus()
        elif not self.watching:
            self.table.result.fresh, self.table.result.gone = {}, 0
            self.table.refresh()
        self.retitle()

    # --- the editor -------------------------------------------------------------------------------

    def _keys_from(self, start: str) -> list[str]:
        """Keys and branches that begin with a text, for completion."""
        keys: Any = self.kv.panes.get("keys")
        index: KeyIndex = keys.index
        wanted = key_from_text(start)
        found: dict[str, None] = {}
        for key in index.under(wanted, 400):
            text = printable(key)
            cut = text.find("/", len(start))
            found[text if cut < 0 else text[: cut + 1]] = None
            if len(found) >= KEYS_OFFERED:
                break
        found.pop(start, None)
        return list(found)

    def do_sql_edit(self) -> None:
        """Type again."""
        self.area.focus()

    def do_sql_older(self) -> None:
        """The query before."""
        self._walk(-1)

    def do_sql_newer(self) -> None:
        """The query after."""
        self._walk(1)

    def _walk(self, by: int) -> None:
        query = self.past.walk(by, self.area.plain)
        if query is not None:
            self.write(query)

    def write(self, text: str) -> None:
        """Put another query into the editor."""
        self.area.text = text
        self.area.move_to(len(text))
        self.area.focus()

    def open_saved(self, saved: Saved) -> None:
        """Bring a saved query to the front and run it."""
        self.kv.show_tab("sql")
        self.take(saved)
        self.kv.do("sql_run")

    def do_sql_views(self) -> None:
        """Show or hide the views."""
        self.side_wanted = not self.side.display
        self.side.display = self.side_wanted
        (self.views if self.side_wanted else self.area).focus()

    @on(LineList.Chosen, "#sql-views")
    def _view_chosen(self) -> None:
        chosen = self.views.chosen
        if isinstance(chosen, View):
            self.views.toggle(chosen)
        elif chosen is not None:
            name = f'"{chosen.name}"' if chosen.name == "at" else chosen.name
            self.area.insert(name)
            self.area.focus()

    @on(LineList.Moved, "#sql-table")
    def _moved(self) -> None:
        self.kv.refresh_actions()

    @on(LineList.Chosen, "#sql-table")
    def _chosen(self) -> None:
        self.kv.do("sql_cell")

    @on(ResultTable.Head)
    def _head(self, message: ResultTable.Head) -> None:
        self.table.column = message.column
        self.kv.do("sql_sort")

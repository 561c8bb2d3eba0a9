"""What one does with an answer and with queries: look at a cell, copy, sort, write to a file, keep
a query, bring one back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvorum_tui.model import words
from kvorum_tui.model.decode import decode, key_from_text, printable
from kvorum_tui.model.shelf import QUERIES, Saved, ShelfError
from kvorum_tui.model.sql_result import SqlResult, whole
from kvorum_tui.model.sql_text import variables
from kvorum_tui.model.typed import file_of, needs_file
from kvorum_tui.screens.key_view import value_rich
from kvorum_tui.screens.pane import Pane
from kvorum_tui.widgets.choose import Choose, Item
from kvorum_tui.widgets.dialogs import Field, Form, Reader, Rich

if TYPE_CHECKING:
    from kvorum_tui.widgets.result_table import ResultTable
    from kvorum_tui.widgets.sql_area import SqlArea

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
COPY_MAX = 1024 * 1024  # More than this does not go through a terminal's clipboard.


class SqlDeeds(Pane):
    """The half of the SQL tab that deals with answers and files."""

    table: ResultTable
    area: SqlArea
    saved: list[Saved]
    values: dict[str, str]
    export_stop: threading.Event | None = None
    export_note = ""

    def retitle(self) -> None:
        """Say anew what the answer is, and what is done with it."""

    def write(self, text: str) -> None:
        """Put another query into the editor."""

    # --- cells ------------------------------------------------------------------------------------

    def cell_here(self) -> Any:
        """The value under the cursor."""
        return self.table.result.value(self.table.cursor, self.table.column)

    def key_here(self) -> bytes | None:
        """The row's key."""
        result = self.table.result
        column = result.column("key_bytes", "key")
        if column is None or not result.count:
            return None
        value = result.value(self.table.cursor, column)
        if isinstance(value, bytes):
            return value
        return key_from_text(value) if isinstance(value, str) else None

    async def do_sql_cell(self) -> None:
        """All of a value."""
        name, type_ = self.table.result.columns[self.table.column]
        value = self.cell_here()
        lines: Rich
        if value is None:
            kind, lines = "NULL", [[("NULL: there is no value", "dim")]]
        else:
            data = value if isinstance(value, bytes) else whole(value).encode("utf-8", "replace")
            decoded = decode(data)
            kind, lines = decoded.kind, value_rich(decoded)
            kind += f", {words.size(len(data))}"
        title = f"{printable(name.encode())} · row {self.table.cursor + 1:,} · {type_} · {kind}"
        await self.kv.push_screen_wait(Reader(title, lines))

    def do_sql_copy(self) -> None:
        """The cell."""
        self._copy(whole(self.cell_here()), "cell")

    def do_sql_copy_row(self) -> None:
        """The row."""
        self._copy(self.table.result.copy_row(self.table.cursor), "row")

    def _copy(self, text: str, what: str) -> None:
        if len(text) > COPY_MAX:
            limit = words.size(COPY_MAX)
            self.kv.tell(f"the {what} is larger than {limit}; ^s writes a file", "warning")
            return
        self.app.copy_to_clipboard(text)
        self.kv.tell(f"copied the {what}, {words.plural(len(text), 'character')}")

    def do_sql_key(self) -> None:
        """The row's key in the Keys tab."""
        key = self.key_here()
        if key is not None:
            self.kv.goto_key(key)

    # --- order ------------------------------------------------------------------------------------

    async def do_sql_sort(self) -> None:
        """Up, down, as it came."""
        result, column = self.table.result, self.table.column
        if result.sorted_by == (column, True):
            result.unsort()
            self.table.changed()
            return
        await self.sort_by(result, column, result.sorted_by == (column, False))
        self.table.changed()

    async def sort_by(self, result: SqlResult, column: int, descending: bool) -> None:
        """Sort in a thread."""
        order = await asyncio.to_thread(result.order_by, column, descending)
        result.sort(column, descending, order)

    # --- files ------------------------------------------------------------------------------------

    async def do_sql_export(self) -> None:
        """Ask for a file, write it in a thread, tell how far it is."""
        result = self.table.result
        cut = " (the answer was cut)" if result.truncated or not result.complete else ""
        field = Field(
            "path",
            f"File for {words.plural(result.count, 'row')}{cut}; its name ends in "
            + ", ".join(SUFFIXES),
            "answer.csv",
            check=_path_wrong,
        )
        answer = await self.kv.push_screen_wait(Form("Export the answer", [field], "Write"))
        if answer is None:
            return
        path = file_of(answer["path"])
        stop = self.export_stop = threading.Event()
        loop = asyncio.get_running_loop()

        def told(rows: int) -> None:
            if stop.is_set():
                raise InterruptedError
            loop.call_soon_threadsafe(self._export_told, rows, result.count)

        try:
            count, size = await asyncio.to_thread(_export, path, result, told)
        except InterruptedError:
            self.kv.tell(f"stopped: {path} was not written", "warning")
        except OSError as error:
            self.kv.tell(f"{path} could not be written: {error.strerror or error}", "error")
        else:
            self.kv.tell(f"wrote {words.plural(count, 'row')} to {path}, {words.size(size)}")
        finally:
            stop.set()
            self.export_stop = None
            self._export_told(0, 0)

    def _export_told(self, rows: int, of: int) -> None:
        self.export_note = f"writing {rows:,} of {of:,} rows · esc stops" if of else ""
        self.retitle()

    # --- queries ----------------------------------------------------------------------------------

    async def ask_values(self, names: list[str]) -> bool:
        """Ask for the values of variables; what was said before stands there."""
        fields = [Field(name, f"${name}", self.values.get(name, "")) for name in names]
        answer = await self.kv.push_screen_wait(Form("Values of this query", fields, "Run"))
        if answer is not None:
            self.values.update(answer)
        return answer is not None

    async def do_sql_values(self) -> None:
        """Other values, then run."""
        if await self.ask_values(variables(self.area.plain)):
            self.kv.do("sql_run")

    async def do_sql_saved(self) -> None:
        """Choose one."""
        await self._reload()
        items = [
            Item(
                saved.name,
                saved.name,
                ("yours · " if saved.own else "") + (saved.about or _first_line(saved.text)),
            )
            for saved in self.saved
        ]
        said = f"f4 keeps the query under a name, in {QUERIES.path}"
        chosen = await self.kv.push_screen_wait(Choose("Saved queries", items, said))
        for saved in self.saved:
            if saved.name == chosen:
                self.take(saved)

    def take(self, saved: Saved) -> None:
        """Put a saved query into the editor, with its defaults."""
        for name, value in saved.defaults.items():
            self.values.setdefault(name, value)
        self.write(saved.text)

    async def do_sql_keep(self) -> None:
        """Keep the query under a name; one of the same name is replaced."""
        text = self.area.plain.strip()
        if not text:
            self.kv.tell("there is no query to keep", "warning")
            return
        fields = [
            Field("name", "Name", "", check=lambda text: "" if text.strip() else "a name, please"),
            Field("about", "What it is for", ""),
        ]
        answer = await self.kv.push_screen_wait(Form("Keep this query", fields, "Keep"))
        if answer is None:
            return
        known = {n: v for n, v in self.values.items() if n in variables(text)}
        kept = Saved(answer["name"].strip(), text, answer["about"].strip(), known, own=True)
        try:
            await asyncio.to_thread(QUERIES.keep, kept)
        except (OSError, ShelfError) as error:
            self.kv.tell(f"{QUERIES.path}: {error}", "error")
            return
        await self._reload()
        self.kv.tell(f"kept as {kept.name}; : finds it by its name")

    async def _reload(self) -> None:
        self.saved, wrong = await asyncio.to_thread(QUERIES.load)
        if wrong:
            self.kv.tell(wrong, "warning")


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def _path_wrong(text: str) -> str:
    if file_of(text).suffix not in SUFFIXES:
        return "the name is to end in " + ", ".join(SUFFIXES)
    return needs_file(text)


def _export(path: Path, result: SqlResult, told: Callable[[int], None]) -> tuple[int, int]:
    """In a thread: DuckDB is loaded when it is first needed."""
    from kvorum.history.exporting import FORMATS, export

    form = next(form for form in FORMATS if path.suffix == f".{form}")
    return export(form, path, result.columns, result.rows(), told), path.stat().st_size

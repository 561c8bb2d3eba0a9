"""The form of a transaction: sections, and a row a condition or operation."""

from __future__ import annotations

from kvorum.client.ops import Txn

from kvorum_tui.model.txn_form import FormRow, Place, Section, items_of, rows_of
from kvorum_tui.model.txn_light import Verdict
from kvorum_tui.widgets.paint import Line, LineList

MARKS = {True: ("✓", "good"), False: ("✗", "bad")}


class TxnRows(LineList):
    """Conditions carry whether they hold now, and what stands there."""

    def __init__(self) -> None:
        super().__init__(id="txn-rows")
        self.rows: list[FormRow] = rows_of(Txn())
        self.verdicts: list[Verdict] = []

    def show(self, txn: Txn, verdicts: list[Verdict]) -> None:
        """Show a transaction; the verdicts are those of its conditions, or none are known."""
        self.rows, self.verdicts = rows_of(txn), verdicts
        self.changed()

    def row_count(self) -> int:
        """Rows, headings too."""
        return len(self.rows)

    def paint_row(self, number: int, width: int) -> Line:
        """One row."""
        row = self.rows[number]
        line = self.line()
        if row.kind == "head":
            return line.add(f" {row.text}", "branch")
        if row.kind == "empty":
            return line.add(f"     {row.text}", "dim")
        if row.kind == "nested":
            return line.add("     " + "  " * row.depth + "└ ", "faint").add(row.text, "dim")
        if row.kind == "compare" and row.place is not None:
            at = row.place.index
            if at < len(self.verdicts):
                verdict = self.verdicts[at]
                mark, ink = MARKS[verdict.holds] if verdict.sure else ("?", "warn")
                line.add(f"   {mark} ", ink).add(row.text)
                if not verdict.holds:
                    line.add(f"   is {verdict.actual}", "bad")
                return line
        return line.add("   · ", "faint").add(row.text)

    @property
    def here(self) -> FormRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    @property
    def section(self) -> Section:
        """The section under the cursor."""
        return self.here.section if self.here is not None else "if"

    def behind(self, txn: Txn) -> Place:
        """Where a new row goes: behind the one under the cursor, else at the section's end."""
        row = self.here
        if row is not None and row.place is not None:
            return Place(row.section, row.place.index + 1)
        return Place(self.section, len(items_of(txn, self.section)))

    def stand_on(self, place: Place) -> None:
        """Put the cursor on a row."""
        found = next((n for n, row in enumerate(self.rows) if row.place == place), None)
        if found is not None:
            self.cursor = found
            self.keep_in_sight()

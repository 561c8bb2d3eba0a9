"""The SQL tab's actions. Most have keys that work while one types a query."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("sql_run", "sql", "f5,ctrl+r", "run", "Run the query"),
    Action("sql_stop", "sql", "x", "stop", "Stop the query that runs; escape does it, too"),
    Action(
        "sql_saved",
        "sql",
        "f3",
        "saved",
        "Saved queries: hottest keys, biggest values, churn, keys by lease, and your own",
    ),
    Action("sql_keep", "sql", "f4", "keep", "Keep the query under a name"),
    Action("sql_edit", "sql", "e", "edit", "Go on writing the query", shown=False),
    Action("sql_values", "sql", "f8", "values", "Change the values of the query's $variables"),
    Action("sql_cell", "sql", "enter", "cell", "All of a value, decoded"),
    Action("sql_sort", "sql", "s", "sort", "Sort by the column: up, down, as it came"),
    Action("sql_copy", "sql", "y", "copy", "Copy the cell"),
    Action("sql_copy_row", "sql", "Y", "copy row", "Copy the row, cells apart by tabs"),
    Action("sql_key", "sql", "g", "go to key", "Show the row's key in the Keys tab"),
    Action(
        "sql_watch",
        "sql",
        "W",
        "watch this query",
        "Run the query again whenever the store has changed, with the differences marked",
    ),
    Action("sql_export", "sql", "ctrl+s", "export", "Write the rows as CSV, JSON, JSONL, Parquet"),
    Action("sql_older", "sql", "ctrl+up", "older", "The query that was run before", shown=False),
    Action("sql_newer", "sql", "ctrl+down", "newer", "The query that was run after", shown=False),
    Action("sql_views", "sql", "f9", "views", "Show or hide the views and their columns"),
)

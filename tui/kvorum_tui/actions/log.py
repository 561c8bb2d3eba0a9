"""The Log tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "log_again",
        "log",
        "enter",
        "again",
        "Make the chosen call again; one that writes asks first, a watch opens in its tab",
    ),
    Action("log_copy", "log", "y", "copy etcdctl", "Copy the etcdctl command that does the same"),
    Action(
        "log_copy_kvorum",
        "log",
        "Y",
        "copy kvorum",
        "Copy the kvorum command that does the same",
        shown=False,
    ),
    Action(
        "log_filter",
        "log",
        "slash",
        "filter",
        "Show some only: errors, writes, >250 (ms), method:put, member:n1, any text; !word: not",
    ),
    Action("log_errors", "log", "e", "errors", "Only calls that failed, or all again"),
    Action("log_slow", "log", "s", "slow", "Only calls slower than so many milliseconds"),
    Action("log_writes", "log", "w", "writes", "Only calls that change something, or all again"),
    Action(
        "log_polls",
        "log",
        "b",
        "polls",
        "Show or hide what the terminal asks again and again to keep its picture current",
    ),
    Action("log_pause", "log", "p", "pause", "Hold the list still, or let new calls in again"),
    Action("log_figures", "log", "i", "methods", "Count, times and errors of every method"),
    Action("log_export", "log", "ctrl+s", "save", "Write the calls shown to a JSON Lines file"),
    Action("log_clear", "log", "c", "clear", "Forget the calls so far", shown=False),
)

"""The Watch tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "watch_add",
        "watch",
        "a",
        "add",
        "Add a pane: a key, or a prefix, from now or from a revision",
    ),
    Action("watch_close", "watch", "x", "close", "Close the pane with the focus"),
    Action("watch_pause", "watch", "p", "pause", "Hold events back, or let the held ones in"),
    Action("watch_follow", "watch", "f", "follow", "Follow the newest event, or stay"),
    Action(
        "watch_filter",
        "watch",
        "slash",
        "filter",
        "Words that must match: put, delete, !word, ~regex, text",
    ),
    Action("watch_next", "watch", "right_square_bracket", "next pane", "Focus the next pane"),
    Action("watch_clear", "watch", "c", "clear", "Empty the pane; the watch goes on", shown=False),
    Action("watch_goto", "watch", "g", "go to key", "Show the event's key in the Keys tab"),
)

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
    Action(
        "watch_members",
        "watch",
        "m",
        "members",
        "The same prefix through every member side by side: who is how many ms late, what is "
        "missing",
    ),
    Action("watch_close", "watch", "x", "close", "Close the pane with the focus"),
    Action("watch_zoom", "watch", "z", "zoom", "One pane over the whole tab, or all again"),
    Action("watch_pause", "watch", "p", "pause", "Hold events back, or let the held ones in"),
    Action("watch_follow", "watch", "f", "follow", "Follow the newest event, or stay"),
    Action(
        "watch_filter",
        "watch",
        "slash",
        "filter",
        "Words that must all match: put, delete, create, update, lease, size>1k, key:a, value:b, "
        "text, !word, ~regex",
    ),
    Action(
        "watch_view", "watch", "v", "view", "The whole event: what it was, what it is, what differs"
    ),
    Action(
        "watch_travel", "watch", "enter", "travel", "Let all tabs look at this event's revision"
    ),
    Action("watch_goto", "watch", "g", "key", "Show the event's key in the Keys tab"),
    Action(
        "watch_save",
        "watch",
        "ctrl+s",
        "save",
        "Write the pane's events to a file as JSON Lines, now or from now on",
    ),
    Action(
        "watch_hook",
        "watch",
        "h",
        "hook",
        "When an event passes the pane's filter: ring the bell, show a note, run a command",
    ),
    Action(
        "watch_coalesce",
        "watch",
        "o",
        "coalesce",
        "Several changes of one key in one row: in storms only, never, always",
        shown=False,
    ),
    Action(
        "watch_record",
        "watch",
        "R",
        "record",
        "Record this cluster to a file: every change, what every member says; again: stop",
        shown=False,
    ),
    Action("watch_rename", "watch", "n", "name", "Give the pane a name", shown=False),
    Action("watch_next", "watch", "right_square_bracket", "next pane", "Focus the next pane"),
    Action(
        "watch_previous",
        "watch",
        "left_square_bracket",
        "previous",
        "Focus the pane before",
        shown=False,
    ),
    Action("watch_clear", "watch", "c", "clear", "Empty the pane; the watch goes on", shown=False),
    Action(
        "watch_keep",
        "watch",
        "S",
        "keep layout",
        "Keep these panes for this cluster; they can open by themselves next time",
        shown=False,
    ),
    Action(
        "watch_layout",
        "watch",
        "L",
        "layout",
        "Open the panes that were kept for this cluster",
        shown=False,
    ),
)

"""What works in every tab."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("help_keys", "app", "question_mark", "keys", "What every key does here"),
    Action("help_here", "app", "f1", "about", "What am I looking at"),
    Action(
        "cluster_open",
        "app",
        "at,ctrl+t",
        "clusters",
        "Open another cluster: a context by name, or addresses",
        shown=False,
    ),
    Action(
        "cluster_next", "app", "greater_than_sign", "next", "Go to the next cluster", shown=False
    ),
    Action(
        "cluster_previous",
        "app",
        "less_than_sign",
        "previous",
        "Go to the cluster before",
        shown=False,
    ),
    Action("cluster_close", "app", "ctrl+w", "close", "Close the cluster in front", shown=False),
    Action(
        "mask",
        "app",
        "alt+m",
        "mask",
        "Hide all values while somebody looks on, or show them again",
        shown=False,
    ),
    Action(
        "read_only",
        "app",
        "ctrl+e",
        "read-only",
        "Refuse everything that changes something, or allow it again",
        shown=False,
    ),
    Action(
        "tour",
        "app",
        "",
        "tour",
        "A guided tour of this demo cluster: majority, log, election, partition, leases",
        shown=False,
    ),
    Action("tour_back", "app", "f7", "back", "The tour's step before", shown=False),
    Action("tour_on", "app", "f6", "go on", "Do the tour's step, or go on", shown=False),
    Action("tour_end", "app", "ctrl+y", "end", "End the tour; nothing stays broken", shown=False),
    Action("palette", "app", "colon,ctrl+p", "palette", "Find actions, members, keys by name"),
    Action(
        "travel",
        "app",
        "T",
        "travel",
        "Look at the whole store as it was at the thing under the cursor; again: back to now",
        shown=False,
    ),
    Action(
        "errors",
        "app",
        "exclamation_mark",
        "errors",
        "The newest errors, with member, RPC and code",
        shown=False,
    ),
    Action("theme", "app", "f2", "theme", "Dark or light", shown=False),
    Action("themes", "app", "", "themes", "Choose any theme; it is kept", shown=False),
    Action("ascii", "app", "", "ASCII", "Draw with ASCII characters alone", shown=False),
    Action("jump", "app", "ctrl+o", "jump", "A letter over every part of the screen", shown=False),
    Action("next_tab", "app", "ctrl+pagedown", "next tab", "Go to the next tab", shown=False),
    Action("previous_tab", "app", "ctrl+pageup", "tab before", "Go to the tab before", shown=False),
    Action("last_tab", "app", "grave_accent", "last tab", "The tab that was in front", shown=False),
    Action(
        "back", "app", "escape", "back", "Close, clear the filter, leave the field", shown=False
    ),
    Action(
        "quit",
        "app",
        "ctrl+q",
        "quit",
        "Leave; warns when it keeps leases alive or edits are not saved",
    ),
)

"""The Time tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

CHANGES = "changes"
GONE = "gone"
COMPARE = "compare"
HEAT = "heat"

ACTIONS: tuple[Action, ...] = (
    Action(
        "time_back",
        "time",
        "left_square_bracket",
        "back",
        "One revision back; every tab follows, and nothing can be written until now",
    ),
    Action(
        "time_forward",
        "time",
        "right_square_bracket",
        "forward",
        "One revision forward; at the newest one it is now again",
    ),
    Action(
        "time_back_far", "time", "left_parenthesis", "-100", "A hundred revisions back", shown=False
    ),
    Action(
        "time_forward_far",
        "time",
        "right_parenthesis",
        "+100",
        "A hundred revisions forward",
        shown=False,
    ),
    Action("time_goto", "time", "g", "go to", "Go to a revision, a clock (14:02) or back (-10m)"),
    Action("time_oldest", "time", "home", "oldest", "The oldest revision", shown=False),
    Action("time_now", "time", "end", "now", "Come back to now", shown=False),
    Action(
        "time_event_before",
        "time",
        "left_curly_bracket",
        "event before",
        "The mark before on the line: leader change, alarm, compaction, big deletion",
        shown=False,
    ),
    Action(
        "time_event_after",
        "time",
        "right_curly_bracket",
        "event after",
        "The next mark on the line",
        shown=False,
    ),
    Action(
        "time_zoom_in", "time", "plus", "closer", "Halve the stretch that is shown", shown=False
    ),
    Action("time_zoom_out", "time", "minus", "wider", "Show a longer stretch", shown=False),
    Action(
        "time_prefix", "time", "slash", "prefix", "Only what is under a prefix; empty: all keys"
    ),
    Action("time_mark_a", "time", "A", "mark A", "Call this revision A", shown=False),
    Action("time_mark_b", "time", "B", "mark B", "Call this revision B", shown=False),
    Action("time_changes", "time", "v", "changes", "The changes around here", shown=False),
    Action(
        "time_compare",
        "time",
        "c",
        "compare",
        "Compare A and B: any two of cluster, prefix and revision, as a tree",
    ),
    Action("time_gone", "time", "x", "deleted", "Keys that are gone, and what they were"),
    Action("time_heat", "time", "h", "heat map", "Which prefixes were written when"),
    Action(
        "time_select",
        "time",
        "space",
        "mark",
        "Mark the row, or unmark it",
        views=f"{GONE} {COMPARE}",
    ),
    Action(
        "time_all",
        "time",
        "asterisk",
        "mark all",
        "Mark everything in the list, or nothing",
        shown=False,
        views=f"{GONE} {COMPARE}",
    ),
    Action(
        "time_undelete",
        "time",
        "u",
        "undelete",
        "Bring back the marked keys, or the one under the cursor; shows the plan first",
        changes=True,
        views=GONE,
    ),
    Action(
        "time_restore",
        "time",
        "U",
        "restore",
        "Make the marked rows, the one under the cursor, or all in B as in A; plan first",
        changes=True,
        destroys=True,
        views=COMPARE,
    ),
    Action(
        "time_swap", "time", "s", "swap", "Let A and B change places", shown=False, views=COMPARE
    ),
    Action(
        "time_equal",
        "time",
        "equals_sign",
        "equal too",
        "Show branches without a difference, or hide them",
        shown=False,
        views=COMPARE,
    ),
    Action(
        "time_roll_back",
        "time",
        "R",
        "roll back",
        "Make a prefix as it was at this revision; shows the plan first",
        changes=True,
        destroys=True,
        views=f"{CHANGES} {GONE} {HEAT}",
    ),
    Action(
        "time_measure",
        "time",
        "b",
        "bytes",
        "Heat by writes, or by bytes",
        views=HEAT,
    ),
    Action(
        "time_letters",
        "time",
        "l",
        "letters",
        "Heat as letters instead of colours, or back",
        shown=False,
        views=HEAT,
    ),
    Action(
        "time_export",
        "time",
        "ctrl+s",
        "export",
        "Write the comparison (JSON, text, etcdctl script) or the heat map (SVG) to a file",
        shown=False,
        views=f"{COMPARE} {HEAT}",
    ),
    Action("time_reload", "time", "f5", "reload", "Ask again how far the past goes", shown=False),
)

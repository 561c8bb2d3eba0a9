"""The Cluster tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("member_detail", "cluster", "m", "member", "All that this member tells about itself"),
    Action(
        "cluster_compare",
        "cluster",
        "h",
        "compare",
        "HashKV of all members at one revision; where they differ: since when, and in which keys",
    ),
    Action("log_focus", "cluster", "l", "log", "Walk along the raft logs with the arrow keys"),
    Action("latency_focus", "cluster", "n", "network", "Round trips between all members"),
    Action("figures_focus", "cluster", "g", "figures", "Figures over the last minutes"),
    Action("events_focus", "cluster", "v", "events", "What happened, and when"),
    Action("cluster_zoom", "cluster", "z", "zoom", "The view in front alone, or all again"),
    Action(
        "cluster_transfer",
        "cluster",
        "t",
        "transfer leader",
        "Hand leadership to the chosen member",
        changes=True,
        destroys=True,
    ),
    Action("events_group", "cluster", "f", "kind", "Events of one kind only: leaders, members, …"),
    Action("events_find", "cluster", "slash", "find", "Events with a text in them", shown=False),
    Action(
        "events_goto",
        "cluster",
        "o",
        "that moment",
        "Let all tabs show the store as it was at the chosen event; again: now",
        shown=False,
    ),
    Action("log_entry", "cluster", "e", "entry", "The log entry under the cursor", shown=False),
    Action(
        "latency_figure",
        "cluster",
        "s",
        "statistic",
        "Round trips: the newest, p50, p99 or p999",
        shown=False,
    ),
    Action(
        "cluster_remarks",
        "cluster",
        "a",
        "all remarks",
        "All that stands out, in full",
        shown=False,
    ),
)

"""The Cluster tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("member_detail", "cluster", "m", "member", "All that this member tells about itself"),
    Action("log_focus", "cluster", "l", "log", "Walk along the raft logs with the arrow keys"),
    Action(
        "cluster_transfer",
        "cluster",
        "t",
        "transfer leader",
        "Hand leadership to the chosen member",
        changes=True,
        destroys=True,
    ),
)

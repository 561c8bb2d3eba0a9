"""The Leases tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("lease_grant", "leases", "g", "grant", "Make a new lease", changes=True),
    Action("lease_renew", "leases", "k", "keep alive", "Renew the lease once", changes=True),
    Action(
        "lease_hold",
        "leases",
        "K",
        "hold",
        "Keep the lease alive as long as the terminal runs, or stop that",
        changes=True,
    ),
    Action(
        "lease_revoke",
        "leases",
        "v,delete",
        "revoke",
        "End the lease; its keys are deleted",
        changes=True,
        destroys=True,
    ),
    Action(
        "lease_goto",
        "leases",
        "enter",
        "go to key",
        "Show the lease's first key in the Keys tab",
        shown=False,
    ),
)

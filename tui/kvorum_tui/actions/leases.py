"""The Leases tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action("lease_locks", "leases", "l", "locks", "Locks and elections, or the leases again"),
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
        "End the lease; its keys are deleted, a lock that hangs on it is free",
        changes=True,
        destroys=True,
    ),
    Action(
        "lock_stand",
        "leases",
        "c",
        "stand for it",
        "Get in line for a lock or an election, with a lease that this terminal keeps alive",
        changes=True,
        views="locks",
    ),
    Action("lock_add", "leases", "a", "add", "Look at the queue below a prefix", views="locks"),
    Action(
        "lease_filter",
        "leases",
        "f",
        "filter",
        "Leases of one kind only: without keys, about to end, held by this terminal",
        views="leases",
    ),
    Action("lease_sort", "leases", "s", "sort", "Sort by the next column", views="leases"),
    Action(
        "lease_reverse",
        "leases",
        "S",
        "reverse",
        "Sort the other way round",
        shown=False,
        views="leases",
    ),
    Action(
        "lease_find",
        "leases",
        "slash",
        "find",
        "Leases with a text in a key or their id",
        views="leases",
    ),
    Action(
        "lease_grant_id",
        "leases",
        "G",
        "grant with id",
        "Make a new lease with an id of one's own",
        shown=False,
        changes=True,
    ),
    Action(
        "lease_goto",
        "leases",
        "enter",
        "go to key",
        "Show the lease's key in the Keys tab; where it has several, choose one first",
        shown=False,
    ),
)

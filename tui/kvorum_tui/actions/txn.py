"""The Txn tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "txn_run",
        "txn",
        "f5,ctrl+r",
        "run",
        "Send it as one transaction; shows first what it would do",
        changes=True,
        destroys=True,
    ),
    Action("txn_add", "txn", "a", "add", "A condition or operation more in this section"),
    Action("txn_edit", "txn", "enter", "edit", "Change the row"),
    Action("txn_remove", "txn", "d", "remove", "Take the row out"),
    Action("txn_up", "txn", "K,shift+up", "up", "Move the row up", shown=False),
    Action("txn_down", "txn", "J,shift+down", "down", "Move the row down", shown=False),
    Action("txn_text", "txn", "e", "text", "Write it as etcdctl's text"),
    Action(
        "txn_templates",
        "txn",
        "f3",
        "templates",
        "Create if absent, compare and swap, take a lock, swap, move a key, and your own",
    ),
    Action("txn_keep", "txn", "f4", "keep", "Keep it as a template under a name"),
    Action("txn_copy", "txn", "y", "copy etcdctl", "Copy the etcdctl command that does the same"),
    Action("txn_copy_kvorum", "txn", "Y", "copy kvorum", "Copy the kvorum command for it"),
    Action("txn_key", "txn", "g", "go to key", "Show the row's key in the Keys tab", shown=False),
    Action("txn_new", "txn", "n", "new", "Begin with an empty transaction", shown=False),
)

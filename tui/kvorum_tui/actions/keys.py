"""The Keys tab's actions."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "key_new",
        "keys",
        "n",
        "new",
        "Write a new key; starts below the branch under the cursor",
        changes=True,
    ),
    Action(
        "key_edit",
        "keys",
        "e",
        "edit",
        "Edit the value, see the difference, save if nobody else wrote",
        changes=True,
    ),
    Action(
        "key_delete",
        "keys",
        "d,delete",
        "delete",
        "Delete the key or everything under the branch; shows what goes first",
        changes=True,
        destroys=True,
    ),
    Action("key_filter", "keys", "slash", "filter", "Show only keys that contain a text"),
    Action(
        "key_flat",
        "keys",
        "t",
        "flat",
        "Switch between tree and flat list; the cursor stays on its key",
    ),
    Action("key_history", "keys", "h", "history", "Every kept revision of this key, deletions too"),
    Action("key_value", "keys", "v", "value", "Back to the value", shown=False),
    Action("key_meta", "keys", "i", "info", "Revisions, version, lease and size of this key"),
    Action("key_form", "keys", "o", "form", "Show the value as JSON, text or hex"),
    Action("key_watch", "keys", "w", "watch", "Open a watch pane on this key or branch"),
    Action(
        "key_copy",
        "keys",
        "y",
        "copy",
        "Copy the key, or the value when the value pane has the focus",
        shown=False,
    ),
    Action(
        "key_restore",
        "keys",
        "R",
        "restore",
        "Write an old revision's value again, after showing the difference",
        changes=True,
    ),
    Action(
        "key_separator", "keys", "s", "separator", "Choose the separator of the tree", shown=False
    ),
    Action("key_reload", "keys", "f5", "reload", "Read all keys again", shown=False),
)

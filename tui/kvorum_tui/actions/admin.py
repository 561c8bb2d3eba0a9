"""The Admin tab's actions. The first eight choose a view; the others belong to some of them."""

from __future__ import annotations

from kvorum_tui.actions.action import Action


def _view(name: str, key: str, text: str, about: str) -> Action:
    return Action(f"admin_view_{name}", "admin", key, text, about, shown=False)


def _deed(
    name: str,
    key: str,
    text: str,
    about: str,
    views: str,
    changes: bool = True,
    destroys: bool = False,
) -> Action:
    return Action(f"admin_{name}", "admin", key, text, about, True, changes, destroys, views)


ACTIONS: tuple[Action, ...] = (
    _view("access", "A", "access", "Users, roles and their permissions"),
    _view("who", "W", "who", "Who can touch this key: users against ranges of keys"),
    _view("compact", "C", "compaction", "Forget old revisions"),
    _view("defrag", "D", "defrag", "Give free space back, one member at a time"),
    _view("snapshot", "S", "snapshot", "Save a member's whole state, check a file"),
    _view("alarms", "L", "alarms", "Alarms, and the way out of them"),
    _view("members", "M", "members", "Add, promote, remove members"),
    _view("server", "V", "server", "Versions, quotas, what works on this kind of server"),
    _deed("add", "n", "add", "A new user, role or member, by what has the focus", "access members"),
    _deed(
        "delete",
        "d,delete",
        "remove",
        "Delete the chosen user or role; remove the chosen member",
        "access members",
        destroys=True,
    ),
    _deed("password", "w", "password", "Give the chosen user another password", "access"),
    _deed(
        "grant",
        "g",
        "grant",
        "Give the chosen user a role, or the chosen role a permission",
        "access",
    ),
    _deed(
        "revoke",
        "v",
        "revoke",
        "Take a role from the chosen user, or the chosen permission from its role",
        "access",
        destroys=True,
    ),
    _deed(
        "auth", "o", "auth on/off", "Check permissions, or let everybody do everything", "access"
    ),
    _deed("whose", "k", "whose key", "Ask who can touch a key or prefix", "who", changes=False),
    _deed(
        "compact",
        "c",
        "compact",
        "Choose a revision and forget what was before it",
        "compact alarms",
        destroys=True,
    ),
    _deed("defrag", "f", "defrag all", "One member after the other, the leader last", "defrag"),
    _deed("defrag_one", "a", "defrag one", "Only the chosen member", "defrag"),
    _deed(
        "save", "s", "save", "Write the chosen member's state to a file", "snapshot", changes=False
    ),
    _deed("check", "i", "check file", "What is in a snapshot file", "snapshot", changes=False),
    _deed(
        "stop", "x", "stop", "Stop after this member; cancel the snapshot", "defrag snapshot", False
    ),
    _deed("disarm", "l", "disarm", "Lift the chosen alarm", "alarms"),
    _deed(
        "free",
        "b",
        "way out",
        "NOSPACE: compact, defragment all, disarm, step by step",
        "alarms",
        destroys=True,
    ),
    _deed("promote", "p", "promote", "Give the chosen learner a vote", "members"),
    _deed("urls", "e", "peer URLs", "Tell the cluster where the chosen member listens", "members"),
    _deed("leader", "t", "transfer", "Hand leadership to the chosen member", "members"),
    _deed("doctor", "h", "doctor", "Look at everything that goes wrong quietly", "server", False),
    _deed(
        "copy",
        "y",
        "copy",
        "Copy what stands below: variables of a new member, a report",
        "members server snapshot defrag",
        False,
    ),
    Action("admin_ask", "admin", "f5", "ask again", "Ask the cluster anew", shown=False),
)

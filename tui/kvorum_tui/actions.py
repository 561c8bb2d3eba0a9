"""Every action of the terminal, once: keys, footer, help and command palette all read this
table. Long because it is that table.
"""

from __future__ import annotations

from dataclasses import dataclass

TABS: tuple[tuple[str, str], ...] = (
    ("keys", "Keys"),
    ("watch", "Watch"),
    ("cluster", "Cluster"),
    ("drills", "Drills"),
    ("leases", "Leases"),
)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a user can do. ``target`` is a tab or "app"; ``key`` lists keys, the first is the
    one shown. ``views``: where a tab has several views, those that it belongs to, apart by blanks.
    """

    name: str
    target: str
    key: str
    text: str
    about: str
    shown: bool = True
    changes: bool = False  # needs a session that may write
    destroys: bool = False  # asks before it does it
    views: str = ""

    @property
    def labels(self) -> list[str]:
        """Its keys as people write them; a user's own keymap counts."""
        return [key_label(key.strip()) for key in user_keys.get(self.name, self.key).split(",")]

    @property
    def label(self) -> str:
        """The first of them."""
        return self.labels[0]


# A user's own keys by action name; filled once at the start.
user_keys: dict[str, str] = {}


_LABELS = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "space": "space",
    "shift+space": "⇧space",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "exclamation_mark": "!",
    "minus": "-",
    "plus": "+",
}


def key_label(key: str) -> str:
    """A key's name as people write it."""
    if key in _LABELS:
        return _LABELS[key]
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return key.upper() if key.startswith("f") and key[1:].isdigit() else key


ACTIONS: tuple[Action, ...] = (
    # Keys.
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
    # Watch.
    Action(
        "watch_add",
        "watch",
        "a",
        "add",
        "Add a pane: a key, or a prefix, from now or from a revision",
    ),
    Action("watch_close", "watch", "x", "close", "Close the pane with the focus"),
    Action("watch_pause", "watch", "p", "pause", "Hold events back, or let the held ones in"),
    Action("watch_follow", "watch", "f", "follow", "Follow the newest event, or stay"),
    Action(
        "watch_filter",
        "watch",
        "slash",
        "filter",
        "Words that must match: put, delete, !word, ~regex, text",
    ),
    Action("watch_next", "watch", "right_square_bracket", "next pane", "Focus the next pane"),
    Action("watch_clear", "watch", "c", "clear", "Empty the pane; the watch goes on", shown=False),
    Action("watch_goto", "watch", "g", "go to key", "Show the event's key in the Keys tab"),
    # Cluster.
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
    # Drills.
    Action(
        "drill_list",
        "drills",
        "d",
        "drills",
        "Choose a scenario: what it breaks, what is left, what it teaches; then run it",
        views="links run runs",
    ),
    Action(
        "drill_start",
        "drills",
        "enter",
        "run",
        "Run the chosen drill on the chosen stage",
        views="list",
    ),
    Action(
        "drill_stage",
        "drills",
        "s",
        "stage",
        "Where to run it: this cluster, one of its own, simulated, real etcd",
        views="list",
    ),
    Action(
        "drill_filter",
        "drills",
        "slash",
        "filter",
        "Show only drills with these words",
        views="list",
    ),
    Action("drill_open", "drills", "o", "file", "Read a scenario file of your own", views="list"),
    Action(
        "drill_show",
        "drills",
        "v",
        "run view",
        "A run over time with scorecard and verdict: the one here, or an earlier one",
        views="links list runs",
    ),
    Action(
        "drill_stop",
        "drills",
        "x",
        "stop",
        "Stop the drill that runs; everything is healed first",
    ),
    Action(
        "drill_again",
        "drills",
        "a",
        "again",
        "Run the same drill once more, with the same seed",
        views="run runs",
    ),
    Action(
        "drill_new_seed",
        "drills",
        "n",
        "new seed",
        "Run it once more with another seed: other members, other moments",
        views="run runs",
    ),
    Action(
        "drill_etcd",
        "drills",
        "E",
        "on etcd",
        "Run the same drill with the same seed on real etcd, to compare with",
        views="run runs",
    ),
    Action(
        "drill_compare",
        "drills",
        "c",
        "compare",
        "Runs of this drill side by side: earlier ones, and those on other stages",
        views="list run",
    ),
    Action(
        "drill_export",
        "drills",
        "e",
        "export",
        "Write the run, or the comparison, as JSON, as a picture (SVG) and as text",
        views="run runs",
    ),
    Action(
        "drill_links",
        "drills",
        "m",
        "links",
        "The matrix of links, to break by hand",
        views="list run runs",
    ),
    Action(
        "link_one",
        "drills",
        "space",
        "cut",
        "Cut or heal the link under the cursor, in this direction",
        changes=True,
        views="links",
    ),
    Action(
        "link_both",
        "drills",
        "b,shift+space",
        "cut both ways",
        "Cut or heal the link in both directions",
        changes=True,
        views="links",
    ),
    Action(
        "isolate",
        "drills",
        "i",
        "isolate",
        "Cut the row's member off from all others",
        changes=True,
        destroys=True,
        views="links",
    ),
    Action(
        "heal_all",
        "drills",
        "X",
        "heal all",
        "Lift every fault on every member, and let paused nodes go on",
        changes=True,
    ),
    Action(
        "transfer",
        "drills",
        "t",
        "transfer",
        "Hand leadership to the row's member",
        changes=True,
        destroys=True,
        views="links",
    ),
    Action(
        "node_pause",
        "drills",
        "p",
        "pause",
        "Let the row's node stand still, or go on",
        changes=True,
        destroys=True,
        views="links",
    ),
    Action(
        "node_kill",
        "drills",
        "k",
        "kill",
        "End the row's node at once",
        changes=True,
        destroys=True,
        views="links",
    ),
    Action(
        "node_restart",
        "drills",
        "r",
        "restart",
        "Start the row's node again",
        changes=True,
        destroys=True,
        views="links",
    ),
    Action(
        "fault_longer",
        "drills",
        "plus",
        "longer",
        "Faults last longer from now on",
        shown=False,
        views="links",
    ),
    Action(
        "fault_shorter",
        "drills",
        "minus",
        "shorter",
        "Faults last shorter from now on",
        shown=False,
        views="links",
    ),
    # Leases.
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
    # Everywhere.
    Action("tab_keys", "app", "1", "keys", "Keys: browse, edit, history", shown=False),
    Action("tab_watch", "app", "2", "watch", "Watch: live panes", shown=False),
    Action("tab_cluster", "app", "3", "cluster", "Cluster: members and raft logs", shown=False),
    Action("tab_drills", "app", "4", "drills", "Drills: break it on purpose", shown=False),
    Action("tab_leases", "app", "5", "leases", "Leases: time to live and keys", shown=False),
    Action("help_keys", "app", "question_mark", "keys", "What every key does here"),
    Action("help_here", "app", "f1", "about", "What am I looking at"),
    Action("palette", "app", "colon,ctrl+p", "palette", "Find actions, members, keys by name"),
    Action(
        "errors",
        "app",
        "exclamation_mark",
        "errors",
        "The newest errors, with member, RPC and code",
        shown=False,
    ),
    Action("theme", "app", "f2", "theme", "Dark or light", shown=False),
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

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}


def of(target: str) -> list[Action]:
    """The actions of a tab, or of the whole app."""
    return [action for action in ACTIONS if action.target == target]

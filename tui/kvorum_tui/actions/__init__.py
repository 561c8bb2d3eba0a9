"""Every action of the terminal, once: keys, foot, help and command palette all read this table. A
module a tab; tabs that other packages bring are added to it (:mod:`kvorum_tui.plugins`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kvorum_tui.actions import (
    admin,
    cluster,
    drills,
    everywhere,
    key_changes,
    key_history,
    keys,
    leases,
    log,
    recording,
    sql,
    time,
    txn,
    watch,
)
from kvorum_tui.actions.action import Action, key_label, user_keys

__all__ = ["ACTIONS", "BY_NAME", "TABS", "TITLES", "Action", "Tab", "key_label", "of", "user_keys"]


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab: its name, the digit that brings it to the front, its title and what it is for."""

    name: str
    key: str
    title: str
    about: str


TABS: list[Tab] = [
    Tab("keys", "1", "Keys", "browse, edit, history"),
    Tab("watch", "2", "Watch", "live panes"),
    Tab("cluster", "3", "Cluster", "members and raft logs"),
    Tab("drills", "4", "Drills", "break it on purpose"),
    Tab("time", "5", "Time", "look back, compare, bring back"),
    Tab("sql", "6", "SQL", "ask the history"),
    Tab("leases", "7", "Leases", "time to live and keys"),
    Tab("txn", "8", "Txn", "build a transaction"),
    Tab("admin", "9", "Admin", "users, space, snapshots, members"),
    Tab("log", "0", "Log", "every call and its command line"),
]

TITLES: dict[str, str] = {tab.name: tab.title for tab in TABS}


def _to_tab(tab: Tab) -> Action:
    about = f"{tab.title}: {tab.about}"
    return Action(f"tab_{tab.name}", "app", tab.key, tab.title.lower(), about, shown=False)


ACTIONS: list[Action] = [
    *keys.ACTIONS,
    *key_changes.ACTIONS,
    *key_history.ACTIONS,
    *watch.ACTIONS,
    *cluster.ACTIONS,
    *drills.ACTIONS,
    *time.ACTIONS,
    *sql.ACTIONS,
    *leases.ACTIONS,
    *txn.ACTIONS,
    *admin.ACTIONS,
    *log.ACTIONS,
    *map(_to_tab, TABS),
    *everywhere.ACTIONS,
    *recording.ACTIONS,
]

BY_NAME: dict[str, Action] = {action.name: action for action in ACTIONS}


def of(target: str) -> list[Action]:
    """The actions of a tab, or of the whole app."""
    return [action for action in ACTIONS if action.target == target]


def add_tab(tab: Tab, rows: Iterable[Action] = ()) -> None:
    """One more tab with its actions; or another word for one that is there, in its place."""
    at = next((number for number, each in enumerate(TABS) if each.name == tab.name), len(TABS))
    drop_tab(tab.name)
    TABS.insert(at, tab)
    TITLES[tab.name] = tab.title
    for action in (_to_tab(tab), *rows):
        ACTIONS.append(action)
        BY_NAME[action.name] = action


def drop_tab(name: str) -> None:
    """A tab less."""
    TABS[:] = [tab for tab in TABS if tab.name != name]
    TITLES.pop(name, None)
    for action in [each for each in ACTIONS if each.name == f"tab_{name}" or each.target == name]:
        ACTIONS.remove(action)
        del BY_NAME[action.name]

"""The tabs of one cluster: what each is made of, imported and made when it is first wanted. Most
sessions see three of the ten, and importing all takes longer than everything else at the start.
Tabs that other packages bring (:mod:`kvorum_tui.plugins`) come the same way.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from textual.widgets import ContentSwitcher

from kvorum_tui.screens.pane import Pane

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

P = TypeVar("P", bound=Pane)

# Module and class of each tab, in the order of their digits.
PANES: dict[str, tuple[str, str]] = {
    "keys": ("keys", "KeysPane"),
    "watch": ("watch", "WatchPane"),
    "cluster": ("cluster", "ClusterPane"),
    "drills": ("drills", "DrillsPane"),
    "time": ("time", "TimePane"),
    "sql": ("sql", "SqlPane"),
    "leases": ("leases", "LeasesPane"),
    "txn": ("txn", "TxnPane"),
    "admin": ("admin", "AdminPane"),
    "log": ("log", "LogPane"),
}


def pane_class(tab: str) -> type[Pane]:
    """The class of a tab, imported now if it was not before."""
    if tab not in PANES:
        from kvorum_tui import plugins

        return plugins.pane_class(tab)
    module, name = PANES[tab]
    found: type[Pane] = getattr(import_module(f"kvorum_tui.screens.{module}"), name)
    return found


class Panes:
    """The panes that were made so far, in ``switcher``."""

    def __init__(self, kv: Workspace, first: str) -> None:
        self.kv = kv
        self.made: dict[str, Pane] = {}
        self.switcher = ContentSwitcher(initial=f"pane-{first}")

    def make(self, tab: str) -> Pane:
        """A pane that is not mounted yet; whoever composes the switcher yields it."""
        pane = pane_class(tab)(self.kv)
        self.made[tab] = pane
        return pane

    def get(self, tab: str) -> Pane:
        """A tab's pane. One that is made now is composed a moment later: what needs its widgets
        goes through :meth:`Pane.when_ready`.
        """
        pane = self.made.get(tab)
        if pane is None:
            pane = self.make(tab)
            pane.display = False
            self.switcher.mount(pane)
        return pane

    def of(self, kind: type[P]) -> P:
        """The same by its class."""
        pane = self.get(kind.tab)
        assert isinstance(pane, kind)
        return pane

    def any(self, tab: str) -> Any:
        """The pane if it was made, without a type: whoever asks has not imported its class
        either. None where nobody has looked at the tab so far.
        """
        return self.made.get(tab)

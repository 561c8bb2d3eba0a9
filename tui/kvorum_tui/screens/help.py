"""The texts behind ? (keys), F1 (what is this), ! (errors) and ctrl+q (what would be lost)."""

from __future__ import annotations

import time
from collections.abc import Iterable

from kvorum_tui.actions import TITLES, Action, of
from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.drill_run import DrillRun
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Rich

TERMS: dict[str, str] = {
    "term": "grows with every election; each term has at most one leader",
    "index": "the place of an entry in the raft log, the same on every member once committed",
    "commit": "the index up to which a quorum has the entries on disk: never lost again",
    "applied": "the index up to which a member has carried the entries out",
    "revision": "the number of a change to the store; each writing transaction adds one",
    "quorum": "more than half of the voters; without it nothing can be written",
    "lease": "a time to live that must be renewed; its keys are deleted when it ends",
    "compaction": "forgetting what stood before a revision; it can no longer be read",
}


def keys_help(pane: Pane) -> Rich:
    """Every action of this tab and of the app, with reasons where one cannot be done."""
    lines: Rich = [[(f"In {TITLES[pane.tab]}", "head")]]
    lines += [_action(each, pane.reason(each)) for each in of(pane.tab) if pane.here(each)]
    lines += [[], [("Everywhere", "head")]]
    lines += [_action(action, "") for action in of("app")]
    lines += [
        [],
        [("Lists", "head")],
        [(f"{'↑ ↓ pgup pgdn':<16}", "accent"), ("move; home and end: first and last", "text")],
        [(f"{'← →':<16}", "accent"), ("close and open a branch; scroll a long line", "text")],
        [(f"{'tab, ⇧tab':<16}", "accent"), ("go from part to part", "text")],
    ]
    others = [action for action in of(pane.tab) if not pane.here(action)]
    if others:
        lines += [[], [("In other views of this tab", "head")]]
    return lines + [_action(action, "") for action in others]


def _action(action: Action, reason: str) -> list[tuple[str, str]]:
    keys = " or ".join(action.labels)
    line = [
        (f"{keys:<16}", "accent" if not reason else "dim"),
        (action.about, "text" if not reason else "dim"),
    ]
    if reason:
        line.append((f" ({reason})", "faint"))
    return line


def about_help(pane: Pane) -> Rich:
    """What the tab shows, and the words it uses."""
    lines: Rich = [[(pane.about, "text")]]
    used = [word for word in TERMS if word in pane.about.lower()]
    if used:
        lines += [[], [("Words", "head")]]
    lines += [[(f"{word:<14}", "accent"), (TERMS[word], "text")] for word in used]
    return lines


def errors_help(errors: Iterable[tuple[float, SessionError]]) -> Rich:
    """Errors, newest first."""
    lines: Rich = []
    for at, error in reversed(list(errors)):
        clock = time.strftime("%H:%M:%S ", time.localtime(at))
        lines.append(
            [
                (clock, "dim"),
                (error.member or "-", "accent"),
                (f" {error.rpc} ", "text"),
                (error.code, "bad"),
            ]
        )
        lines.append([("         ", "dim"), (error.message, "text")])
    return lines or [[("no error so far", "dim")]]


def losses(
    held: list[int],
    cluster: ClusterModel,
    now: float,
    unsaved: bool = False,
    drill: DrillRun | None = None,
) -> Rich:
    """What leaving would end or leave behind; empty when nothing."""
    lines: Rich = []
    if drill is not None:
        name = drill.scenario.name
        lines.append([(f"The drill {name} is running: it is stopped, and healed, first.", "warn")])
    if unsaved:
        lines.append([("What you typed in the editor is not saved.", "warn")])
    if held:
        leases = words.plural(len(held), "lease")
        lines.append([(f"{leases} kept alive by this terminal will run out.", "warn")])
    faults = list(cluster.faults(now))
    if faults:
        on = words.plural(len(faults), "fault")
        lines.append([(f"{on} still on; each ends by itself in time.", "warn")])
    return lines

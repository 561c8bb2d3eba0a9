"""Recording a cluster, and moving through a recording; the same in every tab."""

from __future__ import annotations

from kvorum_tui.actions.action import Action

ACTIONS: tuple[Action, ...] = (
    Action(
        "record",
        "app",
        "f12",
        "record",
        "Record this cluster to a file: every change, what every member says; again: stop",
        shown=False,
    ),
    Action(
        "file_open",
        "app",
        "",
        "open a file",
        "Open a recording, or a snapshot of etcd or kvorum, like a cluster",
        shown=False,
    ),
    Action(
        "replay_back", "app", "alt+left", "back", "In a recording: ten seconds back", shown=False
    ),
    Action(
        "replay_play",
        "app",
        "f10",
        "play",
        "In a recording: run along recorded time, or stand; all tabs follow",
        shown=False,
    ),
    Action(
        "replay_forward",
        "app",
        "alt+right",
        "forward",
        "In a recording: ten seconds on",
        shown=False,
    ),
    Action(
        "replay_speed",
        "app",
        "alt+up",
        "speed",
        "In a recording: faster, and after the fastest the slowest",
        shown=False,
    ),
    Action(
        "replay_seek",
        "app",
        "ctrl+g",
        "go to",
        "In a recording: go to a time, a revision, a share of it",
        shown=False,
    ),
)

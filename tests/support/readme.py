"""README.md's tables that come from the code: ``python tests/support/readme.py`` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from kvorum.cli import VERBS
from kvorum_tui.actions import ACTIONS, TABS

README = Path(__file__).resolve().parents[2] / "README.md"


def verbs() -> str:
    """The verbs, as ``kvorum --help`` lists them."""
    rows = [f"| `kvorum {verb}` | {entry[2]} |" for verb, entry in VERBS.items()]
    return "\n".join(["| Verb | What it does |", "|---|---|", *rows])


def keys() -> str:
    """The keys of the terminal: everywhere, then tab by tab, as its own help shows them."""
    places = [("app", "Everywhere"), *((tab.name, tab.title) for tab in TABS)]
    rows = []
    for target, title in places:
        actions = [action for action in ACTIONS if action.target == target]
        entries = [f"`{action.label}` {action.text}" for action in actions if action.key]
        rows.append(f"| {title} | {' · '.join(entries)} |")
    return "\n".join(["| Where | Keys |", "|---|---|", *rows])


TABLES = {"verbs": verbs, "keys": keys}


def filled(text: str) -> str:
    """The text of the README with its tables as the code has them now."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda m, t=table: f"{m[1]}{t()}\n{m[2]}", text, count=1)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")

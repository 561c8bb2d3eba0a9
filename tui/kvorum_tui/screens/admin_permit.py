"""Asking for a permission: which kind, which keys; shown in words before it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_tui.model import words
from kvorum_tui.model.access_matrix import Grant, holders, parse_range, range_text, range_words
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

KINDS = {
    "r": "READ",
    "read": "READ",
    "w": "WRITE",
    "write": "WRITE",
    "rw": "READWRITE",
    "readwrite": "READWRITE",
}


def wrong_kind(text: str) -> str:
    """What is wrong with a kind; empty when nothing."""
    return "" if text.strip().lower() in KINDS else "read, write or readwrite"


def wrong_range(text: str) -> str:
    """What is wrong with keys as they were typed; empty when nothing."""
    try:
        parse_range(text)
    except ValueError as error:
        return str(error)
    return ""


async def give_permission(pane: AdminPane, role: str, grant: Grant | None) -> None:
    """Ask, beginning with a grant that is to be changed; say whom it concerns; give it."""
    fields = [
        Field(
            "kind",
            "May (read, write, readwrite)",
            grant.kind.lower() if grant else "read",
            check=wrong_kind,
        ),
        Field(
            "keys",
            "Keys: /a/* a prefix, /a one key, a .. c a range, * all",
            range_text(grant.key, grant.end) if grant else "",
            check=wrong_range,
        ),
    ]
    values = await pane.kv.push_screen_wait(Form(f"A permission for {role}", fields, "Give"))
    if values is None:
        return
    key, end = parse_range(values["keys"])
    kind = KINDS[values["kind"].strip().lower()]
    who = holders(pane.facts.picture, role)
    names = ", ".join(who[:5]) or "none has it yet"
    lines: Rich = [
        [(f"{role} may {kind.lower()} {range_words(key, end)}", "text")],
        [(f"{words.plural(len(who), 'user')}: {names}", "dim")],
    ]
    dialog = Confirm("Give this permission?", lines, "Give", danger=False)
    if await pane.kv.push_screen_wait(dialog):
        work = pane.kv.session.admin.permit(role, kind, key, end)
        await pane.changed(work, f"{role}: {kind.lower()} {range_words(key, end)}")

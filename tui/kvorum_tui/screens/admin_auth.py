"""Turning auth on and off, with etcd's rules said first; typing a new password unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_tui.model.access_matrix import ROOT
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane
    from kvorum_tui.screens.workspace import Workspace


async def new_password(kv: Workspace, title: str, may_be_none: bool = False) -> str | None:
    """A password typed twice, unseen; None when the user thinks better of it. Empty only where
    none at all may be meant.
    """
    hint = "empty: only a certificate can be this user" if may_be_none else ""
    wrong = ""
    while True:

        def check(text: str) -> str:
            return "" if text or may_be_none else "a password cannot be empty"

        fields = [
            Field("one", "Password" + (f" ({hint})" if hint else ""), check=check, hidden=True),
            Field("two", wrong or "The same again", hidden=True),
        ]
        values = await kv.push_screen_wait(Form(title, fields, "Set"))
        if values is None:
            return None
        if values["one"] == values["two"]:
            return values["one"]
        wrong = "The two were not the same; once more"


async def auth_on(pane: AdminPane) -> None:
    """Show what is needed and what follows; make what is missing; turn it on."""
    kv, admin, picture = pane.kv, pane.kv.session.admin, pane.facts.picture
    user_there = ROOT in picture.users
    role_held = ROOT in picture.users.get(ROOT, ())
    logged_in = kv.session.access.user
    lines: Rich = [
        [("It needs:", "head")],
        [_mark(user_there), ("a user root", "text")],
        [_mark(role_held), ("with the role root", "text")],
        [],
        [("From then on:", "head")],
        [("  every call needs a user; without one it is refused (user name is empty)", "text")],
        [("  open connections live on, their next call is refused", "text")],
        [("  running watches go on until they are opened anew", "text")],
        [("  each user touches only what its roles allow", "text")],
    ]
    without = [name for name, roles in picture.users.items() if not roles]
    if without:
        lines.append([(f"  may then touch nothing: {', '.join(without[:6])}", "warn")])
    if not logged_in:
        lines.append(
            [("  this terminal is nobody: it shuts itself out; open it again with", "bad")]
        )
        lines.append([("  kvorum tui --user root", "text")])
    elif logged_in not in picture.users:
        lines.append([(f"  this terminal is {logged_in}, whom nobody made a user", "bad")])
    make = not (user_there and role_held)
    yes = "Make root, turn on" if make else "Turn on"
    typed = "enable" if not logged_in or logged_in not in picture.users else ""
    if not await kv.push_screen_wait(Confirm("Turn auth on?", lines, yes, typed)):
        return
    if not user_there:
        password = await new_password(kv, "Password of root")
        if not password:
            return
        await admin.user_add(ROOT, password)
    if not role_held:
        if ROOT not in picture.roles:
            await admin.role_add(ROOT)
        await admin.grant_role(ROOT, ROOT)
    await pane.changed(admin.auth_enable(), "auth is on")


async def auth_off(pane: AdminPane) -> None:
    """Say what that opens."""
    count = len(pane.facts.picture.users)
    lines: Rich = [
        [("Everybody who reaches the cluster may then read and write everything,", "bad")],
        [("users and roles too. They stay as they are and count again when it is on.", "text")],
        [(f"{count:,} users; all their tokens end.", "dim")],
    ]
    if await pane.kv.push_screen_wait(Confirm("Turn auth off?", lines, "Turn off", "disable")):
        await pane.changed(pane.kv.session.admin.auth_disable(), "auth is off")


def _mark(there: bool) -> tuple[str, str]:
    return ("  ✓ ", "good") if there else ("  ✗ ", "warn")

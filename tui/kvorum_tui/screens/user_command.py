"""Running one of a user's own commands on what is under the cursor."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from kvorum_tui.model.commands import Missing, UserCommand
from kvorum_tui.model.decode import key_to_text
from kvorum_tui.screens.cluster import ClusterPane
from kvorum_tui.screens.command_line import CommandLine
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.leases import LeasesPane
from kvorum_tui.screens.pane import PAST, READ_ONLY
from kvorum_tui.twin import Running, environment
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


def facts(kv: Workspace) -> tuple[dict[str, str], bytes]:
    """What the places stand for now, and the value under the cursor."""
    session = kv.session
    found = {"endpoints": ",".join(session.endpoints)}
    found["endpoint"] = session.endpoints[0] if session.endpoints else ""
    value = b""
    pane = kv.pane
    if isinstance(pane, KeysPane) and pane.row is not None:
        found["prefix" if pane.row.branch else "key"] = key_to_text(pane.row.path)
        if pane.record is not None and not pane.row.branch:
            value = pane.record.value
            found["revision"] = str(pane.record.mod_revision)
            if pane.record.lease:
                found["lease"] = f"{pane.record.lease:x}"
    elif isinstance(pane, LeasesPane):
        lease = pane.chosen_lease()
        if lease:
            found["lease"] = f"{lease:x}"
    elif isinstance(pane, ClusterPane):
        member = pane.members.current
        if member is not None:
            found |= {"member": member.name, "endpoint": member.endpoint}
    if kv.at:
        found["revision"] = str(kv.at)
    return found, value


async def run_command(kv: Workspace, command: UserCommand) -> None:
    """Check, ask, run, show."""
    reason = _why_not(kv, command)
    if reason:
        kv.tell(f"{command.name}: {reason}", "warning")
        return
    found, value = facts(kv)
    if command.inputs:
        fields = [Field(name, name) for name in command.inputs]
        given = await kv.push_screen_wait(Form(command.name, fields, "Go on"))
        if given is None:
            return
        found |= given
    try:
        arguments = command.arguments(found)
    except Missing as missing:
        kv.tell(f"{command.name} needs a {missing}; put the cursor on one first", "warning")
        return
    title = shlex.join(arguments)
    if command.confirm or command.dangerous:
        lines: Rich = [[(title, "bold")]]
        if value:
            lines.append([(f"its input: the value, {len(value):,} bytes", "dim")])
        if not await kv.push_screen_wait(
            Confirm(f"Run {command.name}?", lines, "Run", danger=command.dangerous)
        ):
            return
    outside = {**os.environ, **environment(kv.session)}
    kv.app.push_screen(CommandLine(title, Running(arguments, outside, value)))


def _why_not(kv: Workspace, command: UserCommand) -> str:
    if command.tab and kv.pane.tab != command.tab:
        return f"it belongs to the tab {command.tab}"
    if command.dangerous and kv.session.read_only:
        return READ_ONLY
    if command.dangerous and kv.at:
        return PAST.format(kv.at)
    return ""

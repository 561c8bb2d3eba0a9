"""Deeds of drills that more than one tab offers, each with what it means for the quorum
said first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_tui.model.cluster_model import MemberState
from kvorum_tui.widgets.dialogs import Confirm, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


def why_no_transfer(kv: Workspace, state: MemberState | None) -> str:
    """Why leadership cannot be handed to this member now."""
    now = kv.clock()
    leader = kv.cluster.leader(now)
    if state is None or not state.id:
        return "choose a member that has answered"
    if leader is None:
        return "there is no leader to hand over from"
    if leader.id == state.id:
        return f"{state.name} leads already"
    if not state.fresh(now):
        return f"{state.name} does not answer"
    if state.report is not None and state.report.role == "learner":
        return f"{state.name} is a learner and cannot lead"
    return ""


async def transfer_leader(kv: Workspace, state: MemberState) -> None:
    """Ask, then hand leadership over."""
    leader = kv.cluster.leader(kv.clock())
    who = leader.name if leader is not None else "nobody"
    lines: Rich = [
        [(f"{who} leads now; {state.name} takes over in a new term.", "text")],
        [("Writes wait for a moment. The quorum is not touched.", "dim")],
    ]
    if await kv.push_screen_wait(
        Confirm(f"Hand leadership to {state.name}?", lines, "Hand over", danger=False)
    ):
        now = kv.clock()
        if leader is not None:
            kv.cluster.expect_loss(leader.id, now, "was asked to hand over")
        kv.cluster.note(now, "note", f"asked {who} to hand leadership to {state.name}", state.name)
        await kv.session.move_leader(state.id)


def quorum_lines(kv: Workspace, member_ids: set[int]) -> tuple[Rich, bool]:
    """What is left of the quorum without these members, to show before it is done."""
    kept, text = kv.cluster.quorum_without(member_ids, kv.clock())
    return [[(part.strip(), "text" if kept else "bad")] for part in text.split(";")], kept

"""Members: add, promote, remove, other peer URLs, and what that means for the quorum."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.model.admin_cluster import (
    Effect,
    addition,
    progress,
    promotion,
    removal,
    trail,
)
from kvorum_tui.model.admin_records import AddedMember, MemberFigures
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.screens.drill_deeds import transfer_leader, why_no_transfer
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane


class MembersView(AdminView):
    """The member table and its changes."""

    view = "members"
    about = (
        "Members with a vote decide by majority; a learner follows the log without a vote. Grow by "
        "adding a learner, starting it, and promoting it when it has caught up; add before you "
        "remove; never change two at once. A new member is first added here, then started with the "
        "variables shown below. The quorum afterwards is said before anything is done."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.table = Table(
            (
                Column("member", 12),
                Column("role", 9),
                Column("id", 16, from_width=70),
                Column("trails by", 9, right=True),
                Column("peer URLs"),
            ),
            "admin-members-table",
        )
        self.lines = TextLines(id="admin-members-lines")
        self.added: tuple[AddedMember, str] | None = None

    def compose(self) -> ComposeResult:
        """Members above, the chosen or the new one below."""
        yield box("Members", self.table)
        yield box("The chosen one", self.lines)

    def first_focus(self) -> Widget:
        """The members."""
        return self.table

    @property
    def member(self) -> MemberFigures | None:
        """The chosen one."""
        return self.facts.by_id(self.table.key) if isinstance(self.table.key, int) else None

    def refresh_facts(self, now: float) -> None:
        """Table and words."""
        figures = self.facts.figures
        rows = []
        for each in figures:
            role = "learner" if each.learner else "leader" if each.leads else "follower"
            if not each.up:
                role = "new" if not each.started else "silent"
            behind = f"{trail(each, figures):,}" if each.up else ""
            rows.append(
                Row(
                    each.id,
                    (
                        (each.name or "(not started)", "text" if each.up else "warn"),
                        (role, "accent" if each.leads else "text" if each.up else "bad"),
                        (f"{each.id:x}", "dim"),
                        (behind, "text"),
                        (",".join(each.peer_urls), "dim"),
                    ),
                )
            )
        self.table.show(rows, [(self.facts.figures_error or "asking…", "dim")])
        self.show_lines(self.lines, [*self._of_new(), *self._of_chosen()], "")

    def _of_new(self) -> Rich:
        if self.added is None:
            return []
        added, name = self.added
        program = "etcd" if self.kv.cluster.source() == "etcd" else "kvorum"
        lines: Rich = [
            [(f"member {added.id:x} added; start it with (y copies):", "good")],
            *([(line, "text")] for line in added.environment(name)),
            [("or: ", "dim"), (added.command(name, program), "text")],
        ]
        return [*lines, []]

    def _of_chosen(self) -> Rich:
        member, figures = self.member, self.facts.figures
        if member is None:
            return []
        lines: Rich = [[(f"{member.title}, {member.id:x}", "bold")]]
        if member.error:
            lines.append([(member.error, "bad")])
        if member.learner and member.up:
            share, text = progress(member, figures)
            full = int(share * 20)
            lines.append([("█" * full + "░" * (20 - full), "accent"), (f" {text}", "text")])
        lines.append([("client URLs ", "dim"), (", ".join(member.client_urls) or "none", "text")])
        effect = removal(figures, member)
        lines += [
            [
                (f"{'without it: ' if n == 0 else '            '}", "dim"),
                (text, "text" if effect.kept else "bad"),
            ]
            for n, text in enumerate(effect.lines)
        ]
        return lines

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """Root only; what needs a member of some kind."""
        member = self.member
        if name == "admin_copy":
            return "" if self.added is not None else "there is no new member to start"
        if name == "admin_leader" and member is not None:
            return why_no_transfer(self.kv, self.kv.cluster.by_id(member.id))
        reason = self.root_only()
        if reason or name == "admin_add":
            return reason
        if member is None:
            return "there is no member to choose"
        if name == "admin_promote" and not member.learner:
            return f"{member.title} has a vote already"
        if name == "admin_promote" and not member.up:
            return f"{member.title} does not answer: it cannot have caught up"
        return ""

    async def _sure(self, title: str, effect: Effect, yes: str, name: str) -> bool:
        lines: Rich = [[(line, "text" if effect.kept else "bad")] for line in effect.lines]
        if not effect.kept:
            lines.append([("This leaves no quorum: nothing could be written any more.", "bad")])
        typed = "" if effect.kept else name
        dialog = Confirm(title, lines, yes, typed, danger=not effect.kept)
        return await self.kv.push_screen_wait(dialog)

    async def do_admin_add(self) -> None:
        """Ask for name and URLs, say what follows, add, show how to start it."""

        def vote(text: str) -> str:
            return "" if text.strip().lower() in ("voter", "learner") else "voter or learner"

        names = {each.name for each in self.facts.figures}

        def free(text: str) -> str:
            if not text.strip():
                return "it needs a name"
            return f"{text.strip()} is a member already" if text.strip() in names else ""

        fields = [
            Field("name", "Name of the new member", f"n{len(names) + 1}", check=free),
            Field(
                "urls", "Peer URLs, separated by commas", hint="http://10.0.0.4:2380", check=_urls
            ),
            Field("kind", "learner (no vote until promoted) or voter", "learner", check=vote),
        ]
        values = await self.kv.push_screen_wait(Form("Add a member", fields, "Look"))
        if values is None:
            return
        learner = values["kind"].strip().lower() == "learner"
        effect = addition(self.facts.figures, learner)
        name = values["name"].strip()
        kind = "learner" if learner else "voter"
        if await self._sure(f"Add {name} as a {kind}?", effect, "Add", name):
            urls = tuple(url.strip() for url in values["urls"].split(","))
            self.added = await self.kv.session.admin.member_add(urls, learner), name
            self.kv.tell(f"{name} added; start it now")
            await self.pane.ask()

    async def do_admin_delete(self) -> None:
        """Remove, after the quorum's fate was said."""
        member = self.member
        if member is None:
            return
        effect = removal(self.facts.figures, member)
        if await self._sure(f"Remove {member.title}?", effect, "Remove", member.title):
            work = self.kv.session.admin.member_remove(member.id)
            await self.pane.changed(work, f"{member.title} removed")

    async def do_admin_promote(self) -> None:
        """A vote for a learner."""
        member = self.member
        if member is None:
            return
        effect = promotion(self.facts.figures, member)
        _, text = progress(member, self.facts.figures)
        effect = Effect((text, *effect.lines), effect.kept)
        if await self._sure(f"Give {member.title} a vote?", effect, "Promote", member.title):
            work = self.kv.session.admin.member_promote(member.id)
            await self.pane.changed(work, f"{member.title} has a vote")

    async def do_admin_urls(self) -> None:
        """Other peer URLs."""
        member = self.member
        if member is None:
            return
        value = ",".join(member.peer_urls)
        label = "Peer URLs; tell the cluster first, then move the node"
        field = Field("urls", label, value, check=_urls)
        values = await self.kv.push_screen_wait(
            Form(f"Where {member.title} listens", [field], "Set")
        )
        if values is not None and values["urls"].strip() != value:
            urls = tuple(url.strip() for url in values["urls"].split(","))
            work = self.kv.session.admin.member_update(member.id, urls)
            await self.pane.changed(work, f"peers look for {member.title} at {', '.join(urls)}")

    async def do_admin_leader(self) -> None:
        """Leadership to the chosen one."""
        state = self.kv.cluster.by_id(self.member.id) if self.member is not None else None
        if state is not None:
            await transfer_leader(self.kv, state)
            await self.pane.ask()

    def do_admin_copy(self) -> None:
        """The variables of the new member."""
        if self.added is not None:
            added, name = self.added
            self.app.copy_to_clipboard("\n".join(added.environment(name)) + "\n")
            self.kv.tell("copied the variables of the new member")


def _urls(text: str) -> str:
    for url in text.split(","):
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https", "unix", "unixs") or not parts.netloc:
            return "http://host:port or https://host:port, more with commas"
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme in ("http", "https") and not port:
            return f"{url.strip()} needs a port"
    return ""

"""Users, roles, permissions: the Admin tab's first view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from kvorum_tui.model import words
from kvorum_tui.model.access_matrix import (
    ROOT,
    Grant,
    holders,
    range_text,
    reaches_of,
)
from kvorum_tui.screens.admin_auth import auth_off, auth_on, new_password
from kvorum_tui.screens.admin_permit import give_permission
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

LETTERS = {"READ": "R", "WRITE": "W", "READWRITE": "RW"}


class AccessView(AdminView):
    """Three tables: users, roles, and what the chosen one may touch."""

    view = "access"
    about = (
        "Users log in, roles hold permissions, a user has roles. A permission is for one key, for "
        "a prefix or for a range of keys, to read (R), to write (W) or both. A range may be read "
        "only when the permissions of all roles together cover it. The role root may everything. "
        "Nothing of this counts until auth is turned on, which needs a user root with the role "
        "root. Below: what the chosen user may touch and through which role, or the permissions of "
        "the chosen role."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.said = Static("", classes="said")
        self.users = Table((Column("user", 16), Column("roles")), "admin-users")
        self.roles = Table(
            (Column("role", 16), Column("users", 6, right=True), Column("may touch")),
            "admin-roles",
        )
        self.grants = Table((Column("", 3), Column("keys"), Column("through", 20)), "admin-grants")
        self.low = box("May touch", self.grants)
        self._of_role = False

    def compose(self) -> ComposeResult:
        """Users and roles side by side, the chosen one's keys below."""
        yield self.said
        with Horizontal():
            yield box("Users", self.users)
            yield box("Roles", self.roles)
        yield self.low

    def first_focus(self) -> Widget:
        """The users."""
        return self.users

    @property
    def user(self) -> str:
        """The chosen user."""
        return str(self.users.key or "")

    @property
    def role(self) -> str:
        """The chosen role."""
        return str(self.roles.key or "")

    @property
    def at_roles(self) -> bool:
        """Whether roles or permissions have the focus, not users."""
        return self._of_role

    def refresh_facts(self, now: float) -> None:
        """Show the picture."""
        if self.users.has_focus or self.roles.has_focus:
            self._of_role = self.roles.has_focus
        facts, picture = self.facts, self.facts.picture
        self._say(now)
        asking = "" if facts.picture_at is not None else "asking…"
        nothing = picture.forbidden or facts.picture_error or asking
        self.users.show(
            [
                Row(
                    name,
                    ((name, "text"), (", ".join(roles) or "no role", "text" if roles else "dim")),
                )
                for name, roles in picture.users.items()
            ],
            [(nothing, "warn")]
            if nothing
            else [("there is no user", "text"), ("n adds one", "dim")],
        )
        self.roles.show(
            [
                Row(
                    name,
                    (
                        (name, "text"),
                        (str(len(holders(picture, name))), "dim"),
                        self._short(name, grants),
                    ),
                )
                for name, grants in picture.roles.items()
            ],
            [(nothing, "warn")]
            if nothing
            else [("there is no role", "text"), ("n adds one", "dim")],
        )
        self._show_grants()

    @staticmethod
    def _short(name: str, grants: tuple[Grant, ...]) -> tuple[str, str]:
        if name == ROOT:
            return "every key", "accent"
        shown = ", ".join(
            f"{LETTERS.get(g.kind, g.kind)} {range_text(g.key, g.end)}" for g in grants
        )
        return shown or "nothing", "text" if shown else "dim"

    def _say(self, now: float) -> None:
        facts, picture = self.facts, self.facts.picture
        if facts.picture_at is None:
            text = facts.picture_error or "asking for users and roles…"
        elif picture.enabled:
            who = facts.own.user or "nobody"
            text = f"auth is ON · you are {who}"
            if facts.own.roles:
                text += f" with {', '.join(facts.own.roles)}"
        elif picture.enabled is None:
            text = "this server does not say whether auth is on"
        else:
            text = "auth is OFF: everybody may do everything, the tables below do not count yet"
        if facts.picture_error and facts.picture_at is not None:
            text += f" · {words.age(now - facts.picture_at)}: {facts.picture_error}"
        self.said.update(Content(text))

    def _show_grants(self) -> None:
        picture, own = self.facts.picture, self.facts.own
        if picture.forbidden and not own.everything:
            self.low.border_title = Content(f"You, {own.user}, may touch")
            rows = [
                Row(
                    (role, grant),
                    (
                        (LETTERS.get(grant.kind, grant.kind), "accent"),
                        (grant.words, "text"),
                        (role, "dim"),
                    ),
                )
                for role, grant in own.grants
            ]
            unknown = "this server does not tell you what you may"
            self.grants.show(rows, [("nothing" if own.known else unknown, "warn")])
            return
        if self._of_role:
            self.low.border_title = Content(
                f"Permissions of the role {self.role}" if self.role else ""
            )
            rows = [
                Row(
                    grant,
                    (
                        (LETTERS.get(grant.kind, grant.kind), "accent"),
                        (grant.words, "text"),
                        (self.role, "dim"),
                    ),
                )
                for grant in picture.roles.get(self.role, ())
            ]
            every = "root may read and write every key" if self.role == ROOT else ""
            empty = every or "this role may touch nothing; g gives it a permission"
        else:
            self.low.border_title = Content(f"{self.user} may touch" if self.user else "")
            rows = [
                Row((letters, text, role), ((letters, "accent"), (text, "text"), (role, "dim")))
                for letters, text, role in reaches_of(picture, self.user)
            ]
            empty = "this user may touch nothing; g gives it a role"
        if not picture.users and not picture.roles:
            empty = (
                "A role holds permissions, a user has roles: tab and n make a role, g gives it "
                "keys; n makes a user, g gives it the role; o turns all that on."
            )
        self.grants.show(rows, [(empty, "dim")])

    # --- actions ----------------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """Root only; and what needs a chosen one."""
        reason = self.root_only()
        picture = self.facts.picture
        if reason or picture.forbidden:
            return reason or picture.forbidden
        if name == "admin_auth":
            return (
                "" if picture.enabled is not None else "this server does not say whether it is on"
            )
        if name == "admin_password":
            return "" if self.user and not self.at_roles else "choose a user"
        if name in ("admin_delete", "admin_grant", "admin_revoke"):
            chosen = self.role if self.at_roles else self.user
            if not chosen:
                return "nothing is chosen; n adds a user or a role"
            if name == "admin_delete" and chosen == ROOT and picture.enabled:
                return "root cannot go while auth is on"
            if name == "admin_grant" and self.at_roles and chosen == ROOT:
                return "root may everything already"
            if name == "admin_revoke":
                return self._why_not_revoke()
        return ""

    def _why_not_revoke(self) -> str:
        if self.at_roles:
            return "" if isinstance(self.grants.key, Grant) else "this role has no permission"
        return "" if self.facts.picture.users.get(self.user) else "this user has no role"

    async def do_admin_add(self) -> None:
        """A user or a role."""
        admin = self.kv.session.admin
        if self.at_roles:
            name = await self._ask_name("A new role", "Name of the role", self.facts.picture.roles)
            if name:
                await self.pane.changed(admin.role_add(name), f"role {name} added; g gives it keys")
                self.roles.goto(name)
            return
        name = await self._ask_name("A new user", "Name of the user", self.facts.picture.users)
        if not name:
            return
        password = await new_password(self.kv, f"Password of {name}", may_be_none=True)
        if password is None:
            return
        work = admin.user_add(name, password, not password)
        more = "" if password else " without a password: only a certificate can show it"
        await self.pane.changed(work, f"user {name} added{more}; g gives it a role")
        self.users.goto(name)

    async def _ask_name(self, title: str, label: str, taken: Iterable[str]) -> str:
        def check(text: str) -> str:
            if not text.strip():
                return "it needs a name"
            return f"{text.strip()} exists" if text.strip() in taken else ""

        values = await self.kv.push_screen_wait(
            Form(title, [Field("name", label, check=check)], "Add")
        )
        return values["name"].strip() if values else ""

    async def do_admin_delete(self) -> None:
        """A user or a role, after saying who is touched."""
        picture, admin = self.facts.picture, self.kv.session.admin
        if self.at_roles:
            who = holders(picture, self.role)
            lines: Rich = [
                [
                    (
                        f"{words.plural(len(picture.roles[self.role]), 'permission')} go with it.",
                        "text",
                    )
                ],
                [
                    (
                        f"{words.plural(len(who), 'user')} lose it: {', '.join(who[:5])}"
                        if who
                        else "No user has it.",
                        "warn" if who else "text",
                    )
                ],
            ]
            typed = str(len(who)) if len(who) > 3 else ""
            if await self.kv.push_screen_wait(
                Confirm(f"Delete the role {self.role}?", lines, "Delete", typed)
            ):
                await self.pane.changed(admin.role_delete(self.role), f"role {self.role} deleted")
            return
        user = self.user
        lines = [
            [(f"Roles: {', '.join(picture.users[user]) or 'none'}.", "text")],
            [("Its connections are refused from then on; its keys stay.", "text")],
        ]
        if user == self.facts.own.user:
            lines.append([("This is the user of this terminal.", "bad")])
        typed = user if user in (ROOT, self.facts.own.user) else ""
        if await self.kv.push_screen_wait(
            Confirm(f"Delete the user {user}?", lines, "Delete", typed)
        ):
            await self.pane.changed(admin.user_delete(user), f"user {user} deleted")

    async def do_admin_password(self) -> None:
        """Another password."""
        user = self.user
        password = await new_password(self.kv, f"New password of {user}")
        if password:
            work = self.kv.session.admin.user_password(user, password)
            await self.pane.changed(work, f"{user} has another password; its tokens are void")

    async def do_admin_grant(self) -> None:
        """A role for a user, or a permission for a role."""
        if self.at_roles:
            at = self.grants.key if self.grants.has_focus else None
            await give_permission(self.pane, self.role, at if isinstance(at, Grant) else None)
            return
        picture, user = self.facts.picture, self.user
        free = [role for role in (*picture.roles, ROOT) if role not in picture.users[user]]
        free = list(dict.fromkeys(free))

        def known(text: str) -> str:
            return "" if text.strip() in free else f"one of: {', '.join(free) or 'no role is left'}"

        field = Field("role", f"Role ({', '.join(free)})", free[0] if free else "", check=known)
        values = await self.kv.push_screen_wait(Form(f"Give {user} a role", [field], "Give"))
        if values:
            role = values["role"].strip()
            work = self.kv.session.admin.grant_role(user, role)
            await self.pane.changed(work, f"{user} has the role {role}")

    async def do_admin_revoke(self) -> None:
        """A permission of a role, or a role of a user."""
        admin, at = self.kv.session.admin, self.grants.key
        if self.at_roles:
            if not isinstance(at, Grant):
                return
            role = self.role
            who = holders(self.facts.picture, role)
            lines: Rich = [
                [(f"{role} may no longer {at.kind.lower()} {at.words}.", "text")],
                [(f"Users with it: {', '.join(who[:8]) or 'none'}", "dim")],
            ]
            if await self.kv.push_screen_wait(Confirm("Take this permission?", lines, "Take")):
                await self.pane.changed(admin.forbid(role, at.key, at.end), "taken")
            return
        user = self.user
        roles = self.facts.picture.users[user]

        def held(text: str) -> str:
            return "" if text.strip() in roles else f"one of: {', '.join(roles)}"

        field = Field("role", f"Role to take ({', '.join(roles)})", roles[0], check=held)
        values = await self.kv.push_screen_wait(Form(f"Take a role from {user}", [field], "Take"))
        if values:
            role = values["role"].strip()
            await self.pane.changed(admin.revoke_role(user, role), f"{user} lost the role {role}")

    async def do_admin_auth(self) -> None:
        """On or off."""
        if self.facts.picture.enabled:
            await auth_off(self.pane)
        else:
            await auth_on(self.pane)

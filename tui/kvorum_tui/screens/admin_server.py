"""Versions, quotas, settings, and a look at everything: the Admin tab's last view."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.widget import Widget

from kvorum_tui.model import words
from kvorum_tui.model.admin_records import CheckupView, ServerView
from kvorum_tui.screens.admin_view import AdminView, Column, Row, Table, box
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Reader, Rich
from kvorum_tui.widgets.paint import TextLines

if TYPE_CHECKING:
    from kvorum_tui.screens.admin import AdminPane

MARKS = {"ok": ("✓ ", "good"), "warn": ("! ", "warn"), "bad": ("✗ ", "bad")}
AGAIN_S = 30.0
SETTINGS = (
    ("auto-compaction-mode", "auto-compaction"),
    ("auto-compaction-retention", "  keeps"),
    ("quota-backend-bytes", "quota by flag"),
    ("snapshot-count", "snapshot count"),
    ("heartbeat-interval", "heartbeat ms"),
    ("election-timeout", "election ms"),
    ("feature-gates", "feature gates"),
)


class DoctorView(AdminView):
    """Members with versions, the chosen one's settings, remarks."""

    view = "server"
    about = (
        "What each member runs and how it was started: version, storage version, quota, automatic "
        "compaction, feature gates, clock, certificate. Flags are read from the members' page "
        "/debug/vars, so what came from variables or a file is not among them. h looks at "
        "everything that goes wrong quietly and lists what does not work on this kind of server, "
        "as 'kvorum doctor' prints it."
    )

    def __init__(self, pane: AdminPane) -> None:
        super().__init__(pane)
        self.table = Table(
            (
                Column("member", 12),
                Column("server", 7),
                Column("version", 9),
                Column("cluster", 8),
                Column("quota", 10, right=True),
                Column("clock", 8, right=True, from_width=70),
                Column("certificate"),
            ),
            "admin-server-table",
        )
        self.lines = TextLines(id="admin-server-lines")
        self.found: CheckupView | None = None
        self.found_at: float | None = None
        self.error = ""
        self._asking = False

    def compose(self) -> ComposeResult:
        """Members above, settings and remarks below."""
        yield box("Servers", self.table)
        yield box("Settings and remarks", self.lines)

    def first_focus(self) -> Widget:
        """The members."""
        return self.table

    def refresh_facts(self, now: float) -> None:
        """Ask now and then, show what there is."""
        old = self.found_at is None or now - self.found_at > AGAIN_S
        if old and not self._asking and self.pane.front is self and self.kv.pane is self.pane:
            self._asking = True
            self.pane.aside(self._ask, group="doctor")
        found = self.found
        if found is None:
            self.table.show([], [(self.error or "looking at every member…", "dim")])
            self.lines.show([], "")
            return
        self.table.show([Row(each.name, _cells(each)) for each in found.servers])
        chosen = next((s for s in found.servers if s.name == self.table.key), None)
        lines = [*(_settings(chosen) if chosen is not None else []), [], *self._remarks(now)]
        self.show_lines(self.lines, lines)

    async def _ask(self) -> None:
        try:
            self.found = await self.kv.session.admin.checkup()
            self.error = ""
        except SessionError as error:
            self.error = str(error)
        finally:
            self.found_at, self._asking = self.kv.clock(), False
        self.refresh_facts(self.kv.clock())
        self.kv.refresh_actions()

    def _remarks(self, now: float) -> Rich:
        found = self.found
        if found is None:
            return []
        age = words.age(now - self.found_at) if self.found_at is not None else ""
        wrong = [each for each in found.remarks if each.level != "ok"]
        lines: Rich = [
            [
                (words.plural(len(wrong), "remark") if wrong else "nothing looks wrong", "bold"),
                (f"  {age}; h shows all", "dim"),
            ]
        ]
        for each in wrong:
            who = f"{each.member}: " if each.member else ""
            lines.append(
                [MARKS[each.level], (f"{each.subject}  ", "dim"), (who + each.text, "text")]
            )
        lines.append([("What does not work here, or not fully:", "dim")])
        lines += [[(f"  {feature}: ", "dim"), (reason, "text")] for feature, reason in found.limits]
        return lines

    def why_not(self, name: str) -> str:
        """Needs an answer."""
        return "" if self.found is not None else "still looking at every member"

    async def do_admin_doctor(self) -> None:
        """Everything, anew."""
        self.found = await self.kv.session.admin.checkup()
        self.found_at = self.kv.clock()
        await self.kv.push_screen_wait(Reader("A look at everything", self.report()))

    def report(self) -> Rich:
        """All remarks, then what does not work here."""
        found = self.found
        if found is None:
            return []
        lines: Rich = []
        for each in found.remarks:
            subject = f"{each.subject:<12}{each.member:<10} "
            lines.append([MARKS[each.level], (subject, "dim"), (each.text, "text")])
        lines += [[], [("What does not work here, or not fully", "head")]]
        return lines + [
            [(f"{feature}: ", "dim"), (reason, "text")] for feature, reason in found.limits
        ]

    def do_admin_copy(self) -> None:
        """The report as text."""
        text = "\n".join("".join(part for part, _ in line) for line in self.report())
        self.app.copy_to_clipboard(text + "\n")
        self.kv.tell("copied the report")


def _cells(each: ServerView) -> tuple[tuple[str, str], ...]:
    clock = f"{each.clock_s:+.0f} s" if each.clock_s is not None else ""
    until = ""
    if each.certificate_until is not None:
        days = (each.certificate_until - time.time()) / 86_400
        until = (
            f"{time.strftime('%Y-%m-%d', time.localtime(each.certificate_until))}, {days:,.0f} d"
        )
    quota = words.size(each.quota_bytes) if each.quota_bytes else "not told"
    return (
        (each.name, "text"),
        (each.kind or "?", "dim"),
        (each.version or "?", "text"),
        (each.cluster_version or "?", "dim"),
        (quota, "text" if each.quota_bytes else "dim"),
        (clock, "dim"),
        (each.error or until or "no TLS", "bad" if each.error else "dim"),
    )


def _settings(each: ServerView) -> Rich:
    flags = dict(each.flags)
    lines: Rich = []
    for flag, title in SETTINGS:
        value = flags.get(flag) or flags.get(f"experimental-{flag}")
        if value is None and flag == "auto-compaction-mode":
            value = "periodic" if "auto-compaction-retention" in flags else "off"
            value += "" if each.flags else " or not told"
        if value is not None:
            lines.append([(f"{title:<18}", "dim"), (value, "text")])
    on = [name for name, enabled in each.gates if enabled]
    if on:
        lines.append([(f"{'features on':<18}", "dim"), (", ".join(on), "text")])
    return [[(f"{each.name} ", "bold"), ("as it was started", "dim")], *lines]

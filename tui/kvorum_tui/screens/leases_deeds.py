"""What one can do to leases and locks, each with what it means said first."""

from __future__ import annotations

import getpass
from abc import abstractmethod

from kvorum_tui.model import words
from kvorum_tui.model.decode import printable
from kvorum_tui.model.lease_table import LeaseRow, LeaseTable
from kvorum_tui.model.records import LeaseInfo
from kvorum_tui.screens.leases_feed import LeaseFeed
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich

TYPED_ABOVE = 20
TTL_MAX_S = 9_000_000_000
SAMPLES = 5


class LeaseDeeds(Pane):
    """The half of the Leases tab that changes something. ``chosen_lease`` is what the cursor is
    on.
    """

    feed: LeaseFeed

    @property
    def table(self) -> LeaseTable:
        """The leases that there are now."""
        return self.feed.table

    @abstractmethod
    def chosen_lease(self) -> int:
        """The id of the lease under the cursor, 0 without one."""

    @abstractmethod
    def show_lease(self, lease_id: int) -> None:
        """Put the cursor on a lease."""

    @abstractmethod
    def suggested_lock(self) -> str:
        """The name of the lock or election under the cursor."""

    async def _row(self) -> LeaseRow | None:
        """The chosen lease as it is this moment; None when there is none any more."""
        lease_id = self.chosen_lease()
        if not lease_id:
            return None
        told = await self.kv.session.locks.lease_times([lease_id])
        self.table.update(told, self.kv.clock(), complete=False)
        row = self.table.get(lease_id)
        if row is None:
            self.kv.tell(f"lease {lease_id:x} is gone already", "warning")
            self.feed.pulse.mark()
        return row

    async def do_lease_grant(self) -> None:
        """A new lease."""
        field = Field("ttl", "Time to live, in seconds", "60", check=_ttl)
        values = await self.app.push_screen_wait(Form("Grant a lease", [field], "Grant"))
        if values is not None:
            await self._granted(await self.kv.session.grant(int(values["ttl"])))

    async def do_lease_grant_id(self) -> None:
        """A new lease with an id of one's own."""
        fields = [
            Field("id", "Id, in hexadecimal digits", hint="694d77aa9e38260f", check=_lease_id),
            Field("ttl", "Time to live, in seconds", "60", check=_ttl),
        ]
        values = await self.app.push_screen_wait(Form("Grant a lease", fields, "Grant"))
        if values is not None:
            wanted = int(values["id"].strip(), 16)
            await self._granted(await self.kv.session.locks.grant(int(values["ttl"]), wanted))

    async def _granted(self, info: LeaseInfo) -> None:
        self.kv.tell(f"granted lease {info.id:x} for {words.span(info.granted_s)}")
        await self.feed.ask(at_once=True)
        self.show_lease(info.id)

    async def do_lease_renew(self) -> None:
        """Once."""
        lease_id = self.chosen_lease()
        left = await self.kv.session.keep_alive(lease_id)
        self.table.renewed(lease_id, left, self.kv.clock())
        self.kv.tell(f"lease {lease_id:x} has {words.span(left)} again")
        self.feed.pulse.mark()

    async def do_lease_hold(self) -> None:
        """Again and again, or no longer."""
        lease_id = self.chosen_lease()
        held = lease_id in self.table.held()
        self.table.hold(lease_id, not held)
        self.feed.renew_soon(lease_id)
        self.feed.pulse.mark()
        self.kv.tell("no longer kept alive" if held else "kept alive as long as this terminal runs")

    async def do_lease_revoke(self) -> None:
        """Show what dies, then end it."""
        row = await self._row()
        if row is None:
            return
        keys = row.info.keys
        left = words.clock(row.remaining(self.kv.clock()))
        lines: Rich = [
            [(f"Lease {row.info.id:x}, {left} left.", "text")],
            [
                (
                    f"Deletes {words.plural(len(keys), 'key')} in one revision:"
                    if keys
                    else "No key goes with it.",
                    "text",
                )
            ],
            *([("  " + printable(key), "text")] for key in keys[:SAMPLES]),
        ]
        if len(keys) > SAMPLES:
            lines.append([(f"  … and {len(keys) - SAMPLES:,} more", "dim")])
        lines += self._consequences(row)
        typed = str(len(keys)) if len(keys) > TYPED_ABOVE else ""
        if await self.app.push_screen_wait(Confirm("Revoke this lease?", lines, "Revoke", typed)):
            await self.kv.session.revoke(row.info.id)
            self.table.remove(row.info.id)
            await self.feed.ask(at_once=True)

    def _consequences(self, row: LeaseRow) -> Rich:
        """What else it means: locks that become free, and what can be undone."""
        lines: Rich = []
        for queue in self.feed.book.rows():
            for number, place in enumerate(queue.places):
                if place.record.lease != row.info.id:
                    continue
                name = printable(queue.name.prefix)
                if number == 0 and len(queue.places) > 1:
                    text = f"It holds {name}; the next in line takes over."
                elif number == 0:
                    text = f"It holds {name}, which is free then."
                else:
                    text = f"It waits for {name}, at place {number}."
                lines.append([(text, "warn")])
        if any(line[0][0].startswith("It holds") for line in lines):
            text = "Its owner is not asked, and may go on working as if it held it."
            lines.append([(text, "warn")])
        text = "A lease cannot be brought back; its keys can be written again from their history."
        lines.append([(text if row.info.keys else text.partition(";")[0] + ".", "dim")])
        return lines

    async def do_lock_stand(self) -> None:
        """Get in line, with a lease that is kept alive here."""
        fields = [
            Field("name", "Lock or election", self.suggested_lock(), check=_named),
            Field("value", "Who we are, for others to read", f"{_user()} by kvorum's terminal"),
            Field("ttl", "Time to live of the lease, in seconds", "30", check=_ttl),
        ]
        values = await self.app.push_screen_wait(Form("Stand for it", fields, "Get in line"))
        if values is None:
            return
        prefix = values["name"].strip().encode().rstrip(b"/") + b"/"
        info = await self.kv.session.locks.grant(int(values["ttl"]), 0)
        try:
            key = prefix + f"{info.id:x}".encode()
            saved = await self.kv.session.save(key, values["value"].encode(), 0, info.id)
        except SessionError:
            await self.kv.session.revoke(info.id)
            raise
        told = LeaseInfo(info.id, info.granted_s, info.remaining_s, (key,))
        self.table.update([told], self.kv.clock(), complete=False)
        self.table.hold(info.id, True)
        await self.feed.ask(at_once=True)
        name = self.feed.book.add(prefix)
        await self.feed.read_queue(name)
        queue = self.feed.book.queues[name]
        ahead = sum(p.record.create_revision < saved.revision for p in queue.places)
        text = "and holds it" if not ahead else f"behind {words.plural(ahead, 'other')}"
        self.kv.tell(f"in line for {printable(prefix)} {text}; v gives it up")

    async def do_lock_add(self) -> None:
        """Look at a prefix."""
        field = Field("name", "Name of a lock or an election", self.suggested_lock(), check=_named)
        values = await self.app.push_screen_wait(Form("Look at a queue", [field], "Look"))
        if values is not None:
            name = self.feed.book.add(values["name"].strip().encode())
            await self.feed.read_queue(name)


def _ttl(text: str) -> str:
    if not text.strip().isdigit() or not 1 <= int(text) <= TTL_MAX_S:
        return f"whole seconds from 1 to {TTL_MAX_S:,}"
    return ""


def _lease_id(text: str) -> str:
    try:
        wanted = int(text.strip(), 16)
    except ValueError:
        return "hexadecimal digits"
    return "" if 0 < wanted < 2**63 else "from 1 to 7fffffffffffffff"


def _named(text: str) -> str:
    return "" if text.strip().strip("/") else "a name, for instance /locks/backup"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"

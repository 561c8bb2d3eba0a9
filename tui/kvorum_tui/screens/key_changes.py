"""What the Keys tab may change: new, edit, restore and delete. Everything is a compare-and-swap and
is shown first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.diff import diff_values, summary
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.screens.key_edit import EditScreen
from kvorum_tui.widgets.dialogs import Choice, Confirm, Field, Form, Rich, diff_rich

if TYPE_CHECKING:
    from kvorum_tui.screens.keys import KeysPane

EDIT_MAX_BYTES = (
    64 * 1024
)  # Editing more than this in a terminal is slow; see the anchors of the editor widget.
TYPED_ABOVE = 20  # Deleting more keys than this asks for their number to be typed.


class KeyChanges:
    """The changing half of the Keys tab."""

    def __init__(self, pane: KeysPane) -> None:
        self.pane = pane

    def why_no_edit(self) -> str:
        """Why the key under the cursor cannot be edited here."""
        row, record = self.pane.row, self.pane.record
        if row is None or row.branch:
            return "put the cursor on a key first"
        if record is None:
            return "the value has not been read yet"
        if len(record.value) > EDIT_MAX_BYTES:
            size = words.size(len(record.value))
            return f"{size} is more than this editor takes (64 KiB); use kvorum put"
        try:
            record.value.decode()
        except UnicodeDecodeError:
            return "the value is no text; use kvorum put to write bytes"
        return ""

    async def new(self) -> None:
        """Ask for a key, then edit an empty value that must not exist yet."""
        pane = self.pane
        row = pane.row
        start = b""
        if row is not None:
            start = row.path if row.branch else pane.index.parent_of(row.path, False)
        values = await pane.app.push_screen_wait(
            Form(
                "New key",
                [
                    Field("key", "Key", key_to_text(start), check=_needs_key),
                    Field("lease", "Lease (hex id; empty: none)", "", check=_lease_or_empty),
                ],
                "Next: the value",
            )
        )
        if values is None:
            return
        key = key_from_text(values["key"])
        lease = int(values["lease"], 16) if values["lease"].strip() else 0
        existing = await pane.kv.session.get(key)
        if existing is not None:
            pane.kv.tell("this key exists already: editing it", "warning")
        record = existing or KeyRecord(key, b"", 0, 0, 0, lease)
        await self._edit(record, record.value)

    async def edit(self) -> None:
        """Edit what is under the cursor."""
        if self.pane.record is not None:
            await self._edit(self.pane.record, self.pane.record.value)

    async def _edit(self, base: KeyRecord, text: bytes) -> None:
        """Editor, difference, compare-and-swap; goes round until saved or given up."""
        pane = self.pane
        while True:
            edited = await pane.app.push_screen_wait(EditScreen(base, text))
            if edited is None:
                return
            lines = diff_values(base.value if base.mod_revision else None, edited)
            answer = await pane.app.push_screen_wait(
                Choice(
                    f"Save {printable(base.key)}?",
                    diff_rich(lines),
                    [("save", "Save"), ("again", "Edit again"), ("cancel", "Cancel")],
                    f"{summary(lines)}, if the key is still "
                    + (f"at revision {base.mod_revision:,}" if base.mod_revision else "absent"),
                )
            )
            if answer == "again":
                text = edited
                continue
            if answer != "save":
                return
            settled = await self._save(base, edited)
            if settled is None:
                return
            base, text = settled

    async def _save(self, base: KeyRecord, value: bytes) -> tuple[KeyRecord, bytes] | None:
        """Swap; on conflict show what others wrote. Returns what to edit again, or None when it is
        settled.
        """
        pane = self.pane
        while True:
            saved = await pane.kv.session.save(base.key, value, base.mod_revision, base.lease)
            if saved.done:
                pane.kv.tell(f"saved at revision {saved.revision:,}")
                pane.index.insert(base.key)
                pane.key_tree.goto(base.key)
                await pane.load_value(base.key)
                return None
            theirs = saved.current
            answer = await self._conflict(base, theirs, value)
            if answer == "overwrite":
                base = theirs or KeyRecord(base.key, b"", 0, 0, 0, base.lease)
                continue
            if answer == "again":
                return theirs or KeyRecord(base.key, b"", 0, 0, 0, base.lease), value
            if answer == "theirs":
                pane.kv.tell("kept what the other one wrote")
                await pane.load_value(base.key)
            return None

    async def _conflict(self, base: KeyRecord, theirs: KeyRecord | None, mine: bytes) -> str | None:
        """Somebody else wrote: show what they changed, and what overwriting would change back."""
        now = theirs.value if theirs is not None else None
        lines: Rich = [[("what they changed since you opened it:", "head")]]
        lines += diff_rich(diff_values(base.value if base.mod_revision else None, now))
        lines += [[], [("what saving yours over it would change:", "head")]]
        lines += diff_rich(diff_values(now, mine))
        at = f"at revision {theirs.mod_revision:,}" if theirs is not None else "by deleting the key"
        return await self.pane.app.push_screen_wait(
            Choice(
                f"Somebody else changed {printable(base.key)} {at}",
                lines,
                [("again", "Edit again"), ("theirs", "Take theirs"), ("overwrite", "Overwrite")],
                danger=True,
            )
        )

    async def restore(self) -> None:
        """Write the chosen revision's value again (or the one before, when the chosen one is a
        deletion).
        """
        pane = self.pane
        event = pane.history.list.current
        if event is None:
            return
        if event.kind == "delete":
            event = pane.history.list.previous
            if event is None:
                pane.kv.tell("nothing is kept from before this deletion", "warning")
                return
        current = await pane.kv.session.get(event.key)
        lines = diff_values(current.value if current is not None else None, event.value)
        answer = await pane.app.push_screen_wait(
            Choice(
                f"Write revision {event.revision:,} of {printable(event.key)} again?",
                diff_rich(lines),
                [("save", "Write it"), ("cancel", "Cancel")],
                summary(lines),
            )
        )
        if answer == "save":
            lease = current.lease if current is not None else 0
            base = current or KeyRecord(event.key, b"", 0, 0, 0, lease)
            settled = await self._save(base, event.value)
            if settled is not None:
                await self._edit(*settled)

    async def delete(self) -> None:
        """Show what goes, then delete it."""
        row = self.pane.row
        if row is None:
            return
        if row.branch:
            await self._delete_branch(row.path)
        else:
            await self._delete_key(row.path)

    async def _delete_key(self, key: bytes) -> None:
        pane = self.pane
        record = await pane.kv.session.get(key)
        if record is None:
            pane.kv.tell("this key is gone already", "warning")
            return
        lines: Rich = [
            [(printable(key), "bold")],
            [(f"{words.size(len(record.value))}, revision {record.mod_revision:,}", "dim")],
            [("Its history stays until the next compaction: h, then R, brings it back.", "dim")],
        ]
        if not await pane.app.push_screen_wait(Confirm("Delete this key?", lines, "Delete")):
            return
        saved = await pane.kv.session.delete(key, record.mod_revision)
        if saved.done:
            pane.kv.tell(f"deleted at revision {saved.revision:,}")
        else:
            pane.kv.tell("somebody else changed the key just now: nothing was deleted", "warning")

    async def _delete_branch(self, prefix: bytes) -> None:
        pane = self.pane
        total, sample = await pane.kv.session.sample(prefix, 5)
        if not total:
            pane.kv.tell("there is nothing left under this branch", "warning")
            return
        lines: Rich = [
            [
                (words.plural(total, "key"), "bold"),
                (f" under {printable(prefix)}, in one revision:", "text"),
            ],
            *([("  " + printable(key), "text")] for key in sample),
        ]
        if total > len(sample):
            lines.append([(f"  … and {total - len(sample):,} more", "dim")])
        typed = str(total) if total > TYPED_ABOVE else ""
        if await pane.app.push_screen_wait(
            Confirm("Delete all of this?", lines, f"Delete {total:,}", typed)
        ):
            deleted = await pane.kv.session.delete_prefix(prefix)
            pane.kv.tell(f"deleted {words.plural(deleted, 'key')}")


def _needs_key(text: str) -> str:
    return "" if text else "a key needs at least one byte"


def _lease_or_empty(text: str) -> str:
    try:
        return "" if not text.strip() or int(text, 16) > 0 else "a lease id is above 0"
    except ValueError:
        return "a lease id is hexadecimal, as the Leases tab shows it"

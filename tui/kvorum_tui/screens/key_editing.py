"""Writing one key: edit, new, restore. The difference is shown before, the write is a
compare-and-swap, and what others wrote meanwhile is merged, never lost.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import cast

from kvorum.client.plan import Step
from textual.app import App, SuspendNotSupported

from kvorum_tui.model import twin, words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.diff import diff_texts, diff_values, summary
from kvorum_tui.model.edit_form import EditForm, fault_in, form_to_edit
from kvorum_tui.model.merge import Merged, merge_values
from kvorum_tui.model.plan import deed_of, kv_of
from kvorum_tui.model.records import KeyRecord, Saved
from kvorum_tui.screens.key_edit import Edited, EditScreen, NoEditor, edit_outside
from kvorum_tui.screens.key_plan import log_of
from kvorum_tui.screens.key_work import KeyWork
from kvorum_tui.screens.permits import permits_of
from kvorum_tui.widgets.dialogs import Choice, Field, Form, Rich, diff_rich


class KeyEditing(KeyWork):
    """One key at a time."""

    async def new(self) -> None:
        """Ask for a key, then edit an empty value that must not exist yet."""
        row = self.pane.row
        start = b""
        if row is not None:
            start = row.path if row.branch else self.pane.index.parent_of(row.path, False)
        values = await self.kv.push_screen_wait(
            Form(
                "New key",
                [
                    Field("key", "Key", key_to_text(start), check=self._key_fault),
                    Field("lease", "Lease (hex id; empty: none)", "", check=_lease_or_empty),
                ],
                "Next: the value",
            )
        )
        if values is None:
            return
        key = key_from_text(values["key"])
        lease = int(values["lease"], 16) if values["lease"].strip() else 0
        existing = await self.kv.session.get(key)
        if existing is not None:
            self.kv.tell("this key exists already: editing it", "warning")
        await self._edit(existing or KeyRecord(key, b"", 0, 0, 0, lease))

    def _key_fault(self, text: str) -> str:
        if not text:
            return "a key needs at least one byte"
        return permits_of(self.kv).no_write(key_from_text(text))

    async def edit(self) -> None:
        """Edit what is under the cursor."""
        if self.pane.record is not None:
            await self._edit(self.pane.record)

    async def edit_outside(self) -> None:
        """The same in ``$EDITOR``."""
        if self.pane.record is not None:
            await self._edit(self.pane.record, outside=True)

    async def _edit(self, base: KeyRecord, outside: bool = False, text: str | None = None) -> None:
        """Editor, difference, compare-and-swap; goes round until saved or given up."""
        form = await self._form(base, lines=not outside)
        said = ""
        while True:
            edited = await self._ask_text(base, form, text, said, outside)
            if edited is None:
                return
            answer = await self._show_difference(base, form, edited)
            text, said = edited.text, ""
            if answer == "again":
                continue
            if answer != "save":
                return
            lease = edited.lease if edited.lease != base.lease else 0
            if lease and not await self.kv.session.plans.living({lease}):
                said = f"there is no lease {lease:x} (any more): another one, or none"
                continue
            settled = await self._save(base, form, edited)
            if settled is None:
                return
            base, form, text, said = settled

    async def _form(self, record: KeyRecord, lines: bool = True) -> EditForm:
        """How a value is edited; of a large one this takes a while."""
        chosen, decoders = self.pane.form, self.pane.decoders
        return await asyncio.to_thread(
            form_to_edit, record.key, record.value, chosen, decoders, lines
        )

    async def _ask_text(
        self, base: KeyRecord, form: EditForm, text: str | None, said: str, outside: bool
    ) -> Edited | None:
        if not outside:
            return await self.kv.push_screen_wait(EditScreen(base, form, text, said))
        if said:
            self.kv.tell(said, "warning")
        text = form.text if text is None else text
        while True:
            try:
                text = await edit_outside(cast("App[object]", self.kv.app), text, form.kind)
            except NoEditor as error:
                self.kv.tell(str(error), "warning")
                return None
            except SuspendNotSupported:
                self.kv.tell("another program cannot be run from here (a browser?)", "warning")
                return None
            fault = fault_in(form, form.kind, text)
            if fault is None:
                return Edited(form.bytes_of(text), text, base.lease)
            answer = await self.kv.push_screen_wait(
                Choice(
                    f"{printable(base.key)}: this is no {form.name} as it stands",
                    [[(str(fault), "bad")]],
                    [("again", "Edit again"), ("cancel", "Throw it away")],
                )
            )
            if answer != "again":
                return None

    async def _show_difference(self, base: KeyRecord, form: EditForm, edited: Edited) -> str | None:
        old = form.text if base.mod_revision else ""
        lines = await asyncio.to_thread(diff_texts, old, _laid_out(form, edited))
        shown: Rich = diff_rich(lines)
        if edited.lease != base.lease:
            before = f"{base.lease:x}" if base.lease else "none"
            after = f"{edited.lease:x}" if edited.lease else "none: it stays until it is deleted"
            shown = [[("lease ", "head"), (f"{before} → {after}", "accent")], *shown]
        line = twin.swap(base.key, base.mod_revision, edited.value, edited.lease)
        said = f"{summary(lines)}, if the key is still " + (
            f"at revision {base.mod_revision:,}" if base.mod_revision else "absent"
        )
        return await self.kv.push_screen_wait(
            Choice(
                f"Save {printable(base.key)}?",
                [
                    *shown,
                    [],
                    [("undo ", "head"), ("u takes it back", "dim")],
                    *self.twin_lines(line),
                ],
                [("save", "Save"), ("again", "Edit again"), ("cancel", "Cancel")],
                said,
            )
        )

    async def _save(
        self, base: KeyRecord, form: EditForm, edited: Edited
    ) -> tuple[KeyRecord, EditForm, str | None, str] | None:
        """Swap; on conflict show what others wrote, and merge. Returns what to edit again, or None
        when it is settled.
        """
        mine, lease = edited.value, edited.lease
        while True:
            saved = await self.kv.session.save(base.key, mine, base.mod_revision, lease)
            if saved.done:
                await self._saved(base, mine, lease, saved)
                return None
            theirs = saved.current
            if lease == base.lease and theirs is not None:
                lease = theirs.lease  # Only they have changed it.
            now = theirs or KeyRecord(base.key, b"", 0, 0, 0, lease)
            merged = _merge(form, base, edited.text, theirs)
            answer = await self._conflict(base, theirs, mine, form, merged)
            if answer == "merged" and merged is not None:
                form = form.like(now.value)
                mine = form.bytes_of(merged.text)
                edited = Edited(mine, merged.text, lease)
                base = now
                continue
            if answer == "overwrite":
                base = now
                continue
            if answer == "again":
                again = _like(form, now)
                text = merged.text if merged is not None else edited.text
                marks = merged.conflicts if merged is not None else 0
                said = f"{words.plural(marks, 'conflict')}: keep what you want" if marks else ""
                return KeyRecord(*_fields(now, lease)), again, text, said
            if answer == "theirs":
                self.kv.tell("kept what the other one wrote")
                await self.pane.load_value(base.key)
            return None

    async def _saved(self, base: KeyRecord, value: bytes, lease: int, saved: Saved) -> None:
        pane = self.pane
        self.kv.tell(f"saved at revision {saved.revision:,}")
        before = kv_of(base) if base.mod_revision else None
        deed = deed_of(Step(base.key, before, value, lease), saved.revision)
        title = f"{'Change' if before else 'Make'} {printable(base.key)}"
        log_of(self.kv).add(title, [deed], time.time())
        pane.index.insert(base.key)
        pane.key_tree.goto(base.key)
        await pane.load_value(base.key)

    async def _conflict(
        self,
        base: KeyRecord,
        theirs: KeyRecord | None,
        mine: bytes,
        form: EditForm,
        merged: Merged | None,
    ) -> str | None:
        """Somebody else wrote: show what they changed, and what may come of both."""
        was = form.text if base.mod_revision else ""
        now = _like(form, theirs).text if theirs is not None else ""
        lines: Rich = [[("what they changed since you opened it:", "head")]]
        lines += diff_rich(await asyncio.to_thread(diff_texts, was, now))
        choices = [("again", "Edit again"), ("theirs", "Take theirs"), ("overwrite", "Overwrite")]
        if merged is not None and not merged.conflicts:
            lines += [[], [("both together, nothing collides; against theirs:", "head")]]
            lines += diff_rich(await asyncio.to_thread(diff_texts, now, merged.text))
            choices = [("merged", "Save both"), ("again", "Edit both"), *choices[1:]]
        elif merged is not None:
            count = words.plural(merged.conflicts, "place")
            lines += [[], [(f"both of you changed {count}; yours over theirs would be:", "head")]]
            lines += diff_rich(diff_values(theirs.value if theirs is not None else None, mine))
            choices = [("again", "Resolve in the editor"), *choices[1:]]
        else:
            lines += [[], [("what saving yours over it would change:", "head")]]
            lines += diff_rich(diff_values(theirs.value if theirs is not None else None, mine))
        at = f"at revision {theirs.mod_revision:,}" if theirs is not None else "by deleting the key"
        return await self.kv.push_screen_wait(
            Choice(f"Somebody else changed {printable(base.key)} {at}", lines, choices, danger=True)
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
                self.kv.tell("nothing is kept from before this deletion", "warning")
                return
        current = await self.kv.session.get(event.key)
        lease = current.lease if current is not None else 0
        lines = diff_values(current.value if current is not None else None, event.value)
        expected = current.mod_revision if current is not None else 0
        line = twin.swap(event.key, expected, event.value, lease)
        answer = await self.kv.push_screen_wait(
            Choice(
                f"Write revision {event.revision:,} of {printable(event.key)} again?",
                [*diff_rich(lines), [], *self.twin_lines(line)],
                [("save", "Write it"), ("cancel", "Cancel")],
                summary(lines),
            )
        )
        if answer != "save":
            return
        base = current or KeyRecord(event.key, b"", 0, 0, 0, lease)
        form = await self._form(base)
        text = _like(form, replace(base, value=event.value)).text
        settled = await self._save(base, form, Edited(event.value, text, lease))
        if settled is not None:
            await self._edit(settled[0], text=settled[2])


def _merge(form: EditForm, base: KeyRecord, mine: str, theirs: KeyRecord | None) -> Merged | None:
    """The three as one; None where there is nothing to merge with, or not in this form."""
    if theirs is None or not base.mod_revision:
        return None
    try:
        other = form.text_of(theirs.value) if theirs.value else ""
    except ValueError:
        return None
    return merge_values(form.text, mine, other, form.kind == "json")


def _like(form: EditForm, record: KeyRecord) -> EditForm:
    """A value in the form of another one, or as well as it can be read."""
    try:
        return form.like(record.value)
    except ValueError:
        return form_to_edit(record.key, record.value, decoders=form.decoders)


def _laid_out(form: EditForm, edited: Edited) -> str:
    """What will be stored, in the form it came from, so that only meaning differs."""
    try:
        return form.text_of(edited.value) if edited.value else ""
    except ValueError:
        return edited.text


def _fields(record: KeyRecord, lease: int) -> tuple[bytes, bytes, int, int, int, int]:
    return (
        record.key,
        record.value,
        record.create_revision,
        record.mod_revision,
        record.version,
        lease,
    )


def _lease_or_empty(text: str) -> str:
    try:
        return "" if not text.strip() or int(text, 16) > 0 else "a lease id is above 0"
    except ValueError:
        return "a lease id is hexadecimal, as the Leases tab shows it"

"""Copy, rename, move and delete a key, a branch or the marked keys; bring deleted ones back; make a
branch as it was. Each makes a plan and hands it to :func:`run_plan`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvorum.client.planning import (
    Entry,
    PlanError,
    deleting,
    relocating,
    restoring_to,
    writing,
)
from kvorum.client.types import KeyValue

from kvorum_tui.model import twin, words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.plan import MAX_KEYS, Options, Plan, kv_of, planned
from kvorum_tui.screens.key_plan import run_plan
from kvorum_tui.screens.key_work import KeyWork, Target
from kvorum_tui.session.plans import Found
from kvorum_tui.widgets.dialogs import Confirm, Field, Form


class KeyMoves(KeyWork):
    """Plans over what stands under the cursor, or is marked."""

    async def copy_to(self) -> None:
        """Copy."""
        await self._relocate(move=False)

    async def rename(self) -> None:
        """Rename or move."""
        await self._relocate(move=True)

    async def _relocate(self, move: bool) -> None:
        target = self.target()
        if target is None:
            return
        place = await self._ask_place(target, move)
        if place is None:
            return
        source = target.place

        def renamed(key: bytes) -> bytes:
            return place + key[len(source) :]

        found = await self.read(target)
        if found is None:
            return
        living = await self.living(found.records)
        plans = self.kv.session.plans
        present = await plans.now(sorted({renamed(kv.key) for kv in found.records} - {b""}))
        verb = "Move" if move else "Copy"
        where = printable(place) + (
            "…" if target.prefix is not None or len(target.keys) > 1 else ""
        )
        title = f"{verb} {target.text} to {where}"
        line = _relocation_twin(target, renamed, move)

        def make(options: Options) -> Plan:
            made = relocating(
                found.records,
                renamed,
                present,
                move=move,
                there=options.there,
                leases=living if options.leases else frozenset(),
            )
            return planned(
                title,
                verb,
                made,
                options,
                twin=line(options.there),
                remake=make,
                leased=sum(1 for kv in found.records if kv.lease in living),
                notes=_lost_leases(found, living),
                cluster=found.cluster,
            )

        try:
            plan = await asyncio.to_thread(make, Options())
        except PlanError as error:
            self.kv.tell(str(error), "warning")
            return
        report = await run_plan(self.kv, plan)
        if report is not None and report.done:
            self.unmark()

    async def _ask_place(self, target: Target, move: bool) -> bytes | None:
        separator = self.pane.index.separator
        branch = target.prefix is not None and target.prefix.endswith(separator)
        verb = "Rename or move" if move else "Copy"

        def check(text: str) -> str:
            place = key_from_text(text)
            if not place and target.prefix != b"":
                return "" if target.prefix or len(target.keys) > 1 else "a key needs a name"
            if branch and place and not place.endswith(separator):
                return f"a branch ends with {printable(separator)}, or keys would run together"
            return "this is where it is now" if place == target.place else ""

        one = target.prefix is None and len(target.keys) == 1
        label = "To" if one else f"What {printable(target.place) or 'each key'} becomes"
        if not target.place:
            label = "What is put in front of each key"
        values = await self.kv.push_screen_wait(
            Form(
                f"{verb} {target.text}",
                [Field("to", label, key_to_text(target.place), check=check)],
                "Next: the plan",
            )
        )
        return None if values is None else key_from_text(values["to"])

    # --- delete -----------------------------------------------------------------------------------

    async def delete(self) -> None:
        """Delete a key, a branch or the marked keys."""
        target = self.target()
        if target is None:
            return
        if target.prefix is not None:
            total, sample = await self.kv.session.sample(target.prefix, 5)
            if total > MAX_KEYS:
                await self._delete_range(target.prefix, total, sample)
                return
        found = await self.read(target)
        if found is None:
            return
        plan = planned(
            f"Delete {target.text}?",
            "Delete",
            await asyncio.to_thread(deleting, found.records),
            twin=_deletion_twin(target),
            notes=("the history stays until the next compaction",),
            cluster=found.cluster,
        )
        report = await run_plan(self.kv, plan)
        if report is not None and report.done:
            self.unmark()

    async def _delete_range(self, prefix: bytes, total: int, sample: list[bytes]) -> None:
        """More than a plan takes: one deletion of the whole range, which compares nothing."""
        lines = [
            [(words.plural(total, "key"), "bold"), (f" under {printable(prefix)}", "text")],
            *([("  − ", "minus"), (printable(key), "text")] for key in sample),
            [(f"  … and {total - len(sample):,} more", "dim")],
            [("note   ", "head"), ("so many go in one deletion, compared with nothing", "warn")],
            [("undo   ", "head"), ("from the history: ^z undelete, ^b roll back", "dim")],
            [("twin   ", "head"), (twin.delete(prefix, prefix=True), "accent")],
        ]
        if await self.kv.push_screen_wait(
            Confirm("Delete all of this?", lines, f"Delete {total:,}", str(total))
        ):
            deleted = await self.kv.session.delete_prefix(prefix)
            self.kv.tell(f"deleted {words.plural(deleted, 'key')}")

    # --- the past ---------------------------------------------------------------------------------

    async def undelete(self) -> None:
        """Bring back what was deleted: the key, or all under the branch."""
        target = self.target()
        if target is None:
            return
        past = self.kv.session.past
        place = target.place
        wanted = set(target.keys)
        entries: list[Entry] = []
        lost: list[bytes] = []
        self.kv.tell(f"looking for what was deleted of {target.text}…")
        async for batch in past.deleted(place):
            for gone in batch:
                if wanted and gone.key not in wanted:
                    continue
                was = await past.get(gone.key, gone.last) if gone.last else None
                if was is None:
                    lost.append(gone.key)
                else:
                    entries.append(Entry(gone.key, was.value))
                if len(entries) > MAX_KEYS:
                    self.kv.tell(f"more than {MAX_KEYS:,} deleted keys: take a smaller branch")
                    return
        if not entries:
            more = f"; of {words.plural(len(lost), 'key')} the value is compacted" if lost else ""
            self.kv.tell(f"no deletion of {target.text} is kept{more}", "warning")
            return
        prefix = target.prefix is not None
        made = writing(entries, await self.kv.session.plans.now([e.key for e in entries]), "skip")
        notes = ["what comes back hangs on no lease"]
        if lost:
            notes.append(f"{words.plural(len(lost), 'key')} cannot come back: compacted away")
        await run_plan(
            self.kv,
            planned(
                f"Bring back what was deleted of {target.text}",
                "Undelete",
                made,
                Options("skip"),
                twin=f"kvorum undelete {twin.quoted(place)}{' --prefix' * prefix} --yes",
                notes=tuple(notes),
            ),
        )

    async def roll_back(self) -> None:
        """Make a key or branch as it was at a revision."""
        target = self.target()
        if target is None:
            return
        bounds = await self.kv.session.past.bounds()

        def check(text: str) -> str:
            try:
                revision = int(text.replace(",", ""))
            except ValueError:
                return "a revision is a number"
            kept = bounds.oldest <= revision <= bounds.newest
            return "" if kept else f"kept are {bounds.oldest:,} to {bounds.newest:,}"

        values = await self.kv.push_screen_wait(
            Form(
                f"Make {target.text} as it was",
                [
                    Field(
                        "revision",
                        f"At revision ({bounds.oldest:,} to {bounds.newest:,}; 5 Time finds one)",
                        check=check,
                    )
                ],
                "Next: the plan",
            )
        )
        if values is not None:
            await self.roll_back_to(target, int(values["revision"].replace(",", "")))

    async def roll_back_to(self, target: Target, revision: int) -> None:
        """Plan it and run it."""
        prefixes = [target.prefix] if target.prefix is not None else []
        found = await self.kv.session.plans.read(target.keys, prefixes, limit=MAX_KEYS)
        then: list[KeyValue] = []
        async for page in self.kv.session.past.state(target.place, revision):
            records = (kv_of(record) for record in page.records)
            then += [
                kv
                for kv in records
                if kv is not None and (target.prefix is not None or kv.key in target.keys)
            ]
            if len(then) > MAX_KEYS:
                break
        if found.more or len(then) > MAX_KEYS:
            self.kv.tell(f"more than {MAX_KEYS:,} keys: take a smaller branch", "warning")
            return
        made = await asyncio.to_thread(restoring_to, then, found.records)
        if not made.steps:
            self.kv.tell(f"{target.text} is as it was at revision {revision:,}")
            return
        place = twin.quoted(target.place)
        await run_plan(
            self.kv,
            planned(
                f"Make {target.text} as it was at revision {revision:,}",
                "Roll back",
                made,
                twin=f"kvorum restore-prefix {place} --revision {revision} --yes",
                notes=("keys keep the lease they have; what comes back hangs on none",),
                cluster=found.cluster,
            ),
        )


def _relocation_twin(
    target: Target, renamed: Callable[[bytes], bytes], move: bool
) -> Callable[[str], str]:
    def line(there: str) -> str:
        if target.prefix is not None:
            source, prefix = target.prefix, True
        else:
            source, prefix = target.keys[0], False
        text = twin.relocate(source, renamed(source), prefix=prefix, move=move, there=there)
        return text + (f"  (and {len(target.keys) - 1:,} more)" if len(target.keys) > 1 else "")

    return line


def _deletion_twin(target: Target) -> str:
    if target.prefix is not None:
        return twin.delete(target.prefix, prefix=True)
    text = twin.delete(target.keys[0], prefix=False)
    return text + (f"  (and {len(target.keys) - 1:,} more)" if len(target.keys) > 1 else "")


def _lost_leases(found: Found, living: frozenset[int]) -> tuple[str, ...]:
    lost = sum(1 for kv in found.records if kv.lease and kv.lease not in living)
    return (f"{words.plural(lost, 'key')} on leases that are gone come without",) if lost else ()

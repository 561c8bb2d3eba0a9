"""Keys to files and back, and several new keys at once. What is read is shown as the difference it
would make, and written as a plan.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from kvorum.client.jsonlines import Head, LineError
from kvorum.client.planning import Entry, writing
from kvorum.client.types import KeyValue, key_range
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Label, TextArea

from kvorum_tui.model import twin, words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.plan import MAX_BYTES, MAX_KEYS, Options, Plan, kv_of, planned
from kvorum_tui.model.transfer import (
    FORMATS,
    PARQUET_COLUMNS,
    parquet_rows,
    read_file,
    typed,
    written,
)
from kvorum_tui.screens.key_plan import run_plan
from kvorum_tui.screens.key_work import KeyWork, Target
from kvorum_tui.session import ReadOnly
from kvorum_tui.widgets.dialogs import Confirm, Dialog, Field, Form

ENDINGS = ", ".join(FORMATS)
EXAMPLE = "/app/port = 8080\n/app/name = web"


class ManyKeys(Dialog[str]):
    """A text with a key a line; returns it, or None."""

    DEFAULT_CSS = """
    ManyKeys TextArea, ManyKeys TextArea:focus { height: 12; border: none; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "done", priority=True)]
    dialog_title = "New keys"

    def __init__(self, start: str) -> None:
        super().__init__(classes="wide")
        self.start = start

    def body(self) -> ComposeResult:
        """How, where, what is wrong."""
        yield Label(Content("A line each: key = value, or JSON Lines as of kvorum dump."))
        yield TextArea(self.start, show_line_numbers=True, id="lines")
        yield Label("", classes="said", id="said")
        yield Label("^s next: the plan · esc cancel", classes="hint")

    def on_mount(self) -> None:
        """Type at once, behind the branch's name."""
        area = self.query_one(TextArea)
        area.focus()
        area.move_cursor(area.document.end)

    def action_done(self) -> None:
        """Check and hand over."""
        text = self.query_one(TextArea).text
        try:
            entries = typed(text)
        except LineError as error:
            self.query_one("#said", Label).update(Content(str(error)))
            return
        if not entries:
            example = EXAMPLE.split("\n")[0]
            self.query_one("#said", Label).update(Content(f"no key yet; for instance: {example}"))
            return
        self.dismiss(text)


class KeyTransfer(KeyWork):
    """Files, and many new keys."""

    async def new_many(self) -> None:
        """Type several keys."""
        row = self.pane.row
        start = b""
        if row is not None:
            start = row.path if row.branch else self.pane.index.parent_of(row.path, False)
        text = await self.kv.push_screen_wait(ManyKeys(key_to_text(start)))
        if text is not None:
            entries = typed(text)
            title = f"Write {words.plural(len(entries), 'key')}"
            await self._write(title, entries, "kvorum load - # with these lines as JSON Lines")

    # --- export -----------------------------------------------------------------------------------

    async def export(self) -> None:
        """Write keys to a file."""
        target = self.target()
        if target is None:
            return
        name = re.sub(r"[^\w.-]+", "-", printable(target.place)).strip("-.") or "keys"
        values = await self.kv.push_screen_wait(
            Form(
                f"Export {target.text}",
                [
                    Field(
                        "file",
                        f"File ({ENDINGS} choose the format)",
                        f"{name}.jsonl",
                        check=_writable_name,
                    )
                ],
                "Write",
            )
        )
        if values is None:
            return
        path = _path(values["file"])
        if await asyncio.to_thread(path.exists):
            lines = [[(str(path), "bold")], [("is there already.", "text")]]
            if not await self.kv.push_screen_wait(Confirm("Write over it?", lines, "Write over")):
                return
        found = await self._all_of(target)
        if found is None:
            return
        records, revision = found
        head = None
        if target.prefix is not None:
            head = Head(revision, *key_range(target.prefix, prefix=True))
        try:
            if path.suffix == ".parquet":
                await asyncio.to_thread(_write_parquet, path, records)
            else:
                await asyncio.to_thread(_write_file, path, written(path.suffix, records, head))
        except OSError as error:
            self.kv.tell(f"{path} cannot be written: {error.strerror or error}", "error")
            return
        self.kv.tell(
            f"wrote {words.plural(len(records), 'key')} as of revision {revision:,} to {path}\n"
            + _dump_twin(target, revision, path)
        )

    async def _all_of(self, target: Target) -> tuple[list[KeyValue], int] | None:
        """The keys as one looks at them: now, or at the revision that all tabs look at."""
        if not self.kv.at:
            try:
                found = await self.read(target)
            except ReadOnly:
                pass  # A recording, which has no plans: its past knows the keys.
            else:
                return None if found is None else (list(found.records), found.revision)
        records: list[KeyValue] = []
        revision = self.kv.at
        async for page in self.kv.session.past.state(target.place, self.kv.at):
            revision = page.revision
            for record in page.records:
                kv = kv_of(record)
                if kv is not None and (target.prefix is not None or kv.key in target.keys):
                    records.append(kv)
            if len(records) > MAX_KEYS:
                self.kv.tell(f"more than {MAX_KEYS:,} keys; use kvorum dump", "warning")
                return None
        return records, revision

    # --- import -----------------------------------------------------------------------------------

    async def import_(self) -> None:
        """Read keys from a file."""
        values = await self.kv.push_screen_wait(
            Form(
                "Import",
                [
                    Field("file", "File (.jsonl or .csv)", check=_readable_name),
                    Field("to", "Put in front of every key (empty: nothing)"),
                ],
                "Next: the difference",
            )
        )
        if values is None:
            return
        path = _path(values["file"])
        front = key_from_text(values["to"])
        try:
            data = await asyncio.to_thread(path.read_bytes)
            if len(data) > MAX_BYTES:
                raise LineError(f"{words.size(len(data))} are too much; use kvorum load")
            entries = await asyncio.to_thread(read_file, data, path.suffix)
        except OSError as error:
            self.kv.tell(f"{path} cannot be read: {error.strerror or error}", "error")
            return
        except LineError as error:
            self.kv.tell(f"{path.name}: {error}", "error")
            return
        if len(entries) > MAX_KEYS:
            self.kv.tell(f"{len(entries):,} keys are too many for one plan; use kvorum load")
            return
        option = f" --to-prefix {twin.quoted(front)}" if front else ""
        line = f"kvorum load {twin.quoted(os.fsencode(path))}{option}"
        if path.suffix == ".csv":
            line = "kvorum load reads JSON Lines; export them as .jsonl for it"
        await self._write(
            f"Import {words.plural(len(entries), 'key')} from {path.name}",
            [entry._replace(key=front + entry.key) for entry in entries],
            line,
        )

    async def _write(self, title: str, entries: Sequence[Entry], line: str) -> None:
        """Show and write keys."""
        plans = self.kv.session.plans
        present = await plans.now(sorted({entry.key for entry in entries}))
        leases = {entry.lease for entry in entries if entry.lease}
        living = await plans.living(leases) if leases else frozenset()
        cluster = await plans.cluster()
        lost = sum(1 for entry in entries if entry.lease and entry.lease not in living)
        notes = (
            (f"{words.plural(lost, 'key')} on leases that are gone come without",) if lost else ()
        )

        def make(options: Options) -> Plan:
            kept = living if options.leases else frozenset()
            made = writing(_leased(entries, kept), present, options.there)
            return planned(
                title,
                "Write",
                made,
                options,
                twin=line,
                remake=make,
                leased=sum(1 for entry in entries if entry.lease in living),
                notes=notes,
                cluster=cluster,
            )

        await run_plan(self.kv, await asyncio.to_thread(make, Options()))


def _leased(entries: Iterable[Entry], living: frozenset[int]) -> list[Entry]:
    return [each if each.lease in living else each._replace(lease=0) for each in entries]


def _write_file(path: Path, text: Iterable[str]) -> None:
    """What is written may be secret: a new file is for its owner only."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.writelines(text)


def _write_parquet(path: Path, records: Sequence[KeyValue]) -> None:
    from kvorum.history.exporting import export

    export("parquet", path, PARQUET_COLUMNS, parquet_rows(records))


def _dump_twin(target: Target, revision: int, path: Path) -> str:
    if target.prefix is None and len(target.keys) == 1:
        return f"twin: kvorum get {twin.quoted(target.keys[0])} --rev {revision} -w json"
    place = f" {twin.quoted(target.place)}" if target.place else ""
    if target.prefix is None:
        return f"twin: none for marked keys; kvorum dump{place} --rev {revision} writes these too"
    name = twin.quoted(os.fsencode(path.with_suffix(".jsonl")))
    return f"twin: kvorum dump{place} --rev {revision} -o {name}"


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _writable_name(text: str) -> str:
    path = _path(text)
    if path.suffix not in FORMATS:
        return f"the name ends with one of {ENDINGS}"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"


def _readable_name(text: str) -> str:
    path = _path(text)
    if not path.is_file():
        return "there is no such file"
    return "" if path.suffix in (".jsonl", ".csv", ".json") else "a file ends with .jsonl or .csv"

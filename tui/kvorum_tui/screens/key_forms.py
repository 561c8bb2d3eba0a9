"""The value in the Keys tab: read when the cursor rests, decoded beside the event loop where it is
large, in the form that fits or a chosen one; and copying it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from textual.content import Content

from kvorum_tui.key_feed import COMPACTED
from kvorum_tui.model import words
from kvorum_tui.model.copy_as import TERMINAL_MAX, Copy, copies
from kvorum_tui.model.decode import key_to_text, one_line, printable
from kvorum_tui.model.decoders import Decoded
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.screens.key_base import ON_A_KEY, KeysView
from kvorum_tui.screens.key_view import lit_rich, meta_rich, value_rich
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.choose import Choose, Item
from kvorum_tui.widgets.dialogs import Field, Form

REST_S = 0.03  # A cursor that moves on sooner reads nothing.
AGAIN_S = 2.0  # A value that no member told is asked for again; another key ends that.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
SMALL = 8 * 1024  # Values up to here are decoded at once.
PEEK_CELLS = 200


class KeyForms(KeysView):
    """The half of the Keys tab that shows values."""

    _read_revision: int
    _whole: bool

    async def load_value(self, key: bytes) -> None:
        """Read the key under the cursor, at the revision that is looked at."""
        await asyncio.sleep(REST_S)
        while True:
            try:
                record = await self._read(key)
                break
            except SessionError as error:
                if self.record is None and self.row is not None and self.row.path == key:
                    self.value_view.show(
                        [[("the value cannot be read", "warn")], [(str(error), "dim")]]
                    )
                self.foot.update(Content(f"not read: {error.message}"))
                if error.code not in PASSING:
                    return
            await asyncio.sleep(AGAIN_S)
            if self.row is None or self.row.path != key or self.row.branch:
                return
        decoded = await self._decoded(record) if record is not None else None
        if self.row is None or self.row.path != key or self.row.branch:
            return
        self.record, self.decoded = record, decoded
        self._read_revision = self.kv.at or self.feed.revision
        if record is not None and not self.kv.at and key not in self.gone:
            self.places.visit(key)
        self.show_record()
        self.kv.refresh_actions()

    async def _read(self, key: bytes) -> KeyRecord | None:
        gone = self.gone.get(key)
        if gone is not None and not self.kv.at:
            return await self.kv.session.past.get(key, gone.last) if gone.last else None
        try:
            return await self.kv.session.get(key, self.kv.at)
        except SessionError as error:
            if error.code != COMPACTED or not self.kv.at:
                raise
        return await self.kv.session.past.get(key, self.kv.at)

    async def _decoded(self, record: KeyRecord) -> Decoded:
        """In a thread where it would hold up the screen."""
        form = self.form
        if not form:
            chosen = self.places.type_of(record.key)
            form = f"protobuf:{chosen}" if chosen in self.decoders.schema.messages else ""
        if len(record.value) <= SMALL:
            decoded = self.decoders.decode(record.value, form)
        else:
            decoded = await asyncio.to_thread(
                self.decoders.decode, record.value, form, deep=True, whole=self._whole
            )
        for problem in self.decoders.problems():
            self.kv.tell(problem, "warning")
        return decoded

    def masked(self) -> None:
        """The value, or the change that the history stands on."""
        self.show_record()
        self.history.show_chosen()

    def show_record(self) -> None:
        """Paint the record in the chosen view."""
        record, decoded = self.record, self.decoded
        if record is None or decoded is None:
            at = self.kv.at
            text = f"this key did not exist at revision {at:,}" if at else "this key is deleted"
            self.value_view.show([[(text, "warn")], [("h shows its history", "dim")]])
            self.foot.update("")
            return
        form = decoded.title + (" (chosen)" if self.form else "")
        form += " · cut, O shows all" if decoded.cut else ""
        lease = f" · lease {record.lease:x}" if record.lease else ""
        size = words.size(len(record.value))
        text = f"rev {record.mod_revision:,} · version {record.version:,} · {size} · {form}{lease}"
        if record.one_member:
            text = "NO QUORUM, one member's view · " + text
        gone = self.gone.get(record.key)
        if gone is not None and not self.kv.at:
            text = f"DELETED at {gone.revision:,}, its last value · " + text
        self.foot.update(Content(text))
        if not self.doing.has_class("on"):
            self.doing.update(Content(one_line(record.value, PEEK_CELLS)))
        if self.view == "info":
            read = max(self._read_revision, record.mod_revision)
            self.value_view.show(meta_rich(record, read, decoded))
        elif self.view == "value":
            rich = value_rich(decoded, self.value_view.scrollable_content_region.width)
            if self.lit():
                rich = lit_rich(rich, re.compile(self.lit(), re.IGNORECASE))
            self.value_view.show(rich)

    def why_not_form(self, name: str) -> str:
        """What needs a value, or more of it."""
        if name in ("key_form", "key_meta") and (self.row is None or self.row.branch):
            return ON_A_KEY
        if name == "key_whole" and (self.decoded is None or not self.decoded.cut or self._whole):
            return "all of this value is shown"
        return ""

    async def do_key_form(self) -> None:
        """Choose among the forms that fit."""
        record = self.record
        if record is None:
            return
        fits = await asyncio.to_thread(self.decoders.fitting, record.value)
        shown = self.decoded.kind if self.decoded is not None else ""
        items = [Item("", "by itself", "the form that fits best")]
        for fit in fits:
            name = fit.name.removeprefix("protobuf:")
            edit = "" if not fit.edit else " · to look at only"
            mark = "  (shown)" if fit.name == shown else ""
            items.append(Item(fit.name, name + mark, fit.about + edit))
        items.append(
            Item(" schema", "protobuf by descriptor…", "read types from a descriptor set file")
        )
        answer = await self.app.push_screen_wait(
            Choose(f"Show {printable(record.key)} as", items, "what fits stands here")
        )
        if answer == " schema":
            await self._ask_schema()
            await self.do_key_form()
        elif answer is not None:
            await self._use_form(answer)

    async def _use_form(self, form: str) -> None:
        """Show values so from now on; a message type counts for the branch of this key."""
        row = self.row
        self.form = self.history.form = "" if form.startswith("protobuf:") else form
        if row is not None and not row.branch:
            above = self.index.branches_of(row.path)
            branch = above[-1] if above else row.path
            if form.startswith("protobuf:"):
                self.places.choose_type(branch, form.removeprefix("protobuf:"))
                self.kv.tell(f"values under {printable(branch)} are {form[9:]} from now on")
            elif not form:
                self.places.choose_type(branch, "")
        self.set_view("value")
        if self.record is not None:
            self.decoded = await self._decoded(self.record)
            self.show_record()

    async def _ask_schema(self) -> None:
        field = Field(
            "path",
            "Descriptor set (protoc --include_imports --descriptor_set_out=FILE …)",
            check=lambda text: "" if Path(text).expanduser().is_file() else "no such file",
        )
        values = await self.app.push_screen_wait(Form("Protobuf types", [field], "Read it"))
        if values is not None:
            path = await asyncio.to_thread(_absolute, values["path"])
            if await self.read_schema(path) and path not in self.places.schemas:
                self.places.schemas.append(path)

    async def read_schema(self, path: str) -> bool:
        """Read a descriptor set; False, and said, when it cannot be."""
        try:
            data = await asyncio.to_thread(Path(path).read_bytes)
            types = await asyncio.to_thread(self.decoders.schema.add, data)
        except (OSError, ValueError) as error:
            self.kv.tell(f"{path}: {error}", "warning")
            return False
        self.kv.tell(f"{words.plural(types, 'message type')} read")
        return True

    async def do_key_whole(self) -> None:
        """All of a large value."""
        record = self.record
        if record is None:
            return
        self._whole = True
        try:
            self.decoded = await self._decoded(record)
        finally:
            self._whole = False
        self.show_record()

    async def do_key_copy(self) -> None:
        """Choose what to copy, and how."""
        row = self.row
        if row is None:
            return
        record = self.record if not row.branch else None
        shown = "\n".join(self.decoded.lines) if self.decoded is not None else ""
        ways = copies(row.path, row.branch, record, shown, self.kv.session.endpoints[0], self.kv.at)
        if len(self.marks):
            text = "\n".join(map(key_to_text, self.marks.all()))
            ways.insert(0, Copy("marked", f"{len(self.marks):,} marked keys, a line each", text))
        items = []
        for way in ways:
            size = len(way.text)
            wrong = way.why_not
            if size > TERMINAL_MAX:
                wrong = f"{words.size(size)} is more than terminals take (100 KB)"
            items.append(Item(way.name, way.name, f"{way.about}: {way.text[:80]!r}", wrong))
        answer = await self.app.push_screen_wait(Choose(f"Copy {printable(row.path)} as", items))
        chosen = next((way for way in ways if way.name == answer), None)
        if chosen is not None:
            self.app.copy_to_clipboard(chosen.text)
            self.kv.tell(f"copied: {chosen.about}")


def _absolute(text: str) -> str:
    return str(Path(text).expanduser().resolve())

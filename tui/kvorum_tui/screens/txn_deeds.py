"""What one does with a transaction: run it after a look at what it would do, take it from a
template, keep it as one, copy it as a command.
"""

from __future__ import annotations

import asyncio

from kvorum.client.ops import Compare, Op, Txn
from kvorum.client.types import to_bytes

from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.model.shelf import TRANSACTIONS, Saved, ShelfError
from kvorum_tui.model.txn_form import Place, read_text, text_of
from kvorum_tui.model.txn_light import Verdict, judge, ranges_of
from kvorum_tui.model.txn_template import TemplateError, fill, keys_read, variables
from kvorum_tui.model.txn_words import (
    command,
    deletions,
    light_words,
    preview,
    result_lines,
    written,
)
from kvorum_tui.screens.pane import Pane
from kvorum_tui.widgets.choose import Choose, Item
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich
from kvorum_tui.widgets.paint import TextLines

TYPED_ABOVE = 20  # Keys that go: more than this are to be typed.
SAMPLE = 5
LOOK_KEYS = 100


class TxnDeeds(Pane):
    """The half of the Txn tab that deals with the cluster and with files."""

    txn: Txn
    saved: list[Saved]
    values: dict[str, str]
    result: TextLines

    def show_txn(self, txn: Txn, place: Place | None = None) -> None:
        """Show another transaction."""

    async def look(self) -> None:
        """Ask what stands in the keys that are compared."""

    async def reload(self) -> None:
        """Read the templates."""

    def item_here(self) -> Compare | Op | None:
        """The condition or operation under the cursor."""
        return None

    # --- running ----------------------------------------------------------------------------------

    async def do_txn_run(self) -> None:
        """Show what it would do, ask, send it, show what came of it."""
        txn = self.txn
        lines, gone = await self._preview(txn)
        typed = str(gone) if gone > TYPED_ABOVE else ""
        question = Confirm("Run this transaction?", lines, "Run", typed, danger=gone > 0)
        if not await self.kv.push_screen_wait(question):
            return
        result = await self.kv.session.txns.commit(txn)
        self.result.show([list(parts) for parts in result_lines(txn, result)])
        box = self.result.parent
        if box is not None:
            box.display = True
        await self.look()

    async def _preview(self, txn: Txn) -> tuple[Rich, int]:
        """Lines to read before it is sent, and how many keys would go."""
        writes = written(txn)
        looked = await self.kv.session.txns.look([*ranges_of(txn.compares), *writes], LOOK_KEYS)
        of_compares = len(ranges_of(txn.compares))
        spots = dict(zip(writes, looked.spots[of_compares:], strict=True))
        seen = type(looked)(looked.revision, looked.spots[:of_compares])
        verdicts: list[Verdict] = judge(txn.compares, seen)
        text, ink = light_words(verdicts, len(txn.compares))
        lines: Rich = [
            [("One transaction on ", "text"), (self.kv.cluster_title, "bold"), (":", "text")],
            [(text, ink)],
            [],
        ]
        holds = all(verdict.holds for verdict in verdicts)
        for name, ops, runs in (("Then", txn.then, holds), ("Else", txn.else_, not holds)):
            if ops:
                lines.append([(f"{name}{', which would run now' if runs else ''}:", "branch")])
                lines += preview(ops, spots)
        lines += [
            [],
            [("u in the Keys tab takes writes back, as long as history keeps them", "dim")],
        ]
        gone = max(deletions(txn.then, spots), deletions(txn.else_, spots))
        return lines, gone

    # --- templates --------------------------------------------------------------------------------

    async def do_txn_templates(self) -> None:
        """Choose one, say its values, read what it wants from keys."""
        await self.reload()
        items = [
            Item(saved.name, saved.name, ("yours · " if saved.own else "") + saved.about)
            for saved in self.saved
        ]
        said = f"f4 keeps the transaction as one, in {TRANSACTIONS.path}"
        chosen = await self.kv.push_screen_wait(Choose("Templates", items, said))
        for saved in self.saved:
            if saved.name == chosen:
                await self.take(saved)

    async def take(self, saved: Saved) -> None:
        """Fill a template in and show it."""
        names = variables(saved.text)
        known = {**saved.defaults, **self.values}
        if names:
            fields = [Field(name, f"${name}", known.get(name, "")) for name in names]
            values = await self.kv.push_screen_wait(Form(saved.name, fields, "Take"))
            if values is None:
                return
            self.values.update(values)
        read = keys_read(saved.text)
        records: dict[str, KeyRecord | None] = {}
        if read:
            ranges = [(key_from_text(self.values[name]), b"") for name in read]
            looked = await self.kv.session.txns.look(ranges, SAMPLE, self.kv.at)
            for name, spot in zip(read, looked.spots, strict=True):
                records[name] = spot.records[0] if spot.records else None
        try:
            text = fill(saved.text, self.values, records)
        except TemplateError as error:
            self.kv.tell(str(error), "warning")
            return
        txn, wrong = read_text(text)
        if txn is None:
            self.kv.tell(f"{saved.name}: {wrong}", "warning")
            return
        self.show_txn(txn)

    async def do_txn_keep(self) -> None:
        """Keep the text under a name; ``$names`` typed into it become variables."""
        fields = [
            Field("name", "Name", "", check=lambda text: "" if text.strip() else "a name, please"),
            Field("about", "What it is for", ""),
        ]
        answer = await self.kv.push_screen_wait(Form("Keep as a template", fields, "Keep"))
        if answer is None:
            return
        text, _ = text_of(self.txn)
        kept = Saved(answer["name"].strip(), text.rstrip(), answer["about"].strip(), own=True)
        try:
            await asyncio.to_thread(TRANSACTIONS.keep, kept)
        except (OSError, ShelfError) as error:
            self.kv.tell(f"{TRANSACTIONS.path}: {error}", "error")
            return
        await self.reload()
        self.kv.tell(f"kept as {kept.name}; $names in it are asked for")

    async def fill_nested(self, inner: Txn) -> Txn | None:
        """A transaction within, written as text on one line: ``;`` stands for a new line."""
        text, why = text_of(inner)
        if why:
            self.kv.tell(f"{why}: take it out and add it anew", "warning")
            return None
        shown = text.rstrip().replace("\n", " ; ")
        field = Field(
            "text",
            'As text, lines apart by " ; ", an empty line is " ;  ; "',
            shown or 'mod("key") = "0" ;  ; put -- "key" "value" ;  ; get -- "key"',
            check=lambda typed: read_text(_lines(typed))[1],
        )
        answer = await self.kv.push_screen_wait(Form("A transaction within", [field], "Take"))
        return None if answer is None else read_text(_lines(answer["text"]))[0]

    # --- elsewhere --------------------------------------------------------------------------------

    def do_txn_copy(self) -> None:
        """etcdctl's command."""
        self._copy("etcdctl")

    def do_txn_copy_kvorum(self) -> None:
        """kvorum's command."""
        self._copy("kvorum")

    def _copy(self, program: str) -> None:
        text = command(program, self.txn)
        self.app.copy_to_clipboard(text)
        self.kv.tell(f"copied: {program} txn, {words.plural(len(text), 'character')}")

    def do_txn_key(self) -> None:
        """The row's key in the Keys tab."""
        item = self.item_here()
        if item is not None and not isinstance(item, Txn):
            self.kv.goto_key(to_bytes(item.key))


def _lines(text: str) -> str:
    return "\n".join(part.strip() for part in text.split(" ; "))

"""What the Watch tab does beside showing: files, hooks, layouts; its pane inherits it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kvorum_tui.model import words
from kvorum_tui.model.typed import file_of, said_yes, yes_or_no
from kvorum_tui.model.watch_layout import PANES_MAX, Layout, PaneSpec
from kvorum_tui.screens import watch_forms as forms
from kvorum_tui.screens.pane import Pane
from kvorum_tui.screens.watch_box import Box, WatchBox
from kvorum_tui.session import SessionError
from kvorum_tui.watch_files import EventFile, load_layout, save_layout, write_events
from kvorum_tui.watch_hooks import Commands, Hook, command_words
from kvorum_tui.widgets.dialogs import Choice, Field, Form

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace


class WatchKeeping(Pane):
    """Files, hooks and layouts of the panes. The screen says which panes there are."""

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.commands = Commands(self._command_told, lambda: not kv.session.read_only)
        self.kept: Layout | None = None

    @property
    def boxes(self) -> list[Box]:
        """Open panes, in order."""
        return []

    @property
    def watching(self) -> WatchBox | None:
        """The current pane, if it is a watch of its own."""
        return None

    def open_pane(self, spec: PaneSpec, start_revision: int = 0) -> None:
        """Open a pane as a layout describes it."""

    def tile(self) -> None:
        """Lay the panes out anew."""

    async def do_watch_save(self) -> None:
        """To a file, once or from now on."""
        box = self.watching
        if box is None:
            return
        if box.file is not None:
            await self._stop_file(box)
            return
        values = await self.app.push_screen_wait(forms.save_form(box.named or box.what))
        if values is None:
            return
        path = file_of(values["file"])
        entries = list(box.log_view.buffer.entries)
        size = await asyncio.to_thread(write_events, path, entries)
        if said_yes(values["on"]):
            box.file = EventFile(path)
            self.kv.tell(f"{path.name}: {len(entries):,} rows, and every event from now on")
        else:
            self.kv.tell(f"{path.name}: {words.plural(len(entries), 'row')}, {words.size(size)}")
        box.subtitle()

    async def _stop_file(self, box: WatchBox) -> None:
        file = box.file
        if file is None:
            return
        text = f"{words.plural(file.events, 'event')} since {file.path.name} was begun"
        choices = [("on", "Go on"), ("stop", "Stop writing")]
        question = Choice("Writing events", [[(text, "text")], [(file.error, "bad")]], choices)
        if await self.app.push_screen_wait(question) == "stop":
            await box.stop_file()
            self.kv.tell(f"{file.path.name}: closed after {words.size(file.bytes)}")
        box.subtitle()

    async def do_watch_hook(self) -> None:
        """Bell, note, command; a command is shown as it will run, and confirmed."""
        box = self.watching
        if box is None:
            return
        read_only = self.kv.session.read_only
        values = await self.app.push_screen_wait(forms.hook_form(box.hooks.hook, read_only))
        if values is None:
            return
        command = command_words(values["command"])
        if command and command != box.hooks.hook.command:
            question = forms.command_question(command, box.what, box.buffer.filter.text)
            if not await self.app.push_screen_wait(question):
                return
        bell, toast = said_yes(values["bell"]), said_yes(values["toast"])
        box.hooks.hook = Hook(bell, toast, command)
        box.subtitle()

    def ring(self) -> None:
        """The bell."""
        self.app.bell()

    def _command_told(self, command: str, text: str) -> None:
        """What a hook's command printed is kept with the errors, without a note."""
        self.kv.errors.append((time.time(), SessionError(text, rpc=f"hook {command}")))

    async def do_watch_record(self) -> None:
        """Record the cluster, or stop."""
        await self.kv.recording.record()

    @property
    def cluster_name(self) -> str:
        """What this cluster's layout is kept under: its id, where it is known."""
        for state in self.kv.cluster.rows():
            if state.report is not None and state.report.cluster_id:
                return f"{state.report.cluster_id:x}"
        return self.kv.cluster_title

    async def look_for_layout(self) -> None:
        try:
            self.kept = await asyncio.to_thread(load_layout, self.cluster_name)
        except (ValueError, OSError) as error:
            self.kv.tell(f"the layout kept for this cluster cannot be read: {error}", "warning")
            return
        if self.kept is not None and self.kept.at_start and not self.boxes:
            self._open_kept(self.kept)
        elif not self.boxes:
            self.tile()
        self.kv.refresh_actions()

    def _open_kept(self, layout: Layout) -> None:
        for spec in layout.panes[: PANES_MAX - len(self.boxes)]:
            self.open_pane(spec)

    async def do_watch_keep(self) -> None:
        """Keep these panes."""
        specs = tuple(box.spec() for box in self.boxes)
        text = f"Open these {words.plural(len(specs), 'pane')} at the next start? (y/n)"
        field = Field("start", text, "y", check=yes_or_no)
        values = await self.app.push_screen_wait(Form("Keep this layout", [field], "Keep"))
        if values is not None:
            self.kept = Layout(specs, said_yes(values["start"]))
            path = await asyncio.to_thread(save_layout, self.cluster_name, self.kept)
            self.kv.tell(f"kept in {path}; hooks and files are not part of it")

    def do_watch_layout(self) -> None:
        """Open what was kept."""
        if self.kept is not None:
            self._open_kept(self.kept)

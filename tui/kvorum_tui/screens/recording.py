"""Recording the cluster that one looks at, and the line of a recording's time; part of every
workspace.

What reads and writes files is imported when it is needed: most never open one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events

from kvorum_tui.model import words
from kvorum_tui.model.replay_line import (
    clock_text,
    day_text,
    next_speed,
    place,
    speed_text,
    time_at,
    wanted_time,
)
from kvorum_tui.model.typed import file_of, needs_file, said_yes, yes_or_no
from kvorum_tui.session import SessionError
from kvorum_tui.widgets.dialogs import Choice, Field, Form
from kvorum_tui.widgets.paint import Line, Painted

if TYPE_CHECKING:
    from kvorum_tui.clusters import ClustersApp
    from kvorum_tui.recording.recorder import Recorder
    from kvorum_tui.recording.session import RecordingSession
    from kvorum_tui.recording.tape import Tape
    from kvorum_tui.screens.workspace import Workspace

STEP_MS = 10_000
REFRESH_S = 0.25
WIDE = 110  # From here on there is room for all keys.
TITLE = 28


class RecordingLine(Painted):
    """On a cluster: nothing to see, but it records. On a recording: where one looks."""

    DEFAULT_CSS = "RecordingLine { height: 1; background: $panel; display: none; }"

    def __init__(self, kv: Workspace) -> None:
        super().__init__()
        self.kv = kv
        self.recorder: Recorder | None = None
        self._task: asyncio.Task[None] | None = None

    def on_mount(self) -> None:
        """Show the line where there is one."""
        self.display = self.tape is not None
        self.set_interval(REFRESH_S, self._tick)

    async def on_unmount(self) -> None:
        """The cluster is closed, or the terminal: a recording is completed."""
        await self.stop()

    def _tick(self) -> None:
        if self.tape is not None:
            self.refresh()
        self._show_state()

    # --- recording --------------------------------------------------------------------------------

    def _show_state(self) -> None:
        recorder, header = self.recorder, self.kv.header
        text = ""
        if recorder is not None:
            state = recorder.state
            text = f"REC {words.size(state.written.size_bytes)}"
            text += f" {words.clock(time.time() - state.began)}"
            if state.error:
                text += " !"
        if header.recording != text:
            header.recording = text
            header.refresh()

    async def record(self) -> None:
        """Begin a recording, or ask whether to end the one that runs."""
        if self.tape is not None:
            self.kv.tell(f"record: {self.kv.session.why_read_only} already", "warning")
            return
        if self.recorder is not None:
            await self._ask_stop(self.recorder)
            return
        name = "".join(c if c.isalnum() else "-" for c in self.kv.cluster_title).strip("-")
        start = Path.cwd() / f"{name or 'cluster'}-{time.strftime('%Y%m%d-%H%M%S')}.kvrec"
        fields = [
            Field("file", "Record to", str(start), check=needs_file),
            Field(
                "whole",
                "From the oldest kept revision? (n: from now on)",
                "n",
                check=yes_or_no,
            ),
        ]
        values = await self.kv.push_screen_wait(Form("Record this cluster", fields, "Record"))
        if values is not None:
            self.begin(file_of(values["file"]), said_yes(values["whole"]))

    def begin(self, path: Path, whole: bool) -> None:
        """Record to a file."""
        from kvorum_tui.recording.recorder import Recorder

        recorder = Recorder(self.kv.session, path, title=self.kv.cluster_title, whole=whole)
        self.recorder = recorder
        self._task = asyncio.create_task(self._run(recorder), name="recorder")
        self.kv.tell(f"recording to {path.name}; F12 stops it")

    async def _run(self, recorder: Recorder) -> None:
        try:
            await recorder.run()
        except SessionError as error:
            self.kv.show_error(error)
        finally:
            self.recorder = None
            state = recorder.state
            if self.is_attached and self.kv.is_running:
                done = words.plural(state.written.changes, "change")
                text = f"{recorder.path.name}: {done}, {words.size(state.written.size_bytes)}"
                failed = state.stage == "failed"
                self.kv.tell(
                    f"{text} · {state.error if failed else 'kvorum open ' + recorder.path.name}",
                    "error" if failed else "information",
                )

    async def _ask_stop(self, recorder: Recorder) -> None:
        state = recorder.state
        written = state.written
        lines = [
            [(str(recorder.path), "bold")],
            [
                (
                    f"{words.plural(written.changes, 'change')} up to revision "
                    f"{written.revision:,}, {words.plural(written.reports, 'report')}, "
                    f"{words.size(written.size_bytes)} in "
                    f"{words.span(time.time() - state.began)}",
                    "text",
                )
            ],
        ]
        if state.gaps:
            lines.append([(f"{words.plural(state.gaps, 'gap')} by compaction", "warn")])
        if state.error:
            lines.append([(state.error, "bad")])
        choices = [("on", "Go on"), ("stop", "Stop recording")]
        if await self.kv.push_screen_wait(Choice("Recording", lines, choices)) == "stop":
            await self.stop()

    async def stop(self) -> None:
        """End the recording; returns when the file is complete."""
        recorder, task = self.recorder, self._task
        if recorder is not None and task is not None:
            await recorder.stop()
            await asyncio.gather(task, return_exceptions=True)

    # --- replay -----------------------------------------------------------------------------------

    @property
    def tape(self) -> Tape | None:
        """The recording that one looks at."""
        session = self.kv.session
        if not getattr(session, "is_open", False):
            return None
        return cast("RecordingSession", session).tape

    def _moves(self) -> Tape | None:
        """The recording, if it has a length; says why not."""
        tape = self.tape
        if tape is None:
            self.kv.tell("this is a live cluster; kvorum open FILE opens a recording", "warning")
            return None
        if tape.playback.end_ms <= tape.playback.begin_ms:
            self.kv.tell("this file shows one moment only", "warning")
            return None
        return tape

    def play(self) -> None:
        """Run, or stand."""
        tape = self._moves()
        if tape is not None:
            tape.play(not tape.moment.playing)
            self.refresh()

    def step(self, by_ms: int) -> None:
        """Some way on, or back."""
        tape = self._moves()
        if tape is not None:
            tape.seek(tape.moment.at_ms + by_ms)
            self.refresh()

    def speed(self) -> None:
        """Faster."""
        tape = self._moves()
        if tape is not None:
            tape.faster(next_speed(tape.moment.speed))
            self.refresh()

    async def seek(self) -> None:
        """Ask where to."""
        tape = self._moves()
        if tape is None:
            return
        known = tape

        def wrong(text: str) -> str:
            return "" if self._wanted(known, text) is not None else "such as 14:02:11, +30s, 812"

        hint = "14:02:11 · +30s · -2m · 50% · 812 (a revision)"
        field = Field("to", f"Go to: {hint}", clock_text(tape.moment.at_ms), hint, wrong)
        values = await self.kv.push_screen_wait(Form("Go to", [field], "Go"))
        wanted = None if values is None else self._wanted(tape, values["to"])
        if wanted is not None:
            tape.seek(wanted)
            self.refresh()

    @staticmethod
    def _wanted(tape: Tape, text: str) -> int | None:
        number = text.strip().replace(",", "")
        if number.isdigit():
            return tape.playback.time_of(int(number))
        return wanted_time(text, tape.moment)

    def paint(self, y: int, width: int) -> Line:
        """State, clock, bar, revision."""
        line = self.line()
        tape = self.tape
        if tape is None:
            return line
        moment, head = tape.moment, tape.head
        line.add(f" {head.kind.upper()} ", "warn")
        if moment.end_ms <= moment.begin_ms:
            when = f"of {day_text(moment.at_ms)} {clock_text(moment.at_ms)}" if moment.at_ms else ""
            return line.add(f"{when}  rev {moment.revision:,}  nothing can be written", "dim")
        sign, ink = ("▶", "good") if moment.playing else ("‖", "text")
        line.add(f"{sign} {clock_text(moment.at_ms)} {speed_text(moment.speed):<5}", ink)
        place_text = f" rev {moment.revision:,}/{head.revision:,}"
        hint = "  f10 play  alt+←→ ∓10s  alt+↑ speed  ^g to" if width >= WIDE else "  f10 play"
        bar = max(8, width - line.width - len(place_text) - len(hint) - 4)
        at = place(moment, bar)
        line.add("├" + "─" * at, "primary").add("●", "accent")
        line.add("─" * (bar - at - 1) + "┤", "faint")
        line.add(place_text, "text")
        return line.add(hint, "dim")

    def on_click(self, event: events.Click) -> None:
        """A click on the bar goes there."""
        tape = self.tape
        if tape is None or tape.playback.end_ms <= tape.playback.begin_ms:
            return
        width = self.size.width
        text = "".join(segment.text for segment in self.paint(0, width).segments)
        begin, end = text.find("├"), text.find("┤")
        if begin < event.x < end:
            tape.seek(time_at(tape.moment, event.x - begin - 1, end - begin - 1))
            self.refresh()


class RecordingDeeds:
    """The app's actions about recordings: they concern the cluster in front."""

    front: Workspace

    async def do_record(self) -> None:
        """Begin or end."""
        await self.front.recording.record()

    def do_replay_play(self) -> None:
        """Run or stand."""
        self.front.recording.play()

    def do_replay_back(self) -> None:
        """Back."""
        self.front.recording.step(-STEP_MS)

    def do_replay_forward(self) -> None:
        """On."""
        self.front.recording.step(STEP_MS)

    def do_replay_speed(self) -> None:
        """Faster."""
        self.front.recording.speed()

    async def do_replay_seek(self) -> None:
        """To a moment."""
        await self.front.recording.seek()

    async def do_file_open(self) -> None:
        """Open a file beside the clusters that are open."""
        from kvorum_tui.recording.opening import FileFault, open_file
        from kvorum_tui.recording.session import RecordingSession

        kv = self.front
        field = Field("file", "A recording, or a snapshot of etcd or kvorum", check=_is_file)
        values = await kv.push_screen_wait(Form("Open a file", [field], "Open"))
        if values is None:
            return
        app: ClustersApp = kv.kv_app
        try:
            opened = await asyncio.to_thread(open_file, file_of(values["file"]))
        except FileFault as fault:
            kv.tell(str(fault), "error")
            return
        await app.open_workspace(RecordingSession(opened), title_of(opened.shown))


def _is_file(text: str) -> str:
    return "" if text.strip() and file_of(text).is_file() else "there is no such file"


def title_of(path: Path) -> str:
    """What the header calls a file."""
    return path.name if len(path.name) <= TITLE else path.name[: TITLE - 1] + "…"

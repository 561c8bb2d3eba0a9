"""The first screen of plain ``kvorum``: a demo cluster, a context, a cluster to connect to, or a
file. Never an empty black screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from kvorum.client.contexts import Context, load_contexts
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Checkbox, Input, Label, OptionList
from textual.widgets.option_list import Option

from kvorum_tui.screens.open_cluster import context_line
from kvorum_tui.theme import DARK, LIGHT
from kvorum_tui.widgets.tick import Tick

PROBE_S = 0.5
READ_ONLY = "read-only, even on this machine: {}"
CONTEXTS_SHOWN = 6  # More would push the rest off 24 lines; the terminal itself lists them all.

DEMOS = {
    "demo3": (3, "Demo: three nodes", "survives the loss of one; start here"),
    "demo5": (5, "Demo: five nodes", "survives the loss of two"),
    "demo1": (1, "Demo: one node", "no election to watch, but quick"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was chosen: a demo of so many nodes, a context, endpoints to connect to, or a recording
    or snapshot to open.
    """

    demo_nodes: int = 0
    context: str = ""
    endpoints: str = ""
    file: str = ""
    read_only: bool = False


class WelcomeApp(App[Answer]):
    """Choose and go."""

    TITLE = "kvorum"
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012  # as the base class has it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "quit", "leave"),
        Binding("ctrl+q", "quit", "leave"),
    ]
    CSS = """
    Screen { align: center middle; }
    Vertical {
        width: 72; max-width: 96%; height: auto; background: $surface; padding: 1 2;
        border: round $primary;
    }
    Vertical { border-title-color: $primary; border-title-style: bold; }
    OptionList { height: auto; border: none; background: $surface; padding: 0; }
    Label { width: 100%; color: $text-muted; height: auto; }
    .head { color: $text; text-style: bold; margin-top: 1; }
    Input, Input:focus {
        border: none; height: 1; background: $panel; padding: 0 1; margin: 1 0 0 0;
    }
    Checkbox, Checkbox:focus { border: none; background: $surface; padding: 0; }
    .-short .head, .-short Input, .-short Input:focus { margin: 0; }
    .-short Vertical { padding: 0 2; }
    """

    def __init__(self, endpoints: str, contexts: Sequence[Context] = ()) -> None:
        super().__init__()
        self.endpoints = endpoints
        self.contexts = contexts
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def compose(self) -> ComposeResult:
        """Demos, then a line to connect."""
        with Vertical() as box:
            box.border_title = "kvorum"
            yield Label("An etcd-compatible cluster that you can see inside of.")
            yield Label("Try it on this machine", classes="head")
            yield OptionList(
                *(
                    Option(Content(f"{name:<20} {more}"), id=key)
                    for key, (_, name, more) in DEMOS.items()
                )
            )
            if self.contexts:
                yield Label("Or go to a cluster by its name", classes="head")
                yield OptionList(
                    *(
                        Option(Content(context_line(each)), id=each.name)
                        for each in self.contexts[:CONTEXTS_SHOWN]
                    ),
                    id="contexts",
                )
            yield Label("Or connect to a cluster, a real etcd too", classes="head")
            yield Input(
                self.endpoints, placeholder="http://host:2379, more with commas", id="endpoints"
            )
            yield Label("", id="probe")
            yield Tick(READ_ONLY.format("no"), id="read-only")
            yield Label("Or open a recording or a snapshot", classes="head")
            yield Input(placeholder="a file", id="file")
            yield Label("", id="said")
            yield Label("enter goes · tab next part · esc leaves", classes="hint")

    def on_mount(self) -> None:
        """See whether something listens where we would connect to."""
        self.query(OptionList).first().focus()
        self._look(self.endpoints)

    def _look(self, text: str) -> None:
        self.run_worker(self._probe(text), exclusive=True)

    async def _probe(self, text: str) -> None:
        await asyncio.sleep(0.1)
        first = text.split(",")[0].strip()
        parts = urlsplit(first if "://" in first else f"//{first}")
        said = self.query_one("#probe", Label)
        try:
            host, port = parts.hostname, parts.port or 2379
        except ValueError:
            said.update("this is no address")
            return
        if not host:
            said.update("host and port, for instance 127.0.0.1:2379")
            return
        try:
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            said.update(Content(f"nothing answers at {host}:{port} now"))
            return
        writer.close()
        said.update(Content(f"● something answers at {host}:{port}"))

    @on(Input.Changed, "#endpoints")
    def _typed(self, event: Input.Changed) -> None:
        self._look(event.value)

    @on(Checkbox.Changed)
    def _read_only(self, event: Checkbox.Changed) -> None:
        event.checkbox.label = Content(READ_ONLY.format("yes" if event.value else "no"))

    @on(Input.Submitted, "#file")
    def _open(self, event: Input.Submitted) -> None:
        given = Path(event.value.strip()).expanduser()
        if given.is_file():
            self.exit(Answer(file=str(given)))
        elif event.value.strip():
            self.query_one("#said", Label).update(Content(f"{given}: there is no such file"))

    @on(Input.Submitted, "#endpoints")
    def _connect(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.exit(
                Answer(endpoints=event.value.strip(), read_only=self.query_one(Checkbox).value)
            )

    @on(OptionList.OptionSelected)
    def _demo(self, event: OptionList.OptionSelected) -> None:
        if event.option_list.id == "contexts":
            self.exit(Answer(context=event.option_id or ""))
            return
        self.exit(Answer(demo_nodes=DEMOS[event.option_id or "demo3"][0]))


def ask(endpoints: str) -> Answer | None:
    """Show the choice; None when the user leaves. Raises :class:`kvorum.errors.ConfigError` when
    the file of contexts is wrong.
    """
    return WelcomeApp(endpoints, list(load_contexts().table.values())).run()

"""The question which cluster to open: a context by name, or addresses typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvorum.client.contexts import Context, check_context
from kvorum.errors import ConfigError
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Label, OptionList
from textual.widgets.option_list import Option

from kvorum_tui.feeds import endpoints_from
from kvorum_tui.widgets.dialogs import Dialog
from kvorum_tui.widgets.tick import Tick


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cluster to open. ``password`` None: the user has none, or is nobody."""

    context: Context
    read_only: bool
    password: str | None = None
    typed: bool = False


def context_line(context: Context, current: bool = False) -> str:
    """One context in a list."""
    kind = "read-only" if context.guarded else "read-write"
    who = f" as {context.user}" if context.user else ""
    star = "*" if current else " "
    return f"{star} {context.name:<14} {kind:<10} {', '.join(context.endpoints)}{context.way}{who}"


class ContextList(OptionList):
    """Contexts; letters typed go to the one whose name begins with them."""

    def __init__(self, contexts: Sequence[Context], current: str) -> None:
        super().__init__(
            *(
                Option(Content(context_line(each, each.name == current)), id=each.name)
                for each in contexts
            ),
            compact=True,
        )
        self.names = [each.name for each in contexts]
        self.typed = ""

    def on_key(self, event: events.Key) -> None:
        """One more letter, or a new beginning where no name goes on like that."""
        if not event.is_printable or event.character is None:
            self.typed = ""
            return
        for typed in (self.typed + event.character, event.character):
            found = next((n for n, name in enumerate(self.names) if name.startswith(typed)), None)
            if found is not None:
                self.typed, self.highlighted = typed, found
                event.stop()
                return


class OpenCluster(Dialog[Chosen]):
    """Choose and go. A user's password is asked for in a second step, where it is not kept."""

    dialog_title = "Open a cluster"
    DEFAULT_CSS = """
    OpenCluster Label { width: 100%; }
    OpenCluster OptionList { height: auto; max-height: 8; }
    """

    def __init__(self, contexts: Sequence[Context], current: str, wrong: str = "") -> None:
        super().__init__()
        self.contexts = contexts
        self.current = current
        self.wrong = wrong
        self.waiting: Chosen | None = None

    def body(self) -> ComposeResult:
        """Contexts, addresses, how."""
        if self.contexts:
            yield Label("Contexts")
            yield ContextList(self.contexts, self.current)
        else:
            text = self.wrong or "no contexts yet; kvorum context add NAME --endpoints … makes one"
            yield Label(Content(text), classes="hint")
        yield Label("Or addresses, with commas")
        yield Input(
            placeholder="http://host:2379, or host:2379 via user@bastion for ssh", id="endpoints"
        )
        yield Label("User, if any")
        yield Input(placeholder="nobody", id="user")
        yield Label("Password", id="password-label")
        yield Input(password=True, id="password")
        yield Tick("read-write, even if it is not on this machine", id="write", compact=True)
        yield Label("", classes="said", id="said")
        with Horizontal(classes="foot"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Open", id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Contexts first, where there are any."""
        (self.query_one(OptionList) if self.contexts else self.query_one("#endpoints")).focus()

    @on(OptionList.OptionSelected)
    def _chose(self, event: OptionList.OptionSelected) -> None:
        context = next(each for each in self.contexts if each.name == event.option_id)
        self._go(context, typed=False)

    def _say(self, text: str) -> None:
        self.query_one("#said", Label).update(Content(text))

    def _go(self, context: Context, typed: bool) -> None:
        write = self.query_one("#write", Tick).value
        read_only = False if write else context.guarded
        given = self.query_one("#password", Input).value or None
        try:
            password = given or context.secret()
        except ConfigError as error:
            self._say(str(error))
            return
        chosen = Chosen(context, read_only, password, typed)
        if context.user is not None and password is None:
            self.waiting = chosen
            self._say(f"the password of {context.user}, then enter")
            self.query_one("#password").focus()
            return
        self.dismiss(chosen)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if self.waiting is not None and event.input.id == "password":
            self.dismiss(replace(self.waiting, password=event.value))
        else:
            self._typed()

    def _typed(self) -> None:
        typed, _, host = self.query_one("#endpoints", Input).value.partition(" via ")
        endpoints = endpoints_from([typed])
        user = self.query_one("#user", Input).value or None
        context = Context(", ".join(endpoints), endpoints, user=user, ssh=host.strip())
        try:
            check_context(context, "this cluster")
        except ConfigError as error:
            self._say(str(error))
            return
        self._go(context, typed=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Open or not."""
        if event.button.id != "yes":
            self.dismiss(None)
        elif self.waiting is not None:
            given = self.query_one("#password", Input).value
            self.dismiss(replace(self.waiting, password=given))
        else:
            self._typed()

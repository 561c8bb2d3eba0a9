"""The app: the clusters that are open, one in front, and what concerns none of them alone."""

from __future__ import annotations

import gc
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.theme import Theme
from textual.widgets import Input

from kvorum_tui import actions, keymap, settings
from kvorum_tui.actions import BY_NAME, TITLES
from kvorum_tui.ascii import Ascii
from kvorum_tui.clusters import ClustersApp, end_drill, losses_of
from kvorum_tui.control import NodeControl
from kvorum_tui.model import mask
from kvorum_tui.model.commands import UserCommand, commands_path, load_commands
from kvorum_tui.palette import KvorumCommands
from kvorum_tui.screens.recording import RecordingDeeds
from kvorum_tui.theme import DARK, LIGHT
from kvorum_tui.widgets.dialogs import Confirm, Reader, Rich

TICK_S = 0.25  # Ages, countdowns and bars move this often.
LEAVE = "leave"  # The question that quitting asks.


class KvorumApp(RecordingDeeds, ClustersApp):
    """The terminal; see :class:`kvorum_tui.clusters.ClustersApp` for its arguments."""

    TITLE = "kvorum"
    COMMANDS: ClassVar[set[Any]] = {KvorumCommands}
    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings("app")
    COMMAND_PALETTE_BINDING = "ctrl+p"
    CSS = """
    #clusters { height: 1fr; }
    Toast { background: $panel; }
    Pane Vertical { background: $surface; }
    """

    def __init__(self, *arguments: Any, tour: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tour_wanted = tour
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.settings = settings.load()
        self.commands: list[UserCommand] = []
        self._ascii = Ascii(self.settings.ascii)
        known = self.settings.theme in self.available_themes
        self.theme = self.settings.theme if known else DARK.name

    def compose(self) -> ComposeResult:
        """The clusters."""
        yield self.strip
        with self.switcher:
            yield self.front

    async def on_load(self) -> None:
        """Before anything is shown: the client is there (it connects when it is first used)."""
        await self.front.session.open()

    def on_mount(self) -> None:
        """A user's own keys, and the clock."""
        keys, wrong = keymap.load_keymap(keymap.keymap_path())
        actions.user_keys.update(keys)
        self.set_keymap(keys)
        if self.settings.theme and self.settings.theme != self.theme:
            wrong.append(f"there is no theme {self.settings.theme!r}")
        self.commands, more = load_commands(commands_path(), set(TITLES))
        wrong += more
        for command in self.commands:
            taken = keymap.taken(command.key, command.tab)
            if taken:
                wrong.append(f"command {command.name}: {command.key} is the key of {taken}")
            elif command.key:
                self.bind(command.key, f"user_command('{command.name}')", show=False)
        for text in filter(None, [*self.wrong_plugins, *wrong, self.settings.wrong]):
            self.front.tell(text, "warning")
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self.set_interval(TICK_S, self.tick)
        self.call_after_refresh(self._started)

    def _started(self) -> None:
        """Garbage was not collected so far; what was imported need not be looked at ever again."""
        if not gc.isenabled():
            gc.freeze()
            gc.enable()

    async def on_unmount(self) -> None:
        """Let go of the clusters."""
        for workspace in self.workspaces:
            await workspace.session.close()

    def tick(self) -> None:
        """The clock moved on."""
        for workspace in self.workspaces:
            workspace.tick()
        if self._tour_wanted:
            self._begin_tour()

    def _begin_tour(self) -> None:
        from kvorum_tui.screens.tour import why_no_tour

        if not why_no_tour(self.front):
            self._tour_wanted = False
            self.do("tour")

    # --- actions ----------------------------------------------------------------------------------

    def do(self, name: str) -> None:
        """Do an action: the app's own here, any other in the cluster in front."""
        action = BY_NAME[name]
        if action.target != "app" or name.startswith("tab_"):
            self.front.do(name)
            return
        result = getattr(self, f"do_{name}")()
        if isinstance(result, Coroutine):
            self.run_worker(self.front.guarded(result), group="app")

    async def action_do(self, name: str) -> None:
        """A key or a click; see :meth:`kvorum_tui.screens.workspace.Workspace.action_do`."""
        self.do(name)
        await self.pane.ready()

    async def do_help_keys(self) -> None:
        """What the keys do."""
        from kvorum_tui.screens.help import keys_help

        await self.push_screen_wait(Reader("Keys", keys_help(self.pane)))

    async def do_help_here(self) -> None:
        """What is this."""
        from kvorum_tui.screens.help import about_help

        await self.push_screen_wait(Reader(TITLES[self.pane.tab], about_help(self.pane)))

    def do_palette(self) -> None:
        """The command palette."""
        self.action_command_palette()

    async def do_errors(self) -> None:
        """The newest errors."""
        from kvorum_tui.screens.help import errors_help

        await self.push_screen_wait(Reader("Errors, newest first", errors_help(self.front.errors)))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """ASCII comes last, where it is on."""
        return [*super().get_line_filters(), *([self._ascii] if self._ascii.enabled else [])]

    def do_travel(self) -> None:
        """Into the past, or back to now."""
        self.front.travel_here()

    def do_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    def do_themes(self) -> None:
        """Any of the themes."""
        self.action_change_theme()

    def _theme_changed(self, theme: Theme) -> None:
        self.refresh(layout=True)
        self._keep(theme=theme.name)

    def do_ascii(self) -> None:
        """Glyphs, or ASCII alone."""
        self._ascii.enabled = not self._ascii.enabled
        self._paint_all()
        self._keep(plain=self._ascii.enabled)

    def _paint_all(self) -> None:
        for screen in self.screen_stack:
            screen.refresh(layout=True)
            for widget in screen.walk_children():
                widget.refresh(layout=True)

    def _keep(self, theme: str = "", plain: bool | None = None) -> None:
        kept = self.settings
        kept.theme, kept.ascii = theme or kept.theme, kept.ascii if plain is None else plain
        wrong = settings.save(kept)
        if wrong:
            self.front.tell(f"not kept: {wrong}", "warning")

    def run_line(self, line: str) -> None:
        """Run a command on the cluster in front and show its output."""
        from kvorum_tui.screens.command_line import CommandLine
        from kvorum_tui.twin import BadLine, twin

        try:
            command = twin(self.session, line)
        except BadLine as error:
            self.front.tell(str(error), "warning")
            return
        self.push_screen(CommandLine("kvorum " + line.removeprefix("kvorum "), command))

    def action_user_command(self, name: str) -> None:
        """One of the user's own commands."""
        from kvorum_tui.screens.user_command import run_command

        command = next(each for each in self.commands if each.name == name)
        self.run_worker(self.front.guarded(run_command(self.front, command)), group="command")

    def do_mask(self) -> None:
        """Hide values, or show them."""
        mask.hide(not mask.hidden())
        for workspace in self.workspaces:
            workspace.header.masked = mask.hidden()
            for pane in workspace.panes.made.values():
                if pane.is_ready:
                    pane.masked()
        self._paint_all()

    async def do_tour(self) -> None:
        """Begin the tour on the cluster in front."""
        await self.front.begin_tour()

    async def do_tour_on(self) -> None:
        """The tour's step, or the next one."""
        await self.front.the_tour().forward()

    async def do_tour_back(self) -> None:
        """The tour's step before."""
        self.front.the_tour().back()

    async def do_tour_end(self) -> None:
        """No more tour."""
        await self.front.the_tour().leave()

    async def do_jump(self) -> None:
        """A letter over every part."""
        from kvorum_tui.screens.jump import Jump, targets

        chosen = await self.push_screen_wait(Jump(targets(self.screen, self.screen.focus_chain)))
        if chosen is not None:
            chosen.focus()

    def do_last_tab(self) -> None:
        """The tab that was in front before."""
        self.front.show_last()

    def do_back(self) -> None:
        """Escape."""
        if isinstance(self.focused, Input):
            self.focused.blur()
        if not self.pane.back():
            first = self.pane.first_focus()
            if first is not None:
                first.focus()

    async def do_quit(self) -> None:
        """Leave, from wherever one is, unless something would be lost and the user thinks better
        of it.
        """
        if any(isinstance(s, Confirm) and s.id == LEAVE for s in self.screen_stack):
            return  # It is asked already.
        unsaved = any(getattr(screen, "edited", False) for screen in self.screen_stack)
        lines: Rich = []
        for workspace in self.workspaces:
            lines += losses_of(workspace, self.clock(), unsaved)
            unsaved = False
        if lines and not await self.push_screen_wait(
            Confirm("Leave?", lines, "Leave", danger=False, id=LEAVE)
        ):
            return
        for workspace in self.workspaces:
            await end_drill(workspace)
        self.exit()

    async def action_quit(self) -> None:
        """Ctrl+q."""
        self.do("quit")


def run(
    endpoints: Sequence[str],
    control: NodeControl | None = None,
    title: str = "",
    first_tab: str = "keys",
    colour: str = "",
    tour: bool = False,
    **options: Any,
) -> None:
    """Open the terminal on a cluster and return when the user leaves it.

    ``control`` lets drills pause, kill and restart nodes; ``tour`` begins the guided tour.
    ``options`` are those of
    :class:`kvorum_tui.live.LiveSession`: ``read_only``, ``user``, ``password``, ``tls``.
    Raises :class:`kvorum.errors.ConfigError` when an endpoint is wrong.
    """
    from kvorum_tui.live import LiveSession, short_title

    name = title or short_title(endpoints)
    session = LiveSession(endpoints, **options)
    KvorumApp(session, name, control, first_tab=first_tab, colour=colour, tour=tour).run()

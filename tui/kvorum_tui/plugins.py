"""Tabs that other packages bring: entry points of the group ``kvorum.panes``.

Each loads to a subclass of :class:`kvorum_tui.screens.pane.Pane`; the entry point's name is the
tab's. The class may have ``title`` (else the name), ``about``, and ``ACTIONS``, rows of
:class:`kvorum_tui.actions.Action` whose names begin with the tab's name and whose methods are
``do_<name>``. It is imported when somebody goes to the tab, by ctrl+page down, the palette or
the mouse: until then only the name is known.

One that fails is named in a notice, with the reason, and hurts nobody: neither when it is imported,
nor when it is made, nor in what this terminal calls of it afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, cast

from kvorum.client.plugins import plugins, reason
from textual.app import ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Label

from kvorum_tui import actions, keymap
from kvorum_tui.actions import Action, Tab
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session import SessionError

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace

GROUP = "kvorum.panes"
# What the terminal asks of a pane, apart from what begins with on_ or do_.
_ASKED = frozenset(
    ("why_not", "here", "offers", "first_focus", "refresh_at", "travelled", "revision_here")
) | {"masked", "back", "compose"}

_MARK = "_kvorum_careful"

_entries: dict[str, EntryPoint] = {}
_classes: dict[str, type[Pane]] = {}


def find() -> list[str]:
    """Give every installed plugin a tab. Returns what is wrong, in words; to be asked again does
    no harm.
    """
    wrong = []
    for entry in plugins(GROUP):
        name = entry.name
        if name in _entries and _entries[name].value == entry.value:
            continue
        if not name.isidentifier() or name in actions.TITLES:
            why = "there is such a tab" if name in actions.TITLES else "that is no name of a tab"
            wrong.append(f"tab {name} of {entry.value}: {why}")
            continue
        _entries[name] = entry
        actions.add_tab(Tab(name, "", name, f"from {entry.value}"))
    return wrong


def forget() -> None:
    """As if none was ever found."""
    for name in _entries:
        actions.drop_tab(name)
    _entries.clear()
    _classes.clear()


def names() -> list[str]:
    """The tabs that plugins bring."""
    return list(_entries)


def pane_class(tab: str) -> type[Pane]:
    """The class of a plugin's tab, imported now if it was not before; one that only says why, if
    that cannot be. KeyError for a tab that no plugin brings.
    """
    found = _classes.get(tab)
    if found is None:
        try:
            found = _loaded(tab)
        except Exception as error:
            found = _broken(tab, reason(error))
        _classes[tab] = found
    return found


def _loaded(tab: str) -> type[Pane]:
    kind = _entries[tab].load()
    if not (isinstance(kind, type) and issubclass(kind, Pane)):
        raise TypeError("it is no subclass of kvorum_tui.screens.pane.Pane")
    rows = tuple(getattr(kind, "ACTIONS", ()))
    for row in rows:
        if not isinstance(row, Action) or row.target != tab or not row.name.startswith(f"{tab}_"):
            raise ValueError(f"each of its ACTIONS must be of {tab} and be named {tab}_…: {row}")
        if not hasattr(kind, f"do_{row.name}"):
            raise ValueError(f"it has no method do_{row.name}")
        if taken := keymap.taken(row.key, tab):
            raise ValueError(f"{row.key}, the key of {row.name}, is the key of {taken}")
    title = str(getattr(kind, "title", "") or tab)
    actions.add_tab(Tab(tab, "", title, kind.about), rows)
    kind.tab = tab
    for each in kind.__mro__[: kind.__mro__.index(Pane)]:
        for name, part in list(vars(each).items()):
            if inspect.isfunction(part) and (name in _ASKED or name.startswith(("on_", "do_"))):
                setattr(each, name, _careful(name, part))
    parts = {"tab": tab, "BINDINGS": keymap.bindings(tab)}
    return cast("type[Pane]", type(kind.__name__, (_Careful, kind), parts))


def _careful(name: str, method: Any) -> Any:
    """A method whose failure is told, and then it is as if the pane had none of its own."""
    if hasattr(method, _MARK):
        return method
    made: Any

    if inspect.isgeneratorfunction(method):

        @wraps(method)
        def made(self: Pane, *given: Any) -> ComposeResult:
            try:
                yield from method(self, *given)
            except Exception as error:
                yield Label(Content(_tell(self, error)))

    elif inspect.iscoroutinefunction(method):

        @wraps(method)
        async def made(self: Pane, *given: Any) -> Any:
            try:
                return await method(self, *given)
            except (SessionError, OSError):
                raise  # Those are shown as everybody's.
            except Exception as error:
                return _tell(self, error) and None

    else:

        @wraps(method)
        def made(self: Pane, *given: Any) -> Any:
            try:
                return method(self, *given)
            except (SessionError, OSError):
                raise
            except Exception as error:
                _tell(self, error)
                plain = getattr(Pane, name, None)
                return plain(self, *given) if plain is not None else None

    setattr(made, _MARK, True)
    return made


def _tell(pane: Pane, error: Exception) -> str:
    """Name the plugin and its reason in a notice, each once."""
    told: set[str] = pane.__dict__.setdefault("_told", set())
    text = f"tab {pane.tab} of {_entries[pane.tab].value}: {reason(error)}"
    if text not in told:
        told.add(text)
        pane.kv.tell(text, "error")
    return text


class _Careful(Pane):
    """What a plugin's pane is besides: its keys work wherever the focus is in it, and what is
    beside the screen may fail, too.
    """

    def __init__(self, kv: Workspace) -> None:
        super().__init__(kv)
        self.can_focus = True

    def first_focus(self) -> Widget | None:
        """What it says, or the pane itself."""
        return super().first_focus() or self

    def aside(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        group: str = "action",
        exclusive: bool = False,
    ) -> None:
        """As every pane's."""

        async def careful() -> None:
            try:
                await work()
            except (SessionError, OSError):
                raise  # Those are shown as everybody's.
            except Exception as error:
                _tell(self, error)

        super().aside(careful, group, exclusive)


def _broken(tab: str, why: str) -> type[Pane]:
    """A tab that says why there is none."""
    text = f"tab {tab} of {_entries[tab].value}: {why}"

    class Broken(Pane):
        """It says why."""

        about = f"This tab could not be loaded: {why}"

        def compose(self) -> ComposeResult:
            """The reason."""
            yield Label(Content(text))

        def on_mount(self) -> None:
            """Name it in a notice."""
            self.kv.tell(text, "error")

    Broken.tab = tab
    return Broken

"""The command palette: command lines, actions of every tab, drills, members, keys of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher

from kvorum_tui import actions, twin
from kvorum_tui.actions import ACTIONS, Action, key_label
from kvorum_tui.model.decode import key_from_text, printable
from kvorum_tui.model.places import Place

if TYPE_CHECKING:
    from kvorum.drill.scenario import Scenario

    from kvorum_tui.app import KvorumApp
    from kvorum_tui.model.shelf import Saved
    from kvorum_tui.screens.keys import KeysPane
    from kvorum_tui.screens.workspace import Workspace

KEYS_MAX = 12


def _title(action: Action) -> str:
    return actions.TITLES.get(action.target, "kvorum")


class KvorumCommands(Provider):
    """What the palette finds. Keys are found by their first letters, and then by what they
    contain. Drills, queries and templates are read from where they are kept: their tabs may never
    have been looked at.
    """

    scenarios: Sequence[Scenario] = ()
    queries: Sequence[Saved] = ()
    templates: Sequence[Saved] = ()

    async def startup(self) -> None:
        """What has to be read, beside the screen. Not waited for here: Textual cancels a start
        that is under way when somebody types, and finds nothing from then on.
        """
        self._reading = asyncio.create_task(self._read())

    async def shutdown(self) -> None:
        """Nobody waits for it any more."""
        self._reading.cancel()

    async def _read(self) -> None:
        panes = self.kv.panes
        sql, txn, drills = panes.any("sql"), panes.any("txn"), panes.any("drills")
        if drills is not None:
            self.scenarios = drills.list_view.scenarios
        read = await asyncio.to_thread(_read, drills is None)
        self.queries = (sql is not None and sql.saved) or read[0]
        self.templates = (txn is not None and txn.saved) or read[1]
        self.scenarios = self.scenarios or read[2]

    @property
    def kv(self) -> Workspace:
        """The cluster in front."""
        return cast("KvorumApp", self.app).front

    async def discover(self) -> Hits:
        """Before anything is typed: the actions of this tab, then the others."""
        front = self.kv.pane.tab
        for action in sorted(ACTIONS, key=lambda a: a.target != front):
            if action.name != "palette":
                yield DiscoveryHit(
                    Content(f"{_title(action)}: {action.text}"),
                    partial(self.kv.do, action.name),
                    text=action.text,
                    help=f"{action.label}  {action.about}",
                )

    async def search(self, query: str) -> Hits:
        """A command line as it stands; actions and members by fuzzy match, keys by prefix or
        content.
        """
        matcher = self.matcher(query)
        line = query.strip().removeprefix(":")
        if line.removeprefix("kvorum ").split(" ")[0] in twin.VERBS:
            yield Hit(
                2.0,
                Content(f"run: {line}"),
                partial(self.kv.kv_app.run_line, line),
                text=line,
                help="Run this command on the cluster in front and show what it says",
            )
        for action in ACTIONS:
            text = f"{_title(action)}: {action.text}"
            score = matcher.match(text)
            if not score and query.lower() in action.about.lower():
                score = 0.1
            if score > 0 and action.name != "palette":
                yield Hit(
                    score,
                    Content(text),
                    partial(self.kv.do, action.name),
                    text=text,
                    help=f"{action.label}  {action.about}",
                )
        for command in self.kv.kv_app.commands:
            text = f"command: {command.name}"
            score = matcher.match(f"{text} {command.text}")
            if score > 0:
                yield Hit(
                    score,
                    Content(text),
                    partial(self.kv.kv_app.action_user_command, command.name),
                    text=text,
                    help=f"{key_label(command.key) if command.key else ''}  {command.text}",
                )
        await asyncio.shield(self._reading)
        for hit in self._named(matcher):
            yield hit
        for hit in self._places(matcher):
            yield hit
        for key in self._keys(query):
            yield Hit(
                matcher.match(printable(key)) or 0.5,
                Content(printable(key)),
                partial(self.kv.goto_key, key),
                text=printable(key),
                help="key",
            )

    def _named(self, matcher: Matcher) -> Iterator[Hit]:
        """Drills, saved queries, templates of transactions, members."""
        found: list[tuple[str, Callable[[], object], str]] = [
            (f"drill {scenario.name}", partial(self._goto_drill, scenario), scenario.title)
            for scenario in self.scenarios
        ]
        found += [
            (f"query {saved.name}", partial(self._open, "sql", saved), saved.about)
            for saved in self.queries
        ]
        found += [
            (f"transaction {saved.name}", partial(self._open, "txn", saved), saved.about)
            for saved in self.templates
        ]
        found += [
            (f"member {member.name}", partial(self._goto_member, number), member.endpoint)
            for number, member in enumerate(self.kv.cluster.rows())
        ]
        for text, deed, about in found:
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, Content(text), deed, text=text, help=about)

    def _places(self, matcher: Matcher) -> Iterator[Hit]:
        """Bookmarks and keys looked at lately."""
        for place, kind in self._keys_pane.places.all():
            text = f"{kind} {printable(place.path)}"
            score = matcher.match(text)
            if score > 0:
                about = "a branch" if place.branch else "a key"
                goto = partial(self._goto_place, place)
                yield Hit(score, Content(text), goto, text=text, help=about)

    def _keys(self, query: str) -> list[bytes]:
        index = self._keys_pane.index
        needle = key_from_text(query.strip())
        found = index.under(needle, KEYS_MAX)
        if len(found) < KEYS_MAX:
            more, _ = index.search(needle, KEYS_MAX, budget=20_000)
            found += [key for key in more if key not in found]
        return found[:KEYS_MAX]

    @property
    def _keys_pane(self) -> KeysPane:
        return cast("KeysPane", self.kv.panes.get("keys"))

    def _open(self, tab: str, saved: Saved) -> None:
        self.kv.on_tab(tab, lambda pane: pane.open_saved(saved))

    def _goto_drill(self, scenario: Scenario) -> None:
        self.kv.on_tab("drills", lambda pane: pane.choose_drill(scenario))

    def _goto_place(self, place: Place) -> None:
        self.kv.on_tab("keys", lambda pane: pane.goto_place(place))

    def _goto_member(self, number: int) -> None:
        def choose(pane: Any) -> None:
            pane.members.cursor = number

        self.kv.on_tab("cluster", choose)


def _read(drills: bool) -> tuple[list[Saved], list[Saved], list[Scenario]]:
    """Saved queries, templates, drills. What is wrong with a file is told by its own tab."""
    from kvorum_tui.model.shelf import QUERIES, TRANSACTIONS

    scenarios: list[Scenario] = []
    if drills:
        from kvorum_tui.model.drill_choice import catalogue

        scenarios = catalogue()[0]
    return QUERIES.load()[0], TRANSACTIONS.load()[0], scenarios

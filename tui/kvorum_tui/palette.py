"""The command palette: command lines, actions of every tab, drills, members, keys of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from kvorum.drill.scenario import Scenario
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher

from kvorum_tui import actions, twin
from kvorum_tui.actions import ACTIONS, key_label
from kvorum_tui.model.decode import key_from_text, printable
from kvorum_tui.model.places import Place
from kvorum_tui.screens.drills import DrillsPane
from kvorum_tui.screens.keys import KeysPane
from kvorum_tui.screens.sql import SqlPane
from kvorum_tui.screens.txn import TxnPane
from kvorum_tui.widgets.member_table import MemberTable

if TYPE_CHECKING:
    from kvorum_tui.app import KvorumApp
    from kvorum_tui.screens.workspace import Workspace

KEYS_MAX = 12
TITLES = {**actions.TITLES, "app": "kvorum"}


class KvorumCommands(Provider):
    """What the palette finds. Keys are found by their first letters, and then by what they
    contain.
    """

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
                    Content(f"{TITLES[action.target]}: {action.text}"),
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
            text = f"{TITLES[action.target]}: {action.text}"
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
        queries, txns = self.kv.pane_of(SqlPane), self.kv.pane_of(TxnPane)
        found: list[tuple[str, Callable[[], object], str]] = [
            (f"drill {scenario.name}", partial(self._goto_drill, scenario), scenario.title)
            for scenario in self.kv.pane_of(DrillsPane).list_view.scenarios
        ]
        found += [
            (f"query {saved.name}", partial(queries.open_saved, saved), saved.about)
            for saved in queries.saved
        ]
        found += [
            (f"transaction {saved.name}", partial(txns.open_saved, saved), saved.about)
            for saved in txns.saved
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
        for place, kind in self.kv.pane_of(KeysPane).places.all():
            text = f"{kind} {printable(place.path)}"
            score = matcher.match(text)
            if score > 0:
                about = "a branch" if place.branch else "a key"
                goto = partial(self._goto_place, place)
                yield Hit(score, Content(text), goto, text=text, help=about)

    def _keys(self, query: str) -> list[bytes]:
        index = self.kv.pane_of(KeysPane).index
        needle = key_from_text(query.strip())
        found = index.under(needle, KEYS_MAX)
        if len(found) < KEYS_MAX:
            more, _ = index.search(needle, KEYS_MAX, budget=20_000)
            found += [key for key in more if key not in found]
        return found[:KEYS_MAX]

    def _goto_drill(self, scenario: Scenario) -> None:
        self.kv.show_tab("drills")
        self.kv.pane_of(DrillsPane).choose_drill(scenario)

    def _goto_place(self, place: Place) -> None:
        self.kv.show_tab("keys")
        self.kv.pane_of(KeysPane).goto_place(place)

    def _goto_member(self, number: int) -> None:
        self.kv.show_tab("cluster")
        self.kv.query_one(MemberTable).cursor = number

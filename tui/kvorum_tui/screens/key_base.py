"""What the halves of the Keys tab share: its parts, and what each half asks of the others."""

from __future__ import annotations

from abc import abstractmethod

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from kvorum_tui.key_feed import KeysFeed
from kvorum_tui.model.decoders import Decoded, Decoders
from kvorum_tui.model.key_index import KeyIndex, Row
from kvorum_tui.model.key_sizes import Sizes
from kvorum_tui.model.marks import Marks
from kvorum_tui.model.places import Place, Places
from kvorum_tui.model.records import KeyRecord
from kvorum_tui.screens.key_history import KeyHistory
from kvorum_tui.screens.pane import Pane
from kvorum_tui.session.past import Gone
from kvorum_tui.widgets.key_tree import KeyTree
from kvorum_tui.widgets.paint import TextLines

ON_A_KEY = "put the cursor on a key first"


class KeysView(Pane):
    """The base of each half.

    ``index`` holds the live keys; ``tree_index`` is what stands in the tree without a filter: the
    same, or the keys of a past revision. ``found`` holds what a filter or a search found.
    """

    index: KeyIndex
    past_index: KeyIndex | None
    found: KeyIndex | None
    feed: KeysFeed
    record: KeyRecord | None
    decoded: Decoded | None
    row: Row | None
    view: str
    form: str
    marks: Marks
    places: Places
    sizes: Sizes
    decoders: Decoders
    gone: dict[bytes, Gone]
    gone_keys: Marks
    key_tree: KeyTree
    value_view: TextLines
    history: KeyHistory
    head: Static
    foot: Static
    doing: Static
    field: Input
    left: Vertical
    right: Vertical

    @property
    def tree_index(self) -> KeyIndex:
        """Without a filter."""
        return self.past_index if self.past_index is not None else self.index

    @property
    def shown(self) -> KeyIndex:
        """What the tree shows."""
        return self.key_tree.index

    @abstractmethod
    def retitle(self) -> None:
        """Title and foot of the tree may have to change."""

    @abstractmethod
    def note_changed(self) -> None:
        """What an empty tree says may have to change."""

    @abstractmethod
    def order_changed(self) -> None:
        """Another index is shown."""

    @abstractmethod
    def unfilter(self) -> None:
        """Every key again, on the same one."""

    @abstractmethod
    def leave_found(self) -> None:
        """What was found is of another revision."""

    @abstractmethod
    def start_feed(self) -> None:
        """Read and follow what is now."""

    @abstractmethod
    def goto_place(self, place: Place) -> None:
        """Stand on a key or branch."""

    @abstractmethod
    def show_row(self, row: Row | None) -> None:
        """Show a row at the right."""

    @abstractmethod
    def set_view(self, view: str) -> None:
        """Value, info or history at the right."""

    @abstractmethod
    async def load_value(self, key: bytes) -> None:
        """Read the key under the cursor."""

    @abstractmethod
    def show_record(self) -> None:
        """Paint what was read."""

    @abstractmethod
    def lit(self) -> str:
        """What a search looks for in values, as a regular expression; empty when there is none."""

    def busy(self, text: str) -> None:
        """A line below the tree about what goes on; empty takes it away."""
        self.doing.update(Content(text))
        self.doing.set_class(bool(text), "on")

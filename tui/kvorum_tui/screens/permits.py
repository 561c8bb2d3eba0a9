"""What the user of a cluster may write, known before it is tried: actions on what he may not write
are greyed, and a plan with such keys is not begun.

A key is written by compare-and-swap, so that it must be readable as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from kvorum_tui.model import words
from kvorum_tui.model.access_matrix import NONE, READ, WRITE, OwnRanges, reach
from kvorum_tui.model.decode import printable
from kvorum_tui.session import SessionError
from kvorum_tui.session.ranges import span_of

if TYPE_CHECKING:
    from kvorum_tui.screens.workspace import Workspace
    from kvorum_tui.widgets.dialogs import Rich

DENIED = "PERMISSION_DENIED"
ASK_AGAIN_S = 30.0  # As long as something is refused: somebody may have granted it meanwhile.
SAMPLES = 5
# What of the past there is for a user who may not read every key.
INSTEAD = (
    "there is: h in Keys (1), every revision of a key",
    "T or g, the keys of your roles as they were at a revision",
    "c, two prefixes or revisions of what your roles allow",
    "w in Keys, a watch, from an old revision too",
)

_PERMITS: WeakKeyDictionary[Workspace, Permits] = WeakKeyDictionary()


def permits_of(kv: Workspace) -> Permits:
    """Those of a cluster's user."""
    return _PERMITS.setdefault(kv, Permits())


class Permits:
    """What was told the last time; everything is allowed until it was."""

    def __init__(self) -> None:
        self.own = OwnRanges()
        self._asked = 0.0

    async def ask(self, kv: Workspace) -> None:
        """Ask the cluster; where it does not say, the server decides when something is tried."""
        self._asked = kv.clock()
        try:
            self.own = await kv.session.admin.own_ranges()
        except SessionError:
            self.own = OwnRanges(known=False, everything=False)
        kv.refresh_actions()

    @property
    def past_denied(self) -> str:
        """Why the history of all keys is not for this user."""
        who = self.own.user or "this user"
        return f"{who} may not read every key, as the history of all of them wants"

    def old(self, kv: Workspace) -> bool:
        """Whether it is time to ask again."""
        return kv.clock() - self._asked > ASK_AGAIN_S

    def no_write(self, key: bytes) -> str:
        """Why a key cannot be written; empty when it can."""
        return self.own.missing(WRITE, key) or self.own.missing(READ, key)

    def no_write_under(self, prefix: bytes) -> str:
        """Why no key at all of a prefix can be written; empty when some can."""
        low, high = span_of(prefix)
        low, high = low or b"\0", high or b"\0"
        if not self.own.known or reach(self.own.ranges(WRITE), low, high) != NONE:
            return ""
        return self.own.missing(WRITE, low, high)

    def no_write_anywhere(self) -> str:
        """Why nothing can be written."""
        return self.no_write_under(b"")

    def refused(self, keys: Iterable[bytes]) -> Rich:
        """What is wrong with writing these keys, as lines; none when nothing is."""
        if self.own.everything or not self.own.known:
            return []
        wrong = [(key, why) for key in keys if (why := self.no_write(key))]
        if not wrong:
            return []
        text = f"{words.plural(len(wrong), 'key')} may not be written, so nothing was begun:"
        lines: Rich = [[(text, "warn")]]
        lines += [[("  " + printable(key), "text")] for key, _ in wrong[:SAMPLES]]
        if len(wrong) > SAMPLES:
            lines.append([(f"  … and {len(wrong) - SAMPLES:,} more", "dim")])
        return [*lines, [], [(wrong[0][1], "text")]]

"""How watch panes lie on the screen, and a layout as it is kept: which panes, in which order, with
what filter and name.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

PANES_MAX = 6
TILE_COLUMNS = 52  # A pane narrower than this shows no value beside a key.
TILE_ROWS = 7  # Frame, a few events.


@dataclass(frozen=True, slots=True)
class Tiling:
    """A grid. ``panes`` are the numbers of those that are on it, in order, with the columns that
    each spans; the others wait behind tabs.
    """

    columns: int
    panes: tuple[int, ...]
    spans: tuple[int, ...]


def tiling(count: int, current: int, width: int, height: int, zoomed: bool = False) -> Tiling:
    """The grid for ``count`` panes in ``width`` x ``height`` cells: as many as fit, the current one
    among them; with an odd number in two columns the first spans both.
    """
    if count == 0:
        return Tiling(1, (), ())
    if zoomed:
        return Tiling(1, (current,), (1,))
    rows = max(1, height // TILE_ROWS)
    wide = 2 if width >= 2 * TILE_COLUMNS else 1
    room = min(count, max(1, rows if wide == 1 else 2 * rows))
    if wide == 1:
        room = min(room, 2 if height < 30 else 3)
    columns = 2 if (wide == 2 and room > 2) or (wide == 2 and height < 3 * TILE_ROWS) else 1
    if room == 1:
        columns = 1
    first = max(0, min(current - room + 1 if current >= room else 0, count - room))
    panes = tuple(range(first, first + room))
    odd = columns == 2 and room % 2 == 1
    return Tiling(columns, panes, tuple(2 if odd and n == 0 else 1 for n in range(room)))


@dataclass(frozen=True, slots=True)
class PaneSpec:
    """A pane as it is kept."""

    key: bytes
    prefix: bool
    title: str = ""
    filter: str = ""
    coalescing: str = "auto"
    members: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The panes of a cluster; ``at_start``: open them when the terminal starts."""

    panes: tuple[PaneSpec, ...] = ()
    at_start: bool = False


def layout_text(layout: Layout) -> str:
    """A layout to write to a file."""
    panes = [
        {
            "key": base64.b64encode(pane.key).decode(),
            "prefix": pane.prefix,
            "title": pane.title,
            "filter": pane.filter,
            "coalescing": pane.coalescing,
            "members": pane.members,
        }
        for pane in layout.panes
    ]
    return json.dumps({"watch_layout": 1, "at_start": layout.at_start, "panes": panes}, indent=1)


def layout_of(text: str) -> Layout:
    """The layout of a file's text. Raises ValueError."""
    fields = json.loads(text)
    if not isinstance(fields, dict) or fields.get("watch_layout") != 1:
        raise ValueError("no layout of watch panes")
    try:
        panes = tuple(
            PaneSpec(
                base64.b64decode(pane["key"], validate=True),
                bool(pane["prefix"]),
                str(pane.get("title", "")),
                str(pane.get("filter", "")),
                str(pane.get("coalescing", "auto")),
                bool(pane.get("members", False)),
            )
            for pane in fields["panes"][:PANES_MAX]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a pane is not complete: {error}") from error
    return Layout(panes, bool(fields.get("at_start", False)))

"""``kvorum tui`` in a real pseudo-terminal: it starts, paints, takes keys and leaves cleanly."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.clusters import ClusterHandle
from tui.pseudo import terminal


@pytest.mark.slow
def test_it_starts_works_and_leaves(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    cluster = kvorum_cluster(1)
    with terminal("tui", "--endpoints", ",".join(cluster.endpoints), "--title", "pty") as shown:
        shown.read(lambda text: "kvorum pty" in text and "1/1 up" in text)
        shown.read(lambda text: "the store holds no key" in text)
        shown.press(b"3")
        shown.read(lambda text: "[3 Cluster]" in text and "L leader" in text)
        shown.press(b"?")
        shown.read(lambda text: "In Cluster" in text)
        shown.press(b"\x1b")
        shown.read(lambda text: "In Cluster" not in text and "Raft logs" in text)
        shown.press(b"\x11")
        assert shown.status() == 0


@pytest.mark.slow
def test_no_color_is_obeyed() -> None:
    with terminal("tui", "--endpoints", "http://127.0.0.1:1", NO_COLOR="1") as shown:
        shown.read(lambda text: "not connected yet" in text)
        colours = {cell.fg for line in shown.screen.buffer.values() for cell in line.values()} - {
            "default"
        }
        assert all(is_grey(colour) for colour in colours), colours


def is_grey(colour: str) -> bool:
    """Whether a colour as pyte names it has no hue."""
    if colour in ("black", "white", "brightblack", "brightwhite"):
        return True
    return len(colour) == 6 and len({colour[0:2], colour[2:4], colour[4:6]}) == 1


@pytest.mark.slow
def test_plain_kvorum_offers_a_demo_or_a_connection() -> None:
    with terminal(columns=80, rows=24, KVORUM_ENDPOINTS="http://127.0.0.1:1") as shown:
        shown.read(
            lambda text: (
                "Demo: three nodes" in text
                and "Or connect to a cluster" in text
                and "nothing answers at 127.0.0.1:1 now" in text
            )
        )
        shown.press(b"\x1b")
        assert shown.status() == 0

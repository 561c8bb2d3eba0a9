"""The README pictures can be made: headless, without others' fonts, and they show the app."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from kvorum_tui.app import KvorumApp
from kvorum_tui.screenshot import own_fonts, take
from tui.fake_session import FakeSession


def test_a_picture_of_a_tab() -> None:
    app = KvorumApp(FakeSession({b"/a": b"1"}), "pictured", first_tab="cluster")
    svg = asyncio.run(take(app, (100, 30), ["down"], "AAAAAAAAAA"))
    text = "".join(ElementTree.fromstring(svg).itertext()).replace("\u00a0", " ")
    assert "kvorum · pictured" in text
    assert "L leader" in text
    assert "url(http" not in svg


def test_fonts_from_elsewhere_are_left_out() -> None:
    svg = "<style>@font-face { src: url(x) } .a { font-family: Fira Code, monospace }</style>"
    assert own_fonts(svg).startswith("<style>.a { font-family: Fira Code, DejaVu")


@pytest.mark.parametrize("name", ["cluster.svg", "keys.svg", "drills.svg", "time.svg", "sql.svg"])
def test_the_pictures_committed_are_whole(name: str) -> None:
    path = Path(__file__).parents[2] / "tui" / name
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")

"""The header: what does not fit is left out whole, and how old the picture is always fits."""

from __future__ import annotations

from collections import defaultdict

import pytest
from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.widgets.header_bar import HeaderBar
from kvorum_tui.widgets.paint import Line
from rich.style import Style
from tui.test_cluster_model import report

PARTS = ("rev 1,234,567", "(oldest 12)", "(from 12)", "db 789 KiB", "keys 757", "no alarm")


def told(now: float, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The header of five members of which nobody leads; they reported at 0."""
    model = ClusterModel()
    for member in range(1, 6):
        model.report(
            report(member, revision=1_234_567, compact_revision=12, db_bytes=808_000, keys=757), 0.0
        )
    model.failed("http://n1", "connection refused, nothing listens there", 0.5)
    bar = HeaderBar(model, "a demo", read_only=False)
    bar.now = now
    monkeypatch.setattr(bar, "line", lambda: Line(defaultdict(Style)))
    line = bar.paint(0, width)
    assert line.width <= width or width < 60
    return "".join(segment.text for segment in line.segments)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_what_does_not_fit_is_left_out_whole(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(1.0, width, monkeypatch)
    rest = text
    for part in PARTS:
        rest = rest.replace(part, "")
    assert "rev" not in rest and "oldest" not in rest and "db" not in rest and "keys" not in rest
    assert "rev 1,234,567" in text


def test_how_old_it_is_stands_before_what_is_only_good_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "NO QUORUM" in told(34.0, 80, monkeypatch)
    assert "rev 1,234,567, 34 s old" in told(34.0, 80, monkeypatch)


def test_of_an_endpoint_that_never_answered_no_quorum_is_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ClusterModel()
    model.failed("http://nowhere:1", "connection refused, nothing listens there", 0.5)
    bar = HeaderBar(model, "nowhere", read_only=False)
    monkeypatch.setattr(bar, "line", lambda: Line(defaultdict(Style)))
    text = "".join(segment.text for segment in bar.paint(0, 80).segments)
    assert "not connected yet" in text and "QUORUM" not in text

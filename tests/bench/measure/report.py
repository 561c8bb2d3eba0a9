"""Figures as a page and as a picture: ``RESULTS.md`` and ``results.svg``."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.measure.figure import Figure, Row, median_of, spread
from kvorum.drill.chart import Chart

_INTRO = """\
# The servers' figures

Written by `python tests/bench/figures.py`; nothing here is typed by hand. kvorum and Debian's etcd
run at the same time on one machine and are asked in turns; a figure is the median of the rounds,
the spread is their least and largest. Servers' CPU is what the kernel has counted for the servers'
processes, all threads and children; the clients are h2load, and a client of frames packed once
where h2load cannot do it. Bytes to the disk are all that the disk below the data was sent
meanwhile, metadata of the file system included. All of kvorum's features are on, authentication
off, as in etcd. HTTP/2 is what `--http2` says in the command: without it kvorum's own engine, which
a node has to be asked for too; nodes speak through h2 by default.
"""
_WIDTH, _LEFT, _BAR, _LINE, _SCALE = 980, 400, 430, 17, 2.0


def page(rows: Sequence[Row], machine: dict[str, str], command: str) -> str:
    """The whole page."""
    goals = [figure for row in rows for figure in row.figures if figure.goal]
    met = sum(figure.reached is True for figure in goals)
    lines = [
        _INTRO,
        f"{met} of {len(goals)} goals are reached. `{command}`",
        "",
        "![Each figure beside etcd's](results.svg)",
        "",
        "| What | Figure | Goal | kvorum | etcd, or as said | Ratio | Reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines += [_line(row, figure, first=at == 0) for at, figure in enumerate(row.figures)]
    lines += ["", "## Beside them", ""]
    for row in rows:
        lines += [f"- {row.title} ({row.conditions})"] if row.conditions else []
        lines += [f"  - {note}" for note in row.notes]
    lines += ["", "## The machine", ""]
    lines += [f"- {name}: {what}" for name, what in machine.items()]
    return "\n".join(lines) + "\n"


def _line(row: Row, figure: Figure, first: bool) -> str:
    times = "" if figure.times is None else f"{figure.times:.{2 if figure.times > 0.1 else 5}f}x"
    other = _cell(figure.theirs, figure.unit)
    if other and figure.base != "etcd":
        other += f" ({figure.base})"
    reached = {True: "yes", False: "**no**", None: ""}[figure.reached]
    cells = [
        row.title if first else "",
        figure.what,
        figure.goal,
        _cell(figure.ours, figure.unit),
        other,
        times,
        reached,
    ]
    return "| " + " | ".join(cells) + " |"


def _cell(samples: list[float], unit: str) -> str:
    if not samples:
        return ""
    between = spread(samples)
    return f"{median_of(samples)} {unit}" + (f" ({between})" if between else "")


def picture(rows: Sequence[Row]) -> str:
    """A bar for each figure that has something beside it: how many times as much as etcd. The line
    is what the other needs; green reaches its goal.
    """
    chart, y = Chart(_WIDTH), 54.0
    chart.text(10, 22, "kvorum beside etcd", "title")
    chart.text(10, 40, "bars: times the other's figure; the line is 1.0", "soft")
    top = y - 8
    for row in rows:
        shown = [figure for figure in row.figures if figure.times is not None]
        for figure in shown:
            times = figure.times or 0.0
            words = f"{row.title}: {figure.what}"
            chart.text(10, y + 11, words[:52])
            width = min(times, _SCALE) / _SCALE * _BAR
            style = {True: "ok", False: "unknown", None: "refused"}[figure.reached]
            tip = (
                f"{words}: {median(figure.ours):.4g} and {median(figure.theirs):.4g} {figure.unit}"
            )
            chart.box(_LEFT, y, width, _LINE - 5, tip, style)
            beyond = " >" if times > _SCALE else ""
            chart.text(_LEFT + width + 6, y + 11, f"{times:.2f}x{beyond}  {figure.goal}", "soft")
            y += _LINE
        y += 6 if shown else 0
    one = _LEFT + _BAR / _SCALE
    chart.line(one, top, one, y, "most")
    return chart.document(y + 14, "Each figure of kvorum beside etcd's")

"""The timeline of a drill as a picture: the same rows as on the screen, to scale, with words."""

from __future__ import annotations

from xml.sax.saxutils import escape

from kvorum_tui.model.drill_run import HARD, LETTERS, DrillRun
from kvorum_tui.model.drill_score import scores

WIDTH, LEFT, ROW, TOP = 960, 90, 34, 70
RATE_HEIGHT = 70
TERMS = ("#0b62c4", "#b35900", "#117a4b", "#7a2fb5", "#8f6400", "#b52747", "#0f7380", "#5c7410")
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"


def timeline_svg(run: DrillRun) -> str:
    """The whole picture, without anything from elsewhere."""
    rows = len(run.members)
    foot = TOP + rows * ROW + RATE_HEIGHT + 40
    card = scores(run)
    height = foot + 20 + (len(card) + 1) // 2 * 18 + 10
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' {FONT}>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(LEFT, 24, f"{run.scenario.name} on {run.where}: {run.state}", 18),
        _text(LEFT, 44, f"{run.scenario.title} · seed {run.seed}", 12, "#667386"),
    ]
    parts += _axis(run, foot)
    for number, name in enumerate(run.members):
        parts += _member(run, name, TOP + number * ROW)
    parts += _writes(run, TOP + rows * ROW)
    for number, score in enumerate(card):
        colour = {True: "#117a4b", False: "#c2243a", None: "#1d2633"}[score.ok]
        sign = {True: "✓ ", False: "✗ ", None: ""}[score.ok]
        words = f"{sign}{score.label}: {score.value}" + f" ({score.demand})" * bool(score.demand)
        half = (len(card) + 1) // 2
        x = LEFT + number // half * 430
        parts.append(_text(x, foot + 20 + number % half * 18, words, 12, colour))
    return "\n".join([*parts, "</svg>", ""])


def _x(run: DrillRun, at_s: float) -> float:
    return LEFT + min(1.0, at_s / run.length_s) * (WIDTH - LEFT - 20)


def _text(x: float, y: float, text: str, size: int, colour: str = "#1d2633") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}'>{escape(text)}</text>"


def _rect(
    run: DrillRun, begin_s: float, end_s: float, y: float, high: float, colour: str, told: str
) -> str:
    x = _x(run, begin_s)
    wide = max(1.5, _x(run, end_s) - x)
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{wide:.1f}' height='{high:.1f}' fill='{colour}'>"
        f"<title>{escape(told)}</title></rect>"
    )


def _axis(run: DrillRun, foot: float) -> list[str]:
    parts = []
    for part in range(7):
        at_s = run.length_s * part / 6
        x = _x(run, at_s)
        parts.append(
            f"<line x1='{x:.1f}' y1='{TOP - 8}' x2='{x:.1f}' y2='{foot - 20}' stroke='#e4e9f0'/>"
        )
        parts.append(_text(x - 8, TOP - 12, f"{at_s:.3g} s", 11, "#667386"))
    return parts


def _member(run: DrillRun, name: str, y: float) -> list[str]:
    parts = [_text(12, y + 20, name, 13)]
    ends = [*(reign.at_s for reign in run.reigns[1:]), run.now_s]
    for reign, end_s in zip(run.reigns, ends, strict=False):
        if reign.leader == name:
            told = f"leads term {reign.term} from {reign.at_s:.2f} s"
            colour = TERMS[reign.term % len(TERMS)]
            parts.append(_rect(run, reign.at_s, end_s, y + 6, 9, colour, told))
            parts.append(_text(_x(run, reign.at_s), y + 5, f"t{reign.term}", 9, colour))
    for bar in run.bars:
        if name in bar.members:
            end_s = bar.end_s if bar.end_s is not None else run.now_s
            colour = "#c2243a" if bar.do in HARD else "#d9a400"
            word = bar.do.replace("_", " ")
            told = f"{word} from {bar.begin_s:.2f} to {end_s:.2f} s"
            parts.append(_rect(run, bar.begin_s, end_s, y + 17, 9, colour, told))
            letter = LETTERS.get(bar.do, "?")
            shown = word if _x(run, end_s) - _x(run, bar.begin_s) > 7 * len(word) else letter
            parts.append(_text(_x(run, bar.begin_s) + 2, y + 25, shown, 8, "#ffffff"))
    return parts


def _writes(run: DrillRun, y: float) -> list[str]:
    """Acknowledged writes a second as a curve over its longest stall-free height."""
    top = max(1.0, run.rate_max)
    base = y + RATE_HEIGHT
    points = []
    for one, other in zip(run.samples, run.samples[1:], strict=False):
        rate = (other.writes - one.writes) / max(1e-9, other.at_s - one.at_s)
        high = base - rate / top * (RATE_HEIGHT - 15)
        points += [f"{_x(run, one.at_s):.1f},{high:.1f}", f"{_x(run, other.at_s):.1f},{high:.1f}"]
    return [
        _text(12, y + 30, "writes", 13),
        _text(12, y + 46, f"up to {top:.0f}/s", 10, "#667386"),
        f"<polyline points='{' '.join(points)}' fill='none' stroke='#0b62c4' stroke-width='1.5'/>",
        f"<line x1='{LEFT}' y1='{base}' x2='{WIDTH - 20}' y2='{base}' stroke='#c3ccd8'/>",
    ]

"""The few shapes that pictures of drills are made of, as SVG without scripts or outside parts."""

from __future__ import annotations

from html import escape

_TEXT_PX = 7.3  # A character of the font, nearly.
_STYLE = """
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2430}
.title{font-weight:600;font-size:14px}.soft{fill:#6b7280}.on{fill:#ffffff}.good{fill:#15803d}
.bad{fill:#b91c1c}line{stroke:#d1d5db}.tick{stroke:#e5e7eb;stroke-dasharray:2 3}
.most{stroke:#93c5fd;stroke-width:2}.fault{fill:#f59e0b}.ok{fill:#22c55e}.refused{fill:#9ca3af}
.unknown{fill:#f59e0b}.stall{fill:#ef4444;opacity:.12}.live{fill:#3b82f6}.etcd{fill:#14b8a6}
.sim{fill:#8b5cf6}circle{fill:#1d4ed8}
"""


class Chart:
    """Collects shapes; ``width`` in pixels."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._parts: list[str] = []
        self._under: list[str] = []

    def text(self, x: float, y: float, words: str, style: str = "") -> None:
        """A line of text, its left end on the base line at (x, y)."""
        shown = f' class="{style}"' if style else ""
        self._parts.append(f'<text{shown} x="{x:g}" y="{y:g}">{escape(words)}</text>')

    def beside(self, x: float, y: float, words: str, right: float, style: str = "") -> None:
        """Text that begins at x, or further left where it would go beyond ``right``."""
        self.text(max(0.0, min(x, right - len(words) * _TEXT_PX)), y, words, style)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        tip: str,
        style: str = "",
        fill: str = "",
    ) -> None:
        """A filled rectangle; ``tip`` is shown by pointing at it."""
        look = f' class="{style}"' if style else f' fill="{fill}"'
        self._parts.append(
            f'<rect{look} x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:.1f}" rx="1">'
            f"<title>{escape(tip)}</title></rect>"
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, style: str = "") -> None:
        """A straight line; ticks go under everything else."""
        look = f' class="{style}"' if style else ""
        parts = self._under if style == "tick" else self._parts
        parts.append(f'<line{look} x1="{x:g}" y1="{y:g}" x2="{to_x:g}" y2="{to_y:g}"/>')

    def dot(self, x: float, y: float, tip: str) -> None:
        """A small disc."""
        self._parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="2"><title>{escape(tip)}</title></circle>'
        )

    @staticmethod
    def step(span: float) -> float:
        """A round distance between ticks, ten in the picture at the most."""
        for power in range(-3, 9):
            for factor in (1, 2, 5):
                if span / (factor * 10**power) <= 10:
                    return float(factor * 10**power)
        return span

    def document(self, height: float, title: str) -> str:
        """Everything, as a whole document."""
        body = "\n".join(self._under + self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height:g}" '
            f'viewBox="0 0 {self.width} {height:g}" role="img">\n<title>{escape(title)}</title>\n'
            f"<style>{_STYLE}</style>\n"
            f'<rect width="{self.width}" height="{height:g}" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

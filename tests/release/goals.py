"""Goals of a slice in figures: how often, at most how many, at most how long.

A goal that wants more (:class:`AtLeast`) is *open* until it is met. A bound (:class:`AtMost`,
:class:`Quantile`) can only be missed, which is said once nothing is open any more.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Figures(Protocol):
    """What goals look at; see :class:`release.gate.State`."""

    def count(self, counter: str) -> int:
        """A counter's value, 0 if nobody added to it."""
        ...

    def quantile(self, name: str, q: float) -> float | None:
        """A quantile of samples, None without any."""
        ...


class AtLeast(NamedTuple):
    """A counter must reach a number."""

    counter: str
    number: int

    def open(self, figures: Figures) -> bool:
        """Whether there is more to do."""
        return figures.count(self.counter) < self.number

    def missed(self, figures: Figures) -> str:
        """What is wrong with what was done; nothing can be."""
        return ""


class AtMost(NamedTuple):
    """A counter must not go beyond a number."""

    counter: str
    number: int

    def open(self, figures: Figures) -> bool:
        """Whether there is more to do; never."""
        return False

    def missed(self, figures: Figures) -> str:
        """The counter and its number, if it went beyond."""
        count = figures.count(self.counter)
        return f"{self.counter}: {count}, not {self.number}" if count > self.number else ""


class Quantile(NamedTuple):
    """A quantile of samples (``q`` 1.0: the largest) must not be above ``bound``."""

    name: str
    q: float
    bound: float

    def open(self, figures: Figures) -> bool:
        """Whether there are no samples yet."""
        return figures.quantile(self.name, self.q) is None

    def missed(self, figures: Figures) -> str:
        """The quantile, if it is above the bound."""
        value = figures.quantile(self.name, self.q)
        if value is None or value <= self.bound:
            return ""
        which = "largest" if self.q == 1.0 else f"p{100 * self.q:g}"
        return f"{self.name} {which}: {value:.4g}, not {self.bound:g}"


Goal = AtLeast | AtMost | Quantile

"""What a judge says: findings, each with the part of the history that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One promise that was not kept.

    Attributes:
        rule: its name, one of :data:`kvorum.check.RULES`. text: what happened, with all numbers.
        operations, watches, revisions: the ids that prove it, as few as do.
    """

    rule: str
    text: str
    operations: tuple[int, ...] = ()
    watches: tuple[int, ...] = ()
    revisions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figures:
    """How much was judged, so that "no finding" can be weighed."""

    operations: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    placed: int = 0
    reads: int = 0
    revisions: int = 0
    watches: int = 0
    events: int = 0
    leases: int = 0
    holds: int = 0
    faults: int = 0
    beyond_judgement: int = 0


@dataclass(frozen=True)
class Verdict:
    """All findings, at most a page of each rule, and the figures.

    ``placed`` says which operation of unknown fate made which revision; ``more`` how many findings
    were left out.
    """

    findings: tuple[Finding, ...]
    figures: Figures
    placed: dict[int, int] = field(default_factory=dict)
    more: int = 0

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.findings


class Findings:
    """Collects findings, a bounded number of each rule."""

    def __init__(self, limit: int) -> None:
        self.found: list[Finding] = []
        self.more = 0
        self._limit = limit
        self._counts: dict[str, int] = {}

    def has_room(self, rule: str) -> bool:
        """Whether one more finding of a rule would be kept, so that its proof is worth finding."""
        return self._counts.get(rule, 0) < self._limit

    def add(
        self,
        rule: str,
        text: str,
        operations: tuple[int, ...] = (),
        watches: tuple[int, ...] = (),
        revisions: tuple[int, ...] = (),
    ) -> None:
        """One more; beyond the limit of its rule it is only counted."""
        count = self._counts[rule] = self._counts.get(rule, 0) + 1
        if count > self._limit:
            self.more += 1
        else:
            self.found.append(Finding(rule, text, operations, watches, revisions))

"""What the checkers say about a recording, by the figures of a drill's verdict."""

from __future__ import annotations

from dataclasses import dataclass

from kvorum.check.judge import judge
from kvorum.check.records import History
from kvorum.check.verdict import Finding

# A verdict's figures, and the checkers' rules that count into each; what is in none counts as
# another violation.
KINDS: dict[str, tuple[str, ...]] = {
    "lost_acknowledgement": ("lost_write",),
    "stale_read": ("stale_read",),
    "wrong_answer": ("wrong_answer", "wrong_read"),
    "watch": (),
}


@dataclass(frozen=True)
class Violation:
    """One broken promise. ``kind``: one of :data:`KINDS`, or "" for the rest; ``rule``: the
    checkers' name for it.
    """

    kind: str
    rule: str
    text: str


def judged(history: History) -> tuple[tuple[Violation, ...], Finding | None]:
    """Everything that is wrong with a recording, as far as the checkers list it, and the gravest of
    it as they have it.
    """
    verdict = judge(history)
    found = [
        Violation(_kind(finding.rule), finding.rule, f"{finding.rule}: {finding.text}")
        for finding in verdict.findings
    ]
    if verdict.more:
        found.append(Violation("", "more", f"{verdict.more} more findings were left out"))
    return tuple(found), verdict.findings[0] if verdict.findings else None


def violations(history: History) -> tuple[Violation, ...]:
    """Everything that is wrong with a recording."""
    return judged(history)[0]


def _kind(rule: str) -> str:
    if rule.startswith("watch_"):
        return "watch"
    return next((kind for kind, rules in KINDS.items() if rule in rules), "")

"""Handing leadership to a chosen voter (thesis 3.10).

The leader stops taking proposals, brings the target's log up to its own, and tells it to campaign
at once; the target skips the pre-vote and its vote requests pass the rule that protects a live
leader. If that does not end in a new leader within an election timeout, the leader carries on.
"""

from __future__ import annotations


class Transfer:
    """One attempt: to whom, for how long, and whether the word was given."""

    __slots__ = ("_patience", "elapsed", "target", "told")

    def __init__(self, target: int, patience: int) -> None:
        """`patience` is how many ticks the attempt may take (rule T3)."""
        self.target = target
        self.elapsed = 0
        self.told = False
        self._patience = patience

    def tick(self) -> bool:
        """Let time pass; True when the attempt has failed. Until then the word, which may have
        been lost, may be given once more each tick."""
        self.elapsed += 1
        self.told = False
        return self.elapsed >= self._patience

    def is_due(self, match: int, last_index: int) -> bool:
        """Whether the target holds the whole log and has not been told to campaign yet."""
        return not self.told and match == last_index

"""What every role answers to; each role's own state and rules live in its own module.

A role object is made when the role is entered and thrown away when it is left, so nothing of an
earlier leadership or candidacy can be read later. The defaults here refuse or do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kvorum.raft.types import DropReason, EntryKind, ProposalDropped, Role

if TYPE_CHECKING:
    from kvorum.raft.core import Raft


class RoleState:
    """The part of a member that depends on its role."""

    __slots__ = ("elapsed", "raft")

    role: ClassVar[Role]
    handlers: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {}
    """By kind of message: what to do with one of the current term. Other kinds are ignored."""

    def __init__(self, raft: Raft) -> None:
        self.raft = raft
        self.elapsed = 0
        """Ticks since the timer of this role was last reset."""

    def kind(self) -> Role:
        """The role to show to observers."""
        return self.role

    def tick(self) -> None:
        """One tick has passed; every role counts time in its own way."""

    def propose(self, kind: EntryKind, data: bytes) -> None:
        """Take in a proposal, or pass it on, or refuse it with ProposalDropped."""
        raise ProposalDropped(DropReason.NO_LEADER)

    def read_index(self, context: int) -> None:
        """Ask for a read point, or refuse with ProposalDropped."""
        raise ProposalDropped(DropReason.NO_LEADER)

    def transfer_leadership(self, target: int) -> None:
        """Move the leadership, or refuse with ProposalDropped."""
        raise ProposalDropped(DropReason.NO_LEADER)

    def has_work(self) -> bool:
        """Whether `flush` would produce anything."""
        return False

    def flush(self) -> None:
        """Write the messages that the present state calls for."""

    def persisted(self) -> None:
        """More of the term, vote and log is durable than before."""

    def applied(self, old: int, new: int) -> None:
        """The entries after `old` up to `new` have been applied."""

    def conf_changed(self) -> None:
        """Another configuration is in force."""

    def leave(self) -> list[int]:
        """The role ends; the contexts of this member's own reads that end with it."""
        return []

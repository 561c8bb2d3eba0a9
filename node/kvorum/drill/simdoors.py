"""Doors before simulated members, for drills about clients; what ``doors`` is to processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class User(Protocol):
    """A request under way, or a watch."""

    @property
    def member(self) -> int:
        """The member it is connected with, 0 for none."""

    def broken(self) -> None:
        """The connection is gone."""


class Doors:
    """What lies between clients and members. While a member's is shut nothing passes either way,
    and what is sent arrives when it opens; a slammed one breaks off whatever goes through it."""

    def __init__(self) -> None:
        self._held: dict[int, list[Callable[[], None]]] = {}
        self._users: dict[User, None] = {}

    def enter(self, user: User) -> None:
        """Somebody uses a door from now on."""
        self._users[user] = None

    def leave(self, user: User) -> None:
        """Not any more."""
        self._users.pop(user, None)

    def through(self, member: int, passage: Callable[[], None]) -> None:
        """Something passes, now or when the door is open again."""
        if member in self._held:
            self._held[member].append(passage)
        else:
            passage()

    def shut(self, member: int) -> int:
        """Hold everything; returns how many use this door."""
        self._held.setdefault(member, [])
        return sum(user.member == member for user in self._users)

    def open(self, member: int) -> None:
        """Let everything arrive, in its order."""
        for passage in self._held.pop(member, []):
            passage()

    def slam(self, member: int) -> int:
        """Break off what goes through; returns how much."""
        broken = [user for user in self._users if user.member == member]
        for user in broken:
            user.broken()
        return len(broken)

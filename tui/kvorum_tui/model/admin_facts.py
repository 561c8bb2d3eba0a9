"""What the Admin tab knows, with its age: figures of the members, users and roles, whose ranges."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvorum_tui.model.access_matrix import AuthPicture, OwnRanges
from kvorum_tui.model.admin_cluster import alarms_in
from kvorum_tui.model.admin_records import AlarmView, MemberFigures


@dataclass(slots=True)
class AdminFacts:
    """All views read this; the pane keeps it current. ``asked_at`` is None before an answer."""

    figures: list[MemberFigures] = field(default_factory=list)
    figures_at: float | None = None
    figures_error: str = ""
    picture: AuthPicture = field(default_factory=AuthPicture)
    picture_at: float | None = None
    picture_error: str = ""
    own: OwnRanges = field(default_factory=OwnRanges)

    @property
    def alarms(self) -> list[AlarmView]:
        """As the members' statuses tell them."""
        return alarms_in(self.figures)

    def name_of(self, member: int) -> str:
        """A member's name, or its id."""
        return next((f.title for f in self.figures if f.id == member), f"{member:x}")

    def by_id(self, member: int) -> MemberFigures | None:
        """One member."""
        return next((f for f in self.figures if f.id == member), None)

    @property
    def revision(self) -> int:
        """The newest revision that any member told."""
        return max((f.revision for f in self.figures), default=0)

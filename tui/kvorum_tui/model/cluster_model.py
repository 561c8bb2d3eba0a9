"""What the terminal knows about the cluster: each member's last report with its age, who leads, and
what happened.

A member that falls silent keeps its last values; only their age grows. The leader is the fresh
member that says it leads in the highest term: an old leader that is cut off may go on claiming its
old term for a while, and that is not a second leader. The time to a new leader runs from the first
sign of the loss (the leader's stream broke or went silent, most members lost sight of it, or a
drill said that it was about to hit the leader) to the first report of a leader in a higher term; it
is as fine as the reports come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kvorum_tui.model.cluster_events import Sightings
from kvorum_tui.model.cluster_series import SeriesBook
from kvorum_tui.model.latency import HERE, LatencyBook
from kvorum_tui.model.records import FaultView, MemberIdentity, MemberReport
from kvorum_tui.model.ribbon import Ribbon

# Reports of kvorum nodes come several times a second, etcd is polled each second.
STALE_AFTER_S = {"kvorum": 1.5, "etcd": 3.5}
FAULT_GRACE_S = 1.0  # A fault that is gone from the reports ends this long before its own clock.


@dataclass(slots=True)
class MemberState:
    """One endpoint: what it is, what it said last, and why it does not answer."""

    endpoint: str
    identity: MemberIdentity | None = None
    report: MemberReport | None = None
    seen_at: float = 0.0
    error: str = ""
    failed_at: float = 0.0
    since: float = 0.0

    @property
    def name(self) -> str:
        """The member's name, or its address as long as the name is unknown."""
        if self.report is not None and self.report.name:
            return self.report.name
        if self.identity is not None and self.identity.name:
            return self.identity.name
        return self.endpoint.split("://")[-1]

    @property
    def id(self) -> int:
        """The member id; 0 as long as it is unknown."""
        if self.report is not None:
            return self.report.member_id
        return self.identity.id if self.identity is not None else 0

    def age(self, now: float) -> float:
        """Seconds since the last report."""
        return max(0.0, now - self.seen_at) if self.report is not None else float("inf")

    def fresh(self, now: float) -> bool:
        """Whether the last report is recent and no failure came after it."""
        if self.report is None or self.failed_at > self.seen_at:
            return False
        return self.age(now) <= STALE_AFTER_S[self.report.source]


@dataclass(slots=True)
class LeaderLoss:
    """A loss of the leader that is not over yet."""

    at: float
    term: int
    who: str
    sure: bool = True  # False while only a drill announced it
    how: str = "was lost"


@dataclass(slots=True)
class ClusterModel:
    """The whole picture. Methods that judge freshness take ``now``, in seconds of one monotonic
    clock.
    """

    ribbon: Ribbon = field(default_factory=Ribbon)
    members: dict[str, MemberState] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    last_election_ms: float | None = None
    wall_offset: float = 0.0  # wall clock minus the clock of ``now``; for the ribbon's times
    _leader: tuple[int, int] = (0, 0)  # term, member id
    _loss: LeaderLoss | None = None
    _down: set[str] = field(default_factory=set)
    _electing: int = 0
    series: SeriesBook = field(default_factory=SeriesBook)
    latency: LatencyBook = field(default_factory=LatencyBook)
    _sightings: Sightings = field(init=False)

    def __post_init__(self) -> None:
        self._sightings = Sightings(self._note, self.fault_text)

    # --- input ------------------------------------------------------------------------------------

    def add_endpoint(self, endpoint: str, now: float) -> MemberState:
        """Make a row for an endpoint, if there is none."""
        if endpoint not in self.members:
            self.members[endpoint] = MemberState(endpoint, since=now)
            self.order.append(endpoint)
        return self.members[endpoint]

    def identify(self, endpoint: str, identity: MemberIdentity) -> None:
        """Say which member an endpoint is."""
        self.members[endpoint].identity = identity

    def see_table(self, identities: Sequence[MemberIdentity], now: float) -> None:
        """The member table was read: members that came or went go into the ribbon."""
        self._sightings.table(identities, now)

    def report(self, report: MemberReport, now: float) -> None:
        """Take in what one member says."""
        state = self.add_endpoint(report.endpoint, now)
        before = state.report
        state.report, state.seen_at, state.error = report, now, ""
        if report.endpoint in self._down:
            self._down.discard(report.endpoint)
            self._note(now, "up", f"{state.name} is back", state.name)
        if before is not None and report.term > before.term and report.term > self._leader[0]:
            self._see_election(report, state.name, now)
        self._sightings.report(before, report, state.name, now)
        self.series.report(report, self.trails_by(state, now), now)
        self._measure(report, now)
        self.judge(now)

    def failed(self, endpoint: str, error: str, now: float) -> None:
        """A call or stream to a member broke."""
        state = self.add_endpoint(endpoint, now)
        was_known = state.report is not None
        state.error, state.failed_at = error, now
        if was_known and endpoint not in self._down:
            self._down.add(endpoint)
            self._note(now, "down", f"{state.name} does not answer", state.name)
        self.judge(now)

    def expect_loss(self, member_id: int, now: float, how: str = "was lost") -> None:
        """A drill is about to hit a member: if it leads, the time to a new leader runs
        from here. ``how`` goes into the line that tells of the new one.
        """
        if self._loss is None and member_id and member_id == self._leader[1]:
            self._loss = LeaderLoss(now, self._leader[0], self.name_of(member_id), False, how)

    def judge(self, now: float) -> None:
        """See whether the leader was lost or found. Also to be called when nothing comes in."""
        for endpoint, state in self.members.items():
            if state.report is not None and not state.fresh(now) and endpoint not in self._down:
                self._down.add(endpoint)
                self._note(now, "down", f"{state.name} went silent", state.name)
        leader = self.leader(now)
        if leader is not None and leader.report is not None:
            self._found(leader, leader.report.term, now)
        elif self._leader[1] and (self._loss is None or not self._loss.sure):
            who = self.name_of(self._leader[1])
            at = self._loss.at if self._loss is not None else now
            how = self._loss.how if self._loss is not None else "was lost"
            self._loss = LeaderLoss(at, self._leader[0], who, how=how)
            self._note(now, "lost", f"leader {who} lost in term {self._leader[0]}", who)

    def _found(self, leader: MemberState, term: int, now: float) -> None:
        old_term, old_id = self._leader
        if (term, leader.id) == (old_term, old_id):
            if self._loss is not None and (self._loss.sure or now - self._loss.at > 30):
                if self._loss.sure:
                    self._note(now, "leader", f"{leader.name} leads term {term} again", leader.name)
                self._loss = None
            return
        self._leader = (term, leader.id)
        if not old_id:
            self._note(now, "leader", f"{leader.name} leads term {term}", leader.name)
        else:
            text = f"{leader.name} leads term {term}"
            if self._loss is not None:
                self.last_election_ms = (now - self._loss.at) * 1000
                text += f", {self.last_election_ms:,.0f} ms after {self._loss.who} {self._loss.how}"
            self._note(now, "leader", text, leader.name)
        self._loss = None

    def _see_election(self, report: MemberReport, name: str, now: float) -> None:
        if report.term <= self._electing:
            return
        self._electing = report.term
        if report.role in ("candidate", "pre-candidate"):
            self._note(now, "election", f"{name} stands for leader in term {report.term}", name)
        else:
            self._note(now, "term", f"term {report.term}, seen first by {name}", name)

    def _measure(self, report: MemberReport, now: float) -> None:
        """Round trips, from here and to the peers."""
        if report.latency_ms is not None:
            self.latency.record(HERE, report.member_id, report.latency_ms, now)
        for peer in report.peers or ():
            if peer.connected:
                self.latency.record(report.member_id, peer.id, peer.round_trip_ms, now)

    def _note(self, now: float, kind: str, text: str, member: str = "") -> None:
        revision = max((m.report.revision for m in self.rows() if m.report is not None), default=0)
        self.ribbon.add(now + self.wall_offset, kind, text, member, revision)

    def note(self, now: float, kind: str, text: str, member: str = "") -> None:
        """Put a line of the terminal's own doing into the ribbon."""
        self._note(now, kind, text, member)

    # --- reading ----------------------------------------------------------------------------------

    def rows(self) -> list[MemberState]:
        """Every member, in a lasting order."""
        return [self.members[endpoint] for endpoint in self.order]

    def by_id(self, member_id: int) -> MemberState | None:
        """The member with this id."""
        return next((m for m in self.rows() if m.id == member_id), None) if member_id else None

    def name_of(self, member_id: int) -> str:
        """A member's name, or its id in hex."""
        state = self.by_id(member_id)
        return state.name if state is not None else f"{member_id:x}"

    def voters(self) -> list[MemberState]:
        """Members that count for the quorum."""
        return [
            m
            for m in self.rows()
            if not (m.identity is not None and m.identity.learner)
            and not (m.report is not None and m.report.role == "learner")
        ]

    def up(self, now: float) -> list[MemberState]:
        """Voters that answer."""
        return [m for m in self.voters() if m.fresh(now)]

    @property
    def quorum(self) -> int:
        """How many voters must work together."""
        return len(self.voters()) // 2 + 1

    def leader(self, now: float) -> MemberState | None:
        """The fresh member that leads in the highest term that any fresh member knows of."""
        fresh = [m for m in self.rows() if m.fresh(now) and m.report is not None]
        top = max((m.report.term for m in fresh if m.report), default=0)
        leading = [
            m for m in fresh if m.report and m.report.role == "leader" and m.report.term == top
        ]
        return leading[0] if leading else None

    def leading(self, now: float) -> list[MemberState]:
        """Every fresh member that says it leads, whatever the term."""
        return [m for m in self.rows() if m.fresh(now) and m.report and m.report.role == "leader"]

    def leaderless_s(self, now: float) -> float | None:
        """Seconds since the leader was lost; None while there is one."""
        return now - self._loss.at if self._loss is not None and self._loss.sure else None

    def newest(self, now: float) -> MemberReport | None:
        """The report to take cluster-wide numbers from: the leader's, else the highest revision
        known.
        """
        leader = self.leader(now)
        if leader is not None:
            return leader.report
        known = [m.report for m in self.rows() if m.report is not None]
        return max(known, key=lambda r: r.revision, default=None)

    def trails_by(self, state: MemberState, now: float) -> int | None:
        """Entries that a member's log is behind the highest commit known; None when nothing can be
        said.
        """
        if state.report is None:
            return None
        top = max((m.report.commit for m in self.rows() if m.report is not None), default=0)
        return max(0, top - state.report.applied)

    def source(self) -> str:
        """ "kvorum", "etcd", "mixed", or empty when nobody answered yet."""
        kinds = {m.report.source for m in self.rows() if m.report is not None}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else ""

    def alarms(self) -> list[str]:
        """Alarms that any member reports."""
        return sorted({a for m in self.rows() if m.report is not None for a in m.report.alarms})

    def fault_text(self, fault: FaultView) -> str:
        """A fault in words, with the peer's name."""
        if not fault.direction:
            return fault.what
        peer = self.name_of(fault.peer) if fault.peer else "all peers"
        way = {"inbound": "from", "outbound": "to"}.get(fault.direction, "to and from")
        return f"{fault.what} {way} {peer}"

    def faults(self, now: float) -> Iterable[tuple[MemberState, FaultView, float]]:
        """Every active fault: whose, what, and milliseconds left as of ``now``."""
        for state in self.rows():
            if state.report is None or state.report.faults is None:
                continue
            for fault in state.report.faults:
                left = fault.remaining_ms - (now - state.seen_at) * 1000
                if left > -FAULT_GRACE_S * 1000:
                    yield state, fault, max(0.0, left)

    def cut(self, source: int, target: int, now: float) -> float | None:
        """Milliseconds for which the link from one member to another is still faulty; None when it
        is whole.
        """
        left: list[float] = []
        for state, fault, remaining in self.faults(now):
            if not fault.direction:
                continue
            if state.id == source and fault.peer in (0, target):
                hit = fault.direction in ("outbound", "both")
            elif state.id == target and fault.peer in (0, source):
                hit = fault.direction in ("inbound", "both")
            else:
                hit = False
            if hit:
                left.append(remaining)
        return max(left, default=None)

    def _together(self, members: list[MemberState], now: float) -> int:
        """The most of these members that one of them, as their leader, has whole links with."""

        def linked(a: MemberState, b: MemberState) -> bool:
            return self.cut(a.id, b.id, now) is None and self.cut(b.id, a.id, now) is None

        return max((sum(a is b or linked(a, b) for b in members) for a in members), default=0)

    def quorum_without(self, member_ids: set[int], now: float) -> tuple[bool, str]:
        """Whether a quorum is left when these members are gone, and that in words. Members that
        answer but are cut off from each other do not work together.
        """
        left = self._together([m for m in self.up(now) if m.id not in member_ids], now)
        total, need = len(self.voters()), self.quorum
        words = f"{left} of {total} voters stay connected, {need} are needed"
        if left >= need:
            leads = self.leader(now)
            if leads is not None and leads.id in member_ids:
                return True, words + "; the leader goes, so writes wait for an election"
            return True, words + "; writes go on"
        return False, words + ": NO QUORUM, writes and linearizable reads stop"

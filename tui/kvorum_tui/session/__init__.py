"""What the terminal asks of a cluster. One protocol, so that screens never see the client library;
see ``live``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from kvorum_tui.model.records import (
    KeyLife,
    KeyRecord,
    LeaseInfo,
    MemberIdentity,
    MemberReport,
    Saved,
    WatchBatch,
)

if TYPE_CHECKING:
    from kvorum.drill.access import Access

    from kvorum_tui.session.admin import Admin
    from kvorum_tui.session.checks import Checks
    from kvorum_tui.session.locks import Locks
    from kvorum_tui.session.past import Past
    from kvorum_tui.session.plans import Plans
    from kvorum_tui.session.ranges import Ranges
    from kvorum_tui.session.rpcs import Rpcs
    from kvorum_tui.session.txns import Txns

FAULT_MS_DEFAULT = 30_000


class SessionError(Exception):
    """A call that failed: at which member, which RPC, with which gRPC code, and the server's words.

    ``unknown_outcome`` is set when a write may still have taken effect.
    """

    def __init__(
        self,
        message: str,
        member: str = "",
        rpc: str = "",
        code: str = "",
        unknown_outcome: bool = False,
    ) -> None:
        where = " · ".join(part for part in (member, rpc, code) if part)
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.member = member
        self.rpc = rpc
        self.code = code
        self.unknown_outcome = unknown_outcome

    def at(self, member: str) -> SessionError:
        """The same error with another name for the member."""
        return SessionError(self.message, member, self.rpc, self.code, self.unknown_outcome)


class ReadOnly(SessionError):
    """Refused before anything was sent: the session is read-only."""


class Session(Protocol):
    """A connection to all members of one cluster. Every method raises :class:`SessionError` and
    nothing else.
    """

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The addresses given, and those that the member table added."""

    @property
    def read_only(self) -> bool:
        """Whether every mutating call is refused on this side."""

    @property
    def why_read_only(self) -> str:
        """Why it can never be written to (a recording, a snapshot); empty where one may decide."""

    def set_read_only(self, value: bool) -> None:
        """Refuse every mutating call from now on, or let them through."""

    @property
    def access(self) -> Access:
        """TLS and login, for a drill that connects on its own."""

    @property
    def checks(self) -> Checks:
        """Hashes, contents, log, certificate and metrics of one member at a time."""

    @property
    def past(self) -> Past:
        """Everything that was: histories, states at a revision, what is gone, SQL."""

    @property
    def locks(self) -> Locks:
        """Leases in detail, queues of locks and elections."""

    @property
    def plans(self) -> Plans:
        """Many writes as one plan, and what was written lately."""

    @property
    def ranges(self) -> Ranges:
        """Whole ranges page by page, and which of them the user may read."""

    @property
    def admin(self) -> Admin:
        """Users and roles, space, snapshots, alarms, members."""

    @property
    def txns(self) -> Txns:
        """Transactions as one writes them by hand."""

    @property
    def rpcs(self) -> Rpcs:
        """The session's own calls, as they happen."""

    async def open(self) -> None:
        """Connect. Does not fail when no member answers: that is for the reports to say."""

    async def close(self) -> None:
        """Let go of every connection."""

    async def members(self) -> list[MemberIdentity]:
        """The member table."""

    def reports(self, endpoint: str) -> AsyncIterator[MemberReport]:
        """One member's reports, as fast as this kind of server gives them, until it breaks."""

    async def get(self, key: bytes, revision: int = 0) -> KeyRecord | None:
        """One key, now or at a revision. Without a quorum: what one member has, marked so."""

    async def history(self, key: bytes, from_revision: int, limit: int) -> KeyLife | None:
        """The newest ``limit`` kept changes of a key with when and by which member they were
        written; None where no server tells (etcd).
        """

    async def sample(self, prefix: bytes, limit: int = 5) -> tuple[int, list[bytes]]:
        """How many keys a prefix holds, and the first of them."""

    async def save(self, key: bytes, value: bytes, expected: int, lease: int = 0) -> Saved:
        """Write if the key's mod revision is still ``expected`` (0: if there is no such key); -1
        writes always.
        """

    async def put_at(self, endpoint: str, key: bytes, value: bytes) -> None:
        """Write through one given member, which may be cut off from the others."""

    async def delete_prefix(self, prefix: bytes) -> int:
        """Delete everything under a prefix in one revision; returns how many keys went."""

    def watch(
        self,
        key: bytes,
        prefix: bool,
        start_revision: int = 0,
        previous: bool = True,
        member: str = "",
    ) -> AsyncIterator[WatchBatch]:
        """Changes of a key or prefix, from a revision on (0: from now on); ``previous`` asks for
        previous values, ``member`` (an endpoint) for a watch through that member alone, which also
        goes on while it is cut off.

        The first batch has no events and says the revision at which the watch stands. History that
        was compacted is told by a batch with ``gap_to``, and the watch goes on after it.
        """

    async def leases(self, limit: int = 500) -> tuple[list[LeaseInfo], int]:
        """Up to ``limit`` leases with their keys, and how many there are."""

    async def grant(self, ttl_s: int) -> LeaseInfo:
        """A new lease."""

    async def keep_alive(self, lease_id: int) -> int:
        """Renew once; returns the seconds left, or raises when the lease is gone."""

    async def revoke(self, lease_id: int) -> None:
        """End a lease; its keys are deleted."""

    async def move_leader(self, target: int) -> None:
        """Hand leadership to a member."""

    async def sever(self, endpoint: str, peer: int, direction: str, duration_ms: int) -> None:
        """Let a member cut its link to a peer (0: to all); direction is both, inbound or
        outbound.
        """

    async def pause(self, endpoint: str, duration_ms: int) -> None:
        """Let a member stand still for a while."""

    async def lift(self, endpoint: str, fault_id: int) -> None:
        """End one fault of a member before its time."""

    async def heal(self, endpoint: str) -> int:
        """Lift every fault of one member; returns how many there were."""

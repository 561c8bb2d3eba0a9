"""The session on a real cluster: the one place where the terminal touches the client library.

Errors of the client become :class:`SessionError`; messages and results become the records of
``model.records``. What kind of server a member is shows by itself: kvorum nodes stream their
statistics, a real etcd does not know that service and is polled instead.

Long because every call of the session's core is answered here, side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from kvorum.client import (
    TLS,
    Client,
    ClientError,
    Get,
    Key,
    MemberClient,
    Put,
    RangeResult,
    Tunnel,
    Unsupported,
)
from kvorum.client.watch import Watch
from kvorum.drill.access import Access
from kvorum.errors import Code
from kvorum_proto.kvorum import v1

from kvorum_tui.live.errors import translated
from kvorum_tui.live.ranges import LiveRanges
from kvorum_tui.live.records import following, record_of
from kvorum_tui.live.reports import Probe, etcd_report, key_life, node_report
from kvorum_tui.live.rpcs import LiveRpcs
from kvorum_tui.model.records import (
    KeyLife,
    KeyRecord,
    LeaseInfo,
    MemberIdentity,
    MemberReport,
    Saved,
    WatchBatch,
)
from kvorum_tui.session import SessionError

if TYPE_CHECKING:
    from kvorum_tui.live.admin import LiveAdmin
    from kvorum_tui.live.checks import LiveChecks
    from kvorum_tui.live.locks import LiveLocks
    from kvorum_tui.live.past import LivePast
    from kvorum_tui.live.plans import LivePlans
    from kvorum_tui.live.txns import LiveTxns

T = TypeVar("T")
STATISTICS_MS = 150  # Fine enough to time an election, cheap enough to run beside everything.
LOG_TAIL = 160  # As many entries as a wide screen shows.
POLL_S = 1.0
CALL_S = 2.0
SILENCE_S = 10.0  # A stream of reports that brings nothing for this long is opened anew.
LEASES_AT_ONCE = 16
ALONE_S = 3.0  # After a read that no quorum answered, this long reads ask one member at once.
WITHOUT_QUORUM = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


class LiveSession:
    """A :class:`kvorum_tui.session.Session` over :class:`kvorum.client.Client`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        read_only: bool = False,
        user: str | None = None,
        password: str | None = None,
        tls: TLS | None = None,
        tunnel: Tunnel | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "read_only": read_only,
            "user": user,
            "password": password,
            "tls": tls,
            "tunnel": tunnel,
        }
        self._given = tuple(endpoints)
        self._read_only = read_only
        self.access = Access(tls, user, password, tunnel)
        self._client: Client | None = None
        self._alone_until = 0.0
        self.ranges = LiveRanges(lambda: self.client, user)
        self.rpcs = LiveRpcs(lambda: self.client, lambda: self.access)

    # --- parts that are imported when they are first used -----------------------------------------

    @cached_property
    def checks(self) -> LiveChecks:
        """One member at a time."""
        from kvorum_tui.live.checks import LiveChecks

        access = self.access
        return LiveChecks(lambda: self.client, access.tls, tunnelled=access.tunnel is not None)

    @cached_property
    def locks(self) -> LiveLocks:
        """Leases, locks, elections."""
        from kvorum_tui.live.locks import LiveLocks

        return LiveLocks(lambda: self.client)

    @cached_property
    def plans(self) -> LivePlans:
        """Plans of many changes."""
        from kvorum_tui.live.plans import LivePlans

        return LivePlans(lambda: self.client)

    @cached_property
    def past(self) -> LivePast:
        """History."""
        from kvorum_tui.live.past import LivePast

        return LivePast(self)

    @cached_property
    def admin(self) -> LiveAdmin:
        """Maintenance, users, members."""
        from kvorum_tui.live.admin import LiveAdmin

        return LiveAdmin(lambda: self.client, lambda: self.access)

    @cached_property
    def txns(self) -> LiveTxns:
        """Transactions."""
        from kvorum_tui.live.txns import LiveTxns

        return LiveTxns(lambda: self.client)

    # --- the connection ---------------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        """As the client spells them; before :meth:`open`, as given."""
        return self._client.endpoints if self._client is not None else self._given

    @property
    def read_only(self) -> bool:
        """Enforced by the client, whatever the screens do."""
        return self._read_only

    @property
    def why_read_only(self) -> str:
        """A cluster can always be written to, as far as this side is concerned."""
        return ""

    def set_read_only(self, value: bool) -> None:
        """The client refuses from the next call on."""
        self._read_only = self._options["read_only"] = value
        if self._client is not None:
            self._client.read_only = value

    @property
    def client(self) -> Client:
        """The client; there is one from :meth:`open` to :meth:`close`."""
        if self._client is None:
            raise SessionError("not connected")
        return self._client

    async def open(self) -> None:
        """Make the client; it connects when it is first used."""
        if self._client is None:
            self._client = Client(self._given, **self._options)

    async def close(self) -> None:
        """Close every connection."""
        if "past" in vars(self):
            await self.past.close()
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    # --- members ----------------------------------------------------------------------------------

    async def members(self) -> list[MemberIdentity]:
        """The member table; without a quorum, as one member has it."""
        with translated():
            found = await self._or_one_member(
                lambda alone: self.client.cluster.members(linearizable=not alone, timeout_s=CALL_S)
            )
        return [
            MemberIdentity(m.id, m.name, m.client_urls, m.peer_urls, m.is_learner)
            for m in found[0].members
        ]

    async def reports(self, endpoint: str) -> AsyncIterator[MemberReport]:
        """Statistics of a kvorum node as they stream; status of an etcd member once a second."""
        member = self.client.member(endpoint)
        with translated():
            try:
                async with aclosing(self._node_reports(endpoint, member)) as reports:
                    async for report in reports:
                        yield report
                return
            except Unsupported:
                pass  # A real etcd: it is polled.
            async with self.checks.scraping(endpoint) as metrics:
                while True:
                    began = time.monotonic()
                    status = await member.maintenance.status(timeout_s=CALL_S)
                    yield etcd_report(endpoint, status, (time.monotonic() - began) * 1000, metrics)
                    await asyncio.sleep(max(0.0, POLL_S - (time.monotonic() - began)))

    async def _node_reports(
        self, endpoint: str, member: MemberClient
    ) -> AsyncGenerator[MemberReport, None]:
        async with (
            Probe(member, CALL_S) as probe,
            aclosing(
                member.inspect.statistics(interval_ms=STATISTICS_MS, log_tail=LOG_TAIL)
            ) as stream,
        ):
            while True:
                try:
                    async with asyncio.timeout(SILENCE_S):
                        statistics = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    text = f"silent for {SILENCE_S:.0f} s"
                    raise SessionError(text, endpoint, "Inspect/Statistics") from None
                yield node_report(endpoint, statistics, probe)

    # --- keys -------------------------------------------------------------------------------------

    async def _or_one_member(
        self, call: Callable[[bool], Coroutine[Any, Any, T]]
    ) -> tuple[T, bool]:
        """A linearizable read, or where no quorum answers a read from one member; says which it
        was.
        """
        if time.monotonic() >= self._alone_until:
            try:
                return await call(False), False
            except ClientError as error:
                if error.code not in WITHOUT_QUORUM:
                    raise
            self._alone_until = time.monotonic() + ALONE_S
        return await call(True), True

    async def get(self, key: bytes, revision: int = 0) -> KeyRecord | None:
        """One key."""
        with translated():
            found, alone = await self._or_one_member(
                lambda alone: self.client.get(
                    key, revision=revision, serializable=alone, timeout_s=CALL_S
                )
            )
        return record_of(found.kv, alone) if found.kv is not None else None

    async def history(self, key: bytes, from_revision: int, limit: int) -> KeyLife | None:
        """From the first member that tells."""
        for endpoint in self.endpoints:
            inspect = self.client.member(endpoint).inspect
            try:
                return await key_life(
                    inspect.history(key, from_revision=from_revision, timeout_s=CALL_S), limit
                )
            except ClientError:
                continue  # An etcd, or a member that is down: the watch tells what it can.
        return None

    async def sample(self, prefix: bytes, limit: int = 5) -> tuple[int, list[bytes]]:
        """Count and first keys of a prefix."""
        with translated():
            found = await self.client.range(prefix, prefix=True, limit=limit, keys_only=True)
        return found.count, [kv.key for kv in found.kvs]

    async def save(self, key: bytes, value: bytes, expected: int, lease: int = 0) -> Saved:
        """Put, if the mod revision is as expected."""
        with translated():
            txn = self.client.txn()
            if expected >= 0:
                txn = txn.if_(Key(key).mod_revision == expected)
            done = await txn.then(Put(key, value, lease)).else_(Get(key)).commit()
        if done.succeeded:
            return Saved(True, done.header.revision)
        found = done.responses[0]
        kv = found.kvs[0] if isinstance(found, RangeResult) and found.kvs else None
        return Saved(False, done.header.revision, record_of(kv) if kv is not None else None)

    async def put_at(self, endpoint: str, key: bytes, value: bytes) -> None:
        """One put at one member."""
        with translated():
            await self.client.member(endpoint).put(key, value, timeout_s=CALL_S)

    async def delete_prefix(self, prefix: bytes) -> int:
        """One range deletion."""
        with translated():
            return (await self.client.delete(prefix, prefix=True)).deleted

    def watch(
        self,
        key: bytes,
        prefix: bool,
        start_revision: int = 0,
        previous: bool = True,
        member: str = "",
    ) -> AsyncIterator[WatchBatch]:
        """A watch that steps over compacted history and says so."""

        def open_at(revision: int) -> Watch:
            source = self.client.member(member) if member else self.client
            return source.watch(
                key,
                prefix=prefix,
                start_revision=revision,
                prev_kv=previous,
                require_leader=not member,
            )

        return following(open_at, start_revision)

    # --- leases -----------------------------------------------------------------------------------

    async def leases(self, limit: int = 500) -> tuple[list[LeaseInfo], int]:
        """Ids first, then each lease's time and keys, a few at once."""
        with translated():
            ids = await self.client.leases.list()
            gate = asyncio.Semaphore(LEASES_AT_ONCE)

            async def one(lease_id: int) -> LeaseInfo:
                async with gate:
                    told = await self.client.leases.time_to_live(lease_id, keys=True)
                return LeaseInfo(lease_id, told.granted_ttl_s, told.ttl_s, told.keys)

            found = await asyncio.gather(*(one(lease_id) for lease_id in ids[:limit]))
        return list(found), len(ids)

    async def grant(self, ttl_s: int) -> LeaseInfo:
        """A new lease."""
        with translated():
            made = await self.client.leases.grant(ttl_s)
        return LeaseInfo(made.id, made.ttl_s, made.ttl_s)

    async def keep_alive(self, lease_id: int) -> int:
        """Renew once."""
        with translated():
            return await self.client.leases.keep_alive_once(lease_id)

    async def revoke(self, lease_id: int) -> None:
        """End a lease."""
        with translated():
            await self.client.leases.revoke(lease_id)

    # --- drills -----------------------------------------------------------------------------------

    async def move_leader(self, target: int) -> None:
        """Hand leadership over."""
        with translated():
            await self.client.cluster.move_leader(target)

    async def sever(self, endpoint: str, peer: int, direction: str, duration_ms: int) -> None:
        """Let a member cut a link of its own."""
        way = {
            "both": v1.Direction.BOTH,
            "inbound": v1.Direction.INBOUND,
            "outbound": v1.Direction.OUTBOUND,
        }[direction]
        with translated():
            await self.client.member(endpoint).faults.inject(
                v1.LinkFault(peer=peer, direction=way), duration_ms=duration_ms
            )

    async def pause(self, endpoint: str, duration_ms: int) -> None:
        """Let a member stand still."""
        with translated():
            await self.client.member(endpoint).faults.inject(
                v1.PauseFault(), duration_ms=duration_ms
            )

    async def lift(self, endpoint: str, fault_id: int) -> None:
        """End one fault."""
        with translated():
            await self.client.member(endpoint).faults.lift(fault_id)

    async def heal(self, endpoint: str) -> int:
        """End all faults of a member."""
        with translated():
            return await self.client.member(endpoint).faults.lift(0)


def short_title(endpoints: Sequence[str]) -> str:
    """The first address without its scheme, and how many more there are."""
    first = endpoints[0].split("://")[-1]
    return first if len(endpoints) == 1 else f"{first} +{len(endpoints) - 1}"

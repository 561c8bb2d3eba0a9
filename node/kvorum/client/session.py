"""What a client and a client of one member have in common: every call that needs no list of
members.
"""

from __future__ import annotations

from kvorum.client.auth import Auth
from kvorum.client.caller import Caller
from kvorum.client.election import Election
from kvorum.client.kv import KV
from kvorum.client.lease import Lease, Leases
from kvorum.client.lease_stream import LeaseStream
from kvorum.client.lock import Lock
from kvorum.client.maintenance import Maintenance
from kvorum.client.mirror import Mirror
from kvorum.client.types import Key
from kvorum.client.watch import Watch, watch
from kvorum.client.watch_stream import WatchStream


class Session(KV):
    """Calls over one caller, with one stream for all watches and one for all leases."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller)
        self._watch_streams: dict[bool, WatchStream] = {}
        self._lease_stream: LeaseStream | None = None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints in use."""
        return tuple(str(endpoint) for endpoint in self._caller.picker.endpoints)

    def watch(
        self,
        key: Key,
        range_end: Key | None = None,
        *,
        prefix: bool = False,
        from_key: bool = False,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
        progress: bool = False,
        require_leader: bool | None = None,
    ) -> Watch:
        """Watch a key, a range or a prefix, from now on or from ``start_revision`` on.

        ``prev_kv`` adds to each event what the key was before, ``no_put`` and ``no_delete``
        leave a kind of event out, ``progress`` lets notices of progress through to
        :meth:`kvorum.client.watch.Watch.batches`. With ``require_leader`` the watch fails with
        ``NoLeaderError`` when no endpoint knows a leader; without it a watch on a member that is
        cut off stays silent. See :mod:`kvorum.client.watch`.
        """
        needs_leader = (
            self._caller.pool.require_leader if require_leader is None else require_leader
        )
        stream = self._watch_streams.get(needs_leader)
        if stream is None:
            stream = WatchStream(self._caller, require_leader=needs_leader)
            self._watch_streams[needs_leader] = stream
        return watch(
            stream,
            key,
            range_end,
            prefix=prefix,
            from_key=from_key,
            start_revision=start_revision,
            prev_kv=prev_kv,
            no_put=no_put,
            no_delete=no_delete,
            progress=progress,
            first_answer_s=self._caller.pool.timeout_s,
            dial_s=self._caller.pool.dial_timeout_s,
        )

    @property
    def leases(self) -> Leases:
        """The lease calls themselves: grant, revoke, time to live, list."""
        return Leases(self._caller)

    def lease(self, ttl_s: int, *, id: int = 0, revoke: bool = True) -> Lease:
        """A lease to be entered with ``async with``: granted, kept alive, revoked at the end.

        With ``revoke=False`` it is left to expire. See :mod:`kvorum.client.lease`.
        """
        return Lease(self.leases, self.lease_stream, ttl_s, id=id, revoke=revoke)

    @property
    def lease_stream(self) -> LeaseStream:
        """The stream that renews this session's leases."""
        if self._lease_stream is None:
            self._lease_stream = LeaseStream(self._caller)
        return self._lease_stream

    def lock(
        self, name: Key, *, ttl_s: int = 10, wait_s: float | None = None, value: Key = b""
    ) -> Lock:
        """A lock to be entered with ``async with``. See :mod:`kvorum.client.lock`."""
        return Lock(self, name, ttl_s=ttl_s, wait_s=wait_s, value=value)

    def election(self, name: Key) -> Election:
        """An election. See :mod:`kvorum.client.election`."""
        return Election(self, name)

    def mirror(
        self, prefix: Key, *, keys_only: bool = False, max_keys: int | None = None
    ) -> Mirror:
        """A local copy of a prefix, to be entered with ``async with``. See
        :mod:`kvorum.client.mirror`.
        """
        return Mirror(self, prefix, keys_only=keys_only, max_keys=max_keys)

    @property
    def maintenance(self) -> Maintenance:
        """Status, hashes, alarms, defragmentation, snapshots."""
        return Maintenance(self._caller)

    @property
    def auth(self) -> Auth:
        """Users, roles and whether auth is on."""
        return Auth(self._caller)

    async def _close_streams(self) -> None:
        for stream in self._watch_streams.values():
            await stream.aclose()
        if self._lease_stream is not None:
            await self._lease_stream.aclose()

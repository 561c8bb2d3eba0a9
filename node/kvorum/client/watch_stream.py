"""Many watchers on one stream.

Creates are answered in the order they were sent, so a queue of the unanswered ones tells whom an
answer is for. Ids are the server's and belong to one session; after a disconnect every watcher
is created anew from where it is.
"""

from __future__ import annotations

from collections import deque

from kvorum_proto import etcdserverpb as pb

from kvorum.client.caller import Caller
from kvorum.client.errors import REAUTHENTICATE, ClientError, ProtocolViolation
from kvorum.client.methods import method
from kvorum.client.streams import SharedStream
from kvorum.client.types import header_of
from kvorum.client.watcher import Watcher, refusal
from kvorum.errors import Code

_WATCH = method("/etcdserverpb.Watch/Watch")
_STATUS = method("/etcdserverpb.Maintenance/Status")
_BROADCAST = -1


class WatchStream(SharedStream[pb.WatchRequest, pb.WatchResponse]):
    """The stream of one client, or of one member, that all watches there share."""

    def __init__(self, caller: Caller, *, require_leader: bool | None = None) -> None:
        super().__init__(caller, _WATCH, pb.WatchResponse, require_leader=require_leader)
        # Every watcher somebody reads, in the order they were added (a dict, used as an ordered
        # set).
        self._watchers: dict[Watcher, None] = {}
        # Creates without an answer, oldest first.
        self._creating: deque[Watcher] = deque()
        self._by_id: dict[int, Watcher] = {}
        self._cancelled: set[int] = set()
        self._progress_is_safe = False
        self._relogins = 0

    # For watches.

    def add(self, watcher: Watcher) -> None:
        """Begin; does nothing the second time."""
        if watcher.added:
            return
        self._caller.pool.guard(_WATCH, None)
        watcher.added = True
        self._watchers[watcher] = None
        self._create(watcher)
        self._run()

    def drop(self, watcher: Watcher) -> None:
        """The reader has left. Callable from anywhere, also when the event loop is gone."""
        if watcher.closed:
            return
        watch_id = watcher.watch_id
        watcher.close()
        self._watchers.pop(watcher, None)
        if watch_id is not None:
            self._by_id.pop(watch_id, None)
            self._cancel(watch_id)
        self._stop_if_unneeded()

    def taken(self, watcher: Watcher) -> None:
        """The reader has taken a batch: a parked watcher may have room again."""
        if watcher.parked and watcher.roomy and not watcher.closed and watcher.error is None:
            watcher.parked = False
            watcher.catch_ups += 1
            self._create(watcher)

    async def request_progress(self) -> None:
        """Ask for the progress of all watchers; see
        :meth:`kvorum.client.watch.Watch.request_progress`.
        """
        if not self._progress_is_safe:
            self._progress_is_safe = await self._answers_progress_in_order()
        self._send(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    async def _answers_progress_in_order(self) -> bool:
        """Whether the member sends requested progress only behind the events it covers
        (etcd#15220).
        """
        try:
            status = await self._caller.call(_STATUS, pb.StatusRequest(), pb.StatusResponse)
            version = tuple(int(part) for part in status.version.split(".")[:3])
        except (ClientError, ValueError):
            return False  # Not known (Status may be refused): take the answer for information only.
        return version >= (3, 4, 25) and not (3, 5, 0) <= version < (3, 5, 8)

    # What SharedStream asks.

    def _needed(self) -> bool:
        return bool(self._watchers)

    def _opened(self) -> None:
        self._creating.clear()
        self._by_id.clear()
        self._cancelled.clear()
        self._progress_is_safe = False
        for watcher in self._watchers:
            watcher.detached()
            if watcher.started.is_set():
                watcher.resumes += 1
            if not watcher.parked:
                self._create(watcher)

    def _gone(self, error: ClientError) -> None:
        watchers, self._watchers = self._watchers, {}
        for watcher in watchers:
            watcher.fail(error)

    def _received(self, reply: pb.WatchResponse) -> None:
        if reply.created:
            self._answered(reply)
        elif reply.watch_id == _BROADCAST and not reply.canceled and not reply.events:
            for watcher in self._by_id.values():
                watcher.progressed(header_of(reply.header), safe=self._progress_is_safe)
        else:
            watcher_or_none = self._by_id.get(reply.watch_id)
            if watcher_or_none is None:
                self._stray(reply)
            elif reply.canceled:
                del self._by_id[reply.watch_id]
                self._fail(watcher_or_none, refusal(reply))
            else:
                watcher_or_none.deliver(reply)
                if watcher_or_none.full:
                    self._park(watcher_or_none)

    # The steps.

    def _create(self, watcher: Watcher) -> None:
        if self._up:
            self._creating.append(watcher)
            self._send(watcher.request())

    def _cancel(self, watch_id: int) -> None:
        self._cancelled.add(watch_id)
        request = pb.WatchCancelRequest(watch_id=watch_id)
        self._send(pb.WatchRequest(cancel_request=request))

    def _answered(self, reply: pb.WatchResponse) -> None:
        if not self._creating:
            text = f"an answer to a create that was not sent (watch id {reply.watch_id})"
            raise ProtocolViolation(text, code=Code.INTERNAL)
        watcher = self._creating.popleft()
        if reply.canceled or reply.watch_id == _BROADCAST:
            error = refusal(reply)
            may_login = self._caller.pool.may_login and self._relogins == 0
            if error.condition in REAUTHENTICATE and may_login:
                # The token belongs to the stream, so a new one needs a new stream.
                self._relogins += 1
                self._restart(error)
            else:
                self._fail(watcher, error)
            return
        self._relogins = 0
        self._cancelled.discard(reply.watch_id)
        if watcher.closed:
            self._cancel(reply.watch_id)
            return
        self._by_id[reply.watch_id] = watcher
        watcher.created(reply.watch_id, header_of(reply.header))

    def _stray(self, reply: pb.WatchResponse) -> None:
        """A reply for a watcher that has left, or that was never asked for: the server is told
        once.
        """
        if reply.canceled:
            self._cancelled.discard(reply.watch_id)
        elif reply.watch_id not in self._cancelled:
            self._cancel(reply.watch_id)

    def _park(self, watcher: Watcher) -> None:
        watch_id = watcher.watch_id
        watcher.detached()
        watcher.parked = True
        if watch_id is not None:
            del self._by_id[watch_id]
            self._cancel(watch_id)

    def _fail(self, watcher: Watcher, error: ClientError) -> None:
        self._watchers.pop(watcher, None)
        watcher.fail(error)
        self._stop_if_unneeded()

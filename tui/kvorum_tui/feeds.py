"""Feeds: asyncio tasks that keep the view models current, and tell the screen so at most twenty
times a second.

A feed never ends by an error of the cluster: it says what went wrong, waits a little longer each
time, and tries again. What it has shown stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlsplit

from kvorum_tui.model.cluster_model import ClusterModel
from kvorum_tui.model.records import MemberIdentity
from kvorum_tui.session import Session, SessionError

PULSE_S = 0.05
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 2.0
DISCOVER_S = 5.0
NAMES_S = 0.5

Clock = Callable[[], float]


class Pulse:
    """Calls ``tell`` soon after :meth:`mark`, and never more often than every ``every_s``."""

    def __init__(self, tell: Callable[[], object], every_s: float = PULSE_S) -> None:
        self._tell = tell
        self._every_s = every_s
        self._last = -1.0
        self._pending = False
        self.told = 0

    def mark(self) -> None:
        """Something changed."""
        if self._pending:
            return
        self._pending = True
        loop = asyncio.get_running_loop()
        loop.call_at(max(loop.time(), self._last + self._every_s), self._fire)

    def _fire(self) -> None:
        self._pending = False
        self._last = asyncio.get_running_loop().time()
        self.told += 1
        self._tell()


async def forever(
    step: Callable[[], Awaitable[None]], failed: Callable[[SessionError], None]
) -> None:
    """Repeat a step that ends when its stream ends; failures are told, the wait grows, success
    resets it.
    """
    wait = RETRY_FIRST_S
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await step()
        except SessionError as error:
            failed(error)
        if loop.time() - began > 5 * wait:
            wait = RETRY_FIRST_S
        await asyncio.sleep(wait)
        wait = min(RETRY_MAX_S, wait * 2)


def _address(url: str) -> str:
    """Host and port of an endpoint however it is written."""
    return urlsplit(url if "://" in url else f"//{url}").netloc or url


class ClusterFeed:
    """Follows every member's reports, and finds members that nobody named."""

    def __init__(
        self, session: Session, model: ClusterModel, clock: Clock, tell: Callable[[], object]
    ) -> None:
        self.session = session
        self.model = model
        self.clock = clock
        self.pulse = Pulse(tell)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            for endpoint in self.session.endpoints:
                self.model.add_endpoint(endpoint, self.clock())
            try:
                # Names first, if they come at once: what happens is told with them.
                async with asyncio.timeout(NAMES_S):
                    await self._discover()
            except TimeoutError:
                pass  # The feeds below say who does not answer.
            for endpoint in self.session.endpoints:
                self._follow(endpoint)
            await asyncio.sleep(RETRY_FIRST_S)
            while True:
                await self._discover()
                await asyncio.sleep(DISCOVER_S if self.model.source() else RETRY_FIRST_S)
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _follow(self, endpoint: str) -> None:
        self.model.add_endpoint(endpoint, self.clock())
        self._tasks[endpoint] = asyncio.create_task(
            self._member(endpoint), name=f"reports {endpoint}"
        )

    async def _member(self, endpoint: str) -> None:
        async def step() -> None:
            async for report in self.session.reports(endpoint):
                self.model.report(report, self.clock())
                self.pulse.mark()
            raise SessionError("the stream of reports ended", endpoint, "Statistics")

        def failed(error: SessionError) -> None:
            self.model.failed(endpoint, f"{error.code} {error.message}".strip(), self.clock())
            self.pulse.mark()

        await forever(step, failed)

    async def _discover(self) -> None:
        try:
            table = await self.session.members()
        except SessionError:
            return  # every member's own feed says why
        self.model.see_table(table, self.clock())
        all_known = self._all_known()
        for identity in sorted(table, key=lambda identity: identity.name):
            endpoint = self._endpoint_of(identity)
            if endpoint is not None:
                self.model.identify(endpoint, identity)
            elif identity.client_urls and all_known:
                self._follow(identity.client_urls[0])
                self.model.identify(identity.client_urls[0], identity)
        self.pulse.mark()

    def _endpoint_of(self, identity: MemberIdentity) -> str | None:
        urls = {_address(url) for url in identity.client_urls}
        for endpoint, state in self.model.members.items():
            if state.id == identity.id or (state.report is None and _address(endpoint) in urls):
                return endpoint
        return None

    def _all_known(self) -> bool:
        """Whether every endpoint has answered or failed: before that, a member may be one we are
        just asking.
        """
        return all(m.report is not None or m.error for m in self.model.rows())


def endpoints_from(texts: Iterable[str]) -> tuple[str, ...]:
    """Endpoints from options that may each hold several, separated by commas."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))

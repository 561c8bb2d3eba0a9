"""Watches the members of a real cluster: who answers, who leads, how far each is.

Each member is asked on its own, again and again, with a short patience, so that one that hangs
never hides the others. What was last heard grows old: after a second it counts no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.drill.access import Access
from kvorum.drill.stage import NodeView, View

_ASK_S = 0.05
_PATIENCE_S = 0.5
_FRESH_S = 1.0


@dataclass
class _Heard:
    at_s: float
    leads: bool
    term: int
    applied: int


class Eye:
    """``states``: running, paused or dead by name, as whoever runs the processes knows it; who is
    not in it is dead, and None stands for nobody who runs them.
    """

    def __init__(self, states: Callable[[], Mapping[str, str] | None]) -> None:
        self._client: Client | None = None
        self._states = states
        self._urls: dict[str, str] = {}
        self._heard: dict[str, _Heard] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lives: dict[str, int] = {}
        self.ids: dict[str, int] = {}

    def look(self, access: Access, urls: Mapping[str, str]) -> None:
        """Begin to ask the members of a cluster."""
        self._client = access.client(list(urls.values()), _PATIENCE_S, _PATIENCE_S)
        for name, url in urls.items():
            self.follow(name, url)

    def follow(self, name: str, url: str) -> None:
        """Begin to ask one more member."""
        self._urls[name] = url
        self._tasks[name] = asyncio.create_task(self._ask(name, url))

    def anew(self, names: Iterable[str]) -> None:
        """These members were started or woken up: what they said before counts no more."""
        for name in names:
            self._heard.pop(name, None)
            self._lives[name] = self._lives.get(name, 0) + 1

    def forget(self, name: str) -> None:
        """Ask no more: it is no member."""
        self._tasks.pop(name).cancel()
        self._urls.pop(name)
        self._heard.pop(name, None)
        self.ids.pop(name, None)

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._client is not None:
            await self._client.aclose()

    async def _ask(self, name: str, url: str) -> None:
        assert self._client is not None
        maintenance = self._client.member(url).maintenance
        while True:
            life = self._lives.get(name, 0)
            try:
                status = await maintenance.status(timeout_s=_PATIENCE_S)
            except ClientError:
                await asyncio.sleep(_ASK_S)
                continue
            if life == self._lives.get(name, 0):
                self.ids[name] = status.member_id
                self._heard[name] = _Heard(
                    time.monotonic(), status.is_leader, status.raft_term, status.raft_applied_index
                )
            await asyncio.sleep(_ASK_S)

    @property
    def urls(self) -> dict[str, str]:
        """The client URL of every member, by name."""
        return dict(self._urls)

    def name(self, id: int) -> str:
        """A member's name by its id, or the id in hex."""
        return next((name for name, known in self.ids.items() if known == id), f"{id:x}")

    def view(self) -> View:
        """The cluster as last heard of."""
        now = time.monotonic()
        nodes, led = [], []
        states = self._states()
        for name in self._urls:
            state = "running" if states is None else states.get(name, "dead")
            heard = self._heard.get(name)
            if heard is None or now - heard.at_s > _FRESH_S or state == "dead":
                nodes.append(NodeView(name, state != "dead", state == "paused"))
                continue
            seen = NodeView(name, True, state == "paused", heard.term, heard.applied, heard.leads)
            nodes.append(seen)
            if seen.leader and not seen.paused:
                led.append(seen)
        best = max(led, key=lambda node: node.term, default=None)
        term = max((node.term for node in nodes), default=0)
        return View(tuple(nodes), best.name if best else None, term)

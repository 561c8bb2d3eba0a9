"""Orders to a cluster of processes: leadership, members, defragmentation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from kvorum.client import Client
from kvorum.client.errors import ClientError
from kvorum.cluster.rundir import free_port
from kvorum.cluster.supervisor import Supervisor
from kvorum.drill.eye import Eye
from kvorum.drill.proxies import Proxies
from kvorum.drill.scenario import Step
from kvorum.drill.stage import StageError

_DONE_S = 30.0
_LOOK_S = 0.05
_AGAIN_S = 0.3  # Between two tries of a change that the cluster is not ready for.


class Changes:
    """Carries orders out. ``supervisor`` None: nobody can start a member here."""

    def __init__(
        self, client: Client, eye: Eye, supervisor: Supervisor | None, proxies: Proxies
    ) -> None:
        self._client = client
        self._eye = eye
        self._supervisor = supervisor
        self._proxies = proxies
        self._added = 0

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """One order; what came of it. Raises StageError and ClientError."""
        match step.do:
            case "transfer_leader":
                return await self._transfer(names[0])
            case "defrag":
                return await self._defrag(names)
            case "add_member":
                return await self._add()
            case "remove_member":
                return await self._remove(names)
            case "replace_member":
                gone = await self._remove(names)
                return f"{gone}, {await self._add()}"
        raise StageError(f"{step.do} is not done by a cluster of processes")

    async def _transfer(self, name: str) -> str:
        began = time.monotonic()
        if self._eye.view().leader == name:
            return f"{name} leads already"
        await self._client.cluster.move_leader(self._eye.ids[name], timeout_s=_DONE_S)
        return f"{name} leads after {time.monotonic() - began:.3f} s"

    async def _defrag(self, names: tuple[str, ...]) -> str:
        began = time.monotonic()
        for name in names:
            await self._client.member(self._eye.urls[name]).maintenance.defragment()
        return f"{' and '.join(names)} rewritten in {time.monotonic() - began:.2f} s"

    async def _remove(self, names: tuple[str, ...]) -> str:
        for name in names:
            id_ = self._eye.ids[name]
            await self._patiently(partial(self._client.cluster.remove, id_))
            self._eye.forget(name)
            if self._supervisor is not None:
                await asyncio.to_thread(self._supervisor.kill, name)
        return f"{' and '.join(names)} removed"

    async def _add(self) -> str:
        if self._supervisor is None:
            raise StageError("nobody here can start a new member of this cluster")
        members = (await self._client.cluster.members()).members
        used = [view.name for view in self._supervisor.nodes()]
        name = f"n{1 + max(int(other[1:]) for other in used)}"
        real = self._supervisor.reserve(name)
        url = await self._proxy(name, real)
        await self._patiently(partial(self._client.cluster.add, [url]))
        known = {m.name: m.peer_urls[0] for m in members} | {name: url}
        cluster = ",".join(f"{one}={peer}" for one, peer in known.items())
        flags = [f"--initial-cluster={cluster}", f"--initial-advertise-peer-urls={url}"]
        await asyncio.to_thread(self._supervisor.join, name, flags)
        views = {view.name: view.client_url for view in self._supervisor.nodes()}
        self._eye.follow(name, views[name])
        end = time.monotonic() + _DONE_S
        while name not in self._eye.ids:
            if time.monotonic() > end:
                raise StageError(f"{name} was added and gives no answer after {_DONE_S:g} s")
            await asyncio.sleep(_LOOK_S)
        return f"{name} added and started"

    async def _proxy(self, name: str, real: str) -> str:
        """The peer URL to advertise: a proxy's where links are bent by proxies."""
        assert self._supervisor is not None
        if self._supervisor.spec.program != "etcd":
            return real
        target = int(real.rpartition(":")[2])
        port = free_port({target})
        await self._proxies.open(name, port, target)
        return f"http://127.0.0.1:{port}"

    async def _patiently(self, change: Callable[[], Awaitable[object]]) -> None:
        """A change of members, tried again while the cluster says that it is not ready for it."""
        end = time.monotonic() + _DONE_S
        while True:
            try:
                await change()
            except ClientError as error:
                refused = error.condition is not None and "UNHEALTHY" in error.condition.name
                if not refused or time.monotonic() > end:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
            return

"""Orders to a cluster of processes: leadership, members, defragmentation, the way back of a member
whose log is damaged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from kvorum.client import Client
from kvorum.client.errors import ClientError, UnknownOutcome
from kvorum.cluster.rundir import free_port
from kvorum.cluster.supervisor import Supervisor
from kvorum.drill.access import Access
from kvorum.drill.eye import Eye
from kvorum.drill.proxies import Proxies
from kvorum.drill.scenario import Step
from kvorum.drill.stage import StageError
from kvorum.errors import Condition

_DONE_S = 30.0
_LOOK_S = 0.05
_REJOIN_S = 60.0
_START_IT = "start it as it was started before"  # What `kvorum rejoin` says when it may be.
_AGAIN_S = 0.3  # Between two tries of a change that the cluster is not ready for.


class Changes:
    """Carries orders out. ``supervisor`` None: nobody can start a member here."""

    def __init__(
        self,
        client: Client,
        access: Access,
        eye: Eye,
        supervisor: Supervisor | None,
        proxies: Proxies,
    ) -> None:
        self._client = client
        self._access = access
        self._eye = eye
        self._supervisor = supervisor
        self._proxies = proxies

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """One order; what came of it. Raises StageError and ClientError."""
        match step.do:
            case "transfer_leader":
                return await self._transfer(names[0])
            case "defrag":
                return await self._defrag(names)
            case "add_member":
                return await self._add(step.learner)
            case "rejoin_member":
                return await self._rejoin(names)
            case "remove_member":
                return await self._remove(names)
            case "replace_member":
                gone = await self._remove(names)
                return f"{gone}, {await self._add(False)}"
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
            await self._patiently(partial(self._remove_one, self._eye.ids[name]))
            self._eye.forget(name)
            if self._supervisor is not None:
                await asyncio.to_thread(self._supervisor.kill, name)
        return f"{' and '.join(names)} removed"

    async def _remove_one(self, id_: int) -> None:
        """Remove a member, unless an earlier try whose answer was lost did it."""
        try:
            await self._client.cluster.remove(id_)
        except ClientError as error:
            if error.condition is not Condition.MEMBER_NOT_FOUND:
                raise

    async def _add_one(self, url: str, learner: bool) -> None:
        """Add a member, unless an earlier try whose answer was lost did it."""
        try:
            await self._client.cluster.add([url], learner=learner)
        except ClientError as error:
            if error.condition is not Condition.PEER_URL_EXIST:
                raise

    async def _add(self, learner: bool) -> str:
        if self._supervisor is None:
            raise StageError("nobody here can start a new member of this cluster")
        began = time.monotonic()
        members = (await self._client.cluster.members()).members
        name = _new_name(list(self._supervisor.states()))
        real = await asyncio.to_thread(self._supervisor.reserve, name)
        url = await self._proxy(name, real)
        await self._patiently(partial(self._add_one, url, learner))
        known = {m.name: m.peer_urls[0] for m in members} | {name: url}
        cluster = ",".join(f"{one}={peer}" for one, peer in known.items())
        flags = [f"--initial-cluster={cluster}", f"--initial-advertise-peer-urls={url}"]
        await asyncio.to_thread(self._supervisor.join, name, flags)
        views = {v.name: v.client_url for v in await asyncio.to_thread(self._supervisor.nodes)}
        self._eye.follow(name, views[name])
        await self._answers(name, 0)
        if not learner:
            return f"{name} added and started"
        promote = partial(self._client.cluster.promote, self._eye.ids[name])
        await self._patiently(promote)
        return f"{name} added as a learner, votes after {time.monotonic() - began:.2f} s"

    async def _answers(self, name: str, before: int) -> None:
        """Wait until a member answers under another id than ``before``. Raises StageError."""
        end = time.monotonic() + _DONE_S
        while self._eye.ids.get(name, before) == before:
            if time.monotonic() > end:
                raise StageError(f"{name} was started and gives no answer after {_DONE_S:g} s")
            await asyncio.sleep(_LOOK_S)

    async def _rejoin(self, names: tuple[str, ...]) -> str:
        for name in names:
            await self._rejoin_one(name)
        return f"{' and '.join(names)} back under a new id, and voting"

    async def _rejoin_one(self, name: str) -> None:
        """As an operator does it: the command, then a start, while the command waits for the vote
        to give.
        """
        if self._supervisor is None:
            raise StageError("nobody here can start a member of this cluster")
        views = await asyncio.to_thread(self._supervisor.nodes)
        view = next((v for v in views if v.name == name), None)
        if view is None or view.state in ("running", "paused"):
            raise StageError(f"{name} runs, or is no member; only a dead one can rejoin")
        before = self._eye.ids.get(name, 0)
        others = [url for other, url in self._eye.urls.items() if other != name]
        argv = [sys.executable, "-P", "-m", "kvorum", "rejoin", str(view.data_dir)]
        process = await asyncio.create_subprocess_exec(
            *argv,
            f"--endpoints={','.join(others)}",
            *self._access.flags,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self._access.environment},
        )
        try:
            async with asyncio.timeout(_REJOIN_S):
                await self._accompany(process, name, before)
        except TimeoutError as error:
            raise StageError(f"{name} has not rejoined after {_REJOIN_S:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _accompany(self, process: asyncio.subprocess.Process, name: str, before: int) -> None:
        """Start the member when the command says so, and see the command to its end."""
        assert process.stderr is not None and self._supervisor is not None
        said: deque[str] = deque(maxlen=5)
        started = False
        while line := (await process.stderr.readline()).decode(errors="replace").strip():
            said.append(line)
            if line.startswith(_START_IT):
                await asyncio.to_thread(self._supervisor.restart, name)
                self._eye.anew([name])
                started = True
        if await process.wait() != 0 or not started:
            raise StageError(f"kvorum rejoin of {name} failed: {'; '.join(said)}")
        await self._answers(name, before)

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
        """A change of members that may be tried twice: again while the cluster says that it is not
        ready for it, or nobody can say what became of it.
        """
        end = time.monotonic() + _DONE_S
        while True:
            try:
                await change()
            except ClientError as error:
                if not _passes(error) or time.monotonic() > end:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
            return


def _new_name(used: Sequence[str]) -> str:
    """The next name of the series n1, n2, ... behind all that are or were there."""
    numbers = [int(name[1:]) for name in used if name[:1] == "n" and name[1:].isdigit()]
    return f"n{max([len(used), *numbers]) + 1}"


def _passes(error: ClientError) -> bool:
    """Whether an error is worth another try."""
    waits = (Condition.UNHEALTHY, Condition.LEARNER_NOT_READY, Condition.NO_LEADER)
    return isinstance(error, UnknownOutcome) or error.condition in waits

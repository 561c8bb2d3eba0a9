"""The mirror behind the past of a real etcd: which file it is, whose, and the task that fills it.

It lies in the user's data folder, a file for each cluster and each user of it, readable by its
owner only. ``KVORUM_MIRROR`` names another folder; ``off`` keeps nothing: then, and when another
terminal has claimed the file, a private one is filled for this run and removed at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import platformdirs
from kvorum.client import Client, ClientError

from kvorum_tui.session.past import PastStatus

if TYPE_CHECKING:
    from kvorum.client.living_mirror import Claim, LivingMirror

T = TypeVar("T")
RETRY_S = 2.0  # After an error of the cluster, following it is tried again.


def folder() -> Path | None:
    """Where mirrors are kept; None: nowhere."""
    given = os.environ.get("KVORUM_MIRROR", "")
    if given.lower() in ("off", "no", "0"):
        return None
    return Path(given) if given else platformdirs.user_data_path("kvorum") / "mirrors"


def file_name(cluster_id: int, user: str | None) -> str:
    """A file for each cluster and user: what one may read is not for another."""
    if not user:
        return f"{cluster_id:016x}.duckdb"
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", user)[:40]
    mark = hashlib.sha256(user.encode()).hexdigest()[:8]
    return f"{cluster_id:016x}-{plain}-{mark}.duckdb"


class MirrorKeeper:
    """Opens the mirror when it is first needed, follows the cluster, lets go in the end."""

    def __init__(self, client: Client, user: str | None) -> None:
        self._client = client
        self._user = user
        self._turn = asyncio.Lock()
        self._mirror: LivingMirror | None = None
        self._claim: Claim | None = None
        self._private: Path | None = None
        self._note = ""
        self._error: ClientError | None = None
        self._task: asyncio.Task[None] | None = None
        self._filling = False

    @property
    def status(self) -> PastStatus:
        """How far it is."""
        if self._mirror is None:
            return PastStatus("mirror", filling=self._filling, error=self._words())
        loaded = self._mirror.loaded
        return PastStatus(
            "mirror",
            str(self._mirror.path),
            self._private is not None,
            self._filling,
            loaded.revision,
            loaded.newest,
            loaded.rows,
            self._mirror.used_bytes,
            self._note,
            self._words(),
        )

    def _words(self) -> str:
        return str(self._error) if self._error is not None else ""

    async def resume(self) -> bool:
        """Go on with the mirror that an earlier run has kept, unless another terminal does; whether
        there is one now. Raises as :meth:`ready`.
        """
        from kvorum.client.living_mirror import Claim

        where = folder()
        async with self._turn:
            if self._mirror is not None:
                return True
            if where is None:
                return False
            head = (await self._client.range(b"\0", b"\0", limit=1, keys_only=True)).header
            path = where / file_name(head.cluster_id, self._user)
            if await asyncio.to_thread(path.exists):
                self._claim = self._claim or await asyncio.to_thread(Claim.on, path)
        if self._claim is not None:
            await self.opened()
        return self._mirror is not None

    async def ready(self) -> LivingMirror:
        """The mirror, with everything that was written before this call. Raises ClientError,
        OSError, duckdb.Error.
        """
        mirror = await self.opened()
        self._filling = True
        try:
            await self._or_failure(mirror.caught_up())
        finally:
            self._filling = False
        return mirror

    async def opened(self) -> LivingMirror:
        """The mirror as far as it is, growing from now on. Raises as :meth:`ready`."""
        async with self._turn:
            if self._mirror is None:
                self._filling = True
                try:
                    self._mirror = await self._open()
                finally:
                    self._filling = False
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._follow(self._mirror), name="past mirror")
            return self._mirror

    async def _open(self) -> LivingMirror:
        from kvorum.client.living_mirror import LivingMirror

        head = (await self._client.range(b"\0", b"\0", limit=1, keys_only=True)).header
        path = await asyncio.to_thread(self._choose, file_name(head.cluster_id, self._user))
        mirror = LivingMirror(self._client, path)
        try:
            await mirror.start()
        except BaseException:
            await asyncio.to_thread(self._let_go)
            raise
        if self._private is None and not mirror.loaded.rows:
            self._note = f"the history is kept in {path}; KVORUM_MIRROR=off keeps none"
        if mirror.aside is not None:
            self._note = f"a damaged mirror was set aside: {mirror.aside}"
        return mirror

    def _choose(self, name: str) -> Path:
        from kvorum.client.living_mirror import Claim

        where = folder()
        if where is None:
            self._note = "KVORUM_MIRROR=off: nothing is kept"
        else:
            try:
                self._claim = self._claim or Claim.on(where / name)
            except OSError as error:
                self._note = f"{where} cannot be written: {error.strerror}"
            else:
                if self._claim is not None:
                    return where / name
                self._note = "another terminal keeps the mirror of this cluster"
        self._private = Path(tempfile.mkdtemp(prefix="kvorum-past-"))
        return self._private / name

    async def _follow(self, mirror: LivingMirror) -> None:
        """Until cancelled; an error is kept for whoever waits, and it is tried again."""
        while True:
            try:
                self._error = None
                await mirror.follow()
            except ClientError as error:
                self._error = error
            await asyncio.sleep(RETRY_S)

    async def _or_failure(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for some work as long as the mirror is being followed."""
        waiting = asyncio.ensure_future(work)
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=0.2)
                if self._error is not None and not waiting.done():
                    raise self._error
                if self._task is not None and self._task.done() and not waiting.done():
                    self._task.result()
            return waiting.result()
        finally:
            waiting.cancel()

    async def stop(self) -> None:
        """Stop following; the next question begins again where this ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop following; the file stays, unless it was private."""
        await self.stop()
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            await mirror.__aexit__(None, None, None)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)
        if self._claim is not None:
            self._claim.release()
        self._private = self._claim = None

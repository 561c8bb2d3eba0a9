"""Item 7: a client that stops reading while 100,000 events of 1 KiB go by.

Each round passes the events over one cluster three times: twice without the slow reader, which
fills the member's caches and says how fast others are served, and once with it. Its memory is
taken when it has come to rest after a pass, the slow reader still holding out. The log of raft is
kept short, because what it holds in memory would hide everything else. The reader stops as a
process does (SIGSTOP: nothing empties its socket), or as one does that takes no more messages (the
window of its stream is full), or it finds its revisions compacted.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kvorum.client import Client
from kvorum.client.ops import Put, Txn
from support.clusters import ClusterHandle

from release.gate import TOP, Deadline, State, slice
from release.goals import AtLeast, Quantile

EVENTS = 100_000
_VALUE = b"v" * 1024
_A_TXN, _AT_ONCE, _KEYS = 20, 4, 500
_PROBE_EVERY_S = 0.05
_RESUMED_WITHIN_S = 240.0
_WAYS = ("stopped", "held", "compacted")
_REST_S = 10.0
_MIB = 2**20
# Entries of 20 KiB: 10 MiB of them.
_FLAGS = ("--snapshot-count=400", "--snapshot-catchup-entries=100")


@slice(
    "slow_watcher",
    "a watcher stops reading while 100,000 events of 1 KiB pass (its process stopped, its stream's "
    "window full, its revisions compacted): the member grows <= 32 MiB, others' p99 < 2x; then it "
    "is told each event once in order, or is cancelled as compacted",
    (7,),
    [
        *(AtLeast(f"rounds/{way}", 1) for way in _WAYS),
        Quantile("grown_mib", 1.0, 32.0),
        Quantile("others_p99_percent", 1.0, 200.0),
    ],
)
async def slow_watcher(state: State, until: Deadline) -> None:
    """Round after round."""
    for way in _WAYS:
        state.add(f"rounds/{way}", 0)
    while state.wanting() and until.left_s() > 30:
        way = min(_WAYS, key=lambda way: state.count(f"rounds/{way}"))
        with state.cluster(3, flags=_FLAGS) as cluster:
            await Round(state, cluster, way).run()


class Round:
    """One cluster, one slow reader."""

    def __init__(self, state: State, cluster: ClusterHandle, way: str) -> None:
        self._state = state
        self._cluster = cluster
        self._way = way
        self._name = "n1"
        self._revisions = 0  # Made below the prefix in the second pass.
        self._reader: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Both passes, and what the reader says in the end."""
        state, endpoint = self._state, self._cluster.endpoint(self._name)
        async with Client([endpoint], timeout_s=20.0) as client:
            await self._passed(client, "calm", _nothing)
            calm_mib, calm_ms = await self._passed(client, "calm", _nothing)
            start = (await client.put("begin", "x")).header.revision + 1
            self._reader = await self._read(endpoint, start)
            try:
                slow_mib, slow_ms = await self._passed(client, "slow", self._hold)
                last = (await client.put("slow/end", "x")).header.revision
                if self._way == "compacted":
                    await client.compact(last - 10)
                said = await self._resumed()
            finally:
                await self._end()
        self._judge(said)
        state.sample("grown_mib", slow_mib - calm_mib)
        state.sample("others_p99_percent", 100 * slow_ms / calm_ms)
        state.add(f"rounds/{self._way}")
        state.say(
            f"{self._way}: {calm_mib:.0f} MiB and {calm_ms:.0f} ms, then {slow_mib:.0f} MiB "
            f"and {slow_ms:.0f} ms; {said}"
        )

    async def _read(self, endpoint: str, start: int) -> asyncio.subprocess.Process:
        words = ["-m", "release.reader", endpoint, "slow/", str(start), "slow/end"]
        pipe = asyncio.subprocess.PIPE
        reader = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=TOP / "tests", stdin=pipe, stdout=pipe
        )
        assert reader.stdout is not None
        async with asyncio.timeout(30):
            assert await reader.stdout.readline() == b"ready\n"
        return reader

    async def _hold(self) -> None:
        reader = self._reader
        assert reader is not None and reader.stdin is not None and reader.stdout is not None
        if self._way == "stopped":
            reader.send_signal(signal.SIGSTOP)
            return
        reader.stdin.write(b"hold\n")
        assert await reader.stdout.readline() == b"hold\n"

    async def _resumed(self) -> dict[str, Any]:
        reader = self._reader
        assert reader is not None and reader.stdin is not None and reader.stdout is not None
        began_s = time.monotonic()
        if self._way == "stopped":
            reader.send_signal(signal.SIGCONT)
        else:
            reader.stdin.write(b"go\n")
        async with asyncio.timeout(_RESUMED_WITHIN_S):
            line = await reader.stdout.readline()
            if line == b"go\n":
                line = await reader.stdout.readline()
        self._state.sample("resumed_s", time.monotonic() - began_s)
        said: dict[str, Any] = json.loads(line)
        return said

    async def _end(self) -> None:
        if self._reader is not None and self._reader.returncode is None:
            self._reader.kill()
            await self._reader.wait()

    def _judge(self, said: dict[str, Any]) -> None:
        assert not said["wrong"], said
        if "compacted" in said:
            assert self._way == "compacted" and said["compacted"] > 0, said
            self._state.add("cancelled_as_compacted")
            return
        # Every write of the second pass, and the end.
        assert said["events"] == EVENTS + 1, said
        assert said["revisions"] == self._revisions + 1, said
        self._state.add("events_told", said["events"])

    # --- one pass ---------------------------------------------------------------------------------

    async def _passed(
        self, client: Client, what: str, before: Callable[[], Awaitable[None]]
    ) -> tuple[float, float]:
        """All events once; the member's memory at rest in MiB, and the 99th percentile in ms of
        writes of somebody else to their own watcher.
        """
        await before()
        self._revisions = 0
        waiting = iter(range(EVENTS // _A_TXN))

        async def write() -> None:
            for number in waiting:
                some = range(number * _A_TXN, (number + 1) * _A_TXN)
                puts = tuple(Put(b"slow/%d" % (n % _KEYS), _VALUE) for n in some)
                await client.commit(Txn((), puts, ()))
                self._revisions += 1

        probe = asyncio.create_task(self._probed(what))
        await asyncio.gather(*(write() for _ in range(_AT_ONCE)))
        probe.cancel()
        delays = await probe
        self._state.sample(f"others_{what}_ms", *delays)
        return await self._at_rest_mib(), sorted(delays)[math.ceil(0.99 * len(delays)) - 1]

    async def _at_rest_mib(self) -> float:
        """The least of some seconds: the history's writer takes and gives back what it needs."""
        pid = self._cluster.view(self._name).pid
        end_s, least = time.monotonic() + _REST_S, resident_bytes(pid)
        while time.monotonic() < end_s:
            await asyncio.sleep(0.1)
            least = min(least, resident_bytes(pid))
        return least / _MIB

    async def _probed(self, what: str) -> list[float]:
        """Somebody else's writes and his watcher, both at the same member."""
        delays: list[float] = []
        key = f"probe-{what}"
        try:
            async with (
                Client([self._cluster.endpoint(self._name)], timeout_s=20.0) as client,
                client.watch(key) as watch,
            ):
                while True:
                    began_s = time.monotonic()
                    made = await client.put(key, b"x")
                    while (await watch.next_batch()).revision < made.header.revision:
                        continue
                    delays.append(1000 * (time.monotonic() - began_s))
                    await asyncio.sleep(_PROBE_EVERY_S)
        except asyncio.CancelledError:
            return delays


async def _nothing() -> None:
    """Before a pass without a slow reader."""


def resident_bytes(pid: int) -> int:
    """A process's resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

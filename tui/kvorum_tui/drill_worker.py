"""One drill in a process of its own, told line by line: what the Drills tab runs.

    python -m kvorum_tui.drill_worker

The first line of its input is a JSON object: ``scenario`` (a file), ``stage``, ``seed``, ``parent``
(where the run's folder is made), and for a cluster that runs already ``endpoints``, ``tls``,
``user`` and ``password``: through a pipe, because a command line is for everybody to see. Any
further line, or the end of the input, stops the drill: so nothing stays broken when the terminal
is killed. Its output is a JSON object a line, by ``t``:

- ``opening`` (``folder``), ``ready`` (``members``), ``checking``;
- ``moment`` (``at_s``, ``kind``, ``text``), as :class:`kvorum.drill.runner.Moment`;
- ``fault`` (``id``, ``at_s``, ``do``, ``words``, ``members``, ``for_s``), ``lifted`` (``id``,
  ``at_s``);
- ``sample`` (``at_s``, ``writes``, ``acknowledged``, ``failed``, ``unknown``: counts so far;
  ``leader``, ``term``, ``down``);
- at the end one of ``verdict`` (the run's ``verdict.json``), ``stopped``, and ``error`` (``text``).

A process of its own, because a simulated second is nothing but computing, and because a drill that
fails must not take the terminal with it. Nothing here imports Textual.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from kvorum.check import records as r
from kvorum.client import TLS, Tunnel
from kvorum.drill.access import Access
from kvorum.drill.facts import Moment, Stopped
from kvorum.drill.places import new_run_folder, runs_dir
from kvorum.drill.recorder import Recorder
from kvorum.drill.scenario import Step, read_scenario
from kvorum.drill.session import make_stage, run_drill
from kvorum.drill.stage import Digest, Fault, Stage, StageError, View
from kvorum.errors import ConfigError

SAMPLE_S = 0.25  # Of the stage's clock: fine enough to see a stall, few enough to keep.
_WRITES = (r.Put, r.Delete, r.Txn)
_TAKE_BYTES = 65_536

Tell = Callable[..., None]


class TellingStage:
    """A stage that tells of its faults and, every quarter of a second, of its clients."""

    def __init__(self, inner: Stage, tell: Tell) -> None:
        self._inner = inner
        self._tell = tell
        self.kind = inner.kind
        self.recorder: Recorder = inner.recorder
        self._numbers: dict[int, int] = {}
        self._counted = 0
        self._counts = {"writes": 0, "acknowledged": 0, "failed": 0, "unknown": 0}
        self._next_s = 0.0

    @property
    def own(self) -> bool:
        """As the stage."""
        return self._inner.own

    async def open(self) -> None:
        """Open, and tell who is there."""
        await self._inner.open()
        self._tell("ready", members=list(self._inner.view().names))

    async def close(self) -> None:
        """As the stage."""
        await self._inner.close()

    def now_s(self) -> float:
        """As the stage."""
        return self._inner.now_s()

    async def wait(self, seconds: float) -> None:
        """Let time pass; a sample when one is due."""
        await self._inner.wait(seconds)
        now = self._inner.now_s()
        if now >= self._next_s:
            self._next_s = now + SAMPLE_S
            self.sample(now)

    def sample(self, now: float) -> None:
        """Tell how the clients fare and who leads."""
        operations = self.recorder.history.operations
        for operation in operations[self._counted :]:
            self._counts["acknowledged"] += operation.acknowledged
            self._counts["failed"] += operation.refused
            self._counts["unknown"] += operation.unknown
            self._counts["writes"] += operation.acknowledged and isinstance(
                operation.request, _WRITES
            )
        self._counted = len(operations)
        view = self._inner.view()
        down = [node.name for node in view.nodes if not node.alive]
        self._tell(
            "sample",
            at_s=round(now, 3),
            leader=view.leader,
            term=view.term,
            down=down,
            **self._counts,
        )

    def view(self) -> View:
        """As the stage."""
        return self._inner.view()

    async def begin(self) -> None:
        """As the stage."""
        await self._inner.begin()

    async def finish(self) -> None:
        """As the stage; the last sample comes before."""
        self.sample(self._inner.now_s())
        self._tell("checking")
        await self._inner.finish()

    async def inject(self, fault: Fault) -> str:
        """Begin a fault and tell of it once it is in force. A cut without targets is told of its
        side: links come in pairs, there and back.
        """
        began_s = self._inner.now_s()
        proof = await self._inner.inject(fault)
        number = self._numbers[id(fault)] = len(self._numbers) + 1
        self._tell(
            "fault",
            id=number,
            at_s=round(began_s, 3),
            do=fault.step.do,
            words=fault.words,
            members=list(fault.names) or sorted({a for a, _ in fault.links[::2]}),
            for_s=fault.step.for_s,
        )
        return proof

    async def lift(self, fault: Fault) -> None:
        """End a fault and tell of it."""
        await self._inner.lift(fault)
        if id(fault) in self._numbers:
            at_s = round(self._inner.now_s(), 3)
            self._tell("lifted", id=self._numbers[id(fault)], at_s=at_s)

    async def order(self, step: Step, names: tuple[str, ...]) -> str:
        """As the stage."""
        return await self._inner.order(step, names)

    async def heal(self) -> None:
        """As the stage."""
        await self._inner.heal()

    async def digests(self) -> dict[str, Digest]:
        """As the stage."""
        return await self._inner.digests()


def _access(request: dict[str, Any]) -> Access:
    tls = TLS(**request["tls"]) if request.get("tls") else None
    tunnel = Tunnel(**request["tunnel"]) if request.get("tunnel") else None
    return Access(tls, request.get("user"), request.get("password"), tunnel)


def work(request: dict[str, Any], tell: Tell, stopping: threading.Event) -> None:
    """Run the drill that ``request`` asks for, telling all the way; the last word is the verdict,
    ``stopped`` or ``error``.
    """
    try:
        scenario = read_scenario(Path(request["scenario"]))
        stage, seed = request["stage"], int(request["seed"])
        endpoints, access = request.get("endpoints") or (), _access(request)
        parent = Path(request["parent"]) if request.get("parent") else runs_dir()
        folder = new_run_folder(parent, scenario.name, stage)
        try:
            inner = make_stage(scenario, stage, seed, folder, stopping, endpoints, access)
        except ConfigError:
            folder.rmdir()  # Nothing was run, so there is nothing to keep.
            raise
        tell("opening", folder=str(folder))

        def say(moment: Moment) -> None:
            tell("moment", **asdict(moment))

        told = TellingStage(inner, tell)
        cluster = ",".join(endpoints)
        verdict = asyncio.run(
            run_drill(scenario, told, seed, folder, stopping, say, cluster=cluster)
        )
    except Stopped:
        tell("stopped")
    except (ConfigError, StageError) as error:
        tell("error", text=str(error))
    else:
        tell("verdict", folder=str(folder), **verdict.as_json())


def _teller(out: TextIO) -> Tell:
    def tell(t: str, **fields: Any) -> None:
        try:
            out.write(json.dumps({"t": t, **fields}) + "\n")
            out.flush()
        except BrokenPipeError:
            return  # Nobody listens any more; the end of the input stops the drill.

    return tell


def _first_line(descriptor: int) -> bytes:
    """The first line of the input, and what came with it. Read without a buffer of Python's: the
    rest belongs to the thread that waits for the word to stop.
    """
    taken = b""
    while b"\n" not in taken:
        more = os.read(descriptor, _TAKE_BYTES)
        if not more:
            break
        taken += more
    return taken


def main() -> int:
    """Read the request, run, tell; the exit status is 0 whenever a last word could be told."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stopping.set())
    line, _, rest = _first_line(0).partition(b"\n")
    # Whatever else prints in this process, only lines of ours go where they are read.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def listen() -> None:
        if not rest:
            os.read(0, 1)
        stopping.set()

    threading.Thread(target=listen, name="stop", daemon=True).start()
    with out:
        work(json.loads(line), _teller(out), stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())

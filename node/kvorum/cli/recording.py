"""``kvorum record`` and ``kvorum open``: a cluster into a file; such a file, or a snapshot, like a
cluster.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.members import size
from kvorum.cli.options import Duration, Line, connected, tls_of, tunnel_from, verb
from kvorum.cli.output import Failed, InvalidInput, Unreachable, say
from kvorum.cli.progress import MovingLine

if TYPE_CHECKING:
    from kvorum_tui.recording.recorder import Recorder

_REDRAW_S = 0.2
_FILE = click.Path(path_type=Path, dir_okay=False)


@verb("record")
@click.argument("file", type=_FILE)
@click.option("--for", "for_s", type=Duration(), help="End after so long.  [default: at Ctrl-C]")
@click.option("--whole", is_flag=True, help="From the oldest kept revision on, not from now on.")
@connected(endless=True)
async def record(line: Line, file: Path, for_s: float | None, whole: bool) -> None:
    """Record the cluster into FILE: the keys as they are, every change from now on, and what every
    member says of itself.

    Ends at Ctrl-C, or after --for, with the file complete; a crash loses what came in the last half
    second. kvorum open FILE looks at it; its tables can be asked with DuckDB, too.
    """
    from kvorum_tui.live import LiveSession
    from kvorum_tui.recording.recorder import Recorder

    _require_absent(file)
    options = line.options
    endpoints = [part.strip() for part in options["endpoints"].split(",") if part.strip()]
    user, password = _login(options)
    session = LiveSession(
        endpoints,
        read_only=True,
        user=user,
        password=password,
        tls=tls_of(options),
        tunnel=tunnel_from(options),
    )
    await session.open()
    recorder = Recorder(session, file, title=options["endpoints"], whole=whole)
    moving = MovingLine()
    telling = asyncio.create_task(_tell(recorder, moving))
    try:
        async with asyncio.timeout(for_s):
            await recorder.run()
    except TimeoutError:
        pass  # That is what --for is for.
    finally:
        telling.cancel()
        await session.close()
        moving.clear()
        say(_summary(recorder))
    state = recorder.state
    if state.stage == "failed":
        raise Failed(state.error)
    if not state.written.revision:
        raise Unreachable(f"nothing was recorded: {state.error or 'no member answered'}")


def _require_absent(file: Path) -> None:
    if file.exists():
        raise InvalidInput(f"{file} exists")


def _login(options: Any) -> tuple[str | None, str | None]:
    user, password = options["user"], options["password"]
    if user is not None and password is None:
        user, _, password = user.partition(":")
    return user, password


async def _tell(recorder: Recorder, line: MovingLine) -> None:
    while True:
        line.tell(_summary(recorder))
        await asyncio.sleep(_REDRAW_S)


def _summary(recorder: Recorder) -> str:
    state = recorder.state
    written = state.written
    parts = [
        f"{recorder.path}: {state.stage}",
        f"{time.time() - state.began:.0f} s",
        f"{written.changes:,} changes up to revision {written.revision:,}",
        f"{written.reports:,} reports",
        size(written.size_bytes),
    ]
    if state.gaps:
        parts.append(f"{state.gaps} gaps by compaction")
    if state.error:
        parts.append(state.error)
    return ", ".join(parts)


@verb("open")
@click.argument("file", type=_FILE)
@click.option("--tab", default="keys", show_default=True, help="The tab to open first.")
def open_file(file: Path, tab: str) -> None:
    """The terminal on FILE: a recording, or a snapshot of etcd or kvorum; read-only.

    A recording starts at its end; F10 runs along recorded time, and all tabs follow.
    """
    run_file(file, tab)


def run_file(file: Path, tab: str) -> None:
    """Open a file in the terminal. Raises InvalidInput for one that cannot be opened."""
    from kvorum_tui.recording.opening import FileFault
    from kvorum_tui.replay import run

    line = MovingLine()

    def told(text: str) -> None:
        if text:
            line.tell(text)
        else:
            line.clear()

    try:
        run(file, tab, told)
    except FileFault as fault:
        raise InvalidInput(str(fault)) from None

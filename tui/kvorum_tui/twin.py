"""The terminal's headless twin: a ``kvorum`` command line, run on the cluster in front.

The command is a process of its own. Where it goes and as whom stands in its environment, never on
its command line, which everybody on this machine can read; a read-only terminal makes it read-only.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from kvorum_tui.session import Session

# What makes sense inside the terminal; the others start servers or terminals of their own.
VERBS = (
    "get",
    "put",
    "del",
    "txn",
    "watch",
    "lease",
    "member",
    "auth",
    "user",
    "role",
    "status",
    "doctor",
    "load",
    "dump",
    "history",
    "sql",
    "undelete",
    "copy",
    "move",
    "undo",
    "restore-prefix",
    "diff",
    "snapshot",
    "drill",
    "check",
    "context",
)
# What is of this machine and not of a cluster.
_OURS = frozenset({"KVORUM_CONTEXTS", "KVORUM_NO_PLUGINS"})
LINE_BYTES_MAX = 1 << 20  # A longer line is cut into pieces.
STOP_S = 3.0


class BadLine(ValueError):
    """A line that is no command; the text says why."""


def words(line: str) -> list[str]:
    """A line as arguments; a leading ``kvorum`` is allowed. Raises :class:`BadLine`."""
    try:
        found = shlex.split(line)
    except ValueError as error:
        raise BadLine(f"{line}: {error}") from error
    if found[:1] == ["kvorum"]:
        found = found[1:]
    if not found or found[0] not in VERBS:
        raise BadLine(
            f"{found[0] if found else 'nothing'} is no verb; there are: {' '.join(VERBS)}"
        )
    return found


def environment(session: Session) -> dict[str, str]:
    """Ours, with where the cluster is and who one is there in place of what it said of that."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ETCDCTL_", "KVORUM_")) or name in _OURS
    }
    tls = session.access.tls
    told = {"ENDPOINTS": ",".join(session.endpoints), "READ_ONLY": str(session.read_only)}
    if tls is not None:
        files = (("CACERT", tls.ca_cert), ("CERT", tls.cert), ("KEY", tls.key))
        told |= {name: str(path) for name, path in files if path is not None}
        told["TLS_SERVER_NAME"] = tls.server_name or ""
        told["INSECURE_SKIP_TLS_VERIFY"] = str(tls.insecure_skip_verify)
        told["INSECURE_TRANSPORT"] = "false"
    named = {f"KVORUM_{name}": value for name, value in told.items() if value}
    return kept | named | session.access.environment | {"PYTHONUNBUFFERED": "1"}


def twin(session: Session, line: str) -> Running:
    """A ``kvorum`` line on a cluster. Raises :class:`BadLine`."""
    return Running([sys.executable, "-m", "kvorum", *words(line)], environment(session))


class Running:
    """One command: its arguments, its environment, what goes to its input."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], given: bytes = b""
    ) -> None:
        self.arguments = arguments
        self._environment = environment
        self._given = given

    async def run(self, take: Callable[[str], None]) -> int:
        """Until it ends; its exit code. ``take`` gets its output line by line, both streams as they
        come. Cancelled, the command is ended. Raises ``OSError`` when it cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *self.arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._environment,
            limit=LINE_BYTES_MAX,
        )
        feeding = asyncio.create_task(_feed(process, self._given))
        try:
            async for line in _lines(process):
                take(line)
            return await process.wait()
        finally:
            feeding.cancel()
            await _end(process)


async def _feed(process: asyncio.subprocess.Process, given: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(given)
        await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # It did not want to read all of it.
    finally:
        process.stdin.close()


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            line = await process.stdout.read(max(1, error.consumed))
        except asyncio.IncompleteReadError as error:
            line = error.partial
        if not line:
            return
        yield line.decode(errors="replace").rstrip("\r\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()

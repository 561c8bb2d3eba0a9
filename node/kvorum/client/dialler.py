"""Connections through a :class:`kvorum.client.tunnel.Tunnel`: a program is started, and what it
reads and writes is the connection.

The program's standard input and output are one end of a pair of sockets, the other end is ours: the
bytes take no detour through this process. It runs in a session of its own, so that it can ask
nothing of the terminal behind the screen, and what it says on its standard error is kept for when
somebody asks why it ended.

With ssh, a first one logs in and waits in the background (ssh calls it a master; it is ours alone,
in a folder that only we may enter); the others hand their connections to it at once. It outlives a
call's deadline, so that a slow login is waited for only once; it ends with the :class:`Dialler`,
or by itself a little after a process that could not say goodbye. When it breaks it is started
again, rarely and more rarely while that fails: a login that is refused again and again locks people
out. Who shares logins by ``ControlPath`` in ssh's own configuration keeps doing so: then there is
no master of ours.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from kvorum.client.tunnel import Tunnel
from kvorum.errors import ConfigError
from kvorum.limits import (
    TUNNEL_BACKOFF_MAX_S,
    TUNNEL_BACKOFF_MIN_S,
    TUNNEL_LINGER_S,
    TUNNEL_LOGIN_S,
    TUNNEL_SAID_LINES,
    TUNNEL_STOP_S,
    TUNNEL_WORDS_S,
)

# BatchMode: what would have to ask somebody fails instead. The pings find a dead way in half a
# minute.
SSH = (
    "ssh",
    "-oBatchMode=yes",
    "-oConnectTimeout=15",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=2",
)
_READ_BYTES = 4096
_CHANNEL = re.compile(r"^channel \d+: open failed: ")


class TunnelError(OSError):
    """No connection came about, and why: the program's last words."""


class Spoken:
    """A program, and the last lines it said on its standard error."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._lines: deque[str] = deque(maxlen=TUNNEL_SAID_LINES)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, arguments: Sequence[str], both: int = DEVNULL) -> Spoken:
        """Start one. ``both`` is its standard input and output. Raises :class:`TunnelError`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments, stdin=both, stdout=both, stderr=PIPE, start_new_session=True
            )
        except OSError as error:
            text = f"{arguments[0]} cannot be started: {error.strerror or error}"
            raise TunnelError(text) from error
        return cls(process)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        rest = b""
        while data := await self.process.stderr.read(_READ_BYTES):
            *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            self._lines += [text for line in lines if (text := _text(line))]
            rest = rest[-_READ_BYTES:]
        if text := _text(rest):
            self._lines.append(text)

    async def last_words(self) -> str:
        """Its last line, when it has ended or is about to; empty where it says nothing."""
        await asyncio.wait([self._reading], timeout=TUNNEL_WORDS_S)
        return self._lines[-1] if self._lines else ""

    async def end(self, patience_s: float = TUNNEL_STOP_S) -> None:
        """Wait for its end for a while, then see to it, and to what it has started itself."""
        waiting = asyncio.ensure_future(self.process.wait())
        try:
            for stop in (0, signal.SIGTERM, signal.SIGKILL):
                if stop and self.process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(self.process.pid, stop)
                done, _ = await asyncio.wait([waiting], timeout=patience_s)
                if done:
                    break
            await asyncio.wait([self._reading], timeout=TUNNEL_WORDS_S)
        finally:
            waiting.cancel()
            self._reading.cancel()


def _text(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return "".join(each for each in text if each.isprintable())


class Line:
    """One connection through the tunnel: our end of the pair of sockets."""

    def __init__(self, dialler: Dialler, where: str, spoken: Spoken, sock: socket.socket) -> None:
        self.sock = sock
        self._dialler = dialler
        self._where = where
        self._spoken = spoken

    async def failure(self, text: str = "") -> TunnelError:
        """Why nobody answered through it, for raising; ``text`` where the program says nothing."""
        words = await self._spoken.last_words()
        return self._dialler.failed(self._where, words or text)

    def works(self) -> None:
        """The other side has answered."""
        self._dialler.forgive(self._where)

    def hang_up(self) -> None:
        """The connection is over: so is the program. (The socket is its transport's.)"""
        self._dialler.ends(self._spoken)


class _Pauses:
    """When a way that failed may be tried again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float, str]] = {}

    def check(self, where: str) -> None:
        """Raises :class:`TunnelError` with the last reason while it is too early."""
        _, until_s, text = self._known.get(where, (0, 0.0, ""))
        if time.monotonic() < until_s:
            raise TunnelError(text)

    def failed(self, where: str, text: str) -> TunnelError:
        """It failed once more."""
        failures = self._known.get(where, (0, 0.0, ""))[0]
        pause_s = min(TUNNEL_BACKOFF_MAX_S, TUNNEL_BACKOFF_MIN_S * float(1 << min(failures, 20)))
        self._known[where] = (failures + 1, time.monotonic() + pause_s, text)
        return TunnelError(text)

    def forgive(self, where: str) -> None:
        """It worked."""
        self._known.pop(where, None)


_DIALLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Tunnel, Dialler]] = WeakKeyDictionary()


def dialler_of(tunnel: Tunnel) -> Dialler:
    """The running event loop's dialler of a tunnel: clients share its login. Each that has asked
    for it closes it.
    """
    known = _DIALLERS.setdefault(asyncio.get_running_loop(), {})
    found = known.setdefault(tunnel, Dialler(tunnel))
    found.users += 1
    return found


class Dialler:
    """Opens connections through one tunnel; of one event loop, closed by :meth:`aclose`."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self.users = 0
        self._pauses = _Pauses()
        self._ending: set[asyncio.Task[None]] = set()
        self._open: set[Spoken] = set()
        self._login: asyncio.Task[None] | None = None
        self._folder: Path | None = None
        self._masters = 0
        self._theirs = False  # ssh's own configuration shares logins.
        self._closed = False

    async def prepare(self) -> None:
        """Log in, where one login serves all. Raises :class:`TunnelError`."""
        if not self.tunnel.ssh or self._theirs or _listens(self._master):
            return
        self._pauses.check("")
        if self._login is None or self._login.done():
            self._login = asyncio.create_task(self._log_in())
            self._login.add_done_callback(_looked_at)
        await asyncio.shield(self._login)

    async def dial(self, host: str, port: int) -> Line:
        """A connection to an address as the other side of the tunnel knows it. That it stands says
        nothing yet: the program may still be on its way. Raises :class:`TunnelError`.
        """
        if self._closed:
            raise TunnelError(f"{self.tunnel} is closed")
        where = f"{host}:{port}"
        await self.prepare()
        self._pauses.check(where)
        try:
            wanted = self._arguments(host, port)
        except ConfigError as error:
            raise TunnelError(str(error)) from error
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            spoken = await Spoken.start(wanted, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._open.add(spoken)
        return Line(self, where, spoken, ours)

    async def streams(
        self, host: str, port: int, context: ssl.SSLContext | None, server_name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Line]:
        """The same as a pair of streams; hang the line up when done. Raises ``OSError``."""
        line = await self.dial(host, port)
        name = (server_name or host) if context is not None else None
        try:
            reader, writer = await asyncio.open_unix_connection(
                sock=line.sock, ssl=context, server_hostname=name
            )
        except BaseException:
            line.hang_up()
            raise
        return reader, writer, line

    async def aclose(self) -> None:
        """End every program, when nobody else uses it."""
        self.users -= 1
        if self.users > 0:
            return
        self._closed = True
        known = _DIALLERS.get(asyncio.get_running_loop(), {})
        if known.get(self.tunnel) is self:
            del known[self.tunnel]
        if self._login is not None:
            self._login.cancel()
            await asyncio.wait([self._login])
        for spoken in tuple(self._open):
            self.ends(spoken)
        if self._folder is not None:
            if _listens(self._master):
                leaving = await Spoken.start([*self._ssh("-O", "exit"), *self.tunnel.destination])
                await leaving.end()
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        if self._ending:
            await asyncio.wait(self._ending)

    # --- what lines tell --------------------------------------------------------------------------

    def failed(self, where: str, text: str) -> TunnelError:
        """A line came to nothing; where each is a login of its own, the next one is put off."""
        said = self._said_by_master() or text or "it ended without a word"
        whole = f"{self.tunnel}: {said}"
        return TunnelError(whole) if self._shared else self._pauses.failed(where, whole)

    def forgive(self, where: str) -> None:
        """A line works."""
        self._pauses.forgive(where)

    def ends(self, spoken: Spoken) -> None:
        """A program is not needed any more."""
        if spoken in self._open:
            self._open.discard(spoken)
            task = asyncio.create_task(spoken.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    # --- ssh --------------------------------------------------------------------------------------

    @property
    def _shared(self) -> bool:
        return bool(self.tunnel.ssh) and not self._theirs

    @property
    def _master(self) -> Path:
        """Where the master listens; each has a name of its own."""
        return (self._folder or Path("/nowhere")) / str(self._masters)

    @property
    def _log(self) -> Path:
        return self._master.with_suffix(".log")

    def _ssh(self, *more: str) -> list[str]:
        own = () if self._theirs or self._folder is None else ("-S", str(self._master))
        return [*SSH, *own, *more]

    def _arguments(self, host: str, port: int) -> list[str]:
        if not self.tunnel.ssh:
            return self.tunnel.arguments(host, port)
        return [*self._ssh("-W", self.tunnel.stdio(host, port)), *self.tunnel.destination]

    async def _log_in(self) -> None:
        if self._folder is None:
            if await self._has_own_path():
                self._theirs = True
                return
            self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="kvorum-ssh-"))
        self._masters += 1
        wanted = self._ssh("-M", "-N", "-E", str(self._log), f"-oControlPersist={TUNNEL_LINGER_S}")
        spoken = await Spoken.start([*wanted, *self.tunnel.destination])
        try:
            # It goes into the background when it has logged in: then this process of it ends.
            code = await asyncio.wait_for(spoken.process.wait(), TUNNEL_LOGIN_S)
            words = "" if code == 0 else await spoken.last_words()
        except TimeoutError:
            code, words = -1, f"no login within {TUNNEL_LOGIN_S:.0f} s"
        finally:
            await spoken.end()
        if code != 0:
            text = self._said_by_master() or words or f"it ended with {code}"
            raise self._pauses.failed("", f"{self.tunnel}: {text}")
        self._pauses.forgive("")

    async def _has_own_path(self) -> bool:
        """Whether ssh's configuration says where logins are shared."""

        def ask() -> str:
            asked = [*SSH, "-G", *self.tunnel.destination]
            told = subprocess.run(asked, capture_output=True, timeout=TUNNEL_LOGIN_S, check=False)
            return told.stdout.decode(errors="replace")

        try:
            lines = (await asyncio.to_thread(ask)).splitlines()
        except (OSError, subprocess.SubprocessError) as error:
            raise self._pauses.failed("", f"ssh cannot be started: {error}") from error
        paths = [line.split(" ", 1)[1] for line in lines if line.startswith("controlpath ")]
        return any(path.strip() != "none" for path in paths)

    def _said_by_master(self) -> str:
        """The last line of the master's log: only it knows why an address could not be reached."""
        if not self._shared or self._folder is None:
            return ""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _READ_BYTES))
                lines = [text for line in log.read().splitlines() if (text := _text(line))]
        except OSError:
            return ""
        return _CHANNEL.sub("", lines[-1]) if lines else ""


def _listens(path: Path) -> bool:
    """Whether somebody listens on a socket file: a master that was killed leaves its own behind."""
    with socket.socket(socket.AF_UNIX) as knock:
        knock.setblocking(False)
        try:
            knock.connect(str(path))
        except OSError:
            return False
    return True


def _looked_at(task: asyncio.Task[None]) -> None:
    """Nobody may be waiting for it any more; that is no news."""
    if not task.cancelled():
        task.exception()

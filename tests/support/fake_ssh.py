"""A program that behaves as OpenSSH's client does, as far as our tunnels ask: it logs in and waits
as a master, hands connections on, ends when told. Tests put it on ``PATH`` as ``ssh``.

Beside it lie what it is told and what it tells: ``hosts.json`` (names that only the other side
knows, and where they really are), ``deny`` (its last words where it exists), ``config`` (what
``-G`` answers), and ``calls.jsonl`` (each start: its process, its arguments, and whether it had to
log in by itself).
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

_PROGRAM = """\
#!{python} -IS
import json, os, select, socket, sys, time
from pathlib import Path

HERE = Path({folder!r})
ARGS = sys.argv[1:]


def given(flag):
    return ARGS[ARGS.index(flag) + 1] if flag in ARGS else ""


def fail(*lines):
    log = given("-E")
    for line in lines:
        if log:
            with open(log, "a") as out:
                out.write(line + "\\r\\n")
        else:
            print(line, file=sys.stderr)
    sys.exit(255)


def knock(path, word=b""):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
            sock.sendall(word)
        except OSError:
            return False
    return True


def tell(**more):
    with open(HERE / "calls.jsonl", "a") as out:
        out.write(json.dumps({{"pid": os.getpid(), "args": ARGS, **more}}) + "\\n")


def log_in():
    if (HERE / "deny").exists():
        fail("debug: trying", (HERE / "deny").read_text())


def master():
    log_in()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(given("-S"))
    listening.listen(16)
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.read(read, 1)  # Only when the one in the background is complete.
        os._exit(0)
    os.close(read)
    os.setsid()
    empty = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(empty, number)
    tell(master=True)
    os.close(write)
    listening.settimeout(120)
    while True:
        sock, _ = listening.accept()
        with sock:
            if sock.recv(16) == b"exit":
                break
    os.unlink(given("-S"))


def hand_on():
    path = given("-S")
    own = not (path and knock(path))
    tell(own=own)
    if own:
        log_in()
    host, _, port = given("-W").rpartition(":")
    real = json.loads((HERE / "hosts.json").read_text()).get(host)
    try:
        if real is None:
            raise OSError("Name or service not known")
        far = socket.create_connection((real, int(port)), 10)
    except OSError as error:
        reason = "channel 2: open failed: connect failed: " + (error.strerror or str(error))
        if not own:
            with open(path + ".log", "a") as out:
                out.write(reason + "\\n")
            reason = "Stdio forwarding request failed: Session open refused by peer"
        fail(reason)
    far.settimeout(None)
    ends = {{0: (far.fileno(), 1), far.fileno(): (1, 0)}}
    while ends:
        ready, _, _ = select.select(list(ends), [], [])
        for one in ready:
            data = os.read(one, 65536)
            if not data:
                return
            to = ends[one][0]
            while data:
                data = data[os.write(to, data):]


if "-G" in ARGS:
    print((HERE / "config").read_text())
elif "-M" in ARGS:
    master()
elif given("-O") == "exit":
    knock(given("-S"), b"exit")
else:
    try:
        hand_on()
    except OSError:
        pass  # The other side has gone.
"""


class FakeSsh:
    """The program in a folder of its own; ``path`` is for ``PATH``."""

    def __init__(self, folder: Path, hosts: dict[str, str]) -> None:
        self.folder = folder
        program = folder / "ssh"
        text = textwrap.dedent(_PROGRAM).format(python=sys.executable, folder=str(folder))
        program.write_text(text)
        program.chmod(0o755)
        (folder / "hosts.json").write_text(json.dumps(hosts))
        self.config("controlpath none")

    @property
    def path(self) -> str:
        """Before everything else on ``PATH``."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def config(self, text: str) -> None:
        """What ``ssh -G`` answers."""
        (self.folder / "config").write_text(f"user ops\n{text}\nport 22\n")

    def deny(self, words: str = "") -> None:
        """Refuse logins from now on, with these words; with none, let them in again."""
        if words:
            (self.folder / "deny").write_text(words)
        else:
            (self.folder / "deny").unlink()

    def calls(self) -> list[dict[str, Any]]:
        """Every start so far that came to something."""
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def masters(self) -> list[int]:
        """The processes that logged in and waited."""
        return [call["pid"] for call in self.calls() if call.get("master")]

    def await_end(self, within_s: float = 20.0) -> None:
        """Wait until nothing of it runs any more."""
        until = time.monotonic() + within_s
        while running := [call for call in self.calls() if runs(call["pid"])]:
            assert time.monotonic() < until, running
            time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # Nobody may wait for a master but the system's first process.

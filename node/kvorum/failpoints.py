"""Failpoints: named places at which a running node can be made to crash, stand still or fail.

``KVORUM_FAILPOINT=name=action[*count][@n],...`` arms them at the start, the faults service while
the node runs; both only with ``--enable-faults``. Actions::

    crash        the process kills itself (SIGKILL): nothing is flushed, nobody is told
    delay(ms)    the thread that came by waits
    pause(ms)    the whole process stands still
    raise        an exception nobody foresaw
    raise(EIO)   the operating system's error of this name: EIO, ENOSPC, EROFS, EDQUOT

``@n`` begins with the n-th time somebody comes by (1, unless said), ``*count`` ends after so many
bites (never, unless said). Each bite is one line of the log, written before it hurts: a fault that
did not bite proves nothing.

The floors below the server know a failpoint as a function of a name that is handed to them, and
where faults are not enabled that function does nothing.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, NoReturn

from kvorum.errors import ConfigError
from kvorum.limits import FAILPOINT_MS_MAX

log = logging.getLogger(__name__)

VARIABLE = "KVORUM_FAILPOINT"

Failpoint = Callable[[str], None]
"""What code calls with the name of the place it has come to, from any thread."""


def nothing(name: str) -> None:
    """The failpoint of a node without faults."""


_DISK_STEPS = ("create", "write", "sync", "rename", "names", "remove")
# What is done to the files of the log ("wal") and to snapshot files ("snap"): "names" is the fsync
# of their directory.
DISK_NAMES = tuple(
    f"{disk}_{step}_{when}"
    for disk in ("wal", "snap")
    for step in _DISK_STEPS
    for when in ("before", "after")
)
HISTORY_NAMES = (
    *("history_commit_before", "history_commit_after"),
    *("history_checkpoint_before", "history_checkpoint_after"),
    *("history_sweep_before", "history_sweep_after"),
    # Another file takes the place of the history's: before anything, when the old one's log is
    # gone, when it has.
    *("history_replace_before", "history_replace_unlogged", "history_replace_after"),
    *("defragment_copied", "defragment_finished", "defragment_installed"),
)
SNAPSHOT_NAMES = (
    # A snapshot of this node: before its file is begun, when the file is whole, when the log
    # refers to it.
    *("snapshot_cut_before", "snapshot_cut_after", "snapshot_cut_marked"),
    # One from a leader: before anything is written, when all has arrived; before it is put in
    # force, when the history is swapped and the log does not know yet, when it does.
    *("snapshot_receive_before", "snapshot_receive_after"),
    *("snapshot_install_before", "snapshot_install_swapped", "snapshot_install_after"),
)
# A client's write: its outcome is known and not told; the answer was handed to the connection.
REPLY_NAMES = ("reply_before", "reply_after")
NAMES = (*DISK_NAMES, *HISTORY_NAMES, *SNAPSHOT_NAMES, *REPLY_NAMES)

_ERRORS = ("EIO", "ENOSPC", "EROFS", "EDQUOT")
_TERM = re.compile(
    r"([a-z_]+)=([a-z]+)(?:\(([A-Za-z0-9]+)\))?(?:\*([0-9]{1,9}))?(?:@([0-9]{1,9}))?"
)


class Injected(Exception):
    """What ``raise`` raises."""


class Term(NamedTuple):
    """One armed failpoint. ``bites`` 0: it bites for ever. ``argument``: milliseconds, or the name
    of an error.
    """

    name: str
    action: str
    argument: str = ""
    bites: int = 0
    first: int = 1

    def __str__(self) -> str:
        """As it is written."""
        text = f"{self.name}={self.action}"
        text += f"({self.argument})" * bool(self.argument)
        text += f"*{self.bites}" * bool(self.bites)
        return text + f"@{self.first}" * (self.first != 1)


def parse(text: str) -> tuple[Term, ...]:
    """Terms from ``name=action[*count][@n],...``. ValueError says what cannot be."""
    return tuple([_parse_term(part.strip()) for part in text.split(",") if part.strip()])


def from_environment(environ: Mapping[str, str], enabled: bool) -> tuple[Term, ...]:
    """What the environment arms. ConfigError where faults are not ``enabled``, and for what cannot
    be.
    """
    text = environ.get(VARIABLE, "")
    if text and not enabled:
        raise ConfigError(f"{VARIABLE} is set, and --enable-faults is not given")
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from None


def _parse_term(text: str) -> Term:
    match = _TERM.fullmatch(text)
    if match is None:
        raise ValueError(f"failpoint {text!r} is not of the form name=action[*count][@n]")
    name, action, argument, count, first = match.groups(default="")
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name!r}; there are: {', '.join(NAMES)}")
    if action in ("delay", "pause"):
        if not argument.isdigit() or not 1 <= int(argument) <= FAILPOINT_MS_MAX:
            raise ValueError(
                f"failpoint {text!r}: {action} takes milliseconds, 1 to {FAILPOINT_MS_MAX}"
            )
    elif action == "raise":
        if argument and argument not in _ERRORS:
            raise ValueError(f"failpoint {text!r}: raise takes one of {', '.join(_ERRORS)}")
    elif action != "crash" or argument:
        raise ValueError(f"failpoint {text!r}: no action but crash, delay(ms), pause(ms), raise")
    if count == "0" or first == "0":
        raise ValueError(f"failpoint {text!r}: numbers begin with 1")
    return Term(name, action, argument, int(count or 0), int(first or 1))


class _Armed:
    """A term and how often somebody came by."""

    def __init__(self, term: Term) -> None:
        self.term = term
        self.passed = 0

    def bites(self) -> bool:
        """Count one who comes by."""
        self.passed += 1
        term = self.term
        number = self.passed - term.first + 1
        return number > 0 and (not term.bites or number <= term.bites)


class Failpoints:
    """The failpoints of one node. Any thread may call anything."""

    def __init__(self, terms: Iterable[Term] = ()) -> None:
        self._lock = threading.Lock()
        self._sets: dict[int, tuple[_Armed, ...]] = {}
        self._by_name: dict[str, tuple[_Armed, ...]] = {}
        self.bitten: dict[str, int] = {}
        """How often each name bit."""
        self.arm(0, terms)

    def arm(self, key: int, terms: Iterable[Term]) -> None:
        """Arm terms, until they are disarmed by the same key."""
        with self._lock:
            self._sets[key] = tuple([_Armed(term) for term in terms])
            self._index()

    def disarm(self, key: int) -> None:
        """Disarm what was armed with this key."""
        with self._lock:
            self._sets.pop(key, None)
            self._index()

    def _index(self) -> None:
        found: dict[str, tuple[_Armed, ...]] = {}
        for armed in self._sets.values():
            for each in armed:
                found[each.term.name] = (*found.get(each.term.name, ()), each)
        self._by_name = found

    def hit(self, name: str) -> None:
        """Somebody came to the place of this name. Raises what the term says."""
        if name not in self._by_name:
            return
        with self._lock:
            biting = [each.term for each in self._by_name.get(name, ()) if each.bites()]
            if biting:
                self.bitten[name] = self.bitten.get(name, 0) + 1
        for term in biting:
            log.warning("failpoint", extra={"failpoint": str(term)})
            _act(term)


def _act(term: Term) -> None:
    if term.action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    elif term.action == "delay":
        time.sleep(int(term.argument) / 1000)
    elif term.action == "pause":
        # Called so, a C function keeps the interpreter's lock: no other thread gets on.
        ctypes.PyDLL(None).usleep(int(term.argument) * 1000)
    else:
        _raise(term)


def _raise(term: Term) -> NoReturn:
    if not term.argument:
        raise Injected(f"failpoint {term.name}")
    number: int = getattr(errno, term.argument)
    raise OSError(number, f"{os.strerror(number)} (failpoint {term.name})")

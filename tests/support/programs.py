"""Programs from outside that some tests need (etcd, etcdctl, tmux, strace, ...)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def need_program(name: str) -> str:
    """The path of program ``name``. Without it the test is skipped; with ``KVORUM_CI=1`` it fails.

    A developer's machine may lack a program; the machine that judges a change may not, because
    there a skipped test would look like a passed one.
    """
    found = shutil.which(name)
    if found is None:
        missing(f"the program {name}, which is not on PATH")
    return found


def need_client(path: str) -> Path:
    """A file below the directory that ``.ci/clients`` filled and KVORUM_CLIENTS names."""
    directory = os.environ.get("KVORUM_CLIENTS", "")
    found = Path(directory) / path
    if not directory or not found.exists():
        missing(f"{path} of other people's clients: .ci/clients DIR, then KVORUM_CLIENTS=DIR")
    return found


def missing(what: str) -> NoReturn:
    """Skip for want of ``what``, or fail under ``KVORUM_CI=1``."""
    if os.environ.get("KVORUM_CI") == "1":
        pytest.fail(f"needs {what}; KVORUM_CI=1 forbids skipping")
    pytest.skip(f"needs {what}")

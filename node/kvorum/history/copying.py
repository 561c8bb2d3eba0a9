"""Moving whole history files: private copies, setting aside, and replacing one by another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from kvorum.history.database import log_path, parts


def copy_history(source: Path, target: Path) -> Path:
    """Copy a history that is not being checkpointed; returns ``target``.

    Between checkpoints the file proper does not change where it matters and DuckDB's log only
    grows; a copied log that ends inside a record reads as if that record had not come yet.
    """
    remove_history(target)
    # The log last: rows it holds may refer to blocks already in the file, never the reverse.
    for part, copy in zip(parts(source), parts(target), strict=True):
        if part.exists():
            shutil.copyfile(part, copy)
            copy.chmod(0o600)
    return target


def set_aside(path: Path) -> Path:
    """Rename a broken history, log included, to the next free ``.broken-<n>``; returns the new
    path.
    """
    number = 1
    while any(part.exists() for part in parts(_aside(path, number))):
        number += 1
    target = _aside(path, number)
    for part, kept in zip(parts(path), parts(target), strict=True):
        if part.exists():
            os.replace(part, kept)
    sync_directory(path.parent)
    return target


def replace_history(
    incoming: Path, path: Path, failpoint: Callable[[str], None] = lambda name: None
) -> None:
    """Put a closed, checkpointed file in the place of another closed one, surviving a crash midway.

    The old log goes first: it must never be read beside the new file. ``failpoint`` is called with
    a name where tests crash a node: history_replace_before, _unlogged, _after.
    """
    if log_path(incoming).exists():
        raise ValueError(f"{incoming} has a log: it was not checkpointed and closed")
    failpoint("history_replace_before")
    descriptor = os.open(incoming, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    log_path(path).unlink(missing_ok=True)
    sync_directory(path.parent)
    failpoint("history_replace_unlogged")
    os.replace(incoming, path)
    sync_directory(path.parent)
    failpoint("history_replace_after")


def remove_history(path: Path) -> None:
    """Delete a history and its log, if there."""
    for part in parts(path):
        part.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make names durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.broken-{number}")

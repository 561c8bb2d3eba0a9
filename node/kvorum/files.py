"""Small files that are written anew as a whole: settings, notes, keys, lists of what is kept."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(
    path: Path, data: str | bytes, *, private: bool = False, durable: bool = False
) -> None:
    """Write a file, whole or not at all; whoever reads it sees what was there before, or all of
    ``data``, also while several processes write it.

    ``private``: nobody but its owner may read it. ``durable``: it is on the disk when this returns.
    Raises OSError.
    """
    content = data.encode() if isinstance(data, str) else data
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    mode = 0o600 if private else 0o666
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "wb") as out:
            out.write(content)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

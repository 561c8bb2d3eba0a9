"""The command line that does what the terminal is about to do: kvorum's own verbs, or a transaction
in the text form that both ``kvorum txn`` and ``etcdctl txn`` read.
"""

from __future__ import annotations

import shlex

from kvorum.client.ops import Compare, Delete, Put, Txn
from kvorum.client.txn_text import render

VALUE_MAX = 200  # Longer values are not spelled out.


def quoted(data: bytes) -> str:
    """Bytes as a word of a shell's line; what is no plain text as ``$'\\xNN'``."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return shlex.quote(text)
    if not data:
        return "''"
    return "$'" + "".join(_escaped(byte) for byte in data) + "'"


def _escaped(byte: int) -> str:
    if byte in b"'\\":
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def swap(key: bytes, expected: int, value: bytes | None, lease: int = 0) -> str:
    """One key written or deleted, if it is as it was."""
    shown = value
    if value is not None and len(value) > VALUE_MAX:
        shown = value[:VALUE_MAX] + b"..."
    op = Delete(key) if shown is None else Put(key, shown, lease)
    return "etcdctl txn <<< " + _word(render(Txn((Compare("mod", key, "=", expected),), (op,))))


def _word(text: str) -> str:
    """Lines as one word of bash's."""
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return f"$'{text}'"


def relocate(source: bytes, target: bytes, *, prefix: bool, move: bool, there: str) -> str:
    """``kvorum copy`` or ``kvorum move``."""
    verb = "move" if move else "copy"
    flags = " --prefix" if prefix else ""
    flags += "" if there == "refuse" else f" --there {there}"
    return f"kvorum {verb} {quoted(source)} {quoted(target)}{flags} --yes"


def delete(key: bytes, *, prefix: bool) -> str:
    """``kvorum del``."""
    return f"kvorum del {quoted(key)}" + (" --prefix" if prefix else "")

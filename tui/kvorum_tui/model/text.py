"""How bytes become text that is safe on a terminal line, and back; what the words of JSON, YAML and
TOML are. What a value *is* is for ``decoders``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from kvorum_tui.model.mask import hidden, masked

HEX_WIDTH = 16
CONTEXT_CHARS = 10  # Shown before the first difference of two long values.

_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b\u2060\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
# Not the halves of surrogate pairs: they are no characters.
_ESCAPES = re.compile(r"\\x([0-9a-fA-F]{2})|\\u((?![dD][89a-fA-F])[0-9a-fA-F]{4})|\\\\")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def safe_text(text: str) -> str:
    """One line of text with control and direction-changing characters made visible."""
    return _UNSAFE.sub(_escape, text)


def printable(data: bytes) -> str:
    """Bytes as one line: UTF-8 where they are, ``\\xNN`` where they are not. Never contains a
    control character.

    A backslash of the data itself is doubled when something had to be escaped, so that the text can
    be read back.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "".join(
            f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else "\\\\" if c == "\\" else c
            for c in data.decode("utf-8", "surrogateescape")
        )
        return safe_text(text)
    if _UNSAFE.search(text):
        return safe_text(text.replace("\\", "\\\\"))
    return text


def key_from_text(text: str) -> bytes:
    """The bytes that a user means who types a key: ``\\xNN``, ``\\uNNNN`` and ``\\\\`` are
    escapes, everything else is UTF-8.

    The reverse of :func:`printable` for keys that need escapes; a lone backslash stays what it is.
    """
    out = bytearray()
    position = 0
    for match in _ESCAPES.finditer(text):
        out += text[position : match.start()].encode()
        if match.group(1):
            out += bytes([int(match.group(1), 16)])
        else:
            out += chr(int(match.group(2), 16)).encode() if match.group(2) else b"\\"
        position = match.end()
    out += text[position:].encode()
    return bytes(out)


def key_to_text(key: bytes) -> str:
    """A key as :func:`key_from_text` reads it back, byte for byte."""
    text = printable(key)
    return text if key_from_text(text) == key else printable(key.replace(b"\\", b"\\\\"))


def as_json(data: bytes) -> Any | None:
    """The parsed JSON object or array in ``data``, or None. Bare numbers and words are left as
    text.
    """
    head = data[:64].lstrip()
    if not head or head[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def is_json(data: bytes) -> bool:
    """Whether ``data`` is a JSON object or array."""
    return as_json(data) is not None


_JSON_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def pretty_json(data: bytes) -> str:
    """JSON indented by two. Only the blanks between its words change: numbers, escapes and keys
    that stand twice stay as they are written. Raises ValueError when ``data`` is not JSON.
    """
    json.loads(data)
    out: list[str] = []
    depth = 0
    before = ""
    for part in _JSON_PARTS.findall(data.decode("utf-8-sig")):
        if part in "}]":
            depth -= 1
            if before not in "{[":
                out.append("\n" + "  " * depth)
        elif before in ("{", "[", ","):
            out.append("\n" + "  " * depth)
        out.append(": " if part == ":" else part)
        depth += part in "{["
        before = part
    return "".join(out)


def hex_lines(data: bytes) -> list[str]:
    """A hex dump: offset, bytes, characters."""
    lines = []
    for start in range(0, len(data), HEX_WIDTH):
        chunk = data[start : start + HEX_WIDTH]
        cells = " ".join(f"{b:02x}" for b in chunk)
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in chunk)
        lines.append(f"{start:06x}  {cells:<{HEX_WIDTH * 3 - 1}}  {text}")
    return lines


def one_line(data: bytes, width: int) -> str:
    """A value in at most ``width`` characters, for a row of a list."""
    if hidden():
        return masked(len(data))[:width]
    text = printable(data[: width * 4])
    return (
        text if len(text) <= width and len(data) <= width * 4 else text[: max(0, width - 1)] + "…"
    )


def changed_part(old: bytes, new: bytes, width: int) -> tuple[str, str]:
    """Two values in at most ``width`` characters each, from a little before their first difference
    on when they would not fit whole.
    """
    if hidden():
        return masked(len(old))[:width], masked(len(new))[:width]
    before, after = printable(old[: width * 8]), printable(new[: width * 8])
    cut = 0
    if max(len(before), len(after)) > width:
        same = next(
            (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
            min(len(before), len(after)),
        )
        cut = max(0, same - CONTEXT_CHARS)
    head = "…" if cut else ""
    parts = [head + text[cut:] for text in (before, after)]
    left, right = (p if len(p) <= width else p[: max(0, width - 1)] + "…" for p in parts)
    return left, right


_JSON_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?P<word>\b(?:true|false|null)\b)"
    r"|(?P<punct>[{}\[\],:])"
)


def json_tokens(line: str) -> list[tuple[int, int, str]]:
    """Spans (start, end, kind) of one line of JSON; kinds: key, string, number, word, punct. For
    colouring only.
    """
    return [(m.start(), m.end(), m.lastgroup or "") for m in _JSON_TOKEN.finditer(line)]


_CONFIG_TOKEN = re.compile(
    r"(?P<punct>\#.*|^---|^\s*(?:-\s+)+)"
    r"|(?P<key>^\s*\[+[^\]]+\]+|(?:(?<=^)|(?<=\s)|(?<=\{))(?:[\w./-]+|\"[^\"]*\")(?=\s*=|:(?:\s|$)))"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|'[^']*')"
    r"|(?P<number>(?<![\w.:/-])-?\d+(?:\.\d+)?(?![\w.:/-]))"
    r"|(?P<word>(?<![\w.-])(?:true|false|null|yes|no)(?![\w.-]))"
)


def config_tokens(line: str) -> list[tuple[int, int, str]]:
    """The same for one line of YAML or TOML."""
    return [(m.start(), m.end(), m.lastgroup or "") for m in _CONFIG_TOKEN.finditer(line)]

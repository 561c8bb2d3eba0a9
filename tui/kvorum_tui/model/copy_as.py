"""A key or branch as something to paste elsewhere: JSON, etcdctl, Python, curl."""

from __future__ import annotations

import base64
import json
import shlex
from dataclasses import dataclass

from kvorum_tui.model.records import KeyRecord
from kvorum_tui.model.text import key_to_text, printable

TERMINAL_MAX = 100_000  # Characters that terminals take by OSC 52 without losing some.


@dataclass(frozen=True, slots=True)
class Copy:
    """One way: its name, what it is, the text, or why it cannot be."""

    name: str
    about: str
    text: str
    why_not: str = ""


def shell(data: bytes) -> str:
    """Bytes as one word of a shell: plain where they are text, otherwise ``$'...'``."""
    text = printable(data)
    if text.encode() == data:
        return shlex.quote(text)
    return (
        "$'"
        + "".join(chr(b) if 32 <= b < 127 and chr(b) not in "'\\" else f"\\x{b:02x}" for b in data)
        + "'"
    )


def range_end(prefix: bytes) -> bytes:
    """The end of everything that starts with a prefix, as the wire has it."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else b"\0"


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _value(record: KeyRecord | None) -> tuple[str, str]:
    """The value as text, or why not."""
    if record is None:
        return "", "the value has not been read"
    try:
        return record.value.decode(), ""
    except UnicodeDecodeError:
        return "", "the value is no text; JSON carries it as base64"


def copies(
    path: bytes,
    branch: bool,
    record: KeyRecord | None,
    shown: str,
    endpoint: str,
    revision: int = 0,
) -> list[Copy]:
    """Every way to copy what is under the cursor. ``shown``: the value as it is on the screen;
    ``revision``: that which is looked at, 0 for now.
    """
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    word = shell(path)
    rev = f" --rev={revision}" if revision else ""
    at = f", revision={revision}" if revision else ""
    ctl = f"etcdctl --endpoints={shlex.quote(endpoint)}"
    asked: dict[str, object] = {"key": _coded(path or b"\0")}
    if branch:
        asked["range_end"] = _coded(range_end(path))
    if revision:
        asked["revision"] = revision
    body = shlex.quote(json.dumps(asked))
    curl = f"curl -s {url}/v3/kv/range -d {body}"
    client = f"async with Client({[endpoint]!r}) as client:\n    "
    if branch:
        python = client + f"found = await client.get_prefix({path!r}{at})"
        return [
            Copy("key", "the prefix", key_to_text(path)),
            Copy("etcdctl", "read everything below it", f"{ctl} get {word} --prefix{rev}"),
            Copy("watch", "etcdctl that watches it", f"{ctl} watch {word} --prefix{rev}"),
            Copy("kvorum", "the same with kvorum", f"kvorum get {word} --prefix{rev}"),
            Copy("python", "read it in Python", _PYTHON + python),
            Copy("curl", "over HTTP, keys and values in base64", curl),
        ]
    text, wrong = _value(record)
    return [
        Copy("key", "the key", key_to_text(path)),
        Copy("value", "the value, byte for byte", text, wrong),
        Copy("shown", "the value as it is shown", shown, "" if record else wrong),
        Copy("json", "key, value and revisions", _json(record), "" if record else wrong),
        Copy("etcdctl", "read it", f"{ctl} get {word}{rev}"),
        Copy(
            "put",
            "etcdctl that writes it",
            f"{ctl} put {word} {shell(record.value)}" if record else "",
            "" if record else wrong,
        ),
        Copy("kvorum", "read it with kvorum", f"kvorum get {word}{rev}"),
        Copy(
            "python",
            "read it in Python",
            _PYTHON + client + f"found = await client.get({path!r}{at})",
        ),
        Copy("curl", "over HTTP, key and value in base64", curl),
    ]


_PYTHON = "from kvorum.client import Client\n\n"


def _json(record: KeyRecord | None) -> str:
    """As ``etcdctl -w json`` has it, with the texts beside the base64 where there are texts."""
    if record is None:
        return ""
    table: dict[str, object] = {"key": _coded(record.key), "value": _coded(record.value)}
    for name, data in (("key_text", record.key), ("value_text", record.value)):
        try:
            table[name] = data.decode()
        except UnicodeDecodeError:
            continue
    table |= {
        "create_revision": record.create_revision,
        "mod_revision": record.mod_revision,
        "version": record.version,
        "lease": record.lease,
    }
    return json.dumps(table, ensure_ascii=False)

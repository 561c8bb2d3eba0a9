r"""Transactions as text, the way etcdctl reads them.

Three blocks with an empty line behind each: conditions, operations for when they all hold,
operations for when they do not::

    mod("a") > "0"
    value("b") = "old"

    put b "new value"
    get a

    get b

Conditions compare ``ver``, ``create``, ``mod``, ``val`` or ``lease`` (in hex) of a key by ``=``,
``!=``, ``<`` or ``>``. Operations are ``get``, ``put`` and ``del`` with the flags of the
commands of that name. Words are bare or quoted: in double quotes ``\n``, ``\xHH``, ``\OOO``,
``\uHHHH`` and the like stand for other bytes, in single quotes nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kvorum.client.ops import Compare, Delete, Get, Op, Put, Relation, Target, Txn
from kvorum.client.types import to_bytes

_TARGETS: dict[str, Target] = {
    "ver": "version",
    "version": "version",
    "c": "create",
    "create": "create",
    "m": "mod",
    "mod": "mod",
    "val": "value",
    "value": "value",
    "lease": "lease",
}
_NAMES: dict[Target, str] = {
    "version": "ver",
    "create": "create",
    "mod": "mod",
    "value": "val",
    "lease": "lease",
}
_RELATIONS: dict[str, Relation] = {"=": "=", "==": "=", "!=": "!=", "<": "<", ">": ">"}
_SIMPLE = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
    "'": b"'",
}
_ESCAPE = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{2})|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<simple>.))",
    re.DOTALL,
)
_DOUBLE = r'"(?:[^"\\]|\\.)*"'
_WORD = re.compile(
    rf"""\s*(?:(?P<double>{_DOUBLE})|'(?P<single>[^']*)'|(?P<bare>[^\s"']+))""", re.DOTALL
)
_COMPARE = re.compile(
    rf"""\s*(?P<target>\w+)\s*\(\s*(?P<key>{_DOUBLE}|'[^']*'|[^\s"')]+)\s*\)"""
    rf"""\s*(?P<relation>==|=|!=|<|>)\s*(?P<operand>{_DOUBLE}|'[^']*'|[^\s"']+)\s*"""
)
_FLAGS = {"get": "limit rev order sort-by consistency", "put": "lease", "del": ""}
_SWITCHES = {
    "get": "prefix from-key keys-only count-only",
    "put": "prev-kv ignore-value ignore-lease",
    "del": "prefix from-key prev-kv",
}


class TxnTextError(ValueError):
    """A line that is no condition or operation; the text says which and why."""


def unquote(text: str) -> bytes:
    """What stands between double quotes, as bytes."""
    out, at = [], 0
    for match in _ESCAPE.finditer(text):
        out.append(_bytes(text[at : match.start()]))
        at = match.end()
        if match["hex"]:
            out.append(bytes((int(match["hex"], 16),)))
        elif match["octal"]:
            out.append(bytes((int(match["octal"], 8),)))
        elif match["u4"] or match["u8"]:
            out.append(_character(int(match["u4"] or match["u8"], 16)))
        elif match["simple"] in _SIMPLE:
            out.append(_SIMPLE[match["simple"]])
        else:
            raise TxnTextError(f"unknown escape {match[0]!r} in {text!r}")
    out.append(_bytes(text[at:]))
    return b"".join(out)


def _bytes(text: str) -> bytes:
    """Text as bytes, those included that Python read as surrogates because they are no UTF-8."""
    return text.encode(errors="surrogateescape")


def _character(number: int) -> bytes:
    try:
        return chr(number).encode()
    except (ValueError, UnicodeEncodeError):
        raise TxnTextError(f"there is no character {number:#x}") from None


def quote(data: bytes) -> str:
    """Bytes in double quotes; whatever is no printable text is escaped."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
        printable = (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in data)
        return '"' + "".join("\\" + c if c in '"\\' else c for c in printable) + '"'
    out = []
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif c.isprintable():
            out.append(c)
        else:
            out.append("".join(f"\\x{byte:02x}" for byte in c.encode()))
    return '"' + "".join(out) + '"'


def words(line: str) -> list[bytes]:
    """A line's words. Raises :class:`TxnTextError` for a quote that is not closed."""
    found, at = [], 0
    line = line.rstrip()
    while at < len(line):
        match = _WORD.match(line, at)
        if match is None:
            raise TxnTextError(f"unclosed quote in {line!r}")
        at = match.end()
        if match["double"] is not None:
            found.append(unquote(match["double"][1:-1]))
        else:
            single = match["single"]
            found.append(_bytes(match["bare"] if single is None else single))
    return found


def parse_compare(line: str) -> Compare:
    """One condition, for instance ``mod("a") > "0"``. Raises :class:`TxnTextError`."""
    match = _COMPARE.fullmatch(line)
    if match is None:
        raise TxnTextError(f'{line!r} is no condition; one looks like mod("key") > "0"')
    target = _TARGETS.get(match["target"].lower())
    if target is None:
        known = ", ".join(_NAMES.values())
        raise TxnTextError(f"{match['target']!r} cannot be compared; these can: {known}")
    (key,) = words(match["key"])
    (operand,) = words(match["operand"])
    relation = _RELATIONS[match["relation"]]
    if target == "value":
        return Compare(target, key, relation, operand)
    return Compare(target, key, relation, _number(operand, 16 if target == "lease" else 10))


def _number(word: bytes, base: int = 10) -> int:
    try:
        return int(word, base)
    except ValueError:
        kind = "a hexadecimal number" if base == 16 else "a number"
        raise TxnTextError(f"{word.decode(errors='replace')!r} is not {kind}") from None


def parse_op(line: str) -> Op:
    """One operation, for instance ``put key "some value"``. Raises :class:`TxnTextError`."""
    verb, rest = "", words(line)
    if rest:
        verb = rest.pop(0).decode(errors="replace")
    if verb not in _FLAGS:
        raise TxnTextError(f"{line!r} is no operation; these are: get, put, del")
    flags, positional = _split(verb, rest)
    if not positional:
        raise TxnTextError(f"{line!r}: the key is missing")
    if len(positional) > 2:
        raise TxnTextError(f"{line!r}: too many words; quote a value that holds spaces")
    try:
        return _op(verb, flags, positional)
    except (KeyError, ValueError) as error:
        raise TxnTextError(f"{line!r}: {error}") from None


def _split(verb: str, rest: Sequence[bytes]) -> tuple[dict[str, str], list[bytes]]:
    """Flags with their values ("" for a switch) and everything else; ``--`` ends the flags."""
    flags: dict[str, str] = {}
    positional: list[bytes] = []
    pending = iter(rest)
    for word in pending:
        if word == b"--":
            positional += pending
        elif not word.startswith(b"--"):
            positional.append(word)
        else:
            flag, separator, value = word[2:].decode(errors="replace").partition("=")
            if flag in _SWITCHES[verb].split():
                if value not in ("", "true"):
                    continue
                flags[flag] = ""
            elif flag in _FLAGS[verb].split():
                flags[flag] = value if separator else next(pending, b"").decode(errors="replace")
            else:
                raise TxnTextError(f"{verb} has no flag --{flag}")
    return flags, positional


def _op(verb: str, flags: dict[str, str], positional: list[bytes]) -> Op:
    key, second = positional[0], positional[1] if len(positional) > 1 else None
    if verb == "put":
        return Put(
            key,
            second or b"",
            lease=_number(flags.get("lease", "0").encode(), 16),
            prev_kv="prev-kv" in flags,
            ignore_value="ignore-value" in flags,
            ignore_lease="ignore-lease" in flags,
        )
    if verb == "del":
        return Delete(
            key, second, "prefix" in flags, "from-key" in flags, prev_kv="prev-kv" in flags
        )
    sort_by = flags.get("sort-by", "key").lower()
    order = flags.get("order", "none" if "sort-by" not in flags else "ascend").lower()
    match sort_by, order:
        case (("key" | "version" | "create" | "mod" | "value"), ("none" | "ascend" | "descend")):
            pass
        case "modify", _:
            sort_by = "mod"
        case _:
            raise TxnTextError(f"cannot sort by {sort_by!r}, {order!r}")
    return Get(
        key,
        second,
        "prefix" in flags,
        "from-key" in flags,
        revision=_number(flags.get("rev", "0").encode()),
        limit=_number(flags.get("limit", "0").encode()),
        sort_by=sort_by,  # type: ignore[arg-type]  # the match above leaves nothing else
        sort_order=order,  # type: ignore[arg-type]  # the match above leaves nothing else
        serializable=flags.get("consistency", "l") == "s",
        keys_only="keys-only" in flags,
        count_only="count-only" in flags,
    )


def parse(text: str) -> Txn:
    """A whole transaction. Raises :class:`TxnTextError` naming the line."""
    blocks: list[list[Compare | Op]] = [[], [], []]
    block = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            block += 1
            continue
        if block > 2:
            raise TxnTextError(f"line {number}: a transaction has three blocks, this is a fourth")
        try:
            blocks[block].append(parse_compare(line) if block == 0 else parse_op(line))
        except TxnTextError as error:
            raise TxnTextError(f"line {number}: {error}") from None
    compares = tuple(item for item in blocks[0] if isinstance(item, Compare))
    then, else_ = (
        tuple(item for item in items if not isinstance(item, Compare)) for items in blocks[1:]
    )
    return Txn(compares, then, else_)


def render(txn: Txn) -> str:
    """The text of a transaction, which :func:`parse` reads back.

    Raises :class:`TxnTextError` for what the text form cannot say: nested transactions,
    conditions on ranges, bounds on revisions.
    """
    lines = [_compare_text(compare) for compare in txn.compares]
    for branch in (txn.then, txn.else_):
        lines.append("")
        lines += [" ".join(_op_words(op)) for op in branch]
    return "\n".join([*lines, "", ""])


def _compare_text(compare: Compare) -> str:
    if compare.range_end:
        raise TxnTextError("a condition on a range has no text form")
    if isinstance(compare.operand, bytes):
        operand = quote(compare.operand)
    else:
        operand = f'"{compare.operand:x}"' if compare.target == "lease" else f'"{compare.operand}"'
    return f"{_NAMES[compare.target]}({quote(compare.key)}) {compare.relation} {operand}"


def _op_words(op: Op) -> Iterator[str]:
    if isinstance(op, Txn):
        raise TxnTextError("a transaction inside another has no text form")
    if isinstance(op, Put):
        yield "put"
        yield from _flag_words(
            ("lease", f"{op.lease:x}" if op.lease else ""),
            ("prev-kv", op.prev_kv),
            ("ignore-value", op.ignore_value),
            ("ignore-lease", op.ignore_lease),
        )
        yield from ("--", quote(to_bytes(op.key)), quote(to_bytes(op.value)))
        return
    if isinstance(op, Delete):
        yield "del"
        yield from _flag_words(
            ("prefix", op.prefix), ("from-key", op.from_key), ("prev-kv", op.prev_kv)
        )
    else:
        if op.min_mod_revision or op.max_mod_revision:
            raise TxnTextError("bounds on the mod revision have no text form")
        if op.min_create_revision or op.max_create_revision:
            raise TxnTextError("bounds on the create revision have no text form")
        yield "get"
        yield from _flag_words(
            ("prefix", op.prefix),
            ("from-key", op.from_key),
            ("rev", str(op.revision) if op.revision else ""),
            ("limit", str(op.limit) if op.limit else ""),
            ("sort-by", op.sort_by if op.sort_by != "key" else ""),
            ("order", op.sort_order if (op.sort_by, op.sort_order) != ("key", "none") else ""),
            ("consistency", "s" if op.serializable else ""),
            ("keys-only", op.keys_only),
            ("count-only", op.count_only),
        )
    yield from ("--", quote(to_bytes(op.key)))
    if op.range_end is not None:
        yield quote(to_bytes(op.range_end))


def _flag_words(*flags: tuple[str, str | bool]) -> Iterator[str]:
    for name, value in flags:
        if value is True:
            yield f"--{name}"
        elif value:
            yield f"--{name}={value}"

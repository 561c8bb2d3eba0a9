"""Writes the Python source of a message class's decoder.

The decoder is one function over a stretch of a buffer. Every field has a local variable. Encoders
write fields in the order of their numbers, so the function asks for them in that order and each
question is asked once: after a field is read the next tag is fetched and the function falls through
to the next question. Whatever comes out of order is caught at the bottom and sent round again. For
a message with one bytes field, `key = 1`, and one message field, `kv = 2`:

    def decode_X(buf, pos, end, depth):
        key = b''
        kv_at = -1; kv = kv_more = None
        unknown = None
        tag = 0
        while True:
            if not tag:
                if pos >= end: break
                tag = buf[pos]; pos += 1
            if tag == 10:
                n = buf[pos]; pos += 1
                if n > 127: n, pos = long_varint(buf, pos, n)
                stop = pos + n
                if stop > end: raise truncated()
                key = buf[pos:stop]; pos = stop
                if pos >= end: break
                tag = buf[pos]; pos += 1
            if tag == 18:
                ...
                if kv_at < 0: kv_at = pos; kv_end = stop
                else: kv_more = again(kv_more, pos, stop)
                pos = stop
                ...
            if tag not in known_X:
                (tags of several bytes; unknown fields)
        if pos != end: raise truncated()
        if kv_at >= 0: kv = decode_KeyValue(buf, kv_at, kv_end, depth - 1, kv_more)
        m = new(cls_X)
        m.key = key; m.kv = kv; m._unknown_fields = ...
        return m

A singular message is decoded after the loop, once: where the field came several times its decoder
gets all the stretches and goes through one after the other (`more`, left out above), which is what
merging means in protobuf. So every byte is looked at once a level, whatever the sender does.

Bounds are checked where a length is believed (`stop > end`) and once at the end (`pos != end`); a
single byte read behind the buffer raises IndexError, which the codec turns into a DecodeError.
"""

from __future__ import annotations

from betterproto2 import Message

from . import wire
from .codegen import Field, Names, fields_of, indent
from .codegen_values import read_length, read_number, read_packed


def decoder_source(cls: type[Message], name: str, names: Names) -> str:
    """The source of `def {name}(buf, pos, end, depth, more=None)`, which returns a message.

    `depth` says how many levels of messages may follow below this one, `more` lists further
    stretches of the same message, the next one last; the list is consumed. Raises ValueError when
    the class has a field that the codec does not know.
    """
    fields = sorted(fields_of(cls), key=lambda field: field.number)
    tags = frozenset(tag for field in fields for tag in _tags(field))
    wide = any(tag > 0x7F for tag in tags)
    known = names.constant(f"known_{cls.__name__}", tags)
    turn = ["if not tag:", *indent(_next_tag(wide))]
    for field in fields:
        turn += _question(field, _rivals(field, fields), wide, names)
    turn += _bottom(known, wide)
    body = [*_declare(fields, names), "unknown = None", "tag = 0"]
    body += ["while True:", "    while True:", *indent(indent(turn))]
    body += ["    if pos != end: raise truncated()", "    if not more: break"]
    body += ["    pos, end = more.pop(); tag = 0"]
    for field in filter(_deferred, fields):
        body.append(f"if at_{field.name} >= 0: f_{field.name} = {_decode_deferred(field, names)}")
    body += [f"m = new({names.constant(f'cls_{cls.__name__}', cls)})"]
    body += [f"m.{field.name} = f_{field.name}" for field in fields]
    body += ["m._unknown_fields = b'' if unknown is None else join(unknown)", "return m"]
    head = [f"def {name}(buf, pos, end, depth, more=None):", "    if depth < 0: raise too_deep()"]
    return "\n".join([*head, *indent(body)]) + "\n"


def _tags(field: Field) -> list[int]:
    """The tags under which the field's values may come: a packable list also comes packed."""
    if field.packable:
        return [field.number << 3 | wire.DELIMITED, field.tag]
    return [field.tag]


def _deferred(field: Field) -> bool:
    """The field is decoded after the loop."""
    return field.kind == "message" and not field.repeated


def _rivals(field: Field, fields: list[Field]) -> list[Field]:
    """The other members of the field's oneof."""
    return [
        other for other in fields if field.group and other.group == field.group and other != field
    ]


def _declare(fields: list[Field], names: Names) -> list[str]:
    """Statements that give every local variable its first value."""
    lines = [f"f_{field.name} = {_default(field, names)}" for field in fields]
    starts = [
        f"at_{field.name} = -1; more_{field.name} = None" for field in fields if _deferred(field)
    ]
    groups = sorted({field.group for field in fields if field.group})
    return [*lines, *starts, *(f"set_{group} = 0" for group in groups)]


def _default(field: Field, names: Names) -> str:
    if field.kind == "map":
        return "{}"
    if field.repeated:
        return "[]"
    if field.presence or field.kind == "message":
        return "None"
    if field.kind == "enum":
        return names.constant(f"zero_{field.cls.__name__}", field.cls(0))
    plain = {"string": "''", "bytes": "b''", "bool": "False", "float": "0.0", "double": "0.0"}
    return plain.get(field.kind, "0")


def _next_tag(wide: bool) -> list[str]:
    """Statements that fetch the next tag or leave the loop. Only a wide class expects long tags."""
    lines = ["if pos >= end: break", "tag = buf[pos]; pos += 1"]
    if wide:
        lines += [
            "if tag > 127:",
            "    v = buf[pos]",
            "    if v < 128: tag += (v << 7) - 128; pos += 1",
            "    else: tag, pos = long_tag(buf, pos, tag)",
        ]
    return lines


def _bottom(known: str, wide: bool) -> list[str]:
    """Statements for a tag that no question after the last answered one was about."""
    keep = [
        "if unknown is None: unknown = []",
        "pos = skip(buf, pos, tag, depth, unknown)",
        "tag = 0",
    ]
    if wide:
        return [f"if tag not in {known}:", *indent(keep)]
    return [
        f"if tag not in {known}:",
        "    if tag > 127: tag, pos = long_tag(buf, pos, tag)",
        f"    if tag not in {known}:",
        *indent(indent(keep)),
    ]


def _question(field: Field, rivals: list[Field], wide: bool, names: Names) -> list[str]:
    """`if` this is the field's tag: read it, put rivals of its oneof out, fetch the next tag."""
    lines: list[str] = []
    for tag in _tags(field):
        body = _clear(field, rivals, names)
        if tag != field.tag:
            body += read_packed(field, names)
        elif field.wire_type == wire.DELIMITED:
            body += _read_delimited(field, names)
        else:
            target = "v" if field.repeated else f"f_{field.name}"
            body += [*read_number(field, "end", target, names)]
            body += [f"f_{field.name}.append(v)"] if field.repeated else []
        lines += [f"if tag == {tag}:", *indent([*body, *_next_tag(wide)])]
    return lines


def _clear(field: Field, rivals: list[Field], names: Names) -> list[str]:
    """Statements that put rivals out. Their bytes are decoded all the same: they may be bad."""
    if not field.group:
        return []
    chosen, lines = f"set_{field.group}", [f"f_{rival.name} = None" for rival in rivals]
    for rival in filter(_deferred, rivals):
        lines.append(f"if at_{rival.name} >= 0: {_decode_deferred(rival, names)}")
        lines.append(f"at_{rival.name} = -1; more_{rival.name} = None")
    return [
        f"if {chosen} != {field.number}:",
        *indent([f"if {chosen}:", *indent(lines or ["pass"]), f"{chosen} = {field.number}"]),
    ]


def _decode_deferred(field: Field, names: Names) -> str:
    """An expression for a singular message, from all its stretches."""
    at, ending, more = (f"{part}_{field.name}" for part in ("at", "end", "more"))
    return f"{names.decoder(field.cls)}(buf, {at}, {ending}, depth - 1, {more} and {more}[::-1])"


def _read_delimited(field: Field, names: Names) -> list[str]:
    name, lines = f"f_{field.name}", read_length()
    if _deferred(field):
        at, ending, more = (f"{part}_{field.name}" for part in ("at", "end", "more"))
        return [
            *lines,
            f"if {at} < 0: {at} = pos; {ending} = stop",
            f"else: {more} = again({more}, pos, stop)",
            "pos = stop",
        ]
    if field.kind == "map":
        value = fields_of(field.cls)[1]
        lines.append(f"v = {names.decoder(field.cls)}(buf, pos, stop, depth - 1); pos = stop")
        if value.kind == "message":
            empty = names.constant(f"cls_{value.cls.__name__}", value.cls)
            lines.append(f"if v.value is None: v.value = {empty}()")
        return [*lines, f"{name}[v.key] = v.value"]
    value_of = "buf[pos:stop]"
    if field.kind == "string":
        value_of += ".decode()"
    elif field.kind == "message":
        value_of = f"{names.decoder(field.cls)}(buf, pos, stop, depth - 1)"
    store = f"{name}.append({value_of})" if field.repeated else f"{name} = {value_of}"
    return [*lines, store, "pos = stop"]

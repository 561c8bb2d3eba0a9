"""A transaction as rows of a form: sections If, Then and Else, a row a condition or operation,
nested transactions below the row that holds them; and rows as fields to fill in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from kvorum.client.ops import Compare, Delete, Get, Op, Put, Relation, Target, Txn
from kvorum.client.txn_text import TxnTextError, parse, render
from kvorum.client.types import key_range, to_bytes

from kvorum_tui.model.decode import key_from_text, key_to_text, one_line, printable

Section = Literal["if", "then", "else"]
SECTIONS: tuple[Section, ...] = ("if", "then", "else")
TITLES: dict[Section, str] = {"if": "If all of", "then": "Then", "else": "Else"}
EMPTY: dict[Section, str] = {
    "if": "no condition: Then always runs",
    "then": "nothing is done",
    "else": "nothing is done",
}
TARGETS: tuple[Target, ...] = ("value", "version", "create", "mod", "lease")
RELATIONS: tuple[Relation, ...] = ("=", "!=", "<", ">")
WORDS: dict[Target, str] = {
    "value": "value",
    "version": "version",
    "create": "create revision",
    "mod": "mod revision",
    "lease": "lease",
}
VALUE_SHOWN = 60
C = TypeVar("C", bound=str)


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place: in which section, and the how manyth there."""

    section: Section
    index: int


@dataclass(frozen=True, slots=True)
class FormRow:
    """A row. ``place`` is None on what cannot be chosen by itself: parts of a nested transaction.
    ``kind``: head, compare, op, empty, nested.
    """

    kind: str
    text: str
    section: Section
    place: Place | None = None
    depth: int = 0


def rows_of(txn: Txn) -> list[FormRow]:
    """All rows, sections included."""
    rows: list[FormRow] = []
    for section in SECTIONS:
        rows.append(FormRow("head", TITLES[section], section))
        items = items_of(txn, section)
        if not items:
            rows.append(FormRow("empty", EMPTY[section], section))
        for index, item in enumerate(items):
            kind = "compare" if isinstance(item, Compare) else "op"
            rows.append(FormRow(kind, words(item), section, Place(section, index)))
            if isinstance(item, Txn):
                rows += _nested(item, section, 1)
    return rows


def _nested(txn: Txn, section: Section, depth: int) -> list[FormRow]:
    rows = []
    for part in SECTIONS:
        for item in items_of(txn, part):
            text = f"{TITLES[part].lower()}: {words(item)}"
            rows.append(FormRow("nested", text, section, depth=depth))
            if isinstance(item, Txn):
                rows += _nested(item, section, depth + 1)
    return rows


def items_of(txn: Txn, section: Section) -> tuple[Compare | Op, ...]:
    """What a section holds."""
    return {"if": txn.compares, "then": txn.then, "else": txn.else_}[section]


def with_items(txn: Txn, section: Section, items: Sequence[Compare | Op]) -> Txn:
    """The transaction with something else in a section."""
    if section == "if":
        return replace(txn, compares=tuple(i for i in items if isinstance(i, Compare)))
    ops = tuple(item for item in items if not isinstance(item, Compare))
    return replace(txn, then=ops) if section == "then" else replace(txn, else_=ops)


def put_in(txn: Txn, place: Place, item: Compare | Op) -> Txn:
    """With one more item, at this place."""
    items = list(items_of(txn, place.section))
    items.insert(place.index, item)
    return with_items(txn, place.section, items)


def changed(txn: Txn, place: Place, item: Compare | Op) -> Txn:
    """With another item at this place."""
    items = list(items_of(txn, place.section))
    items[place.index] = item
    return with_items(txn, place.section, items)


def without(txn: Txn, place: Place) -> Txn:
    """Without the item at this place."""
    items = list(items_of(txn, place.section))
    del items[place.index]
    return with_items(txn, place.section, items)


def moved(txn: Txn, place: Place, by: int) -> tuple[Txn, Place]:
    """With an item one further up or down; at the end of Then it goes to Else, and back."""
    items = list(items_of(txn, place.section))
    at = place.index + by
    if 0 <= at < len(items):
        items[place.index], items[at] = items[at], items[place.index]
        return with_items(txn, place.section, items), Place(place.section, at)
    crossing: dict[tuple[Section, bool], Section] = {
        ("then", True): "else",
        ("else", False): "then",
    }
    target = crossing.get((place.section, by > 0))
    if target is None:
        return txn, place
    there = len(items_of(txn, target)) if by < 0 else 0
    item = items[place.index]
    return put_in(without(txn, place), Place(target, there), item), Place(target, there)


# --- words ----------------------------------------------------------------------------------------


def words(item: Compare | Op) -> str:
    """A condition or operation on one line."""
    if isinstance(item, Compare):
        where = _scope_words(item.key, item.range_end)
        return f"{WORDS[item.target]} of {where} {item.relation} {_operand(item)}"
    if isinstance(item, Txn):
        counts = len(item.compares), len(item.then), len(item.else_)
        return "a transaction: {} conditions, {} then, {} else".format(*counts)
    if isinstance(item, Put):
        value = f'"{one_line(to_bytes(item.value), VALUE_SHOWN)}"'
        extra = [f"lease {item.lease:x}" if item.lease else ""]
        extra += ["keeps its lease" if item.ignore_lease else ""]
        extra += ["previous too" if item.prev_kv else ""]
        value = "(keeps its value)" if item.ignore_value else value
        return _joined(f"put {printable(to_bytes(item.key))} = {value}", extra)
    start, end = key_range(item.key, item.range_end, prefix=item.prefix, from_key=item.from_key)
    where = _scope_words(start, end)
    if isinstance(item, Delete):
        return _joined(f"delete {where}", ["previous too" if item.prev_kv else ""])
    extra = [
        f"at revision {item.revision}" if item.revision else "",
        f"at most {item.limit}" if item.limit else "",
        "keys only" if item.keys_only else "",
        "count only" if item.count_only else "",
        f"by {item.sort_by}, {item.sort_order}" if item.sort_order != "none" else "",
    ]
    return _joined(f"get {where}", extra)


def _joined(text: str, extra: list[str]) -> str:
    return ", ".join([text, *filter(None, extra)])


def _scope_words(start: bytes, end: bytes) -> str:
    if not end:
        return printable(start)
    if end == b"\0":
        return f"every key from {printable(start)} on" if start != b"\0" else "every key"
    if key_range(start, prefix=True) == (start, end):
        return f"every key under {printable(start)}"
    return f"every key from {printable(start)} to before {printable(end)}"


def _operand(compare: Compare) -> str:
    if isinstance(compare.operand, bytes):
        return f'"{one_line(compare.operand, VALUE_SHOWN)}"'
    return f"{compare.operand:x}" if compare.target == "lease" else str(compare.operand)


# --- fields ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blank:
    """A field to fill in, with what is in it."""

    name: str
    label: str
    value: str = ""
    check: Callable[[str], str] = lambda text: ""


def blanks(item: Compare | Put | Get | Delete) -> list[Blank]:
    """The fields of a condition or an operation."""
    if isinstance(item, Compare):
        scope = _scope_of(item.key, item.range_end)
        operand = key_to_text(item.operand) if isinstance(item.operand, bytes) else _operand(item)
        return [
            _one_of("target", "Compare", TARGETS, item.target),
            *_key_blanks(item.key, scope),
            _one_of("relation", "Relation", RELATIONS, item.relation),
            Blank("operand", "With (a lease in hex; a value: \\xNN for odd bytes)", operand),
        ]
    key = to_bytes(item.key)
    if isinstance(item, Put):
        return [
            Blank("key", "Key", key_to_text(key), _needed),
            Blank("value", "Value (\\xNN for odd bytes)", key_to_text(to_bytes(item.value))),
            Blank("lease", "Lease, in hex (0: none; keep: as it is)", _lease_text(item), _lease),
            _yes_no("prev", "Tell what it replaces", item.prev_kv),
        ]
    start, end = key_range(item.key, item.range_end, prefix=item.prefix, from_key=item.from_key)
    fields = _key_blanks(start, _scope_of(start, end))
    if isinstance(item, Delete):
        return [*fields, _yes_no("prev", "Tell what it deletes", item.prev_kv)]
    return [
        *fields,
        Blank("limit", "At most so many keys (0: all)", str(item.limit), _number),
        Blank("revision", "At revision (0: now)", str(item.revision), _number),
    ]


def filled(item: Compare | Put | Get | Delete, values: Mapping[str, str]) -> Compare | Op:
    """What the fields say. Raises ValueError with what is wrong."""
    key = key_from_text(values["key"])
    if isinstance(item, Compare):
        target = _chosen(TARGETS, values["target"])
        text = values["operand"]
        operand: int | bytes = key_from_text(text)
        if target != "value":
            operand = _whole(text, 16 if target == "lease" else 10)
        start, end = _range(key, values["scope"])
        return Compare(target, start, _chosen(RELATIONS, values["relation"]), operand, end)
    if isinstance(item, Put):
        keep = values["lease"].strip().lower() == "keep"
        return replace(
            item,
            key=key,
            value=b"" if item.ignore_value else key_from_text(values["value"]),
            lease=0 if keep else _whole(values["lease"] or "0", 16),
            ignore_lease=keep,
            prev_kv=_yes(values["prev"]),
        )
    start, end = _range(key, values["scope"])
    prefix = values["scope"].strip().lower() == "prefix"
    after = values["scope"].strip().lower() == "from"
    plain = prefix or after or not end
    if isinstance(item, Delete):
        return Delete(key, None if plain else end, prefix, after, prev_kv=_yes(values["prev"]))
    return replace(
        item,
        key=key,
        range_end=None if plain else end,
        prefix=prefix,
        from_key=after,
        limit=_whole(values["limit"] or "0"),
        revision=_whole(values["revision"] or "0"),
    )


def problem(item: Compare | Put | Get | Delete, values: Mapping[str, str]) -> str:
    """Why the fields say nothing; empty when they do."""
    try:
        filled(item, values)
    except ValueError as error:
        return str(error)
    return ""


def _key_blanks(key: bytes, scope: str) -> list[Blank]:
    return [
        Blank("key", "Key (\\xNN for odd bytes)", key_to_text(key)),
        Blank("scope", "Of it: key, prefix, from (it on), or the key where a range ends", scope),
    ]


def _scope_of(start: bytes, end: bytes) -> str:
    if not end:
        return "key"
    if end == b"\0":
        return "from"
    if key_range(start, prefix=True) == (start, end):
        return "prefix"
    return key_to_text(end)


def _range(key: bytes, scope: str) -> tuple[bytes, bytes]:
    word = scope.strip().lower()
    if word in ("", "key"):
        return key, b""
    if word == "prefix":
        return key_range(key, prefix=True)
    if word == "from":
        return key_range(key, from_key=True)
    end = key_from_text(scope)
    if end <= key:
        raise ValueError(f"a range ends behind its first key, and {scope!r} is not behind it")
    return key, end


def _one_of(name: str, label: str, choices: Sequence[str], value: str) -> Blank:
    told = ", ".join(choices)
    return Blank(
        name,
        f"{label}: {told}",
        value,
        lambda text: "" if text.strip().lower() in choices else f"one of {told}",
    )


def _chosen(choices: Sequence[C], text: str) -> C:
    for choice in choices:
        if choice == text.strip().lower():
            return choice
    raise ValueError(f"{text.strip()!r} is none of {', '.join(choices)}")


def _yes_no(name: str, label: str, value: bool) -> Blank:
    return Blank(
        name,
        f"{label}: yes or no",
        "yes" if value else "no",
        lambda text: "" if text.strip().lower() in ("yes", "no", "y", "n", "") else "yes or no",
    )


def _yes(text: str) -> bool:
    return text.strip().lower() in ("yes", "y")


def _lease_text(item: Put) -> str:
    return "keep" if item.ignore_lease else f"{item.lease:x}"


def _lease(text: str) -> str:
    if text.strip().lower() in ("", "keep"):
        return ""
    try:
        _whole(text, 16)
    except ValueError as error:
        return str(error)
    return ""


def _needed(text: str) -> str:
    return "" if text else "a key, please"


def _number(text: str) -> str:
    return "" if text.strip().isdigit() or not text.strip() else "a whole number"


def _whole(text: str, base: int = 10) -> int:
    try:
        return int(text.strip(), base)
    except ValueError:
        kind = "hexadecimal number" if base == 16 else "whole number"
        raise ValueError(f"{text.strip()!r} is no {kind}") from None


# --- the text beside it ---------------------------------------------------------------------------


def text_of(txn: Txn) -> tuple[str, str]:
    """etcdctl's text of a transaction, and why there is none, where there is none."""
    if txn == Txn():
        return "", ""
    try:
        return render(txn).rstrip("\n") + "\n", ""
    except TxnTextError as error:
        return "", str(error)


def read_text(text: str) -> tuple[Txn | None, str]:
    """The transaction that a text says, or what is wrong with it."""
    if not text.strip():
        return Txn(), ""
    try:
        return parse(text.rstrip()), ""
    except TxnTextError as error:
        return None, str(error)

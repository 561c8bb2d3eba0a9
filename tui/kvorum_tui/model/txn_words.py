"""What a transaction would do, and what it did, in lines to read; and the commands that do the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvorum.client.ops import Delete, Get, Op, Put, Txn
from kvorum.client.types import (
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
    key_range,
    to_bytes,
)

from kvorum_tui.model.decode import one_line, printable
from kvorum_tui.model.txn_form import text_of, words
from kvorum_tui.model.txn_light import Verdict
from kvorum_tui.session.txns import Spot

Lines = list[list[tuple[str, str]]]
KEYS_SHOWN = 5
VALUE_SHOWN = 60
RESULT_KEYS = 50


def command(program: str, txn: Txn) -> str:
    """``etcdctl txn`` or ``kvorum txn`` with the text; empty when it has none."""
    text, why = text_of(txn)
    if why:
        return ""
    end = "EOF"
    while end in text.split("\n"):
        end += "F"
    return f"{program} txn <<'{end}'\n{text}\n{end}"


def light_words(verdicts: Sequence[Verdict], count: int) -> tuple[str, str]:
    """The light: its words and its ink."""
    if not count:
        return "● Then runs always: there is no condition", "good"
    wrong = [verdict for verdict in verdicts if not verdict.holds]
    if wrong:
        first = wrong[0]
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return (
            f"✗ WOULD FAIL NOW, Else runs: {words(first.compare)}, is {first.actual}{more}",
            "bad",
        )
    if not all(verdict.sure for verdict in verdicts):
        return "? as far as was looked, all conditions hold: a range has more keys", "warn"
    return f"● WOULD SUCCEED NOW: {'the condition holds' if count == 1 else 'all hold'}", "good"


def written(txn: Txn) -> list[tuple[bytes, bytes]]:
    """What it may write or delete, in either branch and in nested ones: keys and ends of ranges."""
    found: dict[tuple[bytes, bytes], None] = {}
    for op in (*txn.then, *txn.else_):
        if isinstance(op, Txn):
            found.update(dict.fromkeys(written(op)))
        elif isinstance(op, Put):
            found[to_bytes(op.key), b""] = None
        elif isinstance(op, Delete):
            found[_range(op)] = None
    return list(found)


def _range(op: Get | Delete) -> tuple[bytes, bytes]:
    return key_range(op.key, op.range_end, prefix=op.prefix, from_key=op.from_key)


def deletions(ops: Sequence[Op], spots: Mapping[tuple[bytes, bytes], Spot]) -> int:
    """How many keys would go, as far as one can say before."""
    total = 0
    for op in ops:
        if isinstance(op, Delete):
            spot = spots.get(_range(op))
            total += spot.count if spot is not None else 0
        elif isinstance(op, Txn):
            total += max(deletions(op.then, spots), deletions(op.else_, spots))
    return total


def preview(
    ops: Sequence[Op], spots: Mapping[tuple[bytes, bytes], Spot], indent: str = "  "
) -> Lines:
    """What operations would do to what is there now."""
    lines: Lines = []
    for op in ops:
        lines.append([(indent + words(op), "text")])
        if isinstance(op, Put):
            spot = spots.get((to_bytes(op.key), b""))
            lines.append([(f"{indent}  {_before(spot)}", "dim")])
        elif isinstance(op, Delete):
            lines += _deleted(spots.get(_range(op)), indent)
        elif isinstance(op, Txn):
            for name, part in (("then", op.then), ("else", op.else_)):
                if part:
                    lines.append([(f"{indent}  {name}:", "dim")])
                    lines += preview(part, spots, indent + "    ")
    return lines


def _before(spot: Spot | None) -> str:
    if spot is None:
        return "what is there now is not known"
    if not spot.records:
        return "a new key"
    record = spot.records[0]
    return f'replaces version {record.version:,}: "{one_line(record.value, VALUE_SHOWN)}"'


def _deleted(spot: Spot | None, indent: str) -> Lines:
    if spot is None:
        return [[(f"{indent}  what is there now is not known", "dim")]]
    if not spot.count:
        return [[(f"{indent}  there is no such key now", "dim")]]
    lines: Lines = [
        [(f"{indent}  {spot.count:,} {'key goes' if spot.count == 1 else 'keys go'}:", "warn")]
    ]
    for record in spot.records[:KEYS_SHOWN]:
        lines.append([(f"{indent}    {printable(record.key)}", "dim")])
    if spot.count > KEYS_SHOWN:
        lines.append([(f"{indent}    … and {spot.count - KEYS_SHOWN:,} more", "dim")])
    return lines


def result_lines(txn: Txn, result: TxnResult, indent: str = "") -> Lines:
    """What came of it, an operation a paragraph."""
    branch, ops = ("Then", txn.then) if result.succeeded else ("Else", txn.else_)
    mark, ink = ("●", "good") if result.succeeded else ("✗", "bad")
    held = "the conditions held" if result.succeeded else "the conditions did not hold"
    if not indent:
        word = "succeeded" if result.succeeded else "failed"
        held = f"{word} at revision {result.header.revision:,}"
    lines: Lines = [[(f"{indent}{mark} {held}: {branch} ran", ink)]]
    if not ops:
        lines.append([(f"{indent}  there was nothing to do", "dim")])
    for op, response in zip(ops, result.responses, strict=True):
        lines.append([(f"{indent}  {words(op)}", "text")])
        lines += _response(op, response, indent + "    ")
    return lines


def _response(
    op: Op, response: RangeResult | PutResult | DeleteResult | TxnResult, indent: str
) -> Lines:
    if isinstance(response, TxnResult):
        assert isinstance(op, Txn), "responses are in the order of the operations"
        return result_lines(op, response, indent)
    if isinstance(response, PutResult):
        lines: Lines = [[(indent + "written", "good")]]
        return lines + ([_kv(response.prev_kv, indent + "was ")] if response.prev_kv else [])
    if isinstance(response, DeleteResult):
        count = response.deleted
        told = (
            "nothing was there"
            if not count
            else f"{count:,} {'key' if count == 1 else 'keys'} deleted"
        )
        return [
            [(indent + told, "good" if count else "dim")],
            *_kvs(response.prev_kvs, indent + "was "),
        ]
    shown = _kvs(response.kvs, indent)
    if response.count > len(response.kvs):
        shown.append([(f"{indent}{response.count:,} keys in all", "dim")])
    return shown or [[(indent + "no such key", "dim")]]


def _kvs(found: Sequence[KeyValue], indent: str) -> Lines:
    lines = [_kv(kv, indent) for kv in found[:RESULT_KEYS]]
    if len(found) > RESULT_KEYS:
        lines.append([(f"{indent}… and {len(found) - RESULT_KEYS:,} more", "dim")])
    return lines


def _kv(kv: KeyValue, indent: str) -> list[tuple[str, str]]:
    return [
        (indent + printable(kv.key), "primary"),
        (f' = "{one_line(kv.value, VALUE_SHOWN)}"', "text"),
        (f"  version {kv.version:,}, revision {kv.mod_revision:,}", "dim"),
        (f", lease {kv.lease:x}" if kv.lease else "", "dim"),
    ]

"""The lines of a run's history: JSON, one object a line, `{"<kind>": {...}}`.

The format is stable: a name that is here keeps its meaning, a reader refuses names that it does not
know, and fields at their default are not written. Bytes are strings where they are UTF-8, and
``{"base64": "..."}`` where they are not. A key-value is a list of key, value, create revision, mod
revision, version and lease, cut after the last number that is not zero.

Reading and writing files is for others: this module turns a line into a value and back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from kvorum.check import records as r
from kvorum.check.fields import BYTES, FLAG, INT, KV, TEXT, Kinds, Wrong, choice, many, shape

FORMAT = 1


class LineError(ValueError):
    """A line that is not one of ours; says which line, which field and what is wrong."""

    def __init__(self, line: int, field: str, problem: str) -> None:
        super().__init__(f"line {line}: {field}: {problem}" if field else f"line {line}: {problem}")
        self.line = line
        self.field = field
        self.problem = problem


_REQUESTS, _ANSWERS, _LINES = Kinds(), Kinds(), Kinds()
_REQUEST, _ANSWER = _REQUESTS.codec, _ANSWERS.codec
_EVENT = shape(r.Event, kind=choice(r.PUT, r.DELETE), kv=KV, prev=KV)
_COMPARE = shape(
    r.Compare,
    target=choice("VERSION", "CREATE", "MOD", "VALUE", "LEASE"),
    relation=choice("EQUAL", "GREATER", "LESS", "NOT_EQUAL"),
    key=BYTES,
    end=BYTES,
    number=INT,
    value=BYTES,
)

_REQUESTS.add(
    "range",
    r.Range,
    key=BYTES,
    end=BYTES,
    revision=INT,
    limit=INT,
    serializable=FLAG,
    keys_only=FLAG,
    count_only=FLAG,
)
_REQUESTS.add(
    "put",
    r.Put,
    key=BYTES,
    value=BYTES,
    lease=INT,
    prev_kv=FLAG,
    ignore_value=FLAG,
    ignore_lease=FLAG,
)
_REQUESTS.add("delete", r.Delete, key=BYTES, end=BYTES, prev_kv=FLAG)
_REQUESTS.add("txn", r.Txn, compare=many(_COMPARE), success=many(_REQUEST), failure=many(_REQUEST))
_REQUESTS.add("compact", r.Compact, revision=INT)
_REQUESTS.add("grant", r.Grant, ttl_s=INT, lease=INT)
_REQUESTS.add("revoke", r.Revoke, lease=INT)
_REQUESTS.add("renew", r.Renew, lease=INT)
_REQUESTS.add("time_left", r.TimeLeft, lease=INT)
_REQUESTS.add("other", r.Other, name=TEXT)

_ANSWERS.add("range", r.RangeAnswer, kvs=many(KV), total=INT, more=FLAG)
_ANSWERS.add("put", r.PutAnswer, prev=KV)
_ANSWERS.add("delete", r.DeleteAnswer, deleted=INT, prevs=many(KV))
_ANSWERS.add("txn", r.TxnAnswer, succeeded=FLAG, answers=many(_ANSWER))
_ANSWERS.add("lease", r.LeaseAnswer, ttl_s=INT, granted_s=INT, lease=INT)
_ANSWERS.add("done", r.Done)

_LINES.add(
    "run",
    r.Run,
    name=TEXT,
    stage=TEXT,
    seed=INT,
    closed=FLAG,
    clock_rate_percent=INT,
    expiry_slack_ms=INT,
    members=many(TEXT),
)
_LINES.add("state", r.State, revision=INT, kvs=many(KV))
_LINES.add(
    "op",
    r.Operation,
    id=INT,
    client=INT,
    called=INT,
    request=_REQUEST,
    returned=INT,
    answer=_ANSWER,
    revision=INT,
    term=INT,
    member=TEXT,
    error=TEXT,
    unknown=FLAG,
)
_LINES.add(
    "watch",
    r.Watch,
    id=INT,
    client=INT,
    called=INT,
    key=BYTES,
    end=BYTES,
    start=INT,
    member=TEXT,
    prev_kv=FLAG,
    no_put=FLAG,
    no_delete=FLAG,
)
_LINES.add(
    "seen",
    r.Seen,
    watch=INT,
    at=INT,
    revision=INT,
    events=many(_EVENT),
    created=FLAG,
    canceled=FLAG,
    progress=FLAG,
    fragment=FLAG,
    compact_revision=INT,
)
_LINES.add("expiry", r.Expiry, lease=INT, at=INT, member=TEXT)
_LINES.add(
    "hold",
    r.Hold,
    lock=BYTES,
    client=INT,
    asked=INT,
    since=INT,
    until=INT,
    revision=INT,
    lease=INT,
)
_LINES.add("fault", r.Fault, kind=TEXT, at=INT, until=INT, target=TEXT, detail=TEXT)
_LINES.add("dump", r.Dump, member=TEXT, first=INT, last=INT)
_LINES.add("applied", r.Applied, member=TEXT, revision=INT, events=many(_EVENT))
_LINES.add("digest", r.Digest, member=TEXT, revision=INT, value=INT, compact_revision=INT)
_LINES.add("quiet", r.Quiet, at=INT, revision=INT)


def encode_line(line: r.Line) -> str:
    """One line, without its end."""
    value = _LINES.write(line)
    if type(line) is r.Run:
        value["run"] = {"format": FORMAT, **value["run"]}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode_line(text: str, number: int = 1) -> r.Line:
    """The value of a line; ``number`` is its number in the file, for the error.

    Raises:
        LineError: it is not JSON, not an object of a known kind, or a field is wrong.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise LineError(number, "", f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise LineError(number, "", "not JSON: nested too deeply") from error
    if type(value) is dict and type(value.get("run")) is dict:
        found = value["run"].pop("format", None)
        if found != FORMAT:
            raise LineError(number, "run.format", f"must be {FORMAT}, not {found!r}")
    try:
        line: r.Line = _LINES.read(value)
    except Wrong as wrong:
        raise LineError(number, wrong.path, wrong.problem) from None
    _sensible(line, number)
    return line


def _sensible(line: r.Line, number: int) -> None:
    """What the types alone do not say."""
    if isinstance(line, r.Operation):
        if line.answer is not None and (line.error or line.unknown):
            raise LineError(number, "op", "has both an answer and an error")
        if line.returned < line.called and not line.unknown:
            raise LineError(number, "op.returned", "is before it was called")
        if line.answer is not None and type(line.answer) is not _ANSWERED_BY[type(line.request)]:
            raise LineError(number, "op.answer", "is not an answer to this kind of request")
    elif isinstance(line, r.Hold) and (
        line.since < line.asked or r.NEVER != line.until < line.since
    ):
        raise LineError(number, "hold", "asked, since and until must follow one another")


_ANSWERED_BY: dict[type, type] = {
    r.Range: r.RangeAnswer,
    r.Put: r.PutAnswer,
    r.Delete: r.DeleteAnswer,
    r.Txn: r.TxnAnswer,
    r.Compact: r.Done,
    r.Grant: r.LeaseAnswer,
    r.Revoke: r.Done,
    r.Renew: r.LeaseAnswer,
    r.TimeLeft: r.LeaseAnswer,
    r.Other: r.Done,
}


def read_history(lines: Iterable[str]) -> r.History:
    """A whole history from its lines.

    Raises:
        LineError: a line is wrong; the first is not a run's head, or there is a second head; an id
        comes twice; a message is for a watch that was not asked for.
    """
    history = r.History()
    operations: set[int] = set()
    watches: set[int] = set()
    number = 0
    for number, line in _decoded(lines):
        if (type(line) is r.Run) != (number == 1):
            problem = "only the first line, and that one always, is the run's head"
            raise LineError(number, "run", problem)
        if isinstance(line, r.Operation):
            _new(operations, line.id, number, "op.id")
        elif isinstance(line, r.Watch):
            _new(watches, line.id, number, "watch.id")
        elif isinstance(line, r.Seen) and line.watch not in watches:
            raise LineError(number, "seen.watch", f"no watch {line.watch} stands above")
        history.add(line)
    if not number:
        raise LineError(1, "run", "the history is empty")
    return history


def _decoded(lines: Iterable[str]) -> Iterator[tuple[int, r.Line]]:
    for number, text in enumerate(lines, 1):
        yield number, decode_line(text, number)


def _new(known: set[int], number: int, line: int, field: str) -> None:
    if number in known:
        raise LineError(line, field, f"{number} stands above already")
    known.add(number)

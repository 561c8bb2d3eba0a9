"""The lines of a run's history: JSON, one object a line, `{"<kind>": {...}}`.

The format is stable: a name that is here keeps its meaning, a reader refuses names that it does not
know, and fields at their default are not written. Bytes are strings where they are UTF-8, and
``{"base64": "..."}`` where they are not. A key-value is a list of key, value, create revision, mod
revision, version and lease, cut after the last number that is not zero.

Reading and writing files is for others: this module turns a line into a value and back.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from kvorum.check import records as r

FORMAT = 1


class LineError(ValueError):
    """A line that is not one of ours; says which line, which field and what is wrong."""

    def __init__(self, line: int, field: str, problem: str) -> None:
        super().__init__(f"line {line}: {field}: {problem}" if field else f"line {line}: {problem}")
        self.line = line
        self.field = field
        self.problem = problem


class _Wrong(Exception):
    """A field's value is wrong; the path to it is put together on the way out."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def below(self, name: str) -> _Wrong:
        """The same, seen from one level above."""
        join = "" if not self.path or self.path.startswith("[") else "."
        return _Wrong(self.problem, f"{name}{join}{self.path}")


Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]
Codec = tuple[Reader, Writer]


def _same(value: Any) -> Any:
    return value


def _read_int(value: Any) -> int:
    if type(value) is not int:
        raise _Wrong(f"must be a whole number, not {_kind(value)}")
    return value


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong(f"must be true or false, not {_kind(value)}")
    return value


def _read_text(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong(f"must be a string, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a flag", int: "a number"}
    return "null" if value is None else names.get(type(value), "a fraction")


def _read_bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise _Wrong("half a surrogate pair is no text") from error
    if type(value) is dict and list(value) == ["base64"] and type(value["base64"]) is str:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise _Wrong("is not base64", "base64") from error
    raise _Wrong(f'must be a string or {{"base64": "..."}}, not {_kind(value)}')


def _write_bytes(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _read_kv(value: Any) -> r.Kv:
    if type(value) is not list or not 1 <= len(value) <= 6:
        raise _Wrong("must be a list of key, value, create, mod, version, lease")
    parts: list[Any] = []
    for at, part in enumerate(value):
        try:
            parts.append(_read_bytes(part) if at < 2 else _read_int(part))
        except _Wrong as wrong:
            raise wrong.below(f"[{at}]") from None
    return r.Kv(*parts)


def _write_kv(kv: r.Kv) -> list[Any]:
    parts: list[Any] = [_write_bytes(kv.key), _write_bytes(kv.value), *kv[2:]]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _many(codec: Codec) -> Codec:
    read, write = codec

    def read_all(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _Wrong(f"must be a list, not {_kind(value)}")
        found = []
        for at, part in enumerate(value):
            try:
                found.append(read(part))
            except _Wrong as wrong:
                raise wrong.below(f"[{at}]") from None
        return tuple(found)

    return read_all, lambda value: [write(part) for part in value]


def _object(make: Any, codecs: dict[str, Codec]) -> Codec:
    """An object whose fields are a named tuple's, in the tuple's order."""
    defaults: dict[str, Any] = make._field_defaults
    needed = [name for name in codecs if name not in defaults]
    writers = [(name, codec[1], defaults.get(name, _same)) for name, codec in codecs.items()]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Wrong(f"must be an object, not {_kind(value)}")
        fields = {}
        for name, part in value.items():
            codec = codecs.get(name)
            if codec is None:
                raise _Wrong("no such field", name)
            try:
                fields[name] = codec[0](part)
            except _Wrong as wrong:
                raise wrong.below(name) from None
        for name in needed:
            if name not in fields:
                raise _Wrong("is missing", name)
        return make(**fields)

    def write(value: Any) -> dict[str, Any]:
        out = {}
        for (name, writer, default), part in zip(writers, value, strict=True):
            if part != default or type(part) is not type(default):
                out[name] = writer(part)
        return out

    return read, write


class _Kinds:
    """One of several objects, under its kind's name. Filled after it is made, because transactions
    hold requests, and their answers answers."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._writers: dict[type, tuple[str, Writer]] = {}
        self.codec: Codec = (self.read, self.write)

    def add(self, name: str, made: Any, /, **codecs: Codec) -> None:
        """A kind: its name, its tuple, and a codec for each of the tuple's fields."""
        read, write = _shape(made, **codecs)
        self._readers[name] = read
        self._writers[made] = (name, write)

    def read(self, value: Any) -> Any:
        """The value of an object of one kind."""
        if type(value) is not dict or len(value) != 1:
            raise _Wrong("must be an object with one kind as its only field")
        ((name, inner),) = value.items()
        reader = self._readers.get(name)
        if reader is None:
            raise _Wrong(f"no such kind; there are {', '.join(self._readers)}", name)
        try:
            return reader(inner)
        except _Wrong as wrong:
            raise wrong.below(name) from None

    def write(self, value: Any) -> dict[str, Any]:
        """The object of a value."""
        name, writer = self._writers[type(value)]
        return {name: writer(value)}


_INT: Codec = (_read_int, _same)
_FLAG: Codec = (_read_flag, _same)
_TEXT: Codec = (_read_text, _same)
_BYTES: Codec = (_read_bytes, _write_bytes)
_KV: Codec = (_read_kv, _write_kv)


def _choice(*words: str) -> Codec:
    def read(value: Any) -> str:
        if value not in words:
            raise _Wrong(f"must be one of {', '.join(words)}")
        return cast("str", value)

    return read, _same


def _shape(made: Any, /, **codecs: Codec) -> Codec:
    assert tuple(codecs) == made._fields, made
    return _object(made, codecs)


_REQUESTS, _ANSWERS, _LINES = _Kinds(), _Kinds(), _Kinds()
_REQUEST, _ANSWER = _REQUESTS.codec, _ANSWERS.codec
_EVENT = _shape(r.Event, kind=_choice(r.PUT, r.DELETE), kv=_KV, prev=_KV)
_COMPARE = _shape(
    r.Compare,
    target=_choice("VERSION", "CREATE", "MOD", "VALUE", "LEASE"),
    relation=_choice("EQUAL", "GREATER", "LESS", "NOT_EQUAL"),
    key=_BYTES,
    end=_BYTES,
    number=_INT,
    value=_BYTES,
)

_REQUESTS.add(
    "range",
    r.Range,
    key=_BYTES,
    end=_BYTES,
    revision=_INT,
    limit=_INT,
    serializable=_FLAG,
    keys_only=_FLAG,
    count_only=_FLAG,
)
_REQUESTS.add(
    "put",
    r.Put,
    key=_BYTES,
    value=_BYTES,
    lease=_INT,
    prev_kv=_FLAG,
    ignore_value=_FLAG,
    ignore_lease=_FLAG,
)
_REQUESTS.add("delete", r.Delete, key=_BYTES, end=_BYTES, prev_kv=_FLAG)
_REQUESTS.add(
    "txn", r.Txn, compare=_many(_COMPARE), success=_many(_REQUEST), failure=_many(_REQUEST)
)
_REQUESTS.add("compact", r.Compact, revision=_INT)
_REQUESTS.add("grant", r.Grant, ttl_s=_INT, lease=_INT)
_REQUESTS.add("revoke", r.Revoke, lease=_INT)
_REQUESTS.add("renew", r.Renew, lease=_INT)
_REQUESTS.add("time_left", r.TimeLeft, lease=_INT)
_REQUESTS.add("other", r.Other, name=_TEXT)

_ANSWERS.add("range", r.RangeAnswer, kvs=_many(_KV), total=_INT, more=_FLAG)
_ANSWERS.add("put", r.PutAnswer, prev=_KV)
_ANSWERS.add("delete", r.DeleteAnswer, deleted=_INT, prevs=_many(_KV))
_ANSWERS.add("txn", r.TxnAnswer, succeeded=_FLAG, answers=_many(_ANSWER))
_ANSWERS.add("lease", r.LeaseAnswer, ttl_s=_INT, granted_s=_INT, lease=_INT)
_ANSWERS.add("done", r.Done)

_LINES.add(
    "run",
    r.Run,
    name=_TEXT,
    stage=_TEXT,
    seed=_INT,
    closed=_FLAG,
    clock_rate_percent=_INT,
    expiry_slack_ms=_INT,
    members=_many(_TEXT),
)
_LINES.add("state", r.State, revision=_INT, kvs=_many(_KV))
_LINES.add(
    "op",
    r.Operation,
    id=_INT,
    client=_INT,
    called=_INT,
    request=_REQUEST,
    returned=_INT,
    answer=_ANSWER,
    revision=_INT,
    term=_INT,
    member=_TEXT,
    error=_TEXT,
    unknown=_FLAG,
)
_LINES.add(
    "watch",
    r.Watch,
    id=_INT,
    client=_INT,
    called=_INT,
    key=_BYTES,
    end=_BYTES,
    start=_INT,
    member=_TEXT,
    prev_kv=_FLAG,
    no_put=_FLAG,
    no_delete=_FLAG,
)
_LINES.add(
    "seen",
    r.Seen,
    watch=_INT,
    at=_INT,
    revision=_INT,
    events=_many(_EVENT),
    created=_FLAG,
    canceled=_FLAG,
    progress=_FLAG,
    fragment=_FLAG,
    compact_revision=_INT,
)
_LINES.add("expiry", r.Expiry, lease=_INT, at=_INT, member=_TEXT)
_LINES.add(
    "hold",
    r.Hold,
    lock=_BYTES,
    client=_INT,
    asked=_INT,
    since=_INT,
    until=_INT,
    revision=_INT,
    lease=_INT,
)
_LINES.add("fault", r.Fault, kind=_TEXT, at=_INT, until=_INT, target=_TEXT, detail=_TEXT)
_LINES.add("dump", r.Dump, member=_TEXT, first=_INT, last=_INT)
_LINES.add("applied", r.Applied, member=_TEXT, revision=_INT, events=_many(_EVENT))
_LINES.add("digest", r.Digest, member=_TEXT, revision=_INT, value=_INT, compact_revision=_INT)
_LINES.add("quiet", r.Quiet, at=_INT, revision=_INT)


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
    except _Wrong as wrong:
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

"""What a text is written in: its colours line by line, and where it is wrong."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass

import yaml

from kvorum_tui.model.decode import config_tokens, json_tokens

KINDS = ("text", "json", "yaml", "toml", "sql")
_SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sql": "sql"}

_SQL_WORDS = (
    "select|from|where|and|or|not|in|is|null|like|between|join|left|right|inner|outer|full|cross|on"
    "|using|group|by|order|having|limit|offset|union|all|distinct|as|with|recursive|insert|into"
    "|values|update|set|delete|create|table|view|index|drop|alter|add|primary|key|default|case|when"
    "|then|else|end|cast|true|false|asc|desc|exists|over|partition|window|returning"
)
_SQL_TOKEN = re.compile(
    r"(?P<punct>--.*|[(),;])|(?P<string>'(?:[^']|'')*')|(?P<key>\"(?:[^\"]|\"\")*\")"
    r"|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<word>\b(?:" + _SQL_WORDS + r")\b)",
    re.IGNORECASE,
)
_TOML_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)|\s*\(at end of document\)")


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a text is wrong, counted from 1, and how."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"


def kind_of_name(key: bytes) -> str:
    """What the name of a key says its value is written in; text when it says nothing."""
    name = key.rpartition(b"/")[2].lower()
    return next((kind for end, kind in _SUFFIXES.items() if name.endswith(end.encode())), "text")


def tokens(kind: str, line: str) -> list[tuple[int, int, str]]:
    """Spans (start, end, colour) of one line."""
    if kind == "json":
        return json_tokens(line)
    if kind in ("yaml", "toml"):
        return config_tokens(line)
    if kind == "sql":
        return [(m.start(), m.end(), m.lastgroup or "") for m in _SQL_TOKEN.finditer(line)]
    return []


def fault_of(kind: str, text: str) -> Fault | None:
    """The first mistake of a text, or None."""
    check = {"json": _json, "yaml": _yaml, "toml": _toml, "sql": _sql}.get(kind)
    return None if check is None else check(text)


def _json(text: str) -> Fault | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return Fault(error.lineno, error.colno, error.msg)
    except RecursionError:
        return Fault(1, 1, "nested too deeply")
    return None


def _yaml(text: str) -> Fault | None:
    try:
        for _ in yaml.compose_all(text, Loader=yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        return Fault(line, column, error.problem or error.context or "no YAML")
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        return Fault(before.count("\n") + 1, column, error.reason)
    except RecursionError:
        return Fault(1, 1, "nested too deeply")
    return None


def _toml(text: str) -> Fault | None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        words = _TOML_PLACE.sub("", str(error))
        if found is not None and found[1]:
            return Fault(int(found[1]), int(found[2]), words)
        lines = text.split("\n")
        return Fault(len(lines), len(lines[-1]) + 1, words)
    except RecursionError:
        return Fault(1, 1, "nested too deeply")
    return None


def _sql(text: str) -> Fault | None:
    """Quotes and brackets that are not closed; what the words mean, only a database knows."""
    opened: list[tuple[str, int]] = []
    pairs = {")": "(", "]": "[", "}": "{"}
    at = 0
    while at < len(text):
        c = text[at]
        if text.startswith("--", at):
            at = _next(text, "\n", at)
            continue
        if text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0:
                return _at(text, at, "a comment that does not end")
            at = end + 2
            continue
        if c in "'\"":
            end = text.find(c, at + 1)
            if end < 0:
                return _at(text, at, "a quotation that does not end")
            at = end + 1
            continue
        if c in "([{":
            opened.append((c, at))
        elif c in pairs and (not opened or opened.pop()[0] != pairs[c]):
            return _at(text, at, f"{c} without {pairs[c]}")
        at += 1
    return _at(text, opened[-1][1], f"{opened[-1][0]} is never closed") if opened else None


def _next(text: str, what: str, at: int) -> int:
    end = text.find(what, at)
    return len(text) if end < 0 else end


def _at(text: str, at: int, words: str) -> Fault:
    before = text[:at]
    return Fault(before.count("\n") + 1, len(before) - before.rfind("\n"), words)

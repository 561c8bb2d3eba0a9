"""What a flag's text may be: the spellings of truth values, numbers, durations and URLs that Go
reads, refused in Go's words. Command line, variables and configuration file share them.
"""

from __future__ import annotations

import re

from kvorum.flagtable import Flag, Kind
from kvorum.urls import parse_urls

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_S = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


def parse_bool(text: str) -> bool:
    """A truth value in the spellings Go accepts; ValueError for any other."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"not a truth value: {text!r}")


def parse_duration_s(text: str) -> float:
    """A duration as Go writes them ("1h30m", "100ms", "0"), in seconds; ValueError when it is
    none."""
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return 0.0
    total, position = 0.0, 0
    for match in _DURATION_PART.finditer(body):
        if match.start() != position:
            break
        total += float(match.group(1)) * _UNIT_S[match.group(2)]
        position = match.end()
    if not body or position != len(body):
        raise ValueError(f'invalid duration "{text}"')
    return -total if text.startswith("-") else total


def check_value(flag: Flag, text: str) -> None:
    """ValueError, in Go's words, when the text cannot be the flag's value."""
    try:
        if flag.kind is Kind.BOOL:
            parse_bool(text)
        elif flag.kind is Kind.UINT:
            if int(text, 0) < 0:
                raise ValueError
        elif flag.kind is Kind.INT:
            int(text, 0)
        elif flag.kind is Kind.DURATION:
            parse_duration_s(text)
    except ValueError:
        raise ValueError("parse error") from None
    if flag.kind is Kind.URLS and text:
        parse_urls(text)
    if flag.choices and text not in flag.choices:
        raise ValueError("invalid value")

"""Bytes made readable: what screens need of ``text`` and ``decoders``, under one name."""

from __future__ import annotations

from kvorum_tui.model.decoders import MAX_VIEW_BYTES, Decoded, decode
from kvorum_tui.model.text import (
    as_json,
    changed_part,
    config_tokens,
    hex_lines,
    is_json,
    json_tokens,
    key_from_text,
    key_to_text,
    one_line,
    pretty_json,
    printable,
    safe_text,
)

__all__ = [
    "MAX_VIEW_BYTES",
    "Decoded",
    "as_json",
    "changed_part",
    "config_tokens",
    "decode",
    "hex_lines",
    "is_json",
    "json_tokens",
    "key_from_text",
    "key_to_text",
    "one_line",
    "pretty_json",
    "printable",
    "safe_text",
]

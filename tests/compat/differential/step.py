"""One request of a script, as data."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, NamedTuple

GRPC, JSON, CAMEL = "grpc", "json", "camel"

ALIASES = 7_000_000_000_000_000
"""Numbers from here on stand for ids that a server chose, each server its own."""

SELF = ALIASES
"""Stands for the id of the member that answers."""


class Step(NamedTuple):
    """One request to both sides.

    ``kind`` is ``Service/Method`` (of etcdserverpb unless a package is named), or one of ``sync``
    (compare what the watch streams have brought), ``Watch/close`` and ``raw`` (bytes that may be
    no message). ``request`` has the message's fields under their names in the protos. ``via`` is
    how it travels: gRPC, JSON with proto names and numbers, JSON in protobuf's own form. ``token``
    is what the caller shows: nothing, ``@label`` for the token that the Authenticate with that
    ``label`` brought, or a literal one. ``alias`` stands from now on for the id in the answer.
    """

    kind: str
    request: dict[str, Any]
    via: str = GRPC
    token: str = ""
    label: str = ""
    alias: int = 0


def written(steps: Iterable[Step]) -> str:
    """Steps as text, one a line."""
    return "".join(f"{tuple(step)!r}\n" for step in steps)


def read(text: str) -> list[Step]:
    """Steps from text; empty lines and lines that begin with # are left out."""
    lines = (line.strip() for line in text.splitlines())
    return [Step(*ast.literal_eval(line)) for line in lines if line and not line.startswith("#")]

"""The shape of one gRPC method, for the generated table in `services`.

A method names its message classes and imports them when they are first asked for, so that the table
itself costs nothing: a client of etcd's API never loads the peer protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import cast

from betterproto2 import Message


@dataclass(frozen=True)
class Method:
    """One method: full name of its service, its own, which sides stream, its messages."""

    service: str
    name: str
    client_streaming: bool
    server_streaming: bool
    request_path: str
    response_path: str

    @property
    def path(self) -> str:
        """What stands in the `:path` header."""
        return f"/{self.service}/{self.name}"

    @cached_property
    def request(self) -> type[Message]:
        """Class of the messages that go to the server."""
        return _load(self.request_path)

    @cached_property
    def response(self) -> type[Message]:
        """Class of the messages that come from the server."""
        return _load(self.response_path)


def _load(path: str) -> type[Message]:
    module, _, name = path.partition(":")
    return cast(type[Message], getattr(import_module(module), name))


def by_path(methods: Iterable[Method]) -> dict[str, Method]:
    """Full path -> method."""
    return {method.path: method for method in methods}


def by_service(methods: Iterable[Method]) -> dict[str, tuple[Method, ...]]:
    """Full service name -> its methods, in the order given."""
    table: dict[str, tuple[Method, ...]] = {}
    for method in methods:
        table[method.service] = (*table.get(method.service, ()), method)
    return table

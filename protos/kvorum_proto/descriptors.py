"""The schema as bytes, for a reflection service: encoded FileDescriptorProtos by file or by symbol.

The descriptors lie ready in `descriptors.binpb`, a FileDescriptorSet, so that answering needs no
protobuf runtime.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from .schema import FILES, SYMBOLS


@cache
def descriptor_set() -> bytes:
    """All of it: one encoded google.protobuf.FileDescriptorSet."""
    return files(__package__).joinpath("descriptors.binpb").read_bytes()


def file_descriptor(name: str) -> bytes:
    """One encoded google.protobuf.FileDescriptorProto.

    Raises KeyError when there is no file of that name.
    """
    offset, length, _ = FILES[name]
    return descriptor_set()[offset : offset + length]


def with_imports(name: str) -> list[bytes]:
    """The file and everything it imports, directly or not, each once, the file itself first.

    Raises KeyError when there is no file of that name.
    """
    order, waiting = [], [name]
    while waiting:
        current = waiting.pop(0)
        if current not in order:
            order.append(current)
            waiting += FILES[current][2]
    return [file_descriptor(each) for each in order]


def file_of(symbol: str) -> str:
    """Name of the file that declares a message, enum, service or method (all fully qualified).

    Raises KeyError when none does.
    """
    return SYMBOLS[symbol]

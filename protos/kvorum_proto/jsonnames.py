"""Names of fields outside Python: what the proto source says, and what JSON says.

etcd's JSON gateway speaks the proto names, irregular capitals and all (`ID`, `peerURLs`,
`remaining_TTL`), and accepts lower camel case as well.
"""

from __future__ import annotations

from functools import cache

from betterproto2 import Message

from .codegen import metadata
from .message_pool import default_message_pool
from .names import IRREGULAR


def full_name(cls: type[Message]) -> str:
    """A message class's fully qualified proto name, such as `etcdserverpb.RangeRequest`.

    Raises KeyError when the class is not a generated one.
    """
    return default_message_pool.type_to_url[cls].rpartition("/")[2]


@cache
def proto_names(cls: type[Message]) -> dict[str, str]:
    """Python field name -> proto field name, for all fields in order of their numbers."""
    odd = IRREGULAR.get(full_name(cls), {})
    return {name: odd.get(name, name) for name in metadata(cls).sorted_field_names}


def camel_name(proto_name: str) -> str:
    """The other name JSON allows for a field: underscores dropped, the letter after each raised."""
    first, *rest = proto_name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


@cache
def json_names(cls: type[Message]) -> dict[str, str]:
    """Every name that JSON input may use for a field -> its Python name."""
    names: dict[str, str] = {}
    for python, proto in proto_names(cls).items():
        names[proto] = names[camel_name(proto)] = python
    return names

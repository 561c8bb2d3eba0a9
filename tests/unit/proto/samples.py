"""Random messages of every class, and their twins in google.protobuf.

The twins are dynamic classes made from the committed descriptors, so that nothing generated for
google.protobuf has to be kept. `AllKinds` adds the kinds of fields that no API of ours uses yet.
"""

from __future__ import annotations

import math
from dataclasses import make_dataclass
from importlib import import_module
from random import Random
from types import GenericAlias
from typing import Any, cast

import betterproto2
from betterproto2 import Message
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from kvorum_proto import descriptors
from kvorum_proto.codegen import PACKABLE, Field, fields_of
from kvorum_proto.message_pool import default_message_pool

PACKAGES = (
    "authpb",
    "etcdserverpb",
    "grpc.health.v1",
    "grpc.reflection.v1",
    "grpc.reflection.v1alpha",
    "kvorum.v1",
    "mvccpb",
    "v3electionpb",
    "v3lockpb",
)

BOUNDS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "sint32": (-(1 << 31), (1 << 31) - 1),
    "sfixed32": (-(1 << 31), (1 << 31) - 1),
    "enum": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "fixed32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "sint64": (-(1 << 63), (1 << 63) - 1),
    "sfixed64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
    "fixed64": (0, (1 << 64) - 1),
}


class Colour(betterproto2.Enum):
    """An enum for AllKinds."""

    RED = 0
    GREEN = 1
    VIOLET = 1000


SCALARS = (*PACKABLE, "string", "bytes")
_FULL = "kinds.AllKinds"


def _kinds() -> tuple[type[Message], DescriptorProto]:
    """AllKinds for betterproto2 and as a descriptor: each kind plain, optional, repeated and as a
    member of a oneof, a message in each way too, and maps."""
    fields: list[tuple[str, Any, Any]] = []
    descriptor = DescriptorProto(name="AllKinds")
    descriptor.oneof_decl.add(name="choice")

    def add(name: str, kind: str, hint: Any, **options: Any) -> FieldDescriptorProto:
        number = len(fields) + 1
        if kind == "enum" and not {"optional", "repeated", "group"} & options.keys():
            options["default_factory"] = lambda: Colour(0)
        fields.append((name, hint, betterproto2.field(number, kind, **options)))
        row = descriptor.field.add(name=name, number=number)
        row.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
        repeated = FieldDescriptorProto.LABEL_REPEATED
        row.label = repeated if "repeated" in options else FieldDescriptorProto.LABEL_OPTIONAL
        if kind == "enum":
            row.type_name = ".kinds.Colour"
        elif kind == "message":
            row.type_name = f".{_FULL}"
        if "group" in options:
            row.oneof_index = 0
        return row

    hints: dict[str, Any] = dict.fromkeys(PACKABLE, int) | {
        "bool": bool,
        "float": float,
        "double": float,
    }
    hints |= {"string": str, "bytes": bytes, "enum": Colour}
    for kind in SCALARS:
        add(f"plain_{kind}", kind, hints[kind])
        add(f"many_{kind}", kind, GenericAlias(list, hints[kind]), repeated=True)
        add(f"one_{kind}", kind, hints[kind] | None, group="choice", optional=True)
    for kind in SCALARS:
        row = add(f"maybe_{kind}", kind, hints[kind] | None, optional=True)
        row.proto3_optional, row.oneof_index = True, len(descriptor.oneof_decl)
        descriptor.oneof_decl.add(name=f"_maybe_{kind}")
    add("child", "message", "AllKinds | None", optional=True)
    add("children", "message", "list[AllKinds]", repeated=True)
    add("one_child", "message", "AllKinds | None", group="choice", optional=True)
    for value in ("int64", "bytes", "enum", "message"):
        _add_map(fields, descriptor, value, hints.get(value, "AllKinds"))
    cls = make_dataclass(
        "AllKinds",
        fields,
        bases=(Message,),
        eq=False,
        repr=False,
        namespace={"__module__": __name__},
    )
    return cls, descriptor


def _add_map(fields: list[Any], descriptor: DescriptorProto, kind: str, hint: Any) -> None:
    number, name = len(fields) + 1, f"by_{kind}"
    entry = descriptor.nested_type.add(name=f"By{kind.capitalize()}Entry")
    entry.options.map_entry = True
    label, types = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.Type.Value
    entry.field.add(name="key", number=1, label=label, type=types("TYPE_STRING"))
    value = entry.field.add(name="value", number=2, label=label, type=types(f"TYPE_{kind.upper()}"))
    if kind in ("enum", "message"):
        value.type_name = ".kinds.Colour" if kind == "enum" else f".{_FULL}"
    row = descriptor.field.add(name=name, number=number, type=types("TYPE_MESSAGE"))
    row.label, row.type_name = FieldDescriptorProto.LABEL_REPEATED, f".{_FULL}.{entry.name}"
    meta = betterproto2.map_meta("string", kind)
    annotation = f"dict[str, {hint}]" if isinstance(hint, str) else dict[str, hint]
    fields.append((name, annotation, betterproto2.field(number, "map", map_meta=meta)))


AllKinds, _DESCRIPTOR = _kinds()


def _twins() -> dict[str, Any]:
    """Full message name -> dynamic class of google.protobuf."""
    files = FileDescriptorSet.FromString(descriptors.descriptor_set()).file
    kinds = FileDescriptorProto(name="kinds.proto", package="kinds", syntax="proto3")
    kinds.message_type.append(_DESCRIPTOR)
    colour = kinds.enum_type.add(name="Colour")
    for member in Colour:
        colour.value.add(name=member.name, number=int(member))
    pool = descriptor_pool.DescriptorPool()
    for file in [*files, kinds]:
        pool.Add(file)
    names = [file.name for file in [*files, kinds]]
    return dict(message_factory.GetMessageClassesForFiles(names, pool))


TWINS = _twins()


def _classes() -> dict[str, type[Message]]:
    for package in PACKAGES:
        import_module(f"kvorum_proto.{package}")
    known = default_message_pool.url_to_type.items()
    ours = {url.rpartition("/")[2]: cls for url, cls in known}
    return {**{name: cls for name, cls in sorted(ours.items()) if name in TWINS}, _FULL: AllKinds}


CLASSES = _classes()
"""Full message name -> class, for every generated class and AllKinds."""


def twin_of(cls: type[Message]) -> Any:
    """The class's twin in google.protobuf."""
    return TWINS[next(name for name, each in CLASSES.items() if each is cls)]


def random_value(rng: Random, kind: str, cls: type, depth: int) -> Any:
    """A value of one kind, zero and the ends of the range often among them."""
    if kind == "message":
        return random_message(rng, cls, depth - 1)
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "string":
        return "".join(rng.choice("aZ09 /\0äß€漢😀") for _ in range(_size(rng)))
    if kind == "bytes":
        return rng.randbytes(_size(rng))
    if kind == "float":
        return rng.choice([0.0, 1.0, -2.5, math.inf, -math.inf, 2.0**-149])
    if kind == "double":
        return rng.choice([0.0, 0.1, -1e308, math.inf, -math.inf, 5e-324])
    low, high = BOUNDS[kind]
    if kind == "enum":
        members = list(cast(type[betterproto2.Enum], cls))
        return cls(rng.choice([*members, *members, rng.randint(0, 9), low, high]))
    near = [0, 1, 127, 128, 300, 16383, 16384, low, high, high >> 1, -1]
    value = rng.choice([*near, rng.randint(low, high), rng.randint(0, high) >> rng.randrange(64)])
    return value if low <= value <= high else 0


def _size(rng: Random) -> int:
    return rng.choice([0, 1, 2, 5, 20, 127, 128, 200])


def random_message(rng: Random, cls: type, depth: int = 3) -> Message:
    """A message with some of its fields set, at most `depth` levels deep; of a oneof one member."""
    values: dict[str, Any] = {}
    members: dict[str, list[Field]] = {}
    dense = rng.random()
    for field in fields_of(cls):
        if field.group:
            members.setdefault(field.group, []).append(field)
        elif rng.random() < dense:
            values |= _random_field(rng, field, depth)
    for rivals in members.values():
        if rng.random() < 0.8:
            values |= _random_field(rng, rng.choice(rivals), depth)
    message: Message = cls(**values)
    return message


def _random_field(rng: Random, field: Field, depth: int) -> dict[str, Any]:
    if field.kind == "map":
        _, value = fields_of(field.cls)
        if value.kind == "message" and depth <= 0:
            return {}
        keys = [f"key {number}" * (number % 2) for number in range(rng.randrange(3))]
        return {field.name: {k: random_value(rng, value.kind, value.cls, depth) for k in keys}}
    if field.kind == "message" and depth <= 0:
        return {}
    if field.repeated:
        count = rng.choice([0, 1, 2, 5] if field.kind != "message" else [1, 2])
        each = [random_value(rng, field.kind, field.cls, depth) for _ in range(count)]
        return {field.name: each}
    return {field.name: random_value(rng, field.kind, field.cls, depth)}

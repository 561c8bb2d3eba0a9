"""Forms around other bytes: gzip, base64, Kubernetes' envelope, protobuf without a schema."""

from __future__ import annotations

import gzip
import json
import zlib
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from kvorum_tui.model.decoders import wire
from kvorum_tui.model.decoders.form import INFLATED_MAX, Form, NotThis, Shown
from kvorum_tui.model.decoders.schema import Schema
from kvorum_tui.model.decoders.texts import BASE64_MIN, from_base64, to_base64

Inside = Callable[[bytes], tuple[str, Shown]]
Editing = Callable[[bytes], tuple[str, Callable[[str], bytes]]]
KUBERNETES = b"k8s\x00"
ENCRYPTED = b"k8s:enc:"


def inflated(data: bytes, limit: int = INFLATED_MAX) -> bytes:
    """What gzip packed; raises ValueError when it is none, breaks off, or is larger than
    ``limit``.
    """
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        out = machine.decompress(data, limit + 1)
    except zlib.error as error:
        raise NotThis(f"not gzip: {error}") from error
    if len(out) > limit:
        raise NotThis(f"more than {limit:,} bytes come out of it")
    if not machine.eof:
        raise NotThis("it breaks off")
    return out


class Around(Form):
    """A form with other bytes inside. ``inside`` and ``editing`` go on with those."""

    def __init__(self, inside: Inside, editing: Editing) -> None:
        self.inside = inside
        self.editing = editing

    @abstractmethod
    def unwrap(self, data: bytes) -> bytes:
        """The bytes inside. Raises ValueError."""

    @abstractmethod
    def wrap(self, data: bytes, like: bytes) -> bytes:
        """The reverse."""

    def show(self, data: bytes) -> Shown:
        """What is inside, in its own form."""
        name, shown = self.inside(self.unwrap(data))
        return Shown(shown.text, shown.syntax, (name, *shown.inner), shown.note)

    def text_to_edit(self, data: bytes) -> str:
        """The text of what is inside."""
        return self.editing(self.unwrap(data))[0]

    def encode(self, text: str, like: bytes) -> bytes:
        """What is inside, wrapped again."""
        return self.wrap(self.editing(self.unwrap(like))[1](text), like)


class Gzip(Around):
    """Packed by gzip."""

    name: ClassVar[str] = "gzip"
    about: ClassVar[str] = "unpacked, and what is inside in its own form"

    def unwrap(self, data: bytes) -> bytes:
        """Bounded."""
        if data[:2] != b"\x1f\x8b":
            raise NotThis("not gzip")
        return inflated(data)

    def wrap(self, data: bytes, like: bytes) -> bytes:
        """Without a time stamp, so that the same text gives the same bytes."""
        return gzip.compress(data, mtime=0)


class Base64(Around):
    """Bytes as text."""

    name: ClassVar[str] = "base64"
    about: ClassVar[str] = "the bytes it stands for, in their own form"

    def unwrap(self, data: bytes) -> bytes:
        """Either alphabet, with or without padding."""
        if len(data.strip()) < BASE64_MIN:
            raise NotThis(f"shorter than {BASE64_MIN} characters: it would be chance")
        return from_base64(data)

    def wrap(self, data: bytes, like: bytes) -> bytes:
        """In its own manner."""
        return to_base64(data, like)


class Proto(Form):
    """Any message, by numbers."""

    name: ClassVar[str] = "protobuf"
    about: ClassVar[str] = "fields by number, without a schema"

    def show(self, data: bytes) -> Shown:
        """A line a field."""
        if not wire.likely(data):
            raise NotThis("no protobuf message")
        note = "no schema: numbers for names, types are a guess"
        return Shown("\n".join(wire.lines(data)), "proto", (), note)


_TIME: tuple[str, dict[int, object]] = ("", {1: "seconds", 2: "nanos"})
_PAIR: dict[int, object] = {1: "key", 2: "value"}
_META: dict[int, object] = {
    1: "name",
    2: "generateName",
    3: "namespace",
    4: "selfLink",
    5: "uid",
    6: "resourceVersion",
    7: "generation",
    8: ("creationTimestamp", _TIME[1]),
    9: ("deletionTimestamp", _TIME[1]),
    10: "deletionGracePeriodSeconds",
    11: ("labels", _PAIR),
    12: ("annotations", _PAIR),
    13: (
        "ownerReferences",
        {1: "kind", 3: "name", 4: "uid", 5: "apiVersion", 6: "controller", 7: "blockOwnerDeletion"},
    ),
    14: "finalizers",
    17: "managedFields",
}
_PARTS: dict[str, dict[int, object]] = {
    "ConfigMap": {2: ("data", _PAIR), 3: ("binaryData", _PAIR), 4: "immutable"},
    "Secret": {2: ("data", _PAIR), 3: "type", 5: "immutable"},
    "Event": {2: "involvedObject", 3: "reason", 4: "message", 5: "source"},
    "Role": {2: "rules"},
    "ClusterRole": {2: "rules"},
    "RoleBinding": {2: "subjects", 3: "roleRef"},
    "ClusterRoleBinding": {2: "subjects", 3: "roleRef"},
    "ServiceAccount": {2: "secrets", 3: "imagePullSecrets"},
    "EndpointSlice": {2: "endpoints", 3: "ports", 4: "addressType"},
    "Endpoints": {2: "subsets"},
}


class Kubernetes(Form):
    """What a Kubernetes API server stores: an envelope with the kind, and the object in protobuf.

    Metadata are named; spec and status have numbers, unless a descriptor set with Kubernetes' types
    was given.
    """

    name: ClassVar[str] = "kubernetes"
    about: ClassVar[str] = "a Kubernetes object: its kind, metadata by name"

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def show(self, data: bytes) -> Shown:
        """apiVersion, kind, then the object."""
        if data.startswith(ENCRYPTED):
            head = data.split(b":", 5)
            provider = b":".join(head[2:5]).decode("ascii", "replace")
            text = "a Kubernetes object, encrypted at rest"
            return Shown(f"{text} ({provider}):\nonly the API server's key opens it")
        if not data.startswith(KUBERNETES):
            raise NotThis("no Kubernetes object")
        version, kind, raw = _envelope(data[len(KUBERNETES) :])
        lines = [f"apiVersion: {version}", f"kind: {kind}"]
        message = self._type(version, kind)
        if message:
            value = self.schema.decode(message, raw)
            return Shown(
                "\n".join(lines) + "\n" + json.dumps(value, indent=2, ensure_ascii=False),
                "json",
                (kind, message),
            )
        rest = _PARTS.get(kind, {2: "spec", 3: "status"})
        lines += wire.lines(raw, {1: ("metadata", _META), **rest})
        return Shown("\n".join(lines), "proto", (kind,), "spec by field number: no schema for it")

    def _type(self, version: str, kind: str) -> str:
        """The full name of the object's type, where a schema has it."""
        if not self.schema.messages:
            return ""
        group, _, number = version.rpartition("/")
        ending = f".{group.split('.')[0] or 'core'}.{number}.{kind}"
        return next((name for name in self.schema.messages if name.endswith(ending)), "")


def _envelope(data: bytes) -> tuple[str, str, bytes]:
    """apiVersion, kind and the raw object of a runtime.Unknown; raises ValueError."""
    version = kind = ""
    raw = b""
    for field in wire.fields(data):
        if field.number == 1 and isinstance(field.value, bytes):
            for inner in wire.fields(field.value):
                if isinstance(inner.value, bytes):
                    version = inner.value.decode() if inner.number == 1 else version
                    kind = inner.value.decode() if inner.number == 2 else kind
        elif field.number == 2 and isinstance(field.value, bytes):
            raw = field.value
    return version, kind, raw

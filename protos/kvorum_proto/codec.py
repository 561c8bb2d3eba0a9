"""Messages to bytes and back, in straight lines.

betterproto2 walks its field metadata for every message it reads or writes. Here the metadata is
walked once a class: `codegen_encode` and `codegen_decode` write a function each as source, which is
compiled when the class is first used. The result is the same, byte for byte, at a fraction of the
time.

What decoding promises, for any input whatsoever: a message or a DecodeError; time linear in the
size; what google.protobuf accepts is accepted and what it refuses is refused. In particular

- unknown fields are kept and written again, after the known ones;
- unknown enum numbers survive, negative numbers take ten bytes, lists come packed or not;
- of a oneof the last member wins; a singular message that comes several times is merged;
- messages (and unknown groups) nest at most MAX_DEPTH levels, a message has at most MAX_BYTES.

Differences to betterproto2's own parser, which is lenient: it takes truncated fields, ignores
oneofs, and replaces where it should merge.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from betterproto2 import Message
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from . import codegen_decode, codegen_encode, runtime
from .elements import count_fields, widest_list
from .etcdserverpb import TxnRequest
from .wire import DecodeError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Codec", "DecodeError", "ServerCodec", "decode", "encode"]

M = TypeVar("M", bound=Message)

MAX_DEPTH = 100
"""Levels of messages below the outermost, as everywhere in protobuf: a stack is finite."""

MAX_BYTES = (1 << 31) - 1
"""Bytes of one message, protobuf's own bound. What a server takes is its listener's business."""

MAX_FIELDS = 65_536
"""Fields of a request, on all its levels: several times what the largest transaction has, and
decoded in some 50 ms. No message of 64 KiB has more."""

# What is shorter is decoded without counting: half as many fields at most, which take 30 ms at
# worst.
_COUNTED_BYTES = MAX_FIELDS
_TXN_LISTS = (0x0A, 0x12, 0x1A)  # Tags of compare, success and failure, ...
_NESTED_TXN = (0x22,)  # ... and of the transaction in an operation.
_TXN_DEPTH = 2 * 128 + 2  # 128 transactions within one another, and the operation in the last.
_UNDECODABLE = "grpc: error unmarshalling request: "
_TOO_MANY_OPS = "etcdserver: too many operations in txn request"
_ETCD_WORDS = (
    ("the message ends inside a field", "unexpected EOF"),
    ("a varint has more than ten bytes", "proto: integer overflow"),
)


class _Compiler:
    """Compiles encoders and decoders on first use and knows the globals that they share.

    Functions refer to each other by global names. A name of a class that is not compiled yet is
    bound to a stand-in that compiles it, so that classes may contain themselves and nothing is
    compiled in vain.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._globals: dict[str, Any] = {**codegen_encode.GLOBALS, **runtime.GLOBALS}
        self._numbers: dict[type, int] = {}
        self.encoders: dict[type[Message], Callable[[Any], bytes]] = {}
        self.decoders: dict[type[Message], Callable[[bytes, int, int, int], Any]] = {}

    def constant(self, hint: str, value: object) -> str:
        """A global name for `value`, the same one whenever the value is the same."""
        number = 0
        while True:
            name = f"{hint}_{number}" if number else hint
            bound = self._globals.setdefault(name, value)
            if bound is value or (isinstance(value, frozenset) and bound == value):
                return name
            number += 1

    def encoder(self, cls: type[Message]) -> str:
        """The global name of a class's encoder."""
        name = self._name("encode", cls)
        self._globals.setdefault(name, lambda message: self.compile_encoder(cls)(message))
        return name

    def decoder(self, cls: type[Message]) -> str:
        """The global name of a class's decoder."""
        name = self._name("decode", cls)
        self._globals.setdefault(name, lambda *stretch: self.compile_decoder(cls)(*stretch))
        return name

    def _name(self, verb: str, cls: type[Message]) -> str:
        number = self._numbers.setdefault(cls, len(self._numbers))
        return f"{verb}_{cls.__name__}_{number}"

    def compile_encoder(self, cls: type[Message]) -> Callable[[Any], bytes]:
        """The class's encoder, compiled now if need be."""
        with self._lock:
            if cls not in self.encoders:
                name = self._name("encode", _checked(cls))
                source = codegen_encode.encoder_source(cls, name, self)
                self.encoders[cls] = self._run(source, name)
            return self.encoders[cls]

    def compile_decoder(self, cls: type[Message]) -> Callable[[bytes, int, int, int], Any]:
        """The class's decoder, compiled now if need be."""
        with self._lock:
            if cls not in self.decoders:
                name = self._name("decode", _checked(cls))
                source = codegen_decode.decoder_source(cls, name, self)
                self.decoders[cls] = self._run(source, name)
            return self.decoders[cls]

    def _run(self, source: str, name: str) -> Callable[..., Any]:
        exec(compile(source, f"<{name}>", "exec"), self._globals)
        return cast(Callable[..., Any], self._globals[name])


def _checked(cls: type[Message]) -> type[Message]:
    if not (isinstance(cls, type) and issubclass(cls, Message)):
        raise TypeError(f"{cls!r} is not a message class")
    return cls


_compiler = _Compiler()
_encoders = _compiler.encoders
_decoders = _compiler.decoders


def encode(message: Message) -> bytes:
    """The message's bytes, the same that `bytes(message)` gives.

    Raises ValueError when a number does not fit its field or a string is not text, TypeError when
    the argument is no message or a field holds something of another type.
    """
    encoder = _encoders.get(type(message)) or _compiler.compile_encoder(type(message))
    try:
        return encoder(message)
    except struct.error as error:
        raise ValueError(f"{type(message).__name__}: {error}") from None


def decode(cls: type[M], data: bytes | bytearray | memoryview, *, depth: int = MAX_DEPTH) -> M:
    """The message of class `cls` that the bytes are, with so many levels of messages below it.

    Raises DecodeError, and nothing else, when they are none; TypeError when `cls` is no message
    class.
    """
    buffer = data if type(data) is bytes else bytes(data)
    size = len(buffer)
    decoder = _decoders.get(cls) or _compiler.compile_decoder(cls)
    if size > MAX_BYTES:
        raise DecodeError(f"{cls.__name__}: {size} bytes are more than a message can have")
    try:
        return cast(M, decoder(buffer, 0, size, depth))
    except IndexError:
        raise DecodeError(f"{cls.__name__}: the message ends inside a field") from None
    except UnicodeDecodeError as error:
        raise DecodeError(f"{cls.__name__}: a string field is not UTF-8: {error.reason}") from None
    except DecodeError as error:
        raise DecodeError(f"{cls.__name__}: {error}") from None


class Codec(CodecBase):
    """The codec for grpclib's servers and channels.

    Ready bytes pass: a handler may send bytes in place of a message, and where a method's message
    type is `bytes` it receives them undecoded.
    """

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Bytes as they are, a message encoded. Raises TypeError for another class's message."""
        if type(message) is bytes:
            return message
        if not isinstance(message, message_type):
            raise TypeError(f"{message_type.__name__} expected, not {type(message).__name__}")
        return encode(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message, or the bytes where `message_type` is bytes. Raises DecodeError."""
        return bytes(data) if message_type is bytes else decode(message_type, data)


class ChannelCodec(Codec):
    """The same for channels: an answer that cannot be decoded ends its call."""

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message. Raises GRPCError with status INTERNAL, as Go's clients do."""
        try:
            return super().decode(data, message_type)
        except DecodeError as error:
            text = f"grpc: failed to unmarshal the received message: {error}"
            raise GRPCError(Status.INTERNAL, text) from None


class ServerCodec(Codec):
    """The same for servers: the client is told of a request that cannot be decoded, or that holds
    more than anybody should have to decode.
    """

    max_txn_ops = 128
    """Operations (or compares) in each list of a transaction, etcd's --max-txn-ops."""

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message. Raises GRPCError with status INTERNAL, as etcd's servers answer; for a
        transaction of too many operations what etcd says of it.
        """
        if message_type is TxnRequest:
            return self._transaction(data)
        if message_type is not bytes and _has_too_many_fields(message_type, data, MAX_DEPTH):
            raise GRPCError(Status.INTERNAL, f"{_UNDECODABLE}more than {MAX_FIELDS} fields")
        try:
            return super().decode(data, message_type)
        except DecodeError as error:
            raise GRPCError(Status.INTERNAL, _UNDECODABLE + _etcd_words(error)) from None

    def _transaction(self, data: bytes) -> TxnRequest:
        """A transaction. One within another counts as two levels of messages."""
        if len(data) > _COUNTED_BYTES and self._has_too_many(data):
            raise GRPCError(Status.INVALID_ARGUMENT, _TOO_MANY_OPS)
        try:
            return decode(TxnRequest, data, depth=_TXN_DEPTH)
        except DecodeError as error:
            if str(error).endswith(str(runtime.too_deep())):
                raise GRPCError(Status.INVALID_ARGUMENT, _TOO_MANY_OPS) from None
            raise GRPCError(Status.INTERNAL, _UNDECODABLE + _etcd_words(error)) from None

    def _has_too_many(self, data: bytes) -> bool:
        if _has_too_many_fields(TxnRequest, data, _TXN_DEPTH):
            return True
        return widest_list(data, _TXN_LISTS, _NESTED_TXN, self.max_txn_ops)[0]


def _has_too_many_fields(cls: type[Message], data: bytes, depth: int) -> bool:
    if len(data) <= _COUNTED_BYTES:
        return False
    return count_fields(cls, data, MAX_FIELDS, depth) > MAX_FIELDS


def _etcd_words(error: DecodeError) -> str:
    """What etcd's decoder says of the commonest faults, and what ours says of the others."""
    text = str(error)
    return next((theirs for ours, theirs in _ETCD_WORDS if text.endswith(ours)), text)

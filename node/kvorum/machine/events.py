"""What happened to one key in one revision, and its bytes for watchers."""

from __future__ import annotations

from typing import Final

from kvorum.machine.record import Record, key_of, parse, varint

PUT: Final = 0
DELETE: Final = 1


class Event:
    """A change of one key. Immutable by agreement; the byte forms are made on first use and kept.

    ``revision`` is the main revision, ``sub`` counts the changes within it from 0. ``frame`` is the
    new record (of a deletion: key and revision only), ``prev_frame`` the record it replaced, None
    for a creation.
    """

    __slots__ = ("_framed", "_framed_prev", "frame", "key", "kind", "prev_frame", "revision", "sub")

    def __init__(
        self,
        revision: int,
        sub: int,
        kind: int,
        frame: bytes,
        prev_frame: bytes | None = None,
        key: bytes | None = None,
    ) -> None:
        self.revision = revision
        self.sub = sub
        self.kind = kind
        self.frame = frame
        self.prev_frame = prev_frame
        self.key = key_of(frame) if key is None else key
        self._framed: bytes | None = None
        self._framed_prev: bytes | None = None

    @classmethod
    def of(
        cls, revision: int, sub: int, kind: int, record: Record, prev: Record | None = None
    ) -> Event:
        """An event from decoded records, as the history reads them."""
        prev_frame = None if prev is None else prev.frame
        return cls(revision, sub, kind, record.frame, prev_frame, record.key)

    @property
    def record(self) -> Record:
        """The new record, decoded."""
        return parse(self.frame)

    @property
    def prev(self) -> Record | None:
        """The record before, decoded; None for a creation."""
        return None if self.prev_frame is None else parse(self.prev_frame)

    @property
    def is_create(self) -> bool:
        """A put of a key that was not there."""
        return self.kind == PUT and self.prev_frame is None

    @property
    def wire(self) -> bytes:
        """The mvccpb.Event without ``prev_kv``. A put's kv is the frame as it is: field 2 in both
        messages.
        """
        return self.frame if self.kind == PUT else b"\x08\x01" + self.frame

    @property
    def wire_with_prev(self) -> bytes:
        """The mvccpb.Event with ``prev_kv`` (field 3) where there is one."""
        if self.prev_frame is None:
            return self.wire
        return b"".join((self.wire, b"\x1a", self.prev_frame[1:]))

    @property
    def framed(self) -> bytes:
        """``wire`` as one ``events`` entry (field 11) of a WatchResponse: joined, they are the
        list.
        """
        if self._framed is None:
            wire = self.wire
            self._framed = b"".join((b"\x5a", varint(len(wire)), wire))
        return self._framed

    @property
    def framed_with_prev(self) -> bytes:
        """``wire_with_prev`` as one ``events`` entry of a WatchResponse."""
        if self._framed_prev is None:
            wire = self.wire_with_prev
            self._framed_prev = b"".join((b"\x5a", varint(len(wire)), wire))
        return self._framed_prev

    def _identity(self) -> tuple[int, int, int, bytes, bytes | None]:
        return self.revision, self.sub, self.kind, self.frame, self.prev_frame

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.revision, self.sub))

    def __repr__(self) -> str:
        name = "DELETE" if self.kind == DELETE else "PUT"
        return f"Event({self.revision}.{self.sub} {name} {self.record!r} prev={self.prev!r})"

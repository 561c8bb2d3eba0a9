"""h2's connection, with bounds that it has not, and cheaper where it goes past every stream.

What a peer can make this side do or keep without asking for any work is bounded here: frames that
change nothing, blocks of headers, tables of header compression, settings nobody knows. Whoever goes
beyond is told ENHANCE_YOUR_CALM and loses its connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes
from hpack import Decoder, Encoder, HeaderTuple
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from kvorum.http2.bounds import Patience
from kvorum.limits import (
    HTTP2_CLOSED_STREAMS,
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_HEADER_TABLE_BYTES,
    HTTP2_IDLE_FRAMES,
    HTTP2_IDLE_FRAMES_PER_S,
    HTTP2_OUTBOUND_FRAME_BYTES,
)

_FRAME_HEAD_BYTES = 9
_IDLE = frozenset(
    {PingFrame, PriorityFrame, WindowUpdateFrame, RstStreamFrame, ExtensionFrame, AltSvcFrame}
)
_KNOWN_SETTINGS = frozenset(SettingCodes)
_STREAMS_A_SETTING_TOUCHES = 100  # As many cost about what reading one frame costs.
_PRUNE_STREAMS = 64


class TooMuch(ProtocolError):
    """The peer asks for more than is good for this side."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class _Frames(FrameBuffer):
    """h2's buffer of frames, with bounds that hold before anything is kept or done."""

    def __init__(self, connection: Connection, server: bool) -> None:
        super().__init__(server=server)
        self._connection = connection
        self._block_bytes = 0

    def __next__(self) -> Frame:
        if len(self._data) >= _FRAME_HEAD_BYTES:
            # Refused by its head, not after 16 MiB of it have been kept.
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))
        frame = super().__next__()
        if frame.__class__ in _IDLE:
            self._spend(1)
        elif isinstance(frame, DataFrame):
            if not frame.data and "END_STREAM" not in frame.flags:
                self._spend(1)
        elif isinstance(frame, SettingsFrame):
            # A window in them goes past every stream.
            self._spend(1 + len(self._connection.streams) // _STREAMS_A_SETTING_TOUCHES)
            # h2 would keep the unknown ones for ever.
            frame.settings = {k: v for k, v in frame.settings.items() if k in _KNOWN_SETTINGS}
        return frame

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        if isinstance(f, (HeadersFrame, ContinuationFrame)):
            if isinstance(f, HeadersFrame):
                self._block_bytes = 0
            else:
                self._spend(1)
            self._block_bytes += len(f.data)
            if self._block_bytes > HTTP2_HEADER_LIST_BYTES:
                raise TooMuch("a block of headers is too large")
        return super()._update_header_buffer(f)

    def _spend(self, cost: int) -> None:
        if not self._connection.patience.spend(cost):
            raise TooMuch("too many frames that do no work")


class _HeaderDecoder(Decoder):
    """hpack's decoder. A length that the sender claims for a body is nobody's business in gRPC,
    where messages have their own; h2 would end the connection over a wrong one.
    """

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """The headers of a block."""
        return [x for x in super().decode(data, raw) if x[0] != b"content-length"]


class _HeaderEncoder(Encoder):
    """hpack's encoder, whose table stays small however large a one the other side offers."""

    @property
    def header_table_size(self) -> int:
        """Bytes of the table."""
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        bounded = min(value, HTTP2_HEADER_TABLE_BYTES)
        cast(Any, Encoder.header_table_size).fset(self, bounded)


class Connection(H2Connection):
    """One HTTP/2 connection's state."""

    MAX_CLOSED_STREAMS = HTTP2_CLOSED_STREAMS

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.patience = Patience(HTTP2_IDLE_FRAMES, HTTP2_IDLE_FRAMES_PER_S, time.monotonic)
        self.encoder = _HeaderEncoder()
        self.decoder = _HeaderDecoder(max_header_list_size=HTTP2_HEADER_LIST_BYTES)
        frames = _Frames(self, server=not config.client_side)
        frames.max_frame_size = self.incoming_buffer.max_frame_size
        self.incoming_buffer = frames
        self._asked = 0

    @property
    def outbound_frame_bytes(self) -> int:
        """The largest DATA frame that is sent: a larger one would keep others waiting."""
        return min(self.max_outbound_frame_size, HTTP2_OUTBOUND_FRAME_BYTES)

    def _open_streams(self, remainder: int) -> int:
        """How many streams are open, which h2 finds by going past all of them for every new one.

        Inbound streams are counted by whoever accepts them (the server), so here their number does
        not matter, and those that have ended are removed once in a while.
        """
        if remainder == int(self.config.client_side):
            return super()._open_streams(remainder)
        self._asked += 1
        if self._asked >= max(_PRUNE_STREAMS, len(self.streams) // 2):
            self._asked = 0
            super()._open_streams(remainder)
        return 0

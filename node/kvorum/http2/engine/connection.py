"""A connection as grpclib sees it: the sending half, under the names that h2 has for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import (
    FlowControlError,
    NoAvailableStreamIDError,
    ProtocolError,
    StreamClosedError,
    TooManyStreamsError,
)
from h2.settings import SettingCodes

from kvorum.http2.bounds import Patience
from kvorum.http2.engine import frames
from kvorum.http2.engine.inbound import FIRST_WINDOW, PREFACE, Inbound
from kvorum.http2.engine.streams import StreamState
from kvorum.http2.engine.table import Header
from kvorum.limits import (
    HTTP2_HEADER_LIST_BYTES,
    HTTP2_IDLE_FRAMES,
    HTTP2_IDLE_FRAMES_PER_S,
    HTTP2_OUTBOUND_FRAME_BYTES,
)


class OwnConnection(Inbound):
    """One HTTP/2 connection's state.

    Args:
        is_client: which side this is.
        max_streams: concurrent streams offered to the other side; whoever accepts them counts.
        stream_window, connection_window: bytes the other side may send before they are read.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        is_client: bool,
        *,
        max_streams: int,
        stream_window: int,
        connection_window: int,
        clock: Callable[[], float],
    ) -> None:
        patience = Patience(HTTP2_IDLE_FRAMES, HTTP2_IDLE_FRAMES_PER_S, clock)
        super().__init__(is_client, stream_window, patience)
        told = {
            SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: HTTP2_HEADER_LIST_BYTES,
        }
        if is_client:
            self._out.append(PREFACE)
            told = {SettingCodes.ENABLE_PUSH: 0, **told}
        self._out.append(frames.settings({int(code): value for code, value in told.items()}))
        # The connection's own window starts at 64 KiB, whatever the settings say.
        wider = connection_window - FIRST_WINDOW
        if wider > 0:
            self._window.widen(wider)
            self._out.append(frames.numbers(frames.WINDOW_UPDATE, 0, wider))

    # --- what grpclib asks ------------------------------------------------------------------------

    @property
    def state_machine(self) -> OwnConnection:
        """Where grpclib looks for ``state``."""
        return self

    @property
    def state(self) -> ConnectionState:
        """Whether the connection is over."""
        return ConnectionState.CLOSED if self._closed else ConnectionState.CLIENT_OPEN

    @property
    def outbound_frame_bytes(self) -> int:
        """The largest DATA frame that is sent: a larger one would keep others waiting."""
        return min(self.max_outbound_frame_size, HTTP2_OUTBOUND_FRAME_BYTES)

    def local_flow_control_window(self, stream_id: int) -> int:
        """What may be sent on a stream now. StreamClosedError."""
        return min(self.outbound_flow_control_window, self._stream(stream_id).outbound)

    def fits(self, stream_id: int, size: int) -> bool:
        """Whether so much can be sent now in one frame; so it seems of a stream that is gone."""
        stream = self.streams.get(stream_id)
        return size <= self.outbound_frame_bytes and (
            stream is None or size <= min(stream.outbound, self.outbound_flow_control_window)
        )

    def get_next_available_stream_id(self) -> int:
        """The number of the stream that this client opens next. NoAvailableStreamIDError."""
        found = self._highest + 2 if self._highest else 1
        if found > frames.STREAM_ID_MAX:
            raise NoAvailableStreamIDError("no stream is left on this connection")
        return found

    def data_to_send(self) -> bytes:
        """What was said since the last time."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    # --- sending ----------------------------------------------------------------------------------

    def send_headers(
        self, stream_id: int, headers: Iterable[Header], end_stream: bool = False
    ) -> None:
        """Headers or trailers; a client's first ones open their stream.

        StreamClosedError; TooManyStreamsError when the server takes no more now.
        """
        self._check_open()
        stream = self.streams.get(stream_id)
        if stream is None and self._is_client and stream_id > self._highest:
            if len(self.streams) >= self._max_outbound_streams:
                raise TooManyStreamsError("the other side takes no more streams now")
            self._highest = stream_id
            stream = StreamState(self._first_outbound, self._stream_window)
            self.streams[stream_id] = stream
        else:
            stream = self._sendable(stream_id)
        block = self.encoder.encode(headers)
        most = self.max_outbound_frame_size
        self._out.append(frames.headers(stream_id, block, end_stream, most))
        if end_stream:
            self._end_local(stream_id, stream)

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        """One DATA frame. StreamClosedError; FlowControlError for more than may be sent now."""
        self._check_open()
        stream = self._sendable(stream_id)
        size = len(data)
        if size > min(stream.outbound, self.outbound_flow_control_window) and size:
            raise FlowControlError("more data than the window allows")
        if size > self.max_outbound_frame_size:
            raise FlowControlError("more data than a frame holds")
        stream.outbound -= size
        self.outbound_flow_control_window -= size
        flags = frames.END_STREAM if end_stream else 0
        self._out.append(frames.build(frames.DATA, flags, stream_id, data))
        if end_stream:
            self._end_local(stream_id, stream)

    def end_stream(self, stream_id: int) -> None:
        """This side has sent all. StreamClosedError."""
        self.send_data(stream_id, b"", end_stream=True)

    def reset_stream(self, stream_id: int, error_code: ErrorCodes | int = 0) -> None:
        """Give a stream up. StreamClosedError."""
        self._check_open()
        self._stream(stream_id)
        self._out.append(frames.numbers(frames.RST_STREAM, stream_id, int(error_code)))
        self._forget(stream_id)

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life; eight bytes."""
        self._check_open()
        self._out.append(frames.build(frames.PING, 0, 0, data))

    def close_connection(self, error_code: ErrorCodes | int = 0) -> None:
        """Say that the connection is over, and why."""
        self._end(int(error_code))

    def acknowledge_received_data(self, size: int, stream_id: int) -> None:
        """Bytes that came have been read: the other side may send as many more."""
        if self._closed:
            return
        self._give_back(size)
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.remote_closed:
            opened = stream.inbound.give(size)
            if opened:
                self._out.append(frames.numbers(frames.WINDOW_UPDATE, stream_id, opened))

    # --- streams ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ProtocolError("the connection is over")

    def _stream(self, stream_id: int) -> StreamState:
        stream = self.streams.get(stream_id)
        if stream is None:
            raise StreamClosedError(stream_id)
        return stream

    def _sendable(self, stream_id: int) -> StreamState:
        stream = self._stream(stream_id)
        if stream.local_closed:
            raise StreamClosedError(stream_id)
        return stream

    def _end_local(self, stream_id: int, stream: StreamState) -> None:
        stream.local_closed = True
        if stream.remote_closed:
            del self.streams[stream_id]

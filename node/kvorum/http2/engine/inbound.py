"""What each frame of the other side means (RFC 9113, sections 5 and 6): the receiving half of a
connection. Whatever breaks a rule ends the connection, also where the standard would let it live
on, but for a stream's window that overflows: clients' libraries do that by mistake.
"""

from __future__ import annotations

from typing import Any

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.settings import ChangedSetting, SettingCodes

from kvorum.http2.bounds import Patience
from kvorum.http2.engine import frames
from kvorum.http2.engine.decoder import Decoder, HeaderListError, HpackError
from kvorum.http2.engine.encoder import Encoder
from kvorum.http2.engine.frames import ACK, END_HEADERS, END_STREAM, PADDED, Broken, Frame
from kvorum.http2.engine.streams import InboundWindow, StreamState, widened
from kvorum.limits import HTTP2_CLOSED_STREAMS, HTTP2_CONTINUATIONS, HTTP2_HEADER_LIST_BYTES

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIRST_WINDOW = 65_535
_STREAMS_A_SETTING_TOUCHES = 100  # As many cost about what reading one frame costs.
_KNOWN_SETTINGS = frozenset(map(int, SettingCodes))


class Calm(Broken):
    """The other side asks for more than is good for this one."""

    def __init__(self, text: str) -> None:
        super().__init__(text, ErrorCodes.ENHANCE_YOUR_CALM)


class Inbound:
    """The receiving half.

    Args:
        is_client: which side this is.
        stream_window: what the other side may send on each stream before any of it is read.
        patience: the budget for frames that do no work.
    """

    def __init__(self, is_client: bool, stream_window: int, patience: Patience) -> None:
        self._is_client = is_client
        self._stream_window = max(FIRST_WINDOW, stream_window)
        self.patience = patience
        self.decoder = Decoder()
        self.encoder = Encoder()
        self.streams: dict[int, StreamState] = {}
        # Windows, frames and streams that the other side allows.
        self.outbound_flow_control_window = FIRST_WINDOW
        self.max_outbound_frame_size = frames.FRAME_BYTES
        self._first_outbound = FIRST_WINDOW
        self._max_outbound_streams = frames.STREAM_ID_MAX
        self._out: list[bytes] = []
        self._window = InboundWindow(FIRST_WINDOW)
        self._closed = False
        # The highest stream there has been; only clients open streams.
        self._highest = 0
        # Streams that this side has reset: frames under way to them are let pass.
        self._reset: dict[int, None] = {}
        self._reader = frames.FrameReader()
        self._preface = b"" if is_client else PREFACE
        self._greeted = False
        # A block of headers that is not whole yet: its stream, its flags, its pieces so far.
        self._block_stream = 0
        self._block_flags = 0
        self._block_frames = 0
        self._block = bytearray()

    def receive_data(self, data: bytes) -> list[Event]:
        """What the bytes mean. Broken when they break a rule: what is to be told of it is then
        ready to be sent, and nothing more is taken.
        """
        events: list[Event] = []
        if self._closed:
            return events
        try:
            if self._preface:
                data = self._greeting(data)
            for frame in self._reader.feed(data):
                kind = frame.kind
                if not self._greeted:
                    self._greet(frame)
                elif self._block_stream and kind != frames.CONTINUATION:
                    raise Broken("a block of headers is interrupted")
                if kind <= frames.CONTINUATION:
                    _TAKES[kind](self, frame, events)
                else:
                    self._spend(1)
        except HeaderListError as error:
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)
            raise Calm(str(error)) from None
        except HpackError as error:
            self._end(ErrorCodes.COMPRESSION_ERROR)
            raise Broken(str(error), ErrorCodes.COMPRESSION_ERROR) from None
        except Broken as error:
            self._end(error.error_code)
            raise
        return events

    def _greeting(self, data: bytes) -> bytes:
        preface = self._preface
        count = min(len(preface), len(data))
        if data[:count] != preface[:count]:
            raise Broken("no preface")
        self._preface = preface[count:]
        return data[count:]

    def _greet(self, frame: Frame) -> None:
        if frame.kind != frames.SETTINGS or frame.flags & ACK:
            raise Broken("settings come first")
        self._greeted = True

    def _end(self, code: int) -> None:
        """Tell that the connection is over."""
        if not self._closed:
            self._closed = True
            self._out.append(frames.numbers(frames.GOAWAY, 0, self._highest, int(code)))

    def _spend(self, cost: int) -> None:
        if not self.patience.spend(cost):
            raise Calm("too many frames that do no work")

    # --- streams ----------------------------------------------------------------------------------

    def _take_data(self, frame: Frame, events: list[Event]) -> None:
        _, flags, stream_id, payload = frame
        size = len(payload)
        data = frames.unpadded(frame) if flags & PADDED else payload
        ended = flags & END_STREAM
        if not data and not ended:
            self._spend(1)
        self._window.take(size)
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_closed:
            self._refuse_late(stream_id)
            self._give_back(size)
            return
        if self._is_client and not stream.answered:
            raise Broken("data before headers")
        stream.inbound.take(size)
        told = DataReceived(stream_id=stream_id, data=data, flow_controlled_length=size)
        events.append(told)
        if ended:
            told.stream_ended = self._end_remote(stream_id, stream, events)

    def _take_headers(self, frame: Frame, events: list[Event]) -> None:
        _, flags, stream_id, block = frame
        if flags & (PADDED | frames.PRIORITIZED):
            block = frames.unpadded(frame)
        if flags & END_HEADERS:
            self._headers(stream_id, flags, block, events)
        else:
            self._block_stream, self._block_flags, self._block_frames = stream_id, flags, 0
            self._block += block

    def _take_continuation(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id != self._block_stream:
            raise Broken("a continuation of nothing")
        self._spend(1)
        self._block += frame.payload
        self._block_frames += 1
        if len(self._block) > HTTP2_HEADER_LIST_BYTES or self._block_frames > HTTP2_CONTINUATIONS:
            raise Calm("a block of headers is too large")
        if frame.flags & END_HEADERS:
            block = bytes(self._block)
            self._block.clear()
            self._block_stream = 0
            self._headers(frame.stream_id, self._block_flags, block, events)

    def _headers(self, stream_id: int, flags: int, block: bytes, events: list[Event]) -> None:
        """A whole block of headers."""
        stream = self.streams.get(stream_id)
        ended = flags & END_STREAM
        if stream is not None and not stream.remote_closed:
            # Texts where h2's events say bytes: h2 itself tells texts when it is asked to.
            headers: Any = self.decoder.decode(block)
            if not self._more_headers(stream_id, stream, headers, bool(ended), events):
                return
        elif not self._is_client and stream_id & 1 and stream_id > self._highest:
            headers = self.decoder.decode(block)
            self._highest = stream_id
            stream = StreamState(self._first_outbound, self._stream_window)
            self.streams[stream_id] = stream
            events.append(RequestReceived(stream_id=stream_id, headers=headers))
        else:
            self._refuse_late(stream_id)
            # The tables must stay what the other side takes them for.
            self.decoder.decode(block)
            return
        if ended:
            self._end_remote(stream_id, stream, events)

    def _more_headers(
        self,
        stream_id: int,
        stream: StreamState,
        headers: Any,
        ended: bool,
        events: list[Event],
    ) -> bool:
        """An answer's headers, or trailers. False for an interim answer, which nobody needs."""
        if self._is_client and not stream.answered:
            if any(n == ":status" and v[:1] == "1" for n, v in headers):
                if ended:
                    raise Broken("an interim answer ends its stream")
                self._spend(1)
                return False
            stream.answered = True
            events.append(ResponseReceived(stream_id=stream_id, headers=headers))
        elif ended:
            events.append(TrailersReceived(stream_id=stream_id, headers=headers))
        else:
            raise Broken("trailers that do not end their stream")
        return True

    def _end_remote(self, stream_id: int, stream: StreamState, events: list[Event]) -> StreamEnded:
        stream.remote_closed = True
        if stream.local_closed:
            del self.streams[stream_id]
        told = StreamEnded(stream_id=stream_id)
        events.append(told)
        return told

    def _refuse_late(self, stream_id: int) -> None:
        """A frame for a stream that takes none; let pass when this side has reset it."""
        if self._is_idle(stream_id):
            raise Broken("a frame for a stream that was never opened")
        if stream_id not in self._reset:
            raise Broken("a frame for a stream that has ended", ErrorCodes.STREAM_CLOSED)
        self._spend(1)

    def _is_idle(self, stream_id: int) -> bool:
        return not stream_id & 1 or stream_id > self._highest

    def _forget(self, stream_id: int) -> None:
        """A stream that this side resets."""
        del self.streams[stream_id]
        self._reset[stream_id] = None
        if len(self._reset) > HTTP2_CLOSED_STREAMS:
            del self._reset[next(iter(self._reset))]

    def _take_priority(self, frame: Frame, events: list[Event]) -> None:
        self._spend(1)
        frames.check_priority(frame.payload, 0, frame.stream_id)

    def _take_reset(self, frame: Frame, events: list[Event]) -> None:
        self._spend(1)
        stream_id = frame.stream_id
        if self._is_idle(stream_id):
            raise Broken("a stream is reset that was never opened")
        if self.streams.pop(stream_id, None) is not None:
            code = error_of(frames.number_of(frame.payload))
            events.append(StreamReset(stream_id=stream_id, error_code=code, remote_reset=True))

    def _take_push(self, frame: Frame, events: list[Event]) -> None:
        raise Broken("nothing may be pushed")

    # --- the connection ---------------------------------------------------------------------------

    def _take_settings(self, frame: Frame, events: list[Event]) -> None:
        # A window in them goes past every stream.
        self._spend(1 + len(self.streams) // _STREAMS_A_SETTING_TOUCHES)
        if frame.flags & ACK:
            return
        # Of one that comes several times the last counts; each must be allowed.
        told: dict[int, int] = {}
        for code, value in frames.settings_of(frame.payload):
            if code in _KNOWN_SETTINGS:
                _check_setting(code, value, self._is_client)
                told[code] = value
                if code == SettingCodes.HEADER_TABLE_SIZE:
                    self.encoder.offer(value)
        changed: dict[int, ChangedSetting] = {}
        for code, value in told.items():
            changed[code] = ChangedSetting(code, None, value)
            if code == SettingCodes.INITIAL_WINDOW_SIZE:
                self._move_windows(value)
            elif code == SettingCodes.MAX_FRAME_SIZE:
                self.max_outbound_frame_size = value
            elif code == SettingCodes.MAX_CONCURRENT_STREAMS:
                self._max_outbound_streams = value
        self._out.append(frames.build(frames.SETTINGS, ACK, 0, b""))
        event = RemoteSettingsChanged()
        event.changed_settings = changed
        events.append(event)

    def _move_windows(self, size: int) -> None:
        change, self._first_outbound = size - self._first_outbound, size
        for stream in self.streams.values():
            window = widened(stream.outbound, change)
            if window is None:
                raise Broken("a window is too large", ErrorCodes.FLOW_CONTROL_ERROR)
            stream.outbound = window

    def _take_ping(self, frame: Frame, events: list[Event]) -> None:
        self._spend(1)
        if frame.flags & ACK:
            events.append(PingAckReceived(ping_data=frame.payload))
        else:
            self._out.append(frames.build(frames.PING, ACK, 0, frame.payload))

    def _take_goaway(self, frame: Frame, events: list[Event]) -> None:
        event = ConnectionTerminated()
        event.last_stream_id = frames.number_of(frame.payload) & frames.STREAM_ID_MAX
        event.error_code = error_of(frames.number_of(frame.payload, 4))
        event.additional_data = frame.payload[8:]
        events.append(event)

    def _take_window(self, frame: Frame, events: list[Event]) -> None:
        self._spend(1)
        stream_id = frame.stream_id
        size = frames.number_of(frame.payload) & frames.STREAM_ID_MAX
        if not size:
            raise Broken("a window opens by nothing")
        if not stream_id:
            window = widened(self.outbound_flow_control_window, size)
            if window is None:
                raise Broken("the window is too large", ErrorCodes.FLOW_CONTROL_ERROR)
            self.outbound_flow_control_window = window
            events.append(WindowUpdated(stream_id=0, delta=size))
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                raise Broken("a window of a stream that was never opened")
            return
        window = widened(stream.outbound, size)
        if window is not None:
            stream.outbound = window
            events.append(WindowUpdated(stream_id=stream_id, delta=size))
            return
        code = ErrorCodes.FLOW_CONTROL_ERROR
        self._out.append(frames.numbers(frames.RST_STREAM, stream_id, code))
        self._forget(stream_id)
        events.append(StreamReset(stream_id=stream_id, error_code=code, remote_reset=False))

    def _give_back(self, size: int) -> None:
        """Bytes of the connection's window have been read."""
        opened = self._window.give(size)
        if opened:
            self._out.append(frames.numbers(frames.WINDOW_UPDATE, 0, opened))


# What takes a frame, by its kind.
_TAKES = (
    Inbound._take_data,
    Inbound._take_headers,
    Inbound._take_priority,
    Inbound._take_reset,
    Inbound._take_settings,
    Inbound._take_push,
    Inbound._take_ping,
    Inbound._take_goaway,
    Inbound._take_window,
    Inbound._take_continuation,
)


def error_of(code: int) -> ErrorCodes:
    """An error code; one that no standard knows stays a number."""
    try:
        return ErrorCodes(code)
    except ValueError:
        return code  # type: ignore[return-value]  # As h2 tells it.


def _check_setting(code: int, value: int, is_client: bool) -> None:
    """Broken for a value that the setting cannot have (section 6.5.2; RFC 8441, section 3)."""
    if code == SettingCodes.INITIAL_WINDOW_SIZE:
        if value > frames.WINDOW_MAX:
            raise Broken("a first window too large", ErrorCodes.FLOW_CONTROL_ERROR)
    elif code == SettingCodes.MAX_FRAME_SIZE:
        if not frames.FRAME_BYTES <= value <= frames.FRAME_BYTES_MAX:
            raise Broken("a frame size that cannot be")
    elif code == SettingCodes.ENABLE_PUSH:
        if value > 1 or (value and is_client):
            raise Broken("push is no yes or no, or a server's yes")
    elif code == SettingCodes.ENABLE_CONNECT_PROTOCOL and value > 1:
        raise Broken("a yes or no that is neither")

"""Which HTTP/2 runs below grpclib in this process: h2, or the engine of our own.

One choice for servers, channels between members and clients alike (``--http2``, ``ETCD_HTTP2``):
h2 is the reference that the engine is compared with, and what to fall back on.
"""

from __future__ import annotations

import time
from typing import cast

from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.settings import SettingCodes, Settings

from kvorum.http2.connection import Connection
from kvorum.http2.engine.connection import OwnConnection
from kvorum.limits import HTTP2_HEADER_LIST_BYTES

H2, OWN = "h2", "own"
KINDS = (H2, OWN)

_used = H2


def use(kind: str) -> None:
    """Choose for all connections that are made from now on. ValueError for a kind that is none."""
    global _used
    if kind not in KINDS:
        raise ValueError(f"no HTTP/2 is called {kind!r}")
    _used = kind


def used() -> str:
    """The choice."""
    return _used


def connection(config: Configuration, h2_config: H2Configuration, max_streams: int) -> Connection:
    """The state of a new connection, with all that it says first ready to be sent.

    Our own is no h2 connection; it has those of its members that grpclib and this package use.
    """
    if _used == OWN:
        own = OwnConnection(
            bool(h2_config.client_side),
            max_streams=max_streams,
            stream_window=config.http2_stream_window_size,
            connection_window=config.http2_connection_window_size,
            clock=time.monotonic,
        )
        return cast(Connection, own)
    found = Connection(h2_config)
    found.local_settings = Settings(
        client=bool(h2_config.client_side),
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: config.http2_stream_window_size,
            SettingCodes.MAX_HEADER_LIST_SIZE: HTTP2_HEADER_LIST_BYTES,
        },
    )
    found.initiate_connection()
    # The connection's own window starts at 64 KiB, whatever the settings say.
    found.increment_flow_control_window(config.http2_connection_window_size - 65_535)
    return found

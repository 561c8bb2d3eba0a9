"""Maintenance.Snapshot: this member's state as etcd's own database, streamed (semantics page,
section 9).

Blobs of at most 32 KiB with ``remaining_bytes`` counting down to 0, and a last message with the
SHA-256 of all of them. Like etcd's, the messages have no header.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

import duckdb
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

from kvorum import ETCD_CLUSTER_VERSION
from kvorum.history.database import HistoryError
from kvorum.server.etcd_snapshot import etcd_snapshot
from kvorum.storage.bolt_write import BoltWriteError

if TYPE_CHECKING:
    from kvorum.api.guards import ServerStream, Who
    from kvorum.server.runtime import Node

log = logging.getLogger("kvorum.api")


class Snapshots:
    """Streams snapshots, one after another: each is a long read of the history, which has few
    threads for them.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._turn = asyncio.Lock()

    async def stream(self, stream: ServerStream, who: Who) -> None:
        """One call. UNAVAILABLE when the snapshot cannot be taken, or not to its end."""
        if await stream.recv_message() is None:
            raise GRPCError(Status.INTERNAL, "grpc: the call ended before its request")
        async with self._turn:
            sent_bytes = 0
            try:
                async with aclosing(etcd_snapshot(self._node)) as pieces:
                    async for piece in pieces:
                        sent_bytes += len(piece.blob)
                        await stream.send_message(
                            pb.SnapshotResponse(
                                remaining_bytes=piece.remaining_bytes,
                                blob=piece.blob,
                                version=ETCD_CLUSTER_VERSION,
                            )
                        )
            except (HistoryError, BoltWriteError, duckdb.Error) as error:
                log.warning(
                    "cannot send snapshot to a client",
                    extra={"sent-bytes": sent_bytes, "error": str(error)},
                )
                raise GRPCError(Status.UNAVAILABLE, f"kvorum: no snapshot: {error}") from error
            log.info("sent snapshot to a client", extra={"bytes": sent_bytes})

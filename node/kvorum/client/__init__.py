"""The scripting client: any cluster that speaks etcd's v3 API, from asyncio.

::

    import asyncio
    from kvorum import Client

    async def main() -> None:
        async with Client("http://127.0.0.1:2379") as client:
            await client.put("greeting", "hello")
            async for event in client.watch("greeting", start_revision=1):
                print(event.value)
                break

    asyncio.run(main())

The layers, from the bottom:

- ``endpoints`` parses them and picks the next; ``connection`` is one connection to one member
  and knows whether a request can have been seen; ``tunnel`` says how it goes where it cannot go
  straight, and ``dialler`` does it; ``pool`` is what a client's calls share.
- ``methods`` lists which RPCs only read. Two promises hang on that list: a read-only client
  sends nothing else, and nothing else is ever sent twice. ``retry`` decides by it, ``caller``
  acts on the decision.
- ``kv``, ``txn``, ``watch``, ``lease`` and the others are the calls; ``session`` joins them;
  ``client`` is the door.

A call that is cancelled (by a task group, by ``asyncio.timeout``) may have been carried out all the
same; whoever cancels a write has to find out.

Three rules hold everywhere. Every call has a deadline, which the server is told. A write of
unknown fate raises :class:`UnknownOutcome` and is not repeated. Every error is a
:class:`ClientError` that says which member, which RPC and what the server said.
"""

from kvorum.client.client import Client, MemberClient
from kvorum.client.connection import TLS
from kvorum.client.errors import (
    AuthError,
    ClientError,
    CompactedError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    FutureRevisionError,
    InvalidRequestError,
    LeaseNotFoundError,
    NoLeaderError,
    NoSpaceError,
    PermissionDeniedError,
    ProtocolViolation,
    ReadOnlyError,
    UnknownOutcome,
    Unsupported,
)
from kvorum.client.observe import Observed
from kvorum.client.ops import Compare, Delete, Get, Key, Put, Txn
from kvorum.client.pool import RpcRecord
from kvorum.client.tunnel import Tunnel
from kvorum.client.types import (
    DeleteResult,
    Event,
    GetResult,
    Header,
    KeyValue,
    PutResult,
    RangeResult,
    TxnResult,
    key_range,
    prefix_end,
)
from kvorum.client.watcher import WatchBatch

__all__ = [
    "TLS",
    "AuthError",
    "Client",
    "ClientError",
    "CompactedError",
    "Compare",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineError",
    "Delete",
    "DeleteResult",
    "Event",
    "FutureRevisionError",
    "Get",
    "GetResult",
    "Header",
    "InvalidRequestError",
    "Key",
    "KeyValue",
    "LeaseNotFoundError",
    "MemberClient",
    "NoLeaderError",
    "NoSpaceError",
    "Observed",
    "PermissionDeniedError",
    "ProtocolViolation",
    "Put",
    "PutResult",
    "RangeResult",
    "ReadOnlyError",
    "RpcRecord",
    "Tunnel",
    "Txn",
    "TxnResult",
    "UnknownOutcome",
    "Unsupported",
    "WatchBatch",
    "key_range",
    "prefix_end",
]

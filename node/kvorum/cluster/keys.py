"""Sample keys: a JSON Lines file, loaded into a cluster on its first start.

One line is one key::

    {"key": "/flags/checkout/express", "value": "on"}
    {"key_base64": "/wAB", "value_base64": "3q2+7w=="}
    {"key": "/config/prod/cart/max", "was": ["10", "25"], "value": "40"}
    {"key": "/sessions/9f2c", "value": "{}", "lease_ttl_s": 7200, "lease": "web"}
    {"key": "/flags/old-banner", "value": "off", "deleted": true}
    {"key": "/assets/sprite.bin", "value": "kvorum ", "repeat": 32768}

``was`` are earlier values, oldest first: they are written in rounds before the last one, so
that the keys have histories that interleave. ``deleted`` writes the key and removes it in the
end. ``repeat`` makes a large value out of a short line. Keys with the same ``lease`` (and TTL)
share one lease.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import betterproto2
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError
from kvorum_proto.etcdserverpb import (
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    PutRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
)

from kvorum import limits
from kvorum.client.connection import TLS
from kvorum.cluster.probe import channel_to
from kvorum.cluster.rundir import ClusterError
from kvorum.errors import ConfigError

RETRY_PAUSE_S = 0.25  # Between two tries of one transaction, while an election goes on.
# One transaction of the loader; on a busy machine an fsync can take a second.
CALL_TIMEOUT_S = 10.0
FIELDS = frozenset(
    [
        "key",
        "key_base64",
        "value",
        "value_base64",
        "was",
        "deleted",
        "repeat",
        "lease",
        "lease_ttl_s",
    ]
)


Reply = TypeVar("Reply", bound=betterproto2.Message)


@dataclass(frozen=True)
class SampleKey:
    """One line of a keys file: the key and all the values it is given, oldest first."""

    key: bytes
    values: tuple[bytes, ...]
    deleted: bool = False
    lease: str = ""
    lease_ttl_s: int = 0


@dataclass(frozen=True)
class Write:
    """One operation of the loader; ``value`` None deletes."""

    key: bytes
    value: bytes | None
    lease: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Its bytes, roughly as they count in a request."""
        return len(self.key) + len(self.value or b"") + 32


def read_keys(path: Path) -> list[SampleKey]:
    """Read a keys file. Raises ConfigError with file and line when a line is wrong."""
    keys: list[SampleKey] = []
    seen: set[bytes] = set()
    with path.open(encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if not line.strip():
                continue
            try:
                key = _parse(json.loads(line))
                if key.key in seen:
                    raise ValueError(f'key {key.key!r} stands there twice; use "was"')
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{path}:{number}: {error}") from error
            seen.add(key.key)
            keys.append(key)
    return keys


def _parse(line: Any) -> SampleKey:
    if not isinstance(line, dict):
        raise ValueError("must be a JSON object")
    unknown = sorted(set(line) - FIELDS)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(FIELDS))}")
    key = _bytes(line, "key")
    if not key:
        raise ValueError("the key is empty")
    values = [*(str(v).encode() for v in line.get("was", [])), _bytes(line, "value")]
    repeat = int(line.get("repeat", 1))
    if repeat > 1:
        values[-1] *= repeat
    ttl_s = int(line.get("lease_ttl_s", 0))
    return SampleKey(
        key,
        tuple(values),
        deleted=bool(line.get("deleted", False)),
        lease=str(line.get("lease", key.decode(errors="replace"))) if ttl_s else "",
        lease_ttl_s=ttl_s,
    )


def _bytes(line: dict[str, Any], field: str) -> bytes:
    if f"{field}_base64" in line:
        return base64.b64decode(str(line[f"{field}_base64"]), validate=True)
    if field not in line:
        raise ValueError(f"needs {field} or {field}_base64")
    return str(line[field]).encode()


def rounds(keys: Sequence[SampleKey]) -> Iterator[list[Write]]:
    """The writes of all keys in rounds: round n holds each key's n-th value, the last one the
    deletes.

    No key is in one round twice, so that any part of a round can be one transaction.
    """
    for n in range(max((len(k.values) for k in keys), default=0)):
        yield [
            Write(k.key, k.values[n], (k.lease, k.lease_ttl_s) if k.lease else None)
            for k in keys
            if n < len(k.values)
        ]
    yield [Write(k.key, None) for k in keys if k.deleted]


def chunks(writes: Iterable[Write], ops_max: int) -> Iterator[list[Write]]:
    """Cut a round into transactions of at most ``ops_max`` operations, bounded in bytes too."""
    chunk: list[Write] = []
    size = 0
    for write in writes:
        too_big = size + write.size > limits.LOAD_CHUNK_BYTES
        if chunk and (too_big or len(chunk) >= ops_max):
            yield chunk
            chunk, size = [], 0
        chunk.append(write)
        size += write.size
    if chunk:
        yield chunk


def transactions(keys: Sequence[SampleKey]) -> Iterator[list[Write]]:
    """The loader's transactions: first values in bulk, later changes in small ones.

    A store that was written in ten revisions has no history to travel in.
    """
    for number, writes in enumerate(rounds(keys)):
        yield from chunks(writes, limits.LOAD_CHUNK_OPS if number == 0 else limits.LOAD_CHANGE_OPS)


class Loader:
    """Writes sample keys to a cluster, going from endpoint to endpoint when one fails.

    A transaction that fails is sent again: it puts the same values, so that all a repetition
    can do is to add one more revision with the same content.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        cancelled: Callable[[], bool] = lambda: False,
        tls: TLS | None = None,
    ) -> None:
        self._tls = tls
        self._endpoints = list(endpoints)
        self._cancelled = cancelled
        self._leases: dict[tuple[str, int], int] = {}
        self._channel: Channel | None = None

    async def load(
        self,
        keys: Sequence[SampleKey],
        progress: Callable[[int, int], None] = lambda done, all: None,
    ) -> int:
        """Write all keys; returns the number of operations, or fewer when cancelled meanwhile.

        Raises ClusterError when a transaction failed LOAD_TRIES times.
        """
        plan = list(transactions(keys))
        total = sum(len(chunk) for chunk in plan)
        done = 0
        try:
            for chunk in plan:
                if self._cancelled():
                    break
                await self._write(chunk)
                done += len(chunk)
                progress(done, total)
        finally:
            self._drop()
        return done

    async def _write(self, chunk: list[Write]) -> None:
        ops = []
        for write in chunk:
            if write.value is None:
                ops.append(RequestOp(request_delete_range=DeleteRangeRequest(key=write.key)))
                continue
            lease = await self._lease(write.lease) if write.lease else 0
            put = PutRequest(key=write.key, value=write.value, lease=lease)
            ops.append(RequestOp(request_put=put))
        await self._call("/etcdserverpb.KV/Txn", TxnRequest(success=ops), TxnResponse)

    async def _lease(self, which: tuple[str, int]) -> int:
        if which not in self._leases:
            granted = await self._call(
                "/etcdserverpb.Lease/LeaseGrant",
                LeaseGrantRequest(ttl=which[1]),
                LeaseGrantResponse,
            )
            self._leases[which] = granted.id
        return self._leases[which]

    async def _call(self, path: str, request: betterproto2.Message, kind: type[Reply]) -> Reply:
        problem: Exception | None = None
        for _ in range(limits.LOAD_TRIES):
            if self._channel is None:
                self._channel = channel_to(self._endpoints[0], self._tls)
            method = UnaryUnaryMethod(self._channel, path, type(request), kind)
            try:
                return await method(request, timeout=CALL_TIMEOUT_S)
            except (OSError, TimeoutError, GRPCError, StreamTerminatedError) as error:
                problem = error
            self._drop()
            self._endpoints.append(self._endpoints.pop(0))
            await asyncio.sleep(RETRY_PAUSE_S)
        raise ClusterError(f"the sample keys cannot be written: {problem}")

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

"""Links with a delay: each node holds its own messages back, through its faults service.

A fault always ends by itself, so that no drill outlives whoever began it; a delay that shall last
is therefore given again before its time is over, and to a node that was restarted. Without a
supervisor (``--detach``, or a killed one) links are fast again ten minutes later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from kvorum_proto.kvorum import v1

from kvorum.client import TLS, Client
from kvorum.client.errors import ClientError
from kvorum.cluster.extras import LinkSpec
from kvorum.limits import FAULT_DURATION_MS_MAX, PROBE_TIMEOUT_S

_RENEW_S = FAULT_DURATION_MS_MAX / 1000 / 2
_RETRY_S = 1.0


class Links:
    """Keeps the delays of a cluster file in force.

    Args:
        links: as the cluster file has them.
        tls: how the nodes are spoken to.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        links: Sequence[LinkSpec],
        tls: TLS | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links = tuple(links)
        self._tls = tls
        self._clock = clock
        names = sorted({name for link in links for name in link.nodes})
        self._due = dict.fromkeys(names, 0.0)
        self._given: dict[str, list[int]] = {name: [] for name in names}

    def forget(self, name: str) -> None:
        """A node was started: it has no faults now."""
        if name in self._due:
            self._due[name] = 0.0
            self._given[name] = []

    def due(self) -> list[str]:
        """The nodes whose delays are to be given (again) now."""
        now = self._clock()
        return [name for name, at in self._due.items() if at <= now]

    async def give(self, urls: Mapping[str, str]) -> list[str]:
        """Give every due node its delays; returns those that could not be told, who stay due.

        ``urls``: the client URL of every node, by name.
        """
        failed = []
        names = self.due()
        if not names:
            return []
        async with Client(list(urls.values()), tls=self._tls, timeout_s=PROBE_TIMEOUT_S) as client:
            ids = {}
            for name, url in urls.items():
                try:
                    status = await client.member(url).maintenance.status()
                except ClientError:
                    continue
                ids[name] = status.header.member_id
            for name in names:
                try:
                    await self._give(client, name, urls[name], ids)
                    self._due[name] = self._clock() + _RENEW_S
                except (ClientError, KeyError):
                    self._due[name] = self._clock() + _RETRY_S
                    failed.append(name)
        return failed

    async def _give(self, client: Client, name: str, url: str, ids: Mapping[str, int]) -> None:
        """KeyError when a node at another end did not answer: its member id is not known."""
        wanted = [
            v1.LinkFault(
                peer=ids[next(node for node in link.nodes if node != name)],
                direction=v1.Direction.OUTBOUND,
                delay_ms=link.delay_ms,
                jitter_ms=link.jitter_ms,
            )
            for link in self._links
            if name in link.nodes
        ]
        faults = client.member(url).faults
        for id_ in self._given[name]:
            await faults.lift(id_)
        self._given[name] = []
        for fault in wanted:
            self._given[name].append(await faults.inject(fault, duration_ms=FAULT_DURATION_MS_MAX))

"""The pair of servers: one member of kvorum and one of a real etcd, with the same settings."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from compat.differential.side import Side
from compat.real_etcd import RealEtcd, Release
from kvorum.cluster.file import NodeSpec
from support.clusters import ClusterHandle, make_spec

# The smallest TTL follows from these: five seconds, so that a lease with a TTL that was raised to
# the minimum lives long enough to be asked about and revoked.
_HEARTBEAT_MS, _ELECTION_MS = 100, 3000
_FLAGS = ("--bcrypt-cost=4",)


class Pair(NamedTuple):
    """Both sides, each asked by itself."""

    theirs: Side
    ours: Side

    def close(self) -> None:
        """End all connections."""
        self.theirs.close()
        self.ours.close()


@contextmanager
def pair_of(release: Release, directory: Path) -> Iterator[Pair]:
    """A fresh pair. ``directory`` must exist; both keep their data and logs in it."""
    spec = make_spec(
        directory / "kvorum", 1, heartbeat_ms=_HEARTBEAT_MS, election_ms=_ELECTION_MS, flags=_FLAGS
    )
    ours = ClusterHandle(replace(spec, nodes=(NodeSpec("r1"),)), directory / "kvorum")
    theirs = RealEtcd(
        release,
        directory,
        (f"--heartbeat-interval={_HEARTBEAT_MS}", f"--election-timeout={_ELECTION_MS}"),
    )
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(theirs.start)
            ours.start()
            starting.result()
        pair = Pair(Side("etcd", theirs.endpoint), Side("kvorum", ours.endpoints[0]))
        try:
            yield pair
        finally:
            pair.close()
    finally:
        ours.end()
        theirs.stop()

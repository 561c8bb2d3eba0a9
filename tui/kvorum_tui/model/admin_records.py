"""What the admin part of a session tells, in plain values."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """One member of the table. ``error`` says why it told nothing; then sizes and indexes are 0.
    ``quota_bytes`` is 0 and ``storage_version`` empty where the server does not tell (before 3.6).
    """

    id: int
    name: str
    endpoint: str = ""
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    learner: bool = False
    started: bool = True
    error: str = ""
    version: str = ""
    storage_version: str = ""
    db_bytes: int = 0
    in_use_bytes: int = 0
    quota_bytes: int = 0
    downgrade_to: str = ""
    leader: int = 0
    term: int = 0
    index: int = 0
    applied: int = 0
    revision: int = 0
    errors: tuple[str, ...] = ()

    @property
    def up(self) -> bool:
        """Whether it answered."""
        return not self.error

    @property
    def leads(self) -> bool:
        """Whether it holds itself for the leader."""
        return self.up and self.leader == self.id and self.id != 0

    @property
    def free_bytes(self) -> int:
        """What a defragmentation would give back, as it looks now."""
        return max(0, self.db_bytes - self.in_use_bytes)

    @property
    def title(self) -> str:
        """Its name, or its id where it has none yet."""
        return self.name or f"{self.id:x}"


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm and the member that raised it; ``kind`` is NOSPACE or CORRUPT."""

    member: int
    kind: str


@dataclass(frozen=True, slots=True)
class SnapshotSaved:
    """A snapshot that stands under its name. ``sha256`` is that of the state, as the server said
    and as it was found on the way here.
    """

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """What ``snapshot status`` finds in a file."""

    hash: int
    revision: int
    total_keys: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AddedMember:
    """A member that was added and is to be started. ``cluster``: (name, peer URL) of all members,
    the new one under ``""``.
    """

    id: int
    peer_urls: tuple[str, ...]
    cluster: tuple[tuple[str, str], ...]

    def environment(self, name: str) -> list[str]:
        """The variables that start it, as ``etcdctl member add`` prints them."""
        cluster = ",".join(f"{each or name}={url}" for each, url in self.cluster)
        return [
            f'ETCD_NAME="{name}"',
            f'ETCD_INITIAL_CLUSTER="{cluster}"',
            f'ETCD_INITIAL_ADVERTISE_PEER_URLS="{",".join(self.peer_urls)}"',
            'ETCD_INITIAL_CLUSTER_STATE="existing"',
        ]

    def command(self, name: str, program: str) -> str:
        """A command line that starts it: ``kvorum serve`` or ``etcd``."""
        cluster = ",".join(f"{each or name}={url}" for each, url in self.cluster)
        words = [
            *(("kvorum", "serve") if program == "kvorum" else ("etcd",)),
            f"--name={name}",
            f"--initial-cluster={cluster}",
            f"--initial-advertise-peer-urls={','.join(self.peer_urls)}",
            f"--listen-peer-urls={','.join(self.peer_urls)}",
            "--initial-cluster-state=existing",
        ]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Remark:
    """One finding of a look at everything; ``level`` is ok, warn or bad."""

    level: str
    subject: str
    member: str
    text: str


@dataclass(frozen=True, slots=True)
class ServerView:
    """What one member tells beside the API: command line, feature gates, clock, certificate."""

    name: str
    kind: str = ""
    version: str = ""
    cluster_version: str = ""
    quota_bytes: int = 0
    flags: tuple[tuple[str, str], ...] = ()
    gates: tuple[tuple[str, bool], ...] = ()
    clock_s: float | None = None
    certificate_until: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class CheckupView:
    """All that was found, and what does not work on this kind of server: (feature, reason)."""

    remarks: tuple[Remark, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()
    servers: tuple[ServerView, ...] = ()

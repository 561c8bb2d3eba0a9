"""The replicated table of leases: which exist, how long they were granted for, which keys hang on
them.

Time is not here. A lease's clock runs on the leader only (``replica.expiry``); what the log agrees
on is that a lease was granted, that it ended, and, for long ones, how much of it was left at a
checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kvorum import limits
from kvorum.errors import Condition
from kvorum.machine.operations import LeaseGrant
from kvorum.machine.record import scan


class Lease:
    """One lease. ``remaining_s`` 0: no checkpoint, the whole TTL counts. ``keys`` is a dict used as
    an ordered set, the key attached last at its end; ``attachments`` counts all that ever were
    attached here (not a part of the state: an image does not tell it).
    """

    __slots__ = ("attachments", "id", "keys", "remaining_s", "ttl_s")

    def __init__(self, id: int, ttl_s: int, remaining_s: int = 0) -> None:
        self.id = id
        self.ttl_s = ttl_s
        self.remaining_s = remaining_s
        self.keys: dict[bytes, None] = {}
        self.attachments = 0

    def sorted_keys(self) -> list[bytes]:
        """Attached keys in the order in which they die."""
        return sorted(self.keys)


class LeaseTable:
    """All leases by id."""

    __slots__ = ("_leases", "attached")

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self.attached = 0  # Keys on all leases together.

    def __contains__(self, lease: int) -> bool:
        return lease in self._leases

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        """Leases in order of their ids."""
        return iter([self._leases[lease] for lease in sorted(self._leases)])

    def get(self, lease: int) -> Lease | None:
        """The lease, or None."""
        return self._leases.get(lease)

    def grant(self, command: LeaseGrant) -> Condition | None:
        """Create a lease; refused in etcd's order: id 0, too long, already there."""
        if not command.id:
            return Condition.LEASE_NOT_FOUND
        if command.ttl_s > limits.MAX_LEASE_TTL_S:
            return Condition.LEASE_TTL_TOO_LARGE
        if command.id in self._leases:
            return Condition.LEASE_EXIST
        self._leases[command.id] = Lease(command.id, command.ttl_s)
        return None

    def restore(
        self, leases: Iterable[tuple[int, int, int]], frames: Mapping[bytes, bytes]
    ) -> None:
        """Fill an empty table from an image: (id, ttl_s, remaining_s) each, and the records that
        hang on them.
        """
        self._leases = {lease[0]: Lease(*lease) for lease in leases}
        if self._leases:
            for key, frame in frames.items():
                lease_id = scan(frame)[7]
                if lease_id:
                    self.attach(lease_id, key)

    def remove(self, lease: int) -> None:
        """Forget a lease; its keys must be gone."""
        del self._leases[lease]

    def attach(self, lease: int, key: bytes) -> None:
        """Hang a key on a lease, which must exist."""
        found = self._leases[lease]
        found.keys[key] = None
        found.attachments += 1
        self.attached += 1

    def detach(self, lease: int, key: bytes) -> None:
        """Take a key off a lease."""
        del self._leases[lease].keys[key]
        self.attached -= 1

    def checkpoint(self, lease: int, remaining_s: int) -> bool:
        """Note what was left of a lease; False when there is none."""
        found = self._leases.get(lease)
        if found is None:
            return False
        found.remaining_s = remaining_s
        return True

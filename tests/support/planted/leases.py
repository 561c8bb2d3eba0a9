"""Mistakes with leases: ended too early, never, or in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from kvorum.machine import apply
from kvorum.machine.apply import Machine
from kvorum.machine.commands import LeaseExpire
from kvorum.machine.image import MachineImage
from kvorum.machine.leases import Lease
from kvorum.machine.results import LeaseExpireResult
from kvorum.replica.checkpoints import Checkpoints
from kvorum.replica.expiry import LeaseClocks

Patch = pytest.MonkeyPatch


def leases_start_empty(patch: Patch) -> None:
    """Leases start with no time after a change of leader."""
    original = LeaseClocks.promote

    def promote(clocks: LeaseClocks, now: int, leases: Any) -> None:
        original(clocks, now, [(lease, 0) for lease, _ in leases])

    patch.setattr(LeaseClocks, "promote", promote)


def leases_forgotten_at_promotion(patch: Patch) -> None:
    """A new leader starts no clocks: leases that are not renewed never end."""
    original = LeaseClocks.promote

    def promote(clocks: LeaseClocks, now: int, leases: Any) -> None:
        original(clocks, now, [])

    patch.setattr(LeaseClocks, "promote", promote)


def leases_lose_part_of_a_tick(patch: Patch) -> None:
    """A clock that starts within a tick counts that tick whole."""
    original = LeaseClocks.ticks
    patch.setattr(LeaseClocks, "ticks", lambda clocks, ttl_s: original(clocks, ttl_s) - 1)


def expiry_of_an_older_term(patch: Patch) -> None:
    """A stalled ex-leader's word that a lease has ended still counts."""

    def expire(machine: Machine, command: LeaseExpire, term: int) -> Any:
        lost = [lease for lease in map(machine.leases.get, command.ids) if lease is not None]
        events = [event for lease in lost for event in machine._end(lease)]
        return LeaseExpireResult(tuple(x.id for x in lost), len(events)), tuple(events)

    patch.setitem(apply._APPLIERS, LeaseExpire, expire)


def leased_keys_die_one_by_one(patch: Patch) -> None:
    """A lease's end takes one revision a key."""

    def end(machine: Machine, lease: Lease) -> Any:
        events: list[Any] = []
        for key in lease.sorted_keys():
            change = machine._open()
            change.delete_keys([key])
            events += machine._seal(change)
        machine.leases.remove(lease.id)
        return tuple(events)

    patch.setattr(Machine, "_end", end)


def snapshot_without_leases(patch: Patch) -> None:
    """Leases are not part of a snapshot."""
    original = Machine.image

    def image(machine: Machine) -> MachineImage:
        return original(machine)._replace(leases=())

    patch.setattr(Machine, "image", image)


def nothing_recorded_after_a_promotion(patch: Patch) -> None:
    """A new leader goes on from what was recorded of a lease, and records nothing itself."""
    patch.setattr(Checkpoints, "promoted", lambda checkpoints, leases: checkpoints.demoted())


def record_outlives_a_renewal(patch: Patch) -> None:
    """A renewal leaves in place what was recorded before it."""
    patch.setattr(Checkpoints, "must_take_back", lambda checkpoints, lease_id: False)

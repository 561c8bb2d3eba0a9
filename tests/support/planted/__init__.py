"""Known mistakes, each as a patch: what the tests must find, or they prove nothing.

Most are the mistakes of others: of raft's implementers, of etcd, of people who trusted a disk. They
stand by subject in the modules here; ``table`` says where each comes from and who must find it.
"""

from __future__ import annotations

import importlib

from support.planted.finders import Plant

_ROOMS = ("disks", "elections", "replication", "reads", "leases", "watches", "state", "clients")


def __getattr__(name: str) -> Plant:
    """A mistake by its name, whichever module it is in."""
    for room in _ROOMS:
        found = getattr(importlib.import_module(f"support.planted.{room}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"no mistake is called {name}")

"""kvorum: an etcd-compatible cluster that you can see inside of.

The public names resolve on first use, so that ``import kvorum`` costs nothing and a headless
command never pays for what it does not touch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# What clients are told: the etcd release whose API this is, plain dotted integers for parsers.
ETCD_VERSION = "3.5.30"
ETCD_CLUSTER_VERSION = "3.5.0"

__all__ = ["Client", "ClientError", "KvorumError", "UnknownOutcome", "__version__"]

_LAZY = {
    "Client": "kvorum.client",
    "ClientError": "kvorum.client.errors",
    "UnknownOutcome": "kvorum.client",
    "KvorumError": "kvorum.errors",
}

if TYPE_CHECKING:
    from kvorum.client import Client, UnknownOutcome
    from kvorum.client.errors import ClientError
    from kvorum.errors import KvorumError


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'kvorum' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)

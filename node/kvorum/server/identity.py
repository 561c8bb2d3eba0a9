"""Member and cluster ids, derived as etcd derives them (contract page "server", section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def _first_eight(data: bytes) -> int:
    # SHA-1 names things here and protects nothing.
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")


def member_id(peer_urls: Iterable[str], token: str = "", at_s: int | None = None) -> int:
    """A member's id: of its peer URLs and the cluster token, or, added at run time, of the URLs and
    a unix time.
    """
    text = "".join(sorted(peer_urls)) + token
    if at_s is not None:
        text += str(at_s)
    return _first_eight(text.encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """A cluster's id, of its first members' ids. It never changes afterwards."""
    return _first_eight(b"".join(id_.to_bytes(8, "big") for id_ in sorted(member_ids)))

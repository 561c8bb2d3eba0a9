"""Data directories of releases start in this tree, and hold what they held."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from disk import released
from unit.server.members import Cluster


async def started(directory: Path) -> tuple[dict[str, Any], dict[int, int]]:
    """What a member holds that starts there, and the digests of what it applied."""
    with released.digests() as digests:
        cluster = Cluster(directory, 1, **released.SHAPE)
        await cluster.start()
        try:
            await cluster.ready()
            return await released.held(cluster), digests
        finally:
            await cluster.stop_all()


@pytest.mark.parametrize("name", released.names())
def test_a_releases_data_start_and_match(name: str, tmp_path: Path) -> None:
    expected = released.unpack(name, tmp_path)
    index, digest = expected.pop("applied_index"), int(expected.pop("digest"), 16)
    found, digests = asyncio.run(started(tmp_path))
    assert digests[index] == digest
    assert found == expected
    # And once more, on what this tree wrote behind it.
    assert asyncio.run(started(tmp_path))[0] == expected


def test_there_is_a_release() -> None:
    assert released.names()

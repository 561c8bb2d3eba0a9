"""Live clusters for the client's tests: the same tests run on real etcd and on kvorum."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kvorum import Client
from support.clusters import ClusterHandle, make_spec
from support.programs import need_program

PROGRAMS = ["etcd", "kvorum"]
Scenario = Callable[..., Awaitable[None]]


def need(program: str) -> None:
    """Skip when there is no such node to be started."""
    if program == "etcd":
        need_program("etcd")
    elif importlib.util.find_spec("kvorum.cli.serve") is None:
        pytest.skip("kvorum.cli.serve cannot be imported yet")


@pytest.fixture(scope="session", params=PROGRAMS)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterHandle]:
    """Three nodes that all tests share; nobody may break them, or turn auth on."""
    need(request.param)
    directory = tmp_path_factory.mktemp(request.param)
    handle = ClusterHandle(make_spec(directory, 3, program=request.param), directory)
    try:
        yield handle.start()
    finally:
        handle.end()


@pytest.fixture(params=PROGRAMS)
def own_cluster(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., ClusterHandle]]:
    """Starts a cluster for one test alone, which may break it: ``own_cluster(3)``."""
    need(request.param)
    handles: list[ClusterHandle] = []

    def start(nodes: int, **options: Any) -> ClusterHandle:
        spec = make_spec(tmp_path, nodes, program=request.param, **options)
        handles.append(ClusterHandle(spec, tmp_path))
        return handles[0].start()

    yield start
    for handle in handles:
        handle.end()


_numbers = itertools.count(1)


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"/t{next(_numbers)}/"


@pytest.fixture
def live(cluster: ClusterHandle) -> Callable[[Scenario], None]:
    """Runs an async scenario with a client of the shared cluster: ``live(scenario)``."""

    def run(scenario: Scenario, **options: Any) -> None:
        async def body() -> None:
            async with Client(cluster.endpoints, **options) as client:
                await scenario(client)

        asyncio.run(body())

    return run

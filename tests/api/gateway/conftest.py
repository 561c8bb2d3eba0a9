"""One kvorum and one real etcd, as processes, for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.clusters import ClusterHandle, make_spec
from support.programs import need_program


@pytest.fixture(scope="module")
def kvorum_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The client URL of a kvorum of one node."""
    directory = tmp_path_factory.mktemp("kvorum")
    cluster = ClusterHandle(make_spec(directory, 1), directory).start()
    yield cluster.endpoints[0]
    cluster.end()


@pytest.fixture(scope="module")
def etcd_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The client URL of an etcd of one node."""
    program = need_program("etcd")
    directory = tmp_path_factory.mktemp("etcd")
    cluster = ClusterHandle(make_spec(directory, 1, program=program), directory).start()
    yield cluster.endpoints[0]
    cluster.end()

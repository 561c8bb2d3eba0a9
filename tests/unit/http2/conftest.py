"""What runs above HTTP/2 runs on h2 and on our own engine alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kvorum.http2 import choice

_ABOVE = ("test_calls", "test_server", "test_lane", "test_tools")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of servers run once on each."""
    if metafunc.module.__name__.rpartition(".")[2] in _ABOVE:
        metafunc.fixturenames.append("http2")
        metafunc.parametrize("http2", choice.KINDS, indirect=True)


@pytest.fixture
def http2(request: pytest.FixtureRequest) -> Iterator[str]:
    """The HTTP/2 of a test."""
    before = choice.used()
    choice.use(request.param)
    yield request.param
    choice.use(before)

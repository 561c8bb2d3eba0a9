"""Fixtures for tests of every kind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.clusters import ClusterHandle, make_spec
from support.programs import need_program

# Several times what the longest test takes on a busy machine.
TEST_SECONDS_MAX = 240

FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Register our one marker; nothing of a test reads or writes what this user has kept."""
    home = tempfile.mkdtemp(prefix="kvorum-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for place in ("CONFIG", "STATE", "DATA", "CACHE"):
        os.environ[f"XDG_{place}_HOME"] = str(Path(home, place.lower()))
    # KVORUM_TEST_HTTP2=own runs any test on the HTTP/2 engine of our own, in this process and in
    # the nodes it starts.
    kind = os.environ.get("KVORUM_TEST_HTTP2")
    if kind:
        from kvorum.http2 import choice

        choice.use(kind)
        os.environ["ETCD_HTTP2"] = kind
    config.addinivalue_line(
        "markers", "slow: takes more than some seconds; left out by tests/check.py --quick"
    )


@contextmanager
def bounded(item: pytest.Item, phase: str) -> Iterator[None]:
    """Fail a test that hangs, wherever it does, so that the others still run and the end comes."""

    def expired(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"{phase} took more than {TEST_SECONDS_MAX} s: {item.nodeid}")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Bound a test's fixtures."""
    with bounded(item, "setup"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Bound the test itself."""
    with bounded(item, "the test"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test failed, so that fixtures can add evidence when they are torn down."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seconds and number of tests by kind, above pytest's own closing line."""
    seconds: dict[str, float] = {}
    tests: dict[str, set[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                kind = Path(report.nodeid.partition("::")[0]).parts[1]
                seconds[kind] = seconds.get(kind, 0.0) + report.duration
                tests.setdefault(kind, set()).add(report.nodeid)
    if len(seconds) > 1:
        terminalreporter.section("seconds by kind")
    for kind in sorted(seconds, key=lambda kind: -seconds[kind]):
        terminalreporter.write_line(f"{kind:<10} {seconds[kind]:7.1f} s  {len(tests[kind])} tests")


@pytest.fixture
def kvorum_cluster(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., ClusterHandle]]:
    """A function that starts clusters of node processes; they are killed by pid in the end.

    ``kvorum_cluster(3)`` takes the options of :func:`support.clusters.make_spec`:
    ``program="etcd"`` for real etcd, ``flags``, ``env``, ``faults``, ``heartbeat_ms``,
    ``election_ms``, ``keys``, ``restart``. It returns a :class:`support.clusters.ClusterHandle`
    once every node answers and all name one leader; with ``start=False`` nothing is started
    yet. ``directory`` chooses the run directory (default: a new one). A failed test gets the
    ends of the nodes' logs into its report.
    """
    handles: list[ClusterHandle] = []

    def launch(
        nodes: int = 3, *, start: bool = True, directory: Path | None = None, **options: Any
    ) -> ClusterHandle:
        if options.get("program", "kvorum") != "kvorum":
            need_program(options["program"])
        directory = directory or tmp_path / f"cluster{len(handles)}"
        handle = ClusterHandle(make_spec(directory, nodes, **options), directory)
        handles.append(handle)
        return handle.start() if start else handle

    yield launch
    for handle in handles:
        if request.node.stash.get(FAILED, False):
            print(handle.last_words())
        handle.end()

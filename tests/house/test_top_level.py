"""The top level, and the rooms, are the design's."""

from __future__ import annotations

import tomllib

from support.sources import PACKAGES, TOP, files

TOP_LEVEL = {
    "README.md",
    "node",
    "protos",
    "pyproject.toml",
    "sample_clusters",
    "tests",
    "tui",
}
ROOMS = [
    "cli",
    "raft",
    "machine",
    "replica",
    "storage",
    "history",
    "server",
    "http2",
    "api",
    "client",
    "cluster",
    "drill",
    "check",
    "sim",
]


def test_the_top_level_is_the_designs() -> None:
    visible = {path.relative_to(TOP).parts[0] for path in files()}
    assert {name for name in visible if not name.startswith(".")} == TOP_LEVEL


def test_every_room_is_there() -> None:
    for room in ROOMS:
        assert (PACKAGES["kvorum"] / room / "__init__.py").is_file(), f"kvorum.{room} is missing"


def test_no_file_is_executable_by_accident() -> None:
    for path in files():
        if path.stat().st_mode & 0o111:
            assert path.read_bytes().startswith(b"#!"), f"{path} is executable but no script"


def test_the_wheel_takes_the_packages_and_the_samples() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["node/kvorum", "tui/kvorum_tui", "protos/kvorum_proto"]
    assert wheel["force-include"] == {"sample_clusters": "kvorum/sample_clusters"}
    assert project["project"]["scripts"] == {"kvorum": "kvorum.cli:main"}

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
# The design's rooms. Those of LATER may still be missing; no other may appear.
ROOMS = {
    "api",
    "cli",
    "client",
    "cluster",
    "history",
    "http2",
    "machine",
    "raft",
    "replica",
    "server",
    "sim",
    "storage",
}
LATER = {"check", "drill"}


def test_the_top_level_is_the_designs() -> None:
    visible = {path.relative_to(TOP).parts[0] for path in files()}
    assert {name for name in visible if not name.startswith(".")} == TOP_LEVEL


def test_the_rooms_are_the_designs() -> None:
    rooms = {path.parent.name for path in PACKAGES["kvorum"].glob("*/__init__.py")}
    assert rooms >= ROOMS
    assert rooms <= ROOMS | LATER


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

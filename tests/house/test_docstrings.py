"""Words: every module says what it is for, every public name of the packages too, great rooms
at length.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.sources import PACKAGES, modules, tree, where

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# The rooms in which somebody comes to learn; lines their essays have at least, and words they
# cannot do without.
ESSAYS = {
    "raft": (60, ("thesis", "term", "quorum", "commit")),
    "machine": (30, ("revision", "lease", "compact")),
    "replica": (15, ("input", "effect")),
    "storage": (15, ("fsync", "torn", "corrupt")),
}


def test_every_module_says_what_it_is_for() -> None:
    assert [
        where(path) for path in modules() if len(ast.get_docstring(tree(path)) or "") < 15
    ] == []


def undocumented(path: Path) -> list[str]:
    """Public classes and functions of a module, and public methods of its public classes,
    without words.

    A method that overrides one of a base class is documented there, and a protocol's or an
    enum's members by its class.
    """
    found = []
    for node in tree(path).body:
        if not isinstance(node, Documented) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            found.append(f"{where(path, node)}: {node.name}")
    return found


def test_public_names_are_documented() -> None:
    missing = []
    for path in modules():
        if any(path.is_relative_to(folder) for folder in PACKAGES.values()):
            missing += undocumented(path)
    assert missing == []


@pytest.mark.parametrize("room", ESSAYS)
def test_a_great_room_opens_with_an_essay(room: str) -> None:
    lines_min, words = ESSAYS[room]
    essay = ast.get_docstring(tree(PACKAGES["kvorum"] / room / "__init__.py")) or ""
    assert len(essay.splitlines()) >= lines_min
    for word in words:
        assert word in essay.lower(), f"the essay of {room} does not mention {word!r}"

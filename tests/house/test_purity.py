"""Purity: the floors that the simulator replays reach for nothing, and never show a set's order."""

from __future__ import annotations

import ast

import pytest
from support.purity import banned_names, unordered_iterations
from support.sources import package_modules, tree, where

PURE = ("kvorum.raft", "kvorum.machine", "kvorum.replica", "kvorum.check")


def test_the_pure_floors_are_there() -> None:
    for floor in PURE[:3]:
        assert list(package_modules(floor)), f"{floor} has no modules"


def test_no_pure_floor_reaches_out() -> None:
    assert [
        f"{where(path, node)}: {problem}"
        for path in package_modules(*PURE)
        for node, problem in banned_names(tree(path))
    ] == []


def test_no_pure_floor_shows_a_sets_order() -> None:
    assert [
        f"{where(path, node)}: {problem}"
        for path in package_modules(*PURE)
        for node, problem in unordered_iterations(tree(path))
    ] == []


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "import os.path",
        "from asyncio import Queue",
        "import logging",
        "from kvorum_proto import codec",
        "x = open('f')",
        "print(1)",
        "import random\nx = random.random()",
        "import random\nrandom.seed(3)",
        "from random import choice",
        "from random import Random\nr = Random()",
        "x = hash('a')",
        "def f():\n    import socket",
    ],
)
def test_a_forbidden_name_is_found(code: str) -> None:
    assert list(banned_names(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "from random import Random\ndef f(r: Random, s: int):\n    return Random(s), r.random()",
        "import random\ndef f(r: random.Random):\n    return r.choice([1])",
        "from collections import deque\nimport heapq, bisect, dataclasses, zlib",
        "class A:\n    def __hash__(self):\n        return hash((self.a, self.b))",
        "def f(door):\n    return door.open(), door.print()",
    ],
)
def test_what_is_allowed_is_left_alone(code: str) -> None:
    assert not list(banned_names(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "s = set()\nfor x in s: pass",
        "def f(s: set[int]):\n    return [x for x in s]",
        "def f(s: frozenset[int] | None):\n    return tuple(s)",
        "class A:\n    def __init__(self):\n        self.s = set()\n    def f(self):\n"
        "        return list(self.s)",
        "class A:\n    s: set[int]\n    def f(self, other):\n        return [*other.s]",
        "def f(a, b):\n    for x in set(a) | set(b): pass",
        "def f(s: set[str]):\n    return ','.join(s)",
        "def f(s: set[str]):\n    return s.pop()",
        "def f(s: set[str]):\n    return {x: 1 for x in s}",
        "def f(s: set[str]):\n    return next(iter(s))",
        "def f(s: set[str], t):\n    for x in s.union(t): pass",
        "def f(s: set[str]):\n    yield from (x for x in s - {'a'})",
        "def f(s: set[str]):\n    return list(enumerate(x) for x in s)",
    ],
)
def test_a_sets_order_is_found(code: str) -> None:
    assert list(unordered_iterations(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "def f(s: set[int]):\n    return sorted(s), len(s), 3 in s, any(x > 1 for x in s)",
        "def f(s: set[int]):\n    return {x + 1 for x in s}, max(s), sum(x for x in s)",
        "def f(s: set[int]):\n    for x in sorted(s): pass",
        "def f(d: dict[int, set[int]]):\n    for x in d: pass",
        "def f(s: list[int]):\n    for x in s: pass\ndef g(s: set[int]):\n    return sorted(s)",
        "def f(s: list[int]):\n    return s.pop()",
    ],
)
def test_ordered_iteration_is_left_alone(code: str) -> None:
    assert not list(unordered_iterations(ast.parse(code)))

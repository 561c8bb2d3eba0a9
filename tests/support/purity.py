"""Finds what a pure floor may not do, by syntax: forbidden names, and sets iterated in hash order.

The finder is deliberately simple. It knows a set when it sees one made (``{a, b}``,
``set(...)``, a set comprehension, a union of such) or declared (``x: set[int]``), by the name
it is bound to in the same function or, for attributes and module-level names, in the same
module. What it cannot see, the simulator's re-runs under another hash seed can.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Each with its reason: what it would smuggle into a function of inputs.
BANNED_MODULES = {
    "asyncio": "an event loop",
    "concurrent": "threads",
    "contextvars": "ambient state",
    "datetime": "the clock",
    "duckdb": "a database",
    "glob": "the disk",
    "grpclib": "the network",
    "importlib": "the disk",
    "io": "the disk",
    "kvorum_proto": "the wire",
    "logging": "output",
    "multiprocessing": "processes",
    "os": "the system",
    "pathlib": "the disk",
    "secrets": "randomness of its own",
    "select": "the network",
    "shutil": "the disk",
    "signal": "the system",
    "socket": "the network",
    "ssl": "the network",
    "subprocess": "processes",
    "sys": "the system",
    "tempfile": "the disk",
    "threading": "threads",
    "time": "the clock",
    "uuid": "randomness of its own",
    "warnings": "output",
    "weakref": "the collector's order",
}
BANNED_CALLS = {
    "breakpoint": "a debugger",
    "compile": "code at run time",
    "eval": "code at run time",
    "exec": "code at run time",
    "hash": "differs between processes",
    "id": "differs between processes",
    "input": "input of its own",
    "open": "the disk",
    "print": "output",
}
# What looks at all elements and does not care about their order.
ORDER_FREE = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
SET_OPERATORS = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Sub)
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}

Finding = tuple[ast.AST, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def banned_names(module: ast.Module) -> Iterator[Finding]:
    """Imports and calls that reach out of the floor, and the ``random`` module's global
    generator.
    """
    hashing = {
        id(inner)
        for method in ast.walk(module)
        if isinstance(method, ast.FunctionDef) and method.name == "__hash__"
        for inner in ast.walk(method)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from _module(node, node.module or "")
            if node.module == "random":
                wrong = [alias.name for alias in node.names if alias.name != "Random"]
                if wrong:
                    yield node, f"random.{wrong[0]}: only a random.Random handed in"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in BANNED_CALLS and id(node) not in hashing:
                yield node, f"{node.func.id}(): {BANNED_CALLS[node.func.id]}"
            if node.func.id == "Random" and not node.args:
                yield node, "Random(): seeded by the system"
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and node.attr != "Random"
        ):
            yield node, f"random.{node.attr}: only a random.Random handed in"


def _module(node: ast.AST, name: str) -> Iterator[Finding]:
    root = name.partition(".")[0]
    if root in BANNED_MODULES:
        yield node, f"import {root}: {BANNED_MODULES[root]}"


def unordered_iterations(module: ast.Module) -> Iterator[Finding]:
    """Loops, comprehensions and calls that go through a set in hash order."""
    attributes = {name for kind, name in _bindings(ast.walk(module)) if kind == "attribute"}
    outside = _names(node for node in _own_nodes(module))
    scopes: list[ast.AST] = [module, *(n for n in ast.walk(module) if isinstance(n, Function))]
    for scope in scopes:
        yield from _Scope(outside | _names(_own_nodes(scope)), attributes).look(scope)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of functions inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting.extend(ast.iter_child_nodes(node))


def _names(nodes: Iterator[ast.AST]) -> set[str]:
    return {name for kind, name in _bindings(nodes) if kind == "name"}


def _bindings(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, str]]:
    """What is bound to a set, or declared to be one: ("name" or "attribute", identifier)."""
    for node in nodes:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign) and _is_made_set(node.value):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and _is_set_annotation(node.annotation):
            targets = [node.target]
        elif isinstance(node, ast.arg) and _is_set_annotation(node.annotation):
            yield "name", node.arg
        for target in targets:
            if isinstance(target, ast.Name):
                yield "name", target.id
                yield "attribute", target.id  # In a class body, a field.
            elif isinstance(target, ast.Attribute):
                yield "attribute", target.attr


def _is_set_annotation(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.BinOp):
        return _is_set_annotation(annotation.left) or _is_set_annotation(annotation.right)
    if isinstance(annotation, ast.Subscript):
        return _is_set_annotation(annotation.value)
    return isinstance(annotation, ast.Name) and annotation.id in {
        "AbstractSet",
        "MutableSet",
        "Set",
        "frozenset",
        "set",
    }


def _is_made_set(value: ast.expr) -> bool:
    if isinstance(value, ast.Set | ast.SetComp):
        return True
    if isinstance(value, ast.BinOp) and isinstance(value.op, SET_OPERATORS):
        return _is_made_set(value.left) or _is_made_set(value.right)
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in {"set", "frozenset"}
    )


class _Scope:
    """Looks through one function with the set names that are known in it."""

    def __init__(self, names: set[str], attributes: set[str]) -> None:
        self.names = names
        self.attributes = attributes

    def is_set(self, value: ast.expr) -> bool:
        """Whether an expression is a set, as far as syntax shows."""
        if _is_made_set(value):
            return True
        if isinstance(value, ast.Name):
            return value.id in self.names
        if isinstance(value, ast.Attribute):
            return value.attr in self.attributes
        if isinstance(value, ast.BinOp) and isinstance(value.op, SET_OPERATORS):
            return self.is_set(value.left) or self.is_set(value.right)
        return (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and (value.func.attr in SET_METHODS or value.func.attr == "copy")
            and self.is_set(value.func.value)
        )

    def look(self, scope: ast.AST) -> Iterator[Finding]:
        """Every place of a scope where the order of a set could be seen."""
        free = {
            id(argument)
            for node in _own_nodes(scope)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ORDER_FREE
            for argument in node.args
        }
        for node in _own_nodes(scope):
            if isinstance(node, ast.For | ast.AsyncFor) and self.is_set(node.iter):
                yield node, f"for ... in {ast.unparse(node.iter)}: use sorted()"
            elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
                yield from self._comprehension(node, id(node) in free)
            elif isinstance(node, ast.Starred) and self.is_set(node.value):
                yield node, f"*{ast.unparse(node.value)}: use sorted()"
            elif isinstance(node, ast.Call):
                yield from self._call(node)

    def _comprehension(
        self, node: ast.ListComp | ast.DictComp | ast.GeneratorExp, free: bool
    ) -> Iterator[Finding]:
        for part in node.generators:
            if self.is_set(part.iter) and not free:
                yield node, f"... for ... in {ast.unparse(part.iter)}: use sorted()"

    def _call(self, node: ast.Call) -> Iterator[Finding]:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "pop" and not node.args:
            if self.is_set(node.func.value):
                yield node, f"{ast.unparse(node)}: takes whichever comes first"
            return
        ordered = (isinstance(node.func, ast.Name) and node.func.id in SEES_ORDER) or (
            isinstance(node.func, ast.Attribute) and node.func.attr in {"join", "extend"}
        )
        for argument in node.args:
            if ordered and self.is_set(argument):
                yield node, f"{ast.unparse(node)}: use sorted()"


SEES_ORDER = {"dict", "enumerate", "filter", "iter", "list", "map", "next", "tuple", "zip"}
